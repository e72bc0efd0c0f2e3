"""Syne Tune's ASHA with its own searchers on hbsim's curves; see `searching_loop.py`.

Version 0.16 has no MOBSTER any more, so it is not here.
"""

from __future__ import annotations

import contextlib
import datetime
import logging
import math

import numpy as np

from benchmarks.peers.searching_loop import ETA, drive

with contextlib.redirect_stdout(None):
    from syne_tune.backend.trial_status import Trial
    from syne_tune.config_space import uniform
    from syne_tune.optimizer.baselines import ASHA, BOHB

KINDS = {"random": ASHA, "bohb": BOHB}
WORST = {"max": 0.0, "min": 1e6}  # what no number counts as: Syne Tune has no word for it


class Asked:
    """A scheduler of Syne Tune's, asked and told."""

    def __init__(self, name: str, seed: int, dimension: int, mode: str, last: int) -> None:
        # Its densities' random configurations come from NumPy's global state.
        np.random.seed(seed)  # noqa: NPY002, TID251
        self.space = {f"u{i}": uniform(0.0, 1.0) for i in range(dimension)}
        self.scheduler = KINDS[name](
            self.space,
            metric="value",
            time_attr="epoch",
            max_t=last,
            do_minimize=mode == "min",
            random_seed=seed,
            grace_period=1,
            reduction_factor=ETA,
        )
        self.worst = WORST[mode]
        self.count = 0

    def ask(self) -> tuple[Trial, list[float]]:
        configuration = self.scheduler.suggest().config
        trial = Trial(self.count, configuration, datetime.datetime.now())
        self.count += 1
        self.scheduler.on_trial_add(trial)
        below = math.nextafter(1.0, 0.0)
        return trial, [min(max(float(configuration[name]), 0.0), below) for name in self.space]

    def goes_on(self, trial: Trial, level: int, value: float) -> bool:
        told = {"value": self.worst if math.isnan(value) else value, "epoch": level}
        return self.scheduler.on_trial_result(trial, told) == "CONTINUE"


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    drive(Asked, tuple(KINDS))
