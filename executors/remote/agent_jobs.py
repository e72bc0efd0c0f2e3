"""An agent's jobs: orders that `LocalWorkers` carries out, reports, ends, and copies to and from a store."""

from __future__ import annotations

import functools
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import IO, Any, Final

from hbsim.errors import OutputError
from hbsim.executors import checkpoint, proc
from hbsim.executors.local import LOG, LocalWorkers, trial_folder
from hbsim.executors.remote import checkpoint_copy
from hbsim.executors.remote.checkpoint_copy import FILES
from hbsim.executors.remote.host import Place
from hbsim.executors.remote.lines import Body, ended_from, said_from, task_from
from hbsim.executors.slots import Slot
from hbsim.runner.workers import Ended, Message, Said, Task

__all__ = ["SEVERAL", "Jobs"]

SEVERAL: Final = 5  # jobs in a row that cannot be started: it is not the trial, but the host
_INTERVAL: Final = 1.0  # seconds between two sendings of a job's reports,
_MANY: Final = 1000  # or so many reports
_TAIL: Final = 64 << 10  # bytes of a trial's log that are sent at its end
_AT_ONCE: Final = 4  # copies
_AWAY: Final = "its host is taken away"


@dataclass(slots=True)
class _Job:
    task: Task
    slot: Slot
    started: bool = False
    ordered: str = ""  # what the controller has ordered: "leave" with saving, "stop" without, "kill"
    log: int = 0  # how long the log was when it started
    said: Said | None = None  # reports that were not sent yet
    sent: float = -inf  # when reports were sent last


@dataclass(slots=True)
class _Copy:
    words: list[str]
    done: Callable[[str | None], None]  # gets the problem
    process: subprocess.Popen[bytes] | None = None
    errors: IO[bytes] | None = None


