"""The store of checkpoints that all workers share, and the engine in which its transfers are events."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from math import inf
from typing import Final

import simpy
from simpy.events import EventPriority

from hbsim.core.types import PAUSE
from hbsim.runner.loop import FAILURE, NOTHING, Event
from hbsim.simulation.cluster import Cluster
from hbsim.simulation.cluster_state import GONE, LEFT, LOAD, SAVE, WAKE
from hbsim.simulation.engine import Engine
from hbsim.simulation.jobs import LEAVING, PAUSING, TRAINING, WAITING, SimulatedRun, WorkerEvent

FIRST = EventPriority(-1)  # of simultaneous events transfers end first


class TransferLane:
    """The transfers of one kind, saves or loads, each of which may use the same bandwidth.

    All transfers of a lane are equally fast at any time, so one number has the progress of all, in GB: a
    transfer of `size` that begins at progress p ends at progress p + size.
    """

    __slots__ = ("alone", "count", "done", "progress", "rate")

    def __init__(self, alone: float) -> None:
        self.alone = alone
        self.progress = 0.0
        self.rate = 0.0
        self.count = 0
        self.done: list[tuple[float, int, int]] = []  # a heap: progress at the end, serial, worker


class SharedStore:
    """A shared store: each of n transfers runs at bandwidth / n, or at its own bandwidth if that is less.

    Parameters
    ----------
    env : simpy.Environment
        The environment of the simulation.
    bandwidth : float
        The bandwidth of all transfers together, in GB a second.
    alone : sequence of float
        By lane: the bandwidth of one transfer, in GB a second; inf for no limit.
    workers : int
        The number of workers, and so of transfers at the same time.
    finished : callable
        Called with the number of a worker whose transfer has ended.
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
        self._lanes = [TransferLane(speed) for speed in alone]
        self._slowest = [min(speed, bandwidth / workers) for speed in alone]
        self._unhindered = int(bandwidth / max(alone)) if max(alone) < inf else 0  # transfers that fit
        self._finished = finished
        self._serial = 0
        self._active: dict[int, tuple[int, TransferLane]] = {}  # worker -> serial, lane
        self._since = 0.0
        self._check_at = inf
        self._wake: simpy.Event | None = None

    def longest(self, size: float, lane: int) -> float:
        """Return the most seconds that a transfer takes, whatever the other transfers are."""
        return size / self._slowest[lane]

    def join(self, worker: int, size: float, lane: int) -> None:
        """Begin a worker's transfer of `size` GB."""
        self._advance()
        self._serial += 1
        one, active = self._lanes[lane], self._active
        heappush(one.done, (one.progress + size, self._serial, worker))
        one.count += 1
        active[worker] = (self._serial, one)
        if len(active) <= self._unhindered:  # the others keep their rates
            one.rate = one.alone
            self._check_in(size / one.alone)
        else:
            self._share()

    def leave(self, worker: int) -> None:
        """Cancel a worker's transfer."""
        self._advance()
        self._drop(worker)
        self._share()

    def __contains__(self, worker: int) -> bool:
        return worker in self._active

    def _drop(self, worker: int) -> None:
        _, lane = self._active.pop(worker)
        lane.count -= 1
        if not lane.count:  # without transfers rounding errors are dropped
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
        """Compute the rates of all transfers, and schedule a check at the end of the next one."""
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
            while worker not in active or active[worker][0] != serial:  # it was cancelled
                heappop(done)
                end, serial, worker = done[0]
            left = (end - lane.progress) / rate
            if left < soonest:
                soonest = left
        self._check_in(soonest if soonest > 0.0 else 0.0)

    def _check_in(self, seconds: float) -> None:
        """Schedule a check for ended transfers in `seconds`, unless an earlier one is scheduled."""
        time = self._env.now + seconds
        if time < self._check_at:
            self._check_at = time
            wake = self._wake
            if wake is None or wake.callbacks is not None:
                self._wake = wake = simpy.Event(self._env)
                wake._ok, wake._value = True, None
            wake.callbacks = [self._end_transfers]
            self._env.schedule(wake, FIRST, seconds)

    def _end_transfers(self, wake: simpy.Event) -> None:
        """End the transfers that are complete."""
        if wake is not self._wake:
            return
        self._check_at = inf
        self._advance()
        now, active = self._env.now, self._active
        over: list[tuple[int, int]] = []
        for lane in self._lanes:
            done = lane.done
            while lane.count:
                end, serial, worker = done[0]
                if worker in active and active[worker][0] == serial:
                    if (
                        now + (end - lane.progress) / lane.rate > now
                    ):  # the rest takes longer than the last bit of the time
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


