"""A lease: until when processes may run, without word from whoever may have given their work to others."""

from __future__ import annotations

import mmap
import os
import time
from math import nan
from typing import Final

__all__ = ["Lease", "lease_clock"]

_SIZE: Final = 8  # bytes: one float, which is read and written as a whole
# A machine that was suspended must not believe that no time has passed.
_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def lease_clock() -> float:
    """Return the time in seconds on a clock that goes on while the machine is suspended."""
    return time.clock_gettime(_CLOCK)


class Lease:
    """The end of a lease, in a file of which all processes of this machine that it is about have a map.

    Looking at it costs no system call but that for the time. Once a process has it, the file may go.

    Parameters
    ----------
    path : Path
        A file that `create` has made.

    Raises
    ------
    OSError
        It is not there.
    """

    def __init__(self, path: os.PathLike[str] | str) -> None:
        with open(path, "r+b") as file:
            self._until = memoryview(mmap.mmap(file.fileno(), _SIZE)).cast("d")

    @classmethod
    def create(cls, path: os.PathLike[str] | str, seconds: float) -> Lease:
        """Make a lease that ends in so many seconds, in a new file."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, bytes(_SIZE))
        finally:
            os.close(descriptor)
        lease = cls(path)
        lease._until[0] = lease_clock() + seconds
        return lease

    @property
    def until(self) -> float:
        """When it ends, on the lease clock; NaN if it has been revoked."""
        return self._until[0]

    def renew(self, until: float) -> None:
        """Let it end at `until` on the lease clock, if that is later. Once it is over, it stays so."""
        if until > self._until[0] and not self.expired():
            self._until[0] = until

    def revoke(self) -> None:
        """End it now and for good."""
        self._until[0] = nan  # nothing compares with it

    def expired(self) -> bool:
        """Whether it is over."""
        return not lease_clock() < self._until[0]
