"""The comparison of the simulator's predictions with real runs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from hbsim.core.factory import make_scheduler
from hbsim.errors import ParameterError, counted
from hbsim.study.simulate import check_study, simulate_checked
from hbsim.validation.curves import RowsInOrder, RunCurves
from hbsim.validation.measure import Costs, RecordedRun, measure, read

if TYPE_CHECKING:
    import polars as pl

    from hbsim.simulation import Result

PARTS: Final = ("start-up", "waiting", "load", "save", "training", "idle")


@dataclass(frozen=True, slots=True)
class Agreement:
    """The agreement between the decisions of a run and of its simulation.

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
class Prediction:
    """A prediction of a run, and what really happened.

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
    run: RecordedRun,
    costs: Costs,
    kind: str,
    parameters_from: Sequence[str],
    other: RecordedRun | None = None,
) -> Prediction:
    """Simulate a run's trials on a cluster of these costs, and compare.

    Parameters
    ----------
    run : RecordedRun
        The run.
    costs : Costs
        The cluster's parameters.
    kind : str
        What to call it.
    parameters_from : sequence of str
        Names of the runs that gave them.
    other : RecordedRun, optional
        A run of the same trials: training takes the seconds that it took there.
    """
    curves = RunCurves(run)
    if other is not None:
        curves.take_seconds(RunCurves(other))
    real = run.result
    options = dict(real.spec.scheduler)
    extensions = real.scheduler.extensions
    if not run.complete or real.spec.limit is not None:
        options["num_trials"], extensions = real.scheduler.started, ()
    scheduler = make_scheduler(options.pop("type"), **options)
    max_time = None if run.complete else real.end_time
    cluster, searcher = costs.cluster(real.workers), RowsInOrder()
    checked = check_study(scheduler, curves, None, 0, cluster, searcher, max_time, None, False)
    simulated = simulate_checked(scheduler, *checked, max_time=max_time, extensions=extensions)
    return Prediction(
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


def _real_parts(run: RecordedRun) -> dict[str, float]:
    """Return the worker seconds of the run by what they were spent on."""
    parts = dict.fromkeys(PARTS, 0.0)
    for job in run.jobs:
        parts["start-up"] += (job.rest if job.whole else 0.0) + (job.gap or 0.0)
        parts["training"] += job.trained + (0.0 if job.whole else job.rest)
        parts["waiting"] += job.wait + job.held
        parts["load"] += job.load
        parts["save"] += job.save
    capacity = run.result.capacity
    parts["idle"] = max(0.0, capacity - math.fsum(parts.values()))
    return parts


def _simulated_parts(result: Result) -> dict[str, float]:
    cluster, rows = result.cluster, result.job_rows()
    occupied = rows["end_time"] - rows["start_time"]
    startup = np.minimum(result.simulated.effects.first_startup.constant, occupied)
    loads = (rows["start_resource"] > 0) & cluster.resume
    load = np.where(loads, np.minimum(cluster.load, occupied - startup), 0.0)
    pauses = result.jobs["verdict"].to_numpy() == "pause"
    save = np.where(pauses & cluster.resume, np.minimum(cluster.save, occupied), 0.0)
    wait = np.maximum(0.0, occupied - startup - load - save - rows["trained"])
    sums = (startup, wait, load, save, rows["trained"])
    parts = {part: float(math.fsum(column)) for part, column in zip(PARTS, sums, strict=False)}
    parts["idle"] = max(0.0, cluster.workers * result.end_time - math.fsum(parts.values()))
    return parts


OWN: Final = "its own"
FIRST_HALF: Final = "its first half"
OTHER_HALF: Final = "other half"
OTHER_RUNS: Final = "other runs"
OTHER_RUN: Final = "other run"


@dataclass(frozen=True, slots=True)
class RunValidation:
    """A run and its checks.

    Attributes
    ----------
    run : RecordedRun
        The run.
    costs : Costs
        The cluster's parameters, measured from this run alone.
    checks : sequence of Prediction
        With parameters of its own; with those of the other half of the runs, of other runs where these do
        not tell what its checkpoints cost, or of its first half where none does; and, where another run had
        the same trials, with that run's seconds too.
    notes : sequence of str
        Remarks about the run.
    """

    run: RecordedRun
    costs: Costs
    checks: Sequence[Prediction]
    notes: Sequence[str]

    @property
    def calibrated(self) -> Prediction:
        """The check whose parameters do not come from the whole of this run."""
        return self.checks[1]


@dataclass(frozen=True, slots=True)
class Validation:
    """The result of `validate`.

    Attributes
    ----------
    runs : sequence of RunValidation
        In the order in which they were given.
    costs : Costs
        The cluster's parameters, measured from all runs.
    """

    runs: Sequence[RunValidation]
    costs: Costs

    @property
    def workers(self) -> int | None:
        """The number of workers, if all runs had the same."""
        counts = {part.run.result.workers for part in self.runs}
        return counts.pop() if len(counts) == 1 else None

    def cluster(self) -> dict[str, object]:
        """Return the keyword arguments of `hbsim.Cluster`."""
        return self.costs.cluster_options(self.workers)


def validate(folders: Iterable[Path | str]) -> Validation:
    """Compare the simulator's predictions with real runs.

    Parameters
    ----------
    folders : iterable of path
        Those of `hbsim.run`, one or more. With several, the parameters that are checked on the first, third,
        ... come from the second, fourth, ... and the other way round.

    Returns
    -------
    Validation

    Raises
    ------
    ParameterError
        A folder holds no study, or one in which nothing was decided, or is given twice.
    OutputError
        A study is still running.
    JournalError
        A journal is damaged, or the scheduler does not answer as it did in the recorded order.
    """
    runs = _read_all(list(folders))
    parts = []
    for place, run in enumerate(runs):
        own = measure([run.jobs])
        checks = [check(run, own, OWN, [run.name]), _calibrated(runs, place)]
        twin = _twin(runs, place)
        if twin is not None:
            last = checks[-1]
            checks.append(check(run, last.costs, OTHER_RUN, last.parameters_from, twin))
        parts.append(RunValidation(run, own, checks, _notes(run)))
    return Validation(parts, measure(run.jobs for run in runs))


def _read_all(folders: Sequence[Path | str]) -> list[RecordedRun]:
    if not folders:
        raise ParameterError("folders", None, "give one or more folders of hbsim run")
    places = [Path(folder).resolve() for folder in folders]
    for place, folder in zip(places, folders, strict=True):
        if places.count(place) > 1:
            raise ParameterError("folders", str(folder), "is given twice")
    runs = [read(folder) for folder in folders]
    names = [run.name for run in runs]
    return [
        replace(run, name=str(folder)) if names.count(run.name) > 1 else run
        for run, folder in zip(runs, folders, strict=True)
    ]


def _calibrated(runs: Sequence[RecordedRun], place: int) -> Prediction:
    """Predict a run with parameters that come from other runs."""
    run = runs[place]
    half = [runs[i] for i in range(len(runs)) if i % 2 != place % 2]
    rest = [other for other in runs if other is not run]
    for kind, candidates in ((OTHER_HALF, half), (OTHER_RUNS, rest)):
        if others := _like(candidates, run):
            costs = _sure_of_resume(measure(other.jobs for other in others), run)
            return check(run, costs, kind, [other.name for other in others])
    first = run.jobs[: max(1, len(run.jobs) // 2)]
    return check(run, _sure_of_resume(measure([first]), run), FIRST_HALF, [run.name])


def _like(others: Sequence[RecordedRun], run: RecordedRun) -> Sequence[RecordedRun]:
    """Return the runs that are most like one: of its function and number of workers, or of one of these.

    What a run's checkpoints cost is told by runs of its function that have some, and by no others: those of
    the stopping type save nothing. Without such runs there are none.
    """
    spec, workers = run.result.spec, run.result.workers
    same = [other for other in others if other.result.spec.train == spec.train]
    both = [other for other in same if other.result.workers == workers]
    wide = [other for other in others if other.result.workers == workers]
    needed = _checkpoints([run])
    groups = (both, same) if needed else (both, same, wide, others)
    return next((group for group in groups if group and needed <= _checkpoints(group)), [])


def _checkpoints(runs: Sequence[RecordedRun]) -> set[str]:
    """Return which costs of checkpoints these runs observed."""
    costs = measure(run.jobs for run in runs)
    return {name for name in ("save", "load") if getattr(costs, name).observations}


def _sure_of_resume(costs: Costs, run: RecordedRun) -> Costs:
    """Take `resume` from the run itself if other runs do not have it: it is a setting, not a measurement."""
    return costs if costs.resume.observations else costs.with_resume(measure([run.jobs]).resume)


def _twin(runs: Sequence[RecordedRun], place: int) -> RecordedRun | None:
    """Return another run of the same trials, on as nearly the same number of workers as there is."""
    run = runs[place]
    others = [other for other in runs if other is not run and run.same_trials(other)]
    return min(others, key=lambda other: abs(other.result.workers - run.result.workers), default=None)


def _notes(run: RecordedRun) -> list[str]:
    result, notes = run.result, []
    if not run.complete:
        why = "the process that ran it was killed" if result.why is None else result.why.past
        notes.append(f"{why}: the simulation is cut at the same time, and makespans say nothing")
    if run.resumed:
        times = counted(run.resumed, "time")
        notes.append(f"it was resumed {times}: what trained twice is not in the simulation")
    if numbers := result.scheduler.extensions:
        text = f"it was extended to {', then '.join(map(str, numbers))} trials: in the simulation "
        notes.append(f"{text}each time when nothing was left to do")
    if failed := len(result.failures):
        notes.append(f"{counted(failed, 'job')} failed: simulated failures strike others, at the same rate")
    if returned := result.summary()["returned"]:
        notes.append(f"{returned} returned below R: simulated trials train on, at their own rate")
    if any(job.save and job.verdict not in ("pause", None) for job in run.jobs):
        text = "jobs that did not pause saved checkpoints too: the simulator saves at pauses only, "
        notes.append(f"{text}and has these seconds as start-up")
    if refused := sum(not job.kept and job.seconds.get("save", 0.0) > 0 for job in run.jobs):
        notes.append(
            f"{counted(refused, 'job')} saved what no trial went on from: their seconds are start-up"
        )
    return notes
