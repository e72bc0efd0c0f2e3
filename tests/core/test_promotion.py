"""Promotion by hand: places, ties, failures given back, size ratios, shared rungs, both ways straight on."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from hbsim.core import Failure, Job, Report, Verdict

Make = Callable[..., Any]
NINE: dict[str, Any] = {"max_t": 9, "grace_period": 1, "reduction_factor": 3, "brackets": 1}


def started(scheduler: Any, n: int) -> list[Job]:
    return [scheduler.ask() for _ in range(n)]


def tell_all(scheduler: Any, values: dict[int, float | None], level: float = 1) -> list[Verdict]:
    return [scheduler.tell(Report(trial, level, value)).verdict for trial, value in values.items()]


def test_straight_on_or_pause(make: Make) -> None:
    """The third of three is the best: it goes on in its job, or pauses and is asked for again."""
    scheduler = make("promotion", **NINE)
    started(scheduler, 3)
    assert tell_all(scheduler, {0: 1.0, 1: 2.0}) == [Verdict.PAUSE, Verdict.PAUSE]
    decision = scheduler.tell(Report(2, 1, 3.0))
    assert (decision.verdict, decision.stop) == (Verdict.CONTINUE, 3)
    assert scheduler.ask() == Job(3, 0, 0, 1, 0)

    scheduler = make("promotion", **NINE, straight_on=False)
    started(scheduler, 3)
    assert tell_all(scheduler, {0: 1.0, 1: 2.0, 2: 3.0}) == [Verdict.PAUSE] * 3
    assert scheduler.ask() == Job(2, 0, 1, 3, 0)
    assert scheduler.ask() == Job(3, 0, 0, 1, 0)


def test_ties_go_to_the_earlier_recorded(make: Make) -> None:
    scheduler = make("promotion", **NINE)
    started(scheduler, 3)
    assert tell_all(scheduler, {1: 1.0, 2: 1.0, 0: 1.0}) == [Verdict.PAUSE] * 3
    assert scheduler.ask() == Job(1, 0, 1, 3, 0)


def test_a_failed_promotion_gives_its_place_back(make: Make) -> None:
    """The best fails for good on its way to level 3: the second takes the place."""
    scheduler = make("promotion", **NINE, num_trials=3)
    started(scheduler, 3)
    tell_all(scheduler, {0: 3.0, 1: 2.0, 2: 1.0})
    assert scheduler.ask() == Job(0, 0, 1, 3, 0)
    assert scheduler.ask() is None
    assert scheduler.tell(Failure(0, 2, "oom")).verdict is Verdict.STOP
    assert scheduler.ask() == Job(1, 0, 1, 3, 0)
    assert scheduler.tell(Report(1, 3, 2.0)).verdict is Verdict.PAUSE
    assert scheduler.ask() is None
    assert scheduler.done


def test_a_failed_trial_is_passed_over_at_every_rung(make: Make) -> None:
    """It fails beyond level 3: both places that it held, at 1 and at 3, go to others."""
    scheduler = make("promotion", **NINE, num_trials=9, straight_on=False)
    started(scheduler, 9)
    tell_all(scheduler, {trial: 9.0 - trial for trial in range(9)})
    assert [job.trial for job in started(scheduler, 3)] == [0, 1, 2]
    tell_all(scheduler, {0: 9.0, 1: 8.0, 2: 7.0}, level=3)
    assert scheduler.ask() == Job(0, 0, 3, 9, 0)
    scheduler.tell(Failure(0, 5))
    assert scheduler.ask() == Job(1, 0, 3, 9, 0)
    assert scheduler.ask() == Job(3, 0, 1, 3, 0)
    assert scheduler.ask() is None


def test_a_failed_promotion_may_hold_its_place(make: Make) -> None:
    """The best fails for good: nobody follows until six values make a second place."""
    scheduler = make("promotion", **NINE, num_trials=6, failed_places="held")
    started(scheduler, 3)
    tell_all(scheduler, {0: 3.0, 1: 2.0, 2: 1.0})
    assert scheduler.ask() == Job(0, 0, 1, 3, 0)
    scheduler.tell(Failure(0, 2))
    assert [job.trial for job in started(scheduler, 3)] == [3, 4, 5]
    assert tell_all(scheduler, {3: 0.0, 4: 0.0}) == [Verdict.PAUSE] * 2
    scheduler.tell(Failure(5, 0.5))  # it never came to level 1: it holds no place, and makes none
    assert scheduler.ask() is None
    assert scheduler.done

    scheduler = make("promotion", **NINE, num_trials=6, failed_places="held")
    started(scheduler, 6)
    tell_all(scheduler, {0: 3.0, 1: 2.0, 2: 1.0})
    scheduler.tell(Failure(scheduler.ask().trial, 2))
    assert scheduler.ask() is None
    tell_all(scheduler, {3: 0.0, 4: 0.0, 5: 0.0})
    assert scheduler.ask() == Job(1, 0, 1, 3, 0)


def test_a_failed_trial_may_hold_its_places_at_every_rung(make: Make) -> None:
    """It fails beyond level 3; better ones that come later take the place, and give it back to nobody."""
    scheduler = make("promotion", **NINE, num_trials=9, straight_on=False, failed_places="held")
    started(scheduler, 9)
    tell_all(scheduler, {trial: 9.0 - trial for trial in range(9)})
    assert [job.trial for job in started(scheduler, 3)] == [0, 1, 2]
    tell_all(scheduler, {0: 9.0, 1: 8.0, 2: 7.0}, level=3)
    assert scheduler.ask() == Job(0, 0, 3, 9, 0)
    scheduler.tell(Failure(0, 5))
    assert scheduler.ask() is None
    assert scheduler.done


def test_better_ones_take_a_place_that_is_held(make: Make) -> None:
    scheduler = make("promotion", **NINE, straight_on=False, failed_places="held")
    started(scheduler, 4)
    tell_all(scheduler, {0: 1.0, 1: 0.0, 2: 0.0})
    scheduler.tell(Failure(scheduler.ask().trial, 2))
    tell_all(scheduler, {3: 2.0})
    assert scheduler.ask() == Job(3, 0, 1, 3, 0)


@pytest.mark.parametrize(("places", "next_one"), [("held", 5), ("passed-on", 4)])
def test_the_count_is_given_back_wherever_the_place_goes(make: Make, places: str, next_one: int) -> None:
    """As in `test_a_failure_gives_its_count_back`: 4 was held back by size ratios, and may go on now."""
    scheduler = make("promotion", **NINE, keep_size_ratios=True, failed_places=places)
    started(scheduler, 2)
    tell_all(scheduler, {0: 0.0, 1: 1.0})
    for trial in (2, 3):
        scheduler.ask()
        assert goes_on(scheduler, trial, straight_on=True)
    scheduler.ask()
    scheduler.tell(Report(4, 1, 2.5))  # the only place is that of 3
    scheduler.tell(Failure(3, 2))
    assert scheduler.ask().trial == next_one


def test_a_retry_keeps_place_start_and_stop(make: Make) -> None:
    scheduler = make("promotion", **NINE, retries=1, straight_on=False)
    started(scheduler, 3)
    tell_all(scheduler, {0: 3.0, 1: 2.0, 2: 1.0})
    scheduler.ask()
    assert scheduler.tell(Failure(0, 2.5)).verdict is Verdict.RETRY
    assert scheduler.ask() == Job(0, 0, 1, 3, 1)
    assert scheduler.ask() == Job(3, 0, 0, 1, 0)  # 1 is not promoted in its place
    scheduler.tell(Report(0, 3, 5.0))
    scheduler.tell(Report(3, 1, 0.0))
    tell_all(scheduler, {job.trial: 0.0 for job in started(scheduler, 2)})
    assert scheduler.ask() == Job(1, 0, 1, 3, 0)  # six values, two places


def test_a_retry_after_going_straight_on_starts_where_it_stands(make: Make) -> None:
    scheduler = make("promotion", **NINE, retries=2)
    started(scheduler, 3)
    tell_all(scheduler, {0: 1.0, 1: 2.0, 2: 3.0})
    scheduler.tell(Failure(2, 1.5))
    assert scheduler.ask() == Job(2, 0, 1, 3, 1)
    scheduler.tell(Report(2, 0.5, 0.0))  # it retrains from zero, and reports old levels again
    decision = scheduler.tell(Report(2, 1, 0.0))
    assert (decision.verdict, decision.stop) == (Verdict.CONTINUE, 3)
    scheduler.tell(Failure(2, 1))
    assert scheduler.ask() == Job(2, 0, 1, 3, 2)
    assert scheduler.tell(Failure(2, 0)).verdict is Verdict.STOP


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, None])
def test_non_numbers_count_and_are_never_promoted(make: Make, bad: float | None) -> None:
    scheduler = make("promotion", **NINE, num_trials=6)
    started(scheduler, 6)
    values = {0: bad, 1: bad, 2: bad, 3: bad, 4: bad}
    assert tell_all(scheduler, values) == [Verdict.PAUSE] * 5
    assert scheduler.ask() is None
    assert tell_all(scheduler, {5: -1e30}) == [Verdict.CONTINUE]
    assert scheduler.ask() is None


def test_higher_rungs_come_first(make: Make) -> None:
    scheduler = make("promotion", **NINE, num_trials=12, straight_on=False)
    started(scheduler, 12)
    tell_all(scheduler, {trial: float(-trial) for trial in range(9)})
    assert [job.trial for job in started(scheduler, 3)] == [0, 1, 2]
    tell_all(scheduler, {0: 0.0, 1: 1.0, 2: 2.0}, level=3)
    tell_all(scheduler, {trial: float(-trial) for trial in range(9, 12)})
    assert scheduler.ask() == Job(2, 0, 3, 9, 0)
    assert scheduler.ask() == Job(3, 0, 1, 3, 0)


@pytest.mark.parametrize("straight_on", [True, False])
@pytest.mark.parametrize("keep", [True, False])
def test_keep_size_ratios_by_hand(make: Make, straight_on: bool, keep: bool) -> None:
    """Each arrival better than all before: the one place of 3, 4 and 5 values is taken anew each time.

    Starts at levels 1 and 3: 3 and 0, then 4 and 1 (1 * 3 <= 4), then 5 and 2: 2 * 3 > 5 holds back.
    """
    scheduler = make("promotion", **NINE, straight_on=straight_on, keep_size_ratios=keep)
    started(scheduler, 2)
    tell_all(scheduler, {0: 0.0, 1: 1.0})
    for trial in (2, 3):
        assert scheduler.ask() == Job(trial, 0, 0, 1, 0)
        assert goes_on(scheduler, trial, straight_on)
    assert scheduler.ask().trial == 4
    if not keep:
        assert goes_on(scheduler, 4, straight_on)
        return
    assert scheduler.tell(Report(4, 1, 4.0)).verdict is Verdict.PAUSE
    assert scheduler.ask() == Job(5, 0, 0, 1, 0)  # held back; it is then 6 and 2, 2 * 3 <= 6
    assert scheduler.ask() == Job(4, 0, 1, 3, 0)


def test_a_failure_gives_its_count_back(make: Make) -> None:
    """As above, with 5 and 2: a failure on the way to level 3 makes it 5 and 1, one to level 1 does not."""
    scheduler = make("promotion", **NINE, keep_size_ratios=True, num_trials=5)
    started(scheduler, 2)
    tell_all(scheduler, {0: 0.0, 1: 1.0})
    for trial in (2, 3):
        scheduler.ask()
        assert goes_on(scheduler, trial, straight_on=True)
    scheduler.ask()
    assert scheduler.tell(Report(4, 1, 4.0)).verdict is Verdict.PAUSE
    assert scheduler.ask() is None
    assert scheduler.tell(Failure(2, 2)).verdict is Verdict.STOP
    assert scheduler.ask() == Job(4, 0, 1, 3, 0)


def goes_on(scheduler: Any, trial: int, straight_on: bool) -> bool:
    """Report a value as high as the trial's number; say whether it goes on to level 3, either way."""
    decision = scheduler.tell(Report(trial, 1, float(trial)))
    if straight_on:
        return bool(decision.verdict is Verdict.CONTINUE and decision.stop == 3)
    return bool(decision.verdict is Verdict.PAUSE and scheduler.ask() == Job(trial, 0, 1, 3, 0))


