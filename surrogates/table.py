"""A table of recorded learning curves as a surrogate: each configuration is a row.

It also completes rows that end before the last level, and their clocks.
"""

from __future__ import annotations

import os
import warnings
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from hbsim.core.space import Space
from hbsim.core.types import Mode
from hbsim.errors import HbsimWarning, ParameterError, SurrogateError
from hbsim.surrogates.options import CENSORED, Censored, check_choice, check_number, check_texts
from hbsim.surrogates.protocol import Floats, Ints, SurrogateBase, check_rows, level_places

if TYPE_CHECKING:
    import polars

    from hbsim.surrogates.table_files import RecordedCurves

SUFFIXES: Final = (".npz", ".csv", ".parquet")
SHIPPED: Final = ("boosting", "chars", "digits", "sgd")  # tables that ship with hbsim, as NAME.parquet
_VALIDATION: Final = ("val_", "valid_", "validation_")


class Table(SurrogateBase):
    """Learning curves that were recorded, one row a configuration; made by `Table.load`.

    Parameters
    ----------
    recorded : RecordedCurves
        The content of a file.
    metric, mode, time, seconds_per_unit, censored, test_metric
        As in `load`.

    Attributes
    ----------
    source : str
        The file.
    configurations : polars.DataFrame
        A row for each configuration: its name in the file, its hyperparameters, and further columns.
    censored_rows : int
        How many rows end before the last level and were kept.
    excluded_rows : int
        How many rows that end early were left out.
    censored : str or None
        The treatment of rows that end early, as in `load`.
    hyperparameters : tuple of str
        Which columns of `configurations` are hyperparameters.
    ends : array of int, shape (rows,)
        How many levels each row was recorded at: all, or those before its early end.
    """

    def __init__(
        self,
        recorded: RecordedCurves,
        *,
        metric: str | None = None,
        mode: Mode | None = None,
        time: str | None = None,
        seconds_per_unit: float | None = None,
        censored: Censored | None = None,
        test_metric: str | None = None,
    ) -> None:
        self.source = recorded.source
        self.name = Path(self.source).name
        self.metric = _metric(recorded, metric)
        # The file's mode and test metric apply to its own metric only.
        metadata = recorded.metadata if recorded.metadata.get("metric") == self.metric else {}
        self.mode: Mode = _mode(recorded.source, mode or metadata.get("mode"))
        if metadata.get("mode", self.mode) != self.mode:
            text = f"{self.metric} is taken with mode={self.mode!r}, and the file says {metadata['mode']!r}"
            warnings.warn(HbsimWarning(text), stacklevel=3)
        raw = recorded.column("metric", self.metric)
        seconds = _seconds(recorded, time, seconds_per_unit)
        ends = ends_of(raw, seconds)
        keep = settle_rows(recorded.source, ends, len(recorded.levels), censored)
        if seconds is None:
            seconds = np.tile((seconds_per_unit or 0.0) * recorded.levels, (len(raw), 1))
        settled = settle_time(recorded.source, seconds, recorded.levels)
        self._seconds = stop_time(settled, ends, censored)[keep]
        self._values = settle_values(raw, ends, censored)[keep]
        if not np.isfinite(self._values).any():
            raise SurrogateError(recorded.source, f"metric {self.metric!r} has no finite value")
        tests = _tests(recorded, self.metric, test_metric or metadata.get("test_metric"))
        self._tests = None if tests is None else settle_values(tests, ends, censored)[keep]
        self._levels = recorded.levels
        self.ends: Ints = ends[keep]
        self.censored_rows = int((self.ends < len(recorded.levels)).sum())
        self.excluded_rows = len(ends) - len(keep)
        self.censored = censored
        self.configurations: polars.DataFrame = recorded.configurations[keep]
        self.resources = tuple(recorded.levels.tolist())
        self.max_resource = float(recorded.levels[-1])
        self.rows = len(keep)
        self.space = recorded.space
        self.hyperparameters = recorded.hyperparameters

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        metric: str | None = None,
        mode: Mode | None = None,
        time: str | None = None,
        seconds_per_unit: float | None = None,
        censored: Censored | None = None,
        test_metric: str | None = None,
        first_level: int | None = None,
    ) -> Table:
        """Read a table of recorded curves; `docs/reference/surrogates.md` describes the formats.

        Parameters
        ----------
        path : path
            A ``.npz``, ``.csv`` or ``.parquet`` file.
        metric : str, optional
            The metric that decides. Needed unless the file says it, or has only one.
        mode : "max" or "min", optional
            Whether it is maximised. Needed unless the file says it.
        time : str, optional
            The column of cumulative seconds. Unless given, the one that the file names, or else ``t`` in .npz
            and ``seconds`` elsewhere.
        seconds_per_unit : float, optional
            Seconds that a unit of the resource takes, in every row, in place of recorded time. Needed
            where there is no column of time.
        censored : "fail", "exclude", "extrapolate" or "final", optional
            The treatment of rows that end before the last level; needed where there are any. "fail":
            the run failed there, its metric is NaN from then on. "exclude": the rows are left out.
            "extrapolate": their last value stays. Time goes on at the row's mean seconds per unit.
            "final": the run ended as planned; its last value stays, and no more time passes.
        test_metric : str, optional
            The held-out metric. Unless given, the one called ``test_...`` where the metric is
            ``val_...``, ``valid_...`` or ``validation_...``, if there is one.
        first_level : int, optional
            For .npz without `levels`: the level of the first column, 0 or 1 (unless given, 1). Level
            0 is the untrained state and is left out.

        Raises
        ------
        ParameterError
            An option is missing or breaks its rule.
        SurrogateError
            The file cannot be read or used; the error says why.

        Warns
        -----
        HbsimWarning
            A recorded clock jumps: the row, the step and the factor.
        """
        path = Path(path)
        if path.suffix not in SUFFIXES:
            raise ParameterError("surrogate", str(path), f"must end in {', '.join(SUFFIXES)}")
        if mode is not None:
            check_choice("mode", mode, ("max", "min"))
        check_texts({"metric": metric, "time": time, "test_metric": test_metric})
        if first_level is not None:
            check_number("first_level", first_level, low=0, whole=True)
        if not os.path.isfile(path):  # also of a name that is none
            raise SurrogateError(str(path), "no such file")
        recorded = _read(path, metric, test_metric, time, first_level).trained()
        table = cls(
            recorded,
            metric=metric,
            mode=mode,
            time=time,
            seconds_per_unit=seconds_per_unit,
            censored=censored,
            test_metric=test_metric,
        )
        seconds = _seconds(recorded, time, seconds_per_unit)
        if seconds is not None and (jump := clock_jump(seconds, recorded.levels)):
            warnings.warn(HbsimWarning(f"{path}: {jump}"), stacklevel=2)
        return table

    @cached_property
    def points(self) -> Floats | None:
        """The rows as points of the unit cube of `space`, shape (rows, d); None where there is no space.

        Computed on first access; raises a SurrogateError for a value outside the space.
        """
        return row_points(self.source, self.configurations, self.space)

    def evaluate(self, configurations: Floats | Ints, levels: Floats) -> tuple[Floats, Floats]:
        """Return the metric and cumulative seconds of rows, shapes (n, m).

        Parameters
        ----------
        configurations : integer array, shape (n,)
            Row numbers.
        levels : array, shape (m,)
            Levels out of `resources`.

        Raises
        ------
        ParameterError
            A row or a level is not in the table.
        """
        rows = check_rows(configurations, len(self._values))[:, None]
        places = self._places(levels)
        return self._values[rows, places], self._seconds[rows, places]

    def optimum(self, level: float) -> float | None:
        """Return the best finite value of any row at `level`, None where there is none."""
        values = self._values[:, self._places(np.array([level]))[0]]
        values = values[np.isfinite(values)]
        if not values.size:
            return None
        return float(values.max() if self.mode == "max" else values.min())

    def test_values(self, configurations: Floats | Ints, level: float) -> Floats | None:
        """Return the held-out metric of rows at `level`, shape (n,), None if there is none."""
        if self._tests is None:
            return None
        rows = check_rows(configurations, len(self._values))
        tests: Floats = self._tests[rows, self._places(np.array([level]))[0]]
        return tests

    def _places(self, levels: Floats) -> Ints:
        return level_places(self.name, self._levels, levels)


