"""SIGTERM, and what else ends a function from outside."""

import os
import signal
import sys

from hbsim.executors.reporter import TrialEnd
from tests.executors.child import LEFT, RETURNED, endless, linger, outcome, start

__all__ = ["start"]  # the fixture


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
