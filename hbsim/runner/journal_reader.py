"""The reader of a study's journal: its records one by one, or with many reports at once as columns."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Final

from hbsim.runner.journal import JournalLines, opened
from hbsim.runner.records import (
    JobBegun,
    JobReports,
    Record,
    ReportBatch,
    StudyStarted,
    line_validator,
)
from hbsim.runner.reports import ReportColumns, from_rows, from_text, joined

MANY: Final = 1 << 12  # bytes from which on it is worth reading reports as columns
BLOCK: Final = 1 << 22  # bytes of reports that are read at once

_JSON_NUMBER: Final = rb"-?\d{1,20}(?:\.\d+)?(?:[eE][+-]?\d\d?)?"
# The text of a record with reports, up to its first row.
_HEAD: Final = re.compile(
    rb'\{"n":\d{1,15},"e":"(?P<e>rows|reach)","t":(?P<t>%b),"job":(?P<job>\d{1,9}),"rows":\[\[' % _JSON_NUMBER
)
_FOOT: Final = b"}]]"
_REACHED: Final = b'}]],"at":'

# An unpaired surrogate, as in names of files that are not Unicode. It is read as its escape.
_ESCAPES: Final = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)


def _whole(escape: re.Match[bytes]) -> bytes:
    return escape[0] if escape["half"] is None else b"\\" + escape[0]


LONGEST: Final = 80  # characters of a value that are shown


def parse_record(lines: JournalLines, body: bytes) -> Record:
    """Return the record of a line; raise a JournalError if it is not valid."""
    from pydantic_core import ValidationError

    text = _ESCAPES.sub(_whole, body) if b"\\" in body else body
    try:
        found: Record = line_validator().validate_json(text + b"}")
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        shown = repr(first["input"]) if len(first["loc"]) > 1 else ""
        shown = shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}..."
        field = ".".join(map(str, first["loc"][1:]))
        problem = f"{field}={shown}: {first['msg']}" if field else first["msg"]
        raise lines.odd(int(body[5 : body.index(b",")]), problem) from None
    return found


def read_start(path: str | os.PathLike[str]) -> StudyStarted:
    """Read the first record of a study's journal; errors are those of `read_records`."""
    return start_of(read_records(path))


def start_of(records: Iterator[Record]) -> StudyStarted:
    """Take the first record of a journal from its records."""
    first = next(records)
    assert isinstance(first, StudyStarted)  # `JournalLines` has checked it
    return first


def read_records(path: str | os.PathLike[str], together: bool = False) -> Iterator[Record]:
    """Read the records of a study's journal, without changing the file.

    Parameters
    ----------
    path : str or path
        The file. Another process may write to it at the same time.
    together : bool
        Whether many reports may come as columns: a `ReportBatch` then stands for successive records that
        only hold reports, and for the reports of a milestone, whose record follows without them.

    Raises
    ------
    JournalError
        At the first damaged line, or with an invalid record; or if the first line is incomplete.
    OutputError
        If the file cannot be read.

    Warns
    -----
    HbsimWarning
        If the last line is incomplete; it is left out.
    """
    with opened(path) as file:
        lines = JournalLines(file, os.fspath(path))
        yield from parse_records(lines, together)
    lines.warn()


def parse_records(lines: JournalLines, together: bool = False) -> Iterator[Record]:
    """Return the records of a journal's lines, as `read_records` does."""
    waiting = _Waiting(lines)
    for body in lines:
        if not together:
            yield parse_record(lines, body)
            continue
        match = _HEAD.match(body)
        is_kept = match is not None and match["e"] == b"rows" and waiting.add(match)
        if not is_kept or waiting.full:
            yield from waiting.taken()
        if not is_kept:
            yield from [parse_record(lines, body)] if match is None else _with_columns(lines, match)
    yield from waiting.taken()


