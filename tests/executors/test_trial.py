"""The process of one job: what the function is given, and how its end is told."""

from __future__ import annotations

import errno
import os
import random
import signal
import sys

import numpy as np
import pytest

import hbsim
from hbsim.executors import trial
from hbsim.executors.trial import seed_everything
from hbsim.executors.trial_session import TrialEnd
from tests.executors.child import LEFT, RETURNED, SETUP, endless, linger, outcome, start

__all__ = ["start"]


def failing(error):
    """Return a training function that raises this."""

    def train(args, reporter):
        reporter(epoch=1, accuracy=0.5)
        raise error

    return train


def test_a_trial_without_its_lease_is_lost(start, monkeypatch, tmp_path):
    """Its host's folder was removed: that is nothing that it has done."""
    monkeypatch.setitem(SETUP, "lease", str(tmp_path / "no" / "lease"))
    end = start(failing(ValueError("it must not be called"))).until("end")["end"]
    assert (end["kind"], end["left"], end["seconds"]) == ("lost", False, {})
    assert end["reason"].startswith("its host has no lease for it: [Errno 2]")


# What the function is given


def test_the_function_gets_its_configuration_and_what_belongs_to_the_trial(start):
    def train(args, reporter):
        assert not hasattr(args, "resume_from")
        reporter(epoch=1, accuracy=args.lr, deep=args.depth, width=args.width, seed=args.seed, no=args.trial)
        reporter(epoch=2, accuracy=0, trial=reporter.trial, milestone=reporter.milestone)

    child = start(train, space={"lr": hbsim.Real(0.0, 1.0), "depth": hbsim.Int(1, 4), "width": 5})
    assert outcome(child) == RETURNED
    first, second = (row[3] for row in child.rows)
    assert first == {"accuracy": 0.25, "deep": 1, "width": 5, "seed": 11, "no": 3}
    assert second == {"accuracy": 0, "trial": 3, "milestone": 9}


def test_constants_of_the_study_take_the_place_of_the_functions_own(start):
    def train(args, reporter):
        reporter(epoch=1, accuracy=args.width)

    child = start(train, constants={"width": 8}, space={"lr": hbsim.Real(0.0, 1.0), "width": 5}, point=[0.5])
    assert outcome(child) == RETURNED
    assert child.rows[0][3] == {"accuracy": 8}


@pytest.mark.parametrize(("start_at", "given"), [(9.0, 9), (4.5, 4.5)])
def test_a_promotion_says_from_which_milestone(start, start_at, given):
    def train(args, reporter):
        value = args.resume_from
        reporter(epoch=10, accuracy=value, whole=isinstance(value, int))

    child = start(train, start=start_at, stop=27)
    assert outcome(child) == RETURNED
    assert child.rows[0][3] == {"accuracy": given, "whole": float(given == 9)}


def test_parameters_keep_their_names(start):
    def train(args, reporter):
        reporter(epoch=1, accuracy=args.seed, second=args.resume_from)

    space = {"seed": hbsim.Real(0.0, 1.0), "resume_from": hbsim.Int(0, 2)}
    child = start(train, space=space, point=[0.5, 0.0], start=3)
    assert outcome(child) == RETURNED
    assert child.rows[0][3] == {"accuracy": 0.5, "second": 0}


def test_a_constant_that_is_no_argument_ends_the_study(start):
    child = start(lambda args, reporter: None, constants={"widht": 8})
    field, value, rule = child.until("fatal")["fatal"]
    assert (field, value) == ("widht", 8)
    assert "is no argument of the function" in rule
    assert outcome(child)[0::3] == ("error", 1)


# How it ends


def test_the_last_lines_of_a_function_that_returns(start):
    def train(args, reporter):
        for epoch in range(1, 4):
            reporter(epoch=epoch, accuracy=epoch / 10)

    child = start(train)
    assert list(child.hear()) == ["begin"]
    end = child.ended()
    assert set(end["seconds"]) == {"start", "load", "save", "wait"}
    assert all(seconds >= 0 for seconds in end["seconds"].values())
    assert [row[2:] for row in child.rows] == [[e, {"accuracy": e / 10}] for e in (1, 2, 3)]


class Unspeakable(Exception):
    def __init__(self):
        super().__init__(lambda: None)  # cannot be pickled

    def __str__(self):
        raise SystemExit(5)


