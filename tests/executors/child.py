"""A controller for one job: the training function runs in a forked process, as it does in a study."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import time
import warnings
from contextlib import suppress
from pathlib import Path

import pytest

import hbsim
from hbsim.executors import trial
from hbsim.executors.report_ring import ReportRing

PATIENCE = 60.0  # seconds until a test gives up; none waits for it
SPACE = {"lr": hbsim.Real(0.0, 1.0), "depth": hbsim.Int(1, 4)}
TASK = {
    "job": 7,
    "trial": 3,
    "attempt": 0,
    "start": 0,
    "stop": 9,
    "point": [0.25, 0.0],
    "seed": 11,
    "study": "5e1d",
    "started": 2.5,
    "earlier": [],
}
SETUP = {"time_attr": "epoch", "metric": "accuracy"}


class Child:
    """Runs a training function's job; its lines are read here.

    Parameters
    ----------
    function : callable
        The training function, without its decorator.
    folder : Path
        The trial's folder.
    constants : dict, optional
        Arguments of the study.
    space : dict, optional
        What the decorator gets.
    **task
        Fields of the task.
    """

    def __init__(self, function, folder, *, constants=None, space=SPACE, before=None, **task):
        self.log = Path(folder) / "log"
        self.rows = []
        self.code = None
        self.socket, theirs = socket.socketpair()
        self.socket.settimeout(PATIENCE)
        self._unread = b""
        with warnings.catch_warnings():  # it is forked before any thread of the tests does something
            warnings.simplefilter("ignore", DeprecationWarning)
            self.pid = os.fork()
        if self.pid == 0:
            self._run(hbsim.args(**space)(function), theirs, before)
        theirs.close()
        self.ring, descriptor = ReportRing.create()
        setup = {**SETUP, "folder": str(folder)} | ({"constants": constants} if constants else {})
        order = json.dumps({"task": {**TASK, "seed": 11, **task}, "setup": setup}).encode() + b"\n"
        socket.send_fds(self.socket, [order], [descriptor])
        os.close(descriptor)

    def _run(self, function, connection, before):
        code = 99
        try:
            self.socket.close()
            log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(log, 2)
            sys.stderr = sys.__stderr__ = open(2, "w", closefd=False)  # noqa: SIM115
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            if before is not None:
                before()
            code = trial.run(function, connection)
        finally:
            os._exit(code)

    def tell(self, message):
        self.socket.sendall(json.dumps(message).encode() + b"\n")

    def hear(self):
        """Return the next line; the reports until then are in `rows`. None at the end."""
        end = time.monotonic() + PATIENCE
        while b"\n" not in self._unread:
            while not select.select([self.socket], [], [], 0.005)[0]:
                assert time.monotonic() < end, "no line"
                self.collect()  # a trial that makes very many reports waits for that
            data = self.socket.recv(1 << 18)
            if not data:
                assert not self._unread, "a torn line"
                return None
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        self.collect()
        return json.loads(line)

    def collect(self):
        """Read the reports that have been made by now."""
        self.rows += map(list, self.ring.read()[0])

    def until(self, word):
        """Return the next line that has this word."""
        while True:
            message = self.hear()
            assert message is not None, f"no {word!r}: {self.log.read_text()}"
            if word in message:
                return message

    def until_rows(self):
        """Wait for a report."""
        end = time.monotonic() + PATIENCE
        while not self.rows:
            assert time.monotonic() < end, f"no report: {self.log.read_text()}"
            self.collect()
            time.sleep(0.002)

    def has_line(self):
        return bool(self._unread) or bool(select.select([self.socket], [], [], 0)[0])

    def wait(self):
        """Wait until the process is gone; return its exit code, negative for a signal."""
        if self.code is None:
            end = time.monotonic() + PATIENCE
            while time.monotonic() < end:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    self.code = os.waitstatus_to_exitcode(status)
                    return self.code
                time.sleep(0.002)
            raise AssertionError("the process does not end")
        return self.code

    def ended(self):
        """Return the last line, after the process has gone."""
        end = self.until("end")["end"]
        self.wait()
        assert self.hear() is None  # it was the last line
        return end

    def close(self):
        self.socket.close()
        self.ring.close()
        if self.code is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.code = -signal.SIGKILL


@pytest.fixture
def start(tmp_path):
    """Start training functions; nothing of them is left after the test."""
    children = []

    def start(function, **options):
        children.append(Child(function, tmp_path, **options))
        return children[-1]

    yield start
    for child in children:
        child.close()


def outcome(child):
    """Return kind, reason, left and the exit code."""
    end = child.ended()
    return end["kind"], end["reason"], end["left"], child.code


RETURNED = (None, "", False, 0)
LEFT = (None, "", True, 0)


def linger():
    """Wait for a signal, but not for ever."""
    end = time.monotonic() + 2 * PATIENCE
    while time.monotonic() < end:
        time.sleep(0.01)


def endless(reporter):
    """Report until something ends it."""
    for epoch in range(1, 10**9):
        reporter(epoch=epoch, accuracy=0.5)
