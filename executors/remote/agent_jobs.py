"""An agent's jobs: orders that `LocalWorkers` carries out, reports and ends, and a store's transfers."""

from __future__ import annotations

import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
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
from hbsim.runner.workers import Ended, Message, Row, Said, Task

__all__ = ["INTERVAL", "SEVERAL", "TAIL", "Jobs", "Transfers"]

INTERVAL: Final = 1.0  # seconds between two sendings of a job's reports,
MANY: Final = 1000  # or so many numbers: no line takes long to carry
TAIL: Final = 64 << 10  # bytes of a trial's log that are sent at its end
SEVERAL: Final = 5  # jobs in a row that cannot be started: it is not the trial, but the host
MOST: Final = 4  # transfers at once
_LOCAL: Final = ("auto", "shared", "pull")  # storages that are no URL
_STORE: Final = (sys.executable, "-P", "-m", "hbsim.executors.remote.store")


@dataclass(slots=True)
class _Job:
    task: Task
    slot: Slot
    source: Mapping[str, Any] | None  # where its checkpoint is to come from
    started: bool = False
    ordered: str = ""  # what the controller has ordered: "leave" with saving, "stop" without, "kill"
    log: int = 0  # how long the log was when it started
    rows: list[Row] = field(default_factory=list)  # not sent yet
    first: int = 0  # the number of the first of them
    sent: float = -inf  # when reports were sent last