def test_skipped_and_late_reports_count_at_the_next_milestone(make: Make) -> None:
    scheduler = make("promotion", **NINE)
    started(scheduler, 3)
    assert scheduler.tell(Report(0, 1.75, 1.0)).verdict is Verdict.PAUSE
    tell_all(scheduler, {1: 0.0, 2: 0.5})
    assert scheduler.ask() == Job(0, 0, 1, 3, 0)


def test_shared_rungs_promote_across_brackets(make: Make) -> None:
    """The trial keeps its bracket; a drawn bracket looks at the rungs at its own levels only."""
    scheduler = make(
        "promotion", **NINE | {"brackets": 3}, shared_rungs=True, straight_on=False, num_trials=60, seed=1
    )
    jobs = started(scheduler, 60)
    brackets = {job.trial: job.bracket for job in jobs}
    assert set(brackets.values()) == {0, 1, 2}
    ones = [job.trial for job in jobs if job.bracket == 1]
    zeros = [job.trial for job in jobs if job.bracket == 0]
    tell_all(scheduler, {trial: float(trial) for trial in zeros[:9]})
    tell_all(scheduler, dict.fromkeys(ones[:2], -1.0), level=3)
    promoted = started(scheduler, 3)
    assert [job.trial for job in promoted] == zeros[8:5:-1]
    tell_all(scheduler, {promoted[0].trial: 5.0}, level=3)
    assert scheduler.ask() == Job(promoted[0].trial, 0, 3, 9, 0)  # the best of three of two brackets


def test_after_num_trials_other_brackets_are_scanned(make: Make) -> None:
    scheduler = make("promotion", **NINE | {"brackets": 2}, num_trials=40, straight_on=False, seed=4)
    jobs = started(scheduler, 40)
    ones = [job.trial for job in jobs if job.bracket == 1]
    tell_all(scheduler, {trial: float(trial) for trial in ones[:3]}, level=3)
    assert scheduler.ask() == Job(ones[2], 1, 3, 9, 0)
    assert scheduler.ask() is None