def read_reports(path: str | os.PathLike[str]) -> tuple[ReportColumns, list[int], list[int]]:
    """Return all reports of a journal, and the job and the trial of each record with reports.

    Errors and warnings are those of `read_records`.
    """
    trials: dict[int, int] = {}
    jobs: list[int] = []
    parts: list[ReportColumns] = []
    with opened(path) as file:
        lines = JournalLines(file, os.fspath(path))
        waiting = _Waiting(lines)
        for body in lines:
            match = _HEAD.match(body)
            is_kept = match is not None and waiting.add(match)
            if not is_kept or waiting.full:
                parts += waiting.reports(jobs)
            if is_kept:
                continue
            record = parse_record(lines, body)
            if isinstance(record, JobBegun):
                trials[record.job] = record.trial
            elif isinstance(record, JobReports) and record.rows:
                parts.append(from_rows([record.rows]))
                jobs.append(record.job)
        parts += waiting.reports(jobs)
    lines.warn()
    return joined(parts), jobs, [trials[job] for job in jobs]


def _rows_of(match: re.Match[bytes]) -> bytes:
    """Return the text of a record's rows without the outer brackets; empty if it has another form."""
    body = match.string
    if match["e"] == b"rows":
        return body[match.end() : -3] if body.endswith(_FOOT) else b""
    end = body.rfind(_REACHED, match.end())
    return body[match.end() : end] if end >= 0 else b""


def _with_columns(lines: JournalLines, match: re.Match[bytes]) -> list[Record]:
    """Return a record, after its reports as columns if they are many."""
    body, rows = match.string, _rows_of(match)
    reports = from_text([rows]) if len(rows) >= MANY else None
    if reports is None:
        return [parse_record(lines, body)]
    begin = match.end() - len(b"[[")
    short = body[:begin] + b"[]" + body[match.end() + len(rows) + len(_FOOT) :]
    record = parse_record(lines, short)
    return [ReportBatch(time=record.time, jobs=[int(match["job"])], reports=reports, lines=0), record]


class _Waiting:
    """A buffer of lines with reports, so that many reports are read at once."""

    def __init__(self, lines: JournalLines) -> None:
        self._lines = lines
        self._clear()

    def _clear(self) -> None:
        self._heads: list[re.Match[bytes]] = []
        self._texts: list[bytes] = []
        self._size = 0

    def add(self, match: re.Match[bytes]) -> bool:
        """Add a line if it has the form that the journal writes; return whether it has."""
        text = _rows_of(match)
        if not text:
            return False
        self._heads.append(match)
        self._texts.append(text)
        self._size += len(text)
        return True

    @property
    def full(self) -> bool:
        """Whether the buffer is full and should be emptied."""
        return self._size >= BLOCK

    def _parts(self, begin: int, end: int) -> Iterator[tuple[int, int, ReportColumns | None]]:
        """Divide the lines into parts that can be read as columns, and others, whose reports are None."""
        texts = self._texts[begin:end]
        are_many = sum(map(len, texts)) >= MANY
        reports = from_text(texts) if are_many else None
        if reports is None and are_many and len(texts) > 1:
            middle = (begin + end) // 2
            yield from self._parts(begin, middle)
            yield from self._parts(middle, end)
        elif texts:
            yield begin, end, reports

    def taken(self) -> Iterator[Record]:
        """Empty the buffer, as few merged records if the reports are many."""
        for begin, end, reports in self._parts(0, len(self._heads)):
            heads = self._heads[begin:end]
            if reports is None:
                yield from (parse_record(self._lines, head.string) for head in heads)
                continue
            time, jobs = float(heads[-1]["t"]), [int(head["job"]) for head in heads]
            yield ReportBatch(time=time, jobs=jobs, reports=reports, lines=len(heads))
        self._clear()

    def reports(self, jobs: list[int]) -> Iterator[ReportColumns]:
        """Empty the buffer and yield its reports; append the job of each record to `jobs`."""
        jobs += [int(head["job"]) for head in self._heads]
        for begin, end, reports in self._parts(0, len(self._heads)):
            heads = self._heads[begin:end]
            if reports is None:
                records = [parse_record(self._lines, head.string) for head in heads]
                reports = from_rows([r.rows for r in records if isinstance(r, JobReports)])
            yield reports
        self._clear()
