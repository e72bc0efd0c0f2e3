"""Studies, and the core alone, timed within the process: `python -m benchmarks.study --help`.

Prints one line of JSON. Modules are imported before the clock starts, so that what a trial costs can be told
from start-up.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import json
import pstats
import time
from collections.abc import Callable
from statistics import median

import numpy as np

import hbsim
from hbsim.core import Report, Scheduler, make_scheduler
from hbsim.simulation import Result
from hbsim.surrogates import Surrogate, load

LEVELS = 5  # of R = 81, eta = 3


def scheduler(kind: str, num_trials: int | None = None) -> Scheduler:
    """Make a scheduler of R = 81, eta = 3, one bracket."""
    return make_scheduler(kind, max_t=81, reduction_factor=3, num_trials=num_trials)


def uniforms(count: int, seed: int = 0) -> list[float]:
    """Return random values."""
    return np.random.default_rng(seed).random(count).tolist()


def drive_engine(kind: str, values: list[float]) -> int:
    """Ask and reach, as the simulator does, one job after the other; return how many milestones."""
    core = scheduler(kind, len(values) // LEVELS)
    ask, reach = core.ask, core.reach
    milestones = 0
    while (job := ask()) is not None:
        trial = job.trial
        while not reach(trial, values[milestones]):
            milestones += 1
        milestones += 1
    return milestones


def drive_people(kind: str, values: list[float]) -> int:
    """Ask and tell, as people do; return how many milestones."""
    core = scheduler(kind, len(values) // LEVELS)
    milestones = 0
    while (job := core.ask()) is not None:
        stop: float | None = job.stop
        while stop is not None:
            stop = core.tell(Report(job.trial, stop, values[milestones])).stop
            milestones += 1
    return milestones


def loaded(kind: str, recorded: int) -> Scheduler:
    """Return a scheduler whose lowest rung has `recorded` values."""
    core = scheduler(kind)
    for value in uniforms(recorded):
        job = core.ask()
        assert job is not None
        while job.start:  # a promotion: it goes on, so that a new trial comes next
            core.reach(job.trial, value)
            job = core.ask()
            assert job is not None
        core.reach(job.trial, value)
    return core


def pending(core: Scheduler, count: int) -> list[Report]:
    """Start `count` trials, and return what they will report at their first milestones."""
    reports = []
    for value in uniforms(count, seed=1):
        job = core.ask()
        assert job is not None
        reports.append(Report(job.trial, job.stop, value))
    return reports


def tell_all(core: Scheduler, reports: list[Report]) -> None:
    """Tell of all of them."""
    tell = core.tell
    for report in reports:
        tell(report)


def timed_tells(kind: str, recorded: int, count: int) -> float:
    """Return the cpu seconds of one `tell` when `recorded` values are recorded at the lowest rung.

    The garbage collector is off, as in a simulation.
    """
    core = loaded(kind, recorded)
    reports = pending(core, count)
    gc.disable()
    start = time.process_time()
    tell_all(core, reports)
    cpu = time.process_time() - start
    gc.enable()
    return cpu / count


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
