"""The reporter at milestones: it waits, and the trial goes on, leaves or is paused; what it saves."""

import os
import threading

import pytest

from hbsim.executors import checkpoint
from tests.executors.child import LEFT, RETURNED, endless, outcome, start
from tests.executors.test_reporter import reports

__all__ = ["start"]  # the fixture


def test_at_a_milestone_it_waits_for_the_answer(start):
    def train(args, reporter):
        for epoch in range(1, 9):
            reporter(epoch=epoch, accuracy=0.5, milestone=reporter.milestone)

    child = start(train, stop=2)
    for reached, milestone in ((2, 4), (4, 7.5)):
        child.until("wait")
        assert child.rows[-1][2] == reached
        assert not child.has_line()
        child.tell({"go": milestone})
    child.until("wait")
    assert child.rows[-1][2] == 8
    child.tell({"go": None})
    assert outcome(child) == RETURNED
    assert [row[3].get("milestone") for row in child.rows] == [2, 2, 4, 4, 7.5, 7.5, 7.5, 7.5]


def test_never_is_no_milestone(start):
    def train(args, reporter):
        reporter(epoch=1e300, accuracy=0.5, never=reporter.milestone is None)

    child = start(train, stop=None)
    assert outcome(child) == RETURNED
    assert child.rows[0][3] == {"accuracy": 0.5, "never": 1}


def test_waiting_is_no_training(start):
    child = start(reports(*({"epoch": epoch, "accuracy": 1} for epoch in (1, 2, 3))), stop=2)
    child.until("wait")
    threading.Event().wait(0.3)
    child.tell({"go": 9})
    end = child.ended()
    assert end["seconds"]["wait"] > 0.29
    (_, *_), (at, trained, *_), (later, later_trained, *_) = child.rows
    assert later - at > 0.29
    assert later_trained - trained <= later - at - 0.29


@pytest.mark.parametrize("how", ["stop", "pause"])
def test_stop_and_pause_leave_the_function_through_finally(start, tmp_path, how):
    def train(args, reporter):
        @reporter.on_pause
        def state():
            return {"epoch": 9}

        try:
            try:
                reporter(epoch=9, accuracy=0.5)
            except Exception:
                (tmp_path / "wrong").touch()
        finally:
            (tmp_path / "finally").touch()

    child = start(train)
    child.until("wait")
    child.tell({"leave": how})
    assert outcome(child) == LEFT
    assert (tmp_path / "finally").exists()
    assert not (tmp_path / "wrong").exists()
    assert checkpoint.load(tmp_path / "checkpoint") == ({"epoch": 9} if how == "pause" else None)


def test_a_function_that_catches_everything_is_ended_after_three_times(start, tmp_path):
    def train(args, reporter):
        with open(tmp_path / "caught", "a") as file:
            for epoch in range(9, 100):
                try:
                    reporter(epoch=epoch, accuracy=0.5)
                except:  # noqa: E722
                    print("caught", file=file, flush=True)

    child = start(train)
    child.until("wait")
    child.tell({"leave": "stop"})
    assert outcome(child) == LEFT
    assert (tmp_path / "caught").read_text() == "caught\n" * 3
    assert "caught TrialEnd" in child.log.read_text()
    assert [row[2] for row in child.rows] == [9]


# Checkpoints


def counting(args, reporter):
    """Count epochs, from the checkpoint on."""
    state = reporter.load() or {"epoch": 0}
    reporter.on_pause(lambda: state)
    for epoch in range(state["epoch"] + 1, 28):
        state["epoch"] = epoch
        reporter(epoch=epoch, accuracy=epoch, resumed=getattr(args, "resume_from", 0))


def test_a_promoted_trial_goes_on_from_its_checkpoint(start, tmp_path):
    first = start(counting, stop=3)
    first.until("wait")
    first.tell({"leave": "pause"})
    assert outcome(first) == LEFT
    meta = checkpoint.describe(tmp_path / "checkpoint")
    assert (meta["resource"], meta["job"], meta["reports"]) == (3, 7, 3)
    second = start(counting, start=3, stop=9, job=8, started=4.0, earlier=[[7, 2.5, 3]])
    second.until("wait")
    second.tell({"leave": "pause"})
    end = second.ended()
    assert [row[2] for row in second.rows] == list(range(4, 10))
    assert {row[3]["resumed"] for row in second.rows} == {3}
    assert end["seconds"]["save"] > 0
    assert end["seconds"]["load"] > 0
    assert checkpoint.load(tmp_path / "checkpoint") == {"epoch": 9}


def test_interrupted_between_milestones_it_saves_first(start, tmp_path):
    child = start(lambda args, reporter: [reporter.on_pause(lambda: 5), endless(reporter)], stop=None)
    child.until_rows()
    child.tell({"leave": "pause"})
    assert outcome(child) == LEFT
    assert checkpoint.load(tmp_path / "checkpoint") == 5
    assert checkpoint.describe(tmp_path / "checkpoint")["resource"] == child.rows[-1][2]


def test_on_pause_may_keep_its_own_files(start, tmp_path):
    def train(args, reporter):
        os.chdir("/")
        reporter.on_pause(lambda: (reporter.folder / "mine").write_text("epoch 9") and None)
        reporter(epoch=9, accuracy=0.5)

    child = start(train)
    child.until("wait")
    assert not (tmp_path / "files").exists()  # made when it is used
    child.tell({"leave": "pause"})
    assert outcome(child) == LEFT
    assert (tmp_path / "files" / "mine").read_text() == "epoch 9"
    assert checkpoint.describe(tmp_path / "checkpoint") is None


