"""mfhpo-simulator on a table of learning curves; prints a line of JSON a study.

Runs in an environment of its own (`requirements-mfhpo.txt`), with the repository on its path:
mfhpo-simulator brings no asynchronous successive halving, so hbsim's promotion scheduler answers its ask and
tell.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
from benchmark_simulator import AbstractAskTellOptimizer, ObjectiveFuncWrapper

from benchmarks.peers.same_log import RUNGS, Log, drive
from hbsim.core import Job, Report, make_scheduler
from hbsim.core.types import Mode

R = 81


class Halving(AbstractAskTellOptimizer):
    """The promotion type; it writes down which results came before which ask.

    A configuration is a row of the table; its identity is the trial.
    """

    def __init__(self, rows: int, plain: bool, mode: Mode) -> None:
        self.scheduler = make_scheduler(
            "promotion", max_t=R, reduction_factor=3, straight_on=False, mode=mode
        )
        self.rows = rows
        self.plain = plain
        self.asked: dict[tuple[int, int], int] = {}  # trial and level: which ask began the job
        self.reported: list[tuple[int, int, int, float]] = []  # trial, level, asks before, value

    def ask(self):
        job: Job = self.scheduler.ask()
        self.asked[job.trial, int(job.stop)] = len(self.asked)
        config = {"row": job.trial % self.rows}
        if self.plain:
            return config | {"trial": job.trial, "start": job.start, "stop": job.stop}, None, None
        return config, {"epoch": int(job.stop)}, job.trial

    def tell(self, eval_config, results, *, fidels=None, config_id=None):
        trial = eval_config["trial"] if self.plain else config_id
        stop = eval_config["stop"] if self.plain else fidels["epoch"]
        self.reported.append((trial, int(stop), len(self.asked), results["value"]))
        self.scheduler.tell(Report(trial, stop, results["value"]))


class Curves:
    """The table; seconds since the start of the run, or, if plain, since the last milestone."""

    def __init__(self, path: Path) -> None:
        with np.load(path) as table:
            self.values = table["value"].tolist()
            self.seconds = np.insert(table["t"], 0, 0.0, axis=1).tolist()

    def __call__(self, eval_config, *, fidels=None, seed=None, **data_to_scatter):
        row = eval_config["row"]
        stop = fidels["epoch"] if fidels else int(eval_config["stop"])
        before = self.seconds[row][int(eval_config.get("start", 0))]
        return {"value": self.values[row][stop - 1], "runtime": self.seconds[row][stop] - before}


def simulator(options: argparse.Namespace, curves: Curves, workers: int, folder: str) -> ObjectiveFuncWrapper:
    """Make it as its documentation does for runs that go on, or without identities and fidelities."""
    identity = {} if options.plain else {"fidel_keys": ["epoch"], "continual_max_fidel": R}
    return ObjectiveFuncWrapper(
        curves,
        obj_keys=["value"],
        n_workers=workers,
        n_evals=options.results,
        n_actual_evals_in_opt=options.results + workers,
        ask_and_tell=True,
        expensive_sampler=True,
        tmp_dir=folder,
        store_config=True,
        seed=0,
        **identity,
    )


def due_times(results: dict[str, list[float]], plain: bool) -> dict[tuple[int, int], float]:
    """Return when each trial was at each level, by what mfhpo-simulator returns."""
    names = ("trial", "stop") if plain else ("row", "epoch")
    keys = zip(*(map(int, results[name]) for name in names), strict=True)
    return dict(zip(keys, results["cumtime"], strict=True))


def overrun(
    begun: dict[tuple[int, int], float], due: dict[tuple[int, int], float], seconds: np.ndarray
) -> dict[str, float | None]:
    """Return how much longer jobs to a level took than the table says: mean simulated seconds, or None."""
    table = np.insert(seconds, 0, 0.0, axis=1)
    extra: dict[str, float | None] = {}
    for low, level in pairwise((0, *RUNGS)):
        more = [
            due[key] - begun[key] - (table[key[0], level] - table[key[0], low])
            for key in due
            if key[1] == level
        ]
        extra[str(level)] = float(np.mean(more)) if more else None
    return extra


def run(curves: Path, mode: str, workers: int, log: Log, options: argparse.Namespace) -> dict[str, object]:
    table = Curves(curves)
    optimizer = Halving(len(table.values), options.plain, mode)
    with tempfile.TemporaryDirectory() as folder:
        made = simulator(options, table, workers, folder)
        start = time.process_time()
        made.simulate(optimizer)
        cpu = time.process_time() - start
        results, asks = made.get_results(), made.get_optimizer_overhead()
    due = due_times(results, options.plain)
    for trial, level, before, value in optimizer.reported:
        time_reported = (
            asks["before_sample"][before] if before < len(asks["before_sample"]) else due[trial, level]
        )
        log.add(max(time_reported, due[trial, level]), due[trial, level], trial, level, value, False)
    begun = {key: asks["after_sample"][place] for key, place in optimizer.asked.items()}
    with np.load(curves) as arrays:
        return {"cpu": cpu, "overrun": overrun(begun, due, arrays["t"])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=int, required=True, help="how many: it counts these, not trials")
    parser.add_argument("--plain", action="store_true", help="no fidelities and no identities")
    warnings.simplefilter("ignore")
    drive(parser, lambda options: partial(run, options=options))


if __name__ == "__main__":
    main()
