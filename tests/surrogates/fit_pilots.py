"""Small pilots that fits are made from in the tests."""

from __future__ import annotations

import numpy as np

from hbsim.core import Report, Verdict, make_scheduler
from hbsim.surrogates import Synthetic

LEVELS = np.array([1.0, 3.0, 9.0, 27.0, 81.0])


def curves(n, seed=0, **options):
    """Return points, values and seconds of n synthetic configurations."""
    surrogate = Synthetic(**{"divergence": 0.0, "early_rank": 0.6, "noise": 0.02, **options})
    points = surrogate.space.sample(n, np.random.default_rng(seed))
    return surrogate, points, *surrogate.evaluate(points, LEVELS)


def stopped(values, mode):
    """Return how many levels each row has if the trials run one after the other, and are stopped."""
    scheduler = make_scheduler("stopping", max_t=81, reduction_factor=3, mode=mode, num_trials=len(values))
    ends = np.full(len(values), len(LEVELS))
    while (job := scheduler.ask()) is not None:
        for level, value in enumerate(values[job.trial]):
            decision = scheduler.tell(Report(trial=job.trial, resource=LEVELS[level], value=float(value)))
            if decision.verdict != Verdict.CONTINUE:
                ends[job.trial] = level + 1
                break
    return ends


def write(path, surrogate, points, values, seconds, ends=None):
    """Write a table; after `ends` a row has neither a value nor a time."""
    columns = surrogate.space.decode(points)
    if ends is not None:
        after = np.arange(len(LEVELS)) >= ends[:, None]
        values, seconds = (np.where(after, np.nan, column) for column in (values, seconds))
    x = np.stack([np.asarray(column) for column in columns.values()], axis=1)
    np.savez(path, hp=np.array(list(columns)), X=x, val=values, t=seconds, levels=LEVELS)
    return path
