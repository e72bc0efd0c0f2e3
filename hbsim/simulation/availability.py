"""The availability of machines: breaks, preemptions, a schedule and a recorded trace, combined.

Breaks and preemptions of a machine are renewal processes by the clock: available, absent, available, and
so on from time 0. Random numbers depend on (purpose, machine, chunk), never on the course of the study.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator
from itertools import count, pairwise
from math import inf
from typing import TYPE_CHECKING, Final, cast

import numpy as np

from hbsim.core.streams import Purpose, block_generator
from hbsim.simulation.cluster import Cluster
from hbsim.simulation.distributions import Distribution
from hbsim.simulation.trace import Absence, joined

if TYPE_CHECKING:
    from hbsim.simulation.trace import Trace

CHUNK: Final = 64  # pairs of times that are drawn at once; part of the meaning of a seed


class MachineAvailability:
    """The times at which each machine of a cluster is available.

    Parameters
    ----------
    cluster : Cluster
        Its `mtbf` and `mttr`, `preempted_every` and `preempted_for`, `schedule`, `trace` and `notice`.
    seed : int
        Of the study.
    """

    def __init__(self, cluster: Cluster, seed: int) -> None:
        self._seed = seed
        self._notice = cluster.notice
        self._schedule = cluster.schedule
        self._trace = cast("Trace | None", cluster.trace)  # a checked cluster has no path or text any more
        self._renewals = cast(
            "tuple[tuple[Purpose, bool, Distribution | None, float | Distribution], ...]",
            (
                (Purpose.OUTAGE, False, cluster.mtbf, cluster.mttr),
                (Purpose.PREEMPTION, True, cluster.preempted_every, cluster.preempted_for),
            ),
        )

    def absences(self, machine: int) -> Iterator[Absence]:
        """Yield the absences of a machine: ascending, with gaps between them, perhaps without end.

        Absences that overlap or touch are merged into one, of the kind of the first; of two that start
        together a break counts as the first. Only preemptions have notice, and at most as much as the
        machine is available before: `start - notice` is never before the end of the previous absence.
        """
        sources = [
            _renewal(self._seed, purpose, machine, preempted, there, away)
            for purpose, preempted, there, away in self._renewals
            if there is not None
        ]
        if self._schedule:
            sources.append(_scheduled(self._schedule, machine))
        if self._trace is not None:
            sources.append(iter(self._trace.absences[machine]))
        whole = joined(heapq.merge(*sources, key=lambda one: (one.start, one.preempted)))
        return _noticed(whole, self._notice) if self._notice else whole

    def there(self, machine: int, until: float) -> float:
        """Return how many seconds a machine is there in [0, until], summed exactly."""
        parts = [until]
        for absence in self.absences(machine):
            if absence.start >= until:
                break
            parts += (absence.start, -min(absence.end, until))
        return math.fsum(parts)


def _renewal(
    seed: int,
    purpose: Purpose,
    machine: int,
    preempted: bool,
    there: Distribution,
    away: float | Distribution,
) -> Iterator[Absence]:
    """Yield the absences of a process that goes on for ever."""
    now = 0.0
    for chunk in count():
        uniform = block_generator(seed, purpose, machine, chunk).random((CHUNK, 2))
        spans = np.empty((CHUNK, 2))
        spans[:, 0] = there.quantile(uniform[:, 0])
        spans[:, 1] = away if isinstance(away, float) else away.quantile(uniform[:, 1])
        spans[0, 0] += now
        times: list[float] = np.cumsum(spans).tolist()
        for start, end in zip(times[::2], times[1::2], strict=True):
            yield Absence(start, end, preempted)
        now = times[-1]


def _scheduled(schedule: Iterable[tuple[float, int]], machine: int) -> Iterator[Absence]:
    """Yield when a schedule of (time, machines) has fewer machines than this one needs to be there."""
    for (start, machines), (end, _) in pairwise((*schedule, (math.inf, 0))):
        if machine >= machines:
            yield Absence(start, end, True)


def _noticed(absences: Iterable[Absence], notice: float) -> Iterator[Absence]:
    back = 0.0
    for absence in absences:
        start, end, preempted, _ = absence
        if preempted:
            given = min(notice, start - back)
            while start - given < back:  # the difference was rounded up
                given = math.nextafter(given, 0.0)
            yield Absence(start, end, preempted, given)
        else:
            yield absence
        back = end


NEVER: Final = Absence(inf, inf, False, 0.0)


class WorkerAvailability:
    """The next absence of each worker.

    Each worker has a place of its own in its machine's absences: an absence is over for a worker once
    the worker has gone through it, whatever a sum of floats makes of its time.

    Attributes
    ----------
    gone, back : list of float
        When each worker goes next, and when it is there again; inf for never.
    notified : list of float
        When it gets notice that it leaves: it gets no new job from then on.
    preempted : list of bool
        Whether it is taken away, and not broken.
    """

    def __init__(self, cluster: Cluster, seed: int) -> None:
        presence = MachineAvailability(cluster, seed)
        self._machine = cluster.machine_of
        self._coming: list[Iterator[Absence]] = [
            presence.absences(machine) for machine in range(cluster.count_machines)
        ]
        self._known: list[list[Absence]] = [[] for _ in self._coming]
        self._place = [-1] * cluster.workers
        self.gone = [0.0] * cluster.workers
        self.back = [0.0] * cluster.workers
        self.notified = [0.0] * cluster.workers
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
        self.notified[worker] = absence.start - absence.notice
        self.preempted[worker] = absence.preempted

    def is_available(self, worker: int, now: float) -> bool:
        """Return whether an idle worker can get a job: it is available, and had no notice that it leaves."""
        while self.back[worker] <= now and self.back[worker] < inf:
            self.advance(worker)
        return now < self.notified[worker]
