"""Trials that train for too long, and trials that run out of memory, on pretended workers."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from hbsim.runner.real import Limits
from tests.doubles.fake_trials import Fault
from tests.profile import examples

from .checks import check_end, check_times
from .studies import HANGS, Run, small, studies


def limits(seconds: float) -> Limits:
    return Limits(hang_timeout=HANGS, trial_timeout=seconds)


def failures(run: Run) -> list[tuple[int, str, str]]:
    return run.journal_state.failures


TOO_LONG = "it trained for more than 5 s (trial_timeout)"


def test_a_trial_that_trains_for_too_long_fails_and_the_rest_goes_on() -> None:
    run = small("fifo", trials=2, faults=[Fault(1, "return", 2)], limits=limits(5)).run()
    check_end(run)
    assert failures(run) == [(0, "error", TOO_LONG)]
    assert run.scheduler.trial_statuses() == ["failed", "completed"]
    assert run.journal_state.highest == {0: 5, 1: 3}  # what it had reported is kept
    job = run.jobs().row(0, named=True)
    assert 5 < job["end_time"] <= 5.5


def test_start_up_does_not_count() -> None:
    faults = [Fault(0, "slow start", seconds=100), Fault(0, "return", 3)]
    run = small("fifo", trials=1, faults=faults, limits=limits(5)).run()
    assert failures(run) == []


def test_a_trial_that_never_reports_is_ended_too() -> None:
    faults = [Fault(0, "slow start", seconds=10), Fault(0, "hang", 0)]
    run = small("fifo", trials=1, faults=faults, limits=limits(5)).run()
    assert failures(run) == [(0, "error", TOO_LONG)]
    assert 15 < run.jobs().row(0, named=True)["end_time"] <= 15.5


def test_the_limit_is_that_of_all_jobs_of_a_trial() -> None:
    """Its first job trains for a second, its second for two: the third has two, and needs six."""
    run = small("promotion", trials=9, limits=limits(5)).run()
    check_end(run)
    assert {kind for _, kind, _ in failures(run)} == {"error"}
    assert run.journal_state.highest[failures(run)[0][0]] == 5
    assert "completed" not in run.scheduler.trial_statuses()


def test_a_retry_gets_no_more_time_and_no_loss_retry() -> None:
    study = small("fifo", trials=2, retries=2, limits=limits(5))
    study.options["loss_retries"] = 50
    run = study.run()
    check_end(run)
    assert failures(run) == [(0, "error", TOO_LONG)] * 3 + [(1, "error", TOO_LONG)] * 3
    assert run.jobs()["end_time"].max() < 15  # a retry ends as soon as it begins


def test_time_before_a_resumption_counts_and_that_of_a_lost_job_up_to_its_last_report() -> None:
    study = small("fifo", trials=1, retries=1, faults=[Fault(0, "lost", 3)], limits=limits(5))
    first = study.run()
    assert [kind for _, kind, _ in failures(first)] == ["lost", "error"]
    assert first.journal_state.trained == {0: 5.25}
    cut = next(number for number, record in enumerate(first.records) if record["e"] == "fail")
    again = study.run(first.records[: cut + 2], faults=[])
    assert [kind for _, kind, _ in failures(again)] == ["lost", "error"]
    assert again.journal_state.trained == {0: 5.25}


@given(studies(types=("promotion", "stopping", "fifo")), st.sampled_from([0.5, 3.0, 8.0]))
@settings(max_examples=examples(40))
def test_no_trial_trains_for_much_longer(study, seconds):
    study.limits = limits(seconds)
    run = study.run()
    check_times(run)
    assert run.scheduler.done or run.real.ends.failing
    late = 0.5 + study.latency + max([fault.seconds for fault in study.faults], default=0.0)
    for trained in run.journal_state.trained.values():
        assert trained <= seconds + late * (study.options.get("retries", 0) + 1)
