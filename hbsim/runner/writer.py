"""The records of a real study: first into the journal, then into the ledger, then to whoever looks on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from hbsim.runner.records import Record
from hbsim.runner.state import JournalState
from hbsim.runner.workers import ReportRow

__all__ = ["Observer", "RecordSink", "RecordWriter"]

STEP: Final = 6  # digits of seconds in the journal


class RecordSink(Protocol):
    """Where records go: a journal."""

    def append(self, record: Record) -> int:
        """Write a record down for good."""
        ...

    def tick(self) -> None:
        """Take note of the time; called a few times a second."""
        ...


class Observer(Protocol):
    """Looks on: a table, a log, whoever tidies up checkpoints."""

    def record(self, record: Record) -> None:
        """Take note of a record that has been written and applied."""
        ...

    def tick(self) -> None:
        """Take note of the time; called a few times a second."""
        ...


class RecordWriter:
    """Writes records, in study seconds.

    Parameters
    ----------
    journal : RecordSink
        Gets every record before anybody else.
    journal_state : JournalState
        Gets it next.
    observers : sequence of Observer
        Told of it at last.
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
        self._begun = clock() - journal_state.now  # study seconds go on where they stopped

    def time(self) -> float:
        """Return the study seconds, never less than what has been written."""
        return max(round(self.clock() - self._begun, STEP), self.journal_state.now)

    def write(self, record: dict[str, object], time: float | None = None) -> None:
        """Write a record down, of now or of a time since the last one."""
        record = {"e": record.pop("e"), "t": self.time() if time is None else time, **record}
        self._journal.append(record)
        self.journal_state.apply(record)
        for observer in self._observers:
            observer.record(record)

    def since(self, at: float) -> float:
        """Return the study seconds at a time of the clock."""
        return round(at - self._begun, STEP)

    def packed(self, rows: Sequence[ReportRow]) -> list[list[object]]:
        """Return reports as they are in records."""
        begun = self._begun
        return [
            [round(row.at - begun, STEP), round(row.trained, STEP), row.resource, row.metrics] for row in rows
        ]

    def tick(self) -> None:
        """Let journal and observers take note of the time."""
        self._journal.tick()
        for observer in self._observers:
            observer.tick()
