"""What trials can do to a study: it goes on, says what happened in one line, and leaves no process behind."""

from __future__ import annotations

import os
import resource
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

import hbsim
from hbsim.errors import HbsimWarning, OutputError, ParameterError
from hbsim.executors import checkpoint
from hbsim.runner.records import ProcessEnded
from hbsim.study.checkpoint_retention import CheckpointRetention
from tests.doubles.checkpoints import load_newest
from tests.doubles.journal_lines import typed
from tests.doubles.trial import of_job

TRAIN = f"{Path(__file__).parent / 'training.py'}:train_fn"
LIMIT = 60.0  # seconds


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HBSIM_TEST", str(tmp_path))
    yield
    deadline = time.monotonic() + LIMIT
    while left := [p for p in psutil.process_iter() if _is_of(p, str(tmp_path))]:
        assert time.monotonic() < deadline, f"left running: {left}"
        time.sleep(0.02)


def _is_of(process: psutil.Process, tag: str) -> bool:
    if process.pid == os.getpid():
        return False
    try:
        return process.environ().get("HBSIM_TEST") == tag and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def run(how: str, trials: int = 3, retries: int = 0, workers: int = 2, **options: object):
    scheduler = hbsim.make_scheduler("stopping", max_t=9, num_trials=trials, retries=retries)
    constants = {"how": how, **options.pop("args", {})}
    return hbsim.run(TRAIN, scheduler, workers=workers, args=constants, progress="none", **options)


KINDS = {
    "killed": ("lost", "SIGKILL"),
    "exit": ("error", "exit status 3"),
    "hard exit": ("error", "exit status 4"),
    "segfault": ("error", "SIGSEGV"),
    "raise": ("error", "ValueError: the learning rate is wrong (training.py:"),
    "unprintable": ("error", "Unprintable"),
    "memory": ("oom", "MemoryError: no more"),
    "backwards": ("error", "epoch=1 was reported after epoch=2: it must not go back (training.py:"),
}


@pytest.mark.parametrize("how", KINDS)
def test_a_trial_that_fails_is_a_failure_with_its_reason(how, tmp_path):
    result = run(how)
    failures = result.failures.to_dicts()
    kind, reason = KINDS[how]
    assert [failure["kind"] for failure in failures] == [kind] * len(failures)
    assert all(reason in failure["reason"] for failure in failures)
    assert len(failures) == result.summary()["failed"] >= 1
    assert result.why == "done"
    if how == "raise":
        log = (tmp_path / "exp" / "trials" / f"{failures[0]['trial']:06d}" / "log.txt").read_text()
        assert "Traceback" in log
        assert "the learning rate is wrong" in log


def test_retries_go_on_from_the_checkpoint(tmp_path):
    result = run("killed", trials=1, retries=2)
    assert result.summary()["failed"] == 1
    assert result.jobs["attempt"].to_list() == [0, 1, 2]
    trained = (tmp_path / "trained.txt").read_text().split("\n")[:-1]
    assert trained == ["0 1", "0 2", "0 3", "0 3", "0 3"]  # the third epoch again, not the first


def test_a_hanging_trial_is_killed_though_it_ignores_sigterm():
    result = run("hang", trials=2, hang_timeout=0.5, grace=0.1)
    reasons = result.failures["reason"].to_list()
    assert reasons
    assert all("hang_timeout" in reason for reason in reasons)


@pytest.mark.parametrize(
    "text", ["hello", "\xff{", "3", "[" * 9999, '{"end": 3}', '{"end": {"kind": "odd"}}', '{"begin": []}']
)
def test_a_trial_that_writes_into_its_line_is_a_failure_of_its_own(text):
    result = run(f"garbage {text}", trials=2, args={"only": 1}, workers=1)
    (failure,) = result.failures.to_dicts()
    assert (failure["trial"], failure["kind"]) == (1, "error")
    assert "what is no message" in failure["reason"]
    assert result.why == "done"


def test_processes_that_a_trial_leaves_behind_are_ended():
    assert run("children").summary()["failed"] == 0  # the fixture looks for them


