"""The simulated cluster at work, on a SimPy environment: one event a milestone, or a failure."""

from __future__ import annotations

from heapq import heappop, heappush
from math import inf, nan

import simpy
from simpy.events import EventCallbacks, EventPriority

from hbsim.core.levels import Levels
from hbsim.core.trials import CONTINUE, PAUSE
from hbsim.core.types import Job
from hbsim.history import JobRow, Jobs
from hbsim.history.columns import CENSORED, FAILED
from hbsim.runner import FAILURE, FREE, MILESTONE, NOTHING, Event
from hbsim.simulation.cluster import Cluster
from hbsim.simulation.curves import Curves

__all__ = ["Engine"]


class Stay(JobRow):
    """A job on a worker.

    Attributes
    ----------
    row, first : int
        Where the trial's row starts in the curves, and the level index at which its bracket starts.
    at : int
        The level index of the next milestone.
    base : float
        When training left level `base_at` (an index; -1 is zero): the start of the present stretch.
    seconds : float
        How long the present stretch trains.
    exposed : float
        What is left at `base` of the trial's budget until it is lost.
    busy : bool
        Whether the job is under way; else the rest is what the last one left.
    """

    __slots__ = ("at", "base", "base_at", "busy", "exposed", "first", "row", "seconds")

    row: int
    first: int
    at: int
    base: float
    base_at: int
    seconds: float
    exposed: float
    busy: bool


