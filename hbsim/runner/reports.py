"""The reports of a study as columns, read from a journal's text without an object for each report."""

from __future__ import annotations

import json
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite, nan
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    Floats = NDArray[Any]

NUMBER: Final = b"0123456789+-.eEnul"  # the characters of numbers and null
MARKS: Final = bytes(range(0x80, 0x100))  # stand for the names of metrics; the text is ASCII
EMPTY: Final = (b",,", b",\n", b"\n,")


@dataclass(frozen=True, slots=True)
class ReportColumns:
    """Reports in the order of their records.

    Attributes
    ----------
    counts : sequence of int
        How many reports each record has, in order.
    at, trained, resource : array of shape (n,)
        Study seconds, seconds of training in the job until then, and the resource.
    metrics : dict of str to array of shape (n,)
        All metrics; NaN where a value is not a number or was not reported.
    """

    counts: Sequence[int]
    at: Floats
    trained: Floats
    resource: Floats
    metrics: dict[str, Floats]

    def values(self, name: str | None) -> Floats:
        """Return the values of a metric; all NaN if it was never reported, or is None."""
        import numpy as np

        found = None if name is None else self.metrics.get(name)
        return np.full(len(self.at), nan) if found is None else found

    def frame(self, name: str | None) -> pl.DataFrame:
        """Return time, trained, resource, value (the metric `name`) and a struct of all metrics."""
        import polars as pl

        from hbsim.runner.tables import numbers

        metrics = self.metrics or {name or "value": self.values(name)}
        fields = {metric: numbers(values) for metric, values in metrics.items()}
        return pl.DataFrame(
            {
                "time": self.at,
                "trained": self.trained,
                "resource": self.resource,
                "value": numbers(self.values(name)),
                "metrics": pl.DataFrame(fields).to_struct("metrics"),
            }
        )


def from_rows(records: Sequence[Sequence[Sequence[Any]]]) -> ReportColumns:
    """Make columns from the rows of records, each with time, trained, resource and metrics."""
    import numpy as np

    rows = [row for record in records for row in record]
    numbers = np.array([row[:3] for row in rows], dtype=np.float64).reshape(-1, 3)
    names = dict.fromkeys(name for row in rows for name in row[3])
    metrics = {name: np.array([row[3].get(name) for row in rows], dtype=np.float64) for name in names}
    at, trained, resource = numbers.T
    return ReportColumns([len(record) for record in records], at, trained, resource, metrics)


def from_text(texts: Sequence[bytes]) -> ReportColumns | None:
    r"""Make columns from the text of each record's rows: all between ``[[`` and ``}]]``.

    The text between the numbers is the same in each row as long as all rows report the same metrics in the
    same order; replacing it gives a table of numbers. None if it differs, or if the text does not have the
    form that the journal writes: `from_rows` takes any JSON.
    """
    import numpy as np
    import polars as pl

    names = _names(texts[0])
    text = b"\n".join(texts)
    if not names or len(names) > len(MARKS) or not text.isascii():
        return None
    text = text.replace(b"}],[", b"\n")
    marks = MARKS[: len(names)]
    for place, name in enumerate(names):
        before = b'%b"%b":' % (b"," if place else b",{", json.dumps(name)[1:-1].encode("ascii"))
        text = text.replace(before, marks[place : place + 1])
    count = text.count(b"\n") + 1
    if text.translate(None, NUMBER) + b"\n" != (b",," + marks + b"\n") * count:
        return None
    text = text.translate(bytes.maketrans(marks, b"," * len(marks)))
    if any(gap in text for gap in EMPTY) or text.startswith(b",") or text.endswith(b","):
        return None
    width = 3 + len(names)
    schema = {str(place): pl.Float64 for place in range(width)}
    try:
        table = pl.read_csv(text, has_header=False, schema=schema, null_values="null", glob=False)
    except pl.exceptions.PolarsError:
        return None
    columns = [column.to_numpy() for column in table.fill_null(nan)]
    if len(table) != count or not all(np.isfinite(column).all() for column in columns[:3]):
        return None
    if any(np.isinf(column).any() for column in columns[3:]):
        return None
    counts = [piece.count(b"}],[") + 1 for piece in texts]
    at, trained, resource = columns[:3]
    return ReportColumns(counts, at, trained, resource, dict(zip(names, columns[3:], strict=True)))


