"""Syne Tune's searchers on hbsim's curves: `searching_syne.py syne|mobster`; see `searching_loop.py`.

``syne``: its ASHA with its own searchers, in version 0.16. ``mobster``: MOBSTER, which version 0.13 has.
"""

from __future__ import annotations

import contextlib
import datetime
import logging
import math
import sys

import numpy as np

from benchmarks.peers.searching_loop import ETA, drive

with contextlib.redirect_stdout(None):
    from syne_tune.backend.trial_status import Trial
    from syne_tune.config_space import uniform
    from syne_tune.optimizer import baselines

WORST = {"max": 0.0, "min": 1e6}  # what no number counts as: Syne Tune has no word for it


class Asked:
    """A scheduler of Syne Tune's, asked and told."""

    def __init__(self, name: str, seed: int, dimension: int, mode: str, last: int) -> None:
        # Its densities' random configurations come from NumPy's global state.
        np.random.seed(seed)  # noqa: NPY002, TID251
        self.space = {f"u{i}": uniform(0.0, 1.0) for i in range(dimension)}
        common = {
            "metric": "value",
            "max_t": last,
            "grace_period": 1,
            "reduction_factor": ETA,
            "random_seed": seed,
        }
        self.scheduler = self.make(name, common, mode)
        self.worst = WORST[mode]
        self.count = 0

    def make(self, name: str, common: dict[str, object], mode: str):
        """Return the scheduler."""
        kind = {"random": baselines.ASHA, "bohb": baselines.BOHB}[name]
        return kind(self.space, time_attr="epoch", do_minimize=mode == "min", **common)

    def suggest(self) -> dict[str, float]:
        """Return the next configuration."""
        return self.scheduler.suggest().config

    def ask(self) -> tuple[Trial, list[float]]:
        configuration = self.suggest()
        trial = Trial(self.count, configuration, datetime.datetime.now())
        self.count += 1
        self.scheduler.on_trial_add(trial)
        below = math.nextafter(1.0, 0.0)
        return trial, [min(max(float(configuration[name]), 0.0), below) for name in self.space]

    def goes_on(self, trial: Trial, level: int, value: float) -> bool:
        result = {"value": self.worst if math.isnan(value) else value, "epoch": level}
        return self.scheduler.on_trial_result(trial, result) == "CONTINUE"


class Mobster(Asked):
    """MOBSTER, in the words of version 0.13."""

    def make(self, name: str, common: dict[str, object], mode: str):
        own = {"resource_attr": "epoch", "type": "stopping", "search_options": {"debug_log": False}}
        return baselines.MOBSTER(self.space, mode=mode, **own, **common)

    def suggest(self) -> dict[str, float]:
        return self.scheduler.suggest(self.count).config

    def goes_on(self, trial: Trial, level: int, value: float) -> bool:
        on = super().goes_on(trial, level, value)
        if not on:
            self.scheduler.on_trial_remove(trial)
        return on


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    if sys.argv.pop(1) == "mobster":
        drive(Mobster, ("mobster",))
    else:
        drive(Asked, ("random", "bohb"))
