"""Suites for pytest-benchmark: `make bench`. Nothing here asserts on a time.

All studies are of R = 81, eta = 3, on synthetic curves.
"""

from __future__ import annotations

import gc

import numpy as np
import pytest

from benchmarks import measure, study
from hbsim import make_scheduler, simulate
from hbsim.surrogates import load

MILLION = 1_000_000
TELLS = 20_000
EVENTS = 150_000  # a tenth of what a million trials take
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


@pytest.mark.benchmark(group="the core alone, 100,000 values")
@pytest.mark.parametrize("driver", [study.drive_engine, study.drive_people], ids=["reach", "tell"])
@KINDS
def test_core(benchmark, kind, driver):
    values = study.uniforms(100_000)
    milestones = benchmark.pedantic(driver, (kind, values), rounds=5, warmup_rounds=1)
    note(benchmark, "milestone", milestones)
    assert len(values) // study.LEVELS < milestones <= len(values)


@pytest.mark.benchmark(group="tell: 20,000 of them, after so many values at the lowest rung")
@pytest.mark.parametrize("recorded", [10_000, MILLION])
@KINDS
def test_tell(benchmark, kind, recorded):
    scheduler = study.loaded(kind, recorded)
    before = scheduler.started

    def start():
        return (scheduler, study.pending(scheduler, TELLS)), {}

    benchmark.pedantic(study.tell_all, setup=start, rounds=5)
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
