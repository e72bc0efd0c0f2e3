"""Availability traces: CSV files of when each worker was available, and the absences in them."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

from hbsim.errors import ParameterError, nearest

if TYPE_CHECKING:
    from _csv import Reader


class Absence(NamedTuple):
    """From when to when a machine is not there.

    Attributes
    ----------
    start, end : float
        Simulated seconds. They may be equal: what ran is lost all the same. The end may be infinite.
    preempted : bool
        Whether it is taken away (else it breaks).
    notice : float
        How many seconds before `start` its workers get notice; the machine is available until then.
    """

    start: float
    end: float
    preempted: bool
    notice: float = 0.0


def joined(absences: Iterable[Absence]) -> Iterator[Absence]:
    """Make one of absences that overlap or touch, of the kind of the first; they come by their starts."""
    rest = iter(absences)
    whole = next(rest, None)
    if whole is None:
        return
    start, end, preempted, _ = whole
    for absence in rest:
        if end == inf:
            break
        if absence.start > end:
            yield Absence(start, end, preempted)
            start, end, preempted, _ = absence
        elif absence.end > end:
            end = absence.end
    yield Absence(start, end, preempted)


COLUMNS: Final = ("worker", "start", "end", "state")
UP, DOWN = "up", "down"
STATES: Final = (UP, "queued", "preempted", DOWN)


@dataclass(frozen=True)
class Trace:
    """When the workers of a recorded cluster were not there.

    Attributes
    ----------
    source : str
        The file; does not count where two are compared.
    workers : tuple of str
        Their names, in the order of the file.
    absences : tuple of tuple of Absence
        Of each worker: ascending, apart from each other, without notice.
    """

    source: str = field(compare=False)
    workers: tuple[str, ...]
    absences: tuple[tuple[Absence, ...], ...]


class _Row(NamedTuple):
    """A line of the file; rows sort by their times, then by their lines."""

    start: float
    end: float
    line: int
    state: str


def read_trace(path: str | os.PathLike[str]) -> Trace:
    """Read a recorded cluster.

    The columns are worker, start, end and state: up, queued, preempted or down. An empty end is for ever.

    Raises
    ------
    ParameterError
        The file cannot be used (field ``trace``); names the line, its field and the rule.
    """
    source = os.fspath(path)
    rows: dict[str, list[_Row]] = {}
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            _read(source, csv.reader(file, strict=True), rows)
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ParameterError("trace", source, f"cannot be read as CSV: {reason}") from error
    for name, of_worker in rows.items():
        of_worker.sort()
        _refuse_overlap(source, name, of_worker)
    if not any(row.state == UP and row.end > row.start for each in rows.values() for row in each):
        _refuse(source, "no worker is ever up")
    return Trace(source, tuple(rows), tuple(tuple(joined(_absences(each))) for each in rows.values()))


def _read(source: str, lines: Reader, rows: dict[str, list[_Row]]) -> None:
    places = _header(source, [cell.strip() for cell in next(lines, [])])
    for cells in lines:
        if not cells:
            continue
        if len(cells) != len(COLUMNS):
            problem = f"has {len(cells)} cells, must have {len(COLUMNS)}"
            _refuse(source, f"line {lines.line_num}: {problem}")
        name, *rest = (cells[place].strip() for place in places)
        if not name:
            _refuse(source, f"line {lines.line_num}: worker must not be empty")
        rows.setdefault(name, []).append(_row(source, lines.line_num, *rest))
    if not rows:
        _refuse(source, "has no row")


def _row(source: str, line: int, start: str, end: str, state: str) -> _Row:
    if state not in STATES:
        rule = f"must be one of {', '.join(STATES)}.{nearest(state, STATES)}"
        _refuse(source, f"line {line}: state={state!r} {rule}")
    starts = _seconds(source, line, "start", start)
    ends = _seconds(source, line, "end", end) if end else math.inf
    if ends < starts:
        _refuse(source, f"line {line}: end={end} must not be before start={start}")
    return _Row(starts, ends, line, state)


def _header(source: str, names: Sequence[str]) -> list[int]:
    """Return the places of the columns."""
    form = f"the columns must be {', '.join(COLUMNS)}"
    for name in names:
        if name not in COLUMNS:
            _refuse(source, f"line 1: {name!r} is no column: {form}.{nearest(name, COLUMNS)}")
        if names.count(name) > 1:
            _refuse(source, f"line 1: {name!r} is there twice: {form}")
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        _refuse(source, f"line 1: has no {', '.join(missing)}: {form}")
    return [names.index(name) for name in COLUMNS]


def _seconds(source: str, line: int, name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0.0 <= number < math.inf:
        _refuse(source, f"line {line}: {name}={text!r} must be a number of seconds, 0 or more")
    return number


def _refuse_overlap(source: str, name: str, rows: Sequence[_Row]) -> None:
    for before, after in pairwise(rows):
        if after.start < before.end:
            _refuse(source, f"lines {before.line} and {after.line}: overlap, both of worker {name!r}")


def _absences(rows: Iterable[_Row]) -> Iterator[Absence]:
    """Yield when a worker is not there, from its rows in order; gaps count as preempted."""
    until = 0.0  # where the row before ended
    for row in rows:
        if row.start > until:
            yield Absence(until, row.start, True)
        if row.state != UP:
            yield Absence(row.start, row.end, row.state != DOWN)
        until = row.end
    if until < math.inf:
        yield Absence(until, math.inf, True)


def _refuse(source: str, problem: str) -> NoReturn:
    raise ParameterError("trace", source, problem)
