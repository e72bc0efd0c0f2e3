"""Which workers a study has, as its records tell: of this machine, or of hosts that come and go."""

from __future__ import annotations

from collections.abc import Sequence

from hbsim.live.words import plain
from hbsim.runner.ledger import Ledger
from hbsim.runner.records import Record

__all__ = ["Team"]


class Team:
    """The workers of a study since this process began.

    Parameters
    ----------
    ledger : Ledger
        Of the study; it has each record before.
    workers : int or None
        How many there are on this machine; None: those of hosts.

    Attributes
    ----------
    hosts : dict of int to str
        The host of each worker, open or shut; empty where there is only this machine.
    shut : dict of int to str
        Workers that have no host any more, and why.
    """

    def __init__(self, ledger: Ledger, workers: int | None) -> None:
        self.hosts: dict[int, str] = {}
        self.shut: dict[int, str] = {}
        self._ledger = ledger
        self._fixed = None if workers is None else range(workers)
        self._there = 0 if workers is None else workers  # workers since the last record
        self._since = ledger.now  # when that was
        self._seconds = 0.0  # of workers, until then
        self._starts: dict[int, float] = {}  # by job on a worker
        self._busy = 0.0  # worker seconds of jobs that are over

    def record(self, record: Record) -> None:
        """Take note of a record that the ledger has."""
        now = record["t"]
        self._seconds += self._there * (now - self._since)
        self._since = now
        kind, worker = record["e"], record.get("worker", -1)
        if kind in ("start", "restart"):
            self._starts[record["job"]] = now
        elif kind == "gone":
            self._busy += now - self._starts.pop(record["job"], now)
        elif kind == "open":
            self.hosts[worker] = plain(record["host"])
            self.shut.pop(worker, None)
        elif kind == "shut":
            self.shut[worker] = plain(record["reason"])
        if self._fixed is None:  # a job that was lost takes its worker until that is known
            self._there = len({*self._ledger.machines, *self._ledger.workers})

    @property
    def open(self) -> Sequence[int]:
        """The workers that can have jobs."""
        return sorted(self._ledger.machines) if self._fixed is None else self._fixed

    @property
    def idle(self) -> int:
        """How many of them have none."""
        return sum(worker not in self._ledger.workers for worker in self.open)

    @property
    def jobs(self) -> int:
        """How many jobs there are on workers."""
        return len(self._starts)

    def rows(self) -> list[int]:
        """Return the workers to be shown: those that have jobs or can have them, then those that are shut."""
        there = sorted({*self.open, *self._ledger.workers})
        return [*there, *sorted(set(self.shut).difference(there))]

    def busy_share(self, now: float) -> float:
        """Return the share of worker seconds that were occupied."""
        busy = self._busy + sum(now - start for start in self._starts.values())
        capacity = self._seconds + self._there * (now - self._since)
        return min(1.0, busy / capacity) if capacity > 0 else 0.0

    def short_hosts(self) -> dict[int, str]:
        """Return the host of each worker, without domains where they are not needed; empty if all are one."""
        names = set(self.hosts.values())
        if len(names) < 2:
            return {}
        labels = {name: name.partition(".")[0] for name in names}
        if len(set(labels.values())) < len(names) or any(label.isdigit() for label in labels.values()):
            return self.hosts
        return {worker: labels[name] for worker, name in self.hosts.items()}
