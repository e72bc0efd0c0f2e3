"""Trials that train for too long, and trials that run out of memory, on pretended workers."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from hbsim.runner.real import TICK, Limits
from hbsim.runner.records import WorkerJoined
from hbsim.runner.worker_pool import PAUSE
from tests.doubles.fake_trials import Fault
from tests.profile import examples

from .checks import check_end, check_left, check_times, tell_again
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


# Out of memory


def starts(run: Run) -> list[tuple[float, int, int, int]]:
    """Return when each job began to train, its trial, its attempt and its worker."""
    begun = run.jobs().filter(run.jobs()["train_start"].is_not_null()).sort("train_start")
    return begun.select("train_start", "trial", "attempt", "worker").rows()


def test_a_trial_without_memory_waits_until_another_has_left_and_starts_in_its_place() -> None:
    """Trial 0 fails at 3 s, its worker takes trial 2, and it starts when trial 1 leaves, in its place."""
    faults = [Fault(0, "oom", 2), Fault(1, "slow start", seconds=1)]
    run = small("fifo", trials=3, workers=2, retries=1, faults=faults).run()
    check_end(run)
    tell_again(run)
    assert starts(run) == [(0, 0, 0, 0), (1, 1, 0, 1), (3, 2, 0, 0), (10, 0, 1, 1)]
    assert failures(run) == [(0, "oom", "as it was told")]
    assert run.scheduler.trial_statuses() == ["completed"] * 3


def test_where_no_other_trial_runs_it_goes_on_after_a_pause() -> None:
    run = small("fifo", trials=1, retries=3, faults=[Fault(job, "oom") for job in range(4)]).run()
    check_end(run)
    assert [kind for _, kind, _ in failures(run)] == ["oom"] * 4
    times = [time for time, *_ in starts(run)]
    pauses = [after - before - 1 for before, after in pairwise(times)]  # each fails after a second
    assert all(PAUSE <= pause <= PAUSE + TICK for pause in pauses)


def test_a_lack_of_memory_of_another_frees_nothing() -> None:
    """Both fail at 1 s. The first goes on after the pause, alone; then the second when it leaves."""
    run = small("fifo", trials=2, workers=2, retries=1, faults=[Fault(0, "oom"), Fault(1, "oom")]).run()
    check_end(run)
    (first, second) = starts(run)[2:]
    assert first[1:] == (0, 1, 1)  # on the other worker
    assert 1 + PAUSE <= first[0] <= 1 + PAUSE + TICK
    assert second == (first[0] + 9, 1, 1, 0)


def test_another_host_before_another_gpu_before_another_worker() -> None:
    place = WorkerJoined(time=0.0, worker=0, host="a", cpus=1, gpus=["0"])
    pool = Run(small(workers=4)).real._pool
    pool._journal_state.machines = {
        0: place,
        1: place,
        2: replace(place, gpus=["1"]),
        3: replace(place, host="b"),
    }
    for pool.free, best in (([0, 1, 2, 3], 3), ([0, 1, 2], 2), ([0, 1], 1), ([0], 0)):
        assert pool._elsewhere(0) == best


@given(studies(types=("promotion", "stopping", "fifo", "sha", "hyperband")), st.data())
@settings(max_examples=examples(80))
def test_no_retry_starts_at_once_nothing_is_stuck_and_every_journal_resumes(study, data):
    study.options["retries"] = data.draw(st.integers(1, 2))
    jobs = data.draw(st.lists(st.integers(0, 12), min_size=1, max_size=8))
    study.faults = [*study.faults, *(Fault(job, "oom", data.draw(st.integers(0, 2))) for job in jobs)]
    run = study.run()
    check_left(run)
    tell_again(run)
    assert run.scheduler.done or run.real.ends.failing
    check_postponed(run)
    cut = data.draw(st.integers(1, len(run.records) - 1))
    again = study.run(run.records[:cut])
    check_left(again)
    assert again.scheduler.done or again.real.ends.failing


def check_postponed(run: Run) -> None:
    """Each retry after a lack of memory starts after another trial has left, or alone after a pause."""
    running: dict[int, int] = {}  # the trial of each job with a process
    failed: dict[int, float] = {}  # when trials ran out of memory that wait for a retry
    left: dict[int, bool] = {}  # whether another trial has left since
    kinds: dict[int, str] = {}
    for number, record in enumerate(run.records):
        job = record.get("job")
        if record["e"] in ("start", "restart"):
            trial = record["trial"]
            if trial in failed and record["e"] == "restart":
                alone = not running and record["t"] - failed[trial] >= PAUSE - 1e-5
                assert left[trial] or alone
                del failed[trial]
            running[job] = trial
            following = run.records[number + 1 : number + 2]
            is_postponed = trial in failed and following and following[0]["e"] == "gone"
            assert is_postponed or trial not in failed
        elif record["e"] == "fail":
            kinds[job] = record["kind"]
            if (record["kind"], record["verdict"]) == ("oom", "retry"):
                failed[running[job]], left[running[job]] = record["t"], False
        elif record["e"] == "gone":
            trial = running.pop(job)
            if record["begun"] is not None and kinds.get(job) != "oom":
                left.update(dict.fromkeys(left, True))