def _read(
    path: Path, metric: str | None, test_metric: str | None, time: str | None, first_level: int | None
) -> RecordedCurves:
    from hbsim.surrogates.table_files import read_long, read_npz  # polars takes 0.1 s to import

    if path.suffix == ".npz":
        return read_npz(path, first_level)
    if first_level is not None:
        raise ParameterError("first_level", first_level, f"is for .npz: a {path.suffix} file has its levels")
    return read_long(path, metric, test_metric, time)


def _metric(recorded: RecordedCurves, metric: str | None) -> str:
    metric = metric or recorded.metadata.get("metric")
    if metric is not None:
        recorded.column("metric", metric)  # raise the error that suggests a near name first
        return metric
    if len(recorded.metrics) == 1:
        return recorded.metrics[0]
    there = ", ".join(recorded.metrics) or "none"
    raise ParameterError("metric", None, f"is needed for {recorded.source}: one of its columns {there}")


def _mode(source: str, mode: str | None) -> Mode:
    if mode is None:
        raise ParameterError("mode", None, f"is needed: {source} does not say if 'max' or 'min' is good")
    check_choice("mode", mode, ("max", "min"))
    return "max" if mode == "max" else "min"


def _seconds(recorded: RecordedCurves, time: str | None, seconds_per_unit: float | None) -> Floats | None:
    """Return the recorded time, None where a given cost replaces it."""
    if seconds_per_unit is not None:
        check_number("seconds_per_unit", seconds_per_unit, above=0.0)
        if time is not None:
            rule = f"must not be given together with time={time!r}"
            raise ParameterError("seconds_per_unit", seconds_per_unit, rule)
        return None
    if time is None and recorded.time not in recorded.columns:
        rule = f"is needed: {recorded.source} has no column of time ({recorded.time!r}); or name one, time="
        raise ParameterError("seconds_per_unit", None, rule)
    return recorded.column("time", time or recorded.time)


