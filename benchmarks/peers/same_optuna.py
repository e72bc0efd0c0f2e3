"""Optuna's SuccessiveHalvingPruner on a table of learning curves; prints a line of JSON a study.

Runs in an environment of its own (`requirements-optuna.txt`), and knows nothing of hbsim. Optuna has no
simulator: `same_loop.py` calls its ask, report, should_prune and tell in simulated time.
"""

from __future__ import annotations

import argparse
import time
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


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    drive(argparse.ArgumentParser(description=__doc__), lambda options: run)
