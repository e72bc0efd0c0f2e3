"""Lines between the controller and its processes, and the warm server's end of them."""

from __future__ import annotations

import json
import os
import socket
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Final

from hbsim.errors import ParameterError

__all__ = ["Lines", "fatal", "read_lines"]

_CHUNK: Final = 1 << 16


class Lines:
    """JSON lines over a connected socket; file descriptors may come beside them.

    Attributes
    ----------
    connection : socket.socket
        Blocking.
    closed : bool
        Whether the other end is gone.
    """

    def __init__(self, connection: socket.socket) -> None:
        connection.set_inheritable(False)
        self.connection = connection
        self.closed = False
        self._buffer = b""
        self._descriptors: deque[int] = deque()

    def receive(self) -> list[dict[str, Any]]:
        """Return the lines that are complete by now; waits while nothing comes."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self.connection, _CHUNK, 16)
        except OSError:
            data, descriptors = b"", []
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        self._descriptors.extend(descriptors)
        self.closed = self.closed or not data
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def descriptor(self) -> int:
        """Return the next file descriptor that has come; it comes no later than the line it belongs to."""
        return self._descriptors.popleft()

    def say(self, line: Mapping[str, object]) -> None:
        """Send a line."""
        try:
            self.connection.sendall(json.dumps(line).encode() + b"\n")
        except OSError:
            self.closed = True

    def close(self) -> None:
        """Take the other end for gone."""
        self.closed = True


def fatal(error: ParameterError) -> dict[str, list[Any]]:
    """Return the line that ends the study with this error."""
    value = error.value if isinstance(error.value, str | int | float | None) else repr(error.value)
    return {"fatal": [error.field, value, error.rule]}


def read_lines(lines: Iterable[bytes]) -> tuple[list[dict[str, Any]], str | None]:
    """Return the messages in lines up to the first that is none, and what is in that, for people.

    A training function may write into any file descriptor that it finds in its process.
    """
    messages: list[dict[str, Any]] = []
    for line in lines:
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict):
            return messages, repr(line[:80])
        messages.append(message)
    return messages, None
