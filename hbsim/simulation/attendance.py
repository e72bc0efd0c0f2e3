"""Which workers are there now, and until when; asked in the order of time."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import Final

from hbsim.simulation.cluster import Cluster
from hbsim.simulation.presence import Absence, Presence

__all__ = ["Attendance"]

NEVER: Final = Absence(inf, inf, False, 0.0)


class Attendance:
    """The next absence of each worker.

    Each worker has a place of its own in its machine's absences: an absence is over for a worker once
    the worker has gone through it, whatever a sum of floats makes of its time.

    Attributes
    ----------
    gone, back : list of float
        When each worker goes next, and when it is there again; inf for never.
    told : list of float
        When it is told that it goes: it gets no new job from then on.
    preempted : list of bool
        Whether it is taken away, and not broken.
    """

    def __init__(self, cluster: Cluster, seed: int) -> None:
        presence = Presence(cluster, seed)
        self._machine = cluster.machine_of
        self._coming: list[Iterator[Absence]] = [
            presence.absences(machine) for machine in range(cluster.count_machines)
        ]
        self._known: list[list[Absence]] = [[] for _ in self._coming]
        self._place = [-1] * cluster.workers
        self.gone = [0.0] * cluster.workers
        self.back = [0.0] * cluster.workers
        self.told = [0.0] * cluster.workers
        self.preempted = [False] * cluster.workers
        for worker in range(cluster.workers):
            self.advance(worker)

    def advance(self, worker: int) -> None:
        """Go on to the next absence."""
        machine = self._machine[worker]
        self._place[worker] += 1
        known = self._known[machine]
        if self._place[worker] == len(known):
            known.append(next(self._coming[machine], NEVER))
        absence = known[self._place[worker]]
        self.gone[worker] = absence.start
        self.back[worker] = absence.end
        self.told[worker] = absence.start - absence.notice
        self.preempted[worker] = absence.preempted

    def is_there(self, worker: int, now: float) -> bool:
        """Return whether an idle worker can be given work: it is there, and was not told that it goes."""
        while self.back[worker] <= now and self.back[worker] < inf:
            self.advance(worker)
        return now < self.told[worker]
