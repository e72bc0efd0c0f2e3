"""The agent: a process that runs a study's trials on one host, for a controller on any machine.

It is started by ``python -P -m hbsim.executors.remote.agent``. It reads the configuration and then orders, in
lines, from its standard input, and writes messages, in lines, to its standard output: see
`hbsim.executors.remote.protocol`. Its child processes get /dev/null and the standard error instead.

The agent ends its processes and itself when its input ends, its output cannot be written, its lease is over,
it can run no trials, or the order ``close`` comes. After SIGTERM its trials save first and are handed back.
Its exit status is 0 if no process is left. If it is killed, the warm server ends the trials; if it hangs, the
kernel ends it soon after its lease, by SIGALRM.
"""

from __future__ import annotations

import functools
import math
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from types import FrameType
from typing import IO, Any, Final, NoReturn

from hbsim.errors import HbsimError, OutputError, ParameterError
from hbsim.executors import checkpoint, processes
from hbsim.executors.json_lines import LineReader, fatal
from hbsim.executors.local import LOG, LocalWorkers, UnfitTrial, trial_folder
from hbsim.executors.processes import JobProcesses, Lease, lease_clock
from hbsim.executors.remote import store
from hbsim.executors.remote.code import localise
from hbsim.executors.remote.host import VARIABLE, AgentFolders, find_folders, hello, touch_all
from hbsim.executors.remote.protocol import ROOM, Body, body_of, dump, task_from
from hbsim.executors.remote.store import FILES
from hbsim.executors.slots import Slot
from hbsim.executors.training_function import default_start
from hbsim.runner.workers import Assignment, JobEnded, Message, Reported

CLOSE: Final = 20.0  # seconds after the grace for the controller to copy checkpoints
_LOOK: Final = 0.2  # seconds between two checks of the lease, the server and waiting reports
_PATIENCE: Final = 0.5  # seconds for the server to end all jobs itself
_HANGS: Final = 5  # seconds after the end of the lease until the kernel ends an agent that hangs
_END: Final = 30  # seconds for ending all processes
_REMOVE: Final = 600  # seconds for removing the host's folder
_CHUNK: Final = 1 << 18
SEVERAL: Final = 5  # jobs in a row that cannot be started: the host is at fault, not the trials
_INTERVAL: Final = 1.0  # seconds between two messages with a job's reports,
_MANY: Final = 1000  # or so many reports
_TAIL: Final = 64 << 10  # bytes of a trial's log that are sent at its end
_AT_ONCE: Final = 4  # copies
_AWAY: Final = "its host is taken away"


class AgentMustEnd(Exception):
    """Raised when the agent has to end, with the reason in a line or without a text."""


def main() -> NoReturn:
    """Serve the controller until the agent has to end."""
    signal.signal(signal.SIGINT, lambda number, frame: None)  # not SIG_IGN, which is inherited
    processes.adopt_orphans()  # trials' processes of a server that dies
    channel = _take_standard_files()
    agent: Agent | None = None
    reason = ""
    try:
        config = channel.first()
        signal.alarm(math.ceil(config["lease"]) + _HANGS)
        agent = Agent(config, channel)
        agent.run()
    except AgentMustEnd as over:
        reason = str(over)
    except HbsimError as error:  # the controller decides on the consequences
        channel.say(_fatal_from(error))
    except Exception:
        reason = traceback.format_exc()
    signal.alarm(_END)
    if agent is not None:
        agent.close()
    JobProcesses().kill_all()
    with suppress(OSError, ValueError):  # the controller may have closed the output
        channel.finish()
        print(reason, file=sys.stderr, flush=True)
    os._exit(1 if processes.children() else 0)


def _take_standard_files() -> AgentChannel:
    """Reserve standard input and output for the channel; other code and processes get other files."""
    source, sink = os.dup(0), os.dup(1)  # not inherited
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return AgentChannel(source, sink)


def _fatal_from(error: HbsimError) -> Body:
    """Return the message that this host can run no trials because of this error."""
    if isinstance(error, ParameterError):
        field, value, rule = fatal(error)["fatal"]
    elif isinstance(error, OutputError):
        field, value, rule = "folder", error.path, error.problem
    else:
        field, value, rule = "hosts", None, str(error)
    return {"m": "fatal", "field": field, "value": value, "rule": rule}


