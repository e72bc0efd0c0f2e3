"""A real warm server, whose jobs run the code that a test sends them."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from hbsim.executors.server_client import Server
from hbsim.executors.training_function import make_target

LONG = 60.0  # seconds after which a test gives up

TRAIN = """
import hbsim

@hbsim.args(lr=hbsim.Real(0.1, 1.0))
def train_fn(args, reporter):
    return "trained"
"""

# What a job's process calls here: runs the code of the first line; "say" answers the test.
ENTRY = """
import json

def run(function, connection):
    lines = connection.makefile("r")
    names = {"function": function, "status": 0, "lines": lines}
    names["say"] = lambda said: connection.sendall(json.dumps(said).encode() + b"\\n")
    exec(json.loads(lines.readline()), names)
    return names["status"]
"""


class Job:
    """A job of a `Serving`."""

    def __init__(self, number: int, connection: socket.socket) -> None:
        self.number = number
        self.connection = connection
        self.lines = connection.makefile("r")

    def heard(self) -> Any:
        """Return what the job says next; None if it is gone."""
        self.connection.settimeout(LONG)
        line = self.lines.readline()
        return json.loads(line) if line else None


class Serving:
    """A server and its jobs."""

    def __init__(self, folder: Path, train: str = TRAIN, start: str = "fork", grace: float = LONG) -> None:
        (folder / "entry_of_test.py").write_text(ENTRY)
        (folder / "train.py").write_text(train)
        self.folder = folder
        self.log = folder / "log.txt"
        target = make_target(f"{folder / 'train.py'}:train_fn")
        target["path"].insert(0, str(folder))
        self.server = Server(target, start, grace, entry="entry_of_test:run")
        self.jobs: dict[int, Job] = {}
        self.pids: dict[int, int] = {}
        self.status: dict[int, int] = {}

    def run(
        self,
        code: str,
        env: dict[str, str | None] | None = None,
        cpus: list[int] | None = None,
        threads: int = 1,
    ) -> Job:
        """Start a job that executes `code`; it knows function, say, lines, and may set status."""
        ours, theirs = socket.socketpair()
        job = Job(len(self.jobs), ours)
        with theirs:
            self.server.run(job.number, theirs, env or {}, cpus, threads, str(self.log))
        with contextlib.suppress(BrokenPipeError):  # what cannot be set up may have ended already
            ours.sendall(json.dumps(textwrap.dedent(code)).encode() + b"\n")
        self.jobs[job.number] = job
        return job

    def listen(self, until: Callable[[], bool]) -> None:
        """Take in what the server says until a condition holds."""
        deadline = time.monotonic() + LONG
        while not until():
            assert time.monotonic() < deadline, "the server has not said it in time"
            assert not self.server.dead
            select.select([self.server], [], [], 1.0)
            for message in self.server.receive():
                if "forked" in message:
                    self.pids[message["forked"]] = message["pid"]
                else:
                    assert message["exited"] not in self.status
                    self.status[message["exited"]] = message["status"]

    def pid(self, job: Job) -> int:
        self.listen(lambda: job.number in self.pids)
        return self.pids[job.number]

    def ended(self, job: Job) -> int:
        """Wait for a job's end; return its status."""
        self.listen(lambda: job.number in self.status)
        return self.status[job.number]

    def printed(self) -> str:
        return self.log.read_text()

    def close(self) -> None:
        self.server.close()
        for job in self.jobs.values():
            job.lines.close()
            job.connection.close()


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and is not waited for does not."""
    try:
        return psutil.Process(pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline, "it has not happened in time"
        time.sleep(0.01)


def is_leader(pid: int) -> bool:
    """Whether a process leads a session and a group."""
    return os.getsid(pid) == pid == os.getpgid(pid)
