"""Syne Tune's MOBSTER, of an earlier version, on hbsim's curves; see `searching_loop.py`."""

from __future__ import annotations

import contextlib
import datetime
import logging
import math

from benchmarks.peers.searching_loop import ETA, drive

with contextlib.redirect_stdout(None):
    from syne_tune.backend.trial_status import Trial
    from syne_tune.config_space import uniform
    from syne_tune.optimizer.baselines import MOBSTER

WORST = {"max": 0.0, "min": 1e6}  # what no number counts as


class Asked:
    """A scheduler of Syne Tune's, asked and told."""

    def __init__(self, name: str, seed: int, dimension: int, mode: str, last: int) -> None:
        self.space = {f"u{i}": uniform(0.0, 1.0) for i in range(dimension)}
        self.scheduler = MOBSTER(
            self.space,
            metric="value",
            resource_attr="epoch",
            max_t=last,
            grace_period=1,
            reduction_factor=ETA,
            mode=mode,
            type="stopping",
            random_seed=seed,
            search_options={"debug_log": False},
        )
        self.worst = WORST[mode]
        self.count = 0

    def ask(self) -> tuple[Trial, list[float]]:
        configuration = self.scheduler.suggest(self.count).config
        trial = Trial(self.count, configuration, datetime.datetime.now())
        self.count += 1
        self.scheduler.on_trial_add(trial)
        below = math.nextafter(1.0, 0.0)
        return trial, [min(max(float(configuration[name]), 0.0), below) for name in self.space]

    def goes_on(self, trial: Trial, level: int, value: float) -> bool:
        told = {"value": self.worst if math.isnan(value) else value, "epoch": level}
        if self.scheduler.on_trial_result(trial, told) == "CONTINUE":
            return True
        self.scheduler.on_trial_remove(trial)
        return False


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    drive(Asked, ("mobster",))
