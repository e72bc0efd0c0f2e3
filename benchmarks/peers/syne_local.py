"""Real trials with Syne Tune's local backend; prints one line of JSON.

Runs in an environment of its own (`requirements-syne-local.txt`), and knows nothing of hbsim.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import time
from pathlib import Path

with contextlib.redirect_stdout(None):
    from syne_tune import StoppingCriterion, Tuner
    from syne_tune.backend import LocalBackend
    from syne_tune.config_space import loguniform
    from syne_tune.optimizer.schedulers.asha import AsynchronousSuccessiveHalving
    from syne_tune.results_callback import StoreResultsCallback
    from syne_tune.tuner_callback import TunerCallback

from benchmarks.peers.local_training import HIGH, LOW, R, options, outcome

TRIAL = Path(__file__).resolve().with_name("syne_trial.py")


class Last(TunerCallback):
    """The last result of every trial, and how many there were."""

    def __init__(self) -> None:
        self.rows: dict[int, dict[str, object]] = {}
        self.seen = 0

    def on_trial_result(self, trial, status, result, decision):
        self.rows[trial.trial_id] = result
        self.seen += 1


def study(chosen, last: Last) -> Tuner:
    scheduler = AsynchronousSuccessiveHalving(
        {"lr": loguniform(LOW, HIGH), "reports": chosen.reports},
        metric="accuracy",
        do_minimize=False,
        searcher="random_search",
        time_attr="epoch",
        max_t=chosen.reports or R,
        grace_period=1,
        reduction_factor=3,
        random_seed=chosen.seed,
    )
    trials = 1 if chosen.reports else chosen.trials
    return Tuner(
        trial_backend=LocalBackend(entry_point=str(TRIAL)),
        scheduler=scheduler,
        # "More than so many": one fewer ends it when the last trial has started; running ones are waited for.
        stop_criterion=StoppingCriterion(max_num_trials_started=trials - 1),
        n_workers=chosen.workers,
        sleep_time=chosen.poll,
        wait_trial_completion_when_stopping=True,
        callbacks=[StoreResultsCallback(), last],
        suffix_tuner_name=False,
        tuner_name="study",
    )


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--poll", type=float, default=0.05, help="seconds; Syne Tune's own default is 5")
    chosen = parser.parse_args()
    logging.disable(logging.CRITICAL)
    last = Last()
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as nowhere:
        os.environ["SYNETUNE_FOLDER"] = folder
        # It leaves a file where it stands.
        with contextlib.redirect_stdout(nowhere), contextlib.chdir(folder):
            tuner = study(chosen, last)
            called = time.monotonic()
            tuner.run()
            ended = time.monotonic()
    print(outcome(list(last.rows.values()), last.seen, called, ended))


if __name__ == "__main__":
    main()
