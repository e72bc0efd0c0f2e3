"""The state of the simulated cluster: workers, jobs and checkpoints, and their costs."""

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
from hbsim.simulation.jobs import LEAVING, SimulatedRun, TrainingProgress, WorkerEvent
from hbsim.simulation.random_effects import RandomEffects


class InnerEvent(IntEnum):
    """The kinds of events on workers that the loop does not receive, or receives as a FAILURE."""

    GONE = END + 1  # the worker goes, and its job with it
    LEFT = END + 2  # a job that was ordered to leave has saved
    NOTICE = END + 3  # the worker gets notice that its machine leaves
    LOAD = END + 4  # start-up is over, and a checkpoint is needed
    SAVE = END + 5  # a checkpoint is ready to be sent
    OVER = END + 6  # a job that ran on has received its decision to end
    WAKE = END + 7  # nothing on a worker: transfers have come to their end


GONE, LEFT, NOTICE, LOAD, SAVE, OVER, WAKE = InnerEvent


class ClusterState:
    """The workers, their jobs, and the events that are due on them.

    Parameters
    ----------
    cluster : Cluster
        The workers, and what everything costs.
    curves : TrialCurves
        The value and the seconds of each trial at each level.
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
    effects : RandomEffects
        The random values for trials of parameters that are distributions.
    failures : FailureTable
        A row a job that was lost.
    lost_saves : list of float
        When checkpoints were not saved at a pause, since the worker went.
    disk : DiskUsage or None
        The disk use of checkpoints, if they have a size.
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
        self.effects = RandomEffects(cluster, seed, self._width)
        self._availability = WorkerAvailability(cluster, seed) if cluster.has_absences else None
        self._sized = cluster.resume and self.effects.size.constant != 0.0
        self.disk = DiskUsage(self.effects.size, dropped) if self._sized else None
        self._env = simpy.Environment()
        self._peek, self._step = self._env.peek, self._env.step
        self._nobody = WorkerEvent(self._env, -1, [])  # whose event it is that is due on no worker
        self._nobody.event = WAKE
        self._fired = self._nobody
        self._due = [WorkerEvent(self._env, worker, [self._fire]) for worker in range(cluster.workers)]
        self._runs = [SimulatedRun() for _ in range(cluster.workers)]
        for worker, run in enumerate(self._runs):
            run.worker = worker
            run.busy = run.starts_over = False
        self._free = list(range(cluster.workers))  # a heap
        self._first_budgets = curves.first_budgets
        self._budgets: dict[int, tuple[int, float]] = {}  # of paused trials: attempt, exposed seconds left
        self._shares = cluster.shares_store  # then it is a `StoreEngine`
        self._set_costs(cluster)

    def _set_costs(self, cluster: Cluster) -> None:
        effects, availability = self.effects, self._availability
        self._startup, self._startups = effects.first_startup.constant, effects.first_startup.first
        self._delay, self._delays = effects.report_delay.constant, effects.report_delay.first
        self._draws_startup, self._draws_delay = (
            effects.first_startup.is_random,
            effects.report_delay.is_random,
        )
        self._answer, self._answer_times = effects.decision_delay.constant, effects.decision_delay.first
        self._answers, self._draws_answer = self._answer != 0.0, effects.decision_delay.is_random
        self._suggest_delay = cluster.suggest_delay
        self._chosen = 0  # trials whose configuration was asked for
        self._chosen_by = 0.0  # when the searcher has chosen the last of them
        self._size, self._sizes = effects.size.constant, effects.size.first
        self._draws_size = effects.size.is_random
        self._drops = cluster.drop_rate > 0
        self._risky = self._drops or availability is not None
        self._resume, self._retry_from = cluster.resume, cluster.retry_from
        self._save, self._load = cluster.save, cluster.load
        store = inf if cluster.store_bandwidth is None else cluster.store_bandwidth
        self._save_speed = min(store, inf if cluster.save_bandwidth is None else cluster.save_bandwidth)
        self._load_speed = min(store, inf if cluster.load_bandwidth is None else cluster.load_bandwidth)
        self._starts_over = cluster.resume and cluster.retry_from == "zero"
        self._saves = cluster.resume and (self._save > 0 or self._sized or self._answers)
        # Where trials stand with their checkpoints, if it is not always their last milestone.
        self._tracks = cluster.resume and (availability is not None or self._retry_from != "milestone")
        self._over: set[int] = set()  # trials that start over in their next job, from zero
        self._kept: dict[int, tuple[int, float]] = {}  # a level's index, and seconds of the curve beyond it
        self._saved: dict[int, float] = {}  # when each paused trial's checkpoint is saved
        # Trials whose checkpoint is on its way: the worker that sends it, and the one that waits for it.
        self._saving: dict[int, int] = {}
        self._waiting: dict[int, int] = {}
        self._plain = not (self._async or self._risky or self._saves or self._answers or self._tracks)

    def _fire(self, due: simpy.Event) -> None:
        self._fired = due  # type: ignore[assignment]

    # The resource from which a job trains

    def _place(self, run: SimulatedRun) -> bool:
        """Put a job where it trains from; return whether that is a checkpoint."""
        is_new = not run.stood and run.trial not in self._kept
        if run.starts_over or (is_new and run.at == run.first):
            run.base_at, run.done, run.start_resource = -1, 0.0, 0.0
            run.seconds = self._progress.stretch(run)
            return False
        below = run.at - 1 if run.stood else -1
        if self._tracks:
            run.base_at, run.done = self._position(run.trial, below)
        else:
            run.base_at, run.done = below if self._resume else -1, 0.0
        run.seconds = self._progress.stretch(run)
        has_checkpoint = run.base_at >= 0 or run.done > 0.0
        run.start_resource = self._progress.resource(run, 0.0) if has_checkpoint else 0.0
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

    def _can_save(self, run: SimulatedRun, seconds: float) -> bool:
        """Return whether a trial's checkpoint can be saved in so many seconds, and is any good."""
        if not self._resume or self._retry_from == "zero":
            return False
        return self._save + self._alone(run.trial) <= seconds

    def _alone(self, trial: int) -> float:
        """Return the seconds that the transfer of a saved checkpoint takes at a worker's full bandwidth."""
        return (
            (self._sizes[trial] if self._draws_size else self._size) / self._save_speed
            if self._sized
            else 0.0
        )

    # Workers and checkpoints

    def _schedule(self, worker: int, delay: float, event: int, exposed: float = inf) -> None:
        """Let an event happen in `delay` seconds, or a loss that comes before."""
        if exposed < delay:
            delay, event = exposed, FAILURE
        if self._availability is not None:
            gone = self._availability.gone[worker]
            if gone - self.now < delay:
                self._due[worker].at(gone, GONE)
                return
        if delay < inf:
            self._due[worker].after(delay, event)

    def _gone(self, worker: int) -> float:
        """Return when a worker goes next; inf for never."""
        return inf if self._availability is None else self._availability.gone[worker]

    def _leave(self, worker: int) -> None:
        """Let a worker go; it is free when it is back."""
        assert self._availability is not None
        back = self._availability.back[worker]
        self._availability.advance(worker)
        if back < inf:
            self._due[worker].at(back, FREE)

    def _close(self, run: SimulatedRun, verdict: int, extra: float, end: float) -> None:
        """Write a job's row; it trained `extra` seconds since `base`, none if that is below 0."""
        run.busy = False
        if end < run.train_start and end < self._saved.get(run.trial, 0.0) and not run.starts_over:
            # It waited for a checkpoint on its way, which nobody knew then not to come.
            reached = run.start_resource = run.stood
        elif extra <= 0.0 and not run.done:
            reached = self._levels[run.base_at] if run.base_at >= 0 else 0.0
        else:
            run.trained += max(0.0, extra)
            there = extra == run.seconds and not self._async and run.base_at < run.at  # no rounding
            reached = self._levels[run.at] if there else self._progress.resource(run, max(0.0, extra))
        self.jobs.end(run, reached, end, verdict)

    def _keep(self, run: SimulatedRun, time: float) -> None:
        """Record a checkpoint that is saved at `time`."""
        assert run.kept is not None
        trial = run.trial
        if run.phase == LEAVING or (self._tracks and self._retry_from != "milestone"):
            self._kept[trial] = max(run.kept, self._kept.get(trial, run.kept))
        if self.disk is not None:
            self.disk.save(trial, time)

    def _forget(self, trial: int) -> None:
        """Record that a trial needs no checkpoint any more, maybe while one is saved."""
        if self._tracks:
            self._kept.pop(trial, None)
        if self.disk is not None:
            self.disk.end(trial, self.now, trial in self._saving)

    def _break_off(self, worker: int, run: SimulatedRun) -> None:
        """Cancel the transfer of a job that is lost; only in a `StoreEngine` transfers are events."""
