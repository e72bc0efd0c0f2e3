"""Pilots: a few learning curves of the user's own task, their costs, and what early ranks say."""

from __future__ import annotations

import math
import os
import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hbsim.errors import HbsimError, HbsimWarning, OutputError, ParameterError, SurrogateError
from hbsim.surrogates.protocol import Floats, Ints

if TYPE_CHECKING:
    from hbsim.core.types import Mode
    from hbsim.study.result import RunResult
    from hbsim.surrogates import Surrogate
    from hbsim.surrogates.table import Table

LEAST: Final = 10  # curves
Kind: TypeAlias = Literal["table", "study", "log"]
RANKED: Final = 5  # the fewest complete curves for a rank correlation
Z80: Final = 1.2815515655446004  # the normal quantile of 0.9


@dataclass(frozen=True)
class Draw:
    """Costs and divergence of a task, as one draw from what a pilot leaves open.

    Attributes
    ----------
    mean, std : float
        Of the logarithm of the seconds that a unit trains.
    diverged : float
        The share of runs that diverge.
    at : array
        Shares of the way to max_t at which runs of the pilot diverged; empty if none did.
    levels, clock : array, shape (m,)
        How long it takes to each level of the pilot, in mean units up to max_t.
    """

    mean: float
    std: float
    diverged: float
    at: Floats
    levels: Floats
    clock: Floats

    def time_to(self, levels: Floats) -> Floats:
        """Return how long it takes to levels, in mean units up to max_t."""
        return _time_to(self.levels, self.clock, levels)

    def rows(self, good: NDArray[np.bool_], random: np.random.Generator) -> Ints:
        """Choose as many rows of a task as it has, of those whose values are numbers at max_t."""
        usable = np.flatnonzero(good)
        more = random.choice(usable, len(good) - len(usable)) if len(usable) else np.empty(0, dtype=np.int64)
        return random.permutation(np.concatenate([usable, more])).astype(np.int64)

    def onsets(self, count: int, random: np.random.Generator) -> Floats:
        """Return where each of `count` rows diverges, as a share of max_t; infinite for most."""
        onsets = np.full(count, math.inf)
        chosen = random.permutation(count)[: round(self.diverged * count)]
        onsets[chosen] = random.choice(self.at, len(chosen)) if len(self.at) else random.random(len(chosen))
        return onsets

    def unit_seconds(self, order: Floats, random: np.random.Generator) -> Floats:
        """Return the seconds of a unit for each row, shape (n,): costs of this draw, in an `order`."""
        from scipy.stats import norm

        ranks = np.argsort(np.lexsort((random.random(len(order)), order)))
        seconds: Floats = np.exp(self.mean + self.std * norm.ppf((ranks + 0.5) / len(order)))
        return seconds


