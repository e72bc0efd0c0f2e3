"""A trial's end of the connection to the controller: JSON lines, sent without waiting where possible."""

from __future__ import annotations

import json
import select
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

__all__ = ["LIMIT", "Channel", "Gone", "nothing"]

LIMIT = 16 * 1024 * 1024  # bytes that may wait to be sent before the sender waits too
_CHUNK = 256 * 1024
_ENCODE = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


class Gone(ConnectionError):
    """The controller has closed the connection, or died."""


def nothing() -> None:
    """Do nothing."""


class Channel:
    """Lines over a connected socket, whole and in order.

    A signal handler may raise an exception at any point of the training code. In here that would tear
    lines, so the handler has to look at `busy`, and leave it to `check` to raise.

    Parameters
    ----------
    connection : socket.socket
        A connected stream.

    Attributes
    ----------
    busy : bool
        Whether an exception raised by a signal handler would do harm now.
    check : callable
        Called as soon as it would not. It may raise.
    """

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(None)
        connection.set_inheritable(False)
        self._connection = connection
        self._unsent = bytearray()
        self._unread = bytearray()
        self.busy = False
        self.check: Callable[[], None] = nothing

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Let signal handlers raise nothing in this block."""
        self.busy = True
        try:
            yield
        finally:
            self.busy = False
        self.check()

    def put(self, message: Mapping[str, object]) -> None:
        """Add a line to what is to be sent."""
        self._unsent += _ENCODE(message).encode("ascii") + b"\n"

    def push(self, wait: bool = False) -> None:
        """Send what the socket takes at once; with `wait` all of it.

        Waits too while more than `LIMIT` bytes are unsent: a controller that reads nothing must not let
        the trial grow without bound.

        Raises
        ------
        Gone
            Nobody will read it.
        """
        with self.whole():
            self._send()
            while len(self._unsent) > (0 if wait else LIMIT):
                self._wait_for(select.POLLOUT)
                self._send()

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
            line, _, self._unread = self._unread.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message

    def _send(self) -> None:
        while self._unsent:
            try:
                sent = self._connection.send(self._unsent[:_CHUNK], socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError as error:
                raise Gone(str(error)) from error
            del self._unsent[:sent]

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

    def _wait_for(self, event: int) -> None:
        poll = select.poll()
        poll.register(self._connection, event)
        self.busy = False  # nothing is half done, and this may take long
        try:
            self.check()
            poll.poll()
        finally:
            self.busy = True
