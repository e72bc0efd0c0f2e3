"""An agent's jobs: orders that `LocalWorkers` carries out, and what the controller is told of them."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from typing import Any, Final

from hbsim.errors import OutputError
from hbsim.executors import checkpoint
from hbsim.executors.dask import packs
from hbsim.executors.dask.pack_tar import FILES
from hbsim.executors.dask.wire import Body, ended_from, said_from, task_from
from hbsim.executors.local import LOG, LocalWorkers, trial_folder
from hbsim.executors.slots import Slot
from hbsim.runner.workers import Ended, Message, Row, Said, Task

__all__ = ["INTERVAL", "SEVERAL", "TAIL", "Jobs"]

INTERVAL: Final = 1.0  # seconds between two sendings of a job's reports,
MANY: Final = 1000  # or so many numbers: the scheduler keeps the last lines, however long they are
TAIL: Final = 64 << 10  # bytes of a trial's log that are sent at its end
SEVERAL: Final = 5  # jobs in a row that cannot be started: it is not the trial, but the host


@dataclass(slots=True)
class _Job:
    task: Task
    slot: Slot
    started: bool = False
    log: int = 0  # how long the log was when it started
    rows: list[Row] = field(default_factory=list)  # not sent yet
    first: int = 0  # the number of the first of them
    sent: float = -inf  # when reports were sent last


class Jobs:
    """Jobs by number; each is run once, whatever comes twice.

    Parameters
    ----------
    crew : LocalWorkers
        Runs them.
    slots : dict of int to Slot
        What the crew runs a job on, by the job's number; filled here.
    trials : Path
        The folder of the trials' folders.
    shared : bool
        Whether the controller sees it, too.
    say : callable
        Sends a message's body.
    """

    def __init__(
        self,
        crew: LocalWorkers,
        slots: dict[int, Slot],
        trials: Path,
        shared: bool,
        say: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self._crew, self._slots, self._say = crew, slots, say
        self._trials, self._shared = trials, shared
        self._jobs: dict[int, _Job] = {}
        self._known: set[int] = set()
        self._refused = 0  # jobs in a row that could not be started

    # Orders

    def order(self, body: Body) -> None:
        """Carry out ``start``, ``go``, ``leave`` or ``kill``."""
        kind = body["o"]
        if kind == "start":
            task, share = task_from(body["task"]), body["slot"]
            if task.job not in self._known:
                self._known.add(task.job)
                cpus = None if share["cpus"] is None else tuple(share["cpus"])
                slot = Slot(task.job, cpus, share["threads"], (), dict(share["env"]))
                self._jobs[task.job] = _Job(task, slot)
        elif (job := self._jobs.get(body["job"])) is None:
            return  # it has ended meanwhile
        elif not job.started:
            self._call_off(job, body)
        elif kind == "go":
            self._crew.go_on(job.task.job, inf if body["stop"] is None else body["stop"])
        elif kind == "leave":
            self._crew.leave(job.task.job, body["save"])
        else:
            self._crew.kill(job.task.job, body["reason"])

    @property
    def wait(self) -> bool:
        """Whether there are jobs that have not been started."""
        return bool(self._waiting())

    def start_waiting(self) -> None:
        """Start the jobs that wait; the crew's server is ready. One that cannot be started has failed.

        Raises
        ------
        OutputError
            `SEVERAL` in a row cannot: nothing can be written where trials are. The last one still waits.
        """
        for job in self._waiting():
            try:
                self._start(job)
            except OutputError as error:
                self._refused += 1
                if self._refused >= SEVERAL:
                    raise  # the last one is given back: others come only once it has ended
                self._finish(job, Ended(job.task.job, kind="error", reason=str(error)))

    def give_back(self) -> None:
        """End the jobs that wait as lost: this host starts none any more."""
        for job in self._waiting():
            self._finish(job, Ended(job.task.job, kind="lost", reason="its host can run no trials"))

    def _waiting(self) -> list[_Job]:
        return [job for job in self._jobs.values() if not job.started]

    def _start(self, job: _Job) -> None:
        number, folder = job.task.job, trial_folder(self._trials, job.task.trial)
        try:
            if not self._shared:
                packs.recover(folder)
            claimed = checkpoint.claim(folder / checkpoint.NAME, number)
        except OSError as error:
            raise OutputError(str(folder), f"trial {job.task.trial} cannot be started: {error}") from error
        if not claimed:
            self._finish(job, Ended(number, kind="lost", reason="a later job of its trial has been started"))
            return
        job.log, job.started = _size(folder / LOG), True
        self._slots[number] = job.slot
        try:
            self._crew.start(number, job.task)
        finally:
            del self._slots[number]
        self._refused = 0

    def _call_off(self, job: _Job, order: Body) -> None:
        """Let a job that waits for the server leave or die; go makes no sense."""
        if order["o"] == "leave":
            self._finish(job, Ended(job.task.job, left=True))
        elif order["o"] == "kill":
            self._finish(job, Ended(job.task.job, kind="lost", reason=order["reason"] or "it was killed"))

    # Messages

    def pass_on(self, message: Message) -> None:
        """Take what the crew says; reports that nobody waits for are sent once in a while."""
        if isinstance(message, Said):
            job = self._jobs[message.job]
            _collect(job, message)
            self._send_many(job)
            if message.waits:
                self._send_rows(job, True)
        elif isinstance(message, Ended):
            job = self._jobs[message.job]
            _collect(job, message)
            self._send_many(job)
            self._finish(job, replace(message, rows=job.rows, first=job.first))

    def send_due(self) -> None:
        """Send the reports that have waited long enough."""
        now = time.monotonic()
        for job in self._jobs.values():
            if job.rows and now - job.sent >= INTERVAL:
                self._send_rows(job, False)

    def prune(self, trial: int) -> None:
        """Remove a trial's checkpoints and files from this host's own folder, if no job of it is there."""
        if self._shared or any(job.task.trial == trial for job in self._jobs.values()):
            return
        folder = trial_folder(self._trials, trial)
        with suppress(OutputError):
            checkpoint.remove(folder / checkpoint.NAME)
        shutil.rmtree(folder / FILES, ignore_errors=True)

    def _send_many(self, job: _Job) -> None:
        """Send reports that are many, all but the last of them."""
        few = max(1, MANY // (3 + len(job.rows[0].metrics))) if job.rows else 0
        while len(job.rows) > few:
            self._send_rows(job, False, few)

    def _send_rows(self, job: _Job, waits: bool, count: int | None = None) -> None:
        rows, job.rows = job.rows[:count], [] if count is None else job.rows[count:]
        self._say(said_from(Said(job.task.job, rows, job.first, waits)))
        job.first, job.sent = job.first + len(rows), time.monotonic()

    def _finish(self, job: _Job, ended: Ended) -> None:
        del self._jobs[job.task.job]
        folder = trial_folder(self._trials, job.task.trial)
        log = None if self._shared or not job.started else _tail(folder / LOG, job.log)
        self._say(ended_from(ended, _saved(folder) if job.started else None, log))


def _collect(job: _Job, message: Said | Ended) -> None:
    if not job.rows:
        job.first = message.first
    job.rows += message.rows


def _saved(folder: Path) -> int | None:
    """Return the job that made a trial's checkpoint, if it has one."""
    try:
        about = checkpoint.describe(folder / checkpoint.NAME)
    except OutputError:  # damaged
        return None
    return None if about is None else about["job"] or 0


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _tail(file: Path, since: int) -> str | None:
    """Return the end of what was added to a log since it was so long; None if nothing was."""
    size = _size(file)
    since = since if since <= size else 0  # it was cut
    begin = max(since, size - TAIL)
    if begin == size:
        return None
    try:
        with open(file, "rb") as log:
            log.seek(begin)
            text = log.read(TAIL).decode("utf-8", "replace")
    except OSError:
        return None
    return text if begin == since else f"[... {begin - since:,} bytes are left out ...]\n{text}"