@dataclass(frozen=True)
class Correlation:
    """The rank correlation between a level and the last one, with its 80 % interval."""

    level: float
    curves: int
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Pilot:
    """Learning curves of the user's task.

    Attributes
    ----------
    source : str
        The folder, file or name.
    kind : "table", "study" or "log"
        A table of curves, the folder of a study, or what another tool logged.
    metric : str
        The metric that decides.
    mode : "max" or "min"
        Which values are better.
    levels : array, shape (m,)
        At which curves have values.
    values : array, shape (n, m)
        NaN where a run had ended or diverged.
    ends : array of int, shape (n,)
        How many levels each curve has.
    seconds : array, shape (n, m)
        Cumulative seconds of training.
    diverged : array of bool, shape (n,)
        Whether the run had no number at its end, or failed.
    max_t : float
        R of the plan.
    selected : bool
        Whether curves may end early because of their values, as by a scheduler. Those that go on are no
        random sample then, and their ranks say nothing.
    startup : float
        Mean seconds that a job of the pilot's study took besides training; 0 where nothing says it.
    is_scaled : bool
        Whether its costs were scaled to a `unit_seconds` that was given.
    """

    source: str
    kind: Kind
    metric: str
    mode: Mode
    levels: Floats
    values: Floats
    ends: Ints
    seconds: Floats
    diverged: NDArray[np.bool_]
    max_t: float
    selected: bool = False
    is_scaled: bool = False
    startup: float = 0.0

    @property
    def complete(self) -> int:
        """The number of curves that trained to max_t and did not diverge."""
        return int((self._reach(self.max_t) & ~self.diverged).sum())

    @property
    def last(self) -> float:
        """The last level of the plan that curves of the pilot reach: max_t, or the end of the longest."""
        return min(self.max_t, float(self.levels[self.ends[~self.diverged].max(initial=1) - 1]))

    def _reach(self, level: float) -> NDArray[np.bool_]:
        reached: NDArray[np.bool_] = self.levels[self.ends - 1] >= level
        return reached

    def draw(self, random: np.random.Generator) -> Draw:
        """Draw costs and the share of diverged runs from their posteriors.

        Costs are log-normal: the variance and the mean of their logarithms are drawn with Jeffreys' prior.
        The clock is that of curves drawn with replacement: where few reach a level, it is not known well.
        The share is drawn from a beta distribution with Jeffreys' prior.
        """
        timed = np.flatnonzero(self._timed)
        clock = self._clock_of(random.choice(timed, len(timed)))
        logs = np.log(self._unit_seconds(clock))
        n, failed = len(logs), int(self.diverged.sum())
        std = math.sqrt(float(logs.var(ddof=1)) * (n - 1) / random.chisquare(n - 1))
        mean = float(logs.mean()) + std / math.sqrt(n) * float(random.standard_normal())
        share = float(random.beta(failed + 0.5, len(self.ends) - failed + 0.5))
        at = np.minimum(1.0, self.levels[np.maximum(self.ends[self.diverged] - 1, 0)] / self.max_t)
        return Draw(mean, std, share, at, self.levels, clock)

    @cached_property
    def _timed(self) -> NDArray[np.bool_]:
        """Which curves trained for some time."""
        timed: NDArray[np.bool_] = self.seconds[np.arange(len(self.ends)), self.ends - 1] > 0
        return timed

    @cached_property
    def clock(self) -> Floats:
        """How long it takes to each level, in mean units up to max_t: the first ones may take longer."""
        return self._clock_of(np.flatnonzero(self._timed))

    @cached_property
    def unit_seconds(self) -> Floats:
        """Mean seconds of a unit up to max_t, of curves that trained; short ones go on by `clock`."""
        return self._unit_seconds(self.clock)

    def _unit_seconds(self, clock: Floats) -> Floats:
        rows, last = np.flatnonzero(self._timed), self.ends[self._timed] - 1
        return self.seconds[rows, last] / clock[last]

    def _clock_of(self, rows: Ints) -> Floats:
        """Return the clock of some curves, shape (m,).

        Curves that end early are fewer at every level: from one level to the next the time grows as that of
        the curves that reach both, in sum (the chain ladder of actuaries). Where none does, a unit takes the
        same.
        """
        clock = np.ones(len(self.levels))
        for at in range(1, len(clock)):
            both = rows[self.ends[rows] > at]
            before, after = self.seconds[both, at - 1].sum(), self.seconds[both, at].sum()
            growth = after / before if before > 0 else self.levels[at] / self.levels[at - 1]
            clock[at] = clock[at - 1] * growth
        return clock * (self.max_t / _time_to(self.levels, clock, np.array([self.max_t])))

    def correlations(self, levels: Floats) -> list[Correlation]:
        """Return the rank correlation of each level with `last`, where there is one.

        It is Spearman's, of curves that reach `last`; a run that diverged has the last rank. The interval is
        by Fisher's z with the variance of Bonett and Wright (Psychometrika 65(1), 2000). There is none where
        curves were `selected` by their values.
        """
        from scipy.stats import spearmanr

        whole = self._reach(self.last) | self.diverged
        if self.selected or whole.sum() < RANKED:
            return []
        last = np.where(self.diverged, np.inf, self._at(self.last))[whole]
        found = []
        for level in levels[(levels < self.last) & (levels >= self.levels[0])].tolist():
            early = self._at(level)[whole]
            if (early == early[0]).all() or (last == last[0]).all():
                continue
            value = float(spearmanr(early, last).statistic)
            n = int(whole.sum())
            error = math.sqrt((1 + value**2 / 2) / (n - 3))
            z = math.atanh(min(max(value, -0.999), 0.999))
            low, high = math.tanh(z - Z80 * error), math.tanh(z + Z80 * error)
            found.append(Correlation(level, n, value, low, high))
        return found

    def _at(self, level: float) -> Floats:
        """Return a score of each curve at a level, or at the one before it: less is better."""
        place = int(np.searchsorted(self.levels, level, side="right")) - 1
        signed = self.values[:, place] * (1.0 if self.mode == "min" else -1.0)
        return np.where(np.isfinite(signed), signed, np.inf)


