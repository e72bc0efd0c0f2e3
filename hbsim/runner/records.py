"""The records of a real study: the fields of each kind, and their reading from the journal."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from hbsim.core.types import FAILURE_KINDS, VERDICTS
from hbsim.runner.journal import JournalLines, opened
from hbsim.runner.reports import ReportColumns, from_rows, from_text, joined

if TYPE_CHECKING:
    from pydantic_core import SchemaValidator

__all__ = ["Record", "read_records", "read_reports"]

Record: TypeAlias = Mapping[str, Any]  # of a journal; JSON has no narrower type

MOST: Final = 2**31  # columns have 32 bits
ATTEMPTS: Final = 2**16
MANY: Final = 1 << 12  # bytes from which on it is worth reading reports as columns
BLOCK: Final = 1 << 22  # bytes of reports that are read at once

_JSON_NUMBER: Final = rb"-?\d{1,20}(?:\.\d+)?(?:[eE][+-]?\d\d?)?"
# The text of a record with reports, up to its first row.
_HEAD: Final = re.compile(
    rb'\{"n":(?P<n>\d{1,15}),"e":"(?P<e>rows|reach)","t":(?P<t>%b),"job":(?P<job>\d{1,9}),"rows":\[\['
    % _JSON_NUMBER
)
_FOOT: Final = b"}]]"
_REACHED: Final = b'}]],"at":'


@cache
def _validator() -> SchemaValidator:
    """Return a validator that parses a line, with the fields and types of each kind of record.

    It drops other fields.
    """
    from pydantic_core import SchemaValidator
    from pydantic_core import core_schema as cs

    number = cs.float_schema(strict=True, allow_inf_nan=False)
    index = cs.int_schema(strict=True, ge=0, lt=MOST)
    attempt = cs.int_schema(strict=True, ge=0, lt=ATTEMPTS)
    text = cs.str_schema(strict=True)
    anything = cs.any_schema()

    def or_null(schema: cs.CoreSchema) -> cs.CoreSchema:
        return cs.nullable_schema(schema)

    def record(optional: Mapping[str, cs.CoreSchema] | None = None, /, **fields: cs.CoreSchema) -> Any:
        needed = {
            name: cs.typed_dict_field(schema) for name, schema in {"n": anything, "e": text, **fields}.items()
        }
        others = {
            name: cs.typed_dict_field(schema, required=False) for name, schema in (optional or {}).items()
        }
        return cs.typed_dict_schema(
            {"e": cs.typed_dict_field(text), **needed, **others}, extra_behavior="ignore"
        )

    metrics = cs.dict_schema(text, or_null(number), strict=True)
    rows = cs.list_schema(cs.tuple_schema([number, number, number, metrics]))
    timed: dict[str, cs.CoreSchema] = {"t": number}
    begun: dict[str, cs.CoreSchema] = {
        **timed,
        "worker": index,
        "job": index,
        "trial": index,
        "bracket": index,
        "attempt": attempt,
    }
    begun |= {"start": number, "stop": or_null(number)}
    unit = cs.float_schema(strict=True, ge=0.0, le=1.0)
    verdict = cs.literal_schema([verdict.value for verdict in VERDICTS])
    whole = or_null(cs.int_schema(strict=True))
    kinds = {
        "study": record(version=index, spec=cs.dict_schema(text, anything)),
        "start": record({"point": cs.list_schema(unit)}, **begun),
        "restart": record({"was": whole}, **begun),
        "rows": record(job=index, rows=rows, **timed),
        "reach": record(job=index, rows=rows, at=index, value=or_null(number), verdict=verdict, **timed),
        "fail": record(
            job=index,
            resource=number,
            kind=cs.literal_schema(list(FAILURE_KINDS)),
            reason=text,
            verdict=verdict,
            **timed,
        ),
        "return": record(job=index, **timed),
        "gone": record(
            job=index, begun=or_null(number), seconds=cs.dict_schema(text, number, strict=True), **timed
        ),
        "late": record(job=index, count=index, **timed),
        "missing": record(job=index, count=index, **timed),
        "open": record(worker=index, host=text, cpus=anything, gpus=anything, **timed),
        "shut": record(worker=index, reason=text, **timed),
        "none": record(worker=index, **timed),
        "resume": record({"trials": index}, **timed),
        "close": record(why=text, **timed),
    }
    return SchemaValidator(cs.tagged_union_schema(kinds, discriminator="e"))


# An unpaired surrogate, as in names of files that are not Unicode. It is read as its escape.
_ESCAPES: Final = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)


def _whole(escape: re.Match[bytes]) -> bytes:
    return escape[0] if escape["half"] is None else b"\\" + escape[0]


LONGEST: Final = 80  # characters of a value that are shown


def _read(lines: JournalLines, body: bytes) -> Record:
    """Return the record of a line; raise a JournalError if it is not valid."""
    from pydantic_core import ValidationError

    try:
        found: Record = _validator().validate_json(_ESCAPES.sub(_whole, body) + b"}")
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        shown = repr(first["input"]) if len(first["loc"]) > 1 else ""
        shown = shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}..."
        field = ".".join(map(str, first["loc"][1:]))
        problem = f"{field}={shown}: {first['msg']}" if field else first["msg"]
        raise lines.odd(int(body[5 : body.index(b",")]), problem) from None
    return found


def read_records(path: str | os.PathLike[str], together: bool = False) -> Iterator[Record]:
    """Read the records of a study's journal, without changing the file.

    Parameters
    ----------
    path : str or path
        The file. Another process may write to it at the same time.
    together : bool
        Whether many reports may come as columns. Successive records that only hold reports then become one
        of kind ``rows``: its ``t`` is that of the last, ``reports`` has the `ReportColumns`, and ``jobs`` has
        the job of each record. Other records may have `ReportColumns` as their ``rows``.

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
        waiting = _Waiting(lines)
        for body in lines:
            if not together:
                yield _read(lines, body)
                continue
            match = _HEAD.match(body)
            is_kept = match is not None and match["e"] == b"rows" and waiting.add(match)
            if not is_kept or waiting.full:
                yield from waiting.taken()
            if not is_kept:
                yield _read(lines, body) if match is None else _with_columns(lines, match)
        yield from waiting.taken()
    lines.warn()


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
            record = _read(lines, body)
            if "trial" in record:
                trials[record["job"]] = record["trial"]
            if record.get("rows"):
                parts.append(from_rows([record["rows"]]))
                jobs.append(record["job"])
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


def _with_columns(lines: JournalLines, match: re.Match[bytes]) -> Record:
    """Return a record, with its reports as columns if they are many."""
    body, rows = match.string, _rows_of(match)
    reports = from_text([rows]) if len(rows) >= MANY else None
    if reports is None:
        return _read(lines, body)
    begin = match.end() - len(b"[[")
    short = body[:begin] + b"[]" + body[match.end() + len(rows) + len(_FOOT) :]
    return {**_read(lines, short), "rows": reports}


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
                yield from (_read(self._lines, head.string) for head in heads)
                continue
            number, time = int(heads[0]["n"]), float(heads[-1]["t"])
            jobs = [int(head["job"]) for head in heads]
            yield {"n": number, "e": "rows", "t": time, "jobs": jobs, "reports": reports}
        self._clear()

    def reports(self, jobs: list[int]) -> Iterator[ReportColumns]:
        """Empty the buffer and yield its reports; append the job of each record to `jobs`."""
        jobs += [int(head["job"]) for head in self._heads]
        for begin, end, reports in self._parts(0, len(self._heads)):
            heads = self._heads[begin:end]
            yield reports or from_rows([_read(self._lines, head.string)["rows"] for head in heads])
        self._clear()
