"""The part file of a recording: one JSON line a finished trial, so that an interrupted recording goes on."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path

from hbsim.errors import OutputError

__all__ = ["Curve", "PartFile", "count_kept", "part_path"]

Cell = int | float | None


@dataclass
class Curve:
    """What one trial reported.

    Attributes
    ----------
    trial : int
        The trial's number.
    columns : dict of str to list
        The resource, the metrics, ``seconds`` and ``process_seconds``: a value a report, None where the
        report lacked it.
    error : str or None
        Why the trial ended early, if it failed.
    """

    trial: int
    columns: dict[str, list[Cell]] = field(default_factory=dict)
    error: str | None = None

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def add(self, report: Mapping[str, Cell]) -> None:
        """Append one report."""
        before = len(self)
        for name in report:
            self.columns.setdefault(name, [None] * before)
        for name, column in self.columns.items():
            column.append(report.get(name))


def part_path(out: Path) -> Path:
    """Return where the part file of `out` lies: beside it."""
    return out.with_name(out.name + ".part.jsonl")


def count_kept(path: Path) -> int:
    """Return how many finished trials a part file has; 0 if it is not there."""
    try:
        return max(0, path.read_bytes().count(b"\n") - 1)
    except FileNotFoundError:
        return 0


class PartFile:
    """The finished trials of a recording, on disk.

    The first line is the recording's specification. A line counts when its newline is there: what
    an interrupted write left behind it is cut off.

    Parameters
    ----------
    path : Path
        The file; made if it is not there.
    spec : mapping
        What the recording is, in plain JSON types.

    Attributes
    ----------
    failed : dict of int to bool
        The finished trials, and whether they failed.

    Raises
    ------
    OutputError
        If the file is of another recording, is being written by another process, is damaged, or
        cannot be written.
    """

    def __init__(self, path: Path, spec: Mapping[str, object]) -> None:
        self.path = path
        self.failed: dict[int, bool] = {}
        with self._failing_clearly():
            # Unbuffered: after a failed write nothing is left to be written when it is closed.
            self._file = open(path, "a+b", buffering=0)  # noqa: SIM115 (open as long as the recording)
        try:
            _lock(self._file, path)
            self._cut_incomplete_line()
            self._check(spec)
            self.failed = {curve.trial: curve.error is not None for curve in self.curves()}
        except BaseException:
            self.close()
            raise

    def append(self, curve: Curve) -> None:
        """Add a finished trial; it is on the disk when this returns."""
        self._write({"trial": curve.trial, "error": curve.error, "columns": curve.columns})
        self.failed[curve.trial] = curve.error is not None

    def curves(self) -> Iterator[Curve]:
        """Read the finished trials, in the order in which they ended."""
        with open(self.path, "rb") as file:
            next(file)
            for number, line in enumerate(file, start=2):
                try:
                    row = json.loads(line)
                    yield Curve(row["trial"], row["columns"], row["error"])
                except (ValueError, KeyError) as error:
                    raise OutputError(str(self.path), f"line {number} is damaged; delete the file") from error

    def close(self) -> None:
        """Close the file; it stays on the disk."""
        self._file.close()

    def remove(self) -> None:
        """Close the file and delete it."""
        self.close()
        self.path.unlink()

    def _cut_incomplete_line(self) -> None:
        self._file.seek(0)
        data = self._file.read()
        self._file.truncate(data.rfind(b"\n") + 1)

    def _check(self, spec: Mapping[str, object]) -> None:
        self._file.seek(0)
        line = self._file.readline()
        if not line:
            self._write(spec)
            return
        try:
            found = json.loads(line)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise OutputError(str(self.path), "is no part of a recording; delete it")
        if found != spec and not self._file.read():
            self._file.truncate(0)  # nothing was kept, so nothing is lost: a first try that went wrong
            self._write(spec)
        elif found != spec:
            raise OutputError(str(self.path), _difference(found, spec))

    def _write(self, row: Mapping[str, object]) -> None:
        with self._failing_clearly():
            data = json.dumps(row, separators=(",", ":")).encode() + b"\n"
            while data:
                data = data[self._file.write(data) :]
            os.fsync(self._file.fileno())

    @contextlib.contextmanager
    def _failing_clearly(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(str(self.path), f"cannot be written: {error.strerror or error}") from error


def _difference(found: Mapping[str, object], spec: Mapping[str, object]) -> str:
    name = next(name for name in [*spec, *found] if found.get(name) != spec.get(name))
    if name == "sha256":
        return "has trials of the training file as it was before a change; change it back, or delete this"
    was, now = found.get(name), spec.get(name)
    return f"has trials of a recording with {name}={was!r}, not {now!r}; go on with that, or delete this"


def _lock(file: FileIO, path: Path) -> None:
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OutputError(str(path), "another process is recording to it") from error
