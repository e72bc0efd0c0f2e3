"""The local executor's workers: a process a trial, from a warm server, each with its own CPUs and GPUs."""

from __future__ import annotations

import math
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from math import inf
from pathlib import Path
from typing import Any, Final

from hbsim.core.types import FAILURE_KINDS
from hbsim.errors import OutputError, ParameterError
from hbsim.executors import checkpoint
from hbsim.executors.checkpoint import PREFIX as CLAIM
from hbsim.executors.json_lines import LineReader, dump_line
from hbsim.executors.processes import OomWatch
from hbsim.executors.report_ring import ReportRing
from hbsim.executors.server_client import Server
from hbsim.executors.slots import Slot
from hbsim.executors.training_function import FunctionDescription
from hbsim.runner.workers import Assignment, JobEnded, Message, Reported

__all__ = ["LIMIT", "LOG", "JobProcess", "LocalWorkers", "UnfitTrial", "trial_folder", "trim"]

_CHUNK: Final = 1 << 18
CHUNK: Final = 1 << 18
LOG: Final = "log.txt"
EARLIER: Final = (
    "earlier-"  # begins the name of a folder in a trial's: of a trial that the journal does not know
)
LOOK: Final = 1.0  # seconds between two looks at the logs
COLLECT: Final = 0.03  # seconds between two looks at what trials have reported
CUT: Final = 0.5  # seconds in which what is killed since time is up may be waited for
HOLD: Final = 0.25  # seconds in which a signal to all processes of a study reaches this one, too
LIMIT: Final = 64 << 20  # bytes
KEPT: Final = 1 << 20  # bytes of each end


@dataclass(slots=True)
class JobProcess:
    """What is known of a job's process, the line to it, and its reports."""

    task: Assignment
    socket: socket.socket
    ring: ReportRing
    ordered: float  # when its process was asked for
    reader: LineReader = field(default_factory=LineReader)
    said: int = 0
    begun: float | None = None
    end: Mapping[str, Any] | None = None
    ended_at: float | None = None
    killed: str | None = None
    leaves: bool = False  # it was told to
    due: float = inf  # when it is to be gone, since it has saved what it leaves with
    talks: bool = True  # its end of the line is not closed
    outgoing: bytes = b""  # what the socket did not take yet
    garbled: bool = False  # it has said what is no message

    def begin(self, line: Mapping[str, object], descriptor: int) -> None:
        """Send the first line, and beside it the descriptor of the ring of reports, which is closed here."""
        self.outgoing = dump_line(line)
        self.socket.setblocking(False)
        try:
            with suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
                sent = socket.send_fds(self.socket, [self.outgoing[:_CHUNK]], [descriptor])
                self.outgoing = self.outgoing[sent:]
        finally:
            os.close(descriptor)

    def send(self, line: Mapping[str, object]) -> None:
        """Send a line, as far as the socket takes it; `flush` sends the rest."""
        self.outgoing += dump_line(line)
        self.flush()

    def flush(self) -> None:
        """Send what the socket takes: who is to read it may be stopped, and nobody must wait for that."""
        try:
            self.outgoing = self.outgoing[self.socket.send(self.outgoing) :]
        except BlockingIOError:
            pass
        except (BrokenPipeError, ConnectionResetError):  # if the child is gone, the server says so
            self.outgoing = b""

    def read(self) -> tuple[list[dict[str, Any]], bool]:
        """Return the messages that have come whole by now, and whether its end of the line is open.

        What is no message ends the line, and is how the job ended.
        """
        if self.garbled:
            return [], False
        try:
            data = self.socket.recv(_CHUNK)
        except BlockingIOError:
            return [], True
        except ConnectionResetError:
            data = b""
        messages = self.reader.messages(data)
        if self.reader.garbage is not None:
            self.garble(self.reader.garbage)
        return messages, bool(data) and not self.garbled

    def take_end(self, end: Mapping[str, Any]) -> None:
        """Take what the process has said of its end.

        Raises
        ------
        TypeError, ValueError, LookupError
            It is no such message.
        """
        kind, seconds = end["kind"], {str(name): float(value) for name, value in dict(end["seconds"]).items()}
        if kind not in (None, *FAILURE_KINDS):
            raise ValueError(f"{kind!r} is no kind of a failure")
        left = bool(end["left"])
        self.end = {"kind": kind, "reason": str(end["reason"]), "left": left, "seconds": seconds}
        self.ended_at = time.monotonic()

    def garble(self, what: str) -> None:
        """Count the job as failed: its process has sent what is no message."""
        reason = f"its process has written what is no message into its line to the study: {what}"
        self.garbled, self.end = True, self.end or {"kind": "error", "reason": reason}

    def has_more(self) -> bool:
        """Whether there is something to read."""
        try:
            return bool(self.socket.recv(1, socket.MSG_PEEK))
        except (BlockingIOError, ConnectionResetError):
            return False

    def close(self) -> None:
        """Free the line and the memory of the reports."""
        self.socket.close()
        self.ring.close()

    def failure(self, status: int, oom: OomWatch) -> tuple[str | None, str]:
        """Return the kind of failure and its line; None where the job ended as it should."""
        if self.killed is not None:
            return "lost", self.killed
        if self.end is not None:
            return self.end["kind"], self.end["reason"]
        if status >= 0:
            return "error", f"its process ended with exit status {status}"
        if status == -signal.SIGKILL and oom.happened():
            return "oom", "its process was killed by the system, which ran out of memory"
        name = signal.Signals(-status).name if -status in set(signal.Signals) else f"signal {-status}"
        kind = "lost" if -status in (signal.SIGKILL, signal.SIGTERM) else "error"
        return kind, f"its process was ended by {name}"