class AgentChannel:
    """Lines over two descriptors of pipes or sockets; only the read of the first line blocks.

    Parameters
    ----------
    source, sink : int
        The descriptors for orders and for messages.

    Attributes
    ----------
    closed : bool
        Whether the controller has closed the channel.
    taken : int
        The number of bytes of reports and ends that the runner has processed.
    """

    def __init__(self, source: int, sink: int) -> None:
        self.source, self.sink = source, sink
        self.closed = False
        self.taken = 0
        self._sent = 0  # bytes of reports and ends
        self._reader = LineReader()
        self._orders: list[Body] = []  # orders that came with the first line
        self.unwritten = bytearray()

    @property
    def full(self) -> bool:
        """Whether no more reports should be sent until the runner has processed more."""
        return self._sent - self.taken > ROOM

    def first(self) -> Body:
        """Wait for the first line, the configuration."""
        while not self._orders:
            data = os.read(self.source, _CHUNK)
            if not data:
                raise AgentMustEnd
            self._orders = self._read(data)
        os.set_blocking(self.source, False)
        os.set_blocking(self.sink, False)
        return self._orders.pop(0)

    def receive(self) -> list[Body]:
        """Return the orders that have come, without waiting."""
        orders, self._orders = self._orders, []
        try:
            data = os.read(self.source, _CHUNK)
        except BlockingIOError:
            return orders
        except OSError:
            data = b""
        self.closed = self.closed or not data
        return orders + self._read(data)

    def _read(self, data: bytes) -> list[Body]:
        orders = self._reader.messages(data)
        if self._reader.garbage is not None:
            raise AgentMustEnd(f"hbsim: the controller has sent what is no order: {self._reader.garbage}")
        return orders

    def say(self, body: Mapping[str, Any]) -> None:
        """Send a message."""
        line = dump(body).encode() + b"\n"
        if body["m"] in ("said", "ended"):
            self._sent += len(line) - 1
        self.unwritten += line
        self.write()

    def write(self) -> None:
        """Write as much of the unwritten data as the descriptor accepts."""
        try:
            while self.unwritten and not self.closed:
                del self.unwritten[: os.write(self.sink, self.unwritten)]
        except BlockingIOError:
            pass
        except OSError:
            self.closed = True

    def finish(self) -> None:
        """Write all unwritten data, unless the channel is closed."""
        os.set_blocking(self.sink, True)
        self.write()


