"""What the examples in this folder train: a straight line through points, by gradient descent.

It runs in a second and needs NumPy only. Put your own function in its place: all that it has to know of
hosts, checkpoints and decisions is the `reporter`.
"""

from __future__ import annotations

import numpy as np

import hbsim

EPOCHS = 27
POINTS = np.linspace(-1.0, 1.0, 200)
VALUES = 3.0 * POINTS - 0.5 + np.random.default_rng(7).normal(0.0, 0.1, len(POINTS))


@hbsim.args(lr=hbsim.Real(1e-3, 1.0, log=True), batch_size=hbsim.Choice(10, 20, 50))
def train_fn(args, reporter):
    """Train for 27 epochs; report the mean squared error after each."""
    state = reporter.load() or {"epoch": 0, "slope": 0.0, "offset": 0.0}  # where it paused, on any host
    reporter.on_pause(lambda: state)
    while state["epoch"] < EPOCHS:
        state["epoch"] += 1
        order = np.random.default_rng((args.seed, state["epoch"])).permutation(len(POINTS))
        for rows in np.split(order, len(POINTS) // args.batch_size):
            error = state["slope"] * POINTS[rows] + state["offset"] - VALUES[rows]
            state["slope"] -= args.lr * float(error @ POINTS[rows]) / len(rows)
            state["offset"] -= args.lr * float(error.mean())
        error = state["slope"] * POINTS + state["offset"] - VALUES
        reporter(epoch=state["epoch"], mse=float(error @ error) / len(POINTS))