def test_processes_of_a_trial_that_is_paused_are_told_to_end(tmp_path):
    """Python waits for them at the end of a process, and they for the next step."""
    scheduler = hbsim.make_scheduler("promotion", max_t=9, num_trials=2)
    target = TRAIN.replace("train_fn", "with_a_rank")
    result = hbsim.run(target, scheduler, workers=1, progress="none")
    assert result.trials["status"].to_list() == ["paused"] * 2
    assert Path("rank.txt").read_text() == "told\n" * 2


def test_a_trial_that_has_saved_and_does_not_leave_is_ended_and_stays_paused():
    scheduler = hbsim.make_scheduler("promotion", max_t=9, num_trials=2)
    target = TRAIN.replace("train_fn", "joins_its_rank")
    result = hbsim.run(target, scheduler, workers=1, grace=0.3, keep="all", progress="none")
    assert result.trials["status"].to_list() == ["paused"] * 2
    assert len(list(Path("exp/trials").glob("*/checkpoint"))) == 2


def test_a_trial_that_prints_without_end_fills_neither_pipe_nor_disk(monkeypatch):
    from hbsim.executors import local

    monkeypatch.setattr(local, "LOOK", 0.0)
    result = run("print", trials=1, args={"epochs": 9, "seconds": 0.05})
    assert result.summary()["failed"] == 0
    log = Path("exp/trials/000000/log.txt")
    assert log.stat().st_size < 64 << 20
    assert b"bytes were cut here" in log.read_bytes()


def test_a_value_that_is_no_number_counts_and_is_worse_than_any():
    result = run("nan", trials=2, args={"only": 1}, workers=1)
    assert result.trials["status"].to_list() == ["completed", "stopped"]
    assert result.reports.filter(trial=1, resource=3)["value"].to_list() == [None]
    assert result.decisions.filter(trial=1)["value"].to_list()[-1] is None


def test_reports_by_the_thousand_all_arrive():
    result = run("often", trials=1)
    assert len(result.reports) == 20_000 + 9
    assert result.trials["status"].to_list() == ["completed"]


def test_a_report_without_its_metric_ends_the_study_with_one_error():
    with pytest.raises(ParameterError, match="metric='loss'"):
        run("well", metric="loss", folder="other")
    assert not Path("other").exists(), "the same command, corrected, may use the same folder"
    with pytest.raises(ParameterError, match="time_attr='step'"):
        run("well", time_attr="step", folder="other")
    assert not Path("other").exists()


def test_a_metric_that_is_missing_later_fails_the_trial_alone():
    result = run("missing", args={"only": 1})
    assert result.failures["trial"].to_list() == [1]
    assert "accuracy" in result.failures["reason"][0]
    assert result.why == "done"


def test_nothing_but_failures_ends_a_study():
    with pytest.warns(HbsimWarning, match="10 failures in a row"):
        result = run("well", args={"epochs": 0}, trials=100)
    assert result.why == "failures"
    assert 10 <= result.summary()["failed"] <= 12
    assert result.best_config is None


def test_forked_trials_draw_their_own_numbers_and_the_same_again():
    def drawn(folder):
        scheduler = hbsim.make_scheduler("fifo", max_t=1, num_trials=5)
        target = TRAIN.replace("train_fn", "draws")
        result = hbsim.run(target, scheduler, workers=2, folder=folder, progress="none")
        rows = result.reports.sort("trial").select("value", "metrics").rows()
        return [(value, metrics["numpy"]) for value, metrics in rows]

    first = drawn("one")
    assert len({value for pair in first for value in pair}) == 10
    assert drawn("two") == first


def test_a_checkpoint_that_cannot_be_made_is_told(tmp_path):
    target = TRAIN.replace("train_fn", "cannot_save")
    scheduler = hbsim.make_scheduler("promotion", max_t=9, num_trials=1)
    with pytest.warns(HbsimWarning, match="may have no checkpoint: .*no room"):
        result = hbsim.run(target, scheduler, workers=1, progress="none")
    assert result.trials["status"].to_list() == ["paused"]


def saving(trials, **constants):
    target = TRAIN.replace("train_fn", "saves_an_object")
    scheduler = hbsim.make_scheduler("promotion", max_t=9, num_trials=trials, straight_on=False)
    resume = Path("exp").exists()
    return hbsim.run(target, scheduler, workers=1, args=constants, progress="none", resume=resume)


