"""A training function that needs no library, and takes a second or two for a whole study.

hbsim run examples/train.py:train_fn --scheduler promotion --max-t 27 --trials 30
"""

import time

import hbsim


@hbsim.args(lr=hbsim.Real(1e-3, 1.0, log=True), decay=hbsim.Real(0.0, 0.1))
def train_fn(args, reporter):
    """Report the weight of a model that has one, which is to become 1."""
    state = reporter.load() or {"epoch": 0, "weight": 0.0}  # a promoted trial goes on where it paused
    reporter.on_pause(lambda: state)  # what is kept of the best model, too
    while state["epoch"] < 27:
        time.sleep(0.002)
        state["weight"] += args.lr * (1 - state["weight"]) - args.decay * state["weight"]
        state["epoch"] += 1
        reporter(epoch=state["epoch"], accuracy=state["weight"])  # waits for a decision at milestones only
