"""A trial's end of the line to the controller: reports through shared memory, all else as JSON lines."""

from __future__ import annotations

import json
import os
import select
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from hbsim.executors.report_ring import Report, ReportRing

__all__ = ["Channel", "Gone", "nothing"]

_CHUNK: Final = 256 * 1024
_LOOK: Final = 0.005  # seconds between two looks at a ring that is full
_ENCODE: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


class Gone(ConnectionError):
    """The controller has closed the connection, or died."""


def nothing() -> None:
    """Do nothing."""


class Channel:
    """Lines over a connected socket, whole and in order, and the ring of reports that comes with the first.

    A signal handler may raise an exception at any point of the training code. In here that would tear
    lines, so the handler has to look at `busy`, and leave it to `check` to raise.

    Parameters
    ----------
    connection : socket.socket
        A connected stream.
    ring : ReportRing, optional
        Takes the reports; by default the one whose file descriptor comes beside the first line.

    Attributes
    ----------
    busy : bool
        Whether an exception raised by a signal handler would do harm now.
    check : callable
        Called as soon as it would not. It may raise.
    """

    def __init__(self, connection: socket.socket, ring: ReportRing | None = None) -> None:
        connection.settimeout(None)
        connection.set_inheritable(False)
        self._connection = connection
        self._ring = ring
        self._unsent = bytearray()
        self._unread = bytearray()
        self.busy = False
        self.check: Callable[[], None] = nothing

    @property
    def killed(self) -> bool:
        """Whether the controller kills this process."""
        return self._ring is not None and self._ring.killed

    def begin(self) -> dict[str, Any]:
        """Wait for the first line, and return it.

        Raises
        ------
        Gone
            Nothing can come any more.
        """
        while b"\n" not in self._unread:
            try:
                data, descriptors, _, _ = socket.recv_fds(self._connection, _CHUNK, 1)
            except OSError as error:
                raise Gone(str(error)) from error
            if not data:
                raise Gone("end of file")
            for descriptor in descriptors:
                self._ring = ReportRing(descriptor)
                os.close(descriptor)  # the memory stays
            self._unread += data
        return self._next()

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Let signal handlers raise nothing in this block."""
        self.busy = True
        try:
            yield
        finally:
            self.busy = False
        self.check()

    def report(self, report: Report, wait: bool = False) -> bool:
        """Hand over a report: whether there was room for it; with `wait` there is in the end.

        When this has returned True the report has left this process.

        Raises
        ------
        Gone
            Nobody will make room.
        ValueError
            The report takes more than the ring has.
        """
        assert self._ring is not None  # it came with the first line
        self.busy = True  # as `whole` does it, in half the time
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
        Gone
            It will never be.
        """
        with self.whole():
            while self._ring is not None and self._ring.unread > _CHUNK:
                self._wait_for(0, _LOOK)

    def send(self, message: Mapping[str, object]) -> None:
        """Send a line.

        Raises
        ------
        Gone
            Nobody will read it.
        """
        with self.whole():
            self._unsent += _ENCODE(message).encode("ascii") + b"\n"
            while self._unsent:
                try:
                    sent = self._connection.send(self._unsent[:_CHUNK], socket.MSG_DONTWAIT)
                except BlockingIOError:
                    self._wait_for(select.POLLOUT)
                except OSError as error:
                    raise Gone(str(error)) from error
                else:
                    del self._unsent[:sent]

    def receive(self, wait: bool = False) -> dict[str, Any] | None:
        """Return the next line that has come, or None; with `wait` there is always one.

        Raises
        ------
        Gone
            Nothing can come any more.
        """
        with self.whole():
            while b"\n" not in self._unread:
                if wait:
                    self._wait_for(select.POLLIN)
                if not self._read() and not wait:
                    return None
            return self._next()

    def _next(self) -> dict[str, Any]:
        line, _, self._unread = self._unread.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message

    def _read(self) -> bool:
        try:
            data = self._connection.recv(_CHUNK, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError as error:
            raise Gone(str(error)) from error
        if not data:
            raise Gone("end of file")
        self._unread += data
        return True

    def _wait_for(self, event: int, seconds: float | None = None) -> None:
        """Wait for an event of the connection, for its end in any case, or for so many seconds."""
        poll = select.poll()
        poll.register(self._connection, event)
        self.busy = False  # nothing is half done, and this may take long
        try:
            self.check()
            found = poll.poll(None if seconds is None else seconds * 1000)
        finally:
            self.busy = True
        if not event and found:
            raise Gone("the controller has closed the line")
