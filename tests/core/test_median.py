"""The median rule by hand: best so far against the median of running averages of others."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbsim.core import Failure, Report, Verdict, make_scheduler
from hbsim.core.median import RunningAverages
from tests.doubles.naive_median import average
from tests.doubles.pair import round_trip
from tests.profile import examples

Make = Callable[..., Any]
FOUR: dict[str, Any] = {"max_t": 4}


def started(scheduler: Any, n: int) -> list[int]:
    return [scheduler.ask().trial for _ in range(n)]


def tell(scheduler: Any, trial: int, values: list[float | None], first: int = 1) -> Any:
    """Tell the values of a trial at levels first, first + 1, ...; return the last decision."""
    for level, value in enumerate(values, first):
        decision = scheduler.tell(Report(trial, level, value))
    return decision


def completed(make: Make, *curves: list[float | None], **options: Any) -> Any:
    """Return a scheduler in which trials with these curves have completed; the next one is running."""
    scheduler = make("median", **FOUR | options)
    started(scheduler, len(curves) + 1)
    for level in range(4):  # side by side, so that none has completed before the others
        for trial, curve in enumerate(curves):
            verdict = scheduler.tell(Report(trial, level + 1, curve[level])).verdict
            assert verdict is (Verdict.COMPLETE if level == 3 else Verdict.CONTINUE)
    return scheduler


@pytest.mark.parametrize(
    ("options", "levels"),
    [
        ({"max_t": 4}, (1, 2, 3, 4)),
        ({"max_t": 10, "grace_period": 3}, (3, 6, 9, 10)),
        ({"max_t": 9, "grace_period": 3}, (3, 6, 9)),
        ({"max_t": 10, "grace_period": 4, "interval": 2}, (4, 6, 8, 10)),
        ({"max_t": 10, "interval": 100}, (1, 10)),
        ({"max_t": 3, "grace_period": 3}, (3,)),
        ({"max_t": 1, "grace_period": 0.1, "interval": 0.3, "resource_type": "float"}, (0.1, 0.4, 0.7, 1.0)),
    ],
)
def test_milestones(options: dict[str, Any], levels: tuple[float, ...]) -> None:
    scheduler = make_scheduler("median", **options)
    assert scheduler.levels == levels
    assert scheduler.ask().stop == levels[0]


def test_nothing_is_stopped_before_a_trial_has_completed(make: Make) -> None:
    scheduler = make("median", **FOUR)
    started(scheduler, 3)
    for trial, values in enumerate([[9.0] * 3, [0.0] * 3, [-9.0] * 3]):
        assert tell(scheduler, trial, values).verdict is Verdict.CONTINUE
    tell(scheduler, 0, [9.0], first=4)
    assert tell(scheduler, 1, [0.0], first=4).verdict is Verdict.COMPLETE


def test_best_so_far_against_the_running_average(make: Make) -> None:
    """One has completed: 4, 0, 8, ...: averages 4, 2, 4."""
    curve: list[float | None] = [4.0, 0.0, 8.0, 0.0]
    scheduler = completed(make, curve)
    decision = tell(scheduler, 1, [4.0])
    assert decision.verdict is Verdict.CONTINUE  # equal goes on
    assert decision.milestones[0].cutoff == 4
    decision = tell(scheduler, 1, [1.0], first=2)  # its best is 4
    assert (decision.verdict, decision.milestones[0].cutoff) == (Verdict.CONTINUE, 2)
    assert tell(scheduler, 1, [-9.0], first=3).verdict is Verdict.CONTINUE
    scheduler = completed(make, curve)
    decision = tell(scheduler, 1, [3.999])
    assert (decision.verdict, decision.stop) == (Verdict.STOP, None)


def test_min_is_the_mirror_image(make: Make) -> None:
    scheduler = completed(make, [4.0, 0.0, 8.0, 0.0], mode="min")
    assert tell(scheduler, 1, [4.0, 9.0]).verdict is Verdict.STOP  # its best is 4, the average 2
    scheduler = completed(make, [4.0, 0.0, 8.0, 0.0], mode="min")
    decision = tell(scheduler, 1, [4.0, 2.0, 99.0])
    assert (decision.verdict, decision.milestones[0].cutoff) == (Verdict.CONTINUE, 4)


def test_the_median_of_an_even_number_is_halfway(make: Make) -> None:
    scheduler = completed(make, [0.0] * 4, [1.0] * 4, [2.0] * 4, [7.0] * 4)
    decision = tell(scheduler, 4, [1.5])
    assert (decision.verdict, decision.milestones[0].cutoff) == (Verdict.CONTINUE, 1.5)
    scheduler = completed(make, [0.0] * 4, [1.0] * 4, [2.0] * 4, [7.0] * 4)
    assert tell(scheduler, 4, [1.499]).verdict is Verdict.STOP


def test_min_samples(make: Make) -> None:
    for least, verdict in ((2, Verdict.STOP), (3, Verdict.CONTINUE)):
        scheduler = completed(make, [1.0] * 4, [2.0] * 4, min_samples=least)
        assert tell(scheduler, 2, [0.0]).verdict is verdict


def test_among_those_recorded_there_before(make: Make) -> None:
    """None has completed: the first goes on, the second is worse than it, and counts for the third."""
    scheduler = make("median", **FOUR, among="recorded")
    started(scheduler, 4)
    assert tell(scheduler, 0, [2.0]).verdict is Verdict.CONTINUE
    assert tell(scheduler, 1, [1.0]).verdict is Verdict.STOP
    decision = tell(scheduler, 2, [1.5])
    assert (decision.verdict, decision.milestones[0].cutoff) == (Verdict.CONTINUE, 1.5)
    assert tell(scheduler, 2, [1.5], first=2).milestones[0].cutoff is None  # the first there
    decision = tell(scheduler, 0, [0.0], first=2)  # best 2, against the average 1.5
    assert (decision.verdict, decision.milestones[0].cutoff) == (Verdict.CONTINUE, 1.5)
    decision = tell(scheduler, 3, [9.0, 0.0])  # averages 1.5 and 1
    assert (decision.verdict, decision.milestones[0].cutoff) == (Verdict.CONTINUE, 1.25)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, None])
def test_an_average_with_a_non_number_is_the_worst(make: Make, bad: float | None) -> None:
    for value, verdict in ((4.0, Verdict.CONTINUE), (3.999, Verdict.STOP)):
        scheduler = make("median", **FOUR, among="recorded")
        for trial in started(scheduler, 4):
            tell(scheduler, trial, [1.0])
        for trial, second in enumerate([bad, 9.0, 7.0]):
            tell(scheduler, trial, [second], first=2)
        decision = tell(scheduler, 3, [value], first=2)  # against the median of no number, 5 and 4
        assert (decision.verdict, decision.milestones[0].cutoff) == (verdict, 4)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, None])
def test_a_median_with_a_non_number_stops_no_number(make: Make, bad: float | None) -> None:
    scheduler = make("median", **FOUR, among="recorded")
    started(scheduler, 3)
    tell(scheduler, 0, [bad])
    tell(scheduler, 1, [3.0])
    decision = tell(scheduler, 2, [-1e300])
    assert (decision.verdict, decision.milestones[0].cutoff) == (Verdict.CONTINUE, None)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, None])
def test_a_value_that_is_no_number_is_stopped(make: Make, bad: float | None) -> None:
    """The first at a milestone too, whatever there is to hold it against, and however good it was before."""
    scheduler = make("median", **FOUR, min_samples=5)
    started(scheduler, 2)
    assert tell(scheduler, 0, [bad]).verdict is Verdict.STOP
    assert tell(scheduler, 1, [3.0, 3.0]).verdict is Verdict.CONTINUE
    assert tell(scheduler, 1, [bad], first=3).verdict is Verdict.STOP
    assert tell(completed(make, [3.0] * 4), 1, [9.0, bad]).verdict is Verdict.STOP
    last = tell(completed(make, [3.0] * 4), 1, [9.0, 9.0, 9.0, bad])
    assert last.verdict is Verdict.COMPLETE  # at R nothing is decided


def test_equal_values_have_themselves_as_average(make: Make) -> None:
    """The sum of three floats 0.1, divided by 3, is above 0.1."""
    assert (0.1 + 0.1 + 0.1) / 3 > 0.1
    scheduler = completed(make, [0.1] * 4)
    assert tell(scheduler, 1, [0.1] * 4).verdict is Verdict.COMPLETE


def test_a_failed_trial_is_nobodys_measure(make: Make) -> None:
    scheduler = make("median", **FOUR, retries=1)
    started(scheduler, 2)
    tell(scheduler, 0, [9.0] * 3)
    assert scheduler.tell(Failure(0, 3)).verdict is Verdict.RETRY
    assert tell(scheduler, 1, [0.0]).verdict is Verdict.CONTINUE
    assert scheduler.ask().start == 3
    assert tell(scheduler, 0, [9.0], first=4).verdict is Verdict.COMPLETE
    assert tell(scheduler, 1, [0.0], first=2).verdict is Verdict.STOP  # after its retry it has completed


def test_a_trial_that_ends_by_itself_counts_as_far_as_it_came() -> None:
    scheduler = make_scheduler("median", **FOUR)
    started(scheduler, 3)
    tell(scheduler, 0, [9.0] * 2)
    scheduler.end(0)
    assert tell(scheduler, 1, [0.0]).verdict is Verdict.STOP
    assert tell(scheduler, 2, [9.0, 0.0]).verdict is Verdict.CONTINUE
    assert tell(scheduler, 2, [0.0], first=3).milestones[0].cutoff is None


def test_a_state_knows_what_counts_of_a_trial_that_ended_by_itself() -> None:
    scheduler = make_scheduler("median", **FOUR)
    started(scheduler, 2)
    tell(scheduler, 0, [9.0] * 2)
    scheduler.end(0)
    copy = make_scheduler("median", **FOUR)
    copy.load_state_dict(round_trip(scheduler))
    assert tell(copy, 1, [0.0]).verdict is Verdict.STOP


FLOATS = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.1, 5e-324, -1.7e308, 1.7e308])


@settings(max_examples=examples(300), deadline=None)
@given(st.lists(FLOATS, min_size=1, max_size=9))
def test_averages_are_the_nearest_floats(values: list[float]) -> None:
    curve = RunningAverages()
    for value in values:
        curve.add(value)
    assert curve.averages == [average(list(values[: n + 1])) for n in range(len(values))]
    assert curve.averages[-1] == float(sum(map(Fraction, values)) / len(values))
    assert curve.best == max(values)


def test_explain_says_what_counted() -> None:
    scheduler = completed(make_scheduler, [4.0, 0.0, 8.0, 0.0])
    tell(scheduler, 1, [5.0])
    assert scheduler.explain(1).text == (
        "Trial 1 (bracket 0) came to level 1 with 5, rank 1 of 2 there, against a cutoff of 4: continue."
    )
    tell(scheduler, 1, [1.0], first=2)
    told = scheduler.explain(1)
    assert (told.level, told.n, told.rank, told.cutoff) == (2, 2, 1, 2)
    assert told.text.endswith("against a cutoff of 2: continue. What counted is its best value so far, 5.")
    scheduler.tell(Failure(1, 2))
    assert scheduler.explain(1).text.endswith("value so far, 5. It has failed for good since.")
    assert scheduler.explain(0).text.endswith("rank 1 of 1 there: complete.")


@pytest.mark.parametrize(("among", "least", "most"), [("completed", 1800, 2000), ("recorded", 900, 1100)])
def test_how_many_of_many_are_stopped(among: str, least: int, most: int) -> None:
    """One decision each, in random order: half are below the median of all before.

    Those that completed were above it themselves, so their median rises.
    """
    scheduler = make_scheduler("median", max_t=2, among=among, num_trials=2000)
    random_ = random.Random(7)
    while (job := scheduler.ask()) is not None:
        value, stop = random_.random(), job.stop
        while stop is not None:
            stop = scheduler.tell(Report(job.trial, stop, value)).stop
    assert least < scheduler.status_counts()["stopped"] < most


def test_a_state_knows_who_is_under_way() -> None:
    scheduler = completed(make_scheduler, [4.0, 0.0, 8.0, 0.0], [1.0] * 4, num_trials=9, retries=1)
    tell(scheduler, 2, [5.0, 1.0])
    copy = make_scheduler("median", **FOUR, num_trials=9, retries=1)
    copy.load_state_dict(round_trip(scheduler))
    for one in (scheduler, copy):
        decision = tell(one, 2, [0.0], first=3)
        assert (decision.verdict, decision.milestones[0].cutoff) == (Verdict.CONTINUE, 2.5)
    assert round_trip(copy) == round_trip(scheduler)
    assert copy.explain(2) == scheduler.explain(2)
