"""A study that is interrupted, or out of time, or good enough, lets what runs leave, and can go on."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbsim.runner.real import Limits
from hbsim.runner.worker_pool import Watchdog
from hbsim.runner.workers import WorkerBackend
from tests.doubles.fake_trials import Curve, Fault
from tests.profile import examples

from .checks import check_end, check_left, check_reports, tell_again
from .studies import HANGS, Run, Study, replayed, small, studies

TYPES = ("stopping", "promotion", "sha", "hyperband", "pasha", "median", "fifo")


def interrupted(study: Study, records: Any, number: int, **changes: Any) -> Run:
    """Run until a record of a number is written, and interrupt it there, as a signal may."""
    run = Run(study, records, **changes)
    run.notes.hooks[number] = run.real.interrupt
    return run.go()


def check_cut(run: Run) -> None:
    """Everything has left, and what was told is decided."""
    check_left(run)
    check_reports(run)
    tell_again(run)


@settings(max_examples=examples(120))
@given(studies(), st.lists(st.floats(0, 1), min_size=1, max_size=3), st.integers(1, 5))
def test_at_any_record(study: Study, where: list[float], workers: int) -> None:
    """Interrupted, resumed and interrupted again, then resumed with more or fewer workers."""
    length = len(study.run().records)
    records: Any = ()
    for share in where:
        number = len(records) + round(share * max(0, length - len(records))) + 1
        run = interrupted(study, records, number)
        records = run.records
        check_cut(run)
    run = study.run(records, workers=workers)
    check_end(run)
    check_reports(run)
    tell_again(run)


@settings(max_examples=examples(120))
@given(studies(), st.integers(1, 600))
def test_out_of_time(study: Study, tenths: int) -> None:
    """Nothing starts after `max_time`; whatever does not leave is killed after the grace."""
    run = study.run(limits=Limits(max_time=tenths / 10, hang_timeout=HANGS, grace=2.0))
    if not run.scheduler.done:
        assert run.records[-1]["why"] == "max_time"
        assert run.journal_state.closing
    check_cut(run)
    started = [r["t"] for r in run.records if r["e"] in ("start", "restart")]
    assert all(start < tenths / 10 for start in started)
    run = study.run(run.records)
    check_end(run)
    tell_again(run)


@settings(max_examples=examples(80))
@given(studies(), st.integers(0, 10))
def test_good_enough(study: Study, tenths: int) -> None:
    run = study.run(limits=Limits(max_reward=tenths / 10, hang_timeout=HANGS))
    check_cut(run)
    sign = 1 if run.scheduler.mode == "max" else -1
    good = next((r["n"] for r in run.records if is_good(r, sign, tenths / 10)), None)
    assert run.real.ends.enough == (good is not None)
    if good is not None:
        assert not [r for r in run.records[good:] if r["e"] in ("start", "restart")]
    else:
        check_end(run)
    check_end(study.run(run.records))


def is_good(record: dict[str, Any], sign: int, target: float) -> bool:
    values = [row[3]["value"] for row in record.get("rows", ())]
    return any(value is not None and sign * value >= sign * target for value in values)


@settings(max_examples=examples(80))
@given(studies(faulty=False, workers=1), st.lists(st.floats(0, 1), min_size=1, max_size=3))
def test_one_worker_decides_the_same(study: Study, where: list[float]) -> None:
    undisturbed = study.run()
    records: Any = ()
    for share in where:
        number = len(records) + round(share * len(undisturbed.records)) + 1
        records = interrupted(study, records, number).records
    run = study.run(records)
    check_end(run)
    assert run.decided() == undisturbed.decided()


# One thing at a time: nine epochs, a second each; milestones at 1, 3 and 9


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("type", TYPES)
def test_every_record(type: str, workers: int) -> None:
    study = small(type, trials=5, workers=workers, retries=1, faults=[Fault(2, "error", 0)])
    for number in range(1, len(study.run().records)):
        run = interrupted(study, (), number)
        check_cut(run)
        assert run.records[-1]["why"] in ("interrupted", "done")
        check_end(study.run(run.records))


def test_a_trial_leaves_at_its_next_report() -> None:
    study = small("fifo", trials=2)
    run = Run(study)
    run.crew.at(5.0 + 3.5, run.real.interrupt)
    run.go()
    job = run.jobs().row(0, named=True)
    assert (job["stop_resource"], job["end_time"], job["verdict"]) == (4, 4.0, "censored")
    assert run.records[-1]["why"] == "interrupted"
    again = study.run(run.records)
    assert [job["start_time"] for job in again.jobs().rows(named=True)] == [0.0, 4.0, 13.0]
    assert again.records[-1]["why"] == "done"


@pytest.mark.parametrize("seconds", [0.0, 2.0])
def test_a_milestone_that_was_under_way_counts(seconds: float) -> None:
    """It was reported at 3.5 s, and is heard of at 4 s; by then the trial has left or is about to."""
    faults = [Fault(0, "slow save", seconds=seconds)]
    run = Run(small("stopping", trials=1, latency=0.5, faults=faults))
    run.crew.at(5.0 + 3.75, run.real.interrupt)
    run.go()
    check_cut(run)
    assert [(row[2], row[6]) for row in run.decided()] == [(1, "continue"), (3, "continue")]
    restart = next(r for r in run.study.run(run.records).records if r["e"] == "restart")
    assert (restart["start"], restart["stop"]) == (3, 9)


def test_what_is_reported_after_a_milestone_and_before_its_answer() -> None:
    """By a function that was told to leave there, and reports once more: that is late."""
    run = Run(small("stopping", trials=1, faults=[Fault(0, "stubborn")]))
    run.notes.hooks[1] = run.real.interrupt
    run.go()
    check_cut(run)
    assert run.journal_state.late == 1
    assert [record["e"] for record in run.records[1:]] == ["start", "late", "reach", "gone", "close"]


def test_a_failure_meanwhile_counts() -> None:
    run = Run(small("fifo", trials=1, faults=[Fault(0, "error", 3)]))
    run.crew.at(5.0 + 3.5, run.real.interrupt)
    run.go()
    assert run.scheduler.trial_statuses() == ["failed"]
    assert run.records[-1]["why"] == "done"


@pytest.mark.parametrize("kind", ["lost", "terminated"])
def test_a_trial_that_the_same_signal_ends_has_not_failed(kind: str) -> None:
    run = Run(small("fifo", trials=1, faults=[Fault(0, kind, 3)]))
    run.crew.at(5.0 + 3.5, run.real.interrupt)
    run.go()
    check_cut(run)
    assert run.scheduler.trial_statuses() == ["running"]
    assert run.records[-1]["why"] == "interrupted"
    check_end(run.study.run(run.records, faults=()))


def test_what_waits_for_a_trial_that_saves() -> None:
    """The promoted trial had not begun: its job ends with nothing trained, and it goes on later."""
    study = small(trials=3, workers=2)
    best = next(job for job in study.run().jobs().rows(named=True) if job["start_resource"])
    slow = [Fault(best["trial"], "slow save", seconds=30)]
    run = Run(replace(study, faults=slow))
    run.crew.at(5.0 + 20, run.real.interrupt)
    run.go()
    check_cut(run)
    jobs = run.jobs().filter(trial=best["trial"]).rows(named=True)
    assert [job["verdict"] for job in jobs] == ["pause", "censored"]
    assert jobs[1]["train_start"] is None
    check_end(study.run(run.records))


def test_a_trial_that_does_not_leave_in_time() -> None:
    limits = Limits(max_time=4.0, grace=3.0, hang_timeout=HANGS)
    run = small("fifo", trials=1, faults=[Fault(0, "hang", 2)], limits=limits).run()
    check_cut(run)
    assert run.crew.killed == [(0, "it was told to leave and did not")]
    job = run.jobs().row(0, named=True)
    assert job["verdict"] == "censored"
    assert 7.0 <= job["end_time"] <= 7.5
    assert run.journal_state.failures == []


def test_out_of_time_before_it_was_resumed() -> None:
    """The clock of the study goes on where it stopped: there is no time left."""
    study = small("fifo", trials=3, limits=Limits(max_time=4.0))
    first = study.run()
    again = study.run(first.records, now=1e6)
    assert [record["e"] for record in again.records[len(first.records) :]] == ["resume", "close"]
    assert again.records[-1]["why"] == "max_time"
    assert again.jobs()["end_time"].to_list() == [5.0]
    assert first.journal_state.why == "max_time"
    assert replayed(study, again.records[:-1]).journal_state.why is None  # it goes on, or was killed


def test_a_good_report_between_milestones() -> None:
    study = small("fifo", trials=3)
    values = [study.curve.value(0, epoch) for epoch in range(1, 10)]
    target = sorted(values)[-2]  # type: ignore[type-var]
    run = study.run(limits=Limits(max_reward=target))
    assert run.journal_state.best.value >= target
    assert run.records[-1]["why"] == "max_reward"
    assert run.scheduler.started == 1


def test_a_good_report_in_the_message_of_a_milestone() -> None:
    """The second epoch of trial 2 is good, and comes with the third, which is not."""
    study = Study("fifo", {"max_t": 3, "num_trials": 5}, Curve(3, batch=9))
    assert [study.curve.value(2, epoch) > 0.99 for epoch in (1, 2, 3)] == [False, True, False]
    run = study.run(limits=Limits(max_reward=0.99))
    assert run.records[-1]["why"] == "max_reward"
    assert run.scheduler.trial_statuses() == ["completed"] * 3


def test_good_enough_before_it_was_resumed() -> None:
    """The process died before it could end the study: that is the first thing that the next one does."""
    study = small("fifo", trials=3)
    goal = Limits(max_reward=study.curve.value(0, 2))
    records = study.run().records
    place = next(n for n, record in enumerate(records) if is_good(record, 1, goal.max_reward or 0.0))
    run = study.run(records[: place + 1], limits=goal)
    assert run.crew.begun == []
    assert run.records[-1]["why"] == "max_reward"
    check_end(study.run(run.records, limits=replace(goal, max_reward=2.0)))


def test_who_is_in_a_hurry_lets_nobody_take_time() -> None:
    """Also those are killed that were told before, or are told later, to save before they leave."""
    clock, killed = [0.0], []

    class Killing:
        def leave(self, job: int, save: bool) -> None: ...

        def kill(self, job: int, reason: str = "") -> None:
            killed.append(job)

    watch = Watchdog(cast(WorkerBackend, Killing()), lambda: clock[0], inf)
    for job in (1, 2, 3):
        watch.heard_of(job)
    watch.leave(1, True, inf)
    watch.hurry(2.0)
    watch.leave(2, True, inf)
    for clock[0] in (1.9, 2.0, 9.0):
        watch.look()
        assert killed == ([] if clock[0] < 2.0 else [1, 2, 3])
    assert watch.cut == {1, 2, 3}