def test_a_state_that_cannot_be_kept_ends_the_study_at_its_first_report(tmp_path):
    with pytest.raises(
        ParameterError, match=r"checkpoint\['model'\]\['encoder'\]='_thread.lock': cannot be kept"
    ):
        saving(9)
    assert not Path("exp").exists()
    result = saving(9, mended=True)
    assert result.failures.is_empty()
    assert len(result.decisions) == 13


def test_a_state_that_cannot_be_kept_where_others_can_is_the_trials_own_fault(tmp_path):
    with pytest.warns(HbsimWarning, match=r"may have no checkpoint: checkpoint\['model'\]\['encoder'\]"):
        result = saving(3, only=1)
    assert result.trials["trial"].to_list() == [0, 1, 2]
    assert (tmp_path / "exp" / "trials" / "000000" / "checkpoint").is_dir() or result.summary()["paused"] < 3


def test_a_completed_trial_leaves_its_model(tmp_path):
    target = TRAIN.replace("train_fn", "saves_at_the_end")
    scheduler = hbsim.make_scheduler("fifo", max_t=3, num_trials=2)
    result = hbsim.run(target, scheduler, workers=1, keep="completed", progress="none")
    saved = Path("exp/trials").glob("*/checkpoint/**/*")
    assert {path.parts[2] for path in saved} == {"000000", "000001"}
    assert set(result.best_config) == {"lr"}
    assert "best accuracy" in repr(result)


def test_a_study_in_which_nothing_is_ever_reported_has_failed_trials_and_empty_columns():
    result = run("well", args={"epochs": 0}, trials=3)
    assert result.failures["reason"].to_list() == ["the function returned without a report"] * 3
    assert result.reports.is_empty()
    assert result.summary()["best"] is None
    assert Path("exp/trials.parquet").exists()


def test_until_return_a_trial_is_complete_where_its_function_returns():
    scheduler = hbsim.make_scheduler("fifo", max_t=1, num_trials=3)
    result = hbsim.run(TRAIN, scheduler, until_return=True, args={"epochs": 5}, workers=2, progress="none")
    summary = result.summary()
    assert (summary["completed"], summary["trained_resource"], summary["wasted_resource"]) == (3, 15.0, 0.0)
    assert result.trials["reached"].to_list() == [5.0] * 3


def test_checkpoints_go_with_their_trials_but_the_incumbents():
    def kept():
        return sorted(path.parent.name for path in Path("exp/trials").glob("*/checkpoint"))

    result = run("well", trials=6)
    assert kept() == [f"{result.summary()['best_trial']:06d}"]
    shutil.rmtree("exp")
    run("well", trials=6, keep="none")
    assert kept() == []
    shutil.rmtree("exp")
    result = run("well", trials=6, keep="completed")
    completed = result.trials.filter(status="completed")["trial"].to_list()
    assert kept() == [f"{trial:06d}" for trial in sorted({*completed, result.summary()["best_trial"]})]
    shutil.rmtree("exp")
    result = run("well", trials=6, keep="all")
    saved = result.trials.filter(result.trials["reached"] > 1)["trial"].to_list()
    assert kept() == [f"{trial:06d}" for trial in saved]


def test_limits_end_a_study_and_it_goes_on_with_wider_ones():
    first = run("waits", trials=20, max_time=1.0, grace=5.0)
    assert first.why == "max_time"
    assert first.summary()["running"] > 0
    assert first.summary()["failed"] == 0
    second = run("well", trials=20, max_reward=0.5, resume=True)
    assert second.why == "max_reward"
    assert second.summary()["best"] >= 0.5
    third = run("well", trials=20, max_reward=0.5, resume=True)
    assert third.summary()["trials"] == second.summary()["trials"], "it was good enough already"
    assert run("well", trials=20, resume=True).why == "done"


def test_a_function_that_swallows_the_end_is_ended_all_the_same():
    with pytest.warns(HbsimWarning, match="past several milestones"):
        assert run("swallow", trials=2, grace=0.2).why == "done"


