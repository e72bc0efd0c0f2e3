"""The simulated cluster where checkpoints go through a store that all workers share."""

from __future__ import annotations

from heapq import heappush
from math import inf
from typing import Final

from hbsim.core.types import PAUSE
from hbsim.runner.loop import FAILURE, NOTHING, Event
from hbsim.simulation.cluster import Cluster
from hbsim.simulation.engine import Engine
from hbsim.simulation.state import GONE, LEFT, LOAD, SAVE, WAKE
from hbsim.simulation.stay import LEAVING, PAUSING, TRAINING, WAITING, Due, Stay
from hbsim.simulation.store import Store

__all__ = ["StoreEngine"]

SAVES: Final = 0  # the lanes of the store
LOADS: Final = 1


class StoreEngine(Engine):
    """An engine in which nobody knows beforehand when a transfer ends: its parts are events of their own."""

    def _set_costs(self, cluster: Cluster) -> None:
        super()._set_costs(cluster)
        assert cluster.store_bandwidth is not None
        alone = (self._save_speed, self._load_speed)
        self._store = Store(self._env, cluster.store_bandwidth, alone, cluster.workers, self._transferred)

    def _inner(self, worker: int, event: int) -> Event:
        if event is WAKE:
            return NOTHING
        stay = self._stays[worker]
        if event is SAVE:
            self._send(worker, stay, SAVES, inf)
        elif event is LOAD:
            self._start_up(worker, stay)
        elif event is GONE and stay.phase == PAUSING:
            self._unsaved(worker, stay)
        else:
            return super()._inner(worker, event)
        return NOTHING

    def _start_up(self, worker: int, stay: Stay) -> None:
        """Wait for a checkpoint that is on its way, or load it."""
        if self._drops:
            stay.exposed -= self.now - stay.since
        if stay.trial in self._saving:
            stay.phase = WAITING
            self._watch(worker, inf, WAKE)
            return
        expected = self._saved.get(stay.trial, 0.0)
        if expected > self.now:  # a worker was to save it, and goes before it hears of that
            stay.since = expected
            self._watch(worker, expected - self.now, LOAD)
        else:
            self._fetch(worker, stay)

    def _fetch(self, worker: int, stay: Stay) -> None:
        if self._place(stay):
            self._send(worker, stay, LOADS, stay.exposed if self._drops else inf)
        else:  # it was never saved
            self._begin(worker, stay, 0.0)

    def _send(self, worker: int, stay: Stay, lane: int, exposed: float) -> None:
        """Begin a transfer, which is exposed for so many seconds until it is lost."""
        stay.since = self.now
        size = self._sizes[stay.trial] if self._draws_size else self._size
        self._store.join(worker, size, lane)
        # Only a loss that can come before the transfer's end is worth an event.
        longest = self._store.longest(size, lane)
        if exposed <= longest or self._gone(worker) - self.now <= longest:
            self._watch(worker, inf, WAKE, exposed)

    def _transferred(self, worker: int) -> None:
        """Go on after a transfer."""
        self._cancel(worker)
        stay = self._stays[worker]
        if stay.phase == PAUSING:
            self._keep(stay, self.now)
            self._close(stay, PAUSE, self._ran(stay, self.now), self.now)
            heappush(self._free, worker)
            self._release(worker, stay.trial)
        elif stay.phase == LEAVING:
            self._due[worker].after(0.0, LEFT)
        else:
            if self._drops:
                stay.exposed -= self.now - stay.since
            self._begin(worker, stay, self._load)

    def _begin(self, worker: int, stay: Stay, load: float) -> None:
        """Train after `load` seconds."""
        stay.phase = TRAINING
        stay.base = stay.train_start = self.now + load
        if self._drops:
            left = stay.exposed
            stay.exposed = left - load
            if stay.exposed < 0.0:
                self._watch(worker, max(0.0, left), FAILURE)
                return
        self._train(worker, stay, load)

    def _unsaved(self, worker: int, stay: Stay) -> None:
        """Let a worker go that saves a paused trial: there is no checkpoint."""
        self._break_off(worker, stay)
        self.lost_saves.append(self.now)
        self._close(stay, PAUSE, self._ran(stay, self.now), min(self.now, self._gone(worker)))
        self._leave(worker)
        self._release(worker, stay.trial)

    def _break_off(self, worker: int, stay: Stay) -> None:
        if worker in self._store:
            self._store.leave(worker)
        if self._waiting.get(stay.trial) == worker:
            del self._waiting[stay.trial]

    def _release(self, worker: int, trial: int) -> None:
        """Let the job go on that waited for a checkpoint which this worker sent, saved or not."""
        if self._saving.get(trial) == worker:
            del self._saving[trial]
            waiting = self._waiting.pop(trial, -1)
            if waiting >= 0:
                stay = self._stays[waiting]
                if stay.phase == WAITING:
                    self._cancel(waiting)
                    self._fetch(waiting, stay)
                else:  # it starts up
                    self._place(stay)

    def _cancel(self, worker: int) -> None:
        """Forget what was due on a worker."""
        due = self._due[worker]
        if due.callbacks is not None:
            due.callbacks = []
            self._due[worker] = Due(self._env, worker, [self._fire])

    def close(self) -> None:
        """As in `Engine`, and let go of the store."""
        super().close()
        del self._store
