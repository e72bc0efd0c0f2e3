"""hbsim's own study on a table of learning curves; prints a line of JSON a study."""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path
from statistics import median

import hbsim
from benchmarks.peers.same_log import RUNGS, Log, drive
from hbsim.core import Scheduler
from hbsim.simulation import Result
from hbsim.surrogates import Surrogate, load
from hbsim.validation.curves import RowsInOrder

REPEATS = 3


def make(options: argparse.Namespace, mode: str, trials: int) -> Scheduler:
    """Make the scheduler: of the promotion type unless a rule is given."""
    common = {"max_t": RUNGS[-1], "reduction_factor": 3, "num_trials": trials, "mode": mode}
    if options.rule:
        return hbsim.make_scheduler("stopping", **common, rule=options.rule)
    return hbsim.make_scheduler("promotion", **common, straight_on=False)


def study(surrogate: Surrogate, scheduler: Scheduler, workers: int) -> tuple[Result, float]:
    """Simulate one study; return it, and its cpu seconds, the rows of its decisions included."""
    start = time.process_time()
    result = hbsim.simulate(scheduler, surrogate, workers=workers, searcher=RowsInOrder())
    _ = result.decisions
    return result, time.process_time() - start


def due_times(result: Result, surrogate: Surrogate) -> dict[tuple[int, int], float]:
    """Return when each trial was at each level, by its jobs and the table."""
    rows = range(surrogate.rows)
    _, seconds = surrogate.evaluate([*rows], [float(level) for level in range(1, RUNGS[-1] + 1)])
    due = {}
    for job in result.jobs.iter_rows(named=True):
        first, last, curve = int(job["start_resource"]), int(job["stop_resource"]), seconds[job["trial"]]
        before = curve[first - 1] if first else 0.0
        for level in RUNGS:
            if first < level <= last:
                due[job["trial"], level] = float(job["train_start"] + curve[level - 1] - before)
    return due


def run(curves: Path, mode: str, workers: int, log: Log, options: argparse.Namespace) -> dict[str, object]:
    surrogate = load(str(curves), metric="value", mode=mode)
    runs = [study(surrogate, make(options, mode, surrogate.rows), workers) for _ in range(REPEATS)]
    result = runs[-1][0]
    due = due_times(result, surrogate)
    for row in result.decisions.iter_rows(named=True):
        trial, level = row["trial"], int(row["level"])
        log.add(row["time"], due[trial, level], trial, level, row["value"], row["verdict"] == "continue")
    return {"cpu": median(cpu for _, cpu in runs)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rule", help="of the stopping type; the promotion type without it")
    drive(parser, lambda options: partial(run, options=options))


if __name__ == "__main__":
    main()
