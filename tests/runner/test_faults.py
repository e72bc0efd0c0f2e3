"""Whatever goes wrong among the workers, a study ends, and decides by what was told and by nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from tests.doubles.fake_trials import Curve, Fault
from tests.profile import examples

from .checks import check_end, check_reports, tell_again
from .studies import Run, Study, small, studies


@settings(max_examples=examples(300))
@given(studies())
def test_whatever_goes_wrong(study: Study) -> None:
    run = study.run()
    check_end(run)
    check_reports(run)
    tell_again(run)
    assert not run.searcher.pending


# One thing at a time, in studies of nine epochs, a second each; milestones are at 1, 3 and 9


def told(run: Run, trial: int) -> list[tuple[float, str]]:
    """Return the levels at which a trial was decided about, and the verdicts."""
    return [(row[2], row[6]) for row in run.decided() if row[0] == trial]


def kinds(run: Run) -> list[tuple[int, str]]:
    return [(trial, kind) for trial, kind, _ in run.journal_state.failures]


def test_nothing_goes_wrong() -> None:
    run = small("fifo", trials=2).run()
    check_end(run)
    assert [record["e"] for record in run.records] == [
        "study",
        *(["start", *["rows"] * 8, "reach", "gone"] * 2),
        *("none", "close"),
    ]
    assert run.journal_state.late == run.journal_state.lost_rows == 0
    assert run.jobs()["end_time"].to_list() == [9.0, 18.0]


def test_a_job_knows_the_best_value_when_it_starts() -> None:
    run = small("fifo", trials=3).run()
    values = [[run.study.curve.value(trial, epoch) for epoch in range(1, 10)] for trial in range(2)]
    best = max(values[0])
    assert [task.best for task in run.crew.begun] == [None, best, max(best, *values[1])]


def test_a_job_that_fails_before_its_first_report_had_begun() -> None:
    run = small("fifo", trials=1, faults=[Fault(0, "slow start", seconds=2.0), Fault(0, "error", 0)]).run()
    assert run.jobs()["train_start"].to_list() == [2.0]


def test_reports_between_milestones_that_never_come() -> None:
    run = small("fifo", trials=1, faults=[Fault(0, "drop", 1), Fault(0, "drop", 4)]).run()
    check_end(run)
    assert run.journal_state.lost_rows == 2
    assert [r[3]["number"] for x in run.records for r in x.get("rows", ())] == [0, 2, 3, 5, 6, 7, 8]


def test_a_report_that_comes_twice_after_one_that_never_came() -> None:
    run = small("fifo", trials=1, faults=[Fault(0, "drop", 1), Fault(0, "twice", 2)]).run()
    check_reports(run)
    assert (run.journal_state.late, run.journal_state.lost_rows) == (1, 1)


def test_a_milestone_that_comes_twice_after_a_report_that_never_came() -> None:
    """The second one comes while the next stretch trains: it must not count as the next milestone."""
    faults = [Fault(0, "drop", 1), Fault(0, "twice", 2, seconds=0.5)]
    run = small("stopping", trials=1, faults=faults).run()
    assert told(run, 0) == [(1, "continue"), (3, "continue"), (9, "complete")]
    assert (run.journal_state.late, run.journal_state.lost_rows) == (1, 1)


def test_a_milestone_that_is_late() -> None:
    run = small("fifo", trials=1, faults=[Fault(0, "delay", 8, seconds=30)]).run()
    assert run.decisions.rows()["time"].tolist() == [39.0]
    assert run.journal_state.late == 0


def test_reports_that_are_overtaken() -> None:
    run = small("stopping", trials=1, faults=[Fault(0, "delay", 1, seconds=1.5)]).run()
    check_reports(run)
    assert told(run, 0) == [(1, "continue"), (3, "continue"), (9, "complete")]
    assert (run.journal_state.late, run.journal_state.lost_rows) == (1, 1)


def test_a_milestone_that_never_comes() -> None:
    """The trial would wait for ever: it has hung, and its retry trains from zero."""
    study = small("fifo", trials=1, retries=1, faults=[Fault(0, "drop", 8)])
    run = study.run()
    check_end(run)
    assert run.journal_state.failures == [(0, "lost", "nothing was reported for 200 s (hang_timeout)")]
    assert told(run, 0) == [(9, "complete")]
    assert run.jobs()["attempt"].to_list() == [0, 1]


@pytest.mark.parametrize("kind", ["error", "oom", "lost"])
def test_failures(kind: str) -> None:
    run = small("fifo", trials=2, faults=[Fault(0, kind, 3)]).run()
    check_end(run)
    assert run.journal_state.failures == [(0, kind, "as it was told")]
    failed = run.jobs().row(0, named=True)
    assert (failed["stop_resource"], failed["verdict"]) == (3, "failed")
    assert run.scheduler.trial_statuses() == ["failed", "completed"]


def test_the_reports_before_a_failure_are_kept() -> None:
    """They come with its end."""
    run = small("fifo", trials=1, faults=[Fault(0, "error", 4)], curve={"batch": 5}).run()
    assert [record["e"] for record in run.records[1:5]] == ["start", "rows", "fail", "gone"]
    assert [row[2] for row in run.records[2]["rows"]] == [1, 2, 3, 4]


def test_a_trial_that_dies_while_its_milestone_is_under_way() -> None:
    """The milestone counts; then the failure does."""
    run = small("stopping", trials=1, faults=[Fault(0, "dies waiting", 2)]).run()
    check_end(run)
    assert told(run, 0) == [(1, "continue"), (3, "continue")]
    assert run.scheduler.trial_statuses() == ["failed"]


def test_a_trial_that_dies_while_it_is_paused() -> None:
    """It has paused, and nothing has failed; later it is promoted."""
    run = small(trials=3, faults=[Fault(n, "dies waiting") for n in range(2)]).run()
    check_end(run)
    assert run.journal_state.failures == []
    assert run.jobs()["verdict"].to_list()[:2] == ["pause", "pause"]


def test_a_function_that_returns_early() -> None:
    run = small("stopping", trials=1, faults=[Fault(0, "return", 4)]).run()
    check_end(run)
    assert told(run, 0) == [(1, "continue"), (3, "continue")]
    assert run.journal_state.returned == {0: 5}
    assert run.scheduler.trial_statuses() == ["completed"]


def test_a_function_that_returns_at_once_when_it_is_promoted() -> None:
    """It had trained to 1, and has only one epoch: that is the end of its own, and no failure."""
    run = small("promotion", trials=3, curve={"ends": tuple((trial, 1) for trial in range(3))}).run()
    check_end(run)
    assert run.journal_state.failures == []
    assert list(run.journal_state.returned.values()) == [1]
    assert sorted(run.scheduler.trial_statuses()) == ["completed", "paused", "paused"]


def test_a_function_that_returns_without_a_report() -> None:
    run = small("stopping", trials=1, faults=[Fault(0, "silent")]).run()
    assert run.journal_state.failures == [(0, "error", "the function returned without a report")]


def test_a_function_that_returns_and_whose_reports_never_came() -> None:
    run = small("fifo", trials=1, faults=[Fault(0, "return", 0), Fault(0, "drop", 0)]).run()
    check_end(run)
    assert run.journal_state.failures == []
    assert run.journal_state.lost_rows == 1


def test_a_trial_that_somebody_else_terminates() -> None:
    run = small("fifo", trials=1, retries=1, faults=[Fault(0, "terminated", 3)]).run()
    assert kinds(run) == [(0, "lost")]
    assert told(run, 0) == [(9, "complete")]


def test_a_stopped_trial_that_does_not_leave() -> None:
    """It is killed after the grace, as nothing that failed."""
    run = small("fifo", trials=1, faults=[Fault(0, "deaf")]).run()
    check_end(run)
    assert run.crew.killed == [(0, "it was told to leave and did not")]
    assert run.journal_state.failures == []
    job = run.jobs().row(0, named=True)
    assert job["verdict"] == "complete"
    assert 14.0 <= job["end_time"] <= 14.5


def test_who_saves_before_it_leaves() -> None:
    """Who pauses does, and nobody else: the trial would never need it."""
    run = small(trials=9).run()
    verdicts = dict(run.jobs().select("job", "verdict").rows())
    assert {"pause", "complete"} <= set(verdicts.values())
    assert run.crew.left == [(job, verdict == "pause") for job, verdict in verdicts.items()]


def test_what_has_happened_is_told_before_anything_is_asked() -> None:
    """Both workers' trials fail at the same moment."""
    run = small("fifo", trials=4, workers=2, faults=[Fault(0, "error", 3), Fault(1, "error", 3)]).run()
    records = [record["e"] for record in run.records if record.get("t") == 4.0]
    assert records == ["fail", "gone", "fail", "gone", "start", "start"]


