"""Training functions for tests on other machines: quick, exact, and they write down when they ran."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import hbsim

HURRY = "hurry"  # among the traces: a file that says that no training is to take any time


@hbsim.args(x=hbsim.Real(0.0, 1.0), traces="", seconds=0.0)
def saving(args: Any, reporter: Any) -> None:
    """Accuracy depends on x and the epoch alone; there is a checkpoint at each epoch."""
    state = reporter.load() or {"epoch": 0}
    trace(args, reporter, state["epoch"], "begins")
    for epoch in range(state["epoch"] + 1, 28):
        wait(args)
        trace(args, reporter, epoch, "trains")
        reporter.save({"epoch": epoch})
        trace(args, reporter, epoch, "saved")
        reporter(epoch=epoch, accuracy=round(args.x * (1 - 0.5**epoch), 9))


def wait(args: Any) -> None:
    """Take the time of an epoch, unless all is to be over soon."""
    if not (args.traces and (Path(args.traces) / HURRY).exists()):
        time.sleep(args.seconds)


def trace(args: Any, reporter: Any, epoch: int, what: str, files: int = 0) -> None:
    """Write down which job trains what now, where and on which GPUs."""
    if args.traces:
        line = {"trial": reporter.trial, "job": reporter._origin.job, "epoch": epoch, "what": what}
        line |= {"pid": os.getpid(), "at": time.monotonic(), "files": files}
        line |= {"host": os.environ.get("HBSIM_WORK"), "gpus": os.environ.get("CUDA_VISIBLE_DEVICES")}
        with open(Path(args.traces) / f"{os.getpid()}.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


@hbsim.args(x=hbsim.Real(0.0, 1.0), traces="", seconds=0.0)
def busy(args: Any, reporter: Any) -> None:
    """The same without checkpoints; keeps a core busy."""
    for epoch in range(1, 28):
        end = time.monotonic() + args.seconds
        while time.monotonic() < end:
            pass
        trace(args, reporter, epoch, "trains")
        reporter(epoch=epoch, accuracy=round(args.x * (1 - 0.5**epoch), 9))


@hbsim.args(x=hbsim.Real(0.0, 1.0), traces="", seconds=0.0)
def ends_badly(args: Any, reporter: Any) -> None:
    """Each trial ends in another way."""
    if reporter.trial == 0:
        raise MemoryError("no more")
    elif reporter.trial == 1:
        sys.exit(3)
    elif reporter.trial == 2:
        ctypes.string_at(0)
    elif reporter.trial == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    else:
        time.sleep(600)


@hbsim.args(x=hbsim.Real(0.0, 1.0), traces="", seconds=0.0)
def steady(args: Any, reporter: Any) -> None:
    """The same with a checkpoint only where it is told to leave; it keeps a file."""
    state = reporter.load() or {"epoch": 0}
    reporter.on_pause(lambda: state)
    notes = reporter.folder / "notes.txt"
    seen = notes.read_text() if notes.exists() else ""
    trace(args, reporter, state["epoch"], "begins", seen.count("\n"))
    print("trial", reporter.trial, "begins at", state["epoch"])
    for epoch in range(state["epoch"] + 1, 28):
        wait(args)
        state["epoch"] = epoch
        trace(args, reporter, epoch, "trains")
        with notes.open("a") as file:
            file.write(f"{epoch}\n")
        accuracy = round(args.x * (1 - 0.5**epoch), 9)
        reporter(epoch=epoch, accuracy=accuracy, x=args.x, seconds=args.seconds + 1)


@hbsim.args(x=hbsim.Real(0.0, 1.0), traces="")
def peaked(args: Any, reporter: Any) -> None:
    """Each trial is best at epoch 2; under promotion it pauses later."""
    state = reporter.load() or {"epoch": 0}
    reporter.on_pause(lambda: state)
    for epoch in range(state["epoch"] + 1, 28):
        state["epoch"] = epoch
        reporter(epoch=epoch, accuracy=args.x - abs(epoch - 2))


@hbsim.args(x=hbsim.Real(0.0, 1.0), count=1)
def flood(args: Any, reporter: Any) -> None:
    """Reports as fast as it can."""
    for epoch in range(1, args.count + 1):
        reporter(epoch=epoch, accuracy=args.x, loss=1 / epoch, rate=epoch / 7, norm=epoch / 3)
