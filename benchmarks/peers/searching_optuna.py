"""Optuna's samplers with its SuccessiveHalvingPruner on hbsim's curves; see `searching_loop.py`."""

from __future__ import annotations

import math
import warnings

import optuna

from benchmarks.peers.searching_loop import ETA, drive

NAMES = ("random", "tpe")


class Asked:
    """A study of Optuna's, asked and told."""

    def __init__(self, name: str, seed: int, dimension: int, mode: str, last: int) -> None:
        pruner = optuna.pruners.SuccessiveHalvingPruner(
            min_resource=1, reduction_factor=ETA, min_early_stopping_rate=0, bootstrap_count=0
        )
        direction = {"max": "maximize", "min": "minimize"}[mode]
        self.study = optuna.create_study(direction=direction, pruner=pruner, sampler=sampler(name, seed))
        uniform = optuna.distributions.FloatDistribution(0.0, 1.0)
        self.space = {f"u{i}": uniform for i in range(dimension)}
        self.last = last

    def ask(self) -> tuple[optuna.Trial, list[float]]:
        trial = self.study.ask(self.space)
        return trial, [min(trial.params[name], math.nextafter(1.0, 0.0)) for name in self.space]

    def goes_on(self, trial: optuna.Trial, level: int, value: float) -> bool:
        trial.report(value, level)
        if level == self.last:
            state = optuna.trial.TrialState.FAIL if math.isnan(value) else None
            self.study.tell(trial, None if state else value, state=state)
            return False
        if trial.should_prune():
            self.study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            return False
        return True


def sampler(name: str, seed: int) -> optuna.samplers.BaseSampler:
    """Return a sampler with its own defaults."""
    if name == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(seed=seed)


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    drive(Asked, NAMES)
