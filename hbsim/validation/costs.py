"""The parameters of a `Cluster`, measured from real runs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from hbsim.validation.reading import Stay, went_on

if TYPE_CHECKING:
    from hbsim.simulation import Cluster

__all__ = ["Costs", "Figure", "measure", "straggler_std"]

LEAST: Final = 0.01  # a fit of noise below this is none
ENOUGH: Final = 10  # degrees of freedom that a fit of noise takes
MOST: Final = 0.5  # the variation beyond which 1 + |z| is no model of the noise any more
# Of |z|, z ~ Normal(0, 1): the mean and the standard deviation.
MEAN: Final = math.sqrt(2 / math.pi)
DEVIATION: Final = math.sqrt(1 - 2 / math.pi)


@dataclass(frozen=True, slots=True)
class Figure:
    """A parameter, and how many observations it is made of; with none it is the default."""

    value: float
    observations: int


@dataclass(frozen=True, slots=True)
class Costs:
    """What everything cost, each with its observations.

    Attributes
    ----------
    startup : Figure
        Seconds of a job that are no training, no wait and no checkpoint: from the order until the function
        is called, and from its end until the worker has the next job; and what it took to save where there
        was no pause, or the checkpoint was refused, as the simulator saves at pauses only. An observation a
        job.
    report_delay : Figure
        Seconds at a milestone until its decision arrived. An observation a milestone.
    save, load : Figure
        Seconds of a checkpoint, over the jobs that paused and those that went on. An observation a job that
        saved; a job that loaded.
    straggler_std : Figure
        Noise of the seconds that a unit of the resource takes, beside the trial's own rate. An observation
        a stretch between two levels.
    drop_rate : Figure
        Failures, as a probability per second. An observation a failure.
    resume : Figure
        1 if trials that were promoted or retried went on from a checkpoint, 0 if they trained from zero. An
        observation such a job.
    """

    startup: Figure
    report_delay: Figure
    save: Figure
    load: Figure
    straggler_std: Figure
    drop_rate: Figure
    resume: Figure

    def options(self) -> dict[str, object]:
        """Return the keyword arguments of `hbsim.Cluster`, without the number of workers."""
        names = ("startup", "report_delay", "save", "load", "straggler_std")
        rounded: dict[str, object] = {name: round(getattr(self, name).value, 6) for name in names}
        rate = float(f"{self.drop_rate.value:.6g}")
        return {**rounded, "drop_rate": rate, "resume": bool(self.resume.value), "report": "blocking"}

    def cluster_options(self, workers: int | None) -> dict[str, object]:
        """Return the keyword arguments of `hbsim.Cluster`; without `workers` where that is None."""
        return {**({} if workers is None else {"workers": workers}), **self.options()}

    def observations(self) -> dict[str, int]:
        """Return how many observations each parameter has."""
        return {name: getattr(self, name).observations for name in self.__slots__}

    def cluster(self, workers: int) -> Cluster:
        """Return the cluster on which recorded seconds are replayed: their noise is in them already."""
        from hbsim.simulation import Cluster

        options = {**self.options(), "straggler_std": 0.0}
        return Cluster(workers=workers, **options)  # type: ignore[arg-type]

    def with_resume(self, resume: Figure) -> Costs:
        """Return the same with another `resume`."""
        return replace(self, resume=resume)


def measure(runs: Iterable[Sequence[Stay]]) -> Costs:
    """Measure the parameters from the stays of one or more runs."""
    parts = [list(stays) for stays in runs]
    stays = [stay for part in parts for stay in part]
    whole = [stay for stay in stays if stay.whole]
    gaps = [stay.gap for stay in stays if stay.gap is not None]
    pauses = [stay for stay in whole if stay.verdict == "pause" and stay.kept]
    besides = [stay.rest + (0.0 if stay.verdict == "pause" else stay.save) for stay in whole]
    startup = _mean(besides)
    milestones = sum(len(stay.decided) for stay in whole)
    waited = math.fsum(stay.wait for stay in whole)
    return Costs(
        startup=Figure(startup.value + _mean(gaps).value, startup.observations),
        report_delay=Figure(waited / milestones if milestones else 0.0, milestones),
        save=_mean_of_those_with([stay.save for stay in pauses]),
        load=_mean_of_those_with([stay.load for stay in whole if stay.start_resource]),
        straggler_std=straggler_std(parts),
        drop_rate=_drop_rate(stays),
        resume=_resume(stays),
    )


def _mean(values: Sequence[float]) -> Figure:
    return Figure(math.fsum(values) / len(values) if values else 0.0, len(values))


def _mean_of_those_with(values: Sequence[float]) -> Figure:
    """Return the mean of all, as the simulator takes it of all; observed are those that are not 0."""
    return Figure(_mean(values).value, sum(value > 0 for value in values))


def _resume(stays: Sequence[Stay]) -> Figure:
    """Say whether most trials that had trained before went on from where they stood."""
    later = went_on(stays)
    return Figure(float(2 * sum(later) >= len(later)), len(later))


def _drop_rate(stays: Sequence[Stay]) -> Figure:
    failures = sum(stay.verdict == "failed" for stay in stays)
    exposed = math.fsum(stay.end_time - stay.start_time - stay.wait - stay.save - stay.held for stay in stays)
    rate = failures / exposed if failures and exposed > 0 else 0.0
    return Figure(-math.expm1(-rate), failures)


def straggler_std(runs: Iterable[Sequence[Stay]]) -> Figure:
    """Fit the noise of the model 1 + |z| to the seconds that stretches between two levels take.

    The variation of a trial's seconds a unit around their mean is that of 1 + s |z|: its standard deviation
    is 0.603 s, and its mean 1 + 0.798 s.
    """
    squares, freedom, count = 0.0, 0, 0
    for stays in runs:
        for rates in _rates(stays).values():
            if len(rates) < 2:
                continue
            mean = math.fsum(rates) / len(rates)
            squares += math.fsum((rate / mean - 1) ** 2 for rate in rates)
            freedom += len(rates) - 1
            count += len(rates)
    if freedom < ENOUGH:
        return Figure(0.0, count)
    variation = min(MOST, math.sqrt(squares / freedom))
    fitted = variation / (DEVIATION - MEAN * variation)
    return Figure(fitted if fitted >= LEAST else 0.0, count)


def _rates(stays: Sequence[Stay]) -> dict[int, list[float]]:
    """Return the seconds a unit of each trial's stretches.

    A job's first report is where its first stretch begins: before it the function also builds its model.
    """
    rates: dict[int, list[float]] = {}
    for stay in stays:
        if not stay.reports:
            continue
        resource, trained = stay.reports[0].resource, stay.reports[0].trained
        by_seconds = {report.trained: report.resource for report in stay.reports}
        for milestone in stay.decided.values():
            reached = by_seconds[milestone.trained]
            if reached > resource and milestone.trained > trained:
                rates.setdefault(stay.trial, []).append((milestone.trained - trained) / (reached - resource))
            resource, trained = reached, milestone.trained
    return rates
