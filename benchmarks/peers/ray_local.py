"""Real trials with Ray Tune; prints one line of JSON.

Runs in an environment of its own (`requirements-ray.txt`), and knows nothing of hbsim.
"""

from __future__ import annotations

import os
import tempfile
import time
from functools import partial

import ray
from ray import tune

from benchmarks.peers.local_training import HIGH, LOW, R, options, outcome, rows


def train(config, reports):
    for row in rows(config["lr"], reports):
        tune.report(row)


class Count(tune.Callback):
    """How many reports were seen."""

    seen = 0

    def on_trial_result(self, iteration, trials, trial, result, **info):
        self.seen += 1


def study(chosen, folder: str, count: Count) -> tune.Tuner:
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


def main() -> None:
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
        tuner = study(chosen, folder, count)
        called = time.monotonic()
        results = tuner.fit()
        ended = time.monotonic()
        last = [result.metrics for result in results]
        ray.shutdown()
    print(outcome(last, count.seen, called, ended))


if __name__ == "__main__":
    main()
