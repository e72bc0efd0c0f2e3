"""The reporter: what a report may be, that it does not wait, and that it waits where it has to."""

import os
import threading
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import hbsim
from hbsim.executors import report_ring
from tests.executors.child import LEFT, RETURNED, endless, linger, outcome, start

__all__ = ["start"]  # the fixture


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


def test_reports_from_elsewhere_are_refused(start):
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
        pid = os.fork()
        if pid == 0:
            elsewhere()
            os._exit(len(errors))
        _, status = os.waitpid(pid, 0)
        reporter(epoch=1, accuracy=os.waitstatus_to_exitcode(status))
        raise errors[0]

    child = start(train)
    kind, reason, _, _ = outcome(child)
    assert kind == "error"
    assert reason.startswith("ProtocolError: trial 3: got a report from elsewhere")
    assert [row[3]["accuracy"] for row in child.rows] == [2]


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
