"""Real runs held against the simulator: who calibrates whom, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from hbsim.errors import ParameterError
from hbsim.validation.check import Check, check
from hbsim.validation.costs import Costs, measure
from hbsim.validation.reading import Recorded, read

__all__ = ["Validated", "Validation", "validate"]

OWN: Final = "its own"
FIRST_HALF: Final = "its first half"
OTHER_HALF: Final = "other half"
OTHER_RUNS: Final = "other runs"
OTHER_RUN: Final = "other run"


@dataclass(frozen=True, slots=True)
class Validated:
    """A run and its checks.

    Attributes
    ----------
    run : Recorded
        The run.
    costs : Costs
        The cluster's parameters, measured from this run alone.
    checks : sequence of Check
        With parameters of its own; with those of the other half of the runs, of other runs where these do
        not tell what its checkpoints cost, or of its first half where none does; and, where another run had
        the same trials, with that run's seconds too.
    notes : sequence of str
        What to know about the run.
    """

    run: Recorded
    costs: Costs
    checks: Sequence[Check]
    notes: Sequence[str]

    @property
    def calibrated(self) -> Check:
        """The check whose parameters do not come from the whole of this run."""
        return self.checks[1]


@dataclass(frozen=True, slots=True)
class Validation:
    """What `validate` found.

    Attributes
    ----------
    runs : sequence of Validated
        In the order in which they were given.
    costs : Costs
        The cluster's parameters, measured from all runs.
    """

    runs: Sequence[Validated]
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
    """Hold the simulator against real runs.

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
        own = measure([run.stays])
        checks = [check(run, own, OWN, [run.name]), _calibrated(runs, place)]
        twin = _twin(runs, place)
        if twin is not None:
            last = checks[-1]
            checks.append(check(run, last.costs, OTHER_RUN, last.parameters_from, twin))
        parts.append(Validated(run, own, checks, _notes(run)))
    return Validation(parts, measure(run.stays for run in runs))


def _read_all(folders: Sequence[Path | str]) -> list[Recorded]:
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


def _calibrated(runs: Sequence[Recorded], place: int) -> Check:
    """Check a run with parameters that come from elsewhere."""
    run = runs[place]
    half = [runs[i] for i in range(len(runs)) if i % 2 != place % 2]
    rest = [other for other in runs if other is not run]
    for kind, candidates in ((OTHER_HALF, half), (OTHER_RUNS, rest)):
        if others := _like(candidates, run):
            costs = _sure_of_resume(measure(other.stays for other in others), run)
            return check(run, costs, kind, [other.name for other in others])
    first = run.stays[: max(1, len(run.stays) // 2)]
    return check(run, _sure_of_resume(measure([first]), run), FIRST_HALF, [run.name])


def _like(others: Sequence[Recorded], run: Recorded) -> Sequence[Recorded]:
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


def _checkpoints(runs: Sequence[Recorded]) -> set[str]:
    """Return which costs of checkpoints these runs observed."""
    costs = measure(run.stays for run in runs)
    return {name for name in ("save", "load") if getattr(costs, name).observations}


def _sure_of_resume(costs: Costs, run: Recorded) -> Costs:
    """Take from the run itself whether it has checkpoints, where others do not tell: it is no measurement."""
    return costs if costs.resume.observations else costs.with_resume(measure([run.stays]).resume)


def _twin(runs: Sequence[Recorded], place: int) -> Recorded | None:
    """Return another run of the same trials, on as nearly the same number of workers as there is."""
    run = runs[place]
    others = [other for other in runs if other is not run and run.same_trials(other)]
    return min(others, key=lambda other: abs(other.result.workers - run.result.workers), default=None)


ENDS: Final = {
    "max_time": "it was cut by its max_time",
    "max_reward": "it ended at max_reward",
    "interrupted": "it was interrupted",
    None: "the process that ran it was killed",
}


def _notes(run: Recorded) -> list[str]:
    result, notes = run.result, []
    if not run.complete:
        why = ENDS.get(result.why, str(result.why))
        notes.append(f"{why}: the simulation is cut at the same time, and makespans say nothing")
    if run.resumed:
        notes.append(f"it was resumed {run.resumed} times: what trained twice is not in the simulation")
    if len(failures := result.failures()):
        notes.append(f"{len(failures)} jobs failed: simulated failures strike other trials, at the same rate")
    if returned := result.summary()["returned"]:
        notes.append(f"{returned} trials returned below R: simulated ones train on, at their own rate")
    if any(stay.save and stay.verdict not in ("pause", None) for stay in run.stays):
        text = "jobs that did not pause saved checkpoints too: the simulator saves at pauses only, "
        notes.append(f"{text}and has these seconds as start-up")
    if refused := sum(not stay.kept and stay.seconds.get("save", 0.0) > 0 for stay in run.stays):
        notes.append(f"{refused} jobs saved what no trial went on from: their seconds are start-up")
    return notes
