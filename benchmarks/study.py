"""Time studies within the process: `python -m benchmarks.study --help`; prints one line of JSON.

Modules are imported before the clock starts, so that what a trial costs can be told from start-up.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import time
from collections.abc import Callable
from statistics import median

import numpy as np

import hbsim
from hbsim.core import Scheduler, make_scheduler
from hbsim.simulation import Result
from hbsim.surrogates import Surrogate, load

TOP = 14  # functions in a profile


class InOrder:
    """Row i of a table for trial i."""

    model_based = False
    listens = False

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.next = 0

    @property
    def remaining(self) -> int:
        """How many rows are left."""
        return self.rows - self.next

    def suggest(self, n: int) -> np.ndarray:
        """Return the next n rows."""
        self.next += n
        return np.arange(self.next - n, self.next)


def make(options: argparse.Namespace) -> Scheduler:
    """Make the scheduler; R = 81, eta = 3."""
    common = {"max_t": 81, "reduction_factor": 3, "num_trials": options.trials, "brackets": options.brackets}
    if options.scheduler == "stopping":
        return make_scheduler("stopping", **common, rule=options.rule)
    return make_scheduler("promotion", **common, straight_on=not options.always_pause)


def run(options: argparse.Namespace, surrogate: Surrogate) -> Result:
    """Simulate one study, and sum it up."""
    searcher = InOrder(surrogate.rows) if surrogate.rows else None
    result = hbsim.simulate(make(options), surrogate, workers=options.workers, searcher=searcher)
    result.summary()
    return result


def reached(result: Result) -> dict[str, int]:
    """Count the trials that have a value at each level, over all brackets."""
    counts = dict.fromkeys((str(int(level)) for level in result.scheduler.levels), 0)
    for level, recorded in result.rungs().select("level", "recorded").iter_rows():
        counts[str(int(level))] += recorded
    return counts


def profile(work: Callable[[], object]) -> list[tuple[str, int, float]]:
    """Return the functions that take the most: name, calls, share of the time spent in themselves."""
    profiler = cProfile.Profile()
    profiler.runcall(work)
    stats = pstats.Stats(profiler)
    rows = sorted(stats.stats.items(), key=lambda item: -item[1][2])[:TOP]
    return [(_name(place), entry[1], entry[2] / stats.total_tt) for place, entry in rows]


def _name(place: tuple[str, int, str]) -> str:
    path, _, function = place
    parts = path.replace("\\", "/").split("/")
    return function if path == "~" else f"{'/'.join(parts[-2:])}: {function}"


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scheduler", choices=("stopping", "promotion"), default="stopping")
    parser.add_argument("--trials", type=int, required=True)
    parser.add_argument("--workers", type=int, default=32)
    parser.add_argument("--brackets", type=int, default=1)
    parser.add_argument("--surrogate", default="synthetic", help="a name, or a table that is read in order")
    parser.add_argument("--rule", default="quantile", help="of the stopping type")
    parser.add_argument("--always-pause", action="store_true", help="promotion: straight_on=False")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--profile", action="store_true", help="and where the time goes")
    return parser.parse_args()


def main() -> None:
    """Run what the command line asks for."""
    options = parse()
    table = options.surrogate.endswith((".npz", ".csv", ".parquet"))
    surrogate = load(options.surrogate, metric="accuracy", mode="max") if table else load(options.surrogate)
    small = argparse.Namespace(**{**vars(options), "trials": 100})
    run(small, surrogate)  # imports what is imported late
    times = []
    for _ in range(options.repeats):
        start = time.process_time()
        result = run(options, surrogate)
        times.append(time.process_time() - start)
    summary = result.summary()
    outcome = {
        "cpu": median(times),
        "cpu_all": times,
        "trials": summary["trials"],
        "jobs": summary["jobs"],
        "reports": len(result.decisions),
        "simulated_seconds": summary["simulated_seconds"],
        "reached": reached(result),
    }
    if options.profile:
        outcome["profile"] = profile(lambda: run(options, surrogate))
    print(json.dumps(outcome))


if __name__ == "__main__":
    main()
