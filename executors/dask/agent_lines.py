"""The agent's end of the line: through the plugin of its Dask worker, to the controller."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping
from typing import Any, Final

from hbsim.errors import HbsimError, OutputError, ParameterError
from hbsim.executors.dask.wire import Body, Inbox, Outbox
from hbsim.executors.server_lines import fatal

__all__ = ["Line", "fatal_from"]

_CHUNK: Final = 1 << 18


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
        self._unsent = bytearray()

    @property
    def heard(self) -> int:
        """The number of the last order that has come, with all before it."""
        return self._inbox.heard

    @property
    def pending(self) -> bool:
        """Whether something could not be sent yet."""
        return bool(self._unsent)

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
        self._unsent += self._outbox.put(body, time.monotonic()).encode() + b"\n"
        self.send()

    def acknowledge(self, number: int) -> None:
        """Forget what the controller has heard."""
        self._outbox.acknowledge(number)

    def send(self) -> None:
        """Send what there is, and again what has not been acknowledged for too long, as far as it goes."""
        if not self._unsent:
            for line in self._outbox.again(time.monotonic()):
                self._unsent += line.encode() + b"\n"
        while self._unsent and not self.closed:
            try:
                sent = self.connection.send(self._unsent[:_CHUNK])
            except BlockingIOError:
                return
            except OSError:
                self.closed = True
                return
            del self._unsent[:sent]

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
