"""Which workers a study has, as its records tell: of this machine, or of hosts that come and go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hbsim.runner.records import Record
from hbsim.runner.state import JournalState
from hbsim.study.words import plain

__all__ = ["NO_ANSWER", "Team"]

NO_ANSWER: Final = "no answer"
# What follows the name of a host where its workers are shut and nobody knows what runs there.
_SILENT: Final = " does not answer"
_GONE: Final = ": "


class Team:
    """The workers of a study since this process began.

    Parameters
    ----------
    journal_state : JournalState
        Of the study; it has each record before.
    workers : int or None
        How many there are on this machine; None: those of hosts.

    Attributes
    ----------
    hosts : dict of int to str
        The host of each worker, open or shut; empty where there is only this machine.
    shut : dict of int to str
        Workers that take no jobs, and why: ``"no answer"``, ``"host is taken away"``.
    """

    def __init__(self, journal_state: JournalState, workers: int | None) -> None:
        self.hosts: dict[int, str] = {}
        self.shut: dict[int, str] = {}
        self._journal_state = journal_state
        self._fixed = None if workers is None else range(workers)
        self._there = 0 if workers is None else workers  # workers since the last record, and
        self._working = 0  # those of them with a job
        self._since = journal_state.now  # when that was
        self._seconds = self._busy = 0.0  # of both, until then
        self._silent: dict[int, float] = {}  # workers that are shut as their host does not answer, since when

    def record(self, record: Record) -> None:
        """Take note of a record that the ledger has."""
        now = record["t"]
        self._seconds += self._there * (now - self._since)
        self._busy += self._working * (now - self._since)
        self._since = now
        kind, worker = record["e"], record.get("worker", -1)
        if kind == "open":
            self.hosts[worker] = plain(record["host"])
            self.shut.pop(worker, None)
            self._silent.pop(worker, None)
        elif kind == "shut":
            self._shut(worker, plain(record["reason"]), now)
        self._there = len(self.open)
        self._working = self._there - self.idle

    def _shut(self, worker: int, reason: str, now: float) -> None:
        own = reason.removeprefix(self.hosts.get(worker, ""))
        if own == _SILENT or own.startswith(_GONE):
            self._silent[worker] = now
        if own == _SILENT:
            self.shut[worker] = NO_ANSWER
        elif own.startswith(_GONE):
            self.shut[worker] = f"host is gone{own}"
        else:
            self.shut[worker] = reason if own == reason else f"host{own}"

    @property
    def open(self) -> Sequence[int]:
        """The workers that can have jobs."""
        return sorted(self._journal_state.machines) if self._fixed is None else self._fixed

    @property
    def idle(self) -> int:
        """How many of them have none."""
        return sum(worker not in self._journal_state.workers for worker in self.open)

    @property
    def silent(self) -> dict[int, float]:
        """The workers with a job of which nothing is heard, and since when: nobody knows if it runs."""
        jobs = self._journal_state.workers
        return {worker: since for worker, since in self._silent.items() if worker in jobs}

    def rows(self) -> list[int]:
        """Return the workers to be shown: those that have jobs or can have them, then those that are shut."""
        there = sorted({*self.open, *self._journal_state.workers})
        return [*there, *sorted(set(self.shut).difference(there))]

    def busy_share(self, now: float) -> float:
        """Return the share of worker seconds that were occupied."""
        passed = now - self._since
        busy, capacity = self._busy + self._working * passed, self._seconds + self._there * passed
        return min(1.0, busy / capacity) if capacity > 0 else 0.0

    def short_hosts(self) -> dict[int, str]:
        """Return the host of each worker, without domains where they are not needed; empty if all are one."""
        names = set(self.hosts.values())
        if len(names) < 2:
            return {}
        labels = {name: name.partition(".")[0] for name in names}
        numbers = (label.rpartition("@")[2].isdigit() for label in labels.values())
        if len(set(labels.values())) < len(names) or any(numbers):
            return self.hosts
        return {worker: labels[name] for worker, name in self.hosts.items()}