class Agent:
    """The agent's main loop: it runs trials as the controller orders.

    Parameters
    ----------
    config : mapping
        The controller's first line.
    channel : AgentChannel
        The channel to the controller.

    Raises
    ------
    HbsimError
        This host can run no trials.
    """

    def __init__(self, config: Mapping[str, Any], channel: AgentChannel) -> None:
        self._channel, self._grace = channel, config["grace"]
        self._place = place = find_folders(config)
        target = localise(config["bundle"], place.work)
        os.chdir(target.pop("cwd") or place.work)
        self._lease_file = place.work / f".lease-{os.getpid()}-{secrets.token_hex(4)}"
        self._lease = Lease.create(self._lease_file, config["lease"])
        slots: dict[int, Slot] = {}
        setup = {**config["setup"], "fenced": True, "saves": True}
        how = (config["start"] or default_start(), self._grace, self._lease_file)
        self._workers = LocalWorkers(target, slots, place.trials, setup, *how)
        self._workers.launch()
        self._workers.watch(channel.source, lambda: None)
        channel.say(hello(place))  # the server loads the function meanwhile
        store = (config["storage"], config["study"]) if "://" in config["storage"] else None
        self._jobs = AgentJobs(self._workers, slots, place, store, channel.say)
        self._touching = touch_all(place.work)
        self._ready = self._clean = self._terminated = False
        self._leaving: float | None = None  # when it began to hand trials back
        signal.signal(signal.SIGTERM, self._terminate)

    def run(self) -> None:
        """Follow the controller's orders until the agent has to end.

        Raises
        ------
        AgentMustEnd
            The agent has to end.
        HbsimError
            This host can run no trials.
        """
        channel, workers = self._channel, self._workers
        while not channel.closed:
            workers.watch(channel.sink, channel.write, writable=bool(channel.unwritten), readable=False)
            workers.hold(channel.full and not self._terminated)  # else no trial could save
            try:
                messages = workers.wait(_LOOK)
            except UnfitTrial as error:
                messages = ()
                channel.say({**_fatal_from(error), "trial": error.of})
            self._look_at_lease()  # first: trials that end because the lease is over have not failed
            if self._terminated:
                self._leave()
            for message in messages:
                self._jobs.pass_on(message)
            self._look_at_server()
            for body in channel.receive():
                self._follow_order(body)
            self._jobs.look_after()
            next(self._touching)

    def close(self) -> None:
        """End all trials and the server, and remove files that are not needed any more."""
        self._lease.revoke()
        self._workers.close(_PATIENCE)
        self._lease_file.unlink(missing_ok=True)
        if self._clean:
            signal.alarm(_REMOVE)
            shutil.rmtree(self._place.work, ignore_errors=True)

    def _follow_order(self, body: Body) -> None:
        kind = body["o"]
        if kind == "beat":
            self._lease.renew(body["until"])
            signal.alarm(max(1, math.ceil(self._lease.until - lease_clock())) + _HANGS)
            self._channel.taken = body["taken"]
            clocks = {"clock": round(lease_clock(), 6), "time": round(time.monotonic(), 6)}
            self._channel.say({"m": "beat", "id": body["id"], **clocks})
        elif kind == "taken":
            self._channel.taken = body["taken"]
        elif kind == "prune":
            self._jobs.prune(body["trials"])
        elif kind == "close":
            self._clean = bool(body["clean"])
            raise AgentMustEnd
        elif kind == "start":
            self._jobs.start(body)
        else:
            self._jobs.order(body)

    def _look_at_lease(self) -> None:
        if self._lease.expired():
            raise AgentMustEnd(
                "hbsim: the controller has not been heard for too long; trials on this host end"
            )
        try:
            os.stat(self._lease_file)
        except (FileNotFoundError, NotADirectoryError):  # the folder was removed: no trial can start
            rule = f"was removed, as temporary files are; {VARIABLE} can name a folder that nobody tidies"
            raise AgentMustEnd(f"hbsim: {self._lease_file} {rule}") from None
        except OSError:  # a disk may not answer for a while
            pass

    def _look_at_server(self) -> None:
        server = self._workers.server
        if server is None:
            if not self._terminated:  # after SIGTERM `_leave` may have ended the server
                raise AgentMustEnd("hbsim: the server that trials are forked from has died")
        elif server.ready is not None and not self._ready:
            self._ready = True
            self._channel.say({"m": "ready", "seconds": round(server.ready, 3)})

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        self._terminated = True

    def _leave(self) -> None:
        """Hand all trials back, and end: trials save and leave, or are killed after the grace."""
        now = time.monotonic()
        if self._leaving is None:
            self._leaving = now
            self._channel.say({"m": "leaving", "reason": "SIGTERM was sent to its agent"})
            self._jobs.leave()
        if now > self._leaving + self._grace and self._jobs.running:
            self._workers.cut(f"its host is taken away, and it did not leave within {self._grace:g} s")
        if now > self._leaving + self._grace + CLOSE:
            raise AgentMustEnd("hbsim: SIGTERM was sent")


@dataclass(slots=True)
class _Job:
    task: Assignment
    slot: Slot
    started: bool = False
    ordered: str = ""  # the controller's last order: "leave" with saving, "stop" without, "kill"
    log: int = 0  # length of the log when the job started, in bytes
    said: Reported | None = None  # reports that are not sent yet
    sent: float = -inf  # time at which reports were sent last


@dataclass(slots=True)
class _Copy:
    arguments: list[str]
    done: Callable[[str | None], None]  # called with the problem, or None
    process: subprocess.Popen[bytes] | None = None
    errors: IO[bytes] | None = None


