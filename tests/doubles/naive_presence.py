"""When machines are there, the slow way: all that keeps them away up to a time, each source on its own."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from itertools import pairwise
from math import inf
from typing import Any

import numpy as np

from hbsim.core.streams import Purpose, block_generator

Interval = tuple[float, float, bool]  # start, end, whether it is taken away


class NaivePresence:
    """The absences of a cluster's machines that start by `horizon`."""

    def __init__(self, cluster: Any, seed: int, horizon: float) -> None:
        self.cluster, self.seed, self.horizon = cluster, seed, horizon
        self.sources = cache(self._sources)

    def _sources(self, machine: int) -> list[Interval]:
        """Return what keeps a machine away, each source on its own."""
        cluster = self.cluster
        found: list[Interval] = []
        if cluster.mtbf is not None:
            found += self._drawn(machine, Purpose.OUTAGE, cluster.mtbf, cluster.mttr, False)
        if cluster.preempted_every is not None:
            every, away = cluster.preempted_every, cluster.preempted_for
            found += self._drawn(machine, Purpose.PREEMPTION, every, away, True)
        for place, (time, machines) in enumerate(cluster.schedule):
            later = [time for time, _ in cluster.schedule[place + 1 :]]
            if machine + 1 > machines:
                found.append((time, min(later, default=inf), True))
        if cluster.trace is not None:
            found += [each[:3] for each in cluster.trace.absences[machine]]
        return [each for each in found if each[0] <= self.horizon]

    def _drawn(self, machine: int, purpose: Purpose, there: Any, away: Any, taken: bool) -> list[Interval]:
        found: list[Interval] = []
        now, drawn = 0.0, 0
        while now <= self.horizon:
            numbers = block_generator(self.seed, purpose, machine, drawn // 64).random((64, 2))[drawn % 64]
            start = now + there.quantile(np.array([numbers[0]]))[0]
            now = start + (away.quantile(np.array([numbers[1]]))[0] if away else 0.0)
            found.append((float(start), float(now), taken))
            drawn += 1
        return found

    def is_there(self, machine: int, time: float) -> bool:
        """Return whether a machine is there just after a time."""
        return not any(start <= time < end for start, end, _ in self.sources(machine))

    def absences(self, machine: int) -> list[tuple[float, float, bool, float]]:
        """Return start, end, whether it is taken away, and its notice."""
        groups: list[list[Interval]] = []
        for each in self.sources(machine):
            touched = [group for group in groups if any(_touch(each, other) for other in group)]
            groups = [group for group in groups if group not in touched]
            groups.append([each, *(other for group in touched for other in group)])
        whole = sorted((_start(group), max(end for _, end, _ in group), group) for group in groups)
        absences, back = [], 0.0
        for start, end, group in whole:
            taken = all(each[2] for each in group if each[0] == start)
            absences.append((start, end, taken, min(self.cluster.notice, start - back) if taken else 0.0))
            back = end
        return absences

    def there(self, machine: int, until: float) -> float:
        """Return how long a machine is there in [0, until], at most the horizon; summed without rounding."""
        sources = self.sources(machine)
        times = sorted({0.0, until, *(time for each in sources for time in each[:2] if time < until)})
        total = Fraction(0)
        for start, end in pairwise(times):
            if self.is_there(machine, start):
                total += Fraction(end) - Fraction(start)
        return float(total)


def _start(group: list[Interval]) -> float:
    return min(start for start, _, _ in group)


def _touch(one: Interval, other: Interval) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]
