"""The local executor's workers: a process for each trial, from a warm server, with its own CPUs and GPUs."""

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
from functools import partial
from math import inf
from pathlib import Path
from typing import Any, Final

from hbsim.core.types import FAILURE_KINDS, FailureKind
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

_CHUNK: Final = 1 << 18
LOG: Final = "log.txt"
# Prefix of a folder in a trial's folder, for files of a trial that is not in the journal.
EARLIER: Final = "earlier-"
LOOK: Final = 1.0  # seconds between two checks of the logs' sizes
COLLECT: Final = 0.03  # seconds between two collections of reports
CUT: Final = 0.5  # seconds to wait for jobs that are killed because the time is up
HOLD: Final = 0.25  # seconds in which a signal to all processes of a study reaches this process, too
LIMIT: Final = 64 << 20  # bytes
KEPT: Final = 1 << 20  # bytes of each end


@dataclass(slots=True)
class JobProcess:
    """A job's process: its state, the connection to it, and its reports."""

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
    leaves: bool = False  # it was ordered to leave
    due: float = inf  # by when it has to end, once it has saved its last checkpoint
    talks: bool = True  # its end of the connection is open
    outgoing: bytes = b""  # what the socket did not take yet
    garbled: bool = False  # it has sent something that is no message

    def begin(self, line: Mapping[str, object], descriptor: int) -> None:
        """Send the first line together with the descriptor of the ring of reports; close that descriptor."""
        self.outgoing = dump_line(line)
        self.socket.setblocking(False)
        try:
            with suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
                sent = socket.send_fds(self.socket, [self.outgoing[:_CHUNK]], [descriptor])
                self.outgoing = self.outgoing[sent:]
        finally:
            os.close(descriptor)

    def send(self, line: Mapping[str, object]) -> None:
        """Send a line as far as the socket accepts it; `flush` sends the rest."""
        self.outgoing += dump_line(line)
        self.flush()

    def flush(self) -> None:
        """Send as much as the socket accepts, without waiting: the reader may be stopped."""
        try:
            self.outgoing = self.outgoing[self.socket.send(self.outgoing) :]
        except BlockingIOError:
            pass
        except (BrokenPipeError, ConnectionResetError):  # if the child is gone, the server says so
            self.outgoing = b""

    def read(self) -> tuple[list[dict[str, Any]], bool]:
        """Return the messages that are complete, and whether the process's end of the connection is open.

        Data that is no message closes the connection, and becomes the reason for which the job ended.
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
        """Record the process's message on its end.

        Raises
        ------
        TypeError, ValueError, LookupError
            The message has not the form of one on an end.
        """
        kind, seconds = end["kind"], {str(name): float(value) for name, value in dict(end["seconds"]).items()}
        if kind not in (None, *FAILURE_KINDS):
            raise ValueError(f"{kind!r} is no kind of a failure")
        left = bool(end["left"])
        self.end = {"kind": kind, "reason": str(end["reason"]), "left": left, "seconds": seconds}
        self.ended_at = time.monotonic()

    def garble(self, what: str) -> None:
        """Count the job as failed: its process has sent something that is no message."""
        reason = f"its process has written what is no message into its line to the study: {what}"
        self.garbled, self.end = True, self.end or {"kind": "error", "reason": reason}

    def has_more(self) -> bool:
        """Return whether there is something to read."""
        try:
            return bool(self.socket.recv(1, socket.MSG_PEEK))
        except (BlockingIOError, ConnectionResetError):
            return False

    def close(self) -> None:
        """Close the connection and free the memory of the reports."""
        self.socket.close()
        self.ring.close()

    def failure(self, status: int, oom: OomWatch) -> tuple[FailureKind | None, str]:
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
        was_killed = -status in (signal.SIGKILL, signal.SIGTERM)
        return "lost" if was_killed else "error", f"its process was ended by {name}"


def trial_folder(trials: Path, trial: int) -> Path:
    """Return the folder of a trial's log, checkpoint and files, below the folder of all trials."""
    return trials / f"{trial:06d}"


