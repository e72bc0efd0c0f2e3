"""The store of checkpoints that all workers share: a link whose bandwidth is divided among transfers."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from math import inf

import simpy
from simpy.events import EventCallbacks, EventPriority

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
    finished : callable
        Told of a worker whose transfer is done.
    """

    def __init__(
        self,
        env: simpy.Environment,
        bandwidth: float,
        alone: tuple[float, ...],
        finished: Callable[[int], None],
    ) -> None:
        self._env = env
        self._bandwidth = bandwidth
        self._lanes = [Lane(speed) for speed in alone]
        self._finished = finished
        self._serial = 0
        self._active: dict[int, tuple[int, int]] = {}  # worker -> serial, lane
        self._since = 0.0
        self._wakes_at = inf
        self._wake: simpy.Event | None = None

    def join(self, worker: int, size: float, lane: int) -> None:
        """Begin a worker's transfer of `size` GB."""
        self._advance()
        self._serial += 1
        one = self._lanes[lane]
        heappush(one.done, (one.progress + size, self._serial, worker))
        one.count += 1
        self._active[worker] = (self._serial, lane)
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
        one = self._lanes[lane]
        one.count -= 1
        if not one.count:  # nothing runs: no rounding is carried on
            one.done.clear()
            one.progress = 0.0

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
        n = len(self._active)
        soonest = inf
        for lane in self._lanes:
            if not lane.count:
                continue
            lane.rate = min(lane.alone, self._bandwidth / n)
            done = lane.done
            while not self._runs(done[0]):
                heappop(done)
            soonest = min(soonest, (done[0][0] - lane.progress) / lane.rate)
        time = self._env.now + max(0.0, soonest)
        if time < self._wakes_at:  # else the next wake-up comes early, and looks again
            self._wakes_at = time
            self._schedule(max(0.0, soonest))

    def _runs(self, entry: tuple[float, int, int]) -> bool:
        active = self._active.get(entry[2])
        return active is not None and active[0] == entry[1]

    def _schedule(self, delay: float) -> None:
        self._wake = wake = simpy.Event(self._env)
        wake._ok, wake._value = True, None
        wake.callbacks = self._listeners()
        self._env.schedule(wake, FIRST, delay)

    def _listeners(self) -> EventCallbacks:
        return [self._ring]

    def _ring(self, wake: simpy.Event) -> None:
        if wake is not self._wake:
            return
        self._wakes_at = inf
        self._advance()
        over: list[tuple[int, int]] = []
        for lane in self._lanes:
            # What is left is less than time can tell.
            while lane.count and lane.done:
                end, serial, worker = lane.done[0]
                if not self._runs(lane.done[0]):
                    heappop(lane.done)
                    continue
                if self._env.now + (end - lane.progress) / lane.rate > self._env.now:
                    break
                heappop(lane.done)
                over.append((serial, worker))
                self._drop(worker)
        self._share()
        for _, worker in sorted(over):
            self._finished(worker)
