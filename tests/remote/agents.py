"""A controller for one agent: the agent's process is real, and so are its server and its trials."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil

from hbsim.executors.remote.code import make_bundle
from hbsim.executors.remote.protocol import task_of
from hbsim.executors.training_function import make_target
from hbsim.runner.workers import NEVER, Assignment
from tests.executors.serving import LONG, alive

STUDY = "5" * 16
COMMAND = [sys.executable, "-P", "-m", "hbsim.executors.remote.agent"]

# Says its process id, and leaves two processes that would stay for ten minutes, one a daemon.
TRAIN = """
import os, signal, subprocess, sys, time
import hbsim

@hbsim.args(mode=hbsim.Choice("plain", "hold", "chatty"), epochs=3, text="")
def train_fn(args, reporter):
    (reporter.folder / "pid").write_text(str(os.getpid()))
    reporter.on_pause(lambda: {"epoch": epoch})
    if args.mode != "plain":
        one = subprocess.Popen(["sleep", "600"])
        two = subprocess.Popen(["sh", "-c", "setsid sleep 600 & echo $!"], stdout=subprocess.PIPE)
        left = [one.pid, int(two.stdout.readline())]
        (reporter.folder / "left").write_text(" ".join(map(str, left)))
    print("trial", args.trial, "begins")
    start = (reporter.load() or {"epoch": 0})["epoch"]
    for epoch in range(start + 1, 10**6 if args.mode == "chatty" else args.epochs + 1):
        if args.mode == "hold":
            while not (reporter.folder / "go").exists():
                time.sleep(0.01)
        if args.mode == "chatty":
            time.sleep(0.02)
        reporter(epoch=epoch, loss=1.0 / epoch)
        if args.mode == "hold":
            reporter.save({"epoch": epoch})
