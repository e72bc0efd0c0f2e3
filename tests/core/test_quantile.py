"""The stopping quantile is exact where values tie, and one non-number touches no other trial."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hbsim.core import Report, Verdict, make_scheduler

Make = Callable[..., Any]
RULES = ("quantile", "quantile-inclusive", "rank", "top-k")


def verdicts(make: Make, values: list[float | None], eta: float = 3, rule: str = "quantile") -> list[bool]:
    """Return which of the values, told in this order at level 1, go on."""
    scheduler = make("stopping", max_t=100, grace_period=1, reduction_factor=eta, brackets=1, rule=rule)
    return [
        scheduler.tell(Report(scheduler.ask().trial, 1, value)).verdict is Verdict.CONTINUE
        for value in values
    ]


@pytest.mark.parametrize(("eta", "p", "q"), [(3, 3, 1), (7, 7, 1), (1.1, 11, 10)])
def test_a_value_equal_to_the_cutoff_goes_on(eta: float, p: int, q: int) -> None:
    """NumPy's position is a float: beside a whole number it interpolates, and stops what is equal."""
    numpy_would_stop = 0
    for n in range(2, 120):
        whole, rest = divmod((n - 1) * (p - q), p)
        if rest:
            continue
        before = [float(i) for i in range(n)]
        assert verdicts(make_scheduler, [*before, float(whole)], eta)[-1]
        assert not verdicts(make_scheduler, [*before, whole - 1e-9], eta)[-1]
        numpy_would_stop += bool(whole < np.quantile(before, 1 - 1 / eta))
    assert numpy_would_stop > 0


def test_numpy_decides_otherwise_at_ten_values(make: Make) -> None:
    """The position is 9 * 2/3 = 6 exactly."""
    before = [float(i) for i in range(10)]
    assert np.quantile(before, 1 - 1 / 3) > 6.0
    assert verdicts(make, [*before, 6.0])[-1]


def test_interpolates_between_neighbours(make: Make) -> None:
    """Two values 0 and 3 at eta=3: cutoff 2; at eta=4: 2.25; inclusive counts the new one too."""
    assert verdicts(make, [0.0, 3.0, 2.0])[-1]
    assert not verdicts(make, [0.0, 3.0, 1.999])[-1]
    assert verdicts(make, [0.0, 3.0, 2.25], 4)[-1]
    assert not verdicts(make, [0.0, 3.0, 2.2499], 4)[-1]
    # inclusive: of 0, 2, 3 at position 2 * 2/3 = 4/3 the cutoff is 2 + 1/3
    assert not verdicts(make, [0.0, 3.0, 2.0], rule="quantile-inclusive")[-1]
    # of two values a < b the cutoff is between them: the better goes on only
    assert verdicts(make, [0.0, 1.0], rule="quantile-inclusive")[-1]
    assert not verdicts(make, [1.0, 0.0], rule="quantile-inclusive")[-1]


def test_rank_and_top_k_by_hand(make: Make) -> None:
    # rank: 1 of 3 strictly better is at most 1/3
    assert verdicts(make, [3.0, 1.0, 2.0], rule="rank") == [True, False, True]
    # top-k: k = 1 up to n = 5, 2 at n = 6
    assert verdicts(make, [3.0, 1.0, 2.0, 3.0, 2.0, 3.0], rule="top-k") == [
        True,
        False,
        False,
        True,
        False,
        True,
    ]


@pytest.mark.parametrize("rule", RULES)
def test_ties_all_go_on(make: Make, rule: str) -> None:
    assert all(verdicts(make, [0.1 + 0.2] * 50, 2.2, rule))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, None])
def test_non_numbers(make: Make, rule: str, bad: float | None) -> None:
    """Stopped, the first too; after them a number goes on while a non-number has weight in the cutoff."""
    assert verdicts(make, [bad, bad, 0.0], rule=rule) == [False, False, True]
    assert verdicts(make, [0.0, bad], rule=rule) == [True, False]
    plain = [0.5, 0.4, 0.3, 0.2, 0.1, 0.25, 0.35, 0.6, 0.45, 0.05]
    mixed: list[float | None] = [*plain[:4], bad, *plain[4:]]
    got = verdicts(make, mixed, rule=rule)
    assert not got[4]
    worst: list[float | None] = [*plain[:4], -99.0, *plain[4:]]
    assert got == verdicts(make, worst, rule=rule)


def test_non_numbers_are_equal_whatever_they_are(make: Make) -> None:
    """Plus infinity is no great value where it is maximised, nor minus infinity where it is minimised."""
    for bad in (math.nan, math.inf, -math.inf, None):
        for mode in ("max", "min"):
            options = {"max_t": 9, "grace_period": 1, "reduction_factor": 3, "brackets": 1, "mode": mode}
            scheduler = make("promotion", num_trials=3, **options)
            for _ in range(3):
                scheduler.ask()
            for trial, value in enumerate([bad, bad, 0.7]):
                decision = scheduler.tell(Report(trial, 1, value))
            assert decision.verdict is Verdict.CONTINUE