def _tests(recorded: RecordedCurves, metric: str, test_metric: str | None) -> Floats | None:
    if test_metric is not None:
        return recorded.column("test_metric", test_metric)
    for prefix in _VALIDATION:
        if metric.startswith(prefix):
            return recorded.columns.get("test_" + metric.removeprefix(prefix))
    return None


LONGEST: Final = 1e15  # the most seconds, so that sums do not overflow
JUMP: Final = 50.0  # a step this many times longer than at a row's own pace is a jump of the clock
FIRST_JUMP: Final = 10_000.0  # the same for the first step: start-up is allowed, a date is not


def ends_of(values: Floats, seconds: Floats | None) -> Ints:
    """Return for each row the number of levels until the last with a value or a time, shape (n,).

    With a time, a missing value is a run that diverged, and still runs. Without one, trailing missing
    values are a run that ended: the two cannot be told apart.
    """
    there = ~np.isnan(values)
    if seconds is not None:
        there |= ~np.isnan(seconds)
    last = there.shape[1] - np.argmax(there[:, ::-1], axis=1)
    return np.where(there.any(axis=1), last, 0)


def settle_rows(source: str, ends: Ints, levels: int, censored: str | None) -> Ints:
    """Return the rows to keep; raise if some end early and `censored` is None."""
    if censored is not None:
        check_choice("censored", censored, CENSORED)
    early = ends < levels
    count = int(early.sum())
    if count and censored is None:
        raise SurrogateError(
            source,
            f"{count} of {len(ends)} rows end before the last level. Say what they are: censored='fail' "
            "(failed there: NaN from then on), 'exclude' (left out), 'extrapolate' (the last value stays, "
            "time goes on) or 'final' (the last value stays, no more time passes)",
        )
    keep = np.flatnonzero(~early) if censored == "exclude" else np.arange(len(ends))
    if len(keep) < 2:
        problem = f"censored='exclude' leaves {len(keep)} of {len(ends)} rows; at least two are needed"
        raise SurrogateError(source, problem)
    return keep


def settle_values(values: Floats, ends: Ints, censored: str | None) -> Floats:
    """Fill a metric after the ends of rows: with the last value, or with NaN.

    A run whose value was NaN at its end, which had diverged, stays NaN either way.
    """
    if censored in ("extrapolate", "final"):
        return _carried_forward(values, ends, np.nan)
    return np.where(np.arange(values.shape[1]) >= ends[:, None], np.nan, values)


def settle_time(source: str, seconds: Floats, levels: Floats) -> Floats:
    """Complete time at every level: after its last time, a row continues at its mean seconds per unit.

    A row without any time takes the median of the others' rates.

    Raises
    ------
    SurrogateError
        Time is missing before a level that has one, is negative, infinite, or goes back; or no row
        has any time.
    """
    _refuse_bad_time(source, seconds, levels)
    count = (~np.isnan(seconds)).sum(axis=1)
    known = count > 0
    if not known.any():
        raise SurrogateError(source, "no row has a time")
    place = np.maximum(count - 1, 0)
    last = np.where(known, np.take_along_axis(seconds, place[:, None], axis=1)[:, 0], 0.0)
    reached = np.where(known, levels[place], 0.0)
    rates = np.full(len(seconds), np.median(last[known] / reached[known]))
    rates[known] = last[known] / reached[known]
    onward = last[:, None] + rates[:, None] * (levels - reached[:, None])
    return np.where(np.isnan(seconds), onward, seconds)


