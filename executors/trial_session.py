"""A trial's session with the controller: reports in shared memory, and all other messages as JSON lines."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from math import inf
from typing import Any, Final, NoReturn, TypeAlias

from hbsim.errors import ProtocolError
from hbsim.executors import processes
from hbsim.executors.json_lines import LineReader
from hbsim.executors.processes import Lease
from hbsim.executors.report_ring import ReportRing
from hbsim.ranks import STATUS, Ranks, is_running

_CHUNK: Final = 256 * 1024
_LOOK: Final = 0.005  # seconds between two checks of a full ring
_ENCODE: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
# As of `ReportRing.write`.
Report: TypeAlias = tuple[float, float, float, dict[str, float | None], bool, dict[str, object] | None]
_INTERVAL = 0.05  # seconds between two checks for orders of the controller
_RAISES = 3  # how often a function may catch `TrialEnd`
_LEFT = ("pause", "stop", "terminated")
_SECONDS: Final = ("load", "save", "wait")
_ONE: Final = "reports of one process, that of rank 0: torch.distributed or the variable RANK says which"


class ControllerGone(ConnectionError):
    """Raised when the controller has closed the connection, or died."""


def do_nothing() -> None:
    """Do nothing."""


class TrialChannel:
    """A channel to the controller: lines over a socket, and the ring of reports.

    `multiprocessing` passes it on to processes that it starts; one of them may use it at a time.

    A signal handler may raise an exception at any point of the training code. In this class that would tear
    lines, so the handler raises nothing while `busy` is set; `check` raises the exception later.

    Parameters
    ----------
    connection : socket.socket
        A connected stream.
    ring : ReportRing, optional
        The ring for the reports; by default the one whose file descriptor comes with the first line.

    Attributes
    ----------
    busy : bool
        Whether a signal handler must not raise an exception now.
    check : callable
        Called as soon as handlers may raise again. It may raise an exception.
    """

    def __init__(self, connection: socket.socket, ring: ReportRing | None = None) -> None:
        connection.settimeout(None)
        connection.set_inheritable(False)
        self._connection = connection
        self._ring = ring
        self._descriptor = -1  # of the ring
        self._unsent = bytearray()
        self._reader = LineReader()
        self._messages: deque[dict[str, Any]] = deque()
        self.busy = False
        self.check: Callable[[], None] = do_nothing

    def __reduce__(self) -> tuple[Any, ...]:
        from multiprocessing.reduction import DupFd

        return _received, (self._connection, DupFd(self._descriptor), list(self._messages))

    @property
    def killed(self) -> bool:
        """Whether the controller kills this process."""
        return self._ring is not None and self._ring.killed

    def begin(self) -> dict[str, Any]:
        """Wait for the first line, and return it.

        Raises
        ------
        ControllerGone
            The controller has closed the connection.
        """
        while not self._messages:
            try:
                data, descriptors, _, _ = socket.recv_fds(self._connection, _CHUNK, 1)
            except OSError as error:
                raise ControllerGone(str(error)) from error
            if not data:
                raise ControllerGone("end of file")
            for descriptor in descriptors:
                self._ring, self._descriptor = ReportRing(descriptor), descriptor
                os.set_inheritable(descriptor, False)
            self._messages += self._reader.messages(data)
        return self._messages.popleft()

    @contextmanager
    def without_signals(self) -> Iterator[None]:
        """Keep signal handlers from raising exceptions in this block."""
        self.busy = True
        try:
            yield
        finally:
            self.busy = False
        self.check()

    def report(self, report: Report, wait: bool = False) -> bool:
        """Write a report into the ring; return whether there was room. With `wait`, wait for room.

        Once this has returned True, the report survives the end of this process.

        Raises
        ------
        ControllerGone
            The controller will not read the ring any more.
        ValueError
            The report is larger than the ring.
        """
        assert self._ring is not None  # the ring came with the first line
        self.busy = True  # as `without_signals` does it, in half the time
        try:
            while not (done := self._ring.write(*report)) and wait:
                self._wait_for(0, _LOOK)
        finally:
            self.busy = False
        self.check()
        return done

    def catch_up(self) -> None:
        """Wait until the controller is not far behind with the reports.

        Raises
        ------
        ControllerGone
            The controller will not read the ring any more.
        """
        with self.without_signals():
            while self._ring is not None and self._ring.unread > _CHUNK:
                self._wait_for(0, _LOOK)

    def send(self, message: Mapping[str, object]) -> None:
        """Send a line.

        Raises
        ------
        ControllerGone
            The controller will not read the line.
        """
        with self.without_signals():
            self._unsent += _ENCODE(message).encode("ascii") + b"\n"
            while self._unsent:
                try:
                    sent = self._connection.send(self._unsent[:_CHUNK], socket.MSG_DONTWAIT)
                except BlockingIOError:
                    self._wait_for(select.POLLOUT)
                except OSError as error:
                    raise ControllerGone(str(error)) from error
                else:
                    del self._unsent[:sent]

    def receive(self, wait: bool = False) -> dict[str, Any] | None:
        """Return the next message, or None if there is none; with `wait`, wait for one.

        Raises
        ------
        ControllerGone
            Nothing can come any more.
        """
        with self.without_signals():
            while not self._messages:
                if wait:
                    self._wait_for(select.POLLIN)
                if not self._read() and not wait:
                    return None
            return self._messages.popleft()

    def _read(self) -> bool:
        try:
            data = self._connection.recv(_CHUNK, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError as error:
            raise ControllerGone(str(error)) from error
        if not data:
            raise ControllerGone("end of file")
        self._messages += self._reader.messages(data)
        return True

    def _wait_for(self, event: int, seconds: float | None = None) -> None:
        """Wait for an event or the end of the connection, for at most this number of seconds."""
        poll = select.poll()
        poll.register(self._connection, event)
        self.busy = False  # nothing is half done, and this may take long
        try:
            self.check()
            found = poll.poll(None if seconds is None else seconds * 1000)
        finally:
            self.busy = True
        if not event and found:
            raise ControllerGone("the controller has closed the line")


def _received(connection: socket.socket, ring: Any, messages: list[dict[str, Any]]) -> TrialChannel:
    descriptor = ring.detach()
    channel = TrialChannel(connection, ReportRing(descriptor))
    channel._descriptor = descriptor
    channel._messages += messages
    return channel


class TrialEnd(BaseException):
    """Raised in the training function when the trial has to end; do not catch it.

    No `Exception`, so that ``except Exception`` does not catch it. ``finally`` blocks run.
    """


class RankEnd(TrialEnd, SystemExit):
    """A `TrialEnd` in a process that the training function has started: without a traceback it ends that."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.code = STATUS


