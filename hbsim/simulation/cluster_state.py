"""What the simulated cluster knows of its jobs, and what everything costs there."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from math import inf

import simpy

from hbsim.core.levels import Levels
from hbsim.runner.loop import END, FAILURE, FREE
from hbsim.runner.tables import FailureTable, JobTable
from hbsim.simulation.availability import WorkerAvailability
from hbsim.simulation.cluster import Cluster
from hbsim.simulation.curves import TrialCurves
from hbsim.simulation.disk import DiskUsage
from hbsim.simulation.jobs import LEAVING, SimulatedJob, TrainingProgress, WorkerEvent
from hbsim.simulation.random_effects import RandomEffects

__all__ = ["GONE", "LEFT", "LOAD", "NOTICE", "OVER", "SAVE", "WAKE", "ClusterState"]


class InnerEvent(IntEnum):
    """What happens on a worker, and the loop need not know, or knows as a FAILURE."""

    GONE = END + 1  # the worker goes, and its job with it
    LEFT = END + 2  # a job that was told to go has saved
    NOTICE = END + 3  # the worker is told that it goes
    LOAD = END + 4  # start-up is over, and a checkpoint is needed
    SAVE = END + 5  # a checkpoint is ready to be sent
    OVER = END + 6  # a job that ran on has heard of its end
    WAKE = END + 7  # nothing on a worker: transfers have come to their end


GONE, LEFT, NOTICE, LOAD, SAVE, OVER, WAKE = InnerEvent


class ClusterState:
    """The workers, their jobs, and the events that are due on them.

    Parameters
    ----------
    cluster : Cluster
        The workers, and what everything costs.
    curves : TrialCurves
        What each trial shows at each level, and how long it takes.
    geometry : Levels
        The scheduler's.
    jobs : JobTable
        Gets a row a job.
    max_time : float
        Simulated seconds at which everything is cut.
    seed : int
        Of the study.
    dropped : callable
        Names the paused trials that can never go on, each once (`Scheduler.dropped`).

    Attributes
    ----------
    luck : RandomEffects
        What trials meet where parameters are distributions.
    failures : FailureTable
        A row a job that was lost.
    lost_saves : list of float
        When checkpoints were not saved at a pause, since the worker went.
    disk : DiskUsage or None
        What checkpoints hold, if they have a size.
    """

    def __init__(
        self,
        cluster: Cluster,
        curves: TrialCurves,
        geometry: Levels,
        jobs: JobTable,
        max_time: float,
        seed: int,
        dropped: Callable[[], list[int]],
    ) -> None:
        self.now = 0.0
        self.trial = -1
        self.at = 0
        self.value = 0.0
        self.kind = "lost"  # or preempted, which counts alike
        self.jobs = jobs
        self.failures = FailureTable()
        self.lost_saves: list[float] = []
        self.max_time = max_time
        self.interrupted = False
        self.curves = curves
        self._values, self._seconds = curves.values, curves.seconds
        self._from_zero = curves.from_zero if curves.high_brackets else curves.seconds
        self._levels = geometry.levels
        self._index = {level: at for at, level in enumerate(geometry.levels)}
        self._first = geometry.first
        self._width = len(geometry.levels)
        self._speeds = cluster.speeds
        self._async = cluster.report == "async"
        self._progress = TrainingProgress(curves, geometry, self._speeds, self._async)
        self.luck = RandomEffects(cluster, seed, self._width)
        self._here = WorkerAvailability(cluster, seed) if cluster.has_absences else None
        self._sized = cluster.resume and self.luck.size.constant != 0.0
        self.disk = DiskUsage(self.luck.size, dropped) if self._sized else None
        self._env = simpy.Environment()
        self._peek, self._step = self._env.peek, self._env.step
        self._nobody = WorkerEvent(self._env, -1, [])  # whose event it is that is due on no worker
        self._nobody.event = WAKE
        self._fired = self._nobody
        self._due = [WorkerEvent(self._env, worker, [self._fire]) for worker in range(cluster.workers)]
        self._stays = [SimulatedJob() for _ in range(cluster.workers)]
        for worker, stay in enumerate(self._stays):
            stay.worker = worker
            stay.busy = stay.starts_over = False
        self._free = list(range(cluster.workers))  # a heap
        self._first_budgets = curves.first_budgets
        self._budgets: dict[int, tuple[int, float]] = {}  # of paused trials: attempt, exposed seconds left
        self._shares = cluster.shares_store  # then it is a `StoreEngine`
        self._set_costs(cluster)

    def _set_costs(self, cluster: Cluster) -> None:
        luck, here = self.luck, self._here
        self._startup, self._startups = luck.first_startup.constant, luck.first_startup.first
        self._delay, self._delays = luck.report_delay.constant, luck.report_delay.first
        self._draws_startup, self._draws_delay = luck.first_startup.is_drawn, luck.report_delay.is_drawn
        self._answer, self._answer_times = luck.decision_delay.constant, luck.decision_delay.first
        self._answers, self._draws_answer = self._answer != 0.0, luck.decision_delay.is_drawn
        self._suggest_delay = cluster.suggest_delay
        self._chosen = 0  # trials whose configuration was asked for
        self._chosen_by = 0.0  # when the searcher has chosen the last of them
        self._size, self._sizes = luck.size.constant, luck.size.first
        self._draws_size = luck.size.is_drawn
        self._drops = cluster.drop_rate > 0
        self._risky = self._drops or here is not None
        self._resume, self._retry_from = cluster.resume, cluster.retry_from
        self._save, self._load = cluster.save, cluster.load
        store = inf if cluster.store_bandwidth is None else cluster.store_bandwidth
        self._save_speed = min(store, inf if cluster.save_bandwidth is None else cluster.save_bandwidth)
        self._load_speed = min(store, inf if cluster.load_bandwidth is None else cluster.load_bandwidth)
        self._starts_over = cluster.resume and cluster.retry_from == "zero"
        self._saves = cluster.resume and (self._save > 0 or self._sized or self._answers)
        # Where trials stand with their checkpoints, if it is not always their last milestone.
        self._tracks = cluster.resume and (here is not None or self._retry_from != "milestone")
        self._over: set[int] = set()  # trials that start over in their next job, from zero
        self._kept: dict[int, tuple[int, float]] = {}  # a level's index, and seconds of the curve beyond it
        self._saved: dict[int, float] = {}  # when each paused trial's checkpoint is saved
        # Trials whose checkpoint is on its way: the worker that sends it, and the one that waits for it.
        self._saving: dict[int, int] = {}
        self._waiting: dict[int, int] = {}
        self._plain = not (self._async or self._risky or self._saves or self._answers or self._tracks)

    def _fire(self, due: simpy.Event) -> None:
        self._fired = due  # type: ignore[assignment]

    # Where a job trains from

    def _place(self, stay: SimulatedJob) -> bool:
        """Put a job where it trains from; return whether that is a checkpoint."""
        is_new = not stay.stood and stay.trial not in self._kept
        if stay.starts_over or (is_new and stay.at == stay.first):
            stay.base_at, stay.done, stay.start_resource = -1, 0.0, 0.0
            stay.seconds = self._progress.stretch(stay)
            return False
        below = stay.at - 1 if stay.stood else -1
        if self._tracks:
            stay.base_at, stay.done = self._position(stay.trial, below)
        else:
            stay.base_at, stay.done = below if self._resume else -1, 0.0
        stay.seconds = self._progress.stretch(stay)
        has_checkpoint = stay.base_at >= 0 or stay.done > 0.0
        stay.start_resource = self._progress.resource(stay, 0.0) if has_checkpoint else 0.0
        return has_checkpoint

    def _position(self, trial: int, below: int) -> tuple[int, float]:
        """Return the level (an index, -1 for zero) and the seconds beyond it from which a trial goes on."""
        kept = self._kept.get(trial, (-1, 0.0))
        if self._retry_from == "milestone" or trial in self._saving:
            return max(kept, (below, 0.0))
        return kept

    def _budget_left(self, trial: int, attempt: int) -> float:
        """Return the exposed seconds that a job has until it is lost."""
        paused = self._budgets.pop(trial, None)
        if paused is not None and paused[0] == attempt:
            return paused[1]
        return self.curves.budget(trial, attempt) if attempt else self._first_budgets[trial]

    def _can_save(self, stay: SimulatedJob, seconds: float) -> bool:
        """Return whether a trial's checkpoint can be saved in so many seconds, and is any good."""
        if not self._resume or self._retry_from == "zero":
            return False
        return self._save + self._alone(stay.trial) <= seconds

    def _alone(self, trial: int) -> float:
        """Return the seconds that the transfer of a saved checkpoint takes at a worker's full bandwidth."""
        return (
            (self._sizes[trial] if self._draws_size else self._size) / self._save_speed
            if self._sized
            else 0.0
        )

    # What becomes of workers and checkpoints

    def _watch(self, worker: int, delay: float, event: int, exposed: float = inf) -> None:
        """Let an event happen in `delay` seconds, or a loss that comes before."""
        if exposed < delay:
            delay, event = exposed, FAILURE
        if self._here is not None:
            gone = self._here.gone[worker]
            if gone - self.now < delay:
                self._due[worker].at(gone, GONE)
                return
        if delay < inf:
            self._due[worker].after(delay, event)

    def _gone(self, worker: int) -> float:
        """Return when a worker goes next; inf for never."""
        return inf if self._here is None else self._here.gone[worker]

    def _leave(self, worker: int) -> None:
        """Let a worker go; it is free when it is back."""
        assert self._here is not None
        back = self._here.back[worker]
        self._here.advance(worker)
        if back < inf:
            self._due[worker].at(back, FREE)

    def _close(self, stay: SimulatedJob, verdict: int, extra: float, end: float) -> None:
        """Write a job's row; it trained `extra` seconds since `base`, none if that is below 0."""
        stay.busy = False
        if end < stay.train_start and end < self._saved.get(stay.trial, 0.0) and not stay.starts_over:
            # It waited for a checkpoint on its way, which nobody knew then not to come.
            reached = stay.start_resource = stay.stood
        elif extra <= 0.0 and not stay.done:
            reached = self._levels[stay.base_at] if stay.base_at >= 0 else 0.0
        else:
            stay.trained += max(0.0, extra)
            there = extra == stay.seconds and not self._async and stay.base_at < stay.at  # no rounding
            reached = self._levels[stay.at] if there else self._progress.resource(stay, max(0.0, extra))
        self.jobs.end(stay, reached, end, verdict)

    def _keep(self, stay: SimulatedJob, time: float) -> None:
        """Take note of a checkpoint that is saved at `time`."""
        assert stay.kept is not None
        trial = stay.trial
        if stay.phase == LEAVING or (self._tracks and self._retry_from != "milestone"):
            self._kept[trial] = max(stay.kept, self._kept.get(trial, stay.kept))
        if self.disk is not None:
            self.disk.save(trial, time)

    def _forget(self, trial: int) -> None:
        """Take note that a trial needs no checkpoint any more, maybe while one is saved."""
        if self._tracks:
            self._kept.pop(trial, None)
        if self.disk is not None:
            self.disk.end(trial, self.now, trial in self._saving)

    def _break_off(self, worker: int, stay: SimulatedJob) -> None:
        """Break off a transfer of a job that is lost; here none takes events of its own."""
