"""Trials that only sleep, with Ray Tune; prints one line of JSON.

Runs in an environment of its own (`requirements-ray-scheduler.txt`), and knows nothing of hbsim.
"""

from __future__ import annotations

import os
import tempfile
import time

import ray
from ray import tune

from benchmarks.peers.sleeping import R, Row, options, outcome, rows, still


def train(config):
    for row in still(config["x"]) if config["still"] else rows(config["x"]):
        tune.report(row)


class Keep(tune.Callback):
    """All reports."""

    def __init__(self) -> None:
        self.reports: list[Row] = []

    def on_trial_result(self, iteration, trials, trial, result, **info):
        self.reports.append({**result, "trial": trial.trial_id})


def study(chosen, folder: str, keep: Keep) -> tune.Tuner:
    scheduler = tune.schedulers.ASHAScheduler(
        time_attr="epoch", max_t=1 if chosen.still else R, grace_period=1, reduction_factor=3
    )
    searcher = tune.search.BasicVariantGenerator(random_state=chosen.seed, max_concurrent=chosen.workers)
    return tune.Tuner(
        train,
        param_space={"x": tune.uniform(0.0, 1.0), "still": chosen.still},
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


def warm(processes: int) -> None:
    """Wait until so many processes wait for trials, as hosts' agents do."""
    while len(set(ray.get([nap.remote(1.0) for _ in range(processes)]))) < processes:
        pass


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--reuse-actors", action="store_true", help="one process for many trials")
    parser.add_argument("--no-loggers", action="store_true", help="no JSON, CSV and TensorBoard files")
    chosen = parser.parse_args()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if chosen.no_loggers:
        os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    # It believes to have a core a trial: they only sleep.
    ray.init(num_cpus=chosen.workers, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    warm(chosen.workers)
    keep = Keep()
    with tempfile.TemporaryDirectory() as folder:
        tuner = study(chosen, folder, keep)
        called = time.monotonic()
        tuner.fit()
        ended = time.monotonic()
        ray.shutdown()
    print(outcome(keep.reports, called, ended))


if __name__ == "__main__":
    main()
