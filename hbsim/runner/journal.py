"""The journal of a study: an append-only file of JSON lines that survives a crash at any byte.

Each line is one JSON object: a line number ``n`` from 0, the fields of the record, and a checksum ``crc``,
the CRC-32, in hexadecimal, of the line's bytes before ``,"crc"``. Line 0 describes the study::

    {"n":0,"e":"study","version":1,"spec":{...},"crc":"5b2c0f6e"}
    {"n":1,"e":"start","t":0.0,"worker":0,"job":0,"crc":"90e1a7d3"}

A line is written in one call, so a crash can only cut the last line short. The study has not acted on that
line yet, and it is dropped.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, BinaryIO, Final, Self
from zlib import crc32

from hbsim.errors import HbsimWarning, JournalError, OutputError, ParameterError
from hbsim.runner.lock import FileLock, busy, holder, is_at
from hbsim.runner.records import StudyStarted, line_fields

FSYNC: Final = ("always", "second", "never")
SECOND: Final = 1.0

_ADVICE: Final = {
    errno.ENOSPC: "free space on this disk, then resume",
    errno.EDQUOT: "free space in this quota, then resume",
    errno.EFBIG: "raise the limit on file sizes (ulimit -f), then resume",
    errno.EIO: "the disk is failing: check it, copy the study elsewhere, then resume there",
    errno.EEXIST: "resume that study, or choose another folder",
    errno.ENOENT: "start the study first, or check the path",
}


class Journal:
    """A journal open for writing; made by `create` or `open`.

    Not thread-safe. The file is locked: no other process can open it to write.

    Attributes
    ----------
    path : str
        The file.
    count : int
        How many lines it has, which is the number of the next line.
    """

    def __init__(self, path: str, held: FileLock, fsync: str, clock: Callable[[], float]) -> None:
        self.path = path
        self.count = 0
        self._held = held
        self._place = os.path.abspath(path)
        self._end = 0  # length of the whole lines in bytes
        self._fsync = fsync
        self._clock = clock
        self._synced = clock()
        self._dirty = True
        self._broken = False

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        spec: Mapping[str, Any],
        fsync: str = "second",
        clock: Callable[[], float] = time.monotonic,
    ) -> Self:
        """Create a journal: write its first line, and sync it and the folder to disk.

        Parameters
        ----------
        path : str or path
            The file; its folder must exist.
        spec : dict
            The description of the study, in plain JSON types; field ``spec`` of the first line.
        fsync : {"second", "always", "never"}
            When lines are synced to disk, so that they survive a power failure: once a second (when lines are
            appended, at `tick`, and at the end), after each line, or when the operating system does it. A
            crash of the process alone never loses a line.
        clock : callable
            Seconds, monotonic.

        Raises
        ------
        ParameterError
            If `fsync` is none of these, or `spec` is not plain JSON.
        OutputError
            If the file exists or cannot be written. No new file is left behind then.
        """
        _check_policy(fsync)
        path = os.fspath(path)
        header = line_fields(StudyStarted(version=VERSION, spec=dict(spec)))
        held = _open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        journal = cls(path, held, fsync, clock)
        try:
            journal.append(header)
            if fsync != "never":
                journal._sync()
                _sync_folder(path)
        except BaseException as error:
            held.close()
            os.unlink(path)
            _explain(path, error)
            raise
        return journal

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        fsync: str = "second",
        clock: Callable[[], float] = time.monotonic,
    ) -> Self:
        """Open a journal to append to it; parameters as `create`.

        The whole file is verified first; an incomplete last line is removed. `append` writes after the last
        whole line.

        Raises
        ------
        ParameterError
            If `fsync` is not one of the policies.
        JournalError
            If a line is damaged, or the first line is incomplete. The file is not changed.
        OutputError
            If the file cannot be opened for reading and writing, or another process has it open to write.

        Warns
        -----
        HbsimWarning
            If the last line was incomplete; it names the line.
        """
        _check_policy(fsync)
        path = os.fspath(path)
        held = _open(path, os.O_RDWR)
        journal = cls(path, held, fsync, clock)
        try:
            with open(held.fd, "rb", buffering=BUFFER, closefd=False) as file:
                lines = JournalLines(file, path)
                for _ in lines:
                    pass
            journal.count, journal._end = lines.count, lines.end
            if lines.cut:
                os.ftruncate(held.fd, lines.end)
            lines.warn()
        except BaseException as error:
            held.close()
            _explain(path, error)
            raise
        return journal

    def append(self, record: Mapping[str, Any]) -> int:
        """Write a record; after this returns, a crash of the process cannot lose it.

        If this raises, the record is not in the file, and the file is still valid.

        Parameters
        ----------
        record : dict
            Plain JSON types and finite numbers; ``e``, its kind, is a string. Keys are strings; tuples are
            read back as lists.

        Returns
        -------
        int
            The number of its line, from 0.

        Raises
        ------
        ParameterError
            If the record has no ``e``, has a field ``n`` or ``crc``, or a value that JSON does not have.
        OutputError
            If the record cannot be written: the disk is full or fails, or the journal is closed.
        """
        self._check_usable()
        number, end = self.count, self._end
        line = encode(number, record)
        try:
            _write(self._fd, line)
            self._dirty = True
            self.count, self._end = number + 1, end + len(line)
            if self._fsync == "always" or (
                self._fsync == "second" and self._clock() - self._synced >= SECOND
            ):
                self._sync()
        except BaseException as error:  # an interrupt as well: half a line would damage all later lines
            self._roll_back(number, end)
            _explain(self.path, error)
            raise
        return number

    def tick(self) -> None:
        """Check that the file still exists, and sync lines that are due; called a few times a second.

        With the policy "second" lines may be due for a sync while nothing is appended.

        Raises
        ------
        OutputError
            If the disk fails; the journal then takes no more records. Or if the file was removed, moved,
            replaced, or written to by others.
        """
        self.check()
        if self._dirty and self._fsync == "second" and self._clock() - self._synced >= SECOND:
            self._sync_or_explain()

    def check(self) -> None:
        """Check that the file is at its path, and as this process left it.

        Raises
        ------
        OutputError
            If not: further records would go into a removed or damaged file.
        """
        self._check_usable()
        if not is_at(self._fd, self._place):
            problem = "was removed, moved or replaced while the study ran, which ends here; where its folder "
            raise OutputError(
                self.path, f"{problem}is now, or once the file is back, the study can be resumed"
            )
        if os.fstat(self._fd).st_size != self._end:
            problem = "was changed by another program while the study ran, which ends here"
            raise OutputError(self.path, f"{problem}; look at its last lines before the study is resumed")

    @property
    def _fd(self) -> int:
        return self._held.fd

    def _sync_or_explain(self) -> None:
        self._check_usable()
        try:
            self._sync()
        except OSError as error:
            _explain(self.path, error)
            raise

    def close(self) -> None:
        """Sync all lines to disk, and close the file. May be called twice.

        Raises
        ------
        OutputError
            If the disk fails. The file is closed all the same.
        """
        if self._fd < 0:
            return
        try:
            if self._dirty and self._fsync != "never" and not self._broken:
                self._sync_or_explain()
        finally:
            self._held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _check_usable(self) -> None:
        if self._fd < 0:
            raise OutputError(self.path, "the journal is closed; open it again to append")
        if self._broken:
            raise OutputError(self.path, "the disk failed before: check it, then resume the study")

    def _sync(self) -> None:
        try:
            os.fsync(self._fd)
        except OSError:
            self._broken = True  # unwritten data is lost, and a second fsync would not report it
            raise
        self._synced = self._clock()
        self._dirty = False

    def _roll_back(self, count: int, end: int) -> None:
        self.count, self._end = count, end
        try:
            os.ftruncate(self._fd, end)
        except OSError:
            self._broken = True  # the incomplete line stays until the study is resumed


def _check_policy(fsync: str) -> None:
    if fsync not in FSYNC:
        raise ParameterError("fsync", fsync, f"has to be one of {', '.join(FSYNC)}")


def _open(path: str, flags: int) -> FileLock:
    """Open a file for appending, and lock it; child programs do not inherit it."""
    fd = -1
    try:
        fd = os.open(path, flags | os.O_APPEND | os.O_CLOEXEC, 0o666)
        return FileLock(fd)
    except BaseException as error:
        who = holder(fd) if isinstance(error, BlockingIOError) else ""
        if fd >= 0:
            os.close(fd)
        if who:
            raise OutputError(path, busy(who)) from None
        _explain(path, error)
        raise


def _write(fd: int, line: bytes) -> None:
    written = os.write(fd, line)
    while written < len(line):
        written += os.write(fd, line[written:])


def _sync_folder(path: str) -> None:
    """Sync the file's folder to disk, and with it the file's name."""
    fd = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _explain(path: str, error: BaseException) -> None:
    """Raise an OutputError with advice for an OSError; return for any other error."""
    if isinstance(error, OSError) and not isinstance(error, OutputError):
        advice = _ADVICE.get(error.errno or 0, "check the path and its permissions")
        raise OutputError(path, f"{error.strerror or error}; {advice}") from error


VERSION: Final = 1
BUFFER: Final = 1 << 20  # bytes read at once
_CRC: Final = b',"crc":"%08x"}\n'
TAIL: Final = len(_CRC % 0)
_TAIL: Final = re.compile(rb',"crc":"([0-9a-f]{8})"}\n')


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


# Only ASCII is written, for readers that split lines at U+2028 or U+0085.
_encoder: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
_decoder: Final = json.JSONDecoder(parse_constant=_no_constant)


def encode(number: int, record: Mapping[str, Any]) -> bytes:
    """Return a record as the bytes of line `number` (from 0), with the end of line.

    Raises
    ------
    ParameterError
        If ``e`` is not a string, or the record has a field ``n`` or ``crc``, or a value JSON does not have.
    """
    if "n" in record or "crc" in record:
        reserved = "n" if "n" in record else "crc"
        raise ParameterError(reserved, record[reserved], "the journal's own field; choose another name")
    if not isinstance(record.get("e"), str):
        raise ParameterError("e", record.get("e"), "has to be text: the kind of the record")
    try:
        text = _encoder.encode(record)
    except (TypeError, ValueError, RecursionError):
        raise _not_json(record) from None
    body = b'{"n":%d,%b' % (number, text[1:-1].encode("ascii"))
    return body + _CRC % crc32(body)


def _not_json(record: Mapping[str, Any]) -> ParameterError:
    """Return the error for the first field that cannot be written."""
    for key, value in record.items():
        try:
            _encoder.encode({key: value})
        except (TypeError, ValueError, RecursionError) as error:
            rule = f"has to be made of plain JSON types and finite numbers: {error}"
            return ParameterError(str(key), value, rule)
    return ParameterError("record", record, "has to be a dictionary of plain JSON types")


class JournalLines:
    """An iterator over the whole lines of a journal that verifies each line; iterate over it once.

    Yields each line as bytes without checksum and end of line. An incomplete last line is left out.

    Parameters
    ----------
    file : iterable of bytes
        The lines with their line ends, as of a binary file at its beginning.
    path : str
        Its name, for errors.

    Attributes
    ----------
    count : int
        How many whole lines were read so far.
    end : int
        Their length in bytes, where the next line begins.
    cut : int
        The length in bytes of the incomplete last line; 0 if there is none.

    Raises
    ------
    JournalError
        While iterating, at the first damaged line.
    """

    __slots__ = ("_file", "_path", "count", "cut", "end")

    def __init__(self, file: Iterable[bytes], path: str) -> None:
        self._file = file
        self._path = path
        self.count = self.end = self.cut = 0

    def __iter__(self) -> Iterator[bytes]:
        for line in self._file:
            body = line[:-TAIL]
            # The line number and the checksum must match.
            if not (line.startswith(b'{"n":%d,' % self.count) and line.endswith(_CRC % crc32(body))):
                if line.endswith(b"\n"):
                    raise self.damaged(_diagnosis(line, self.count))
                self.cut = len(line)
                break  # a writer may be about to finish it: the next read would not begin at a line
            if self.count == 0:
                self._check_header(body)
            yield body
            self.count += 1
            self.end += len(line)
        if self.count == 0:
            raise self._never_began()

    def fields(self, body: bytes) -> dict[str, Any]:
        """Return the fields of the line that was yielded last, with its number ``n``."""
        try:
            text = body.decode("ascii") + "}"
            record, end = _decoder.raw_decode(text)
        except (ValueError, RecursionError) as error:
            raise self.damaged(f"it is no JSON object ({error})") from None
        if end != len(text):
            raise self.damaged("it is no JSON object")
        if not isinstance(record.get("e"), str):
            raise self.damaged("it has no field 'e', the kind of the record")
        return record  # type: ignore[no-any-return]

    def damaged(self, problem: str) -> JournalError:
        """Return the error for the line after the last whole one."""
        if self.count == 0:
            advice = "the study cannot be resumed; is this the journal of a study?"
        else:
            command = f"truncate -s {self.end} {shlex.quote(self._path)}"
            advice = f"to go on without this line and all that follow, cut the file before it: {command}"
        return JournalError(self._path, self.count + 1, f"damaged at byte {self.end}: {problem}; {advice}")

    def odd(self, number: int, problem: str) -> JournalError:
        """Return the error for line `number` (from 0), which is whole but has invalid content."""
        text = f"{problem}; the journal was made with another version, or changed by hand"
        return JournalError(self._path, number + 1, text)

    def warn(self) -> None:
        """Warn if an incomplete last line was left out."""
        if self.cut:
            text = f"{self._path}, line {self.count + 1}: cut short after {self.cut} bytes, so it is left out"
            warnings.warn(text, HbsimWarning, stacklevel=3)

    def _never_began(self) -> JournalError:
        held = "its only line was cut short" if self.cut else "the file is empty"
        problem = f"{held}: the study never began; remove the file and start the study again"
        return JournalError(self._path, 1, problem)

    def _check_header(self, body: bytes) -> None:
        header = self.fields(body)
        version = header.get("version")
        if header["e"] != StudyStarted.tag or type(version) is not int or version < 1:
            raise self.damaged("the first line has to be of kind 'study', with a version")
        if version > VERSION:
            problem = (
                f"a journal of version {version}, and this hbsim reads up to {VERSION}: use a newer hbsim"
            )
            raise JournalError(self._path, 1, problem)


def _diagnosis(line: bytes, number: int) -> str:
    """Describe what is wrong with a damaged line."""
    if b"\0" in line:
        return "it holds NUL bytes"
    tail = _TAIL.fullmatch(line[-TAIL:])
    if tail is None:
        return "it does not end in a checksum"
    written, right = tail[1].decode("ascii"), f"{crc32(line[:-TAIL]):08x}"
    if written != right:
        return f"its checksum is {written}, that of its bytes {right}"
    return f"it has to be number {number}, and is not"


def opened(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a journal for reading.

    Raises
    ------
    OutputError
        If the file cannot be read.
    """
    try:
        return open(path, "rb", buffering=BUFFER)
    except OSError as error:
        problem = f"no journal that can be read ({error.strerror}); start the study first"
        raise OutputError(os.fspath(path), problem) from error