def test_a_checkpoint_that_cannot_be_made_is_told_and_the_trial_leaves(start, tmp_path):
    def train(args, reporter):
        reporter.save("before")
        reporter.on_pause(lambda: 1 / 0)
        try:
            reporter(epoch=9, accuracy=0.5)
        except Exception:
            reporter(epoch=10, accuracy=0.5)

    child = start(train)
    child.until("wait")
    child.tell({"leave": "pause"})
    assert outcome(child) == LEFT
    assert checkpoint.load(tmp_path / "checkpoint") == "before"

    child = start(lambda args, reporter: [reporter.on_pause(lambda: 1 / 0), reporter(epoch=9, accuracy=0.5)])
    child.until("wait")
    child.tell({"leave": "pause"})
    kind, reason, left, _ = outcome(child)
    assert (kind, left) == (None, True)
    assert reason.startswith("ZeroDivisionError")


@pytest.mark.parametrize("how", ["save", "on_pause"])
def test_a_state_that_cannot_be_kept_is_told_by_its_key(start, tmp_path, how):
    def train(args, reporter):
        state = {"epoch": 9, "model": {"encoder": object()}}
        if how == "save":
            reporter.save(state)
        reporter.on_pause(lambda: state)
        reporter(epoch=9, accuracy=0.5)

    child = start(train)
    if how == "on_pause":
        child.until("wait")
        child.tell({"leave": "pause"})
    said = child.until("fatal")
    field, value, rule = said["fatal"]
    assert (field, value, said["of"]) == ("checkpoint['model']['encoder']", "object", "checkpoint")
    kind, reason, left, code = outcome(child)
    assert reason == f"{field}={value!r}: {rule}"
    assert (kind, left, code) == ((None, True, 0) if how == "on_pause" else ("error", False, 1))
    assert checkpoint.describe(tmp_path / "checkpoint") is None


def test_on_pause_wants_a_function(start):
    kind, reason, _, _ = outcome(start(lambda args, reporter: reporter.on_pause({"epoch": 1})))
    assert kind == "error"
    assert reason.startswith("ParameterError: on_pause={'epoch': 1}: must be a function without arguments")


def test_saving_is_no_training(start):
    def train(args, reporter):
        reporter(epoch=1, accuracy=0.5)
        reporter.save(list(range(300_000)))
        reporter(epoch=2, accuracy=0.5)

    child = start(train)
    saved = child.ended()["seconds"]["save"]
    (at, trained, *_), (later, later_trained, *_) = child.rows
    assert 0 < saved <= later - at + 1e-5
    assert later_trained - trained <= later - at - saved + 1e-5


def saves_first(args, reporter):
    """Save each epoch before it is reported; go on from the last."""
    epoch = (reporter.load() or 0) + 1
    while epoch <= 27:
        reporter.save(epoch)
        reporter(epoch=epoch, accuracy=epoch)
        epoch += 1


def killed_before_a_report(start, epoch):
    """Have a trial killed after it saved an epoch, before it reported that: return its reports."""

    def train(args, reporter):
        report = reporter.__class__.__call__

        def dies(self, **metrics):
            if metrics["epoch"] == epoch:
                os._exit(1)
            report(self, **metrics)

        reporter.__class__.__call__ = dies
        saves_first(args, reporter)

    child = start(train, stop=max(9, epoch))
    child.wait()
    assert child.hear() is not None
    child.collect()
    return [row[2] for row in child.rows]


def test_a_checkpoint_past_a_milestone_that_was_not_reported_is_not_gone_on_from(start):
    assert killed_before_a_report(start, 9) == list(range(1, 9))
    again = start(saves_first, stop=9, job=8, attempt=1, started=4.0, earlier=[[7, 2.5, 8]])
    again.until("wait")
    assert [row[2] for row in again.rows] == [9]  # from the checkpoint of 8, which a report followed
    again.tell({"go": 10})
    again.until("wait")
    again.tell({"leave": "stop"})
    assert outcome(again) == LEFT
    log = again.log.read_text()
    assert "checkpoint 9 is not used: it holds training past the milestone at 9, of which there is no" in log


def test_a_checkpoint_that_may_be_ahead_is_gone_on_from_where_no_milestone_is_missed(start):
    assert killed_before_a_report(start, 8) == list(range(1, 8))
    again = start(saves_first, stop=9, job=8, attempt=1, started=4.0, earlier=[[7, 2.5, 7]])
    again.until("wait")
    assert [row[2] for row in again.rows] == [9]
    again.tell({"leave": "stop"})
    assert outcome(again) == LEFT
    assert "not used" not in again.log.read_text()


def test_with_nothing_left_to_do_after_such_a_checkpoint_it_trains_again(start):
    assert killed_before_a_report(start, 27) == list(range(1, 27))
    again = start(saves_first, stop=27, job=8, attempt=1, started=4.0, earlier=[[7, 2.5, 26]])
    again.until("wait")
    assert [row[2] for row in again.rows] == [27]
    again.tell({"leave": "stop"})
    assert outcome(again) == LEFT
