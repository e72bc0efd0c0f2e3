"""A real study, read for what it cost: each stay on a worker, and where its time went."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import isnan, nan
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hbsim.errors import HbsimWarning, ParameterError
from hbsim.runner.records import Record, read_records
from hbsim.runner.state import JournalState, value_of
from hbsim.searchers import learns
from hbsim.study.folder import StudyFolder
from hbsim.study.load import load

if TYPE_CHECKING:
    from hbsim.study.result import RunResult

__all__ = ["Decided", "Recorded", "Report", "Stay", "read", "went_on"]


class Report(NamedTuple):
    """One report of a job: the resource, the seconds of training until then, the metric (NaN for none)."""

    resource: float
    trained: float
    value: float


class Decided(NamedTuple):
    """A milestone of a job: the value that was decided on, and its seconds of training until then."""

    value: float
    trained: float


@dataclass(slots=True)
class Stay:
    """A job on a worker, as the journal has it. Times are study seconds.

    Attributes
    ----------
    job, trial, worker : int
        Who, and where.
    start_time, end_time : float
        From the order to the moment at which the worker was free again.
    stood, start_resource : float
        The milestone where the trial stood; from where it trained: 0 if it trained again what it had.
    held_back : bool
        Whether the trial's last process was still there at the start, saving its checkpoint.
    begun : float or None
        When the training function was called.
    seconds : dict
        What was measured within the process: start, load, save, wait, exit.
    gap : float or None
        How long its worker was idle before, although there was a job for it; None where it waited for one.
    reports : list of Report
        In order.
    decided : dict of int to Decided
        By the index of the level.
    verdict : str or None
        The decision that ended it, or failed; None if it was cut.
    kept : bool
        Whether what it saved was of use: if the trial went on, it was from there. What a refused checkpoint
        took is not the cost of one.
    """

    job: int
    trial: int
    worker: int
    start_time: float
    stood: float
    gap: float | None
    held_back: bool = False
    start_resource: float = 0.0
    end_time: float = nan
    begun: float | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    reports: list[Report] = field(default_factory=list)
    decided: dict[int, Decided] = field(default_factory=dict)
    verdict: str | None = None
    kept: bool = True

    @property
    def trained(self) -> float:
        """Seconds of training until the last report."""
        return self.reports[-1].trained if self.reports else 0.0

    @property
    def whole(self) -> bool:
        """Whether a decision ended it: then all its seconds are accounted for."""
        return self.begun is not None and self.verdict not in (None, "failed")

    @property
    def held(self) -> float:
        """Seconds until the process was started, where it was held back."""
        if not self.held_back or self.begun is None or "start" not in self.seconds:
            return 0.0
        return max(0.0, self.begun - self.start_time - self.seconds["start"])

    @property
    def wait(self) -> float:
        """Seconds at milestones."""
        return self.seconds.get("wait", 0.0)

    @property
    def save(self) -> float:
        """Seconds of saving checkpoints; of refused ones they are start-up."""
        return self.seconds.get("save", 0.0) if self.kept else 0.0

    @property
    def load(self) -> float:
        """Seconds of loading the checkpoint that a trial went on from; to look for none is start-up."""
        return self.seconds.get("load", 0.0) if self.start_resource else 0.0

    @property
    def rest(self) -> float:
        """What is left of the stay: start-up, refused checkpoints, and the exit of the process."""
        spent = self.trained + self.wait + self.save + self.load + self.held
        return max(0.0, self.end_time - self.start_time - spent)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A real study and its stays.

    Attributes
    ----------
    name : str
        The folder's, without those above it.
    result : RunResult
        As `hbsim.load` reads it: the scheduler has given the same answers again.
    stays : list of Stay
        In the order of starts.
    resumed : int
        How often the study went on in a new process.
    """

    name: str
    result: RunResult
    stays: Sequence[Stay]
    resumed: int

    @property
    def complete(self) -> bool:
        """Whether nothing but the scheduler ended it."""
        return self.result.why == "done"

    def same_trials(self, other: Recorded) -> bool:
        """Whether trial i is the same in both: all but the scheduler is, and the searcher does not learn."""
        spec = self.result.spec
        ours, theirs = spec.as_dict(), other.result.spec.as_dict()
        is_same = all(ours[name] == theirs[name] for name in ours if name != "scheduler")
        return spec.digest is not None and not learns(spec.searcher) and is_same