def read_pilot(
    source: Any,
    max_t: float,
    unit_seconds: float | None = None,
    metric: str | None = None,
    mode: Mode | None = None,
) -> Pilot:
    """Read a pilot.

    Parameters
    ----------
    source : path, str or object
        The folder of a study, a file of recorded curves, what another tool logged, the name of a surrogate
        with rows, a `RunResult` or a table.
    max_t : float
        R of the plan.
    unit_seconds : float, optional
        What a unit takes on average where the plan's study will run; the pilot's costs are scaled to it. By
        default they are taken as they are.
    metric, mode : str, optional
        Which metric decides, and what is better, where the source does not say.

    Raises
    ------
    ParameterError
        There are fewer than 10 curves, all of them diverged, no such metric, or no times.
    SurrogateError
        The source cannot be read.
    """
    named = next((getattr(source, name) for name in ("folder", "source") if hasattr(source, name)), None)
    shown = os.fspath(source if isinstance(source, str | os.PathLike) else named or type(source).__name__)
    try:
        table, failed, kind, study = _table(source, unit_seconds, metric, mode)
    except (ParameterError, SurrogateError) as error:
        raise _about_pilot(error, shown) from None
    levels = np.array(table.resources, dtype=np.float64)
    ends = np.array(table.ends, dtype=np.int64)
    values, seconds = table.evaluate(np.arange(len(ends)), levels)
    there = ends > 0
    if there.sum() < LEAST:
        raise ParameterError("pilot", shown, f"has {there.sum()} curves: at least {LEAST} are needed")
    last = np.maximum(ends - 1, 0)
    rows = np.arange(len(ends))
    values = np.where(np.arange(len(levels)) < ends[:, None], values, np.nan)
    diverged = ~np.isfinite(values[rows, last]) & there
    diverged |= failed
    values[diverged, -1] = np.nan
    keep = there
    if diverged[keep].all():
        rule = (
            f"has {keep.sum()} curves, and all of them diverged: their {table.metric} ends without a number"
        )
        raise ParameterError("pilot", shown, rule)
    found = Pilot(
        source=shown,
        kind=kind,
        metric=table.metric,
        mode=table.mode,
        levels=levels,
        values=values[keep],
        ends=ends[keep],
        seconds=seconds[keep],
        diverged=diverged[keep],
        max_t=max_t,
        startup=0.0 if study is None else _startup(study),
    )
    # Trials of a fifo study that still ran at its end were not cut by their values; others may have been.
    early = ~found._reach(found.last) & ~found.diverged
    if study is None:
        found = replace(found, selected=bool(early.any()))
    else:
        running = _with_status(study, table, "running")[keep]
        found = replace(found, selected=study.scheduler.type != "fifo" or bool((early & ~running).any()))
    rates = found.unit_seconds
    if len(rates) < LEAST:
        rule = f"has {len(rates)} curves with a time of training: at least {LEAST} are needed"
        raise ParameterError("pilot", shown, rule)
    return (
        found
        if unit_seconds is None
        else replace(found, seconds=found.seconds * (unit_seconds / rates.mean()), is_scaled=True)
    )


def _time_to(known: Floats, clock: Floats, levels: Floats) -> Floats:
    """Return the time to levels on a clock: straight between known ones, beyond them at the mean pace."""
    within = np.interp(levels, np.concatenate([[0.0], known]), np.concatenate([[0.0], clock]))
    times: Floats = np.where(levels > known[-1], clock[-1] * levels / known[-1], within)
    return times


def _about_pilot(error: ParameterError | SurrogateError, shown: str) -> HbsimError:
    """Return an error as one about the pilot, in the words of a plan's options."""
    if isinstance(error, ParameterError):
        if error.field in ("metric", "mode"):
            return error
        if error.field == "seconds_per_unit":
            return ParameterError("unit_seconds", error.value, f"{error.rule}".replace("time=", "a clock"))
        return ParameterError("pilot", shown, error.rule if error.field == "pilot" else f"{error}")
    return error


