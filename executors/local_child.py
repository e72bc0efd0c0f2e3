"""A job's process, as whoever drives the study knows it."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from hbsim.executors.oom import OomWatch
from hbsim.executors.report_ring import ReportRing
from hbsim.runner.workers import Row, Task

__all__ = ["Child"]

_CHUNK: Final = 1 << 18


@dataclass(slots=True)
class Child:
    """What is known of a job's process, the line to it, and its reports."""

    task: Task
    socket: socket.socket
    ring: ReportRing
    ordered: float  # when its process was asked for
    buffer: bytes = b""
    said: int = 0
    begun: float | None = None
    end: Mapping[str, Any] | None = None
    ended_at: float | None = None
    killed: str | None = None
    leaves: bool = False  # it was told to
    talks: bool = True  # its end of the line is not closed

    def begin(self, line: Mapping[str, object], descriptor: int) -> None:
        """Send the first line, and beside it the descriptor of the ring of reports, which is closed here."""
        data = json.dumps(line).encode() + b"\n"
        try:
            with suppress(BrokenPipeError, ConnectionResetError):
                # Constants may be more than the socket takes: somebody has to be there who reads them.
                sent = socket.send_fds(self.socket, [data], [descriptor])
                self.socket.sendall(data[sent:])
        finally:
            os.close(descriptor)
        self.socket.setblocking(False)

    def send(self, line: Mapping[str, object]) -> None:
        """Send a line."""
        # A few bytes into an empty buffer; if the child is gone, the server says so.
        with suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(json.dumps(line).encode() + b"\n")

    def read(self) -> tuple[list[dict[str, Any]], bool]:
        """Return the lines that have come whole by now, and whether its end of the line is open."""
        try:
            data = self.socket.recv(_CHUNK)
        except BlockingIOError:
            return [], True
        except ConnectionResetError:
            data = b""
        *lines, self.buffer = (self.buffer + data).split(b"\n")
        return [json.loads(line) for line in lines], bool(data)

    def reports(self) -> tuple[list[Row], bool]:
        """Return the reports that have been made since the last time, and whether the last one waits."""
        reports = self.ring.read()
        self.said += len(reports)
        return [Row(*report[:4]) for report in reports], bool(reports) and reports[-1].waits

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

    def fate(self, status: int, oom: OomWatch) -> tuple[str | None, str]:
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
