"""The fitted surrogate: a model of recorded curves, so that a pilot of about 100 trials yields thousands."""

from __future__ import annotations

import os
import re
import warnings
from functools import cached_property
from typing import Final

import numpy as np

from hbsim.core.space import Space
from hbsim.core.types import Mode
from hbsim.errors import HbsimWarning, ParameterError, SurrogateError, needs
from hbsim.surrogates import hashing
from hbsim.surrogates.description import spread_levels
from hbsim.surrogates.fit_data import FitData, collect, snap
from hbsim.surrogates.fit_model import fit_model
from hbsim.surrogates.fit_report import FitReport, cross_validate
from hbsim.surrogates.options import Censored, check_number, parse_options
from hbsim.surrogates.protocol import Floats, Ints, SurrogateBase, check_levels, check_points
from hbsim.surrogates.table import SHIPPED, SUFFIXES, Table

PREFIX: Final = "fit:"
SAMPLE: Final = 1000  # new configurations that are drawn for the best value


class Fitted(SurrogateBase):
    """Curves of any configuration, drawn from a model of recorded ones; made by `fit`.

    A curve is the expectation for its configuration plus a residual, which a hash of the configuration
    chooses from those of recorded rows. So thousands of curves spread and cross as the recorded ones
    do. `docs/how-to/fit.md` says how, and when not to trust it.

    Attributes
    ----------
    report : FitReport
        The results of cross-validation; computed on first access, in seconds.
    notes : tuple of str
        Remarks on how the table was treated.
    """

    def __init__(self, table: Table, *, settled: bool = True, seed: int = 0) -> None:
        self._seed = int(check_number("seed", seed, low=0, high=2**53, whole=True))
        _require_scikit_learn(table.source)
        data = collect(table, settled)
        self._model = fit_model(data, self._seed)
        self._key = hashing.scalar_key(self._seed, 0)
        self._space: Space = data.space
        self.name = f"{PREFIX}{table.name}" + (f",seed={seed}" if seed else "")
        self.metric = table.metric
        self.mode: Mode = table.mode
        self.max_resource = table.max_resource
        self.resources = table.resources
        self.space = data.space
        self.notes = (*data.notes, *_early(data))
        self._warn()

    def evaluate(self, configurations: Floats | Ints, levels: Floats) -> tuple[Floats, Floats]:
        """Return the metric and cumulative seconds, shapes (n, m), in single precision.

        Parameters
        ----------
        configurations : array, shape (n, d)
            Points of the unit cube of `space`.
        levels : array, shape (m,)
            Levels out of `resources`.

        Raises
        ------
        ParameterError
            The shape is wrong, a coordinate lies outside [0, 1], or there is no such level.
        """
        return self._sample(configurations, levels, self._key)

    def again(self, configurations: Floats | Ints, levels: Floats, number: int) -> tuple[Floats, Floats]:
        """Evaluate other curves that the same configurations could have; they are numbered from 0."""
        number = int(check_number("number", number, low=0, high=2**53, whole=True))
        return self._sample(configurations, levels, hashing.scalar_key(self._seed, 1, number))

    def expected(self, configurations: Floats | Ints, levels: Floats) -> Floats:
        """Return the values that are expected, shape (n, m): the median if nothing diverges."""
        points, levels = self._points(configurations), self._levels(levels)
        return self._model.median(self._model.expect(points), levels)

    @cached_property
    def report(self) -> FitReport:
        """The report of a cross-validation over the recorded configurations."""
        points = self._space.sample(SAMPLE, np.random.default_rng(self._seed))
        values, _ = self.evaluate(points, np.array([self.max_resource]))
        best = np.nanmax(values) if self.mode == "max" else np.nanmin(values)
        levels = spread_levels(self)
        return cross_validate(self._model, self.mode, levels, float(best), self._seed, self.notes)

    def _sample(self, configurations: Floats | Ints, levels: Floats, key: np.uint64) -> tuple[Floats, Floats]:
        points, levels = self._points(configurations), self._levels(levels)
        expected, keys = self._model.expect(points), hashing.float_keys(points, key)
        values, seconds = self._model.draw(expected, keys, levels)
        values[self._model.lost(expected, keys, levels)] = np.nan
        return values, seconds

    def _levels(self, levels: Floats) -> Floats:
        levels = np.asarray(levels, dtype=np.float64)
        check_levels(self, levels.tolist())
        return levels

    def _points(self, configurations: Floats | Ints) -> Floats:
        points = check_points(configurations, self._space.dimension)
        outside = ~((points >= 0.0) & (points <= 1.0))
        if outside.any():
            row, column = np.argwhere(outside)[0]
            name = self._space.names[column]
            raise ParameterError(name, float(points[row, column]), "coordinates lie in [0, 1]")
        return snap(self._space, points)

    def _warn(self) -> None:
        data = self._model.data
        if set(self._model.regression.kinds) == {"mean"}:
            text = "the hyperparameters predict its curves no better than their mean does"
            warnings.warn(f"{self.name}: {text}", HbsimWarning, stacklevel=4)
        if data.ended_early and data.complete < 20:
            text = f"{data.complete} of {len(data.points)} rows reach level {self.max_resource:g}"
            warnings.warn(f"{self.name}: {text}; late curves rest on these", HbsimWarning, stacklevel=4)