SAVES: Final = 0  # the lanes of the store
LOADS: Final = 1


class StoreEngine(Engine):
    """The engine of a cluster whose workers share a store.

    The end of a transfer depends on other transfers, so it is an event of its own.
    """

    def _set_costs(self, cluster: Cluster) -> None:
        super()._set_costs(cluster)
        assert cluster.store_bandwidth is not None
        alone = (self._save_speed, self._load_speed)
        self._store = SharedStore(
            self._env, cluster.store_bandwidth, alone, cluster.workers, self._transferred
        )

    def _inner(self, worker: int, event: int) -> Event:
        if event is WAKE:
            return NOTHING
        run = self._runs[worker]
        if event is SAVE:
            self._send(worker, run, SAVES, inf)
        elif event is LOAD:
            self._start_up(worker, run)
        elif event is GONE and run.phase == PAUSING:
            self._unsaved(worker, run)
        else:
            return super()._inner(worker, event)
        return NOTHING

    def _start_up(self, worker: int, run: SimulatedRun) -> None:
        """Wait while the trial's checkpoint is being saved, or begin to load it."""
        if self._drops:
            run.exposed -= self.now - run.since
        if run.trial in self._saving:
            run.phase = WAITING
            self._schedule(worker, inf, WAKE)
            return
        expected = self._saved.get(run.trial, 0.0)
        if expected > self.now:  # its worker left before it received the order to save it
            run.since = expected
            self._schedule(worker, expected - self.now, LOAD)
        else:
            self._fetch(worker, run)

    def _fetch(self, worker: int, run: SimulatedRun) -> None:
        if self._place(run):
            self._send(worker, run, LOADS, run.exposed if self._drops else inf)
        else:  # it was never saved
            self._begin(worker, run, 0.0)

    def _send(self, worker: int, run: SimulatedRun, lane: int, exposed: float) -> None:
        """Begin a worker's transfer; its job is lost after `exposed` seconds."""
        run.since = self.now
        size = self._sizes[run.trial] if self._draws_size else self._size
        self._store.join(worker, size, lane)
        # Only a loss that can come before the transfer's end is worth an event.
        longest = self._store.longest(size, lane)
        if exposed <= longest or self._gone(worker) - self.now <= longest:
            self._schedule(worker, inf, WAKE, exposed)

    def _transferred(self, worker: int) -> None:
        """Continue a job whose transfer has ended."""
        self._cancel(worker)
        run = self._runs[worker]
        if run.phase == PAUSING:
            self._keep(run, self.now)
            self._close(run, PAUSE, self._ran(run, self.now), self.now)
            heappush(self._free, worker)
            self._release(worker, run.trial)
        elif run.phase == LEAVING:
            self._due[worker].after(0.0, LEFT)
        else:
            if self._drops:
                run.exposed -= self.now - run.since
            self._begin(worker, run, self._load)

    def _begin(self, worker: int, run: SimulatedRun, load: float) -> None:
        """Train after `load` seconds."""
        run.phase = TRAINING
        run.base = run.train_start = self.now + load
        if self._drops:
            left = run.exposed
            run.exposed = left - load
            if run.exposed < 0.0:
                self._schedule(worker, max(0.0, left), FAILURE)
                return
        self._train(worker, run, load)

    def _unsaved(self, worker: int, run: SimulatedRun) -> None:
        """End the job of a paused trial whose worker leaves before the checkpoint is saved."""
        self._break_off(worker, run)
        self.lost_saves.append(self.now)
        self._close(run, PAUSE, self._ran(run, self.now), min(self.now, self._gone(worker)))
        self._leave(worker)
        self._release(worker, run.trial)

    def _break_off(self, worker: int, run: SimulatedRun) -> None:
        if worker in self._store:
            self._store.leave(worker)
        if self._waiting.get(run.trial) == worker:
            del self._waiting[run.trial]

    def _release(self, worker: int, trial: int) -> None:
        """Continue the job that waits for a trial's checkpoint, once this worker has saved it or has left."""
        if self._saving.get(trial) == worker:
            del self._saving[trial]
            waiting = self._waiting.pop(trial, -1)
            if waiting >= 0:
                run = self._runs[waiting]
                if run.phase == WAITING:
                    self._cancel(waiting)
                    self._fetch(waiting, run)
                else:  # it starts up
                    self._place(run)

    def _cancel(self, worker: int) -> None:
        """Cancel the next event on a worker."""
        due = self._due[worker]
        if due.callbacks is not None:
            due.callbacks = []
            self._due[worker] = WorkerEvent(self._env, worker, [self._fire])

    def close(self) -> None:
        """Release the events and the store."""
        super().close()
        del self._store