def leave_process(code: int) -> NoReturn:
    """End this process at once, after flushing stdout and stderr."""
    write_out()
    os._exit(code)


def write_out() -> None:
    """Flush stdout and stderr, if possible."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()


class TrialSession:
    """The trial's side of the protocol: it sends reports at once, and waits for an answer at milestones.

    Parameters
    ----------
    channel : TrialChannel
        The channel to the controller.
    milestone : float
        The first resource at which training waits; infinite for never.
    lease : Lease, optional
        When the lease is over, the process ends at the function's next call of the reporter.
    saves : bool
        Whether SIGTERM makes the function pause at its next report, unless the controller has sent the
        signal: then the host is being shut down, and all its processes get the signal.
    ranks : Ranks, optional
        The memory that the trial's processes share; by default new memory.

    Attributes
    ----------
    milestone : float
        The next milestone.
    last : float
        The resource that was reported last; minus infinity before the first report.
    reports : int
        The number of reports.
    seconds : dict
        The seconds without training: ``load``, ``save``, ``wait``.
    end_reason : str or None
        Why the function has to end: ``stop``, ``pause``, ``terminated``, ``fatal``, ``again``, ``failed``
        where a rank has failed; ``returned`` if it ended by itself.
    pause : callable
        Called before the function leaves for a pause.
    returned : callable
        Called when the function has returned.
    ranks : Ranks
        The memory that the trial's processes share.
    is_rank : bool
        Whether this is a process that the training function has started.
    trial : int
        The trial's number, for errors.
    """

    def __init__(
        self,
        channel: TrialChannel,
        milestone: float,
        lease: Lease | None = None,
        saves: bool = False,
        ranks: Ranks | None = None,
    ) -> None:
        self._channel = channel
        self._lease = lease
        self._saves, self._asked = saves, False
        self.ranks = Ranks() if ranks is None else ranks
        self.is_rank = False
        self.trial = 0
        self.milestone = milestone
        self.last = -inf
        self.reports = 0
        self.seconds = {"load": 0.0, "save": 0.0, "wait": 0.0}
        self.end_reason: str | None = None
        self.pause: Callable[[], None] = do_nothing
        self.returned: Callable[[], None] = do_nothing
        self._begun = time.monotonic()
        self._lost = 0.0  # seconds since then without training
        self._looked = -inf
        self._raised = 0
        self._problem = ""
        channel.check = self.check

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "pause": do_nothing, "returned": do_nothing}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._channel.check = self.check

    @property
    def left(self) -> bool:
        """Whether the function was ordered to leave."""
        return self.end_reason in _LEFT

    @property
    def trained(self) -> float:
        """The seconds of training so far."""
        return time.monotonic() - self._begun - self._lost

    def check_lease(self) -> None:
        """End the process if its lease is over: its work may have been given to another host."""
        if self._lease is not None and self._lease.expired():
            print("hbsim: the lease of this trial is over; its process ends here", file=sys.stderr)
            leave_process(1)

    def join(self, rank: int, size: int, is_watched: bool) -> None:
        """Continue the session in this process, which the training function has started.

        Raises
        ------
        ProtocolError
            Another process of this rank runs.
        """
        other = self.ranks.register(rank, size, is_watched)
        if other is not None:
            raise ProtocolError(self.trial, f"reports of two processes, {other} and {os.getpid()}", _ONE)
        self.is_rank = True
        self._adopt()

    def take_back(self) -> None:
        """Continue the session in the trial's process, after one that the function has started.

        Raises
        ------
        ProtocolError
            That process still runs.
        """
        other = self.ranks.reporter
        if is_running(other):
            raise ProtocolError(self.trial, f"reports of two processes, {other} and {os.getpid()}", _ONE)
        self._adopt()
        self.ranks.release()

    def begin(self) -> None:
        """Record that the function is called now."""
        self.check_lease()
        self._begun = time.monotonic()
        self._channel.send({"begin": round(self._begun, 6)})

    def check(self) -> None:
        """Raise `TrialEnd` if the function has to end; end the process if that was caught too often."""
        if self.end_reason is not None:
            self._raise_end()

    def report(
        self,
        resource: float,
        metrics: dict[str, float | None],
        changed: dict[str, object] | None = None,
    ) -> None:
        """Send a report, with the values that changed. Returns at once, except at or past the milestone.

        Raises
        ------
        TrialEnd
            The function has to end.
        """
        if self.is_rank and self.ranks.left:
            self.end_reason = self.ranks.left
            self._raise_end()
        now = time.monotonic()
        trained = now - self._begun - self._lost
        waits = resource >= self.milestone
        report = (round(now, 6), round(trained, 6), resource, metrics, waits, changed)
        # Counted before it is sent: if a signal then makes the trial save, the checkpoint counts this report.
        self.last = resource
        self.reports += 1
        if self.is_rank:
            self._publish()
        if not self._channel.report(report):
            self._wait_for_room(report)
        if self.reports == 1:
            self._announce_first()
        if waits or self._asked or now - self._looked >= _INTERVAL:
            self._looked = now
            self._follow_order(waits)

    def fatal(self, field: str, value: object, rule: str, of: str = "report") -> NoReturn:
        """Send a `ParameterError` that ends the study, and leave the function.

        If other trials have made a valid report or checkpoint, as `of` says, only this trial fails.
        """
        self._problem = f"{field}={value!r}: {rule}"
        try:
            self._channel.send({"fatal": [field, value, rule], "of": of})
        except ControllerGone:
            leave_process(1)
        self.end_reason = self.end_reason if self.left else "fatal"
        self._raise_end()

    def start_again(self, reason: str) -> NoReturn:
        """Leave the function, which is called again: the checkpoint that it loaded cannot be used."""
        self.end_reason, self._problem = "again", reason
        self._raise_end()

    def reopen(self) -> bool:
        """Return whether the function is to be called again after `close`; if so, reset the session."""
        if self.end_reason != "again" or self.is_rank:
            return False
        self.ranks.clear()
        self.end_reason, self._problem, self._raised = None, "", 0
        self._channel.check = self.check
        return True

    def terminate(self) -> None:
        """Leave the function as soon as that tears no line; the handler of SIGTERM calls this."""
        if self.ranks.left:  # a rank, in a process that the function has started, has sent the signal
            if self._follow_rank() and not self._channel.busy:
                self._raise_end()
        elif self._saves and not self._channel.killed:
            self._asked = True
            self.ranks.ask()
        elif self.end_reason is None:
            self.end_reason = "terminated"
            if not self._channel.busy:
                self._raise_end()

    def close(self) -> None:
        """Send only the end from now on, and raise nothing any more."""
        self._channel.check = do_nothing
        self._follow_rank()
        self.end_reason = self.end_reason or "returned"

    def finish(self, kind: str | None, reason: str) -> None:
        """Send the last line.

        Parameters
        ----------
        kind : str or None
            The kind of failure. It is ignored if the function was ordered to leave.
        reason : str
            The reason in one line.
        """
        self.close()
        with self.measure("wait"):
            self._channel.catch_up()
        self.check_lease()
        if self._problem:
            kind, reason = "error", self._problem
        end = {"kind": None if self.left else kind, "reason": reason, "left": self.left}
        seconds = {name: round(value, 6) for name, value in self.seconds.items()}
        self._channel.send({"end": {**end, "seconds": seconds}})

    @contextmanager
    def measure(self, what: str) -> Iterator[None]:
        """Count the seconds of this block as `what` instead of training."""
        before = time.monotonic()
        try:
            yield
        finally:
            spent = time.monotonic() - before
            self.seconds[what] += spent
            self._lost += spent

    def _announce_first(self) -> None:
        """Make the controller read the first report at once."""
        try:
            self._channel.send({"reports": 1})
        except ControllerGone:
            leave_process(1)

    def _wait_for_room(self, report: Report) -> None:
        """Write a report into a ring that is full, when the controller has made room."""
        try:
            with self.measure("wait"):
                self._channel.report(report, wait=True)
        except ControllerGone:
            leave_process(1)

    def _follow_order(self, wait: bool) -> None:
        """Follow the controller's next order, if there is one; with `wait`, wait for it."""
        self.check_lease()
        if self._asked or self.ranks.asked:
            self._leave("pause")
        try:
            with self.measure("wait"):
                if wait:
                    self._channel.send({"wait": True})
                order = self._channel.receive(wait)
        except ControllerGone:
            leave_process(1)
        self.check_lease()  # the wait may have been long
        if order is None:
            return
        if "leave" in order:
            self._leave(order["leave"])
        self.milestone = inf if order["go"] is None else order["go"]

    def _leave(self, how: str) -> NoReturn:
        self.end_reason = how
        if how == "pause":
            self.pause()
            with suppress(ControllerGone):
                self._channel.send({"saved": True})  # the function takes no more time from now on
        self._raise_end()

    def follow(self, resource: float, save: Callable[[], object]) -> None:
        """Wait in another rank until rank 0's report of a resource is answered; see `Ranks.follow`.

        Raises
        ------
        TrialEnd
            The trial has to end.
        """
        self.last = max(self.last, resource)
        if not self.ranks.follow(resource, save):
            self.end_reason = self.ranks.left
            self._raise_end()

    def _publish(self) -> None:
        """Let other processes of the trial continue the session."""
        seconds = (self.seconds[name] for name in _SECONDS)
        self.ranks.state = (1.0, self.last, self.milestone, self.reports, self._lost, *seconds)

    def _adopt(self) -> None:
        """Continue the session as another process of the trial has published it."""
        published, last, milestone, reports, lost, *seconds = self.ranks.state[: 5 + len(_SECONDS)]
        if published:
            self.last, self.milestone, self.reports, self._lost = last, milestone, int(reports), lost
            self.seconds.update(zip(_SECONDS, seconds, strict=True))

    def _follow_rank(self) -> bool:
        """Leave for the reason of a rank that is another process; return whether there is one."""
        if self.is_rank:
            return False
        if self.ranks.reporter:
            self._adopt()
        if not self.ranks.left or self.end_reason is not None:
            return False
        self.end_reason = self.ranks.left
        self._problem = self.ranks.problem if self.end_reason != "failed" else ""
        return True

    def _tell_ranks(self) -> None:
        """Have the other processes of the trial leave, too."""
        if self.is_rank and self.ranks.reporter != os.getpid():
            return
        if self.is_rank:
            self._publish()
        if self.ranks.left:
            return
        self.ranks.leave(self.end_reason or "", self._problem)
        if self.is_rank:
            processes.kill(self.ranks.trial_process, signal.SIGTERM)

    def _raise_end(self) -> NoReturn:
        self._raised += 1
        if self._raised == 1:
            self._tell_ranks()
        if self.is_rank:
            if self._raised > _RAISES:
                leave_process(STATUS)
            raise RankEnd(self._problem or f"told to leave: {self.end_reason}")
        if self._raised > _RAISES:
            print("hbsim: the function caught TrialEnd and went on; its process ends here", file=sys.stderr)
            self._finish_and_leave()
        raise TrialEnd(self._problem or f"told to leave: {self.end_reason}")

    def _finish_and_leave(self) -> NoReturn:
        with suppress(ControllerGone):
            self.finish(None, "")
        leave_process(0 if self.left else 1)
