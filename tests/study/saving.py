"""A training function whose values follow from its configuration, and which writes down what it loads."""

import os
import random
import secrets
import signal
import time

import hbsim


def value(lr, epoch):
    """Return what the function reports: another value for each configuration and epoch."""
    return lr + epoch / 1000


def kill_soon(seconds):
    """Have this process killed after up to so many seconds, wherever it is then."""
    pid = os.getpid()
    if os.fork() == 0:
        time.sleep(random.SystemRandom().uniform(0, seconds))
        os.kill(pid, signal.SIGKILL)
        os._exit(0)


@hbsim.args(lr=hbsim.Real(0.0, 1.0), epochs=27, seconds=0.001, killed=0.0, notes="")
def train_fn(args, reporter):
    """Save before a report, after it, or at a pause, by the trial's number; note what has been reported."""
    notes = os.open(args.notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    if args.killed:
        kill_soon(args.killed)

    def note(word, text=""):
        os.write(notes, f"{word} {args.trial} {time.monotonic()} {text}\n".encode())

    state = reporter.load() or {"lr": args.lr, "epoch": 0}
    if state["lr"] != args.lr:
        note("wrong")
    habit = args.trial % 3
    if habit == 2:
        reporter.on_pause(lambda: state)
    while state["epoch"] < args.epochs:
        time.sleep(args.seconds)
        state["epoch"] += 1
        if habit == 0:
            reporter.save(state)
        token = secrets.randbits(50)
        reporter(epoch=state["epoch"], accuracy=value(args.lr, state["epoch"]), token=token)
        note("returned", token)
        if habit == 1:
            reporter.save(state)