class Silent(Exception):
    def __str__(self):
        return None  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (ValueError("bad\nvery bad"), "error", "ValueError: bad (test_trial.py:{line})"),
        (KeyError(), "error", "KeyError (test_trial.py:{line})"),
        (MemoryError("too much"), "oom", "MemoryError: too much (test_trial.py:{line})"),
        (KeyboardInterrupt(), "error", "KeyboardInterrupt (test_trial.py:{line})"),
        (GeneratorExit(), "error", "GeneratorExit (test_trial.py:{line})"),
        (Unspeakable(), "error", "Unspeakable: its text cannot be shown (test_trial.py:{line})"),
        (Silent(), "error", "Silent: its text cannot be shown (test_trial.py:{line})"),
        (UnicodeError("\ud800 ü"), "error", "UnicodeError: \ud800 ü (test_trial.py:{line})"),
        (SystemExit(3), "error", "exit status 3"),
        (SystemExit("no data"), "error", "exit status 1: no data"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_an_error_is_told_in_one_line_and_its_traceback_is_in_the_log(start, error, kind, reason):
    train = failing(error)
    child = start(train)
    line = train.__code__.co_firstlineno + 2
    assert outcome(child) == (kind, reason.format(line=line), False, 1)
    assert len(child.rows) == 1
    assert "Traceback" in child.log.read_text()
    assert "raise error" in child.log.read_text()


@pytest.mark.parametrize("code", [None, 0])
def test_an_exit_without_a_status_is_a_return(start, code):
    child = start(failing(SystemExit(code)))
    assert outcome(child) == RETURNED
    assert child.log.read_text() == ""


def test_an_error_is_told_though_nothing_can_be_printed(start):
    def train(args, reporter):
        sys.stderr.close()
        raise ValueError("unseen")

    assert outcome(start(train))[1].startswith("ValueError: unseen")


def test_gpu_and_cpu_memory_of_pytorch(start):
    torch = pytest.importorskip("torch")
    assert outcome(start(failing(torch.cuda.OutOfMemoryError("CUDA out of memory"))))[0] == "oom"
    assert outcome(start(failing(RuntimeError("CUDA error: out of memory"))))[0] == "oom"
    assert outcome(start(failing(RuntimeError("shapes do not fit"))))[0] == "error"

    def train(args, reporter):
        torch.empty(1 << 60)

    kind, reason, _, _ = outcome(start(train))
    assert kind == "oom"
    assert reason.startswith("RuntimeError: ")


class ResourceExhaustedError(Exception):
    """As that of TensorFlow."""


def caused(cause):
    """Return an error that another one has caused."""
    error = ValueError("training failed")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "oom"),
        (OSError(errno.ENOSPC, "No space left on device"), "error"),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 8 bytes."), "oom"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), "oom"),
        (ResourceExhaustedError("OOM when allocating tensor"), "oom"),
        (caused(MemoryError()), "oom"),
        (caused(KeyError()), "error"),
        (ValueError("ran out of memory slots"), "error"),
    ],
)
def test_what_is_a_lack_of_memory(error, kind):
    assert trial._failure(error)[0] == kind


def test_a_function_that_ends_its_process_says_nothing_more(start):
    def train(args, reporter):
        reporter(epoch=1, accuracy=0.5)
        os._exit(4)

    child = start(train)
    assert child.wait() == 4
    child.until("begin")
    while child.hear() is not None:
        pass
    assert [row[2] for row in child.rows] == [1]


def test_trial_end_is_no_exception():
    assert not issubclass(TrialEnd, Exception)


def test_sigterm_leaves_the_function_through_finally(start, tmp_path):
    def train(args, reporter):
        reporter.on_pause(lambda: 5)
        try:
            reporter(epoch=1, accuracy=0.5)
            linger()
        except Exception:
            (tmp_path / "wrong").touch()
        finally:
            (tmp_path / "finally").touch()

    child = start(train)
    child.until_rows()
    os.kill(child.pid, signal.SIGTERM)
    assert outcome(child) == LEFT
    assert sorted(path.name for path in tmp_path.iterdir()) == ["finally", "log"]  # and no checkpoint


def test_sigterm_tears_no_line_and_loses_no_report(start):
    for _ in range(20):
        child = start(lambda args, reporter: endless(reporter), stop=None)
        child.until_rows()
        os.kill(child.pid, signal.SIGTERM)
        assert outcome(child) == LEFT
        assert [row[2] for row in child.rows] == list(range(1, len(child.rows) + 1))


