"""The reporter: what a report may be, that it does not wait, and that it waits where it has to."""

from __future__ import annotations

import os
import threading
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import hbsim
from hbsim.executors import report_ring
from tests.doubles.checkpoints import describe_newest, load_newest
from tests.executors.child import LEFT, RETURNED, endless, linger, outcome, start

__all__ = ["start"]


def reports(*kwargs):
    """Return a training function that makes these reports."""

    def train(args, reporter):
        for report in kwargs:
            reporter(**report)

    return train


# What is reported


def test_numbers_of_any_kind_are_kept_and_the_rest_is_left_out(start):
    values = {
        "accuracy": np.float32(0.5),
        "whole": 3,
        "flag": True,
        "array": np.array([2.5]),
        "fraction": Fraction(1, 4),
        "nan": float("nan"),
        "huge": 10**400,
        "text": "0.5",
        "none": None,
        "two": np.zeros(2),
        "complex": 1j,
        "lr": 0.1,
        "depth": 3,
        "ü/\ud800": 1,
    }
    child = start(reports({"epoch": np.int64(1), **values}))
    assert outcome(child) == RETURNED
    expected = {"accuracy": 0.5, "whole": 3, "flag": 1, "array": 2.5, "fraction": 0.25, "ü/\ud800": 1}
    assert child.rows[0][2:] == [1, expected | {"nan": None, "huge": None}]


def test_tensors_are_numbers(start):
    torch = pytest.importorskip("torch")
    values = {
        "accuracy": torch.tensor(0.5, requires_grad=True),
        "one": torch.ones(1, 1),
        "two": torch.ones(2),
    }
    child = start(reports({"epoch": torch.tensor(3), **values}))
    assert outcome(child) == RETURNED
    assert child.rows[0][2:] == [3, {"accuracy": 0.5, "one": 1}]


@pytest.mark.parametrize("value", [None, float("nan"), float("-inf"), np.float64("nan")])
def test_a_reward_may_be_unknown(start, value):
    child = start(reports({"epoch": 1, "accuracy": value}))
    assert outcome(child) == RETURNED
    assert child.rows[0][3] == {"accuracy": None}


def test_a_reward_that_is_also_a_parameter_is_kept(start):
    child = start(
        reports({"epoch": 1, "accuracy": 0.5}),
        space={"accuracy": hbsim.Real(0.0, 1.0)},
        point=[0],
    )
    assert outcome(child) == RETURNED
    assert child.rows[0][3] == {"accuracy": 0.5}


class Shy:
    def __repr__(self):
        raise ValueError


@pytest.mark.parametrize(
    ("report", "field", "rule"),
    [
        ({"accuracy": 1}, ["time_attr", "epoch"], "as a finite number; got accuracy"),
        ({}, ["time_attr", "epoch"], "got nothing"),
        ({"epoch": "one", "accuracy": 1}, ["time_attr", "epoch"], "got epoch='one'"),
        ({"epoch": float("nan"), "accuracy": 1}, ["time_attr", "epoch"], "got epoch=nan"),
        ({"epoch": 10**400, "accuracy": 1}, ["time_attr", "epoch"], "got epoch=1000"),
        ({"epoch": 1, "loss": 1}, ["metric", "accuracy"], "as a number; got epoch, loss"),
        ({"epoch": 1, "accuracy": "high"}, ["metric", "accuracy"], "got accuracy='high'"),
        ({"epoch": 1, "accuracy": Shy()}, ["metric", "accuracy"], "got accuracy, a Shy"),
    ],
)
def test_a_report_that_no_trial_can_make_good_ends_the_study(start, report, field, rule):
    child = start(reports({"epoch": 0, "accuracy": 0.5}, report))
    fatal = child.until("fatal")["fatal"]
    assert fatal[:2] == field
    assert fatal[2].startswith("every report must have it, ")
    assert rule in fatal[2]
    kind, reason, left, code = outcome(child)
    assert (kind, left, code) == ("error", False, 1)
    assert rule in reason
    assert len(child.rows) == 1


def test_a_resource_that_goes_back_is_an_error_in_the_function(start):
    child = start(
        reports({"epoch": 5, "accuracy": 1}, {"epoch": 5, "accuracy": 1}, {"epoch": 3, "accuracy": 1})
    )
    kind, reason, _, _ = outcome(child)
    text = "ValueError: epoch=3 was reported after epoch=5: it must not go back (test_reporter.py:"
    assert (kind, reason.rstrip(")0123456789")) == ("error", text)
    assert [row[2] for row in child.rows] == [5, 5]


def test_reports_from_another_thread_are_refused(start):
    def train(args, reporter):
        errors = []

        def elsewhere():
            try:
                reporter(epoch=1, accuracy=1)
            except Exception as error:
                errors.append(error)

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        reporter(epoch=1, accuracy=len(errors))
        raise errors[0]

    child = start(train)
    kind, reason, _, _ = outcome(child)
    assert kind == "error"
    assert reason.startswith("ProtocolError: trial 3: got a report from elsewhere")
    assert [row[3]["accuracy"] for row in child.rows] == [1]


