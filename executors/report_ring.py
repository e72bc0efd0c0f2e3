"""The ring buffer in shared memory through which a trial's reports reach whoever drives the study.

A report that has been written is out of the trial's process: whatever ends that process, the reader still
finds it. Writing takes no system call and no thread; it waits only where the reader is a whole ring behind.
"""

from __future__ import annotations

import json
import mmap
import os
import resource
import tempfile
from typing import Any, Final
from zlib import crc32

__all__ = ["ReportRing"]

SIZE: Final = 16 << 20  # bytes at most; the system gives memory for those only that have been written
_HEAD: Final = 128
_WRITTEN, _READ = 0, 8  # where the two counters are, as 64-bit numbers: a cache line each
_CHECKED: Final = 8  # digits of a line's checksum
_ENCODE: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


class ReportRing:
    """Rows of JSON values from one process that writes to one that reads, in order.

    Each row is a line of JSON behind its CRC-32. A reader of another core may see the counter before the
    bytes that it counts: a line whose checksum is wrong is not there yet.

    Parameters
    ----------
    descriptor : int
        Of the shared memory, as `create` returned it. It is needed no longer than this call takes.
    """

    def __init__(self, descriptor: int) -> None:
        length = os.fstat(descriptor).st_size
        self._size = length - _HEAD
        self._bytes = mmap.mmap(descriptor, length)
        self._counters = memoryview(self._bytes)[:_HEAD].cast("Q")

    @classmethod
    def create(cls) -> tuple[ReportRing, int]:
        """Return a new ring, empty, and the descriptor that another process opens it with: close that one.

        Raises
        ------
        OSError
            There is no memory, or there are too many open files.
        """
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]  # it holds for memory, too
        size = SIZE if limit == resource.RLIM_INFINITY else min(SIZE, limit - _HEAD)
        descriptor = _memory()
        try:
            os.ftruncate(descriptor, _HEAD + size)
            return cls(descriptor), descriptor
        except BaseException:
            os.close(descriptor)
            raise

    def write(self, row: object) -> bool:
        """Write a row; return False, with nothing written, while there is no room.

        Raises
        ------
        ValueError
            The row takes more than the ring has; or it is no JSON.
        """
        text = _ENCODE(row).encode("ascii")
        line = b"%08x%b\n" % (crc32(text), text)
        size = self._size
        if len(line) > size:
            raise ValueError(f"a report takes {len(line):,} bytes, where {size:,} is the most")
        position = self._counters[_WRITTEN]
        if position + len(line) - self._counters[_READ] > size:
            return False
        begin = position % size
        first = min(len(line), size - begin)
        self._bytes[_HEAD + begin : _HEAD + begin + first] = line[:first]
        if first < len(line):
            self._bytes[_HEAD : _HEAD + len(line) - first] = line[first:]
        self._counters[_WRITTEN] = position + len(line)  # last: from now on it is there, whole
        return True

    def read(self) -> list[Any]:
        """Return the rows that have been written since the last time."""
        position = self._counters[_READ]
        length = self._counters[_WRITTEN] - position
        if not length:
            return []
        begin = position % self._size
        data = self._bytes[_HEAD + begin : _HEAD + min(begin + length, self._size)]
        if len(data) < length:
            data += self._bytes[_HEAD : _HEAD + length - len(data)]
        rows: list[Any] = []
        for line in data.split(b"\n")[:-1]:
            if not _is_whole(line):
                break
            rows.append(json.loads(line[_CHECKED:]))
            position += len(line) + 1
        self._counters[_READ] = position
        return rows

    def close(self) -> None:
        """Let go of the memory."""
        self._counters.release()
        self._bytes.close()


def _is_whole(line: bytes) -> bool:
    return line[:_CHECKED] == b"%08x" % crc32(line[_CHECKED:])


def _memory() -> int:
    """Return the descriptor of new memory that processes can share."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("hbsim-reports", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
