"""A job under way on a simulated worker."""

from __future__ import annotations

import simpy
from simpy.events import EventCallbacks, EventPriority

from hbsim.runner.jobs import JobRow

__all__ = ["Due", "Stay"]


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
    done : float
        Seconds of the curve that were trained beyond that level before `base`: after a notice only.
    seconds : float
        How long the present stretch trains.
    exposed : float
        What is left at `base` of the trial's budget until it is lost.
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
    heard : float
        When it hears of its last decision, or its worker goes: it trains no more.
    end : float
        When it ends, known beforehand.
    verdict : int
        What that decision was.
    kept : tuple of (int, float), or None
        What it saves: a level's index, and seconds of the curve beyond it.
    """

    __slots__ = (
        "at", "base", "base_at", "busy", "done", "end", "exposed", "extra", "first", "heard", "kept", "phase",
        "row", "seconds", "since", "starts_over", "verdict",
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
    heard: float
    end: float
    verdict: int
    kept: tuple[int, float] | None


TRAINING, LOADING, WAITING, PAUSING, LEAVING, HEARING = range(6)


class Due(simpy.Event):
    """What happens next on a worker. Each worker has one, which is scheduled again and again."""

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