# Between milestones


def test_the_first_report_is_sent_at_once(start):
    def train(args, reporter):
        reporter(epoch=1, accuracy=0.5)
        linger()

    child = start(train)
    child.until_rows()
    assert [row[2] for row in child.rows] == [1]


def test_fifteen_thousand_reports_that_nobody_reads(start, tmp_path):
    def train(args, reporter):
        for epoch in range(1, 15_001):
            reporter(epoch=epoch, accuracy=0.5, loss=epoch / 3)
        (tmp_path / "done").touch()

    child = start(train, stop=None)
    child.until("begin")
    until(lambda: (tmp_path / "done").exists())  # though nothing is read here
    assert outcome(child) == RETURNED
    assert [row[2] for row in child.rows] == list(range(1, 15_001))
    trained = [row[1] for row in child.rows]
    assert trained == sorted(trained)


def until(condition):
    """Wait for it."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux tells that a process sleeps")
def test_where_the_ring_is_full_the_trial_waits_and_nothing_is_lost(start, monkeypatch):
    monkeypatch.setattr(report_ring, "SIZE", 200_000)

    def train(args, reporter):
        for epoch in range(1, 50_001):
            reporter(epoch=epoch, accuracy=0.5, text=0.123456789)

    child = start(train, stop=None)
    child.until("begin")
    until(lambda: state_of(child.pid) == "S")
    end = child.ended()
    assert [row[2] for row in child.rows] == list(range(1, 50_001))
    assert end["seconds"]["wait"] > 0  # and that was no training


def test_a_report_that_the_ring_cannot_hold_is_an_error_in_the_function(start, monkeypatch):
    monkeypatch.setattr(report_ring, "SIZE", 2_000)
    many = {f"metric{number}": number for number in range(200)}
    child = start(reports({"epoch": 1, "accuracy": 1}, {"epoch": 2, "accuracy": 1, **many}))
    kind, reason, _, _ = outcome(child)
    assert kind == "error"
    assert "a report takes" in reason
    assert [row[2] for row in child.rows] == [1]


def state_of(pid):
    """Return S where the process sleeps."""
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]


def test_told_to_leave_between_milestones_it_does_at_a_report(start):
    child = start(lambda args, reporter: endless(reporter), stop=None)
    child.until_rows()
    child.tell({"leave": "stop"})
    assert outcome(child) == LEFT
    assert [row[2] for row in child.rows] == list(range(1, len(child.rows) + 1))


# The end that a function says, and resources that nobody gives


def test_done_is_no_report_unless_it_has_the_metric(start):
    child = start(reports({"epoch": 1, "accuracy": 0.5, "done": False}, {"done": True, "epoch": 2}))
    assert outcome(child) == RETURNED
    assert [row[2:] for row in child.rows] == [[1, {"accuracy": 0.5}]]
    child = start(reports({"epoch": 1, "accuracy": 0.5, "done": np.True_}))
    assert outcome(child) == RETURNED
    assert [row[2:] for row in child.rows] == [[1, {"accuracy": 0.5}]]


def test_after_done_nothing_is_reported(start):
    child = start(reports({"epoch": 1, "accuracy": 0.5}, {"done": True}, {"epoch": 2, "accuracy": 0.5}))
    kind, reason, _, _ = outcome(child)
    assert kind == "error"
    assert reason.startswith("ProtocolError: trial 3: got a report after done=True")
    assert len(child.rows) == 1


def test_a_metric_may_be_called_done(start):
    child = start(reports({"epoch": 1, "accuracy": 0.5, "done": 0.5}))
    assert outcome(child) == RETURNED
    assert child.rows[0][3] == {"accuracy": 0.5, "done": 0.5}


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
    assert load_newest(tmp_path / "checkpoint") == ({"epoch": 9} if how == "pause" else None)


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
    meta = describe_newest(tmp_path / "checkpoint")
    assert (meta["resource"], meta["job"], meta["reports"]) == (3, 7, 3)
    second = start(counting, start=3, stop=9, job=8, started=4.0, earlier=[[7, 2.5, 3]])
    second.until("wait")
    second.tell({"leave": "pause"})
    end = second.ended()
    assert [row[2] for row in second.rows] == list(range(4, 10))
    assert {row[3]["resumed"] for row in second.rows} == {3}
    assert end["seconds"]["save"] > 0
    assert end["seconds"]["load"] > 0
    assert load_newest(tmp_path / "checkpoint") == {"epoch": 9}


def test_interrupted_between_milestones_it_saves_first(start, tmp_path):
    child = start(lambda args, reporter: [reporter.on_pause(lambda: 5), endless(reporter)], stop=None)
    child.until_rows()
    child.tell({"leave": "pause"})
    assert outcome(child) == LEFT
    assert load_newest(tmp_path / "checkpoint") == 5
    assert describe_newest(tmp_path / "checkpoint")["resource"] == child.rows[-1][2]


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
    assert describe_newest(tmp_path / "checkpoint") is None


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
    assert load_newest(tmp_path / "checkpoint") == "before"

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
    assert describe_newest(tmp_path / "checkpoint") is None


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