def test_a_stopped_trial_that_reports_once_more() -> None:
    """It counts as late: it was decided that the trial is complete."""
    run = small("fifo", trials=1, faults=[Fault(0, "stubborn")]).run()
    check_end(run)
    assert run.journal_state.late == 1
    assert [record["e"] for record in run.records[-5:]] == ["reach", "late", "gone", "none", "close"]


def test_a_paused_trial_that_does_not_leave() -> None:
    """It may be saving, which takes as long as it takes: only `hang_timeout` ends it."""
    run = small(trials=3, faults=[Fault(0, "deaf")]).run()
    check_end(run)
    assert run.crew.killed == [(0, "nothing was reported for 200 s (hang_timeout)")]
    assert run.journal_state.failures == []
    assert run.jobs().row(0, named=True)["verdict"] == "pause"


def test_a_trial_that_hangs() -> None:
    run = small("fifo", trials=1, faults=[Fault(0, "hang", 2)]).run()
    check_end(run)
    assert kinds(run) == [(0, "lost")]
    assert run.scheduler.trial_statuses() == ["failed"]


def test_a_trial_that_is_promoted_while_it_saves() -> None:
    """Its next job has a worker, and waits there until the last process is gone."""
    study = small(trials=3, workers=2)
    best = next(job for job in study.run().jobs().rows(named=True) if job["start_resource"])
    run = small(trials=3, workers=2, faults=[Fault(best["trial"], "slow save", seconds=30)]).run()
    check_end(run)
    jobs = run.jobs().filter(trial=best["trial"]).rows(named=True)
    assert jobs[0]["end_time"] >= 30
    assert jobs[1]["start_time"] < jobs[0]["end_time"] == jobs[1]["train_start"]
    assert jobs[0]["worker"] != jobs[1]["worker"]


def test_until_return() -> None:
    """Without milestones a trial is complete when its function returns, wherever that is."""
    study = small("fifo", trials=2, faults=[Fault(0, "return", 4)], until_return=True)
    run = study.run()
    check_end(run)
    assert told(run, 0) == told(run, 1) == [(9, "complete")]
    assert run.jobs()["stop_resource"].to_list() == [5, 9]
    assert run.journal_state.returned == {}
    assert [row[3] for row in run.decided()] == [study.curve.value(0, 5), study.curve.value(1, 9)]


def test_a_report_past_several_milestones() -> None:
    """It counts at each in order, and the searcher is told so."""
    run = small("stopping", trials=1, curve={"paces": (4,)}).run()
    assert told(run, 0) == [(1, "continue"), (3, "continue"), (9, "complete")]
    assert [row[3] for row in run.decided()][:2] == [Curve(9).value(0, 4)] * 2
    assert [call[:3] for call in run.searcher.calls] == [
        *(("start", 0, 1), ("report", 0, 1), ("start", 0, 3), ("report", 0, 3)),
        *(("start", 0, 9), ("report", 0, 9), ("end", 0)),
    ]
