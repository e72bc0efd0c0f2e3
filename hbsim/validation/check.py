"""A run predicted by the simulator, and held against what happened."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from hbsim.core.factory import make_scheduler
from hbsim.study.simulate import simulate
from hbsim.validation.costs import Costs
from hbsim.validation.curves import InOrder, RunCurves
from hbsim.validation.reading import Recorded

if TYPE_CHECKING:
    import polars as pl

    from hbsim.simulation import Result

__all__ = ["PARTS", "Agreement", "Check", "check"]

PARTS: Final = ("start-up", "waiting", "load", "save", "training", "idle")


@dataclass(frozen=True, slots=True)
class Agreement:
    """The decisions of a run beside those of its simulation.

    Attributes
    ----------
    real, simulated : int
        How many there were.
    common, same : int
        How many trials came to the same level in both; how many of these met the same verdict.
    unobserved : int
        How many simulated decisions used a value that the run never saw.
    first : str or None
        The first difference, in words.
    """

    real: int
    simulated: int
    common: int
    same: int
    unobserved: int
    first: str | None

    @property
    def share(self) -> float:
        """Return the share of common decisions with the same verdict."""
        return self.same / self.common if self.common else math.nan


@dataclass(frozen=True, slots=True)
class Check:
    """A prediction, and what happened.

    Attributes
    ----------
    kind : str
        Where parameters and curves come from, in words.
    parameters_from, seconds_from : sequence of str
        The runs that gave the cluster's parameters and the seconds of the curves.
    costs : Costs
        The cluster's parameters.
    agreement : Agreement
        Of the decisions.
    real, simulated : float
        Makespan, seconds.
    real_parts, simulated_parts : dict of str to float
        Seconds of worker time by what they went to; they add up to workers x makespan.
    comparable : bool
        Whether makespans can be compared: the run ended by itself.
    result : Result
        The simulated study.
    """

    kind: str
    parameters_from: Sequence[str]
    seconds_from: str
    costs: Costs
    agreement: Agreement
    real: float
    simulated: float
    real_parts: Mapping[str, float]
    simulated_parts: Mapping[str, float]
    comparable: bool
    result: Result

    @property
    def error(self) -> float | None:
        """The relative error of the makespan; None where it was given."""
        return self.simulated / self.real - 1 if self.comparable and self.real else None

    def busy(self, parts: Mapping[str, float]) -> float:
        """Return the share of worker time that is not idle."""
        total = math.fsum(parts.values())
        return 1 - parts["idle"] / total if total else 0.0

    def as_dict(self) -> dict[str, object]:
        """Return it in plain types."""
        agreement = self.agreement
        return {
            "kind": self.kind,
            "parameters_from": list(self.parameters_from),
            "seconds_from": self.seconds_from,
            "cluster": self.costs.cluster_options(self.result.cluster.workers),
            "observations": self.costs.observations(),
            "decisions": {
                "real": agreement.real,
                "simulated": agreement.simulated,
                "common": agreement.common,
                "same": agreement.same,
                "share": agreement.share,
                "only_real": agreement.real - agreement.common,
                "only_simulated": agreement.simulated - agreement.common,
                "unobserved": agreement.unobserved,
                "first_difference": agreement.first,
            },
            "makespan": {"real": self.real, "simulated": self.simulated, "error": self.error},
            "busy_share": {"real": self.busy(self.real_parts), "simulated": self.busy(self.simulated_parts)},
            "worker_seconds": {
                part: {"real": self.real_parts[part], "simulated": self.simulated_parts[part]}
                for part in PARTS
            },
        }


def check(
    run: Recorded, costs: Costs, kind: str, parameters_from: Sequence[str], other: Recorded | None = None
) -> Check:
    """Simulate a run's trials on a cluster of these costs, and compare.

    Parameters
    ----------
    run : Recorded
        The run.
    costs : Costs
        The cluster's parameters.
    kind : str
        What to call it.
    parameters_from : sequence of str
        Names of the runs that gave them.
    other : Recorded, optional
        A run of the same trials: training takes the seconds that it took there.
    """
    curves = RunCurves(run)
    if other is not None:
        curves.take_seconds(RunCurves(other))
    real = run.result
    options = dict(real.spec.scheduler)
    if not run.complete or real.spec.limit is not None:
        options["num_trials"] = real.scheduler.started
    simulated = simulate(
        make_scheduler(options.pop("type"), **options),
        curves,
        cluster=costs.cluster(real.workers),
        searcher=InOrder(),
        max_time=None if run.complete else real.end_time,
    )
    return Check(
        kind=kind,
        parameters_from=parameters_from,
        seconds_from=run.name if other is None else other.name,
        costs=costs,
        agreement=_agreement(real.decisions, simulated, curves),
        real=real.end_time,
        simulated=simulated.end_time,
        real_parts=_real_parts(run),
        simulated_parts=_simulated_parts(simulated),
        comparable=run.complete,
        result=simulated,
    )


def _agreement(real: pl.DataFrame, result: Result, curves: RunCurves) -> Agreement:
    columns = ("trial", "level", "verdict")
    ours = {(trial, level): verdict for trial, level, verdict in real.select(columns).iter_rows()}
    theirs = {
        (trial, level): verdict for trial, level, verdict in result.decisions.select(columns).iter_rows()
    }
    common = [key for key in ours if key in theirs]
    differ = [key for key in ours if key not in theirs or ours[key] != theirs[key]]
    levels = np.array(curves.resources)
    rows = result.decisions
    at = np.searchsorted(levels, rows["level"].to_numpy())
    unobserved = int((~curves.observed[rows["trial"].to_numpy(), at]).sum())
    first = _difference(differ[0], ours, theirs) if differ else None
    if first is None and len(theirs) > len(ours):
        first = _difference(next(key for key in theirs if key not in ours), ours, theirs)
    same = len(ours) - len(differ)
    return Agreement(len(ours), len(theirs), len(common), same, unobserved, first)


def _difference(
    key: tuple[int, float],
    real: Mapping[tuple[int, float], str],
    simulated: Mapping[tuple[int, float], str],
) -> str:
    never = "not there"
    trial, level = key
    return f"trial {trial} at {level:g}: {real.get(key, never)}, simulated {simulated.get(key, never)}"


def _real_parts(run: Recorded) -> dict[str, float]:
    """Return where the workers' time went."""
    parts = dict.fromkeys(PARTS, 0.0)
    for stay in run.stays:
        parts["start-up"] += (stay.rest if stay.whole else 0.0) + (stay.gap or 0.0)
        parts["training"] += stay.trained + (0.0 if stay.whole else stay.rest)
        parts["waiting"] += stay.wait + stay.held
        parts["load"] += stay.load
        parts["save"] += stay.save
    capacity = run.result.capacity
    parts["idle"] = max(0.0, capacity - math.fsum(parts.values()))
    return parts


def _simulated_parts(result: Result) -> dict[str, float]:
    cluster, rows = result.cluster, result.job_rows()
    stays = rows["end_time"] - rows["start_time"]
    startup = np.minimum(result.simulated.effects.first_startup.constant, stays)
    loads = (rows["start_resource"] > 0) & cluster.resume
    load = np.where(loads, np.minimum(cluster.load, stays - startup), 0.0)
    pauses = result.jobs["verdict"].to_numpy() == "pause"
    save = np.where(pauses & cluster.resume, np.minimum(cluster.save, stays), 0.0)
    wait = np.maximum(0.0, stays - startup - load - save - rows["trained"])
    sums = (startup, wait, load, save, rows["trained"])
    parts = {part: float(math.fsum(column)) for part, column in zip(PARTS, sums, strict=False)}
    parts["idle"] = max(0.0, cluster.workers * result.end_time - math.fsum(parts.values()))
    return parts
