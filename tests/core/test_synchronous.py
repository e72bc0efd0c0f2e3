"""Synchronous halving by hand: waiting, quotas, overlap, cuts, failures."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from hbsim.core import Failure, Job, Report, Verdict, make_scheduler

Make = Callable[..., Any]
NINE: dict[str, Any] = {"max_t": 9, "grace_period": 1, "reduction_factor": 3}


def started(scheduler: Any, n: int) -> list[Job]:
    return [scheduler.ask() for _ in range(n)]


def tell_all(scheduler: Any, values: dict[int, float | None], level: float = 1) -> list[Verdict]:
    return [scheduler.tell(Report(trial, level, value)).verdict for trial, value in values.items()]


def left(scheduler: Any) -> list[int]:
    """Return the trials that are handed out until there is nothing more."""
    trials = []
    while (job := scheduler.ask()) is not None:
        trials.append(job.trial)
    return trials


def test_a_rung_goes_on_together_in_order_of_trial_number(make: Make) -> None:
    scheduler = make("sha", **NINE, n=9)
    assert left(scheduler) == list(range(9))
    values = {8: 7.0, 3: 9.0, 5: 8.0, 0: 1.0, 1: 1.0, 2: 1.0, 4: 1.0, 6: 1.0}
    assert tell_all(scheduler, values) == [Verdict.PAUSE] * 8
    assert scheduler.ask() is None
    assert tell_all(scheduler, {7: 0.0}) == [Verdict.PAUSE]  # the last one in too
    assert left(scheduler) == [3, 5, 8]


def test_an_extension_fills_a_bracket_up_while_its_rung_waits() -> None:
    scheduler = make_scheduler("sha", **NINE, n=9, num_trials=2)
    assert left(scheduler) == [0, 1]
    scheduler.extend(12)
    assert left(scheduler) == list(range(2, 9))
    tell_all(scheduler, {trial: float(trial) for trial in range(9)})
    assert left(scheduler) == [6, 7, 8]


def test_ties_go_to_the_earlier_recorded(make: Make) -> None:
    scheduler = make("sha", **NINE, n=9)
    started(scheduler, 9)
    tell_all(scheduler, dict.fromkeys((8, 2, 7, 0, 1, 3, 4, 5, 6), 1.0))
    assert left(scheduler) == [2, 7, 8]


@pytest.mark.parametrize(("quota", "survivors"), [("actual", [0, 1]), ("nominal", [0, 1, 2])])
def test_failures_are_not_waited_for(make: Make, quota: str, survivors: list[int]) -> None:
    """Of nine two fail for good: floor(7/3) places, or the bracket's own floor(9/3)."""
    scheduler = make("sha", **NINE, n=9, quota=quota)
    started(scheduler, 9)
    tell_all(scheduler, {trial: -float(trial) for trial in range(7)})
    scheduler.tell(Failure(7, 0))
    assert scheduler.ask() is None
    scheduler.tell(Failure(8, 0, "lost"))
    assert left(scheduler) == survivors


def test_nominal_goes_as_far_as_there_are_trials(make: Make) -> None:
    scheduler = make("sha", **NINE, n=9, quota="nominal", num_trials=9)
    started(scheduler, 9)
    for trial in range(2, 9):
        scheduler.tell(Failure(trial, 0))
    tell_all(scheduler, {0: 0.0, 1: 1.0})
    assert left(scheduler) == [0, 1]
    tell_all(scheduler, {0: 0.0, 1: 1.0}, level=3)
    assert scheduler.ask() == Job(1, 0, 3, 9, 0)


def test_a_failure_on_a_higher_rung_shrinks_it(make: Make) -> None:
    """Two of three are in: floor(2/3) = 0 ends the bracket, and the next opens."""
    scheduler = make("sha", **NINE, n=9)
    started(scheduler, 9)
    tell_all(scheduler, {trial: -float(trial) for trial in range(9)})
    assert left(scheduler) == [0, 1, 2]
    tell_all(scheduler, {0: 1.0, 1: 1.0}, level=3)
    scheduler.tell(Failure(2, 2))
    assert scheduler.ask() == Job(9, 0, 0, 1, 0)


