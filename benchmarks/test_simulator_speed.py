"""Suites for pytest-benchmark: `make bench`. Nothing here asserts on a time.

All studies are of R = 81, eta = 3, on synthetic curves.
"""

from __future__ import annotations

import gc

import numpy as np
import pytest

from benchmarks import measure
from hbsim import make_scheduler, simulate
from hbsim.core import Report, Scheduler
from hbsim.surrogates import load

MILLION = 1_000_000
TELLS = 20_000
EVENTS = 150_000  # a tenth of what a million trials take
LEVELS = 5  # of R = 81, eta = 3
KINDS = pytest.mark.parametrize("kind", ["stopping", "promotion"])


@pytest.fixture(autouse=True)
def _no_garbage_collection():
    """Keep the collector from walking through what earlier tests left behind."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.benchmark(group="whole simulations")
@pytest.mark.parametrize("brackets", [1, 4])
@pytest.mark.parametrize("workers", [32, 1000])
@pytest.mark.parametrize("trials", [10_000, 100_000])
@KINDS
def test_simulation(benchmark, kind, trials, workers, brackets):
    def simulated():
        scheduler = make_scheduler(kind, max_t=81, reduction_factor=3, brackets=brackets, num_trials=trials)
        return simulate(scheduler, "synthetic", workers=workers)

    result = benchmark.pedantic(simulated, rounds=5 if trials <= 10_000 else 2, warmup_rounds=1)
    note(benchmark, "trial", trials)
    summary = result.summary()
    assert summary["trials"] == trials
    assert summary["running"] == 0


@pytest.mark.benchmark(group="whole simulations of other types, 100,000 trials, 32 workers")
@pytest.mark.parametrize(
    ("kind", "options", "surrogate"),
    [
        ("pasha", {}, "synthetic"),
        ("pasha", {"epsilon": 1}, "synthetic"),
        ("pasha", {}, "synthetic:noise=0.1"),
        ("median", {"interval": 9}, "synthetic"),
        ("median", {"interval": 9, "among": "recorded"}, "synthetic"),
    ],
    ids=str,
)
def test_other_types(benchmark, kind, options, surrogate):
    trials = 100_000 if benchmark.enabled else 1000

    def simulated():
        return simulate(make_scheduler(kind, max_t=81, num_trials=trials, **options), surrogate, workers=32)

    result = benchmark.pedantic(simulated, rounds=2, warmup_rounds=1)
    note(benchmark, "trial", trials)
    assert result.summary()["trials"] == trials


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


@pytest.mark.benchmark(group="the core alone, 100,000 values")
@pytest.mark.parametrize("driver", [drive_engine, drive_people], ids=["reach", "tell"])
@KINDS
def test_core(benchmark, kind, driver):
    values = uniforms(100_000)
    milestones = benchmark.pedantic(driver, (kind, values), rounds=5, warmup_rounds=1)
    note(benchmark, "milestone", milestones)
    assert len(values) // LEVELS < milestones <= len(values)


@pytest.mark.benchmark(group="tell: 20,000 of them, after so many values at the lowest rung")
@pytest.mark.parametrize("recorded", [10_000, MILLION])
@KINDS
def test_tell(benchmark, kind, recorded):
    scheduler = loaded(kind, recorded)
    before = scheduler.started

    def start():
        return (scheduler, pending(scheduler, TELLS)), {}

    benchmark.pedantic(tell_all, setup=start, rounds=5)
    note(benchmark, "tell", TELLS)
    assert before >= recorded
    assert scheduler.started > before


@pytest.mark.benchmark(group="surrogates: a block of 4,096 configurations")
@pytest.mark.parametrize("levels", [5, 81])
@pytest.mark.parametrize("name", ["synthetic", "synthetic:family=exponential", "ideal"])
def test_evaluate(benchmark, name, levels):
    surrogate = load(name)
    points = surrogate.space.sample(4096, np.random.default_rng(0))
    at = np.geomspace(1, 81, levels)
    at[-1] = 81.0
    values, seconds = benchmark(surrogate.evaluate, points, at)
    note(benchmark, "configuration", len(points))
    assert values.shape == seconds.shape == (4096, levels)


@pytest.mark.benchmark(group="the limit: 150,000 events and nothing to decide")
@pytest.mark.parametrize("workers", [32, 1000])
@pytest.mark.parametrize("run", [measure.run_simpy, measure.run_heap], ids=["simpy", "heapq"])
def test_limit(benchmark, run, workers):
    last = benchmark.pedantic(run, (EVENTS, workers), rounds=5, warmup_rounds=1)
    note(benchmark, "event", EVENTS)
    assert last > EVENTS / workers


def note(benchmark, what, count):
    """Record the microseconds of one of `count`, where times are taken at all."""
    if benchmark.enabled:
        benchmark.extra_info[f"us_per_{what}"] = 1e6 * benchmark.stats.stats.min / count
