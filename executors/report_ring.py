"""The ring of reports: a buffer in shared memory through which a trial's reports reach the study.

A report that has been written survives the end of the trial's process. Writing takes no system call and no
thread; it waits only where the reader is a whole ring behind.
"""

from __future__ import annotations

import json
import mmap
import os
import resource
import struct
import tempfile
from collections.abc import Mapping
from math import nan
from typing import Any, Final
from zlib import crc32

from hbsim.runner.workers import ReportRow

SIZE: Final = 1 << 20  # bytes at most; the system allocates only pages that were written
_HEAD: Final = 128
_WRITTEN, _READ = 0, 8  # indices of the two counters, 64-bit numbers on a cache line each
_KILLED: Final = 15  # index of the flag that the writer is being killed
_RECORD: Final = struct.Struct("<II")  # before each record: its CRC-32 and its length
_NAMES, _CHANGED, _ROW, _WAITING = b"N", b"C", b"R", b"W"  # the kinds of records


class ReportRing:
    """A queue of reports from one process that writes to one that reads.

    The names of metrics are written only when they change; a report is a few numbers. Each record has a
    checksum: a reader on another core may see the counter before the bytes of the record, and a wrong
    checksum means that the bytes are still to come.

    Parameters
    ----------
    descriptor : int
        The descriptor of the shared memory, as `create` returned it. It may be closed after this call.

    Attributes
    ----------
    changed : dict
        What came with the reports that were read last: values that the writer has changed just before them.
    """

    def __init__(self, descriptor: int) -> None:
        length = os.fstat(descriptor).st_size
        self._size = length - _HEAD
        self._bytes = mmap.mmap(descriptor, length)
        self._counters = memoryview(self._bytes)[:_HEAD].cast("Q")
        self._names: tuple[str, ...] | None = None
        self.changed: dict[str, Any] = {}
        self._announced: dict[str, Any] = {}  # changed values, whose report is still to come

    @classmethod
    def create(cls) -> tuple[ReportRing, int]:
        """Return a new, empty ring, and the descriptor for the other process; the caller closes it.

        Raises
        ------
        OSError
            There is no memory, or there are too many open files.
        """
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]  # the limit holds for shared memory, too
        size = SIZE if limit == resource.RLIM_INFINITY else min(SIZE, limit - _HEAD)
        descriptor = _memory()
        try:
            os.ftruncate(descriptor, _HEAD + size)
            return cls(descriptor), descriptor
        except BaseException:
            os.close(descriptor)
            raise

    def write(
        self,
        at: float,
        trained: float,
        resource: float,
        metrics: Mapping[str, float | None],
        waits: bool,
        changed: Mapping[str, object] | None = None,
    ) -> bool:
        """Write a report, with values that were changed just before; return False while there is no room.

        Raises
        ------
        ValueError
            The report is larger than the ring.
        """
        if changed and not self._write(_CHANGED + json.dumps(changed).encode("ascii")):
            return False
        names = tuple(metrics)
        if names != self._names:
            if not self._write(_NAMES + json.dumps(names).encode("ascii")):
                return False
            self._names = names
        values = [nan if value is None else value for value in metrics.values()]
        numbers = struct.pack(f"<{3 + len(values)}d", at, trained, resource, *values)
        return self._write((_WAITING if waits else _ROW) + numbers)

    @property
    def killed(self) -> bool:
        """Whether the reader kills the writer's process: SIGTERM then comes from the reader."""
        return bool(self._counters[_KILLED])

    def say_killed(self) -> None:
        """Set the flag that the writer's process is being killed."""
        self._counters[_KILLED] = 1

    @property
    def unread(self) -> int:
        """The number of bytes that have been written and not read."""
        return self._counters[_WRITTEN] - self._counters[_READ]

    @property
    def written(self) -> int:
        """The number of bytes that have been written so far."""
        return self._counters[_WRITTEN]

    def read(self, most: int = SIZE) -> tuple[list[ReportRow], bool]:
        """Return the reports that have been written since the last call, at most about `most` bytes.

        Returns
        -------
        rows : list of ReportRow
            The reports.
        waits : bool
            Whether training waits for an answer to the last report. A report with changed values is the
            first of those that are returned.
        """
        position, length = self._counters[_READ], self.unread
        if not length:
            return [], False
        begin = position % self._size
        data = self._bytes[_HEAD + begin : _HEAD + min(begin + length, self._size)]
        if len(data) < length:
            data += self._bytes[_HEAD : _HEAD + length - len(data)]
        found: list[ReportRow] = []
        waits = False
        done = 0
        while done < length and not (found and done >= most):
            checksum, size = _RECORD.unpack_from(data, done)
            record = data[done + _RECORD.size : done + _RECORD.size + size]
            if len(record) < size or crc32(record) != checksum or (found and record[:1] == _CHANGED):
                break
            done += _RECORD.size + size
            if record[:1] == _NAMES:
                self._names = tuple(json.loads(record[1:]))
            elif record[:1] == _CHANGED:
                self._announced |= json.loads(record[1:])
            else:
                found.append(self._row(record))
                waits = record[:1] == _WAITING
        self._counters[_READ] = position + done
        if found:
            self.changed, self._announced = self._announced, {}
        return found, waits

    def close(self) -> None:
        """Release the memory."""
        self._counters.release()
        self._bytes.close()

    def _write(self, record: bytes) -> bool:
        data = _RECORD.pack(crc32(record), len(record)) + record
        size, length = self._size, len(data)
        if length > size:
            raise ValueError(f"a report takes {length:,} bytes, where {size:,} is the most")
        position = self._counters[_WRITTEN]
        if position + length - self._counters[_READ] > size:
            return False
        begin = position % size
        first = min(length, size - begin)
        self._bytes[_HEAD + begin : _HEAD + begin + first] = data[:first]
        if first < length:
            self._bytes[_HEAD : _HEAD + length - first] = data[first:]
        self._counters[_WRITTEN] = position + length  # last: from now on the record is complete
        return True

    def _row(self, record: bytes) -> ReportRow:
        assert self._names is not None  # the names come first
        at, trained, resource, *values = struct.unpack_from(f"<{3 + len(self._names)}d", record, 1)
        metrics = {
            name: value if value == value else None for name, value in zip(self._names, values, strict=True)
        }
        return ReportRow(at, trained, resource, metrics)


def _memory() -> int:
    """Return the descriptor of new memory that processes can share."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("hbsim-reports", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
