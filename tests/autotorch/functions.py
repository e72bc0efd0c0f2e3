"""Training functions that need no libraries."""

from __future__ import annotations

from typing import Any

import hbsim


@hbsim.args(lr=hbsim.Real(0.0, 1.0), kind=hbsim.Choice("a", "b"), epochs=4)
def climb(args: Any, reporter: Any) -> None:
    """Report better values the larger lr is."""
    for epoch in range(1, args.epochs + 1):
        reporter(epoch=epoch, accuracy=args.lr * epoch / 10)


@hbsim.args(lr=hbsim.Real(0.0, 1.0), gate=None)
def wait_at_gate(args: Any, reporter: Any) -> None:
    """Report once; then go on only when there is a file."""
    import time
    from pathlib import Path

    reporter(epoch=1, accuracy=args.lr)
    while not Path(args.gate).exists():
        time.sleep(0.01)
        reporter(epoch=1, accuracy=args.lr)
    reporter(epoch=2, accuracy=args.lr)


def undecorated(args: Any, reporter: Any) -> None:
    """Has no search space."""


@hbsim.args(lr=hbsim.Real(0.0, 1.0))
def says_done(args: Any, reporter: Any) -> None:
    """Report three epochs, and say in the seed's way that this was all."""
    for epoch in range(1, 4):
        reporter(epoch=epoch, accuracy=args.lr * epoch)
    reporter(done=True)


@hbsim.args(lr=hbsim.Real(0.0, 1.0), epochs=3, broken=-1)
def without_epochs(args: Any, reporter: Any) -> None:
    """Report no resource; go on from a checkpoint; one trial fails once, after its second report."""
    for step in range((reporter.load() or 0) + 1, args.epochs + 1):
        reporter(accuracy=args.lr * step)
        reporter.save(step)
        if args.trial == args.broken and step == 2:
            print("the last words of a trial")
            raise ValueError("broken")
