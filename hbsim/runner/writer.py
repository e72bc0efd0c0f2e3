"""The writer of a real study's records: first to the journal, then to the state, then to observers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from hbsim.runner.journal_state import JournalState
from hbsim.runner.records import Record, Row, line_fields
from hbsim.runner.workers import ReportRow

STEP: Final = 6  # digits of seconds in the journal


class RecordSink(Protocol):
    """A destination of records, such as a journal."""

    def append(self, record: Mapping[str, Any]) -> int:
        """Write the fields of a record durably."""
        ...

    def tick(self) -> None:
        """Sync what is due; called a few times a second."""
        ...


class Observer(Protocol):
    """Receives a study's records: a progress table, a log, the removal of checkpoints."""

    def record(self, record: Record) -> None:
        """Handle a record that has been written and applied."""
        ...

    def tick(self) -> None:
        """Do what is due by time; called a few times a second."""
        ...


class RecordWriter:
    """Writes records, and gives them their time in study seconds.

    Parameters
    ----------
    journal : RecordSink
        Gets every record first.
    journal_state : JournalState
        Gets it second.
    observers : sequence of Observer
        Get it last.
    clock : callable
        Seconds; the one that `ReportRow.at` is read from.
    """

    def __init__(
        self,
        journal: RecordSink,
        journal_state: JournalState,
        observers: Sequence[Observer],
        clock: Callable[[], float],
    ) -> None:
        self.journal_state, self.clock = journal_state, clock
        self._journal, self._observers = journal, observers
        self._begun = clock() - journal_state.now  # study seconds continue from the last session

    def time(self) -> float:
        """Return the study seconds now, never less than those of the last record."""
        return max(round(self.clock() - self._begun, STEP), self.journal_state.now)

    def write(self, record: Record) -> None:
        """Write a record."""
        self._journal.append(line_fields(record))
        self.journal_state.apply(record)
        for observer in self._observers:
            observer.record(record)

    def since(self, at: float) -> float:
        """Convert a time of the clock to study seconds."""
        return round(at - self._begun, STEP)

    def packed(self, rows: Sequence[ReportRow]) -> list[Row]:
        """Return reports in the form that records hold."""
        begun = self._begun
        return [
            (round(row.at - begun, STEP), round(row.trained, STEP), row.resource, row.metrics) for row in rows
        ]

    def tick(self) -> None:
        """Call `tick` of the journal and of the observers."""
        self._journal.tick()
        for observer in self._observers:
            observer.tick()
