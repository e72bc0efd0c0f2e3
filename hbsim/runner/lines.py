"""The lines of a journal: one JSON object each, numbered, with a checksum. See `hbsim.runner.journal`."""

from __future__ import annotations

import json
import os
import re
import shlex
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO, Final, TypeAlias
from zlib import crc32

from hbsim.errors import HbsimWarning, JournalError, OutputError, ParameterError

__all__ = ["VERSION", "Lines", "Record", "encode", "opened", "read_journal"]

Record: TypeAlias = dict[str, Any]

VERSION: Final = 1
BUFFER: Final = 1 << 20  # bytes read at once
_CRC: Final = b',"crc":"%08x"}\n'
TAIL: Final = len(_CRC % 0)
_TAIL: Final = re.compile(rb',"crc":"([0-9a-f]{8})"}\n')


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


# Only ASCII is written: no reader that splits lines at U+2028 or U+0085 is misled.
_encoder: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
_decoder: Final = json.JSONDecoder(parse_constant=_no_constant)


def encode(number: int, record: Mapping[str, Any]) -> bytes:
    """Return a record as line `number` (from 0), its end of line included.

    Raises
    ------
    ParameterError
        Without an ``e`` that is text, with a field ``n`` or ``crc``, or with a value JSON does not have.
    """
    for reserved in ("n", "crc"):
        if reserved in record:
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
    """Find the first field that cannot be written."""
    for key, value in record.items():
        try:
            _encoder.encode({key: value})
        except (TypeError, ValueError, RecursionError) as error:
            rule = f"has to be made of plain JSON types and finite numbers: {error}"
            return ParameterError(str(key), value, rule)
    return ParameterError("record", record, "has to be a dictionary of plain JSON types")


class Lines:
    """The whole lines of a journal, verified one after the other; iterate over it once.

    Yields each line as bytes without its checksum and its end. A last line that has no end is left out.

    Parameters
    ----------
    file : iterable of bytes
        The lines with their ends, as of a binary file at its beginning.
    path : str
        Its name, for errors.

    Attributes
    ----------
    count : int
        Whole lines so far.
    end : int
        Bytes they take; the next line begins there.
    cut : int
        Bytes of the last line that was left out; 0 if there is none.

    Raises
    ------
    JournalError
        While iterating, at the first line that is not whole.
    """

    __slots__ = ("_file", "_path", "count", "cut", "end")

    def __init__(self, file: Iterable[bytes], path: str) -> None:
        self._file = file
        self._path = path
        self.count = self.end = self.cut = 0

    def __iter__(self) -> Iterator[bytes]:
        for line in self._file:
            body = line[:-TAIL]
            # The number and the checksum are what they have to be.
            if not (line.startswith(b'{"n":%d,' % self.count) and line.endswith(_CRC % crc32(body))):
                if line.endswith(b"\n"):
                    raise self.damaged(_diagnosis(line, self.count))
                self.cut = len(line)
                break  # a writer may be about to finish it: what can be read next is not a line
            if self.count == 0:
                self._check_header(body)
            yield body
            self.count += 1
            self.end += len(line)
        if self.count == 0:
            raise self._never_began()

    def record(self, body: bytes) -> Record:
        """Return the record of the line that was yielded last, with its number ``n``."""
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
        """Return the error for the line that follows the whole ones."""
        if self.count == 0:
            advice = "the study cannot be resumed; is this the journal of a study?"
        else:
            command = f"truncate -s {self.end} {shlex.quote(self._path)}"
            advice = f"to go on without this line and all that follow, cut the file before it: {command}"
        return JournalError(self._path, self.count + 1, f"damaged at byte {self.end}: {problem}; {advice}")

    def odd(self, number: int, problem: str) -> JournalError:
        """Return the error for line `number` (from 0), which is whole and says what cannot be."""
        text = f"{problem}; the journal was made with another version, or changed by hand"
        return JournalError(self._path, number + 1, text)

    def warn(self) -> None:
        """Warn if a last line was left out."""
        if self.cut:
            text = f"{self._path}, line {self.count + 1}: cut short after {self.cut} bytes, so it is left out"
            warnings.warn(text, HbsimWarning, stacklevel=3)

    def _never_began(self) -> JournalError:
        held = "its only line was cut short" if self.cut else "the file is empty"
        problem = f"{held}: the study never began; remove the file and start the study again"
        return JournalError(self._path, 1, problem)

    def _check_header(self, body: bytes) -> None:
        header = self.record(body)
        version = header.get("version")
        if header["e"] != "study" or type(version) is not int or version < 1:
            raise self.damaged("the first line has to be of kind 'study', with a version")
        if version > VERSION:
            problem = (
                f"a journal of version {version}, and this hbsim reads up to {VERSION}: use a newer hbsim"
            )
            raise JournalError(self._path, 1, problem)


def _diagnosis(line: bytes, number: int) -> str:
    """Say what is wrong with a line that ends, but is not whole."""
    if b"\0" in line:
        return "it holds NUL bytes"
    tail = _TAIL.fullmatch(line[-TAIL:])
    if tail is None:
        return "it does not end in a checksum"
    written, right = tail[1].decode("ascii"), f"{crc32(line[:-TAIL]):08x}"
    if written != right:
        return f"its checksum is {written}, that of its bytes {right}"
    return f"it has to be number {number}, and is not"


def read_journal(path: str | os.PathLike[str]) -> Iterator[Record]:
    """Read a journal without changing it, one record after the other.

    Parameters
    ----------
    path : str or path
        The file. It may be written to meanwhile.

    Yields
    ------
    dict
        A record as it was appended, with its line number ``n`` from 0. The first is the study's, with
        ``version`` and ``spec``.

    Raises
    ------
    JournalError
        At the first line that is not whole, and for a study that never began.
    OutputError
        If the file cannot be read.

    Warns
    -----
    HbsimWarning
        If the last line was cut short; it is left out.
    """
    with opened(path) as file:
        lines = Lines(file, os.fspath(path))
        for body in lines:
            yield lines.record(body)
    lines.warn()


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
