"""The learning curves of a real run as a surrogate for the simulator."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan
from typing import TYPE_CHECKING

import numpy as np

from hbsim.searchers.protocol import NonLearningSearcher
from hbsim.surrogates.protocol import Floats, Ints
from hbsim.validation.measure import RecordedJob, RecordedRun

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hbsim.core.space import Space
    from hbsim.core.types import Mode


class RowsInOrder(NonLearningSearcher):
    """The searcher of recorded trials: row i for trial i."""

    def __init__(self) -> None:
        self._next = 0

    def suggest(self, n: int) -> Ints:
        """Return the next n rows."""
        self._next += n
        return np.arange(self._next - n, self._next, dtype=np.int64)

    def resume(self, configurations: Floats | Ints) -> None:
        """Go on after these rows."""
        self._next += len(configurations)


class RunCurves:
    """A surrogate with a row for each trial of a run, at the scheduler's levels.

    Values are those of the decisions; seconds are those of training. Beyond the last resource of a trial its
    last value is repeated, and its seconds continue at its own rate.

    Parameters
    ----------
    run : RecordedRun
        The run.

    Attributes
    ----------
    values, seconds : array, shape (trials, levels)
        The metric; cumulative seconds of training.
    observed : bool array, shape (trials, levels)
        Whether the trial reached the level in the run.
    """

    def __init__(self, run: RecordedRun) -> None:
        scheduler = run.result.scheduler
        self.name = run.name
        self.metric = run.result.spec.metric or ""
        self.mode: Mode = scheduler.mode
        self.resources: tuple[float, ...] | None = tuple(map(float, scheduler.levels))
        self.max_resource = self.resources[-1]
        self.rows: int | None = scheduler.started
        self.space: Space | None = None
        self._levels = np.array(self.resources)
        shape = (scheduler.started, len(self.resources))
        self.values = np.full(shape, nan)
        self.seconds = np.full(shape, nan)
        self.observed: NDArray[np.bool_] = np.zeros(shape, dtype=bool)
        by_trial: dict[int, list[RecordedJob]] = {}
        for job in run.jobs:
            by_trial.setdefault(job.trial, []).append(job)
        for trial, jobs in by_trial.items():
            self._read(trial, jobs)
        self._fill_unknown()

    def evaluate(self, configurations: Floats | Ints, levels: Floats) -> tuple[Floats, Floats]:
        """Return values and cumulative seconds of these rows at these levels."""
        rows = np.asarray(configurations, dtype=np.int64)
        columns = np.searchsorted(self._levels, levels)
        return self.values[np.ix_(rows, columns)], self.seconds[np.ix_(rows, columns)]

    def optimum(self, level: float) -> float | None:
        """Return None: the optimum is unknown."""
        return None

    def test_values(self, configurations: Floats | Ints, level: float) -> Floats | None:
        """Return None: a run has no test values."""
        return None

    def take_seconds(self, other: RunCurves) -> None:
        """Take the seconds of the same trials in another run.

        Where the other trained less far, the seconds of this one go on, in proportion; so do those of trials
        that the other did not run.
        """
        columns = [place for place, level in enumerate(self._levels) if level in other._levels]
        theirs = np.searchsorted(other._levels, self._levels[columns])
        count = min(len(self.seconds), len(other.seconds))
        usual = self._ratio(other, columns, theirs, count)
        taken = self.seconds * usual
        for trial in range(count):
            known = [(c, t) for c, t in zip(columns, theirs, strict=True) if other.observed[trial, t]]
            if not known:
                continue
            last, at = known[-1]
            own = self.seconds[trial]
            ratio = other.seconds[trial, at] / own[last] if own[last] > 0 else 1.0
            row = other.seconds[trial, at] + (own - own[last]) * ratio
            for column, t in known:
                row[column] = other.seconds[trial, t]
            taken[trial] = np.maximum.accumulate(np.maximum(row, 0.0))
        self.seconds = taken

    def _ratio(self, other: RunCurves, columns: list[int], theirs: Ints, count: int) -> float:
        """Return the usual ratio of the other run's seconds to this one's, for training that both have."""
        both = self.observed[:count, columns] & other.observed[:count, theirs]
        ours = self.seconds[:count, columns][both]
        return float(other.seconds[:count, theirs][both].sum() / ours.sum()) if ours.sum() > 0 else 1.0

    def _read(self, trial: int, jobs: Sequence[RecordedJob]) -> None:
        points = {0.0: 0.0}  # by resource: cumulative seconds
        values: dict[float, float] = {}
        decided: dict[int, tuple[float, float]] = {}
        for job in jobs:
            base = _at(points, job.start_resource)
            for report in job.reports:
                points[report.resource] = base + report.trained
                values[report.resource] = report.value
            for at, milestone in job.decided.items():
                decided[at] = (milestone.value, base + milestone.trained)
        if not values:
            return
        last = max(values)
        rate = _rate(points)
        for at, level in enumerate(self._levels):
            self.observed[trial, at] = level <= last
            if at in decided:
                self.values[trial, at], self.seconds[trial, at] = decided[at]
            elif level <= last:
                self.values[trial, at] = values[min(r for r in values if r >= level)]
                self.seconds[trial, at] = _at(points, level)
            else:
                self.values[trial, at] = values[last]
                self.seconds[trial, at] = points[last] + rate * (level - last)
        self.seconds[trial] = np.maximum.accumulate(self.seconds[trial])

    def _fill_unknown(self) -> None:
        """Give trials that never reported the mean seconds of all others."""
        unknown = np.isnan(self.seconds[:, 0])
        if unknown.any():
            known = self.seconds[~unknown]
            self.seconds[unknown] = known.mean(axis=0) if len(known) else self._levels


def _at(points: dict[float, float], resource: float) -> float:
    """Return the cumulative seconds at a resource, linear between reports."""
    places = sorted(points)
    heights = np.maximum.accumulate([points[place] for place in places])
    return float(np.interp(resource, places, heights))


def _rate(points: dict[float, float]) -> float:
    """Return the seconds a unit, without those before the first report where there are others."""
    places = sorted(points)[1:]
    first, last = places[0], places[-1]
    if last > first and points[last] > points[first]:
        return (points[last] - points[first]) / (last - first)
    return points[last] / last if last > 0 else 0.0
