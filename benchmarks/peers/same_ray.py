"""Ray Tune's ASHAScheduler alone, told of a table of learning curves; prints a line of JSON a study.

Runs in an environment of its own (`requirements-ray-scheduler.txt`), and knows nothing of hbsim. Ray Tune
has no simulator: `same_loop.py` tells its scheduler class of results as its controller would.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from types import SimpleNamespace

from ray.tune.schedulers import ASHAScheduler, TrialScheduler

from benchmarks.peers.same_log import RUNGS, Log, at_rungs, drive, simulate


def run(curves: Path, mode: str, workers: int, log: Log) -> dict[str, object]:
    values, seconds = at_rungs(curves)
    trials = [SimpleNamespace(trial_id=f"{row:05d}") for row in range(len(values))]
    scheduler = ASHAScheduler(
        time_attr="epoch",
        metric="value",
        mode=mode,
        max_t=RUNGS[-1],
        grace_period=RUNGS[0],
        reduction_factor=3,
        brackets=1,
    )

    def goes_on(trial: int, level: int, value: float) -> bool:
        if level == RUNGS[0]:
            scheduler.on_trial_add(None, trials[trial])
        told = scheduler.on_trial_result(None, trials[trial], {"epoch": level, "value": value})
        return told == TrialScheduler.CONTINUE

    start = time.process_time()
    simulate(values, seconds, workers, goes_on, log)
    return {"cpu": time.process_time() - start}


if __name__ == "__main__":
    drive(argparse.ArgumentParser(description=__doc__), lambda options: run)
