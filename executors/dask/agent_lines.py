"""The agent's end of the line: through the plugin of its Dask worker, to the controller."""

from __future__ import annotations

import json
import socket
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from hbsim.errors import HbsimError, OutputError, ParameterError
from hbsim.executors.dask.agents import ROOM
from hbsim.executors.dask.wire import Body, Inbox, Outbox, aside
from hbsim.executors.server_lines import fatal

__all__ = ["Line", "fatal_from"]

_CHUNK: Final = 1 << 18
_FEW: Final = 1 << 16  # bytes that are on their way before what is said aside can overtake


class Line:
    """Numbered messages over a connected socket, which nothing waits for.

    Parameters
    ----------
    connection : socket.socket
        To the plugin.

    Attributes
    ----------
    connection : socket.socket
        The same.
    closed : bool
        Whether the other end is gone.
    """

    def __init__(self, connection: socket.socket) -> None:
        connection.set_inheritable(False)
        self.connection = connection
        self.closed = False
        self._inbox, self._outbox = Inbox(), Outbox()
        self._unread = b""
        self._room = ROOM
        self._aside = ""
        self._waiting: deque[str] = deque()
        self._leaving = b""  # whole lines, but for what of the first one has been sent

    @property
    def heard(self) -> int:
        """The number of the last order that has come, with all before it."""
        return self._inbox.heard

    @property
    def pending(self) -> bool:
        """Whether something could not be sent yet."""
        return bool(self._leaving or self._aside or self._waiting)

    @property
    def full(self) -> bool:
        """Whether nothing more should be said until more has been acknowledged."""
        return self._outbox.size >= self._room

    def first(self) -> dict[str, Any]:
        """Wait for the first line, which is in no envelope; empty if none comes."""
        self.connection.settimeout(None)
        parts = []
        while b"\n" not in self._unread and not self.closed:
            parts.append(self._unread)  # it holds the training function's code
            self._unread = self._receive()
        line, _, self._unread = self._unread.partition(b"\n")
        self.connection.settimeout(0)
        return {} if self.closed else dict(json.loads(b"".join([*parts, line])))

    def receive(self) -> list[Body]:
        """Return the orders that have come by now."""
        *lines, self._unread = (self._unread + self._receive()).split(b"\n")
        return self._inbox.take(lines)

    def say(self, body: Mapping[str, Any]) -> None:
        """Send a message; it is kept until the controller has acknowledged it."""
        self._waiting.append(self._outbox.put(body, time.monotonic()))
        self.send()

    def answer(self, body: Mapping[str, Any]) -> None:
        """Send a message ahead of those that wait; it may be lost."""
        self._aside += aside(body) + "\n"
        self.send()

    def acknowledge(self, number: int, room: int) -> None:
        """Forget what the controller has heard; up to `room` bytes more may be said before it hears them."""
        self._outbox.acknowledge(number, time.monotonic())
        self._room = room

    def send(self) -> None:
        """Send what there is, and again what has not been acknowledged for too long, as far as it goes."""
        if not self.pending:
            self._waiting.extend(self._outbox.again(time.monotonic()))
        while self.pending and not self.closed:
            self._leaving = self._leaving or self._next()
            try:
                sent = self.connection.send(self._leaving)
            except BlockingIOError:
                return
            except OSError:
                self.closed = True
                return
            self._leaving = self._leaving[sent:]

    def _next(self) -> bytes:
        """Take the lines that are to go next: what is said aside, or some of the others."""
        text, self._aside = self._aside, ""
        while self._waiting and len(text) < _FEW:
            text += self._waiting.popleft() + "\n"
        return text.encode()

    def _receive(self) -> bytes:
        try:
            data = self.connection.recv(_CHUNK)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        self.closed = self.closed or not data
        return data


def fatal_from(error: HbsimError) -> Body:
    """Return the message that this host can run no trials."""
    if isinstance(error, ParameterError):
        field, value, rule = fatal(error)["fatal"]
    elif isinstance(error, OutputError):
        field, value, rule = "folder", error.path, error.problem
    else:
        field, value, rule = "executor", "dask", str(error)
    return {"m": "fatal", "field": field, "value": value, "rule": rule}