def trial_folder(trials: Path, trial: int) -> Path:
    """Return where a trial's log, checkpoint and files are, below the folder of all trials."""
    return trials / f"{trial:06d}"


class UnfitTrial(ParameterError):
    """A trial does not do what it has to, before any has: it would be the same for all.

    Attributes
    ----------
    of : "report" or "checkpoint"
        What is at fault.
    """

    def __init__(self, field: str, value: object, rule: str, of: str = "report") -> None:
        super().__init__(field, value, rule)
        self.of = of


class LocalWorkers:
    """Runs each job in a process of its own on this machine (see `hbsim.runner.workers.Workers`).

    Parameters
    ----------
    train : dict
        Where the training function is, of `hbsim.executors.training_function.make_target`.
    slots : sequence of Slot, or mapping of int to Slot
        The CPUs and GPUs of each worker, by its number. It may change.
    trials : Path
        The folder of the trials' folders.
    setup : mapping
        What every trial's reporter has to know: time_attr, metric, constants, counts.
    start : "fork" or "spawn"
        Whether trials are forked from the warm server, or load everything themselves.
    grace : float
        Seconds between SIGTERM and SIGKILL.
    lease : Path, optional
        The file of a `Lease`: when that is over, all trials end by themselves.
    say : callable, optional
        Told what is being waited for before trials can start.

    Raises
    ------
    ParameterError
        The training function cannot be loaded there; from `prepare`.
    """

    def __init__(
        self,
        train: Mapping[str, object],
        slots: Sequence[Slot] | Mapping[int, Slot],
        trials: Path,
        setup: Mapping[str, object],
        start: str,
        grace: float,
        lease: Path | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self.count = len(slots)
        self._say = say
        self._lease = lease
        self._train, self._start, self._grace = dict(train), start, grace
        self._slots, self._trials, self._setup = slots, trials, dict(setup)
        if lease is not None:
            self._setup["lease"] = str(lease)
        self._children: dict[int, JobProcess] = {}
        self._messages: list[Message] = []
        self._held: list[tuple[float, JobEnded]] = []  # not to be said before
        self._oom = OomWatch()
        self._selector = selectors.DefaultSelector()
        self._wake_out, self._wake_in = os.pipe()
        os.set_blocking(self._wake_in, False)
        os.set_blocking(self._wake_out, False)
        self._selector.register(self._wake_out, selectors.EVENT_READ, None)
        self._server: Server | None = None
        self._closed = False
        self._looked = self._collected = time.monotonic()
        self._reported = False  # whether any trial has reported as it should
        self._unfit: UnfitTrial | None = None
        self._holds = False

    @property
    def server(self) -> Server | None:
        """The warm server; None before `launch`, and when it has died."""
        return self._server

    def launch(self) -> None:
        """Start the warm server; it loads the training function meanwhile.

        `wait` listens to it and raises what `prepare` would. Who does not call `prepare` has to wait with
        `start` until `server` is ready.
        """
        self._server = Server(self._train, self._start, self._grace, lease=self._lease)
        self._selector.register(self._server, selectors.EVENT_READ, self._server)

    def prepare(self) -> None:
        """Wait until the warm server has loaded the training function."""
        if self._server is None:
            self.launch()
        assert self._server is not None
        self._server.wait_ready(self._say)

    def describe(self) -> FunctionDescription:
        """Return what the training function is, as soon as the warm server has loaded it."""
        self.prepare()
        assert self._server is not None
        assert self._server.about is not None
        return self._server.about

    def watch(
        self,
        source: int | socket.socket,
        callback: Callable[[], object],
        writable: bool = False,
        readable: bool = True,
    ) -> None:
        """Have `wait` call `callback` whenever there is something to read, or room to write if `writable`.

        Parameters
        ----------
        source : int or socket.socket
            A file descriptor of a pipe or a socket. May be given again, with other wishes.
        callback : callable
            Called without arguments.
        writable, readable : bool
            What is waited for; with neither, `source` is not watched any more.
        """
        events = (selectors.EVENT_READ if readable else 0) | (selectors.EVENT_WRITE if writable else 0)
        watched = source in self._selector.get_map()
        if not events:
            if watched:
                self._selector.unregister(source)
        elif watched:
            self._selector.modify(source, events, callback)
        else:
            self._selector.register(source, events, callback)

    def hold(self, holds: bool) -> None:
        """Read nothing of what jobs say, or go on: those that say much wait meanwhile. Ends still come."""
        if holds != self._holds:
            self._holds = holds
            for child in self._children.values():
                self._watch_job(child)

    def _watch_job(self, child: JobProcess) -> None:
        """Listen to a child if it may say something, and see when it takes what is to be sent."""
        events = 0
        if child.talks:
            events |= 0 if self._holds else selectors.EVENT_READ
            events |= selectors.EVENT_WRITE if child.outgoing else 0
        before = self._selector.get_map().get(child.socket)
        if before is None and events:
            self._selector.register(child.socket, events, child)
        elif before is not None and not events:
            self._selector.unregister(child.socket)
        elif before is not None and events != before.events:
            self._selector.modify(child.socket, events, child)

    # What the runner calls

    def start(self, worker: int, task: Assignment) -> None:
        """Start a job's process; a server that is new reads of it as soon as it has loaded the function."""
        if self._server is None:
            self.launch()
        assert self._server is not None
        folder = trial_folder(self._trials, task.trial)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not task.earlier:
                _set_aside(folder)
            ring, descriptor = ReportRing.create()
            try:
                ours, theirs = socket.socketpair()
            except OSError:
                ring.close()
                os.close(descriptor)
                raise
        except OSError as error:
            raise OutputError(str(folder), f"trial {task.trial} cannot be started: {error}") from error
        child = self._children[task.job] = JobProcess(task, ours, ring, time.monotonic())
        slot = self._slots[worker]
        stop = task.stop if math.isfinite(task.stop) else None
        setup = {**self._setup, "folder": str(folder)}
        with theirs:
            self._server.run(task.job, theirs, slot.env, slot.cpus, slot.threads, str(folder / LOG))
        child.begin({"task": {**asdict(task), "stop": stop}, "setup": setup}, descriptor)
        self._watch_job(child)

    def wait(self, timeout: float | None) -> Sequence[Message]:
        """Return what has been said since the last time; see `Workers.wait`.

        Raises
        ------
        UnfitTrial
            The study has to end, for none of its trials will do. If it goes on, that one has failed.
        ParameterError
            The training function cannot be loaded.
        """
        if self._held:
            timeout = HOLD if timeout is None else min(timeout, HOLD)
        if self._children:
            timeout = COLLECT if timeout is None else min(timeout, COLLECT)
        for key, events in self._selector.select(timeout):
            self._dispatch(key.data, events)
        if self._server is not None and (problem := self._server.look()) is not None:
            self._lose_server(self._server, problem)
        self._collect()
        self._trim_logs()
        while self._held and self._held[0][0] <= time.monotonic():
            self._messages.append(self._held.pop(0)[1])
        if self._unfit is not None:
            error, self._unfit = self._unfit, None
            raise error
        messages, self._messages = self._messages, []
        return messages

    def _dispatch(self, source: JobProcess | Server | Callable[[], object] | None, events: int) -> None:
        if isinstance(source, JobProcess):
            if source.task.job in self._children:  # else the server has just said that it is gone
                self._exchange(source, events)
        elif isinstance(source, Server):
            self._handle_server(source)
        elif source is not None:
            source()
        else:
            with suppress(BlockingIOError):
                os.read(self._wake_out, CHUNK)

    def wake(self) -> None:
        """Let `wait` return at once."""
        if not self._closed:  # a signal may come late
            with suppress(BlockingIOError):
                os.write(self._wake_in, b"!")

    def go_on(self, job: int, stop: float) -> None:
        """Answer a job that waits at a milestone: train to `stop`."""
        self._order(job, {"go": stop})

    def leave(self, job: int, save: bool) -> None:
        """Have a job leave its function; with `save` it makes a checkpoint first."""
        if job in self._children:
            self._children[job].leaves = True
        self._order(job, {"leave": "pause" if save else "stop"})

    def kill(self, job: int, reason: str = "") -> None:
        """End a job's processes: SIGTERM, and after the grace SIGKILL."""
        child = self._children.get(job)
        if child is not None and self._server is not None:
            if child.end is None:  # else the function has ended as it says, and only what it left runs on
                child.killed = child.killed or reason or "it was killed"
            child.ring.say_killed()
            self._server.kill(job)

    def cut(self, reason: str) -> None:
        """Kill all jobs at once, and the server, whatever they do; see `Workers.cut`."""
        for child in self._children.values():
            child.killed = child.killed or reason
        if self._server is not None:
            self._lose_server(self._server, "was killed", CUT)

    def close(self, patience: float | None = None) -> None:
        """Kill what is left and free everything; see `Server.close`."""
        if self._closed:
            return
        self._closed = True
        if self._server is not None:
            self._server.close(patience)
        for child in self._children.values():
            child.close()
        self._children.clear()
        self._selector.close()
        os.close(self._wake_in)
        os.close(self._wake_out)

    def _trim_logs(self) -> None:
        now = time.monotonic()
        if now >= self._looked + LOOK:
            self._looked = now
            for child in self._children.values():
                trim(trial_folder(self._trials, child.task.trial) / LOG)

    # Children

    def _order(self, job: int, order: Mapping[str, object]) -> None:
        child = self._children.get(job)
        if child is not None:
            child.send(order)
            self._watch_job(child)

    def _exchange(self, child: JobProcess, events: int) -> None:
        """Take in what a child has said by now, and send what it has not taken."""
        if events & selectors.EVENT_READ:
            child.talks = self._read(child)
            if not child.talks and child.garbled and self._server is not None:
                child.ring.say_killed()
                self._server.kill(child.task.job)
        if child.talks and events & selectors.EVENT_WRITE:
            child.flush()
        self._watch_job(child)

    def _read(self, child: JobProcess) -> bool:
        lines, open_ = child.read()
        for line in lines:
            try:
                self._handle_message(child, line)
            except (TypeError, ValueError, LookupError):
                child.garble(repr(line)[:80])
                return False
        return open_

    def _handle_message(self, child: JobProcess, said: Mapping[str, Any]) -> None:
        if "fatal" in said:
            of = said["of"]
            others = self._others_saved(child.task.trial) if of == "checkpoint" else self._reported
            if not others:  # else they have done what it did not: only it fails, as its end says
                field, value, rule = said["fatal"]
                self._unfit = UnfitTrial(field, value, rule, of)  # raised later: its end is still to come
            return
        if "begin" in said:
            child.begun = float(said["begin"])
            return
        if "end" in said:
            child.take_end(said["end"])
            return
        if "saved" in said:
            child.due = time.monotonic() + self._grace
            return
        self._take_reports(child)  # it is the first, or waits for an answer

    def _collect(self) -> None:
        """Take what trials have reported, once in a while: no line comes between milestones."""
        now = time.monotonic()
        if now >= self._collected + COLLECT and not self._holds:
            self._collected = now
            for child in self._children.values():
                self._take_reports(child)
                if child.due <= now:
                    child.due = math.inf
                    self.kill(child.task.job, "it had saved its checkpoint, and did not leave")

    def _take_reports(self, child: JobProcess) -> bool:
        """Take some of what a trial has reported: whether there was anything."""
        first = child.said
        rows, waits = child.ring.read(CHUNK)
        if rows:
            child.said += len(rows)
            self._reported = True
            self._messages.append(Reported(child.task.job, rows, first, waits))
        return bool(rows)

    def _others_saved(self, trial: int) -> bool:
        own = trial_folder(self._trials, trial) / checkpoint.NAME
        return any(path.parent != own for path in self._trials.glob(f"*/{checkpoint.NAME}/[0-9]*"))

    # The server

    def _handle_server(self, server: Server) -> None:
        for message in server.receive():
            if "exited" in message:
                self._exited(message["exited"], message["status"])
            elif "ready" in message:
                for child in self._children.values():  # the server is a new one, and takes orders from now on
                    child.ordered = time.monotonic()
        if server.dead:
            self._lose_server(server, server.look() or "has died")

    def _exited(self, job: int, status: int) -> None:
        child = self._children.pop(job, None)
        if child is None:
            return
        while self._read(child) and child.has_more():
            pass
        child.talks = False
        self._watch_job(child)
        while self._take_reports(child):
            pass
        child.close()
        trim(trial_folder(self._trials, child.task.trial) / LOG)
        kind, reason = child.failure(status, self._oom)
        seconds: dict[str, float] = dict((child.end or {}).get("seconds", {}))
        if child.begun is not None:
            seconds["start"] = child.begun - child.ordered
        if child.ended_at is not None:
            seconds["exit"] = time.monotonic() - child.ended_at
        left = bool((child.end or {}).get("left"))
        ended = JobEnded(job, [], child.said, kind, reason, child.begun, seconds, left and kind is None)
        if child.killed is None and not child.leaves and (left or status == -signal.SIGTERM):
            self._held.append((time.monotonic() + HOLD, ended))  # is the study ended by the same signal?
        else:
            self._messages.append(ended)

    def _lose_server(self, server: Server, problem: str, patience: float | None = None) -> None:
        """End what a server that is dead or does not answer has left; the next job gets a new one."""
        self._selector.unregister(server)
        self._server = None
        if server.dead and server.ready is None:
            raise server.failure()
        server.kill_all(*(() if patience is None else (patience,)))
        server.close()
        for job, child in list(self._children.items()):
            child.killed = child.killed or f"the server that trials are forked from {problem}"
            self._exited(job, -signal.SIGKILL)


def _set_aside(folder: Path) -> None:
    """Move what another trial of this number left behind, where a journal was lost or cut, out of the way."""
    left = [name for name in os.listdir(folder) if not name.startswith((CLAIM, EARLIER))]
    if left:
        number = 1 + sum(name.startswith(EARLIER) for name in os.listdir(folder))
        target = folder / f"{EARLIER}{number}"
        target.mkdir()
        for name in left:
            os.rename(folder / name, target / name)


def trim(path: Path, limit: int = LIMIT, kept: int = KEPT) -> bool:
    """Cut the middle out of a log that is longer than `limit`; return whether it was.

    Whoever writes to it appends, so it may go on meanwhile; a little of that may be cut too.

    Parameters
    ----------
    path : Path
        The log; it need not exist.
    limit, kept : int
        Bytes: the most it may have, and how much of its beginning and of its end stays.
    """
    try:
        size = path.stat().st_size
        if size <= limit:
            return False
        with path.open("r+b") as file:
            head = file.read(kept)
            file.seek(max(kept, size - kept))
            tail = file.read()
            note = f"\n[... {size - 2 * kept:,} bytes were cut here ...]\n".encode()
            os.ftruncate(file.fileno(), 0)
            file.seek(0)
            file.write(head + note + tail)
    except OSError:
        return False
    return True