def test_a_function_that_returns_early_has_completed():
    result = run("well", trials=4, args={"epochs": 4})
    summary = result.summary()
    assert summary["failed"] == 0
    assert summary["returned"] == summary["completed"] >= 1
    assert result.trials["reached"].max() == 4
    completed = result.trials.filter(status="completed")
    assert completed["resource"].to_list() == completed["reached"].to_list() == [4.0] * len(completed)
    assert summary["wasted_resource"] == 0


def test_a_resource_that_counts_down_is_told():
    with pytest.warns(HbsimWarning, match="reported at 9, past several.* that counts down has to count up"):
        assert run("down", trials=2, workers=1).why == "done"


def test_what_runs_on_after_the_function_is_killed_and_the_trial_has_not_failed():
    result = run("lingers", trials=1, args={"epochs": 3}, hang_timeout=2.0)
    assert result.failures.is_empty()
    assert result.summary()["returned"] == 1


def test_without_checkpoints_a_promoted_trial_trains_again_and_old_reports_are_ignored():
    scheduler = hbsim.make_scheduler("promotion", max_t=9, num_trials=9, straight_on=False)
    target = TRAIN.replace("train_fn", "from_zero")
    result = hbsim.run(target, scheduler, workers=1, progress="none")
    promoted = result.jobs.filter(result.jobs["stop_resource"] > 1)
    assert len(promoted) == 4
    assert promoted["start_resource"].to_list() == [0, 0, 0, 0]
    assert result.summary()["wasted_resource"] == 3 * 1 + 3
    assert len(result.decisions) == 13


def test_a_full_disk_is_one_error_and_the_study_goes_on_later():
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6000, hard))
    try:
        with pytest.raises(OutputError, match="then resume"):
            run("well", trials=20)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    before = hbsim.load("exp")
    result = run("well", trials=20, resume=True)
    assert result.why == "done"
    kept = before.decisions.rows()
    assert result.decisions.rows()[: len(kept)] == kept


def test_constants_that_are_more_than_a_socket_takes():
    assert run("well" * 200_000, trials=1).why == "done"


def test_nothing_is_removed_while_a_trial_waits_and_little_at_a_time(tmp_path):
    for trial in range(7):
        (tmp_path / f"{trial:06d}" / "checkpoint").mkdir(parents=True)
    named = [list(range(6))]  # each once
    dropped = lambda: named.pop() if named else []  # noqa: E731
    scheduler = SimpleNamespace(dropped=dropped, status=lambda trial: "paused", started=7)
    journal_state = SimpleNamespace(runs={}, best=SimpleNamespace(trial=6), gone=6)
    retention = CheckpointRetention("best", tmp_path, scheduler, journal_state)

    def left():
        return len(list(tmp_path.glob("*/checkpoint")))

    counts = []
    fields = {"t": 0.0, "job": 6, "rows": [], "at": 0, "value": None, "begun": None, "seconds": {}}
    fields |= {"resource": 0.0, "kind": "error", "reason": "", "verdict": "stop"}
    for kind in ("reach", "gone", "reach", "fail"):
        retention.record(typed({"e": kind, **fields}))
        counts.append(left())
    assert counts == [7, 5, 5, 3]
    retention.finish()
    assert left() == 1


def test_a_trial_that_stays_paused_keeps_its_newest_checkpoint_only(tmp_path):
    now = [0.0]
    scheduler = SimpleNamespace(dropped=list, status=lambda trial: "paused", started=2)
    journal_state = SimpleNamespace(runs={}, best=None, gone=1)
    retention = CheckpointRetention("best", tmp_path, scheduler, journal_state, clock=lambda: now[0])
    folder = tmp_path / "000001" / "checkpoint"
    for epoch in range(3):
        checkpoint.save(folder, epoch, origin=of_job(2), reports=epoch)
    assert len(os.listdir(folder)) == 3
    for path in folder.iterdir():
        os.utime(path, (1e9, 1e9))
    retention.record(ProcessEnded(time=0.0, job=1, begun=None, seconds={}))
    now[0] = 2 * checkpoint.SETTLED - 1
    retention.tick()
    assert len(os.listdir(folder)) == 3
    now[0] += 1
    retention.tick()
    assert os.listdir(folder) == ["3"]
    assert load_newest(folder) == 2
