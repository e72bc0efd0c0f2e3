"""The simulated cluster at work, on a SimPy environment: one event a milestone, or a failure."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from heapq import heappop, heappush
from math import inf, nan

import simpy

from hbsim.core.levels import Levels
from hbsim.core.trials import CONTINUE, PAUSE, RETRY
from hbsim.core.types import Job
from hbsim.history import Jobs
from hbsim.history.columns import CENSORED, FAILED
from hbsim.runner import END, FAILURE, FREE, MILESTONE, NOTHING, Event
from hbsim.simulation.attendance import Attendance
from hbsim.simulation.cluster import Cluster
from hbsim.simulation.curves import Curves
from hbsim.simulation.disk import Disk
from hbsim.simulation.failures import LOST, PREEMPTED, Failures
from hbsim.simulation.luck import Luck
from hbsim.simulation.progress import Progress
from hbsim.simulation.stay import LEAVING, LOADING, PAUSING, TRAINING, Due, Stay
from hbsim.simulation.store import Store

__all__ = ["Engine"]


class Inner(IntEnum):
    """What happens on a worker, and the loop need not know, or knows as a FAILURE."""

    GONE = END + 1  # the worker goes, and its job with it
    LEFT = END + 2  # a job that was told to go has saved
    NOTICE = END + 3  # the worker is told that it goes
    LOAD = END + 4  # start-up is over, and a checkpoint is needed
    SAVE = END + 5  # a checkpoint is ready to be sent
    WAKE = END + 6  # nothing on a worker: transfers have come to their end


GONE, LEFT, NOTICE, LOAD, SAVE, WAKE = Inner
SAVES, LOADS = 0, 1  # lanes of the store


class Engine:
    """Runs jobs in simulated time; the `Executor` of the runner's loop.

    Parameters
    ----------
    cluster : Cluster
        The workers, and what everything costs.
    curves : Curves
        What each trial shows at each level, and how long it takes.
    geometry : Levels
        The scheduler's.
    jobs : Jobs
        Gets a row a job.
    max_time : float
        Simulated seconds at which everything is cut.
    seed : int
        Of the study.
    dropped : callable
        Names the paused trials that can never go on, each once (`Scheduler.dropped`).

    Attributes
    ----------
    luck : Luck
        What trials meet where parameters are distributions.
    failures : Failures
        A row a job that was lost.
    disk : Disk or None
        What checkpoints hold, if they have a size.
    """

    def __init__(
        self,
        cluster: Cluster,
        curves: Curves,
        geometry: Levels,
        jobs: Jobs,
        max_time: float,
        seed: int,
        dropped: Callable[[], list[int]],
    ) -> None:
        self.now = 0.0
        self.trial = -1
        self.at = 0
        self.value = 0.0
        self.jobs = jobs
        self.failures = Failures()
        self.max_time = max_time
        self.interrupted = False
        self.curves = curves
        self._values, self._seconds = curves.values, curves.seconds
        self._levels = geometry.levels
        self._index = {level: at for at, level in enumerate(geometry.levels)}
        self._first = geometry.first
        self._width = len(geometry.levels)
        self._speeds = cluster.speeds
        self._async = cluster.report == "async"
        self._progress = Progress(curves, geometry, self._speeds, self._async)
        self.luck = self._luck = Luck(cluster, seed, self._width)
        self._here = Attendance(cluster, seed) if cluster.has_absences else None
        self._sized = cluster.resume and self._luck.size.constant != 0.0
        self.disk = self._disk = Disk(self._luck.size, dropped) if self._sized else None
        self._env = simpy.Environment()
        self._peek, self._step = self._env.peek, self._env.step
        self._nobody = Due(self._env, -1, [])
        self._nobody.event = WAKE
        self._fired = self._nobody
        self._due = [Due(self._env, worker, [self._fire]) for worker in range(cluster.workers)]
        self._stays = [Stay() for _ in range(cluster.workers)]
        for worker, stay in enumerate(self._stays):
            stay.worker = worker
            stay.busy = False
        self._free = list(range(cluster.workers))  # a heap
        self._budgets: dict[int, tuple[int, float]] = {}  # attempt, exposed seconds left
        self._is_freed = False
        self._set_costs(cluster)

    def _set_costs(self, cluster: Cluster) -> None:
        luck, here = self._luck, self._here
        self._startup, self._delay = luck.constant_startup, luck.report_delay.constant
        self._draws_startup, self._draws_delay = self._startup != self._startup, self._delay != self._delay
        self._answers = luck.decision_delay.constant != 0.0
        self._drops = cluster.drop_rate > 0
        self._risky = self._drops or here is not None
        self._resume, self._retry_from = cluster.resume, cluster.retry_from
        self._save, self._load = cluster.save, cluster.load
        self._save_speed = inf if cluster.save_bandwidth is None else cluster.save_bandwidth
        self._load_speed = inf if cluster.load_bandwidth is None else cluster.load_bandwidth
        self._store: Store | None = None
        if self._sized and cluster.store_bandwidth is not None:
            alone = (self._save_speed, self._load_speed)
            self._store = Store(self._env, cluster.store_bandwidth, alone, self._transferred)
        self._saves = cluster.resume and (self._save > 0 or self._sized or self._answers)
        # Where trials stand with their checkpoints, if it is not always their last milestone.
        self._tracks = cluster.resume and (here is not None or self._retry_from != "milestone")
        self._kept: dict[int, tuple[int, float]] = {}  # a level's index, and seconds of the curve beyond it
        self._saved: dict[int, float] = {}  # when each paused trial's checkpoint is saved
        self._saving: dict[
            int, int
        ] = {}  # trials whose checkpoint is on its way, and who waits for it, or -1
        self._plain = not (self._async or self._risky or self._saves or self._answers or self._tracks)

    def _fire(self, due: simpy.Event) -> None:
        self._fired = due  # type: ignore[assignment]

    # What the loop calls

    def idle(self) -> int:
        """Return the lowest idle worker once all that ends at this time has been told, else -1."""
        free = self._free
        if not free or self._peek() <= self.now:
            return -1
        here = self._here
        if here is None:
            return free[0]
        while free:
            worker = free[0]
            if here.is_there(worker, self.now):
                return worker
            heappop(free)
            self._leave(worker)
        return -1

    def no_job(self, worker: int) -> None:
        """Nothing is done: the worker stays idle."""

    def wait(self) -> Event:
        """Go to the next event; NOTHING if there is none until `max_time`."""
        while True:
            soonest = self._peek()
            if soonest > self.max_time or soonest == inf:
                return NOTHING
            self._fired = self._nobody
            self.now = soonest
            self._step()
            due = self._fired
            event = due.event
            if event is MILESTONE:
                stay = self._stays[due.worker]
                self.trial = stay.trial
                at = self.at = stay.at
                self.value = self._values[stay.row + at]
                return MILESTONE
            if event is FREE:
                heappush(self._free, due.worker)
                return FREE
            if event is FAILURE:
                self.trial = self._stays[due.worker].trial
                return FAILURE
            told = self._inner(due.worker, event)
            if told is not NOTHING:
                return told

    def start(self, worker: int, job: Job) -> None:
        """Start a job on the lowest idle worker."""
        heappop(self._free)
        while job.trial >= self.curves.count:
            self.curves.grow()
        stay, now, jobs = self._stays[worker], self.now, self.jobs
        trial, bracket, start, stop, attempt = job
        stay.job = jobs.started
        jobs.started += 1
        stay.trial = trial
        stay.attempt = attempt
        stay.stood = stay.milestone = start
        stay.row = trial * self._width
        stay.at = at = self._index[stop]
        stay.first = self._first[bracket]
        stay.start_time = now
        stay.trained = 0.0
        stay.value = nan
        stay.busy = True
        stay.phase = TRAINING
        delay = startup = self._luck.startup(trial, at, attempt) if self._draws_startup else self._startup
        has_checkpoint = self._place(stay)
        if self._drops:
            stay.exposed = self._budget_left(job)
        if self._store is not None and (has_checkpoint or trial in self._saving):
            stay.phase = LOADING
            stay.base = stay.train_start = inf
            stay.since = now
            self._watch(worker, startup, LOAD, stay.exposed if self._drops else inf)
            return
        wait = load = 0.0
        if has_checkpoint:
            load = self._load
            if self._sized:
                load += self._luck.size(trial) / self._load_speed
            wait = max(0.0, self._saved.get(trial, 0.0) - now - delay)
            delay += wait + load
        stay.base = stay.train_start = now + delay
        if self._drops:
            left = stay.exposed
            stay.exposed = left - startup - load
            if stay.exposed < 0.0:
                self._watch(worker, left if left < startup else left + wait, FAILURE)
                return
        self._train(worker, stay, delay)

    def answer(self, code: int) -> None:
        """Do what was decided about the trial of the last event."""
        due = self._fired
        worker = due.worker
        stay = self._stays[worker]
        if due.event is not MILESTONE:
            self._fail(worker, stay, due.event, code == RETRY)
            return
        at = stay.at
        stay.value = self.value
        stay.milestone = self._levels[at]
        stay.trained += stay.seconds
        if self._drops:
            stay.exposed -= stay.seconds
        stay.base = stay.base + stay.seconds if self._async else self.now
        stay.base_at = at
        stay.done = 0.0
        if code == CONTINUE:
            if self._answers and not self._async:
                stay.base += self._luck.decision_delay(stay.trial, at)
            stay.at = at + 1
            stay.seconds = self._seconds[stay.row + at + 1] / self._speeds[worker]
            self._train(worker, stay, stay.base - self.now)
        elif self._plain:  # what `_end` comes to
            self.jobs.end(stay, stay.milestone, self.now, code)
            stay.busy = False
            heappush(self._free, worker)
        else:
            self._end(worker, stay, code)
        if self._disk is not None:
            self._disk.collect(self.now)

    # Training

    def _place(self, stay: Stay) -> bool:
        """Put a job where it trains from; return whether that is a checkpoint."""
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

    def _train(self, worker: int, stay: Stay, delay: float) -> None:
        """Train the present stretch from `delay` seconds from now; before now, if training ran on."""
        report = self._luck.report_delay(stay.trial, stay.at) if self._draws_delay else self._delay
        span = delay + stay.seconds + report
        if self._risky:
            loss, event = self._loss(worker, stay, delay, span)
            if loss < inf:
                self._due[worker].after(loss if loss > 0.0 else 0.0, event)
                return
        self._due[worker].after(span if span > 0.0 else 0.0, MILESTONE)

    def _loss(self, worker: int, stay: Stay, delay: float, span: float) -> tuple[float, IntEnum]:
        """Return in how many seconds a job that trains is lost, or told to go, and how; inf if not in `span`."""
        loss, event = inf, FAILURE
        # Training that runs on can be lost before the report arrives, which is dropped then.
        if self._drops and stay.exposed < self._progress.until(stay, self.now + span):
            loss, event = delay + stay.exposed, FAILURE
        here = self._here
        if here is not None:
            end, leaves = here.gone[worker], GONE
            told = here.told[worker]
            if (
                told < end
                and told >= self.now
                and told >= stay.train_start
                and self._can_save(stay, end - told)
            ):
                end, leaves = told, NOTICE
            end -= self.now
            if end < span and end < loss:
                return end, leaves
        return loss, event

    def _watch(self, worker: int, delay: float, event: int, exposed: float = inf) -> None:
        """Let an event happen in `delay` seconds, or a loss that comes before."""
        if exposed < delay:
            delay, event = exposed, FAILURE
        if self._here is not None:
            gone = self._here.gone[worker] - self.now
            if gone < delay:
                delay, event = max(0.0, gone), GONE
        if delay < inf:
            self._due[worker].after(delay, event)

    def _can_save(self, stay: Stay, seconds: float) -> bool:
        """Return whether a trial's checkpoint can be saved in so many seconds, and is any good."""
        if not self._resume or self._retry_from == "zero":
            return False
        return self._save + self._alone(stay.trial) <= seconds

    def _alone(self, trial: int) -> float:
        """Return the seconds that the transfer of a saved checkpoint takes at a worker's full bandwidth."""
        return self._luck.size(trial) / self._save_speed if self._sized else 0.0

    def _budget_left(self, job: Job) -> float:
        attempt, left = self._budgets.get(job.trial, (-1, 0.0))
        return left if attempt == job.attempt else self.curves.budget(job.trial, job.attempt)

    # Ends

    def _end(self, worker: int, stay: Stay, code: int) -> None:
        """End a job that was decided now."""
        now, here = self.now, self._here
        answered = now
        if self._answers:
            answered += self._luck.decision_delay(stay.trial, stay.at)
        if self._drops:
            ran = self._progress.free_run(stay, now) if self._async else 0.0
            self._budgets[stay.trial] = (stay.attempt, stay.exposed - ran)
        gone = inf if here is None else here.gone[worker]
        end = min(answered, gone)
        extra = self._progress.free_run(stay, end) if self._async else 0.0
        if code == PAUSE and self._resume:
            stay.kept = (stay.at, 0.0)
            if self._store is not None and answered <= gone:
                stay.phase, stay.extra = PAUSING, extra
                self._saving[stay.trial] = -1
                self._watch(worker, answered - now + self._save, SAVE)
                return
            if answered <= gone:
                answered += self._save + self._alone(stay.trial)
                end = min(answered, gone)
                if answered <= gone:
                    self._keep(stay, end)
            if self._saves:
                self._saved[stay.trial] = end
        elif code != PAUSE:
            self._forget(stay.trial)
        self._close(stay, code, extra, end)
        if gone < answered:
            self._leave(worker)
        elif end > now:
            self._due[worker].after(end - now, FREE)
        else:
            heappush(self._free, worker)

    def _fail(self, worker: int, stay: Stay, event: int, is_retried: bool) -> None:
        """End a job that was lost."""
        is_gone = event == GONE
        extra = stay.extra if stay.phase == LEAVING else self._progress.until(stay, self.now)
        below = self._index[stay.milestone] if stay.milestone else -1
        trial = stay.trial
        if event == LEFT:
            self._keep(stay, self.now)
            assert stay.kept is not None
            stay.milestone = max(stay.milestone, self._progress.at(stay, *stay.kept))
        elif self._retry_from == "zero":
            self._kept.pop(trial, None)
        if self._store is not None:
            self._break_off(worker, stay)
        kept = self._progress.at(stay, *self._position(trial, below)) if self._resume else 0.0
        taken = event == LEFT or (is_gone and self._here is not None and self._here.preempted[worker])
        self.failures.add(stay.job, self.now, PREEMPTED if taken else LOST, kept)
        if not is_retried:
            self._forget(trial)
        self._close(stay, FAILED, extra, self.now)
        if is_gone:
            self._leave(worker)
        else:
            heappush(self._free, worker)

    def _close(self, stay: Stay, verdict: int, extra: float, end: float) -> None:
        """Write a job's row; it trained `extra` seconds since `base`, none if that is below 0."""
        stay.busy = False
        if extra > 0.0:
            stay.trained += extra
        there = extra == stay.seconds and not self._async and stay.base_at < stay.at  # no rounding
        reached = self._levels[stay.at] if there else self._progress.resource(stay, max(0.0, extra))
        self.jobs.end(stay, reached, end, verdict)

    def _leave(self, worker: int) -> None:
        """Let a worker go; it is free when it is back."""
        assert self._here is not None
        back = self._here.back[worker]
        self._here.advance(worker)
        if back < inf:
            self._due[worker].after(max(0.0, back - self.now), FREE)

    def _keep(self, stay: Stay, time: float) -> None:
        """Take note of a checkpoint that is saved at `time`."""
        assert stay.kept is not None
        if self._tracks and (self._retry_from != "milestone" or stay.phase == LEAVING):
            self._kept[stay.trial] = stay.kept
        if self._disk is not None:
            self._disk.save(stay.trial, time)

    def _forget(self, trial: int) -> None:
        """Take note that a trial needs no checkpoint any more."""
        self._kept.pop(trial, None)
        self._saved.pop(trial, None)
        if self._disk is not None:
            self._disk.end(trial, self.now)

    # What the loop need not know

    def _inner(self, worker: int, event: int) -> Event:
        """Do what happens on a worker; return what the loop is told: NOTHING for nothing."""
        if event == WAKE:
            return self._wakened()
        stay = self._stays[worker]
        self.trial = stay.trial
        if event == LEFT:
            return FAILURE
        if event == GONE:
            if stay.phase != PAUSING:
                return FAILURE
            self._unsaved(worker, stay)
        elif event == NOTICE:
            self._give_notice(worker, stay)
        elif event == LOAD:
            self._start_up(worker, stay)
        elif event == SAVE:
            self._send(worker, stay, SAVES, inf)
        return NOTHING

    def _give_notice(self, worker: int, stay: Stay) -> None:
        """Stop training, and save what there is at most up to the next milestone."""
        stay.extra = max(0.0, self._progress.until(stay, self.now))
        trained = min(stay.extra, stay.seconds)
        if trained == stay.seconds:
            stay.kept = (stay.at, 0.0)
        else:
            stay.kept = (stay.base_at, stay.done + trained * self._speeds[worker])
        stay.phase = LEAVING
        if self._store is None:
            self._due[worker].after(self._save + self._alone(stay.trial), LEFT)
        else:
            self._watch(worker, self._save, SAVE)

    # Checkpoints on their way to and from a store that all share

    def _start_up(self, worker: int, stay: Stay) -> None:
        """Wait for a checkpoint that is on its way, or load it."""
        if self._drops:
            stay.exposed -= self.now - stay.since
        if stay.trial in self._saving:
            self._saving[stay.trial] = worker
            self._watch(worker, inf, WAKE)
        else:
            self._fetch(worker, stay)

    def _fetch(self, worker: int, stay: Stay) -> None:
        if self._place(stay):
            self._send(worker, stay, LOADS, stay.exposed if self._drops else inf)
        else:  # it was never saved
            self._begin(worker, stay, 0.0)

    def _send(self, worker: int, stay: Stay, lane: int, exposed: float) -> None:
        assert self._store is not None
        stay.since = self.now
        self._store.join(worker, self._luck.size(stay.trial), lane)
        self._watch(worker, inf, WAKE, exposed)

    def _transferred(self, worker: int) -> None:
        """Go on after a transfer."""
        self._cancel(worker)
        stay = self._stays[worker]
        if stay.phase == LEAVING:
            self._due[worker].after(0.0, LEFT)
        elif stay.phase == PAUSING:
            self._keep(stay, self.now)
            self._close(stay, PAUSE, stay.extra, self.now)
            heappush(self._free, worker)
            self._is_freed = True
            self._release(stay.trial)
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
        self._close(stay, PAUSE, stay.extra, self.now)
        self._leave(worker)
        self._release(stay.trial)

    def _break_off(self, worker: int, stay: Stay) -> None:
        assert self._store is not None
        if worker in self._store:
            self._store.leave(worker)
        if self._saving.get(stay.trial) == worker:
            self._saving[stay.trial] = -1  # it waits no more

    def _release(self, trial: int) -> None:
        """Let the job go on that waited for a checkpoint, saved or not."""
        waiting = self._saving.pop(trial)
        if waiting >= 0:
            self._cancel(waiting)
            self._fetch(waiting, self._stays[waiting])

    def _wakened(self) -> Event:
        freed, self._is_freed = self._is_freed, False
        return FREE if freed else NOTHING

    def _cancel(self, worker: int) -> None:
        """Forget what was due on a worker."""
        due = self._due[worker]
        if due.callbacks is not None:
            due.callbacks = []
            self._due[worker] = Due(self._env, worker, [self._fire])

    # The end of the study

    def interrupt(self) -> None:
        """End the study at the next event, as if `max_time` were now."""
        self.interrupted = True
        self.max_time = -inf

    def cut(self, time: float) -> None:
        """End the study at `time`: jobs under way are censored there."""
        for stay in self._stays:
            if not stay.busy:
                continue
            if stay.phase == PAUSING:
                self._close(stay, PAUSE, stay.extra, time)
            elif stay.phase == LEAVING:
                self._close(stay, CENSORED, stay.extra, time)
            else:
                self._close(stay, CENSORED, self._progress.until(stay, time), time)
        self.jobs.cut = time