class Jobs:
    """Jobs by number, from their start until their end has been said.

    Parameters
    ----------
    workers : LocalWorkers
        Runs them, each as its worker 0.
    slots : dict of int to Slot
        Of `workers`; filled in by this object.
    place : Place
        Where the trials are.
    store : (str, str) or None
        The URL of a store, to which this host brings checkpoints itself, and the study's id.
    say : callable
        Sends a message's body.
    """

    def __init__(
        self,
        workers: LocalWorkers,
        slots: dict[int, Slot],
        place: Place,
        store: tuple[str, str] | None,
        say: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self._workers, self._slots, self._place, self._say = workers, slots, place, say
        self._store = store
        self._jobs: dict[int, _Job] = {}
        self._copies: list[_Copy] = []
        self._stored: dict[int, int] = {}  # trials whose checkpoints are in the store, and the job
        self._leaving = False
        self._refused = 0  # jobs in a row that could not be started

    @property
    def running(self) -> bool:
        """Whether there are jobs that have not ended."""
        return bool(self._jobs)

    # Orders

    def start(self, body: Body) -> None:
        """Start a job, once its checkpoint is there.

        Raises
        ------
        OutputError
            `SEVERAL` in a row cannot be started: nothing can be written where trials are.
        """
        task, share, source = task_from(body["task"]), body["slot"], body["checkpoint"] or {}
        cpus = None if share["cpus"] is None else tuple(share["cpus"])
        job = self._jobs[task.job] = _Job(task, Slot(0, cpus, share["threads"], (), dict(share["env"])))
        if self._leaving:
            self._finish(job, Ended(task.job, kind="preempted", reason=_AWAY))
        elif "job" in source:
            target = self._place.incoming / f"{task.job}-{secrets.token_hex(4)}"
            done = functools.partial(self._fetched, job, target, source["job"])
            self._copy("get", task.trial, source["job"], [target], done)
        else:
            self._start(job, Path(source["folder"]) if source else None)

    def order(self, body: Body) -> None:
        """Carry out ``go``, ``leave`` or ``kill``."""
        kind, number = body["o"], body["job"]
        job = self._jobs.get(number)
        if job is None:
            return  # it has ended meanwhile
        if kind == "go":
            self._workers.go_on(number, inf if body["stop"] is None else body["stop"])
        elif kind == "leave":
            job.ordered = "leave" if body["save"] else "stop"
            self._workers.leave(number, body["save"])
        elif kind == "kill":
            job.ordered = "kill"
            self._workers.kill(number, body["reason"])
        if job.ordered and not job.started:  # its checkpoint is still on its way
            left, reason = kind == "leave", body.get("reason") or "it was killed"
            self._finish(job, Ended(number, left=True) if left else Ended(number, kind="lost", reason=reason))

    def leave(self) -> None:
        """Have all jobs save and leave: the host is taken away."""
        self._leaving = True
        for job in list(self._jobs.values()):
            if not job.started:
                self._finish(job, Ended(job.task.job, kind="preempted", reason=_AWAY))
            elif not job.ordered:
                self._workers.leave(job.task.job, save=True)

    def prune(self, trials: Iterable[int]) -> None:
        """Remove trials' checkpoints and files from this host's own folder, if no job of them is there."""
        kept = {job.task.trial for job in self._jobs.values()}
        for trial in () if self._place.shared else set(trials) - kept:
            folder = self._folder(trial)
            with suppress(OutputError):
                checkpoint.remove(folder / checkpoint.NAME)
            shutil.rmtree(folder / FILES, ignore_errors=True)

    # Starting

    def _start(self, job: _Job, stage: Path | None) -> None:
        """Start a job, from the checkpoint in `stage` if that is given."""
        number, folder = job.task.job, self._folder(job.task.trial)
        try:
            if not self._place.shared:
                checkpoint_copy.recover(folder)
            if stage is not None:
                checkpoint_copy.install(stage, folder)
        except OutputError as error:
            self._finish(job, Ended(number, kind="lost", reason=str(error)))
            return
        finally:
            if stage is not None:
                shutil.rmtree(stage, ignore_errors=True)
        try:
            if not checkpoint.claim(folder / checkpoint.NAME, number):
                reason = "a later job of its trial has been started"
                self._finish(job, Ended(number, kind="lost", reason=reason))
                return
            job.log = _size(folder / LOG)
            self._slots[0] = job.slot
            self._workers.start(0, job.task)
            job.started, self._refused = True, 0
        except OSError as error:
            self._refused += 1
            if self._refused >= SEVERAL:
                raise OutputError(str(folder), f"trials cannot be started: {error}") from error
            self._finish(job, Ended(number, kind="error", reason=f"it cannot be started: {error}"))

    def _fetched(self, job: _Job, target: Path, made_by: int, problem: str | None) -> None:
        if job.task.job not in self._jobs:
            shutil.rmtree(target, ignore_errors=True)  # it was called off
        elif problem is not None:
            reason = f"its checkpoint cannot be fetched from the store: {problem}"
            self._finish(job, Ended(job.task.job, kind="lost", reason=reason))
        else:
            self._stored[job.task.trial] = made_by
            self._start(job, target)

    def _folder(self, trial: int) -> Path:
        return trial_folder(self._place.trials, trial)

    # Messages

    def pass_on(self, message: Message) -> None:
        """Take what the workers say; reports that nobody waits for are sent once in a while."""
        if isinstance(message, Said):
            job = self._jobs[message.job]
            said = job.said
            job.said = message if said is None else replace(said, rows=said.rows + message.rows)
            if message.waits or len(job.said.rows) > _MANY:
                self._send(job, message.waits)
        elif isinstance(message, Ended):
            job = self._jobs[message.job]
            self._send(job)
            if self._leaving and not job.ordered and (message.left or message.kind):
                # Also if it has failed: all processes of the host may have got the signal.
                reason = message.reason or _AWAY
                message = replace(message, kind="preempted", reason=reason, left=False)
            self._finish(job, message)

    def tend(self) -> None:
        """Send the reports that have waited long enough, and go on with copies."""
        now = time.monotonic()
        for job in self._jobs.values():
            if now - job.sent >= _INTERVAL:
                self._send(job)
        for copy in self._copies[:_AT_ONCE]:
            if copy.process is None:
                _begin(copy)
            elif (status := copy.process.poll()) is not None:
                self._copies.remove(copy)
                copy.done(_problem(copy, status))

    def _send(self, job: _Job, waits: bool = False) -> None:
        if job.said is not None:
            self._say(said_from(replace(job.said, waits=waits)))
            job.said, job.sent = None, time.monotonic()

    def _finish(self, job: _Job, ended: Ended) -> None:
        del self._jobs[job.task.job]
        trial, folder = job.task.trial, self._folder(job.task.trial)
        saved = path = shown = log = files = None
        if job.started or job.task.earlier:  # else what is there is of another trial of this number
            with suppress(OutputError):
                saved, path = checkpoint_copy.newest(folder) or (None, None)
        if not self._place.shared:
            log = _tail(folder / LOG, job.log) if job.started else None
            files = str(folder / FILES) if (folder / FILES).is_dir() else None
            shown = None if path is None else str(path)
        self._say(ended_from(ended, saved, shown, files, log))
        new = saved != self._stored.get(trial) and job.ordered != "stop"
        if self._store is not None and saved is not None and path is not None and new:
            done = functools.partial(self._put, trial, saved)
            self._copy("put", trial, saved, [path, folder / FILES], done)

    def _put(self, trial: int, job: int, problem: str | None) -> None:
        if problem is None:
            self._stored[trial] = job
        self._say({"m": "stored", "job": job, "trial": trial, "problem": problem})

    def _copy(
        self, way: str, trial: int, job: int, paths: list[Path], done: Callable[[str | None], None]
    ) -> None:
        """Have a checkpoint copied to or from the store; `done` is called with the problem, or None."""
        assert self._store is not None
        self._copies.append(_Copy([way, *self._store, str(trial), str(job), *map(str, paths)], done))


def _begin(copy: _Copy) -> None:
    """Start the process of a copy: it ends with the agent, and not by SIGTERM to all processes of a host."""

    def prepare() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        proc.die_with_parent(agent)

    agent = os.getpid()
    copy.errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed when it has been read
    command = [sys.executable, "-P", "-m", "hbsim.executors.remote.store", *copy.words]
    copy.process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=copy.errors,
        start_new_session=True,
        preexec_fn=prepare,
    )


def _problem(copy: _Copy, status: int) -> str | None:
    """Return why a copy has failed, the last line that it has printed; None if it has not."""
    assert copy.errors is not None
    with copy.errors as file:
        file.seek(0)
        lines = file.read().decode("utf-8", "replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return None if status == 0 else last or f"its process ended with status {status}"


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _tail(file: Path, since: int) -> str | None:
    """Return the end of what was added to a log since it was so long; None if nothing was."""
    size = _size(file)
    since = since if since <= size else 0  # its middle was cut out
    try:
        with open(file, "rb") as log:
            log.seek(max(since, size - _TAIL))
            return log.read(_TAIL).decode("utf-8", "replace") or None
    except OSError:
        return None