class Due(simpy.Event):
    """What happens next on a worker. Each worker has one, which is scheduled again and again."""

    def __init__(self, env: simpy.Environment, worker: int, listeners: EventCallbacks) -> None:
        super().__init__(env)
        self.worker = worker
        self.stay = Stay()
        self.priority = EventPriority(worker)  # of simultaneous events the lower worker comes first
        self.listeners = listeners
        self.event = FREE
        self._ok = True
        self._value = None

    def after(self, delay: float, event: Event) -> None:
        """Let `event` happen after `delay` seconds."""
        self.event = event
        self.callbacks = self.listeners
        self.env.schedule(self, self.priority, delay)


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
    """

    def __init__(
        self, cluster: Cluster, curves: Curves, geometry: Levels, jobs: Jobs, max_time: float = inf
    ) -> None:
        self.now = 0.0
        self.trial = -1
        self.at = 0
        self.value = 0.0
        self.jobs = jobs
        self.max_time = max_time
        self.interrupted = False
        self.cluster = cluster
        self._values, self._seconds = curves.values, curves.seconds
        self._from_zero = curves.from_zero if curves.high_brackets else curves.seconds
        self.curves = curves
        self._levels = geometry.levels
        self._index = {level: at for at, level in enumerate(geometry.levels)}
        self._first = geometry.first
        self._width = len(geometry.levels)
        self._speeds = cluster.speeds
        self._async = cluster.report == "async"
        self._env = simpy.Environment()
        self._peek, self._step = self._env.peek, self._env.step
        self._fired: Due
        self._due = [Due(self._env, worker, [self._fire]) for worker in range(cluster.workers)]
        self._stays = [due.stay for due in self._due]
        for worker, stay in enumerate(self._stays):
            stay.worker = worker
            stay.busy = False
        self._delay, self._drops = cluster.report_delay, cluster.drop_rate > 0
        self._saves = cluster.resume and cluster.save > 0
        self._plain = not (self._async or self._drops or self._saves)
        self._free = list(range(cluster.workers))  # a heap
        self._saved: dict[int, float] = {}  # when each paused trial's checkpoint is saved
        self._budgets: dict[int, tuple[int, float]] = {}  # attempt, exposed seconds left

    def _fire(self, due: simpy.Event) -> None:
        self._fired = due  # type: ignore[assignment]

    # What the loop calls

    def idle(self) -> int:
        """Return the lowest idle worker once all that ends at this time has been told, else -1."""
        return self._free[0] if self._free and self._peek() > self.now else -1

    def no_job(self, worker: int) -> None:
        """Nothing is done: the worker stays idle."""

    def wait(self) -> Event:
        """Go to the next event; NOTHING if there is none until `max_time`."""
        soonest = self._peek()
        if soonest > self.max_time or soonest == inf:
            return NOTHING
        self._step()
        due = self._fired
        self.now = soonest
        event = due.event
        if event is FREE:
            heappush(self._free, due.worker)
            return event
        stay = due.stay
        self.trial = stay.trial
        if event is MILESTONE:
            at = self.at = stay.at
            self.value = self._values[stay.row + at]
        return event

    def start(self, worker: int, job: Job) -> None:
        """Start a job on the lowest idle worker."""
        heappop(self._free)
        while job.trial >= self.curves.count:
            self.curves.grow()
        cluster, stay, now, jobs = self.cluster, self._stays[worker], self.now, self.jobs
        trial, bracket, start, stop, attempt = job
        stay.job = jobs.started
        jobs.started += 1
        stay.trial = trial
        stay.attempt = attempt
        stay.stood = stay.milestone = start
        stay.row = trial * self._width
        stay.at = at = self._index[stop]
        stay.first = self._first[bracket]
        delay = cluster.startup
        wait = load = 0.0
        if start and cluster.resume:
            load = cluster.load
            wait = max(0.0, self._saved.get(trial, 0.0) - now - delay)
            delay += wait + load
            stay.start_resource = start
            stay.base_at = at - 1
        else:
            stay.start_resource = 0.0
            stay.base_at = -1
        if at == stay.first:
            stay.seconds = self._from_zero[stay.row + at] / self._speeds[worker]
        else:
            stay.seconds = self._stretch(worker, stay)
        stay.start_time = now
        stay.base = stay.train_start = now + delay
        stay.trained = 0.0
        stay.value = nan
        stay.busy = True
        if self._drops:
            left = self._budget_left(job)
            stay.exposed = left - cluster.startup - load
            if stay.exposed < 0.0:
                self._due[worker].after(left if left < cluster.startup else left + wait, FAILURE)
                return
        self._train(worker, stay, delay)

    def answer(self, code: int) -> None:
        """Do what was decided about the trial of the last event."""
        due = self._fired
        worker, stay = due.worker, due.stay
        if due.event is FAILURE:
            self._end(worker, stay, FAILED, self._trained_until(worker, stay, self.now))
            return
        at = stay.at
        stay.value = self.value
        stay.milestone = self._levels[at]
        stay.trained += stay.seconds
        if self._drops:
            stay.exposed -= stay.seconds
        stay.base = stay.base + stay.seconds if self._async else self.now
        stay.base_at = at
        if code == CONTINUE:
            stay.at = at + 1
            stay.seconds = self._seconds[stay.row + at + 1] / self._speeds[worker]
            self._train(worker, stay, stay.base - self.now)
        elif self._plain:  # what `_end` comes to
            self.jobs.end(stay, stay.milestone, self.now, code)
            stay.busy = False
            heappush(self._free, worker)
        else:
            self._end(worker, stay, code, self._free_run(worker, stay, self.now) if self._async else 0.0)

    # How it is done

    def _stretch(self, worker: int, stay: Stay) -> float:
        """Return the seconds of training from `base_at` to `at`; from zero these may be several stretches."""
        row, at, first = stay.row, stay.at, stay.first
        if stay.base_at >= 0:
            return self._seconds[row + at] / self._speeds[worker]
        total = self._from_zero[row + first]
        if at > first:
            total += sum(self._seconds[row + first + 1 : row + at + 1])
        return total / self._speeds[worker]

    def _train(self, worker: int, stay: Stay, delay: float) -> None:
        """Train the present stretch from `delay` seconds from now; before now, if training ran on."""
        span = delay + stay.seconds + self._delay
        # Training that runs on can be lost before the report arrives, which is dropped then.
        if self._drops and stay.exposed < self._trained_until(worker, stay, self.now + span):
            self._due[worker].after(max(0.0, delay + stay.exposed), FAILURE)
            return
        self._due[worker].after(span if span > 0.0 else 0.0, MILESTONE)

    def _end(self, worker: int, stay: Stay, verdict: int, extra: float) -> None:
        """End a job that was decided now, after `extra` seconds of training since `base`."""
        end = self.now
        if self._saves and verdict == PAUSE:
            end += self.cluster.save
            self._saved[stay.trial] = end
        self._close(worker, stay, verdict, extra, end)
        stay.busy = False
        if self._drops and verdict != FAILED:
            self._budgets[stay.trial] = (stay.attempt, stay.exposed - extra)
        if end > self.now:
            self._due[worker].after(self.cluster.save, FREE)
        else:
            heappush(self._free, worker)

    def _close(self, worker: int, stay: Stay, verdict: int, extra: float, end: float) -> None:
        if extra > 0.0:
            stay.trained += extra
            there = extra == stay.seconds and not self._async  # at the milestone; no rounding
            reached = self._levels[stay.at] if there else self._reached(worker, stay, extra)
        else:
            reached = self._levels[stay.base_at] if stay.base_at >= 0 else 0.0
        self.jobs.end(stay, reached, end, verdict)

    def _trained_until(self, worker: int, stay: Stay, time: float) -> float:
        """Return the seconds trained from `base` to `time`, the present stretch or more undecided."""
        if self._async:
            return self._free_run(worker, stay, time)
        return min(time - stay.base, stay.seconds)

    def _free_run(self, worker: int, stay: Stay, time: float) -> float:
        """Return the seconds trained from `base` to `time` if nothing but R stops it."""
        row = stay.row
        if stay.base_at < 0:
            rest = self._from_zero[row + stay.first] + sum(
                self._seconds[row + stay.first + 1 : row + self._width]
            )
        else:
            rest = sum(self._seconds[row + stay.base_at + 1 : row + self._width])
        return max(0.0, min(time - stay.base, rest / self._speeds[worker]))

    def _reached(self, worker: int, stay: Stay, trained: float) -> float:
        """Return the resource reached `trained` seconds after `base`, linear between two levels."""
        row, speed = stay.row, self._speeds[worker]
        at = stay.base_at
        while at < self._width - 1:
            below = self._levels[at] if at >= 0 else 0.0
            seconds = self._from_zero[row + stay.first] if at < 0 else self._seconds[row + at + 1]
            at = stay.first if at < 0 else at + 1
            if trained < seconds / speed:
                return below + (self._levels[at] - below) * trained * speed / seconds
            trained -= seconds / speed
        return self._levels[-1]

    def _budget_left(self, job: Job) -> float:
        attempt, left = self._budgets.get(job.trial, (-1, 0.0))
        return left if attempt == job.attempt else self.curves.budget(job.trial, job.attempt)

    def interrupt(self) -> None:
        """End the study at the next event, as if `max_time` were now."""
        self.interrupted = True
        self.max_time = -inf

    def cut(self, time: float) -> None:
        """End the study at `time`: jobs under way are censored there."""
        for worker, stay in enumerate(self._stays):
            if not stay.busy:
                continue
            self._close(worker, stay, CENSORED, self._trained_until(worker, stay, time), time)
        self.jobs.cut = time