def read(folder: Path | str) -> Recorded:
    """Read a study that was run.

    Raises
    ------
    ParameterError
        There is no study in the folder, or nothing was decided in it.
    OutputError
        The study is still running.
    JournalError
        The journal is damaged, or the scheduler does not answer as it did in the recorded order.
    """
    place = StudyFolder(folder)
    if not place.holds_study:
        raise ParameterError("folders", str(folder), "holds no study: it has no journal.jsonl")
    with _at_rest(place.path):
        result = load(place.path)
        with warnings.catch_warnings():  # `load` has said it
            warnings.simplefilter("ignore", HbsimWarning)
            records = list(read_records(place.journal))
    if result.spec.until_return:
        rule = "its trials ran until their functions returned: no decision was made that could be predicted"
        raise ParameterError("folders", str(folder), rule)
    if result.decisions.is_empty() or result.spec.reward_attr is None:
        rule = "is a study in which nothing was decided: there is nothing to hold the simulator against"
        raise ParameterError("folders", str(folder), rule)
    resumed = sum(record["e"] == "resume" for record in records)
    return Recorded(place.path.name, result, _Reading(result).read(records), resumed)


@contextmanager
def _at_rest(path: Path) -> Iterator[None]:
    """Hold the study's lock, if this process may write there: nobody else writes while it is read."""
    from hbsim.runner.lock import StudyLock

    if not os.access(path, os.W_OK):
        yield
        return
    with StudyLock(path):
        yield


def went_on(stays: Iterable[Stay]) -> list[bool]:
    """Return of each job of a trial that had trained before whether it went on from where the trial stood."""
    return [stay.start_resource > 0 for stay in stays if stay.stood and stay.reports]


def _note_refused(stays: Sequence[Stay]) -> None:
    """Take note of jobs whose checkpoints were refused: their trials trained from zero again.

    A trial that did not go on fares as most of the others did.
    """
    going = went_on(stays)
    usual = 2 * sum(going) >= len(going)
    last: dict[int, Stay] = {}
    for stay in stays:
        before = last.get(stay.trial)
        if before is not None and stay.stood and stay.reports:
            before.kept = stay.start_resource > 0
        last[stay.trial] = stay
    for stay in last.values():
        stay.kept = usual


class _Reading:
    """Turns records into stays."""

    def __init__(self, result: RunResult) -> None:
        spec = result.spec
        self._journal_state = JournalState(result.scheduler.levels, result.scheduler.mode, spec.reward_attr)
        self._metric = spec.reward_attr
        self._stays: dict[int, Stay] = {}
        self._free = dict.fromkeys(range(result.workers), 0.0)  # since when, of those with work to do

    def read(self, records: Sequence[Record]) -> list[Stay]:
        for record in records:
            kind = record["e"]
            self._note_free(record)
            if kind == "resume":
                self._end_all()
            elif kind == "gone":
                self._end(record)
            elif kind in ("start", "restart"):
                self._begin(record)
            self._journal_state.apply(record)
            if "rows" in record:
                self._hear(record)
            elif kind == "fail":
                self._stays[record["job"]].verdict = "failed"
            elif kind == "return":
                self._stays[record["job"]].verdict = "complete"
        self._end_all()
        stays = list(self._stays.values())
        _note_refused(stays)
        return stays

    def _end_all(self) -> None:
        """End what was under way: the process that ran the study is gone, and its jobs with it."""
        for stay in self._stays.values():
            if isnan(stay.end_time):
                stay.end_time = self._journal_state.now

    def _note_free(self, record: Record) -> None:
        """Take note of which workers wait for a job from now on, or do not."""
        kind = record["e"]
        if kind in ("none", "resume"):
            self._free.clear()
        elif kind == "shut":
            self._free.pop(record["worker"], None)
        elif kind == "open":
            self._free[record["worker"]] = record["t"]

    def _begin(self, record: Record) -> None:
        worker, time = record["worker"], record["t"]
        since = self._free.pop(worker, None)
        gap = None if since is None else max(0.0, time - since)
        job, trial = record["job"], record["trial"]
        held = any(stay.trial == trial for stay in self._journal_state.runs.values())
        self._stays[job] = Stay(job, trial, worker, time, float(record["start"]), gap, held)

    def _hear(self, record: Record) -> None:
        stay = self._stays[record["job"]]
        for _, trained, resource, metrics in record["rows"]:
            stay.reports.append(Report(resource, trained, value_of(metrics, self._metric)))
        under_way = self._journal_state.runs[record["job"]]
        stay.start_resource = under_way.start_resource
        if record["e"] == "reach":
            value = nan if record["value"] is None else record["value"]
            stay.decided[record["at"]] = Decided(value, stay.trained)
            if record["verdict"] != "continue":
                stay.verdict = record["verdict"]

    def _end(self, record: Record) -> None:
        stay = self._stays[record["job"]]
        stay.end_time, stay.begun = record["t"], record["begun"]
        stay.seconds = dict(record["seconds"])
        self._free[stay.worker] = record["t"]
