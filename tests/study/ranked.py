"""Training functions of several processes, for `tests.study.test_ranks`."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from pathlib import Path

import hbsim


def train_rank(rank, args, reporter, barrier):
    """Train in a rank; the barrier is the collective operation."""
    os.environ["RANK"], os.environ["WORLD_SIZE"] = str(rank), "2"
    epoch = reporter.load() or 0
    print(f"rank {rank} of port {os.environ['MASTER_PORT']} from {epoch}", flush=True)

    @reporter.on_pause
    def state():
        if args.mode == "together":  # as a state of which each rank has a part
            barrier.wait()
        return epoch

    try:
        while epoch < 9:
            barrier.wait()
            epoch += 1
            if rank == 1 and args.mode == "error" and epoch == 2:
                raise ValueError("boom")
            if rank == 1 and args.mode == "exit" and epoch == 2:
                sys.exit(3)
            if rank == 0 and args.mode == "killed" and epoch == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            if rank == 0 or args.mode != "alone":
                reporter(epoch=epoch, accuracy=args.lr * epoch if rank == 0 else 99.0)
    finally:
        print(f"rank {rank} ends", flush=True)


@hbsim.args(lr=hbsim.Real(0.1, 1.0), mode="together", start="fork")
def train_fn(args, reporter):
    """Train in two ranks, and wait for them as careless code does."""
    context = multiprocessing.get_context(args.start)
    barrier = context.Barrier(2)
    ranks = [context.Process(target=train_rank, args=(i, args, reporter, barrier)) for i in range(2)]
    for rank in ranks:
        rank.start()
    try:
        for rank in ranks:
            rank.join()
    finally:
        for rank in ranks:
            rank.join()
        Path(os.environ["MARK"]).write_text("joined")


@hbsim.args(lr=hbsim.Real(0.1, 1.0))
def in_turn(args, reporter):
    """Report from this process, from one after another that it forks, and from this one again."""

    def more(*epochs):
        for epoch in epochs:
            reporter(epoch=epoch, accuracy=args.lr)

    context = multiprocessing.get_context("fork")
    more(1)
    for epochs in ((2, 3), (4, 5)):
        child = context.Process(target=more, args=epochs)
        child.start()
        child.join()
    more(6)


@hbsim.args(lr=hbsim.Real(0.1, 1.0))
def two_of_rank_0(args, reporter):
    """Report from two processes at once, neither of which has a rank."""
    context = multiprocessing.get_context("fork")
    reported = context.Barrier(2)

    def rank():
        reporter(epoch=1, accuracy=args.lr)
        reported.wait()

    ranks = [context.Process(target=rank) for _ in range(2)]
    for one in ranks:
        one.start()
    for one in ranks:
        one.join()
