"""The number of brackets, and how a bracket is drawn."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hbsim.core import Failure, Report, make_scheduler
from hbsim.errors import HbsimWarning
from tests.doubles.naive_levels import Grid, probabilities

Make = Callable[..., Any]
EIGHTY_ONE = {"max_t": 81, "grace_period": 1, "reduction_factor": 3}

SOFTMAX = (0.6364, 0.2341, 0.0861, 0.0317, 0.0117)
HYPERBAND = (0.5694, 0.2373, 0.1054, 0.0527, 0.0351)


@pytest.mark.parametrize("type", ["stopping", "promotion"])
@pytest.mark.parametrize(
    ("R", "eta", "K"),
    [(243, 3, 5), (1000, 10, 3), (59049, 3, 10), (81, 3, 4), (242, 3, 4), (1000, 2, 9), (125, 5, 3)],
)
def test_number_of_brackets_is_exact(type: str, R: int, eta: int, K: int) -> None:
    options = {"max_t": R, "grace_period": 1, "reduction_factor": eta}
    make_scheduler(type, brackets=K + 1, **options)  # a warning would be an error here
    with pytest.warns(HbsimWarning, match=str(K + 1)):
        make_scheduler(type, brackets=K + 2, **options)


def test_float_levels_are_exact_products() -> None:
    options = {"max_t": 0.3, "grace_period": 0.1, "reduction_factor": 3, "resource_type": "float"}
    scheduler = make_scheduler("stopping", brackets=2, **options)
    stops = {job.bracket: job.stop for job in (scheduler.ask() for _ in range(40))}
    assert stops == {0: 0.1, 1: 0.3}


def levels_walked(make: Make, **options: Any) -> list[float]:
    """Return the milestones of a first trial, which nothing stops."""
    scheduler = make("stopping", grace_period=1, brackets=1, **options)
    levels = [scheduler.ask().stop]
    while (decision := scheduler.tell(Report(0, levels[-1], 1.0))).stop is not None:
        levels.append(decision.stop)
    return levels


def test_levels_of_a_fraction_are_rounded_halves_up_and_merged(make: Make) -> None:
    assert levels_walked(make, max_t=20, reduction_factor=2.5) == [1, 3, 6, 16, 20]
    assert levels_walked(make, max_t=4, reduction_factor=1.5) == [1, 2, 3, 4]
    assert levels_walked(make, max_t=3, reduction_factor=1.2) == [1, 2, 3]
    exact = levels_walked(make, max_t=4.0, reduction_factor=2.5, resource_type="float")
    assert exact == [1.0, 2.5, 4.0]
    assert levels_walked(make, max_t=5, reduction_factor=2.2, resource_type="float") == [1.0, 2.2, 4.84, 5.0]


@pytest.mark.parametrize(("sampling", "expected"), [("softmax", SOFTMAX), ("hyperband", HYPERBAND)])
@pytest.mark.parametrize("type", ["stopping", "promotion"])
def test_probabilities(type: str, sampling: str, expected: tuple[float, ...]) -> None:
    exact = probabilities(4, Grid(1, 81, 3, "int").eta, 5, sampling)
    assert exact == pytest.approx(expected, abs=5e-5)
    scheduler = make_scheduler(type, brackets=5, bracket_sampling=sampling, seed=7, **EIGHTY_ONE)
    n = 6000
    counts = Counter(scheduler.ask().bracket for _ in range(n))
    for b, p in enumerate(expected):
        assert abs(counts[b] / n - p) < 4 * math.sqrt(p * (1 - p) / n)


@pytest.mark.parametrize("sampling", ["softmax", "hyperband"])
def test_fewer_brackets_share_what_the_others_had(make: Make, sampling: str) -> None:
    scheduler = make("stopping", brackets=2, bracket_sampling=sampling, seed=3, **EIGHTY_ONE)
    table = SOFTMAX if sampling == "softmax" else HYPERBAND
    draws = np.random.Generator(np.random.PCG64(3)).random(500)
    expected = [int(u >= table[0] / (table[0] + table[1])) for u in draws.tolist()]
    got = [scheduler.ask().bracket for _ in range(500)]
    assert sum(a != b for a, b in zip(got, expected, strict=True)) <= 1  # the table has four digits


def drawn(make: Make, type: str, n: int, **options: Any) -> list[int]:
    """Return the brackets of the first n trials, none of them reporting."""
    scheduler = make(type, brackets=5, **EIGHTY_ONE, **options)
    return [scheduler.ask().bracket for _ in range(n)]


@pytest.mark.parametrize("type", ["stopping", "promotion"])
def test_draws_depend_on_seed_and_sampling_only(make: Make, type: str) -> None:
    one = drawn(make, type, 40, num_trials=None, seed=5)
    assert drawn(make, type, 40, num_trials=40, seed=5) == one
    assert drawn(make, type, 40, num_trials=4000, seed=5, mode="min", retries=3) == one
    assert drawn(make, type, 40, seed=6) != one
    assert drawn(make, type, 40, seed=5, shared_rungs=True) == one
    other = {"stopping": {"rule": "rank"}, "promotion": {"straight_on": False}}[type]
    assert drawn(make, type, 40, seed=5, **other) == one


def test_retries_and_empty_asks_take_no_draw(make: Make) -> None:
    plain = drawn(make, "promotion", 30, seed=11)
    scheduler = make("promotion", brackets=5, seed=11, retries=1, num_trials=30, **EIGHTY_ONE)
    got: list[int] = []
    for _ in range(30):
        job = scheduler.ask()
        got.append(job.bracket)
        scheduler.tell(Failure(job.trial, 0))
        assert scheduler.ask()[:4] == job[:4]
    assert got == plain
    assert scheduler.ask() is None


def test_promotions_after_num_trials_use_the_next_draws(make: Make) -> None:
    """Empty asks took none: the draws go on where the starts left them. A drawn bracket is scanned first."""
    draws = drawn(make, "promotion", 50, seed=8)
    scheduler = make("promotion", brackets=5, seed=8, num_trials=44, straight_on=False, **EIGHTY_ONE)
    jobs = [scheduler.ask() for _ in range(44)]
    for _ in range(3):
        assert scheduler.ask() is None
    for job in jobs:
        scheduler.tell(Report(job.trial, job.stop, float(job.trial)))
    places = {b: draws[:44].count(b) // 3 for b in range(4)}
    expected = []
    for b in draws[44:]:
        b = b if places.get(b) else next(other for other in range(4) if places[other])
        places[b] -= 1
        expected.append(b)
    assert [scheduler.ask().bracket for _ in range(6)] == expected
    assert len(set(expected)) > 1


def test_empty_asks_leave_the_state_as_it_is() -> None:
    scheduler = make_scheduler("promotion", brackets=5, seed=1, num_trials=5, **EIGHTY_ONE)
    for _ in itertools.repeat(None, 5):
        scheduler.ask()
    before = scheduler.state_dict()
    assert scheduler.ask() is None
    assert scheduler.state_dict() == before


def test_global_random_state_is_left_alone() -> None:
    before = repr(np.random.get_state())  # noqa: NPY002
    drawn(make_scheduler, "stopping", 50, seed=2)
    assert repr(np.random.get_state()) == before  # noqa: NPY002
