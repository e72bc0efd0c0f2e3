"""Read a study's journal: where scheduler, searcher and ledger stood at its end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hbsim.runner.loop import SearcherNotifier, drive
from hbsim.runner.records import Record, read_records
from hbsim.runner.replay import Replay
from hbsim.runner.state import JournalState
from hbsim.runner.tables import DecisionTable
from hbsim.study.folder import StudyFolder
from hbsim.study.spec import Spec

if TYPE_CHECKING:
    from hbsim.core.scheduler import Scheduler
    from hbsim.study.result import RunResult

__all__ = ["Standing", "load", "replay", "stand"]


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a study stands: new, or read again from its journal."""

    scheduler: Scheduler
    journal_state: JournalState
    decisions: DecisionTable


def stand(spec: Spec, scheduler: Scheduler) -> Standing:
    """Return where a new study stands."""
    journal_state = JournalState(scheduler.levels, scheduler.mode, spec.reward_attr, spec.study)
    return Standing(scheduler, journal_state, DecisionTable())


def replay(
    standing: Standing,
    records: Iterable[Record],
    path: str,
    telling: SearcherNotifier | None = None,
    dimension: int | None = None,
) -> None:
    """Bring a new study to where its journal's records leave it.

    The scheduler must answer as it did. The searcher is not asked for anything: it is given the
    configurations that it suggested, and told what was observed. `dimension` says how many numbers each has.

    Raises
    ------
    JournalError
        The scheduler answers something else; names the line.
    """
    searcher = None if telling is None else telling.searcher
    executor = Replay(records, standing.journal_state, path, standing.scheduler, searcher, dimension)
    drive(standing.scheduler, executor, standing.decisions, telling)
    while not executor.over:  # the study has grown
        drive(standing.scheduler, executor, standing.decisions, telling)


def load(folder: Path | str) -> RunResult:
    """Read a study that was run, whether it is over or not.

    Parameters
    ----------
    folder : path
        The study's.

    Returns
    -------
    RunResult
        As it stands in the journal.

    Raises
    ------
    ParameterError
        There is no study.
    JournalError
        The journal is damaged, or made by another version.
    """
    from hbsim.study.result import RunResult

    place = StudyFolder(folder)
    place.check(resume=True)
    records = read_records(place.journal, together=True)
    spec = Spec.from_dict(next(records)["spec"], str(place.journal))
    standing = stand(spec, spec.make_scheduler())
    replay(standing, records, str(place.journal), dimension=spec.space.dimension)
    workers = max(1, standing.journal_state.workers_seen)
    return RunResult(place, spec, standing.scheduler, standing.journal_state, standing.decisions, workers)
