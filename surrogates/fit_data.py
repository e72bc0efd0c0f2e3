"""The data of a fit: recorded curves, and hyperparameters as points of a space."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from hbsim.core.space import Bool, Choice, Int, Real, Space
from hbsim.core.space.parameters import Parameter
from hbsim.errors import ParameterError, SurrogateError
from hbsim.surrogates.fit_curves import single
from hbsim.surrogates.protocol import Floats, Ints
from hbsim.surrogates.table import Table

if TYPE_CHECKING:
    import polars

ROWS: Final = 20  # the fewest rows for a regression
COMPLETE: Final = 5  # the fewest complete curves for the last level


@dataclass(frozen=True)
class FitData:
    """Recorded curves of n configurations at T levels.

    Attributes
    ----------
    source, metric : str
        The origin of the curves, and the fitted metric.
    levels : array, shape (T,)
        Ascending, above 0.
    space : Space
        The hyperparameters.
    points : array, shape (n, d)
        The configurations, in the unit cube of `space`.
    values : array, shape (n, T)
        The metric; NaN where the row had ended, or where the metric is no number.
    seconds : array, shape (n, T)
        Cumulative training seconds; NaN where unknown.
    ends : array of int, shape (n,)
        How many levels each row was recorded at.
    diverged : array of int, shape (n,)
        The first recorded level from which on a row has no numbers; T where it has numbers to its end.
    notes : tuple of str
        Remarks on how columns were treated.
    """

    source: str
    metric: str
    levels: Floats
    space: Space
    points: Floats
    values: Floats
    seconds: Floats
    ends: Ints
    diverged: Ints
    notes: tuple[str, ...]

    @property
    def complete(self) -> int:
        """The number of rows that have a value at the last level."""
        return int(np.isfinite(self.values[:, -1]).sum())

    @property
    def ended_early(self) -> int:
        """The number of rows that were not recorded at the last level."""
        return int((self.ends < len(self.levels)).sum())

    def take(self, rows: Ints) -> FitData:
        """Select rows."""
        columns = ("points", "values", "seconds", "ends", "diverged")
        return replace(self, **{name: getattr(self, name)[rows] for name in columns})


def collect(table: Table, settled: bool) -> FitData:
    """Collect the data of a fit from a table.

    Parameters
    ----------
    table : Table
        The table. Where `settled` is False, it has kept rows that end early.
    settled : bool
        Whether the user chose how to treat rows that end early. If not, values after an end are
        unknown.

    Raises
    ------
    SurrogateError
        There are too few rows, levels, complete curves, hyperparameters, or different values.
    """
    source, levels = table.source, np.array(table.resources, dtype=np.float64)
    values, seconds = table.evaluate(np.arange(len(table.ends)), levels)
    ends = np.full(len(values), len(levels)) if settled else table.ends
    known = np.arange(len(levels)) < ends[:, None]
    finite = np.isfinite(values) & known
    _refuse_too_little(source, table.metric, values, finite, levels)
    space, notes = _space(table)
    return FitData(
        source=source,
        metric=table.metric,
        levels=levels,
        space=space,
        points=encode_columns(source, space, table.configurations),
        values=np.where(finite, values, np.nan),
        seconds=np.where(known & (seconds > 0), seconds, np.nan),
        ends=ends,
        diverged=_divergence(finite, ends),
        notes=notes,
    )


def _divergence(finite: np.ndarray, ends: Ints) -> Ints:
    """Return the first level of each row's tail without numbers; T where there is no such tail."""
    count = finite.shape[1]
    last = np.where(finite.any(axis=1), count - np.argmax(finite[:, ::-1], axis=1), 0)
    return np.where(last < ends, last, count)


def _refuse_too_little(source: str, metric: str, values: Floats, finite: np.ndarray, levels: Floats) -> None:
    n = len(finite)
    rows, complete = int(finite.any(axis=1).sum()), int(finite[:, -1].sum())
    if rows < ROWS:
        problem = f"{rows} of {n} rows have a value of {metric!r}"
        raise SurrogateError(source, f"{problem}; a fit needs at least {ROWS}")
    if len(levels) < 2:
        raise SurrogateError(source, f"has one level, {levels[0]:g}; a fit needs at least two")
    if complete < COMPLETE:
        problem = f"{complete} of {n} rows have a value at the last level, {levels[-1]:g}"
        rule = f"a fit needs at least {COMPLETE} that were trained to the end: late curves are not guessed"
        raise SurrogateError(source, f"{problem}; {rule}")
    if np.ptp(single(values[finite])) == 0:
        raise SurrogateError(source, f"metric {metric!r} is the same everywhere; there is nothing to fit")


def _space(table: Table) -> tuple[Space, tuple[str, ...]]:
    space, notes = space_of(table.configurations, table.hyperparameters, table.space)
    if not space.dimension:
        why = "".join(f" ({note})" for note in notes[1:])
        raise SurrogateError(table.source, f"has no hyperparameters to fit to{why}; a column each is needed")
    return space, notes


DECADES: Final = 100.0  # a range that spans more than two decades may be logarithmic
CATEGORIES: Final = 20  # a text column with more different values has too few rows for each
UNEVEN: Final = 0.2  # distance of a column's distribution from the uniform one from which on a note says so
_LARGEST_INT: Final = 2**44


def space_of(
    columns: polars.DataFrame, names: Sequence[str], space: Space | None
) -> tuple[Space, tuple[str, ...]]:
    """Return the space of a table's rows, and notes.

    That is `space`, which the file gives, if it is not None and has these columns; else a space derived
    from the columns `names`.
    """
    if space is not None and set(space.names) <= set(columns.columns):
        return space, ()
    derived, notes = derive_space(columns, names)
    return derived, ("the space is read off the table: its ranges", *notes)