class AgentJobs:
    """The agent's jobs, from their start until their end has been reported.

    Parameters
    ----------
    workers : LocalWorkers
        The workers that run the jobs, all under the number 0.
    slots : dict of int to Slot
        The slots of `workers`; this object fills them in.
    place : AgentFolders
        The folders of the trials.
    store : (str, str) or None
        The URL of a store, to which this host copies checkpoints itself, and the study's id.
    say : callable
        Sends a message's body.
    """

    def __init__(
        self,
        workers: LocalWorkers,
        slots: dict[int, Slot],
        place: AgentFolders,
        store: tuple[str, str] | None,
        say: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self._workers, self._slots, self._place, self._say = workers, slots, place, say
        self._store = store
        self._jobs: dict[int, _Job] = {}
        self._copies: list[_Copy] = []
        self._stored: dict[int, int] = {}  # by trial: the job whose checkpoint is in the store
        self._leaving = False
        self._refused = 0  # jobs in a row that could not be started

    @property
    def running(self) -> bool:
        """Whether there are jobs that have not ended."""
        return bool(self._jobs)

    # Orders

    def start(self, body: Body) -> None:
        """Start a job, as soon as its checkpoint is on this host.

        Raises
        ------
        OutputError
            `SEVERAL` jobs in a row cannot be started: the trials' folder cannot be written.
        """
        task, share, source = task_from(body["task"]), body["slot"], body["checkpoint"] or {}
        cpus = None if share["cpus"] is None else tuple(share["cpus"])
        job = self._jobs[task.job] = _Job(task, Slot(0, cpus, share["threads"], (), dict(share["env"])))
        if self._leaving:
            self._finish(job, JobEnded(task.job, kind="preempted", reason=_AWAY))
        elif "job" in source:
            target = self._place.incoming / f"{task.job}-{secrets.token_hex(4)}"
            done = functools.partial(self._fetched, job, target, source["job"])
            self._copy("get", task.trial, source["job"], [target], done)
        else:
            self._start(job, Path(source["folder"]) if source else None)

    def order(self, body: Body) -> None:
        """Carry out an order ``go``, ``leave`` or ``kill``."""
        kind, number = body["o"], body["job"]
        job = self._jobs.get(number)
        if job is None:
            return  # the job has ended meanwhile
        if kind == "go":
            self._workers.go_on(number, inf if body["stop"] is None else body["stop"])
        elif kind == "leave":
            job.ordered = "leave" if body["save"] else "stop"
            self._workers.leave(number, body["save"])
        elif kind == "kill":
            job.ordered = "kill"
            self._workers.kill(number, body["reason"])
        if job.ordered and not job.started:  # its checkpoint is still being copied
            left, reason = kind == "leave", body.get("reason") or "it was killed"
            self._finish(
                job, JobEnded(number, left=True) if left else JobEnded(number, kind="lost", reason=reason)
            )

    def leave(self) -> None:
        """Make all jobs save and leave, since the host is being shut down."""
        self._leaving = True
        for job in list(self._jobs.values()):
            if not job.started:
                self._finish(job, JobEnded(job.task.job, kind="preempted", reason=_AWAY))
            elif not job.ordered:
                self._workers.leave(job.task.job, save=True)

    def prune(self, trials: Iterable[int]) -> None:
        """Remove the checkpoints and files of trials without a job from this host's own folder."""
        kept = {job.task.trial for job in self._jobs.values()}
        for trial in () if self._place.shared else set(trials) - kept:
            folder = self._folder(trial)
            with suppress(OutputError):
                checkpoint.remove(folder / checkpoint.NAME)
            shutil.rmtree(folder / FILES, ignore_errors=True)

    # Starting

    def _start(self, job: _Job, stage: Path | None) -> None:
        """Start a job, from the checkpoint in the folder `stage` if that is given."""
        number, folder = job.task.job, self._folder(job.task.trial)
        try:
            if not self._place.shared:
                store.recover(folder)
            if stage is not None:
                store.install(stage, folder)
        except OutputError as error:
            self._finish(job, JobEnded(number, kind="lost", reason=str(error)))
            return
        finally:
            if stage is not None:
                shutil.rmtree(stage, ignore_errors=True)
        try:
            if not checkpoint.claim(folder / checkpoint.NAME, number):
                reason = "a later job of its trial has been started"
                self._finish(job, JobEnded(number, kind="lost", reason=reason))
                return
            job.log = _size(folder / LOG)
            self._slots[0] = job.slot
            self._workers.start(0, job.task)
            job.started, self._refused = True, 0
        except OSError as error:
            self._refused += 1
            if self._refused >= SEVERAL:
                raise OutputError(str(folder), f"trials cannot be started: {error}") from error
            self._finish(job, JobEnded(number, kind="error", reason=f"it cannot be started: {error}"))

    def _fetched(self, job: _Job, target: Path, made_by: int, problem: str | None) -> None:
        if job.task.job not in self._jobs:
            shutil.rmtree(target, ignore_errors=True)  # the job has ended meanwhile
        elif problem is not None:
            reason = f"its checkpoint cannot be fetched from the store: {problem}"
            self._finish(job, JobEnded(job.task.job, kind="lost", reason=reason))
        else:
            self._stored[job.task.trial] = made_by
            self._start(job, target)

    def _folder(self, trial: int) -> Path:
        return trial_folder(self._place.trials, trial)

    # Messages

    def pass_on(self, message: Message) -> None:
        """Handle a message of the workers; reports for which no trial waits are sent at intervals."""
        if isinstance(message, Reported):
            job = self._jobs[message.job]
            if message.changed:  # from its first report on, not from an earlier one
                self._send(job)
            said = job.said
            job.said = message if said is None else replace(said, rows=said.rows + message.rows)
            if message.waits or len(job.said.rows) > _MANY:
                self._send(job, message.waits)
        elif isinstance(message, JobEnded):
            job = self._jobs[message.job]
            self._send(job)
            if self._leaving and not job.ordered and (message.left or message.kind):
                # Failed jobs, too: all processes of the host may have got the signal.
                reason = message.reason or _AWAY
                message = replace(message, kind="preempted", reason=reason, left=False)
            self._finish(job, message)

    def look_after(self) -> None:
        """Send reports whose interval is over, and proceed with copies."""
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
            self._say(body_of(replace(job.said, waits=waits)))
            job.said, job.sent = None, time.monotonic()

    def _finish(self, job: _Job, ended: JobEnded) -> None:
        del self._jobs[job.task.job]
        trial, folder = job.task.trial, self._folder(job.task.trial)
        saved = path = shown = log = files = best = None
        if job.started or job.task.earlier:  # else the folder is of another trial with this number
            with suppress(OutputError):
                saved, path = store.newest(folder) or (None, None)
        if not self._place.shared:
            log = _tail(folder / LOG, job.log) if job.started else None
            files = str(folder / FILES) if (folder / FILES).is_dir() else None
            shown = None if path is None else str(path)
            best = store.other_best(folder, path)
        self._say(body_of(ended, saved=saved, folder=shown, best=best, files=files, log=log))
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
        """Copy a checkpoint to or from the store, and call `done` with the problem, or None."""
        assert self._store is not None
        self._copies.append(_Copy([way, *self._store, str(trial), str(job), *map(str, paths)], done))


def _begin(copy: _Copy) -> None:
    """Start the process of a copy; it ends with the agent, but not by SIGTERM to all processes of a host."""

    def prepare() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        processes.die_with_parent(agent)

    agent = os.getpid()
    copy.errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed when it has been read
    command = [sys.executable, "-P", "-m", "hbsim.executors.remote.store", *copy.arguments]
    copy.process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=copy.errors,
        start_new_session=True,
        preexec_fn=prepare,
    )


def _problem(copy: _Copy, status: int) -> str | None:
    """Return why a copy has failed, by the last line that it has printed; None if it has not failed."""
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
    """Return the end of what was added to a log since its length was `since`; None if nothing was added."""
    size = _size(file)
    since = since if since <= size else 0  # its middle was cut out
    try:
        with open(file, "rb") as log:
            log.seek(max(since, size - _TAIL))
            return log.read(_TAIL).decode("utf-8", "replace") or None
    except OSError:
        return None


if __name__ == "__main__":
    main()
