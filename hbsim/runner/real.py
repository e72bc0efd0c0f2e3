"""Real workers as the loop sees them: everything that happens is in the journal before it is acted on."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from math import inf, nan
from typing import Final

from hbsim.core.levels import Levels
from hbsim.core.types import COMPLETE, CONTINUE, PAUSE, VERDICTS, Job
from hbsim.errors import HbsimWarning
from hbsim.runner.ends import Ends, Limits
from hbsim.runner.hearing import NOBODY, Due, Hearing
from hbsim.runner.ledger import Ledger, Stay, value_of
from hbsim.runner.loop import FAILURE, FREE, MILESTONE, NOTHING, Event
from hbsim.runner.places import Places
from hbsim.runner.watch import Watch
from hbsim.runner.workers import Workers
from hbsim.runner.writer import Appender, Observer, Writer

__all__ = ["Observer", "Real"]

TICK: Final = 0.25  # seconds between two looks at the clock
EXTRA: Final = 0.75  # seconds that ending takes beside the graces


class Real:
    """The `Executor` of the runner's loop on real workers.

    Parameters
    ----------
    workers : Workers
        Who runs the jobs.
    journal : Appender
        Gets every record before it is acted on.
    ledger : Ledger
        Where the study stands; of a new study, or of one that goes on.
    geometry : Levels
        The scheduler's.
    suggest : callable
        Returns the configuration of the next trial.
    done : callable
        Returns whether the scheduler is done: nobody waits for workers then.
    seed : int
        Of the study.
    mode : "max" or "min"
        What is better.
    clock : callable
        Seconds; the one that `Row.at` is read from.
    limits : Limits
        When it ends.
    until_return : bool
        Whether a trial is complete when its function returns, wherever that is: no milestones are waited for.
    observers : sequence of Observer
        Told of every record.
    save_completed : bool
        Whether a trial that reaches R makes a checkpoint, as one that pauses does.
    """

    def __init__(
        self,
        workers: Workers,
        journal: Appender,
        ledger: Ledger,
        geometry: Levels,
        suggest: Callable[[], list[float]],
        done: Callable[[], bool],
        seed: int,
        mode: str,
        clock: Callable[[], float],
        limits: Limits,
        until_return: bool = False,
        observers: Sequence[Observer] = (),
        save_completed: bool = False,
    ) -> None:
        self.now, self.trial, self.at, self.value, self.kind = ledger.now, -1, 0, 0.0, "error"
        self.ledger = ledger
        self.ends = Ends(limits, mode, ledger)
        self._workers, self._clock, self._limits = workers, clock, limits
        self._suggest, self._done = suggest, done
        self._save_completed = save_completed
        self._writer = Writer(journal, ledger, observers, clock)
        self._watch = Watch(workers, clock, limits.hang_timeout)
        self._places = Places(workers, self._writer, self._watch, seed, until_return)
        self._hearing = Hearing(self._writer, self._places, self._watch, self.ends, geometry, until_return)
        self._due = self._hearing.due
        self._now = Due(NOTHING, NOBODY)
        self._levels = geometry.levels
        self._warned = False
        self._hurried = False
        self._cut_at = inf
        self._ticked = -inf

    # What the loop calls

    def idle(self) -> int:
        """Return the lowest idle worker, or -1 while none is or something has happened first."""
        if self._due or self._over():
            return -1
        places = self._places
        places.start_again()
        return places.free[0] if places.free else -1

    def no_job(self, worker: int) -> None:
        """Write down that there was no job."""
        self._writer.write({"e": "none", "worker": worker})

    def start(self, worker: int, job: Job) -> None:
        """Start a job; a trial whose last process is still saving waits for it."""
        new = job.trial == len(self.ledger.points)
        self._places.start(worker, job, self._suggest() if new else None)

    def wait(self) -> Event:
        """Return the next event; NOTHING when nothing is under way any more, and nothing can be."""
        while True:
            while not self._due:
                if not self.ends.closing:
                    if self._over():
                        self._close()
                    else:
                        self._places.start_again()
                if not (self._watch.heard or self._waits_for_workers()):
                    return NOTHING
                self._listen()
            due = self._now = self._due.popleft()
            stay = due.stay
            if due.event is FREE and due.ended is None:
                return FREE
            if due.ended is not None and (stay.ended is not None or due.event is FREE):
                self._places.gone(due.ended)  # it was decided before the end was heard of
                return FREE
            self.trial, self.at = stay.trial, due.at
            if due.event is MILESTONE:
                self.value = self._value(due)
            elif due.event is FAILURE and due.ended is not None:
                self.kind = str(due.ended.kind)
            self.now = self._writer.time()
            return due.event

    def answer(self, code: int) -> None:
        """Write down what was decided, then do it."""
        due = self._now
        if due.event is MILESTONE:
            self._decided(due, code)
            return
        job, ended = due.stay.job, due.ended
        assert ended is not None
        if due.event is FAILURE:
            verdict = {"kind": ended.kind, "reason": ended.reason, "verdict": VERDICTS[code].value}
            self._writer.write({"e": "fail", "job": job, "resource": due.stay.resource, **verdict})
            with_host = ended.kind == "lost" and job in self._places.stranded
            self.ends.failed(ended.reason, job if with_host else None)
        else:
            self._writer.write({"e": "return", "job": job})
        self._places.gone(ended)

    # From outside

    def interrupt(self, hurried: bool = False) -> None:
        """End the study at the next event; may be called by a signal handler.

        Parameters
        ----------
        hurried : bool
            Whether what has not left after the grace is killed; else each trial may take its time.
        """
        self.ends.interrupted = True
        self._hurried = self._hurried or hurried
        self._workers.wake()

    def resume(self, jobs: Sequence[Job], trials: int | None = None) -> None:
        """Start again what ran when the study's last process ended.

        Parameters
        ----------
        jobs : sequence of Job
            The scheduler's `running_jobs()`.
        trials : int, optional
            How many trials there are in all from now on, if the scheduler has grown.
        """
        stays = {stay.trial: stay for stay in self.ledger.stays.values() if stay.ended is None}
        self._writer.write({"e": "resume"} if trials is None else {"e": "resume", "trials": trials})
        self._places.restarts.extend((stays.get(job.trial), job) for job in jobs)

    def finish(self, done: bool) -> None:
        """Write down why the study, or this part of it, is over; `done` is the scheduler's."""
        self._writer.write({"e": "close", "why": self.ends.why(done)})

    # How it is done

    def _over(self) -> bool:
        return self.ends.over(self._writer.time())

    def _waits_for_workers(self) -> bool:
        """Whether there is work, and nobody to do it yet: nothing is under way."""
        places = self._places
        return not (self.ends.closing or places.free) and (bool(places.restarts) or not self._done())

    def _close(self) -> None:
        """Have everything leave at its next report: nothing starts any more, but what comes is decided."""
        self.ledger.closing = True
        self._places.withdraw()
        grace = inf if self.ends.interrupted else self._limits.grace
        for stay in list(self.ledger.stays.values()):
            if stay.ended is None and stay.job in self._watch.heard:
                self._watch.leave(stay.job, True, grace)

    def _value(self, due: Due) -> float:
        if due.rows:
            return value_of(due.rows[-1].metrics, self.ledger.metric)
        return due.stay.value if due.stay.rows else self.ledger.values.get(due.stay.trial, nan)

    def _decided(self, due: Due, code: int) -> None:
        stay, writer = due.stay, self._writer
        value = self.value if self.value == self.value else None
        decided = {"at": due.at, "value": value, "verdict": VERDICTS[code].value}
        writer.write({"e": "reach", "job": stay.job, "rows": writer.packed(due.rows), **decided}, self.now)
        if due.rows and stay.resource >= self._above(due.at):
            self._warn_skipped(stay)
        self.ends.reported(due.rows)
        if due.ended is not None:  # the function had returned
            self._places.gone(due.ended)
        elif code != CONTINUE:
            save = code == PAUSE or (code == COMPLETE and self._save_completed)
            self._watch.leave(stay.job, save, inf if save else self._limits.grace)
        elif stay.resource >= stay.stop:
            self._due.appendleft(Due(MILESTONE, stay, due.at + 1))
        elif self.ends.closing:
            self._workers.leave(stay.job, save=True)
        else:
            self._workers.go_on(stay.job, stay.stop)

    def _above(self, at: int) -> float:
        """Return the level above the one with this index."""
        return self._levels[at + 1] if at + 1 < len(self._levels) else inf

    def _warn_skipped(self, stay: Stay) -> None:
        if not self._warned:
            self._warned = True
            text = f"trial {stay.trial} reported at {stay.resource:g}, past several milestones; it counts at "
            text += "each in order, as far as the trial goes on"
            if stay.rows == 1 and not stay.stood:
                text += ". This was its first report: a resource that counts down has to count up"
            warnings.warn(HbsimWarning(text), stacklevel=2)

    def _timeout(self) -> float:
        if self.ends.closing:
            return TICK
        return max(0.0, min(TICK, self._limits.max_time - self._writer.time()))

    def _listen(self) -> None:
        """Take in what has been said by the next look at the clock."""
        for message in self._workers.wait(self._timeout()):
            self._hearing.hear(message)
        clock = self._clock()
        if self._hurried and self._cut_at == inf:
            self._watch.hurry(self._limits.grace)
            self._cut_at = clock + 2 * self._limits.grace + EXTRA  # for SIGTERM, and for SIGKILL
        if clock >= self._cut_at:
            self._cut_at = clock + EXTRA
            self._workers.cut("it did not end in time")
        if clock >= self._ticked + TICK:
            self._ticked = clock
            self._watch.look()
            self._writer.tick()