def derive_space(columns: polars.DataFrame, names: Sequence[str]) -> tuple[Space, list[str]]:
    """Derive the space of the columns `names`, and notes; columns that cannot be parameters are left out.

    Whole numbers are `Int`, other numbers `Real`, over the range of the table: logarithmic if positive,
    over more than two decades, and closer to uniform that way. Text is a `Choice` of at most 20 values.
    """
    parameters: dict[str, Parameter] = {}
    notes: list[str] = []
    for name in names:
        column = numeric(columns[name])
        parameter = _parameter(column)
        if isinstance(parameter, str):
            notes.append(f"{name} is left out: {parameter}")
            continue
        parameters[name] = parameter
        if isinstance(parameter, Int | Real) and _uneven(column, parameter) > UNEVEN:
            notes.append(f"{name} is spread evenly over its range in new configurations, not in the table")
    return Space(parameters), notes


def numeric(column: polars.Series) -> polars.Series:
    """Convert a text column of numbers only to numbers; return other columns unchanged."""
    import polars as pl

    if column.dtype != pl.String:
        return column
    numbers = column.cast(pl.Float64, strict=False)
    return numbers if numbers.null_count() == column.null_count() else column


def _parameter(column: polars.Series) -> Parameter | str:
    """Return the parameter that fits a column's values, or the reason why there is none."""
    import polars as pl

    if not (column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.String, pl.Null)):
        return f"it holds {column.dtype}, neither numbers nor text"
    values = column.to_list()
    if column.null_count() or any(value != value for value in values):
        return "it has no value in some rows"
    kinds = sorted(set(values), key=str)
    if len(kinds) < 2:
        return "it is the same in every row"
    if column.dtype == pl.Boolean:
        return Bool()
    if not column.dtype.is_numeric():
        if len(kinds) > min(CATEGORIES, len(values) // 3):
            return f"it is text with {len(kinds)} different values in {len(values)} rows"
        return Choice(kinds)
    return _number(np.array(values, dtype=np.float64))


def _number(values: Floats) -> Parameter | str:
    if not np.isfinite(values).all():
        return "it has an infinite value"
    low, high = float(values.min()), float(values.max())
    log = low > 0 and high / low > DECADES and _gap(values, low, high, True) < _gap(values, low, high, False)
    whole = bool((values == np.floor(values)).all()) and max(abs(low), abs(high)) <= _LARGEST_INT
    return Int(int(low), int(high), log) if whole else Real(low, high, log)


def _gap(values: Floats, low: float, high: float, log: bool) -> float:
    """Return the largest distance between the distribution of values and the uniform one (Kolmogorov)."""
    places = np.log(values / low) / np.log(high / low) if log else (values - low) / (high - low)
    even = (np.arange(len(values)) + 0.5) / len(values)
    return float(np.abs(np.sort(places) - even).max())


def _uneven(column: polars.Series, parameter: Int | Real) -> float:
    values = np.array(column.to_list(), dtype=np.float64)
    return _gap(values, float(parameter.low), float(parameter.high), parameter.log)


def encode_columns(source: str, space: Space, columns: polars.DataFrame) -> Floats:
    """Return the rows of a table as points of the unit cube, shape (n, d).

    Raises
    ------
    SurrogateError
        A value is none of its parameter's.
    """
    fitting = {name: _fitting(numeric(columns[name]).to_list(), p) for name, p in space.parameters.items()}
    try:
        return space.encode(fitting)
    except ParameterError as error:
        raise SurrogateError(source, f"column {error.field!r} does not fit its space: {error}") from None


def _fitting(values: list[object], parameter: Parameter) -> list[object]:
    """Convert values from a file, where they may be rounded or text, to values of the parameter.

    None stays None where the parameter may be inactive.
    """
    if parameter.conditions:
        places = [place for place, value in enumerate(values) if value is not None]
        found = _fitting([values[place] for place in places], parameter.under({}))
        by_place = dict(zip(places, found, strict=True))
        return [by_place.get(place) for place in range(len(values))]
    if isinstance(parameter, Int | Real):
        low, high = parameter.low, parameter.high
        return [min(max(v, low), high) if isinstance(v, int | float) and v == v else v for v in values]
    if isinstance(parameter, Choice):
        known: set[Hashable] = set(parameter.choices)
        by_text = {str(choice): choice for choice in parameter.choices}
        return [v if v in known else by_text.get(str(v), v) for v in values]
    return values


def snap(space: Space, points: Floats) -> Floats:
    """Move the coordinates of whole numbers and choices to the centre of their interval in [0, 1].

    Points that stand for the same configuration become equal, and centres do not move.
    """
    points = space.settled(points)
    snapped = np.array(points)
    for place, (name, parameter) in enumerate(space.parameters.items()):
        if not isinstance(parameter, Real):
            column = np.ascontiguousarray(points[:, place])
            snapped[:, place] = parameter.encode(parameter.decode(column), name)
    return snapped


def features(space: Space, points: Floats) -> Floats:
    """Return features of points (n, d) for a regression: coordinates, and 0 or 1 for each of many choices."""
    columns: list[Floats] = []
    for place, parameter in enumerate(space.parameters.values()):
        column = points[:, place]
        if isinstance(parameter, Choice) and len(parameter.choices) > 2:
            count = len(parameter.choices)
            chosen = np.minimum((column * count).astype(np.int64), count - 1)
            columns.extend((chosen == choice).astype(np.float64) for choice in range(count))
        else:
            columns.append(column)
    return np.stack(columns, axis=1)