def _table(
    source: Any, unit_seconds: float | None, metric: str | None, mode: Mode | None
) -> tuple[Table, NDArray[np.bool_], Kind, RunResult | None]:
    """Return the curves of a source, which of its runs failed, its kind, and the study that it is."""
    from hbsim.study.folder import StudyFolder
    from hbsim.study.result import RunResult, load
    from hbsim.surrogates import load as load_curves
    from hbsim.surrogates.table import SUFFIXES, Table

    if isinstance(source, RunResult):
        return *_of_study(source, metric, mode), "study", source
    if isinstance(source, str | os.PathLike):
        path = Path(os.path.expanduser(os.fspath(source)))
        if path.is_dir() and StudyFolder(path).holds_study:
            study = load(path)
            return *_of_study(study, metric, mode), "study", study
        if path.is_dir() or (path.is_file() and not _is_table(path)):
            table = _imported(path, unit_seconds, metric, mode)
            return table, np.zeros(len(table.ends), dtype=bool), "log", None
        if not path.is_file() and path.suffix in SUFFIXES:
            raise ParameterError("pilot", os.fspath(source), "there is no such file")
        source = str(path) if path.is_file() else os.fspath(source)
    given: dict[str, Any] = {"metric": metric, "mode": mode}
    if isinstance(source, str) and Path(source).suffix in SUFFIXES:
        given["censored"] = "extrapolate"
        found: Surrogate = _timed(source, given, unit_seconds)
    else:
        found = load_curves(source, **{name: value for name, value in given.items() if value is not None})
    if not isinstance(found, Table):
        rule = "must be recorded curves: a study's folder, a file, or what another tool logged"
        raise ParameterError("pilot", str(getattr(found, "name", source)), rule)
    return found, np.zeros(len(found.ends), dtype=bool), "table", None


def _is_table(path: Path) -> bool:
    """Return whether a file is a table of curves: a CSV may be another tool's log as well."""
    if path.suffix != ".csv":
        return path.suffix in (".npz", ".parquet")
    from hbsim.surrogates.importing import import_runs

    try:
        import_runs(path)
    except SurrogateError as error:
        return "no tool that hbsim knows" in str(error)
    except HbsimError:
        return False
    return False


def _timed(file: str, given: dict[str, Any], unit_seconds: float | None) -> Surrogate:
    """Load a file; without a clock in it, each unit takes `unit_seconds`."""
    from hbsim.surrogates import load as load_curves

    try:
        return load_curves(file, **given)
    except ParameterError as error:
        if error.field != "seconds_per_unit" or unit_seconds is None:
            raise
        return load_curves(file, **given, seconds_per_unit=unit_seconds)


def _of_study(study: RunResult, metric: str | None, mode: Mode | None) -> tuple[Table, NDArray[np.bool_]]:
    """Return the curves of a study, and which of its trials failed for good by an error of their own."""
    from hbsim.surrogates import load as load_curves
    from hbsim.surrogates.table import Table

    with TemporaryDirectory(prefix="hbsim-") as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore", HbsimWarning)  # they name the temporary file
        file = Path(temporary, "curves.parquet")
        try:
            study.export(file, metric, mode)
        except OutputError:
            raise ParameterError("pilot", str(study.folder), "is a study without reports") from None
        table = load_curves(file, censored="extrapolate")
    assert isinstance(table, Table)
    table.name = table.source = str(study.folder)
    return table, _with_status(study, table, "failed")


def _with_status(study: RunResult, table: Table, status: str) -> NDArray[np.bool_]:
    """Return which curves are of trials with a status."""
    trials = study.trials.filter(study.trials["status"] == status)["trial"].to_list()
    return np.isin(table.configurations["config"].to_numpy(), trials)


def _startup(study: RunResult) -> float:
    """Return the mean seconds of a job of a study besides training, as `hbsim validate` measures them."""
    from hbsim.validation.measure import measure, read

    try:
        return measure([read(study.folder).jobs]).startup.value
    except HbsimError:
        return 0.0


def _imported(path: Path, unit_seconds: float | None, metric: str | None, mode: Mode | None) -> Table:
    from hbsim.surrogates.importing import import_runs
    from hbsim.surrogates.table import Table

    imported = import_runs(path, metric=metric, mode=mode)
    if imported.mode is None:
        raise ParameterError("mode", None, f"is needed: {path} does not say if 'max' or 'min' is good")
    with TemporaryDirectory(prefix="hbsim-") as temporary:
        file = Path(temporary, "curves.parquet")
        imported.write(file)
        table = _timed(str(file), {"censored": "extrapolate"}, unit_seconds)
    assert isinstance(table, Table)
    table.name = table.source = str(path)
    return table
