"""Syne Tune's simulator on a table of learning curves; prints a line of JSON a study.

Runs in an environment of its own (`requirements-syne.txt`), and knows nothing of hbsim.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.peers.same_log import RUNGS, Log, drive

with contextlib.redirect_stdout(None):
    from syne_tune import StoppingCriterion, Tuner
    from syne_tune.backend.simulator_backend.simulator_backend import SimulatorConfig
    from syne_tune.backend.simulator_backend.simulator_callback import SimulatorCallback
    from syne_tune.blackbox_repository import UserBlackboxBackend
    from syne_tune.blackbox_repository.blackbox import Blackbox
    from syne_tune.config_space import randint
    from syne_tune.constants import ST_TUNER_TIME
    from syne_tune.optimizer.schedulers.asha import AsynchronousSuccessiveHalving
    from syne_tune.optimizer.schedulers.searchers.searcher import BaseSearcher
    from syne_tune.tuner_callback import TunerCallback


class Curves(Blackbox):
    """The rows of the table; a result at each rung level."""

    def __init__(self, path: Path) -> None:
        with np.load(path) as table:
            columns = np.searchsorted(table["levels"], RUNGS)
            curves = np.stack([table["value"], table["t"]], axis=2)[:, columns]
        self.curves = curves
        super().__init__(
            configuration_space={"row": randint(0, len(curves) - 1)},
            fidelity_space={"epoch": randint(1, RUNGS[-1])},
            objectives_names=["value", "seconds"],
        )

    def _objective_function(self, configuration, fidelity=None, seed=None):
        return self.curves[configuration["row"]]

    @property
    def fidelity_values(self):
        return np.array(RUNGS)


class InOrder(BaseSearcher):
    """Row i for trial i, then no more: nothing to fit and nothing to remember."""

    def __init__(self, space: dict[str, object], trials: int) -> None:
        super().__init__(space, random_seed=0)
        self.rows = iter(range(trials))

    def suggest(self, **kwargs):
        row = next(self.rows, None)
        return None if row is None else {"row": row}

    def on_trial_result(self, trial_id, config, metric, resource_level=None):
        pass

    def on_trial_complete(self, trial_id, config, metric, resource_level=None):
        pass


INSTANT = {
    "delay_on_trial_result": 0.0,
    "delay_complete_after_final_report": 0.0,
    "delay_complete_after_stop": 0.0,
    "delay_start": 0.0,
    "delay_stop": 0.0,
}


class Watch(TunerCallback):
    """Writes down what the scheduler was told, in simulated time."""

    def __init__(self, log: Log, delay: float) -> None:
        self.log = log
        self.delay = delay

    def on_tuning_start(self, tuner):
        self.clock = tuner.trial_backend.time_keeper

    def on_trial_result(self, trial, status, result, decision):
        # Syne Tune stamps a result with the time at which its backend has it.
        due = result[ST_TUNER_TIME] - self.delay
        level, value = result["epoch"], result["value"]
        self.log.add(self.clock.time(), due, trial.trial_id, level, value, decision == "CONTINUE")


def make_tuner(curves: Path, mode: str, workers: int, log: Log, options: argparse.Namespace) -> Tuner:
    table = Curves(curves)
    scheduler = AsynchronousSuccessiveHalving(
        table.configuration_space,
        metric="value",
        do_minimize=mode == "min",
        searcher=InOrder(table.configuration_space, len(table.curves)),
        time_attr="epoch",
        max_t=RUNGS[-1],
        grace_period=RUNGS[0],
        reduction_factor=3,
        random_seed=0,
    )
    simulator = SimulatorConfig(**INSTANT) if options.instant else SimulatorConfig()
    backend = UserBlackboxBackend(
        blackbox=table,
        elapsed_time_attr="seconds",
        simulator_config=simulator,
        tuner_sleep_time=options.poll,
    )
    return Tuner(
        trial_backend=backend,
        scheduler=scheduler,
        stop_criterion=StoppingCriterion(),  # the searcher has no more after the last row
        n_workers=workers,
        sleep_time=0,
        wait_trial_completion_when_stopping=True,
        callbacks=[SimulatorCallback(), Watch(log, simulator.delay_on_trial_result)],
        results_update_interval=600,
        print_update_interval=600,
        save_tuner=False,
        suffix_tuner_name=False,
        tuner_name="study",
    )


def run(curves: Path, mode: str, workers: int, log: Log, options: argparse.Namespace) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as nowhere:
        os.environ["SYNETUNE_FOLDER"] = folder
        with contextlib.redirect_stdout(nowhere):
            tuner = make_tuner(curves, mode, workers, log, options)
            start = time.process_time()
            tuner.run()
            return {"cpu": time.process_time() - start}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--poll", type=float, default=5.0, help="simulated seconds; 5 is Syne Tune's default")
    parser.add_argument("--instant", action="store_true", help="without its delays of 0.05 s each")
    logging.disable(logging.CRITICAL)
    drive(parser, lambda options: partial(run, options=options))


if __name__ == "__main__":
    main()
