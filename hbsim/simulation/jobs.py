"""The running jobs on simulated workers: milestone, training so far, and next event of each."""

from __future__ import annotations

from collections.abc import Sequence

import simpy
from simpy.events import EventCallbacks, EventPriority

from hbsim.core.levels import Levels
from hbsim.runner.tables import JobRow
from hbsim.simulation.curves import TrialCurves


class SimulatedRun(JobRow):
    """A job on a worker.

    Attributes
    ----------
    row, first : int
        Where the trial's row starts in the curves, and the level index at which its bracket starts.
    at : int
        The level index of the next milestone.
    base : float
        When training left level `base_at` (an index; -1 is zero): the start of the present stretch.
    done : float
        Seconds of the curve that were trained beyond that level before `base`: after a notice only.
    seconds : float
        How long the present stretch trains.
    exposed : float
        The trial's remaining budget at `base` until it is lost.
    busy : bool
        Whether the job is under way; else the rest is what the last one left.
    phase : int
        TRAINING, or what else it does that takes events of its own.
    since : float
        When a transfer of its checkpoint began.
    starts_over : bool
        Whether it trains from zero, whatever is saved.
    extra : float
        Seconds trained since `base` when it stopped upon a notice.
    informed : float
        When it receives its last decision, or its worker leaves: it stops training then.
    end : float
        When it ends, known beforehand.
    verdict : int
        That decision.
    kept : tuple of (int, float), or None
        The state that it saves: a level's index, and seconds of the curve beyond it.
    """

    __slots__ = (
        "at", "base", "base_at", "busy", "done", "end", "exposed", "extra", "first", "informed", "kept",
        "phase", "row", "seconds", "since", "starts_over", "verdict",
    )  # fmt: skip

    row: int
    first: int
    at: int
    base: float
    base_at: int
    done: float
    seconds: float
    exposed: float
    busy: bool
    phase: int
    since: float
    starts_over: bool
    extra: float
    informed: float
    end: float
    verdict: int
    kept: tuple[int, float] | None


TRAINING, LOADING, WAITING, PAUSING, LEAVING, ENDING = range(6)


class WorkerEvent(simpy.Event):
    """The next event on a worker. Each worker has one object, which is scheduled repeatedly."""

    def __init__(self, env: simpy.Environment, worker: int, listeners: EventCallbacks) -> None:
        super().__init__(env)
        self.worker = worker
        self.priority = EventPriority(worker)  # of simultaneous events the lower worker comes first
        self.listeners = listeners
        self.callbacks = None  # type: ignore[assignment] # nothing is due
        self.event = 0
        self.time = 0.0
        self._ok = True
        self._value = None

    def after(self, delay: float, event: int) -> None:
        """Let `event` happen after `delay` seconds."""
        self.event = event
        self.callbacks = self.listeners
        self.env.schedule(self, self.priority, delay)

    def at(self, time: float, event: int) -> None:
        """Let `event` happen at this very time, which a sum of floats may miss by its last bit."""
        self.time = time
        self.after(max(0.0, time - self.env.now), event)


class TrainingProgress:
    """Seconds and resources of a job's stretches.

    Parameters
    ----------
    curves : TrialCurves
        The seconds of each trial's stretches.
    geometry : Levels
        The scheduler's.
    speeds : sequence of float
        Of each worker.
    runs_on : bool
        Whether training goes on while a decision is on its way.
    """

    def __init__(self, curves: TrialCurves, geometry: Levels, speeds: Sequence[float], runs_on: bool) -> None:
        self._seconds = curves.seconds
        self._from_zero = curves.from_zero if curves.high_brackets else curves.seconds
        self._levels = geometry.levels
        self._width = len(geometry.levels)
        self._speeds = speeds
        self._runs_on = runs_on

    def stretch(self, run: SimulatedRun) -> float:
        """Return the seconds of training from a job's present resource to its next milestone."""
        row, at, first, below = run.row, run.at, run.first, run.base_at
        if below >= 0:
            if below == at - 1 and not run.done:
                return self._seconds[row + at] / self._speeds[run.worker]
            total = sum(self._seconds[row + below + 1 : row + at + 1])
        else:
            total = self._from_zero[row + first]
            if at > first:
                total += sum(self._seconds[row + first + 1 : row + at + 1])
        return max(0.0, total - run.done) / self._speeds[run.worker]

    def free_run(self, run: SimulatedRun, time: float) -> float:
        """Return the seconds trained from `base` to `time` if nothing but R stops it."""
        row = run.row
        if run.base_at < 0:
            rest = self._from_zero[row + run.first] + sum(
                self._seconds[row + run.first + 1 : row + self._width]
            )
        else:
            rest = sum(self._seconds[row + run.base_at + 1 : row + self._width])
        return max(0.0, min(time - run.base, (rest - run.done) / self._speeds[run.worker]))

    def until(self, run: SimulatedRun, time: float) -> float:
        """Return the seconds trained from `base` to `time`, the present stretch or more undecided.

        Negative where training had not begun.
        """
        if self._runs_on:
            return self.free_run(run, time)
        return min(time - run.base, run.seconds)

    def resource(self, run: SimulatedRun, trained: float) -> float:
        """Return the resource reached `trained` seconds after `base`."""
        return self.at(run, run.base_at, run.done + trained * self._speeds[run.worker])

    def at(self, run: SimulatedRun, at: int, seconds: float) -> float:
        """Return the resource `seconds` of the curve beyond a level, linear between two levels.

        `at` is the level's index, -1 for zero. A stretch that takes no time is not passed by itself.
        """
        row = run.row
        while at < self._width - 1:
            below = self._levels[at] if at >= 0 else 0.0
            if not seconds:
                return below
            stretch = self._from_zero[row + run.first] if at < 0 else self._seconds[row + at + 1]
            above = run.first if at < 0 else at + 1
            if seconds < stretch:
                reached = below + (self._levels[above] - below) * seconds / stretch
                return min(reached, self._levels[above])  # 0.3 + (0.9 - 0.3) is above 0.9
            seconds -= stretch
            at = above
        return self._levels[-1]