def test_sigterm_ends_a_wait_at_a_milestone(start):
    child = start(lambda args, reporter: endless(reporter), stop=1)
    child.until("wait")
    os.kill(child.pid, signal.SIGTERM)
    assert outcome(child) == LEFT


def test_sigterm_that_is_swallowed_comes_again_with_the_next_report(start):
    def train(args, reporter):
        try:
            reporter(epoch=1, accuracy=0.5)
            linger()
        except TrialEnd:
            sys.stderr.write("swallowed")
        for epoch in range(2, 10**9):
            reporter(epoch=epoch, accuracy=0.5)

    child = start(train)
    child.until_rows()
    os.kill(child.pid, signal.SIGTERM)
    assert outcome(child) == LEFT
    assert child.log.read_text() == "swallowed"
    assert [row[2] for row in child.rows] == [1]


def test_sigterm_kills_what_the_function_has_forked(start):
    def train(args, reporter):
        ready, tell = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.write(tell, b"!")
            linger()
            os._exit(0)
        os.read(ready, 1)
        reporter(epoch=1, accuracy=pid)
        _, status = os.waitpid(pid, 0)
        reporter(epoch=2, accuracy=os.waitstatus_to_exitcode(status))

    child = start(train)
    child.until_rows()
    os.kill(int(child.rows[0][3]["accuracy"]), signal.SIGTERM)
    assert outcome(child) == RETURNED
    assert child.rows[-1][3]["accuracy"] == -signal.SIGTERM


def test_what_the_function_has_forked_never_speaks_for_the_trial(start):
    def train(args, reporter):
        pid = os.fork()
        if pid == 0:
            raise ValueError("in the forked process")
        _, status = os.waitpid(pid, 0)
        reporter(epoch=1, accuracy=os.waitstatus_to_exitcode(status))

    child = start(train)
    assert outcome(child) == RETURNED
    assert child.rows[0][3]["accuracy"] == 1
    assert "in the forked process" in child.log.read_text()


def test_an_error_after_it_was_told_to_leave_is_no_failure(start):
    def train(args, reporter):
        try:
            reporter(epoch=9, accuracy=0.5)
        finally:
            raise ValueError("cleaning up")

    child = start(train)
    child.until("wait")
    child.tell({"leave": "stop"})
    kind, reason, left, code = outcome(child)
    assert (kind, left, code) == (None, True, 0)
    assert reason.startswith("ValueError: cleaning up")
    assert "cleaning up" in child.log.read_text()


# A controller that is not there


def test_without_a_controller_it_ends(start):
    child = start(lambda args, reporter: endless(reporter), stop=None)
    child.until_rows()
    child.socket.close()
    assert child.wait() == 1


def test_without_a_controller_at_a_milestone_it_ends(start):
    child = start(lambda args, reporter: endless(reporter), stop=1)
    child.until("wait")
    child.socket.close()
    assert child.wait() == 1


def test_without_a_controller_when_it_returns(start):
    def train(args, reporter):
        signal.sigwait([signal.SIGUSR1])

    child = start(train, before=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1]))
    child.until("begin")
    child.socket.close()
    os.kill(child.pid, signal.SIGUSR1)
    assert child.wait() == 1


@pytest.fixture(autouse=True)
def _restored():
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    yield
    random.setstate(python)
    np.random.set_state(numpy)  # noqa: NPY002


def random_numbers(*seeds):
    seed_everything(*seeds)
    return random.random(), np.random.uniform()  # noqa: NPY002, TID251


def test_a_seed_a_start_and_an_attempt_each_give_their_own_numbers_again_and_again():
    jobs = [(7,), (8,), (7, 3.0), (7, 9.0), (7, 0.0, 1), (7, 3.0, 1), (7, 0.5)]
    numbers = [random_numbers(*job) for job in jobs]
    assert len(set(numbers)) == len(jobs)
    assert [random_numbers(*job) for job in jobs] == numbers


def test_torch_is_seeded_where_it_is_loaded():
    torch = pytest.importorskip("torch", reason="needs the extra torch")
    state = torch.get_rng_state()
    seed_everything(5)
    first = torch.rand(3)
    seed_everything(5)
    assert torch.equal(first, torch.rand(3))
    torch.set_rng_state(state)