class UnfitTrial(ParameterError):
    """Raised when a trial breaks a rule that no trial has kept before: all trials would break it.

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
        The training function, as `hbsim.executors.training_function.make_target` describes it.
    slots : sequence of Slot, or mapping of int to Slot
        The CPUs and GPUs of each worker, by its number. The mapping may change.
    trials : Path
        The folder of the trials' folders.
    setup : mapping
        The setup of every trial's reporter: time_attr, metric, constants, counts.
    start : "fork" or "spawn"
        Whether trials are forked from the warm server, or load everything themselves.
    grace : float
        Seconds between SIGTERM and SIGKILL.
    lease : Path, optional
        The file of a `Lease`: when the lease is over, all trials end by themselves.
    say : callable, optional
        Called with a line on what delays the start of trials.

    Raises
    ------
    ParameterError
        By `prepare`: the server cannot load the training function.
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
        self._slots, self._trials, self._setup = slots, trials, {**setup, "grace": grace}
        if lease is not None:
            self._setup["lease"] = str(lease)
        self._children: dict[int, JobProcess] = {}
        self._messages: list[Message] = []
        self._held: list[tuple[float, JobEnded]] = []  # ends, and when `wait` may return them
        self._oom = OomWatch()
        self._selector = selectors.DefaultSelector()
        self._wake_out, self._wake_in = os.pipe()
        os.set_blocking(self._wake_in, False)
        os.set_blocking(self._wake_out, False)
        self._selector.register(self._wake_out, selectors.EVENT_READ, self._clear_wake)
        self._server: Server | None = None
        self._closed = False
        self._looked = self._collected = time.monotonic()
        self._reported = False  # whether any trial has made a valid report
        self._unfit: UnfitTrial | None = None
        self._holds = False

    @property
    def server(self) -> Server | None:
        """The warm server; None before `launch`, and when it has died."""
        return self._server

    def launch(self) -> None:
        """Start the warm server, which begins to load the training function.

        `wait` handles the server's messages and raises the errors of `prepare`. A caller that does not call
        `prepare` must not call `start` before `server` is ready.
        """
        self._server = Server(self._train, self._start, self._grace, lease=self._lease)
        self._selector.register(
            self._server, selectors.EVENT_READ, partial(self._handle_server, self._server)
        )

    def prepare(self) -> None:
        """Wait until the warm server has loaded the training function."""
        if self._server is None:
            self.launch()
        assert self._server is not None
        self._server.wait_ready(self._say)

    def describe(self) -> FunctionDescription:
        """Return the training function's description, as soon as the warm server has loaded the function."""
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
        """Have `wait` call `callback` whenever `source` can be read, or written if `writable`.

        Parameters
        ----------
        source : int or socket.socket
            A file descriptor of a pipe or a socket. May be given again, with other values.
        callback : callable
            Called without arguments.
        writable, readable : bool
            For which of both to wait; with neither, `source` is not watched any more.
        """
        events = (selectors.EVENT_READ if readable else 0) | (selectors.EVENT_WRITE if writable else 0)
        watched = source in self._selector.get_map()
        if not events:
            if watched:
                self._selector.unregister(source)
        elif watched:
            self._selector.modify(source, events, lambda events: callback())
        else:
            self._selector.register(source, events, lambda events: callback())

    def hold(self, holds: bool) -> None:
        """Stop reading jobs' messages and reports, or resume; ends of jobs are still handled."""
        if holds != self._holds:
            self._holds = holds
            for child in self._children.values():
                self._watch_job(child)

    def _watch_job(self, child: JobProcess) -> None:
        """Watch a child's connection for messages, and for room where lines are still to be sent."""
        events = 0
        if child.talks:
            events |= 0 if self._holds else selectors.EVENT_READ
            events |= selectors.EVENT_WRITE if child.outgoing else 0
        before = self._selector.get_map().get(child.socket)
        if before is None and events:
            self._selector.register(child.socket, events, partial(self._exchange, child))
        elif before is not None and not events:
            self._selector.unregister(child.socket)
        elif before is not None and events != before.events:
            self._selector.modify(child.socket, events, before.data)

    # Methods that the runner calls

    def start(self, worker: int, task: Assignment) -> None:
        """Start a job's process; a new server starts it as soon as the function is loaded."""
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
        """Return the messages since the last call; see `Workers.wait`.

        Raises
        ------
        UnfitTrial
            The study has to end, since all its trials would fail. If it goes on, only this trial has failed.
        ParameterError
            The training function cannot be loaded.
        """
        if self._held:
            timeout = HOLD if timeout is None else min(timeout, HOLD)
        if self._children:
            timeout = COLLECT if timeout is None else min(timeout, COLLECT)
        for key, events in self._selector.select(timeout):
            key.data(events)
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

    def _clear_wake(self, events: int) -> None:
        with suppress(BlockingIOError):
            os.read(self._wake_out, _CHUNK)

    def wake(self) -> None:
        """Let `wait` return at once."""
        if not self._closed:  # a signal may come after `close`
            with suppress(BlockingIOError):
                os.write(self._wake_in, b"!")

    def go_on(self, job: int, stop: float) -> None:
        """Let a job that waits at a milestone train to `stop`."""
        self._order(job, {"go": stop})

    def leave(self, job: int, save: bool) -> None:
        """Make a job leave its function; with `save` it makes a checkpoint first."""
        if job in self._children:
            self._children[job].leaves = True
        self._order(job, {"leave": "pause" if save else "stop"})

    def kill(self, job: int, reason: str = "") -> None:
        """End a job's processes by SIGTERM, and after the grace by SIGKILL."""
        child = self._children.get(job)
        if child is not None and self._server is not None:
            if child.end is None:  # else the function has ended, and only processes that it left still run
                child.killed = child.killed or reason or "it was killed"
            child.ring.say_killed()
            self._server.kill(job)

    def cut(self, reason: str) -> None:
        """Kill all jobs and the server at once; see `Workers.cut`."""
        for child in self._children.values():
            child.killed = child.killed or reason
        if self._server is not None:
            self._lose_server(self._server, "was killed", CUT)

    def close(self, patience: float | None = None) -> None:
        """Kill all processes that are left and free all resources; see `Server.close`."""
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
        """Handle a child's messages, and send the rest of the lines to it."""
        if child.task.job not in self._children:  # the server has just reported its end
            return
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
            if not others:  # else other trials have kept the rule: only this one fails, when it ends
                field, value, rule = said["fatal"]
                self._unfit = UnfitTrial(field, value, rule, of)  # raised later, after the job's end
            return
        if "begin" in said:
            child.begun = float(said["begin"])
            self._messages.append(Reported(child.task.job, [], child.said, begun=child.begun))
            return
        if "end" in said:
            child.take_end(said["end"])
            return
        if "saved" in said:
            child.due = time.monotonic() + self._grace
            return
        self._take_reports_until(child, child.ring.written)  # the first one, or all up to one at a milestone

    def _collect(self) -> None:
        """Collect all trials' reports at intervals: between milestones trials send no line."""
        now = time.monotonic()
        if now >= self._collected + COLLECT and not self._holds:
            self._collected = now
            for child in self._children.values():
                self._take_reports(child)
                if child.due <= now:
                    child.due = math.inf
                    self.kill(child.task.job, "it had saved its checkpoint, and did not leave")

    def _take_reports_until(self, child: JobProcess, end: int) -> None:
        """Collect a trial's reports up to a number of bytes: a trial may report faster than they are read."""
        while child.ring.written - child.ring.unread < end and self._take_reports(child):
            pass

    def _take_reports(self, child: JobProcess) -> bool:
        """Collect some of a trial's reports; return whether there were any."""
        first = child.said
        rows, waits = child.ring.read(_CHUNK)
        if rows:
            child.said += len(rows)
            self._reported = True
            self._messages.append(Reported(child.task.job, rows, first, waits, changed=child.ring.changed))
        return bool(rows)

    def _others_saved(self, trial: int) -> bool:
        own = trial_folder(self._trials, trial) / checkpoint.NAME
        return any(path.parent != own for path in self._trials.glob(f"*/{checkpoint.NAME}/[0-9]*"))

    # The server

    def _handle_server(self, server: Server, events: int) -> None:
        for message in server.receive():
            if "exited" in message:
                self._exited(message["exited"], message["status"])
            elif "ready" in message:
                for child in self._children.values():  # a new server accepts orders from now on
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
        is_signalled = left or status == -signal.SIGTERM or kind == "lost"
        if child.killed is None and not child.leaves and is_signalled:
            self._held.append((time.monotonic() + HOLD, ended))  # the same signal may end the study
        else:
            self._messages.append(ended)

    def _lose_server(self, server: Server, problem: str, patience: float | None = None) -> None:
        """End the processes of a server that is dead or silent; the next job gets a new server."""
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
    """Move files of another trial with this number aside; there are some where a journal was lost or cut."""
    left = [name for name in os.listdir(folder) if not name.startswith((CLAIM, EARLIER))]
    if left:
        number = 1 + sum(name.startswith(EARLIER) for name in os.listdir(folder))
        target = folder / f"{EARLIER}{number}"
        target.mkdir()
        for name in left:
            os.rename(folder / name, target / name)


def trim(path: Path, limit: int = LIMIT, kept: int = KEPT) -> bool:
    """Cut the middle out of a log that is longer than `limit`; return whether it was longer.

    Processes may append to the log meanwhile; a little of their output may be cut, too.

    Parameters
    ----------
    path : Path
        The log; it need not exist.
    limit, kept : int
        Bytes: the largest size of the log, and the size of the beginning and of the end that are kept.
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