def fit(
    table: str | os.PathLike[str] | Table,
    *,
    seed: int = 0,
    metric: str | None = None,
    mode: Mode | None = None,
    time: str | None = None,
    seconds_per_unit: float | None = None,
    censored: Censored | None = None,
    first_level: int | None = None,
) -> Fitted:
    """Fit a surrogate to recorded curves.

    Parameters
    ----------
    table : path or Table
        A ``.npz``, ``.csv`` or ``.parquet`` file, or a table that ships, such as ``"digits"``. A `Table` is
        fitted as it is: the treatment of rows that end early was chosen when it was loaded.
    seed : int
        The seed of the draws, of the trees of its models, and of the folds of the report.
    metric, mode, time, seconds_per_unit, first_level
        Options of a file, as in `Table.load`.
    censored : "fail", "exclude", "extrapolate" or "final", optional
        The treatment of rows of a file that end early, as in `Table.load`. By default their missing values
        are inferred from the values before.

    Returns
    -------
    fitted : Fitted
        The surrogate; `fitted.report` says how good it is.

    Raises
    ------
    ParameterError
        An option is missing or breaks its rule.
    SurrogateError
        The file cannot be used, has too little data, or scikit-learn is not installed.
    """
    if isinstance(table, Table):
        return Fitted(table, seed=seed)
    from hbsim.surrogates.registry import load  # which knows the shipped tables

    found = load(
        table,
        metric=metric,
        mode=mode,
        time=time,
        seconds_per_unit=seconds_per_unit,
        censored=censored or "fail",
        first_level=first_level,
    )
    if not isinstance(found, Table):
        raise ParameterError("surrogate", str(table), "a fit needs a table of recorded curves")
    return Fitted(found, settled=censored is not None, seed=seed)


def split_name(text: str) -> tuple[str, int]:
    """Split ``TABLE`` or ``TABLE,seed=3`` into table and seed; the table's name may hold commas.

    Raises
    ------
    ParameterError
        There is no table, or an option is unknown or breaks its rule.
    """
    endings, shipped = "|".join(map(re.escape, SUFFIXES)), "|".join(SHIPPED)
    found = re.fullmatch(rf"(?P<table>.*(?:{endings})|{shipped})(?:,(?P<options>.*))?", text)
    if found is None:
        rule = f"needs a table of recorded curves: {PREFIX}FILE, a {', '.join(SUFFIXES)} file"
        raise ParameterError("surrogate", PREFIX + text, rule)
    options = parse_options("fit", found["options"] or "", {"seed": int})
    return found["table"], int(options.get("seed", 0))


def _early(data: FitData) -> tuple[str, ...]:
    """Describe how rows that end early were treated."""
    if not data.ended_early:
        return ()
    count = f"{data.ended_early} of {len(data.points)} rows end early"
    return (f"{count}: how they go on is worked out; if they diverged, say censored='fail'",)


def _require_scikit_learn(source: str) -> None:
    try:
        import sklearn  # noqa: F401
    except ImportError:
        raise SurrogateError(source, f"a fit {needs('scikit-learn', 'fit')}") from None
