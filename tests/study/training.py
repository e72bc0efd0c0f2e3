"""A training function for tests: its values follow from its arguments, and it misbehaves on request."""

import contextlib
import ctypes
import multiprocessing
import os
import random
import signal
import stat
import subprocess
import sys
import threading
import time

import numpy as np

import hbsim


class Unprintable(Exception):
    """Cannot be pickled, and cannot say what it is."""

    def __init__(self, handle):
        super().__init__(handle)
        self.handle = open(os.devnull)  # noqa: SIM115 - what cannot be pickled

    def __str__(self):
        raise RuntimeError("no")


def misbehave(how, epoch, reporter):  # noqa: C901 - one case a line
    """Do what `how` says, in the third epoch."""
    if epoch != 3:
        return
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "exit":
        sys.exit(3)
    elif how == "hard exit":
        os._exit(4)
    elif how == "segfault":
        ctypes.string_at(0)
    elif how == "raise":
        raise ValueError("the learning rate is wrong")
    elif how == "unprintable":
        raise Unprintable(3)
    elif how == "memory":
        raise MemoryError("no more")
    elif how == "hang":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(60)
    elif how == "children":
        subprocess.Popen(["sleep", "1000"])
        if os.fork() == 0:
            os.setsid()
            time.sleep(1000)
    elif how == "print":
        line = "x" * 99 + "\n"
        for _ in range(1000):
            sys.stdout.write(line * 1000)
    elif how == "nan":
        reporter(epoch=3, accuracy=float("nan"))
    elif how == "backwards":
        reporter(epoch=1, accuracy=0.5)
    elif how == "often":
        for i in range(20_000):
            reporter(epoch=2 + i / 20_001, accuracy=0.5)
    elif how == "lingers":
        threading.Thread(target=time.sleep, args=(60,)).start()
    elif how == "waits":
        while True:  # until it is told to leave
            reporter(epoch=2, accuracy=0.0)
            time.sleep(0.01)
    elif how.startswith("garbage"):
        for number in range(3, 64):
            with contextlib.suppress(OSError):
                if stat.S_ISSOCK(os.fstat(number).st_mode):
                    os.write(number, how.removeprefix("garbage ").encode() + b"\n")
        time.sleep(60)
    elif how == "missing":
        reporter(epoch=3, loss=0.5)
    elif how == "swallow":
        for _ in range(10):
            with contextlib.suppress(BaseException):
                reporter(epoch=9, accuracy=0.5)


@hbsim.args(
    lr=hbsim.Real(1e-3, 1.0, log=True), wd=hbsim.Real(0, 1), how="well", epochs=9, seconds=0.0, only=-1
)
def train_fn(args, reporter):
    """Train `epochs` epochs, with a checkpoint after each."""
    state = reporter.load()
    first = 1 if state is None else state["epoch"] + 1
    for epoch in range(first, args.epochs + 1) if args.how != "down" else range(args.epochs, 0, -1):
        time.sleep(args.seconds)
        with open("trained.txt", "a") as file:
            file.write(f"{args.trial} {epoch}\n")
        if args.only in (-1, args.trial):
            misbehave(args.how, epoch, reporter)
        reporter(epoch=epoch, accuracy=1 - args.lr - args.wd / (epoch + 1))
        reporter.save({"epoch": epoch})


@hbsim.args(lr=hbsim.Real(1e-3, 1.0, log=True), wd=hbsim.Real(0, 1), seconds=0.0)
def steady(args, reporter):
    """Train nine epochs, each with a checkpoint before its report."""
    for epoch in range((reporter.load() or 0) + 1, 10):
        time.sleep(args.seconds)
        with open("trained.txt", "a") as file:
            file.write(f"{args.trial} {epoch}\n")
        reporter.save(epoch)
        reporter(epoch=epoch, accuracy=1 - args.lr - args.wd / (epoch + 1))


@hbsim.args(lr=hbsim.Real(1e-3, 1.0, log=True), wd=hbsim.Real(0, 1), epochs=9)
def from_zero(args, reporter):
    """Train without checkpoints."""
    for epoch in range(1, args.epochs + 1):
        reporter(epoch=epoch, accuracy=1 - args.lr - args.wd / (epoch + 1))


@hbsim.args(lr=hbsim.Real(1e-3, 1.0, log=True))
def with_a_rank(args, reporter):
    """Train with a second process, which waits for the next step like a rank of distributed training."""

    def rank(ready):
        def end(number, frame):
            with open("rank.txt", "a") as file:
                file.write("told\n")
            os._exit(0)

        signal.signal(signal.SIGTERM, end)
        ready.set()
        time.sleep(60)

    context = multiprocessing.get_context("fork")
    ready = context.Event()
    context.Process(target=rank, args=(ready,)).start()
    ready.wait()
    reporter.on_pause(lambda: 1)
    reporter(epoch=1, accuracy=args.lr)
    raise ValueError("not paused")


@hbsim.args(lr=hbsim.Real(1e-3, 1.0, log=True))
def joins_its_rank(args, reporter):
    """Wait for a process before it leaves, which waits for the next step."""
    rank = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
    rank.start()
    reporter.on_pause(lambda: 1)
    try:
        reporter(epoch=1, accuracy=args.lr)
    finally:
        rank.join()


@hbsim.args(lr=hbsim.Real(1e-3, 1.0, log=True))
def cannot_save(args, reporter):
    """Pause without a checkpoint, since it cannot be made."""

    @reporter.on_pause
    def checkpoint():
        raise OSError("no room")

    for epoch in range(1, 10):
        reporter(epoch=epoch, accuracy=args.lr)


@hbsim.args(lr=hbsim.Real(1e-3, 1.0, log=True), only=-1, mended=False)
def saves_an_object(args, reporter):
    """Pause with a state of which something cannot be kept."""
    state = reporter.load() or {"epoch": 0, "best": np.float64(0.0), "seen": np.zeros(3)}
    reporter.on_pause(lambda: state)
    if args.only in (-1, args.trial) and not args.mended:
        state["model"] = {"encoder": threading.Lock()}
    for epoch in range(state["epoch"] + 1, 10):
        state["epoch"] = epoch
        reporter(epoch=epoch, accuracy=args.lr)


@hbsim.args(lr=hbsim.Real(1e-3, 1.0, log=True))
def saves_at_the_end(args, reporter):
    """Save when the trial has to leave."""
    reporter.on_pause(lambda: {"lr": args.lr})
    for epoch in range(1, 4):
        reporter(epoch=epoch, accuracy=args.lr)


@hbsim.args(lr=hbsim.Real(1e-3, 1.0, log=True))
def draws(args, reporter):
    """Report what the global random states give."""
    reporter(epoch=1, accuracy=random.random(), numpy=np.random.uniform())  # noqa: NPY002, TID251
