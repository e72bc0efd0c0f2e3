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


def do_nothing(config):
    """Report once."""
    now = time.monotonic()
    tune.report({"epoch": 1, "accuracy": config["x"], "began": now})


class Seen(tune.Callback):
    """The last report of each trial, and how many reports there were."""

    def __init__(self) -> None:
        self.last: dict[str, dict[str, object]] = {}
        self.count = 0

    def on_trial_result(self, iteration, trials, trial, result, **info):
        self.last[trial.trial_id] = result
        self.count += 1


def timed(chosen, trainable, space: dict[str, object], max_t: int, trials: int) -> tuple[Seen, float, float]:
    """Run a study; return what was seen of it, and when it was called and ended."""
    scheduler = ASHAScheduler(time_attr="epoch", max_t=max_t, grace_period=1, reduction_factor=3)
    searcher = tune.search.BasicVariantGenerator(random_state=chosen.seed)
    seen = Seen()
    with tempfile.TemporaryDirectory() as folder:
        tuner = tune.Tuner(
            trainable,
            param_space=space,
            tune_config=tune.TuneConfig(
                metric="accuracy",
                mode="max",
                scheduler=scheduler,
                search_alg=searcher,
                num_samples=trials,
                max_concurrent_trials=chosen.workers,
                reuse_actors=chosen.reuse_actors,
            ),
            run_config=tune.RunConfig(storage_path=folder, name="study", verbose=0, callbacks=[seen]),
        )
        called = time.monotonic()
        tuner.fit()
        ended = time.monotonic()
        ray.shutdown()
    return seen, called, ended


def start(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Read the command line, which says how Ray Tune runs trials."""
    parser.add_argument("--reuse-actors", action="store_true", help="one process for many trials")
    parser.add_argument("--no-loggers", action="store_true", help="no JSON, CSV and TensorBoard files")
    chosen = parser.parse_args()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if chosen.no_loggers:
        os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    return chosen


def trials_that_train() -> None:
    from benchmarks.peers.local_training import HIGH, LOW, R, options, outcome

    chosen = start(options(__doc__))
    ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    trainable, space = partial(train, reports=chosen.reports), {"lr": tune.loguniform(LOW, HIGH)}
    trials = 1 if chosen.reports else chosen.trials
    seen, called, ended = timed(chosen, trainable, space, chosen.reports or R, trials)
    print(outcome(list(seen.last.values()), seen.count, called, ended))


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
    chosen = start(parser)
    # It believes to have a core a trial: they only sleep.
    ray.init(num_cpus=chosen.workers, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    warm_up(chosen.workers)
    seen, called, ended = timed(chosen, do_nothing, {"x": tune.uniform(0.0, 1.0)}, 1, chosen.trials)
    reports = [{"trial": trial, "began": row["began"]} for trial, row in seen.last.items()]
    print(json.dumps({"called": called, "ended": ended, "reports": reports}))


if __name__ == "__main__":
    {
        "same_study": same_study,
        "trials_that_train": trials_that_train,
        "trials_that_do_nothing": trials_that_do_nothing,
    }[sys.argv.pop(1)]()
