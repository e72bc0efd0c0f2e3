"""`dropped()`: paused trials that can never go on, each named once, in time for their checkpoints to go."""

from __future__ import annotations

from typing import Any

from hbsim.core import Failure, Report, Verdict, make_scheduler
from tests.doubles.pair import round_trip

NINE: dict[str, Any] = {"max_t": 9, "grace_period": 1, "reduction_factor": 3}
THREE: dict[str, Any] = {"max_t": 3, "grace_period": 1, "reduction_factor": 3, "brackets": 1}


def tell_all(scheduler: Any, values: dict[int, float], level: float = 1) -> list[Verdict]:
    return [scheduler.tell(Report(trial, level, value)).verdict for trial, value in values.items()]


def named(scheduler: Any) -> list[int]:
    """Return what is new, and check that it is named once."""
    new = sorted(scheduler.dropped())
    assert not list(scheduler.dropped())
    return new


def test_losers_of_a_complete_rung() -> None:
    scheduler = make_scheduler("sha", **NINE, n=9)
    for _ in range(9):
        scheduler.ask()
    tell_all(scheduler, {trial: float(trial) for trial in range(8)})
    assert named(scheduler) == []
    tell_all(scheduler, {8: 8.0})
    assert named(scheduler) == [0, 1, 2, 3, 4, 5]
    assert [scheduler.ask().trial for _ in range(3)] == [6, 7, 8]
    tell_all(scheduler, {6: 1.0, 7: 0.0, 8: 0.5}, level=3)
    assert named(scheduler) == [7, 8]


def test_all_of_a_rung_that_ends_its_bracket() -> None:
    scheduler = make_scheduler("hyperband", **NINE, num_trials=2)
    scheduler.ask(), scheduler.ask()
    tell_all(scheduler, {0: 0.0})
    assert named(scheduler) == []
    tell_all(scheduler, {1: 0.0})
    assert named(scheduler) == [0, 1]
    assert scheduler.done


def test_no_place_can_ever_come() -> None:
    """Two trials and eta = 3: whoever pauses can never go on."""
    scheduler = make_scheduler("promotion", **THREE, num_trials=2)
    scheduler.ask(), scheduler.ask()
    tell_all(scheduler, {0: 0.0})
    assert named(scheduler) == [0]
    tell_all(scheduler, {1: 1.0})
    assert named(scheduler) == [1]


def test_the_places_are_taken_by_trials_that_cannot_fail_any_more() -> None:
    """Six trials, two places. 0 and 3 complete: all that are worse can go, while 5 still runs."""
    scheduler = make_scheduler("promotion", **THREE, num_trials=6, straight_on=False)
    for _ in range(3):
        scheduler.ask()
    tell_all(scheduler, {0: 9.0, 1: 1.0, 2: 2.0})
    assert scheduler.ask().trial == 0
    assert named(scheduler) == []
    assert tell_all(scheduler, {0: 9.0}, level=3) == [Verdict.COMPLETE]
    assert named(scheduler) == []  # one of two places is open still
    assert [scheduler.ask().trial for _ in range(3)] == [3, 4, 5]
    tell_all(scheduler, {3: 8.0, 4: 0.5})
    assert scheduler.ask() is None  # five values, one place
    assert named(scheduler) == []  # 3 is paused: it may fail for good when it is promoted
    tell_all(scheduler, {5: 7.0})
    assert scheduler.ask().trial == 3
    assert named(scheduler) == []
    tell_all(scheduler, {3: 8.0}, level=3)
    assert named(scheduler) == [1, 2, 4, 5]
    assert scheduler.done


