"""Ray Tune's drivers: `with_ray.py same_study|trials_that_train|trials_that_do_nothing`; each prints JSON.

They run in environments of their own: `requirements-ray.txt` has PyTorch for the trials that train,
`requirements-ray-scheduler.txt` is for the other two. They know nothing of hbsim. Ray Tune has no simulator:
for the same study `same_log.simulate` tells its scheduler class of results as its controller would.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import ray
from ray import tune
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
        decision = scheduler.on_trial_result(None, trials[trial], {"epoch": level, "value": value})
        return decision == TrialScheduler.CONTINUE

    start = time.process_time()
    simulate(values, seconds, workers, goes_on, log)
    return {"cpu": time.process_time() - start}


def same_study() -> None:
    drive(argparse.ArgumentParser(description=__doc__), lambda options: run)


def train(config, reports):
    from benchmarks.peers.local_training import rows

    for row in rows(config["lr"], reports):
        tune.report(row)


class Count(tune.Callback):
    """How many reports were seen."""

    seen = 0

    def on_trial_result(self, iteration, trials, trial, result, **info):
        self.seen += 1


def training_study(chosen, folder: str, count: Count) -> tune.Tuner:
    from benchmarks.peers.local_training import HIGH, LOW, R

    scheduler = tune.schedulers.ASHAScheduler(
        time_attr="epoch", max_t=chosen.reports or R, grace_period=1, reduction_factor=3
    )
    searcher = tune.search.BasicVariantGenerator(random_state=chosen.seed)
    return tune.Tuner(
        partial(train, reports=chosen.reports),
        param_space={"lr": tune.loguniform(LOW, HIGH)},
        tune_config=tune.TuneConfig(
            metric="accuracy",
            mode="max",
            scheduler=scheduler,
            search_alg=searcher,
            num_samples=1 if chosen.reports else chosen.trials,
            max_concurrent_trials=chosen.workers,
            reuse_actors=chosen.reuse_actors,
        ),
        run_config=tune.RunConfig(storage_path=folder, name="study", verbose=0, callbacks=[count]),
    )


def trials_that_train() -> None:
    from benchmarks.peers.local_training import options, outcome

    parser = options(__doc__)
    parser.add_argument("--reuse-actors", action="store_true", help="one process for many trials")
    parser.add_argument("--no-loggers", action="store_true", help="no JSON, CSV and TensorBoard files")
    chosen = parser.parse_args()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if chosen.no_loggers:
        os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    count = Count()
    with tempfile.TemporaryDirectory() as folder:
        tuner = training_study(chosen, folder, count)
        called = time.monotonic()
        results = tuner.fit()
        ended = time.monotonic()
        last = [result.metrics for result in results]
        ray.shutdown()
    print(outcome(last, count.seen, called, ended))


def do_nothing(config):
    """Report once."""
    now = time.monotonic()
    tune.report({"epoch": 1, "accuracy": config["x"], "began": now})


class Keep(tune.Callback):
    """All reports."""

    def __init__(self) -> None:
        self.reports: list[dict[str, object]] = []

    def on_trial_result(self, iteration, trials, trial, result, **info):
        self.reports.append({**result, "trial": trial.trial_id})


def empty_study(chosen, folder: str, keep: Keep) -> tune.Tuner:
    scheduler = tune.schedulers.ASHAScheduler(time_attr="epoch", max_t=1, grace_period=1, reduction_factor=3)
    searcher = tune.search.BasicVariantGenerator(random_state=chosen.seed, max_concurrent=chosen.workers)
    return tune.Tuner(
        do_nothing,
        param_space={"x": tune.uniform(0.0, 1.0)},
        tune_config=tune.TuneConfig(
            metric="accuracy",
            mode="max",
            scheduler=scheduler,
            search_alg=searcher,
            num_samples=chosen.trials,
            reuse_actors=chosen.reuse_actors,
        ),
        run_config=tune.RunConfig(storage_path=folder, name="study", verbose=0, callbacks=[keep]),
    )


@ray.remote(num_cpus=1)
def nap(seconds: float) -> int:
    """Keep a process busy, with what trials import; return its id."""
    import ray.tune  # noqa: F401

    time.sleep(seconds)
    return os.getpid()


def warm_up(processes: int) -> None:
    """Wait until so many processes wait for trials, as hosts' agents do."""
    while len(set(ray.get([nap.remote(1.0) for _ in range(processes)]))) < processes:
        pass


def trials_that_do_nothing() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reuse-actors", action="store_true", help="one process for many trials")
    parser.add_argument("--no-loggers", action="store_true", help="no JSON, CSV and TensorBoard files")
    chosen = parser.parse_args()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if chosen.no_loggers:
        os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    # It believes to have a core a trial: they only sleep.
    ray.init(num_cpus=chosen.workers, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    warm_up(chosen.workers)
    keep = Keep()
    with tempfile.TemporaryDirectory() as folder:
        tuner = empty_study(chosen, folder, keep)
        called = time.monotonic()
        tuner.fit()
        ended = time.monotonic()
        ray.shutdown()
    reports = [{"trial": row["trial"], "began": row["began"]} for row in keep.reports]
    print(json.dumps({"called": called, "ended": ended, "reports": reports}))


if __name__ == "__main__":
    {
        "same_study": same_study,
        "trials_that_train": trials_that_train,
        "trials_that_do_nothing": trials_that_do_nothing,
    }[sys.argv.pop(1)]()