def stop_time(seconds: Floats, ends: Ints, censored: str | None) -> Floats:
    """Return settled time, constant after the ends of rows if `censored` is "final"."""
    return _carried_forward(seconds, ends, 0.0) if censored == "final" else seconds


def _carried_forward(columns: Floats, ends: Ints, start: float) -> Floats:
    """Carry the value at the end of each row forward; rows without any values get `start`."""
    after = np.arange(columns.shape[1]) >= ends[:, None]
    last = np.take_along_axis(columns, np.maximum(ends - 1, 0)[:, None], axis=1)
    return np.where(after, np.where(ends[:, None] > 0, last, start), columns)


def clock_jump(seconds: Floats, levels: Floats) -> str | None:
    """Describe the largest jump of a recorded clock, if any: a step that takes 50 times as long as others.

    A step is compared with the row's pace until then. The first step, which includes start-up, is compared
    with the pace after it, and may take more.
    """
    lengths = np.diff(levels, prepend=0.0)
    rates = np.diff(seconds, axis=1, prepend=0.0) / lengths
    total = np.nan_to_num(seconds).max(axis=1)
    reached = levels[np.maximum((~np.isnan(seconds)).sum(axis=1) - 1, 0)]
    with np.errstate(divide="ignore", invalid="ignore"):
        after = (total - seconds[:, 0]) / (reached - levels[0])
        paces = np.column_stack([after, seconds[:, :-1] / levels[:-1]])
        factors = np.where(paces > 0, rates / paces, 0.0)
    limits = np.where(np.arange(len(levels)) > 0, JUMP, FIRST_JUMP)
    jumps = np.where(factors >= limits, factors, 0.0)
    count = int(jumps.any(axis=1).sum())
    if not count:
        return None
    row, step = map(int, np.unravel_index(np.argmax(jumps), jumps.shape))
    start = levels[step - 1] if step else 0.0
    took, pace = rates[row, step] * lengths[step], paces[row, step]
    text = f"the clock of row {row} jumps {factors[row, step]:,.0f}-fold in the step from level {start:g} to "
    text += f"{levels[step]:g}: {took:,.6g} s, and {pace:,.4g} s a unit {'until' if step else 'after'} then"
    return text if count == 1 else f"{text}; {count:,} rows have such a step"


def _refuse_bad_time(source: str, seconds: Floats, levels: Floats) -> None:
    missing = np.isnan(seconds)
    faults = (
        (missing[:, :-1] & ~missing[:, 1:], 0, "has no time, though a later level has one"),
        ((seconds > LONGEST) | (seconds < 0), 0, f"has a time that is negative, or above {LONGEST:g} s"),
        (seconds[:, 1:] < seconds[:, :-1], 1, "has less time than the level before: time must be cumulative"),
    )
    for bad, shift, problem in faults:
        found = np.argwhere(bad)
        if len(found):
            row, place = found[0].tolist()
            others = f" ({len(np.unique(found[:, 0]))} such rows)"
            raise SurrogateError(source, f"row {row} at level {levels[place + shift]:g} {problem}{others}")


def row_points(source: str, configurations: polars.DataFrame, space: Space | None) -> Floats | None:
    """Return the configurations as points of the unit cube, shape (rows, d); None without a space.

    Raises
    ------
    SurrogateError
        A hyperparameter is missing, or a value is none of the space's.
    """
    if space is None:
        return None
    if missing := [name for name in space if name not in configurations.columns]:
        raise SurrogateError(source, f"its rows have no {missing[0]!r}, which its search space has")
    if not space.dimension:
        return None
    columns = {name: configurations[name].to_list() for name in space}
    try:
        return space.encode(columns)
    except ParameterError as error:
        row = _row_of(space, columns, error)
        problem = f"{error.field}={error.value!r} is outside of its search space, in row {row}: {error.rule}"
        raise SurrogateError(source, problem) from None


def _row_of(space: Space, columns: dict[str, list[object]], error: ParameterError) -> int:
    """Return the first row that a field of a space's error shows to be outside the space."""
    if error.field not in space.conditional:
        columns = {error.field: columns[error.field]}
        space = Space({error.field: space[error.field]})
    for row, values in enumerate(zip(*columns.values(), strict=True)):
        try:
            space.encode(dict(zip(columns, values, strict=True)))
        except ParameterError as found:
            if found.field == error.field:
                return row
    return 0