def test_named_while_others_still_run() -> None:
    """Seven trials, two places, both taken by trials that completed: the worse can go at once."""
    scheduler = make_scheduler("promotion", **THREE, num_trials=7, straight_on=True)
    for _ in range(7):
        scheduler.ask()
    assert tell_all(scheduler, {0: 1.0, 1: 2.0, 2: 9.0}) == [Verdict.PAUSE, Verdict.PAUSE, Verdict.CONTINUE]
    tell_all(scheduler, {3: 0.0, 4: 0.0})
    assert tell_all(scheduler, {5: 8.0}) == [Verdict.CONTINUE]
    assert named(scheduler) == []
    assert tell_all(scheduler, {2: 9.0, 5: 8.0}, level=3) == [Verdict.COMPLETE] * 2
    assert named(scheduler) == [0, 1, 3, 4]  # 6 still runs, and brings no third place
    assert not scheduler.done
    tell_all(scheduler, {6: 0.0})
    assert named(scheduler) == [6]
    scheduler.extend(9)  # a third place: any of them may go on again
    assert named(scheduler) == []
    assert [scheduler.ask().trial for _ in range(2)] == [7, 8]
    assert tell_all(scheduler, {7: 9.5}) == [Verdict.CONTINUE]
    assert named(scheduler) == []
    tell_all(scheduler, {7: 9.5}, level=3)
    assert named(scheduler) == [0, 1, 3, 4, 6]  # 8 still runs


def test_a_failed_trial_takes_no_place() -> None:
    """The promoted one fails for good: the next best is needed still."""
    scheduler = make_scheduler("promotion", **THREE, num_trials=3)
    for _ in range(3):
        scheduler.ask()
    tell_all(scheduler, {0: 3.0, 1: 2.0, 2: 1.0})
    assert scheduler.ask().trial == 0
    assert named(scheduler) == []
    scheduler.tell(Failure(0, 2))
    assert named(scheduler) == []
    assert scheduler.ask().trial == 1
    tell_all(scheduler, {1: 2.0}, level=3)
    assert named(scheduler) == [2]


def test_a_failed_trial_that_holds_its_place() -> None:
    """Only one place can come, and the best has it from the moment it is recorded, failed or not."""
    scheduler = make_scheduler("promotion", **THREE, num_trials=3, failed_places="held")
    for _ in range(3):
        scheduler.ask()
    tell_all(scheduler, {0: 3.0, 1: 2.0})
    assert named(scheduler) == [1]  # at the best it is the second of three
    tell_all(scheduler, {2: 1.0})
    assert named(scheduler) == [2]
    assert scheduler.ask().trial == 0
    assert named(scheduler) == []
    scheduler.tell(Failure(0, 2))
    assert scheduler.ask() is None
    assert named(scheduler) == []
    assert scheduler.done


def test_a_place_may_still_come_beside_one_that_is_held() -> None:
    scheduler = make_scheduler("promotion", **THREE, num_trials=6, failed_places="held")
    for _ in range(4):
        scheduler.ask()
    tell_all(scheduler, {0: 3.0, 1: 2.0, 2: 1.0})
    scheduler.tell(Failure(scheduler.ask().trial, 2))
    assert named(scheduler) == [2]  # two places in the end: of 0, and of 1 unless a better one comes
    scheduler.tell(Failure(3, 0.5))
    assert named(scheduler) == [1]  # five values: no second place


def test_nothing_while_trials_have_no_end() -> None:
    scheduler = make_scheduler("promotion", **THREE)
    for trial in range(30):
        job = scheduler.ask()
        if job.start == 0:
            tell_all(scheduler, {job.trial: float(-trial)})
    assert named(scheduler) == []


def test_types_that_pause_nothing() -> None:
    stopping = make_scheduler("stopping", **THREE, num_trials=2)
    fifo = make_scheduler("fifo", max_t=3, num_trials=2)
    for scheduler in (stopping, fifo):
        while (job := scheduler.ask()) is not None:
            decision = scheduler.tell(Report(job.trial, job.stop, 0.0))
            if decision.stop is not None:
                scheduler.tell(Report(job.trial, decision.stop, 0.0))
        assert scheduler.done
        assert named(scheduler) == []


def test_the_state_remembers_what_was_named() -> None:
    scheduler = make_scheduler("promotion", **THREE, num_trials=2)
    scheduler.ask(), scheduler.ask()
    tell_all(scheduler, {0: 0.0})
    before = round_trip(scheduler)
    assert named(scheduler) == [0]
    after = round_trip(scheduler)
    for state, expected in ((before, [0]), (after, [])):
        copy = make_scheduler("promotion", **THREE, num_trials=2)
        copy.load_state_dict(state)
        assert named(copy) == expected
