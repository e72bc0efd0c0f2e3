"""What is trained on hosts: quick, exact, and it leaves traces of when it ran where."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import hbsim


@hbsim.args(x=hbsim.Real(0.0, 1.0), traces="", seconds=0.0)
def steady(args: Any, reporter: Any) -> None:
    """Accuracy depends on x and the epoch alone; goes on from its checkpoint, and keeps a file."""
    state = reporter.load() or {"epoch": 0}
    reporter.on_pause(lambda: state)
    notes = reporter.folder / "notes.txt"
    seen = notes.read_text() if notes.exists() else ""
    trace(args, reporter, state["epoch"], "begins", seen.count("\n"))
    print("trial", reporter.trial, "begins at", state["epoch"])
    for epoch in range(state["epoch"] + 1, 28):
        time.sleep(args.seconds)
        state["epoch"] = epoch
        trace(args, reporter, epoch, "trains")
        with notes.open("a") as file:
            file.write(f"{epoch}\n")
        reporter(epoch=epoch, accuracy=round(args.x * (1 - 0.5**epoch), 9))


@hbsim.args(x=hbsim.Real(0.0, 1.0), traces="", seconds=0.0)
def saving(args: Any, reporter: Any) -> None:
    """The same, with a checkpoint at each epoch."""
    state = reporter.load() or {"epoch": 0}
    trace(args, reporter, state["epoch"], "begins")
    for epoch in range(state["epoch"] + 1, 28):
        time.sleep(args.seconds)
        trace(args, reporter, epoch, "trains")
        reporter.save({"epoch": epoch})
        reporter(epoch=epoch, accuracy=round(args.x * (1 - 0.5**epoch), 9))


@hbsim.args(x=hbsim.Real(0.0, 1.0), count=1)
def flood(args: Any, reporter: Any) -> None:
    """Reports as fast as it can."""
    for epoch in range(1, args.count + 1):
        reporter(epoch=epoch, accuracy=args.x, loss=1 / epoch, rate=epoch / 7, norm=epoch / 3)


def trace(args: Any, reporter: Any, epoch: int, what: str, files: int = 0) -> None:
    """Write down which job trains what now, and where."""
    if args.traces:
        line = {"trial": reporter.trial, "epoch": epoch, "what": what, "pid": os.getpid(), "files": files}
        line |= {"job": reporter._origin.job, "at": time.monotonic(), "host": os.environ.get("HBSIM_WORK")}
        with open(Path(args.traces) / f"{os.getpid()}.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
