"""What ends an agent, whatever it is doing or waiting for: end of file, end of the lease, a signal."""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from math import inf
from types import FrameType
from typing import Final

from hbsim.executors.lease import Lease

__all__ = ["Guard", "Over"]

_LOOK: Final = 0.5  # seconds between two looks
_AGAIN: Final = 2.0
_ENDING: Final = (signal.SIGTERM, signal.SIGHUP)
_HUNG_UP: Final = select.POLLHUP | select.POLLERR | select.POLLNVAL


class Over(BaseException):
    """The agent has to end everything that it has started, and itself; raised wherever it is.

    It says why, where that is worth a line.
    """


class Guard:
    """Looks twice a second whether the agent has to end, and raises `Over` then, even out of a system call.

    Ctrl-C is the controller's, and does nothing here.

    Parameters
    ----------
    connection : socket.socket
        When its other end is gone, the agent has to end,
    parent : int
        as when its parent is not this process any more.

    Attributes
    ----------
    lease : Lease or None
        When it is over, likewise.
    """

    def __init__(self, connection: socket.socket, parent: int) -> None:
        self.lease: Lease | None = None
        self._parent = parent
        self._said = -inf
        self._poll = select.poll()
        self._poll.register(connection, 0)

    def arm(self) -> None:
        """Begin."""
        signal.signal(signal.SIGINT, _nothing)  # what is ignored stays so in every process that is started
        for number in _ENDING:
            signal.signal(number, self._end)
        signal.signal(signal.SIGALRM, self._wake)
        signal.setitimer(signal.ITIMER_REAL, _LOOK, _LOOK)

    def disarm(self) -> None:
        """Raise nothing any more."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number in (*_ENDING, signal.SIGALRM):
            signal.signal(number, _nothing)

    def look(self) -> None:
        """Raise `Over` if the agent has to end."""
        if self.lease is not None and self.lease.expired():
            self._raise("hbsim: the controller has not been heard for too long; trials on this host end")
        if os.getppid() != self._parent or any(event & _HUNG_UP for _, event in self._poll.poll(0)):
            self._raise("")

    def _wake(self, number: int, frame: FrameType | None) -> None:
        self.look()

    def _end(self, number: int, frame: FrameType | None) -> None:
        self._raise(f"hbsim: {signal.Signals(number).name} was sent; trials on this host end")

    def _raise(self, reason: str) -> None:
        """Raise it once, so that it can be caught in peace; later again, for Python may have lost it."""
        if time.monotonic() - self._said > _AGAIN:
            self._said = time.monotonic()
            raise Over(reason)


def _nothing(number: int, frame: FrameType | None) -> None:
    """Let a signal pass."""
