"""Optuna's drivers: `with_optuna.py same_study|searching`; each prints a line of JSON a study.

The same study: its SuccessiveHalvingPruner on a table of learning curves, in an environment of its own
(`requirements-optuna.txt`). Optuna has no simulator: `same_log.simulate` calls its ask, report, should_prune
and tell in simulated time. Searching: its samplers on hbsim's curves, see `searching_loop.py`.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
import warnings
from pathlib import Path

import optuna

from benchmarks.peers.same_log import RUNGS, Log, at_rungs, drive, simulate

DIRECTIONS = {"max": "maximize", "min": "minimize"}


def run(curves: Path, mode: str, workers: int, log: Log) -> dict[str, object]:
    values, seconds = at_rungs(curves)
    pruner = optuna.pruners.SuccessiveHalvingPruner(
        min_resource=RUNGS[0], reduction_factor=3, min_early_stopping_rate=0, bootstrap_count=0
    )
    sampler = optuna.samplers.RandomSampler(seed=0)  # asked for nothing: a trial's number is its row
    start = time.process_time()
    study = optuna.create_study(direction=DIRECTIONS[mode], pruner=pruner, sampler=sampler)
    trials: dict[int, optuna.Trial] = {}

    def goes_on(row: int, level: int, value: float) -> bool:
        while row not in trials:
            asked = study.ask()
            trials[asked.number] = asked
        trials[row].report(value, level)
        if level == RUNGS[-1]:  # trained: there is nothing left to prune
            study.tell(trials[row], value)
            return False
        if trials[row].should_prune():
            study.tell(trials[row], state=optuna.trial.TrialState.PRUNED)
            return False
        return True

    simulate(values, seconds, workers, goes_on, log)
    return {"cpu": time.process_time() - start}


def same_study() -> None:
    drive(argparse.ArgumentParser(description=__doc__), lambda options: run)


NAMES = ("random", "tpe")


class Asked:
    """A study of Optuna's, asked and told."""

    def __init__(self, name: str, seed: int, dimension: int, mode: str, last: int) -> None:
        pruner = optuna.pruners.SuccessiveHalvingPruner(
            min_resource=1, reduction_factor=3, min_early_stopping_rate=0, bootstrap_count=0
        )
        self.study = optuna.create_study(
            direction=DIRECTIONS[mode], pruner=pruner, sampler=sampler(name, seed)
        )
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


def searching() -> None:
    from benchmarks.peers.searching_loop import drive as drive_searchers  # needs what hbsim needs

    warnings.simplefilter("ignore")
    drive_searchers(Asked, NAMES)


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    {"same_study": same_study, "searching": searching}[sys.argv.pop(1)]()