class Jobs:
    """Jobs by number; each is run once, whatever comes twice.

    Parameters
    ----------
    workers : LocalWorkers
        Runs them.
    slots : dict of int to Slot
        What a job is run on, by the job's number; filled in by this object.
    place : Place or None
        Where the trials are; None if this host can run none.
    transfers : Transfers
        To and from the store behind a URL.
    say : callable
        Sends a message's body.
    """

    def __init__(
        self,
        workers: LocalWorkers,
        slots: dict[int, Slot],
        place: Place | None,
        transfers: Transfers,
        say: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self.transfers = transfers
        self._workers, self._slots, self._say = workers, slots, say
        self._place = place or Place(Path(), Path(), True)
        self._jobs: dict[int, _Job] = {}
        self._known: set[int] = set()
        self._stored: dict[int, int] = {}  # trials whose checkpoints are in the store, and the job
        self._leaves = False
        self._refused = 0  # jobs in a row that could not be started

    # Orders

    def order(self, body: Body) -> None:
        """Carry out ``start``, ``go``, ``leave`` or ``kill``."""
        kind = body["o"]
        if kind == "start":
            self._take(task_from(body["task"]), body["slot"], body["checkpoint"])
            return
        job = self._jobs.get(body["job"])
        if job is None:
            return  # it has ended meanwhile
        if kind == "go":
            if job.started:
                self._workers.go_on(job.task.job, inf if body["stop"] is None else body["stop"])
        elif kind == "leave":
            job.ordered = "leave" if body["save"] else "stop"
            if job.started:
                self._workers.leave(job.task.job, body["save"])
            else:
                self._finish(job, Ended(job.task.job, left=True))
        elif kind == "kill":
            job.ordered = "kill"
            if job.started:
                self._workers.kill(job.task.job, body["reason"])
            else:
                self._finish(job, Ended(job.task.job, kind="lost", reason=body["reason"] or "it was killed"))

    def leave_all(self) -> None:
        """Have all jobs save and leave: the host is taken away."""
        self._leaves = True
        for job in self._jobs.values():
            if job.started and not job.ordered:
                self._workers.leave(job.task.job, save=True)

    @property
    def running(self) -> bool:
        """Whether there are jobs that have not ended."""
        return bool(self._jobs)

    @property
    def wait(self) -> bool:
        """Whether there are jobs that have not been started."""
        return bool(self._waiting())

    def start_waiting(self) -> None:
        """Start the jobs that wait; the server is ready. One that cannot be started has failed.

        Raises
        ------
        OutputError
            `SEVERAL` in a row cannot: nothing can be written where trials are. The last one still waits.
        """
        for job in self._waiting():
            if job.task.trial in self.transfers:
                continue
            try:
                self._start(job)
            except OutputError as error:
                self._refused += 1
                if self._refused >= SEVERAL:
                    raise  # the last one is given back: others come only once it has ended
                self._finish(job, Ended(job.task.job, kind="error", reason=str(error)))

    def give_back(self, kind: str, reason: str) -> None:
        """End the jobs that wait: this host starts none any more."""
        for job in self._waiting():
            self._finish(job, Ended(job.task.job, kind=kind, reason=reason))

    def _waiting(self) -> list[_Job]:
        return [job for job in self._jobs.values() if not job.started]

    def _take(self, task: Task, share: Mapping[str, Any], source: Mapping[str, Any] | None) -> None:
        if task.job in self._known:
            return
        self._known.add(task.job)
        cpus = None if share["cpus"] is None else tuple(share["cpus"])
        job = _Job(task, Slot(task.job, cpus, share["threads"], (), dict(share["env"])), source)
        self._jobs[task.job] = job
        if source is not None and "job" in source:
            target = self._place.incoming / f"{task.job}"
            done = functools.partial(self._fetched, job, target, source["job"])
            self.transfers.get(task.trial, source["job"], target, done)

    def _fetched(self, job: _Job, target: Path, made_by: int, problem: str | None) -> None:
        if job.task.job not in self._jobs:
            shutil.rmtree(target, ignore_errors=True)  # it was called off
        elif problem is not None:
            reason = f"its checkpoint cannot be fetched from the store: {problem}"
            self._finish(job, Ended(job.task.job, kind="lost", reason=reason))
        else:
            job.source = {"folder": str(target)}
            self._stored[job.task.trial] = made_by

    def _start(self, job: _Job) -> None:
        number, folder = job.task.job, trial_folder(self._place.trials, job.task.trial)
        if not self._place.shared and not self._install(job, folder):
            return
        try:
            claimed = checkpoint.claim(folder / checkpoint.NAME, number)
        except OSError as error:
            raise OutputError(str(folder), f"trial {job.task.trial} cannot be started: {error}") from error
        if not claimed:
            self._finish(job, Ended(number, kind="lost", reason="a later job of its trial has been started"))
            return
        job.log, job.started = _size(folder / LOG), True
        self._slots[number] = job.slot
        try:
            self._workers.start(number, job.task)
        finally:
            del self._slots[number]
        self._refused = 0

    def _install(self, job: _Job, folder: Path) -> bool:
        """Put the checkpoint that was copied to this host in place; whether the job can go on from it."""
        source = None if job.source is None else Path(job.source["folder"])
        try:
            checkpoint_copy.recover(folder)
            if source is not None:
                checkpoint_copy.install(source, folder)
        except OutputError as error:
            self._finish(job, Ended(job.task.job, kind="lost", reason=str(error)))
            return False
        finally:
            if source is not None:
                shutil.rmtree(source, ignore_errors=True)
        return True

    # Messages

    def pass_on(self, message: Message) -> None:
        """Take what the workers say; reports that nobody waits for are sent once in a while."""
        if not isinstance(message, Said | Ended):
            return
        job = self._jobs[message.job]
        if not job.rows:
            job.first = message.first
        job.rows += message.rows
        self._send_many(job)
        if isinstance(message, Ended):
            self._finish(job, replace(self._as_preempted(job, message), rows=job.rows, first=job.first))
        elif message.waits:
            self._send_rows(job, True)

    def tend(self) -> None:
        """Send the reports that have waited long enough, and go on with transfers."""
        now = time.monotonic()
        for job in self._jobs.values():
            if job.rows and now - job.sent >= INTERVAL:
                self._send_rows(job, False)
        self.transfers.tend()

    def prune(self, trial: int) -> None:
        """Remove a trial's checkpoints and files from this host's own folder, if no job of it is there."""
        if self._place.shared or any(job.task.trial == trial for job in self._jobs.values()):
            return
        self.transfers.drop(trial)
        folder = trial_folder(self._place.trials, trial)
        with suppress(OutputError):
            checkpoint.remove(folder / checkpoint.NAME)
        shutil.rmtree(folder / FILES, ignore_errors=True)

    def _as_preempted(self, job: _Job, ended: Ended) -> Ended:
        """Say of a job that has left or failed since the host is taken away that this was why.

        All processes of the host may have got the signal, also those that a trial has started and needs.
        """
        if not self._leaves or job.ordered or not (ended.left or ended.kind):
            return ended
        reason = "its host is taken away" if ended.left else ended.reason
        return replace(ended, kind="preempted", reason=reason, left=False)

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
        trial, folder = job.task.trial, trial_folder(self._place.trials, job.task.trial)
        found = log = files = None
        if job.started or job.task.earlier:  # else what is there is of another trial of this number
            with suppress(OutputError):
                found = checkpoint_copy.newest(folder)
        saved, path = found or (None, None)
        if not self._place.shared:
            log = _tail(folder / LOG, job.log) if job.started else None
            files = str(folder / FILES) if (folder / FILES).is_dir() else None
        shown = None if self._place.shared or path is None else str(path)
        self._say(ended_from(ended, saved, shown, files, log))
        if found is not None and job.ordered != "stop" and saved != self._stored.get(trial):
            done = functools.partial(self._put, trial, found[0])
            self.transfers.put(trial, found[0], found[1], folder / FILES, done)

    def _put(self, trial: int, job: int, problem: str | None) -> None:
        if problem is None:
            self._stored[trial] = job
        self._say({"m": "stored", "job": job, "trial": trial, "problem": problem})


@dataclass(slots=True)
class _Transfer:
    trial: int
    words: list[str]
    done: Callable[[str | None], None]
    target: Path | None = None  # a new folder
    process: subprocess.Popen[bytes] | None = None
    errors: IO[bytes] | None = None


class Transfers:
    """Copies checkpoints to and from the store behind a URL, each by a process of its own.

    Parameters
    ----------
    storage : str
        The URL; if it is none, nothing is copied.
    study : str
        The study's id.
    """

    def __init__(self, storage: str, study: str) -> None:
        self._store = None if storage in _LOCAL else (storage, study)
        self._all: list[_Transfer] = []

    def __contains__(self, trial: object) -> bool:
        """Whether a checkpoint of a trial is to be copied."""
        return any(transfer.trial == trial for transfer in self._all)

    def put(self, trial: int, job: int, path: Path, files: Path, done: Callable[[str | None], None]) -> None:
        """Copy a checkpoint's folder and a trial's files to the store; `done` is called with the problem."""
        self._add("put", trial, [str(job), str(path), str(files)], done)

    def get(self, trial: int, job: int, target: Path, done: Callable[[str | None], None]) -> None:
        """Copy a job's checkpoint and files from the store into a new folder; `done` as in `put`."""
        self._add("get", trial, [str(job), str(target)], done, target)

    def _add(
        self,
        way: str,
        trial: int,
        more: list[str],
        done: Callable[[str | None], None],
        target: Path | None = None,
    ) -> None:
        if self._store is not None:
            words = [*_STORE, way, *self._store, str(trial), *more]
            self._all.append(_Transfer(trial, words, done, target))

    def tend(self) -> None:
        """Take in those that have ended, and begin others."""
        for transfer in self._all[:MOST]:
            try:
                if transfer.process is None:
                    _begin(transfer)
                if transfer.process is None or (code := transfer.process.poll()) is None:
                    continue
                problem = _problem(transfer, code)
            except OSError as error:
                problem = f"its process cannot be started: {error}"
            self._all.remove(transfer)
            transfer.done(problem)

    def drop(self, trial: int) -> None:
        """Give those of a trial up."""
        for transfer in [one for one in self._all if one.trial == trial]:
            _interrupt(transfer)
            self._all.remove(transfer)
            transfer.done("the trial's checkpoint is of no more use")

    def interrupt(self) -> None:
        """End all their processes; they begin anew."""
        for transfer in self._all:
            _interrupt(transfer)


def _begin(transfer: _Transfer) -> None:
    if transfer.target is not None:
        shutil.rmtree(transfer.target, ignore_errors=True)  # of one that was interrupted
    transfer.errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed when it has been read
    transfer.process = subprocess.Popen(
        transfer.words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=transfer.errors,
        start_new_session=True,
        preexec_fn=functools.partial(_prepare, os.getpid()),
    )


def _prepare(parent: int) -> None:
    """Have a transfer end with the agent, and not by a signal to all processes of this host."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    proc.die_with_parent(parent)


def _interrupt(transfer: _Transfer) -> None:
    if transfer.process is not None and transfer.errors is not None:
        transfer.process.kill()
        transfer.process.wait()
        transfer.errors.close()
    transfer.process = transfer.errors = None


def _problem(transfer: _Transfer, code: int) -> str | None:
    """Return why a transfer has failed, the last line of what it has printed; None if it has not."""
    assert transfer.errors is not None
    with transfer.errors as file:
        file.seek(0)
        lines = file.read().decode("utf-8", "replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return None if code == 0 else last or f"its process ended with status {code}"


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
