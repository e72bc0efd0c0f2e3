"""JSON lines: messages between a controller and its processes, one JSON object a line."""

from __future__ import annotations

import json
import os
import socket
from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from hbsim.errors import ParameterError

_CHUNK: Final = 1 << 16


def dump_line(message: Mapping[str, object]) -> bytes:
    """Return a message as a line."""
    return json.dumps(message).encode() + b"\n"


def fatal(error: ParameterError) -> dict[str, list[Any]]:
    """Return the message that ends the study with this error."""
    value = error.value if isinstance(error.value, str | int | float | None) else repr(error.value)
    return {"fatal": [error.field, value, error.rule]}


class LineReader:
    """A reader that joins pieces of data to lines, and parses the lines as messages.

    Attributes
    ----------
    garbage : str or None
        The beginning of the first line that was no message, for people; nothing is read after it. Such lines
        come where a training function writes into the connection's file descriptor.
    """

    def __init__(self) -> None:
        self.garbage: str | None = None
        self._parts: list[bytes] = []  # of a line without its end

    def lines(self, data: bytes) -> list[bytes]:
        """Return the lines that this piece completes, without their line ends."""
        self._parts.append(data)
        if b"\n" not in data:
            return []
        *lines, rest = b"".join(self._parts).split(b"\n")
        self._parts = [rest]
        return lines

    def messages(self, data: bytes) -> list[dict[str, Any]]:
        """Return the messages that this piece completes, up to `garbage`."""
        messages: list[dict[str, Any]] = []
        for line in self.lines(data) if self.garbage is None else ():
            try:
                message = json.loads(line)
            except (ValueError, RecursionError):
                message = None
            if not isinstance(message, dict):
                self.garbage = repr(line[:80])
                break
            messages.append(message)
        return messages


class SocketLines:
    """Messages over a connected socket; file descriptors may come beside them.

    Attributes
    ----------
    connection : socket.socket
        Blocking.
    closed : bool
        Whether the other end has closed the connection.
    """

    def __init__(self, connection: socket.socket) -> None:
        connection.set_inheritable(False)
        self.connection = connection
        self.closed = False
        self._reader = LineReader()
        self._descriptors: deque[int] = deque()

    def receive(self) -> list[dict[str, Any]]:
        """Return the messages that are complete; wait until some data has come."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self.connection, _CHUNK, 16)
        except OSError:
            data, descriptors = b"", []
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        self._descriptors.extend(descriptors)
        self.closed = self.closed or not data
        return self._reader.messages(data)

    def descriptor(self) -> int:
        """Return the next file descriptor; it arrives no later than the line to which it belongs."""
        return self._descriptors.popleft()

    def send(self, message: Mapping[str, object]) -> None:
        """Send a message."""
        try:
            self.connection.sendall(dump_line(message))
        except OSError:
            self.closed = True

    def close(self) -> None:
        """Treat the connection as closed."""
        self.closed = True