def _names(text: bytes) -> list[str]:
    """Return the metrics of the first row; empty if the text is not simple enough."""
    begin, end = text.find(b"{"), text.find(b"}")
    try:
        return list(json.loads((text[begin:end] if end >= 0 else text[begin:]) + b"}"))
    except ValueError:
        return []


def joined(parts: Sequence[ReportColumns]) -> ReportColumns:
    """Return the reports of all parts, one after the other."""
    import numpy as np

    def column(pieces: Iterable[Floats]) -> Floats:
        return np.concatenate([np.empty(0), *pieces])

    names = dict.fromkeys(name for part in parts for name in part.metrics)
    return ReportColumns(
        [count for part in parts for count in part.counts],
        column(part.at for part in parts),
        column(part.trained for part in parts),
        column(part.resource for part in parts),
        {name: column(part.values(name) for part in parts) for name in names},
    )


class IncumbentHistory:
    """The reports that are better than all earlier ones, in the order in which they were made.

    Reports may arrive in another order: one that was made before the last replaces the later ones that are
    not better.

    Parameters
    ----------
    sign : float
        1 if more is better, else -1.
    """

    __slots__ = ("_resources", "_sign", "_signed", "_times", "_trials")

    def __init__(self, sign: float) -> None:
        self._sign = sign
        self._times = array("d")
        self._trials = array("q")
        self._resources = array("d")
        self._signed = array("d")

    def add(self, at: float, trial: int, resource: float, value: float) -> None:
        """Add a report."""
        signed, times = self._sign * value, self._times
        if not isfinite(signed):
            return
        place = bisect_right(times, at)
        if place and self._signed[place - 1] >= signed:
            return
        end = place
        while end < len(times) and self._signed[end] <= signed:
            end += 1
        self._times[place:end] = array("d", [at])
        self._trials[place:end] = array("q", [trial])
        self._resources[place:end] = array("d", [resource])
        self._signed[place:end] = array("d", [signed])

    def add_all(self, at: Floats, trial: Floats, resource: Floats, value: Floats) -> None:
        """Add several reports, in the order in which they arrived."""
        import numpy as np

        order = np.argsort(at, kind="stable")
        signed = np.where(np.isfinite(value), self._sign * value, -np.inf)[order]
        before = bisect_right(self._times, at[order[0]])
        floor = self._signed[before - 1] if before else -np.inf
        best = np.maximum.accumulate(np.concatenate([[floor], signed]))
        better = order[best[1:] > best[:-1]]
        if before < len(self._times):
            for place in better.tolist():
                self.add(float(at[place]), int(trial[place]), float(resource[place]), float(value[place]))
            return
        # The usual case: these reports were made after all others.
        pairs = ((self._times, at), (self._resources, resource), (self._signed, self._sign * value))
        for column, entries in pairs:
            column.frombytes(entries[better].astype(np.float64).tobytes())
        self._trials.frombytes(trial[better].astype(np.int64).tobytes())

    def frame(self) -> pl.DataFrame:
        """Return the reports in the order of time, with columns time, trial, resource, value."""
        import numpy as np
        import polars as pl

        return pl.DataFrame(
            {
                "time": np.array(self._times, dtype=np.float64),
                "trial": np.array(self._trials, dtype=np.int64),
                "resource": np.array(self._resources, dtype=np.float64),
                "value": self._sign * np.array(self._signed, dtype=np.float64),
            }
        )