def test_a_retry_is_waited_for(make: Make) -> None:
    scheduler = make("sha", **NINE, n=3 * 3, retries=1)
    started(scheduler, 9)
    tell_all(scheduler, {trial: -float(trial) for trial in range(8)})
    scheduler.tell(Failure(8, 0))
    assert left(scheduler) == [8]
    tell_all(scheduler, {8: 1.0})
    assert left(scheduler) == [0, 1, 8]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, None])
def test_places_of_non_numbers_stay_empty(make: Make, bad: float | None) -> None:
    """Nine are in: three places, one number."""
    scheduler = make("sha", **NINE, n=9, num_trials=9)
    started(scheduler, 9)
    tell_all(scheduler, dict.fromkeys(range(8), bad) | {8: -5.0})
    assert left(scheduler) == [8]


def test_overlap(make: Make) -> None:
    """Without it a free worker waits; with it the next bracket opens, and the oldest is served first."""
    waiting = make("sha", **NINE, n=9)
    assert len(left(waiting)) == 9
    scheduler = make("sha", **NINE, n=9, overlap=True)
    jobs = started(scheduler, 12)
    assert [job.trial for job in jobs] == list(range(12))
    tell_all(scheduler, {trial: -float(trial) for trial in range(9)})
    assert [job.trial for job in started(scheduler, 4)] == [0, 1, 2, 12]


def test_without_overlap_the_last_rung_is_waited_for_too(make: Make) -> None:
    scheduler = make("hyperband", max_t=3, grace_period=1, reduction_factor=3)
    assert left(scheduler) == [0, 1, 2]
    tell_all(scheduler, {0: 0.0, 1: 1.0, 2: 2.0})
    assert left(scheduler) == [2]
    assert scheduler.tell(Report(2, 3, 2.0)).verdict is Verdict.COMPLETE
    assert scheduler.ask() == Job(3, 1, 0, 3, 0)


def test_hyperband_with_overlap_opens_the_next_bracket(make: Make) -> None:
    scheduler = make("hyperband", max_t=9, grace_period=1, reduction_factor=3, overlap=True)
    jobs = started(scheduler, 9 + 5 + 3 + 9)
    assert [(job.bracket, job.stop) for job in jobs] == [(0, 1)] * 9 + [(1, 3)] * 5 + [(2, 9)] * 3 + [
        (0, 1)
    ] * 9


def test_num_trials_cuts_a_bracket_short(make: Make) -> None:
    """Six of nine start: floor(6/3) go on; two are not three, so it ends there."""
    scheduler = make("sha", **NINE, n=9, num_trials=6)
    assert left(scheduler) == list(range(6))
    tell_all(scheduler, {trial: float(trial) for trial in range(6)})
    assert left(scheduler) == [4, 5]
    tell_all(scheduler, {4: 1.0, 5: 1.0}, level=3)
    assert scheduler.ask() is None
    assert scheduler.done


def test_the_same_bracket_opens_again(make: Make) -> None:
    scheduler = make("sha", **NINE, n=9, num_trials=12)
    started(scheduler, 9)
    for trial in range(9):
        scheduler.tell(Failure(trial, 0))
    assert left(scheduler) == [9, 10, 11]


def test_levels_that_fall_together_are_one_rung(make: Make) -> None:
    """eta = 1.5 from 1 to 3: levels 1, 1.5 -> 2 and R = 3 in place of 2.25."""
    scheduler = make("sha", max_t=3, grace_period=1, reduction_factor=1.5, n=4, num_trials=4)
    stops = []
    while (job := scheduler.ask()) is not None:
        stops.append(job.stop)
        scheduler.tell(Report(job.trial, job.stop, float(job.trial)))
    assert stops == [1, 1, 1, 1, 2, 2, 3]
