"""What trials do in `benchmarks.dask_speed`: they sleep, hop from milestone to milestone, or only report."""

from __future__ import annotations

import time

import hbsim
from benchmarks.peers.sleeping import rows


@hbsim.args(x=hbsim.Real(0.0, 1.0))
def sleeps(args, reporter):
    """Sleep until each milestone, and report there alone; goes on from its checkpoint."""
    state = reporter.load() or {"epoch": 0}
    reporter.on_pause(lambda: state)
    for row in rows(args.x, state["epoch"]):
        state["epoch"] = row["epoch"]
        reporter(**row)


@hbsim.args(x=hbsim.Real(0.0, 1.0))
def trivial(args, reporter):
    """Report once."""
    reporter(epoch=1, accuracy=args.x, began=time.monotonic(), clock=time.time())


@hbsim.args(x=hbsim.Real(0.0, 1.0), hops=21, seconds=0.0)
def hops(args, reporter):
    """Reach one milestone after the other; equal trials all go on."""
    trip = 0.0
    for hop in range(args.hops):
        time.sleep(args.seconds)
        began = time.monotonic()
        reporter(epoch=2**hop, accuracy=0.5, trip=trip)
        trip = time.monotonic() - began


@hbsim.args(x=hbsim.Real(0.0, 1.0), reports=20_000, seconds=0.0)
def reports(args, reporter):
    """Report so many times, as fast as it goes or with a pause between."""
    began = time.monotonic()
    for epoch in range(1, args.reports + 1):
        if args.seconds:
            time.sleep(max(0.0, began + epoch * args.seconds - time.monotonic()))
        reporter(epoch=epoch, accuracy=0.5, began=began, spent=time.monotonic() - began)


@hbsim.args(x=hbsim.Real(0.0, 1.0), seconds=60.0)
def hangs(args, reporter):
    """Never report."""
    time.sleep(args.seconds)
