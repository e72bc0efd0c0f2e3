"""The store of checkpoints that all workers share: a link whose bandwidth is divided among transfers."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from math import inf

import simpy
from simpy.events import EventPriority

__all__ = ["Store"]

FIRST = EventPriority(-1)  # of simultaneous events transfers end first


class Lane:
    """Transfers of one kind, which have the same bandwidth of their own.

    All transfers of a lane are equally fast at any time, so how far they have come is counted once: a
    transfer of `size` that begins at progress p is done at p + size.
    """

    __slots__ = ("alone", "count", "done", "progress", "rate")

    def __init__(self, alone: float) -> None:
        self.alone = alone
        self.progress = 0.0
        self.rate = 0.0
        self.count = 0
        self.done: list[tuple[float, int, int]] = []  # a heap: progress at the end, serial, worker


class Store:
    """A SimPy resource: each of n transfers runs at bandwidth / n, or at its own bandwidth if that is less.

    Parameters
    ----------
    env : simpy.Environment
        Its time is the store's.
    bandwidth : float
        GB a second of all transfers together.
    alone : sequence of float
        GB a second that one transfer can have, for each lane; inf for no limit.
    workers : int
        How many there are: no more transfers can be under way.
    finished : callable
        Told of a worker whose transfer is done.
    """

    def __init__(
        self,
        env: simpy.Environment,
        bandwidth: float,
        alone: tuple[float, ...],
        workers: int,
        finished: Callable[[int], None],
    ) -> None:
        self._env = env
        self._bandwidth = bandwidth
        self._lanes = [Lane(speed) for speed in alone]
        self._slowest = [min(speed, bandwidth / workers) for speed in alone]
        self._unhindered = int(bandwidth / max(alone)) if max(alone) < inf else 0  # transfers that fit
        self._finished = finished
        self._serial = 0
        self._active: dict[int, tuple[int, Lane]] = {}  # worker -> serial, lane
        self._since = 0.0
        self._wakes_at = inf
        self._wake: simpy.Event | None = None

    def longest(self, size: float, lane: int) -> float:
        """Return the seconds that a transfer takes at most, whatever the others do."""
        return size / self._slowest[lane]

    def join(self, worker: int, size: float, lane: int) -> None:
        """Begin a worker's transfer of `size` GB."""
        self._advance()
        self._serial += 1
        one, active = self._lanes[lane], self._active
        heappush(one.done, (one.progress + size, self._serial, worker))
        one.count += 1
        active[worker] = (self._serial, one)
        if len(active) <= self._unhindered:  # all others go on as they did
            one.rate = one.alone
            self._wake_in(size / one.alone)
        else:
            self._share()

    def leave(self, worker: int) -> None:
        """Break off a worker's transfer."""
        self._advance()
        self._drop(worker)
        self._share()

    def __contains__(self, worker: int) -> bool:
        return worker in self._active

    def _drop(self, worker: int) -> None:
        _, lane = self._active.pop(worker)
        lane.count -= 1
        if not lane.count:  # nothing runs: no rounding is carried on
            lane.done.clear()
            lane.progress = 0.0

    def _advance(self) -> None:
        now = self._env.now
        passed = now - self._since
        self._since = now
        if passed > 0.0:
            for lane in self._lanes:
                if lane.count:
                    lane.progress += lane.rate * passed

    def _share(self) -> None:
        """Work out the rates, and when the next transfer is done."""
        active = self._active
        if not active:
            return
        share, soonest = self._bandwidth / len(active), inf
        for lane in self._lanes:
            if not lane.count:
                continue
            lane.rate = rate = share if share < lane.alone else lane.alone
            done = lane.done
            end, serial, worker = done[0]
            while worker not in active or active[worker][0] != serial:  # it was broken off
                heappop(done)
                end, serial, worker = done[0]
            left = (end - lane.progress) / rate
            if left < soonest:
                soonest = left
        self._wake_in(soonest if soonest > 0.0 else 0.0)

    def _wake_in(self, seconds: float) -> None:
        """Look at what is done in so many seconds; if that is later than planned, look then again."""
        time = self._env.now + seconds
        if time < self._wakes_at:
            self._wakes_at = time
            wake = self._wake
            if wake is None or wake.callbacks is not None:
                self._wake = wake = simpy.Event(self._env)
                wake._ok, wake._value = True, None
            wake.callbacks = [self._ring]
            self._env.schedule(wake, FIRST, seconds)

    def _ring(self, wake: simpy.Event) -> None:
        if wake is not self._wake:
            return
        self._wakes_at = inf
        self._advance()
        now, active = self._env.now, self._active
        over: list[tuple[int, int]] = []
        for lane in self._lanes:
            done = lane.done
            while lane.count:
                end, serial, worker = done[0]
                if worker in active and active[worker][0] == serial:
                    if now + (end - lane.progress) / lane.rate > now:  # what is left, time can tell
                        break
                    over.append((serial, worker))
                    self._drop(worker)
                    if not lane.count:
                        break
                heappop(done)
        self._share()
        if len(over) > 1:
            over.sort()
        for _, worker in over:
            self._finished(worker)
