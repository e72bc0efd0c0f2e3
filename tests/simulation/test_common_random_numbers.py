"""Trial i has the same configuration, curve, slowness and failures under every scheduler."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest

import hbsim
from hbsim.core import make_scheduler
from hbsim.surrogates import Synthetic

SCHEDULERS: dict[str, tuple[str, dict[str, Any]]] = {
    "stopping": ("stopping", {}),
    "promotion": ("promotion", {}),
    "pausing": ("promotion", {"straight_on": False}),
    "sha": ("sha", {"n": 27}),
    "overlap": ("sha", {"n": 27, "overlap": True}),
    "hyperband": ("hyperband", {}),
    "fifo": ("fifo", {}),
}
CLUSTER = hbsim.Cluster(workers=7, straggler_std=0.56)


def run(name: str, seed: int = 5, cluster: hbsim.Cluster = CLUSTER, trials: int = 60) -> hbsim.Result:
    type, options = SCHEDULERS[name]
    scheduler = make_scheduler(type, max_t=27, num_trials=trials, **options)
    return hbsim.simulate(scheduler, Synthetic(noise=0.05, max_resource=27), seed=seed, cluster=cluster)


@pytest.fixture(scope="module")
def results() -> dict[str, hbsim.Result]:
    return {name: run(name) for name in SCHEDULERS}


def values(result: hbsim.Result) -> dict[tuple[int, float], float | None]:
    return {(row["trial"], row["level"]): row["value"] for row in result.decisions.to_dicts()}


def stretches(result: hbsim.Result) -> dict[tuple[int, float], float]:
    """Return the seconds from the level below to each, by trial and level; nothing else takes time."""
    begin = {(job["trial"], job["start_resource"]): job["train_start"] for job in result.jobs.to_dicts()}
    levels = result.scheduler.levels
    seconds = {}
    for row in result.decisions.to_dicts():
        trial, level, time = row["trial"], row["level"], row["time"]
        first = levels[result.scheduler.geometry.first[row["bracket"]]]
        below = 0.0 if level == first else levels[levels.index(level) - 1]
        seconds[trial, below, level] = time - begin[trial, below]
        begin.setdefault((trial, level), time)
    return seconds


def shared(a: dict[Any, Any], b: dict[Any, Any]) -> list[Any]:
    keys = sorted(a.keys() & b.keys())
    assert len(keys) >= 10
    return keys


@pytest.mark.parametrize(("one", "other"), list(combinations(SCHEDULERS, 2)))
def test_same_configurations_and_values(results: dict[str, hbsim.Result], one: str, other: str) -> None:
    a, b = results[one], results[other]
    assert np.array_equal(a.curves.configurations(), b.curves.configurations())
    mine, theirs = values(a), values(b)
    for key in sorted(mine.keys() & theirs.keys()):
        assert mine[key] == theirs[key], key


def test_there_is_much_to_compare(results: dict[str, hbsim.Result]) -> None:
    keys = [values(result).keys() for name, result in results.items() if name != "fifo"]
    assert len(set.intersection(*map(set, keys))) >= 60


@pytest.mark.parametrize(("one", "other"), list(combinations([n for n in SCHEDULERS if n != "fifo"], 2)))
def test_same_slowness_of_a_stretch(results: dict[str, hbsim.Result], one: str, other: str) -> None:
    """However many jobs a trial is cut into, and wherever they run."""
    mine, theirs = stretches(results[one]), stretches(results[other])
    for key in shared(mine, theirs):
        assert mine[key] == pytest.approx(theirs[key]), key


def test_slowness_differs_by_trial_and_by_stretch(results: dict[str, hbsim.Result]) -> None:
    result = results["stopping"]
    plain = stretches(run("stopping", cluster=hbsim.Cluster(workers=7)))
    mine = stretches(result)
    factors = [mine[key] / plain[key] for key in shared(mine, plain)]
    at = {level: at for at, level in enumerate(result.scheduler.levels)}
    stated = [result.curves.slowness(trial, at[level]) for trial, _, level in shared(mine, plain)]
    assert factors == pytest.approx(stated)
    assert min(factors) >= 1 - 1e-9
    assert len({round(factor, 9) for factor in factors}) == len(factors)


@pytest.mark.parametrize("name", ["stopping", "sha"])
def test_the_number_of_workers_and_of_trials_changes_nothing(name: str) -> None:
    small = run(name, cluster=hbsim.Cluster(workers=2, straggler_std=0.56), trials=30)
    large = run(name)
    count = len(small.curves.configurations())
    assert np.array_equal(small.curves.configurations(), large.curves.configurations()[:count])
    mine, theirs = stretches(small), stretches(large)
    assert [mine[key] for key in shared(mine, theirs)] == pytest.approx(
        [theirs[key] for key in shared(mine, theirs)]
    )


def test_another_seed_is_another_study(results: dict[str, hbsim.Result]) -> None:
    a, b = results["stopping"], run("stopping", seed=6)
    assert not np.isin(a.curves.configurations(), b.curves.configurations()).any()
    mine, theirs = stretches(a), stretches(b)
    assert all(mine[key] != pytest.approx(theirs[key], rel=1e-6) for key in shared(mine, theirs))


# Failures


def losses(name: str, retries: int = 2, seed: int = 5, **costs: Any) -> dict[tuple[int, int], float]:
    """Return the exposed seconds after which each attempt was lost, by trial and attempt."""
    type, options = SCHEDULERS[name]
    scheduler = make_scheduler(type, max_t=27, num_trials=150, retries=retries, **options)
    cluster = hbsim.Cluster(drop_rate=0.05, **costs)
    result = hbsim.simulate(scheduler, Synthetic(noise=0.05, max_resource=27), seed=seed, cluster=cluster)
    spent: dict[tuple[int, int], float] = {}
    lost = {}
    for job in result.jobs.to_dicts():
        key = job["trial"], job["attempt"]
        spent[key] = spent.get(key, 0.0) + job["end_time"] - job["start_time"]
        if job["verdict"] == "failed":
            lost[key] = spent[key]
    return lost


@pytest.mark.parametrize("name", ["promotion", "pausing", "sha", "fifo"])
@pytest.mark.parametrize("costs", [{}, {"startup": 3.0, "load": 2.0}, {"resume": False}, {"speed": 0.5}])
def test_failures_are_of_the_trial_and_the_attempt(name: str, costs: dict[str, Any]) -> None:
    """After the same exposed seconds, whatever is simulated; only whether it comes so far differs."""
    mine, theirs = losses("stopping", workers=4), losses(name, workers=7, **costs)
    keys = shared(mine, theirs)
    assert [mine[key] for key in keys] == pytest.approx([theirs[key] for key in keys])
    assert {attempt for _, attempt in keys} >= {0, 1}


def test_each_attempt_has_luck_of_its_own() -> None:
    lost = losses("fifo")
    assert len({round(seconds, 6) for seconds in lost.values()}) == len(lost)
    other = losses("fifo", seed=6)
    assert not {round(x, 6) for x in lost.values()} & {round(x, 6) for x in other.values()}


def test_failures_come_at_the_stated_rate() -> None:
    """Of trials that need 20 seconds, a share of 1 - (1 - rate) ** 20 is lost, give or take 3 sigma."""
    scheduler = make_scheduler("fifo", max_t=20, num_trials=4000)
    result = hbsim.simulate(scheduler, "ideal:max_resource=20", cluster=hbsim.Cluster(drop_rate=0.03))
    share = 1 - (1 - 0.03) ** 20
    assert result.summary()["failed"] == pytest.approx(
        4000 * share, abs=3 * (4000 * share * (1 - share)) ** 0.5
    )


def test_draws_for_retries_that_were_forgotten_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = hbsim.Cluster(workers=7, startup="exponential:mean=1", drop_rate=0.2)

    def retried() -> hbsim.Result:
        scheduler = make_scheduler("promotion", max_t=27, num_trials=60, retries=9)
        return hbsim.simulate(scheduler, Synthetic(max_resource=27), cluster=cluster)

    expected = retried()
    assert expected.jobs["attempt"].max() == 9
    monkeypatch.setattr("hbsim.simulation.random_effects.KEPT", 2)
    scarce = retried()
    assert scarce.jobs.equals(expected.jobs)
    assert len(scarce.curves._budgets) == len(scarce.simulated.effects.first_startup._later) == 2
