"""A job's process, as whoever drives the study knows it."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from typing import Any, Final

from hbsim.core.types import FAILURE_KINDS
from hbsim.executors.oom import OomWatch
from hbsim.executors.report_ring import ReportRing
from hbsim.executors.server_lines import read_lines
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
    due: float = inf  # when it is to be gone, since it has saved what it leaves with
    talks: bool = True  # its end of the line is not closed
    outgoing: bytes = b""  # what the socket did not take yet
    garbled: bool = False  # it has said what is no message

    def begin(self, line: Mapping[str, object], descriptor: int) -> None:
        """Send the first line, and beside it the descriptor of the ring of reports, which is closed here."""
        self.outgoing = json.dumps(line).encode() + b"\n"
        self.socket.setblocking(False)
        try:
            with suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
                sent = socket.send_fds(self.socket, [self.outgoing[:_CHUNK]], [descriptor])
                self.outgoing = self.outgoing[sent:]
        finally:
            os.close(descriptor)

    def send(self, line: Mapping[str, object]) -> None:
        """Send a line, as far as the socket takes it; `flush` sends the rest."""
        self.outgoing += json.dumps(line).encode() + b"\n"
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
        *lines, self.buffer = (self.buffer + data).split(b"\n")
        messages, garbage = read_lines(lines)
        if garbage is not None:
            self.garble(garbage)
        return messages, bool(data) and garbage is None

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
        """Take note that the process has said what is no message."""
        reason = f"its process has written what is no message into its line to the study: {what}"
        self.garbled, self.end = True, self.end or {"kind": "error", "reason": reason}

    def reports(self, most: int) -> tuple[list[Row], bool]:
        """Return reports that have been made since the last time, and whether the last one waits.

        Of very many, those of about `most` bytes.
        """
        reports = self.ring.read(most)
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