"""
MODES = {"plain": 0.1, "hold": 0.5, "chatty": 0.9}  # in the unit cube


class Agent:
    """An agent, and what it has said.

    Parameters
    ----------
    folder : Path
        Of the test.
    train : str
        The training function's file.
    storage : str
        As in the configuration.
    sees : bool
        Whether the agent sees the study's folder.
    lease, grace : float
        In seconds.
    constants : dict, optional
        The training function's arguments of the study.
    pipes : bool
        Whether its input and output are pipes, and not a socket.
    command : sequence of str
        What starts it.
    """

    def __init__(
        self,
        folder: Path,
        train: str = TRAIN,
        storage: str = "auto",
        sees: bool = False,
        lease: float = 30.0,
        grace: float = 0.5,
        constants: dict[str, Any] | None = None,
        pipes: bool = True,
        command: Sequence[str] = COMMAND,
    ) -> None:
        (folder / "train.py").write_text(train)
        study = folder / "study"
        study.mkdir(exist_ok=True)
        self.work = folder / "work" / STUDY
        self.trials = study if sees else self.work / "trials"
        self.said: list[dict[str, Any]] = []
        self.takes, self.taken = True, 0  # bytes of reports and ends
        self.sent = 0  # of them, as they have come
        self.beats = 0  # that were answered
        self.lease = lease
        self.peers: list[Agent] = []  # that have to be kept alive meanwhile
        self._clock: float | None = None
        self._unread = b""
        session = secrets.token_hex(8)
        if sees:
            (study / f".probe-{session}").write_text("seen")
        setup = {"time_attr": "epoch", "metric": "loss", "constants": constants or {}}
        config = {
            "session": session,
            "study": STUDY,
            "bundle": make_bundle(make_target(f"{folder / 'train.py'}:train_fn"), "file"),
            "setup": setup,
            "start": None,
            "grace": grace,
            "lease": lease,
            "trials": str(study),
            "probe": "seen",
            "storage": storage,
            "agent": "one",
        }
        environment = {**os.environ, "HBSIM_WORK": str(folder / "work")}
        if pipes:
            theirs_in, self.into = os.pipe()
            self.out, theirs_out = os.pipe()
        else:
            ours, theirs = socket.socketpair()
            theirs_in = theirs_out = theirs.detach()
            self.into = self.out = ours.detach()
        self.process = subprocess.Popen(
            command, stdin=theirs_in, stdout=theirs_out, stderr=subprocess.PIPE, env=environment
        )
        for descriptor in {theirs_in, theirs_out}:
            os.close(descriptor)
        self.write(json.dumps(config))
        self._beat_at = 0.0

    def write(self, line: str) -> None:
        """Send a line."""
        data = line.encode() + b"\n"
        try:
            while data:
                data = data[os.write(self.into, data) :]
        except BrokenPipeError:
            self._assert_lives(b"")

    def order(self, kind: str, **fields: Any) -> None:
        """Send an order."""
        self.write(json.dumps({"o": kind, **fields}))

    def start(
        self,
        job: int,
        trial: int,
        mode: str = "plain",
        stop: float = NEVER,
        earlier: Sequence[tuple[int, float, int]] = (),
        checkpoint: dict[str, Any] | None = None,
    ) -> None:
        """Start a job; `earlier` are those of its trial before, as in a Task."""
        task = Assignment(job, trial, 0, 0.0, stop, [MODES[mode]], 7, earlier=list(earlier))
        slot = {"cpus": None, "threads": 1, "env": {}}
        self.order("start", task=task_of(task), slot=slot, checkpoint=checkpoint)

    def until(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Return the next message of a kind with these fields; beats meanwhile."""
        found: list[dict[str, Any]] = []

        def come() -> bool:
            found[:] = [one for one in self.said if one["m"] == kind and fields.items() <= one.items()]
            return bool(found)

        self.listen(come)
        self.said.remove(found[0])
        return found[0]

    def listen(self, until: Callable[[], bool]) -> None:
        """Take in what the agent says until a condition holds."""
        deadline = time.monotonic() + LONG
        while not until():
            text = f"the agent has not said it in time, but {str(self.said)[:2000]}"
            assert time.monotonic() < deadline, text
            for peer in self.peers:
                peer.step(0.0)
            self.step(0.05)

    def step(self, timeout: float) -> None:
        """Beat, if it is time, and take what comes within so many seconds."""
        if time.monotonic() > self._beat_at:
            self._beat_at = time.monotonic() + 0.3
            until = 0.0 if self._clock is None else self._clock + self.lease
            self.taken = self.sent if self.takes else self.taken
            self.order("beat", id=1, until=until, taken=self.taken)
        if select.select([self.out], [], [], timeout)[0]:
            self._take()

    def _take(self) -> None:
        data = os.read(self.out, 1 << 18)
        self._assert_lives(data)
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            body = json.loads(line)
            if body["m"] == "beat":
                self._clock = body["clock"]
                self.beats += 1
            else:
                self.said.append(body)
                self.sent += len(line) if body["m"] in ("said", "ended") else 0

    def _assert_lives(self, data: bytes) -> None:
        assert data, f"the agent has ended: {self.process.stderr.read().decode()}"

    def folder(self, trial: int) -> Path:
        return self.trials / f"{trial:06d}"

    def pids(self, *trials: int) -> list[int]:
        """Return the processes of trials, what they left, the server and the agent."""
        found = []
        for trial in trials:
            for name in ("pid", "left"):
                file = self.folder(trial) / "files" / name
                self.listen(lambda file=file: file.exists() and file.read_text())
                found += [int(word) for word in file.read_text().split()]
        return [self.process.pid, *self.servers(), *found]

    def trial_pids(self) -> list[int]:
        """Return the processes of trials that run."""
        return [child.pid for server in self.servers() for child in psutil.Process(server).children()]

    def servers(self) -> list[int]:
        return [child.pid for child in psutil.Process(self.process.pid).children()]

    def ended(self) -> int:
        """Wait for the agent's end; return its exit status."""
        return self.process.wait(LONG)

    def hang_up(self) -> None:
        """Close the lines."""
        for descriptor in {self.into, self.out}:
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def close(self) -> None:
        self.hang_up()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGCONT)
        self.process.wait(LONG)
        self.process.stderr.close()


def gone(pids: list[int]) -> bool:
    """Whether none of these processes is left."""
    return not any(alive(pid) for pid in pids)
