"""Real workers as the loop sees them: everything that happens is in the journal before it is acted on."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import inf, nan
from typing import Final, Protocol

from hbsim.core.levels import Levels
from hbsim.core.streams import trial_seed
from hbsim.core.trials import COMPLETE, CONTINUE, PAUSE, VERDICTS
from hbsim.core.types import Job
from hbsim.errors import HbsimWarning
from hbsim.runner.ends import Ends, Limits
from hbsim.runner.ledger import Ledger, Record, Stay, value_of
from hbsim.runner.loop import END, FAILURE, FREE, MILESTONE, NOTHING, Event
from hbsim.runner.workers import NEVER, Ended, Opened, Row, Said, Shut, Task, Workers

__all__ = ["Observer", "Real"]

TICK: Final = 0.25  # seconds between two looks at the clock
STEP: Final = 6  # digits of seconds in the journal


class Appender(Protocol):
    """Where records go: a journal."""

    def append(self, record: Record) -> int:
        """Write a record down for good."""
        ...

    def tick(self) -> None:
        """Take note of the time; called a few times a second."""
        ...


class Observer(Protocol):
    """Looks on: a table, a log, whoever tidies up checkpoints."""

    def record(self, record: Record) -> None:
        """Take note of a record that has been written and applied."""
        ...

    def tick(self) -> None:
        """Take note of the time; called a few times a second."""
        ...


@dataclass(slots=True)
class Due:
    """What the loop is told next."""

    event: Event
    stay: Stay
    at: int = -1
    rows: Sequence[Row] = ()
    ended: Ended | None = None


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
        seed: int,
        mode: str,
        clock: Callable[[], float],
        limits: Limits,
        until_return: bool = False,
        observers: Sequence[Observer] = (),
        save_completed: bool = False,
    ) -> None:
        self.now, self.trial, self.at, self.value = ledger.now, -1, 0, 0.0
        self.ledger = ledger
        self.ends = Ends(limits, mode, ledger)
        self.closing = False  # what is under way has been told to leave
        self._workers, self._journal = workers, journal
        self._clock, self._limits = clock, limits
        self._levels = geometry.levels
        self._index = {level: at for at, level in enumerate(geometry.levels)}
        self._suggest, self._seed = suggest, seed
        self._until_return = until_return
        self._save_completed = save_completed
        self._observers = observers
        self._begun = clock() - ledger.now  # study seconds go on where they stopped
        self._free = list(range(workers.count))
        self._open = set(self._free)
        self._in_vain = False  # the scheduler had no job, and nothing has been decided since
        self._due: deque[Due] = deque()
        self._now = Due(NOTHING, Stay())
        self._restarts: deque[tuple[Stay | None, Job]] = deque()  # with their last stays
        self._held: dict[int, Task] = {}  # by worker: waits until the trial's last process is gone
        self._heard: dict[int, float] = {}  # by job: when it last said something
        self._leaving: dict[int, float] = {}  # by job: when it is killed
        self._cut: set[int] = set()  # jobs that were killed since they did not leave
        self._warned = False
        self._ticked = -inf

    # What the loop calls

    def idle(self) -> int:
        """Return the lowest idle worker, or -1 while none is or something has happened first."""
        if self._due or self._over():
            return -1
        while self._restarts and self._free:
            self._restart(*self._restarts.popleft())
        return self._free[0] if self._free else -1

    def no_job(self, worker: int) -> None:
        """Write down that there was no job."""
        self._in_vain = True
        self._write({"e": "none", "worker": worker})

    def start(self, worker: int, job: Job) -> None:
        """Start a job; a trial whose last process is still saving waits for it."""
        record = {"e": "start", "worker": worker, **self._described(job)}
        if job.trial == len(self.ledger.points):
            record["point"] = self._suggest()
        self._launch(worker, job, record)

    def wait(self) -> Event:
        """Return the next event; NOTHING when nothing is under way any more."""
        while True:
            while not self._due:
                if self._over() and not self.closing:
                    self._close()
                if not (self._heard or self._waits_for_workers()):
                    return NOTHING
                self._listen(self._timeout())
            due = self._now = self._due.popleft()
            stay = due.stay
            if due.event is FREE and due.ended is None:
                return FREE
            if due.ended is not None and (stay.ended is not None or due.event is FREE):
                self._gone(due.ended)  # it was decided before the end was heard of
                return FREE
            self.trial, self.at = stay.trial, due.at
            if due.event is MILESTONE:
                self.value = self._value(due)
            self.now = self._time()
            return due.event

    def answer(self, code: int) -> None:
        """Write down what was decided, then do it."""
        due = self._now
        self._in_vain = False
        if due.event is MILESTONE:
            self._decided(due, code)
            return
        job, ended = due.stay.job, due.ended
        assert ended is not None
        if due.event is FAILURE:
            verdict = {"kind": ended.kind, "reason": ended.reason, "verdict": VERDICTS[code].value}
            self._write({"e": "fail", "job": job, "resource": due.stay.resource, **verdict})
            self.ends.failed(ended.reason)
        else:
            self._write({"e": "return", "job": job})
        self._gone(ended)

    def _value(self, due: Due) -> float:
        if due.rows:
            return value_of(due.rows[-1].metrics, self.ledger.reward_attr)
        return due.stay.value if due.stay.rows else self.ledger.values.get(due.stay.trial, nan)

    # From outside

    def interrupt(self) -> None:
        """End the study at the next event; may be called by a signal handler."""
        self.ends.interrupted = True
        self._workers.wake()

    def resume(self, jobs: Sequence[Job]) -> None:
        """Start again what ran when the study's last process ended.

        Parameters
        ----------
        jobs : sequence of Job
            The scheduler's `running_jobs()`.
        """
        stays = {stay.trial: stay for stay in self.ledger.stays.values() if stay.ended is None}
        self._write({"e": "resume"})
        self._restarts.extend((stays.get(job.trial), job) for job in jobs)

    def finish(self, done: bool) -> None:
        """Write down why the study, or this part of it, is over; `done` is the scheduler's."""
        self._write({"e": "close", "why": self.ends.why(done)})

    # How it is done

    def _waits_for_workers(self) -> bool:
        """Whether there is work, or may be, and nobody to do it yet."""
        if self.closing:
            return False
        return bool(self._restarts) or not (self._free or self._in_vain)

    def _over(self) -> bool:
        return self.ends.over(self._time())

    def _close(self) -> None:
        """Have everything leave at its next report: nothing starts any more, but what comes is decided."""
        self.closing = True
        for task in list(self._held.values()):
            self._gone(Ended(task.job))
        deadline = inf if self.ends.interrupted else self._clock() + self._limits.grace
        for stay in list(self.ledger.stays.values()):
            if stay.ended is None and stay.job in self._heard:
                self._leaving[stay.job] = deadline
                self._workers.leave(stay.job, save=True)

    def _time(self) -> float:
        """Return the study seconds, never less than what has been written."""
        return max(round(self._clock() - self._begun, STEP), self.ledger.now)

    def _write(self, record: dict[str, object], time: float | None = None) -> None:
        record = {"e": record.pop("e"), "t": self._time() if time is None else time, **record}
        self._journal.append(record)
        self.ledger.apply(record)
        for observer in self._observers:
            observer.record(record)

    def _described(self, job: Job) -> dict[str, object]:
        stop = None if self._until_return else job.stop
        fields = {"trial": job.trial, "bracket": job.bracket, "start": job.start, "stop": stop}
        return {"job": self.ledger.jobs.started, **fields, "attempt": job.attempt}

    def _restart(self, before: Stay | None, job: Job) -> None:
        worker = before.worker if before is not None and before.worker in self._free else self._free[0]
        was = -1 if before is None else before.job
        self._launch(worker, job, {"e": "restart", "worker": worker, "was": was, **self._described(job)})

    def _launch(self, worker: int, job: Job, record: dict[str, object]) -> None:
        self._free.remove(worker)
        number = self.ledger.jobs.started
        self._write(record)
        point, seed = self.ledger.points[job.trial], trial_seed(self._seed, job.trial)
        stop = NEVER if self._until_return else job.stop
        task = Task(number, job.trial, job.attempt, job.start, stop, point, seed)
        if any(s.trial == job.trial and s.job != number for s in self.ledger.stays.values()):
            self._held[worker] = task
        else:
            self._begin(worker, task)

    def _begin(self, worker: int, task: Task) -> None:
        self._heard[task.job] = self._clock()
        self._workers.start(worker, task)

    def _decided(self, due: Due, code: int) -> None:
        stay = due.stay
        packed = self._packed(due.rows)
        value = self.value if self.value == self.value else None
        decided = {"at": due.at, "value": value, "verdict": VERDICTS[code].value}
        self._write({"e": "reach", "job": stay.job, "rows": packed, **decided}, self.now)
        self.ends.reported(due.rows)
        if due.ended is not None:  # the function had returned
            self._gone(due.ended)
        elif code != CONTINUE:
            save = code == PAUSE or (code == COMPLETE and self._save_completed)
            self._leaving[stay.job] = inf if save else self._clock() + self._limits.grace
            self._workers.leave(stay.job, save=save)
        elif stay.resource >= stay.stop:
            self._warn_skipped(stay)
            self._due.appendleft(Due(MILESTONE, stay, due.at + 1))
        elif self.closing:
            self._workers.leave(stay.job, save=True)
        else:
            self._workers.go_on(stay.job, stay.stop)

    def _packed(self, rows: Sequence[Row]) -> list[list[object]]:
        def seconds(value: float) -> float:
            return round(value, STEP)

        begun = self._begun
        return [[seconds(row.at - begun), seconds(row.trained), row.resource, row.metrics] for row in rows]

    def _warn_skipped(self, stay: Stay) -> None:
        if not self._warned:
            self._warned = True
            text = f"trial {stay.trial} reported at {stay.resource:g}, past several milestones; "
            warnings.warn(HbsimWarning(f"{text}it counts at each in order"), stacklevel=2)

    # Listening

    def _timeout(self) -> float:
        return TICK if self.closing else max(0.0, min(TICK, self._limits.time_out - self._time()))

    def _listen(self, timeout: float) -> None:
        for message in self._workers.wait(timeout):
            if isinstance(message, Opened | Shut):
                self._open_or_shut(message)
            else:
                self._hear(message)
        clock = self._clock()
        if clock >= self._ticked + TICK:
            self._ticked = clock
            self._look_for_silence(clock)
            self._journal.tick()
            for observer in self._observers:
                observer.tick()

    def _look_for_silence(self, clock: float) -> None:
        limit = self._limits.hang_timeout
        for job, heard in list(self._heard.items()):
            if clock - heard > limit:
                self._heard[job] = clock
                self._workers.kill(job, f"nothing was reported for {limit:g} s (hang_timeout)")
            elif self._leaving.get(job, inf) <= clock:
                self._leaving[job] = inf
                self._cut.add(job)
                self._workers.kill(job, "it was told to leave and did not")

    def _open_or_shut(self, message: Opened | Shut) -> None:
        """Take note that a host has come or gone. What ran there ends by messages of its own."""
        worker = message.worker
        if isinstance(message, Shut):
            self._write({"e": "shut", "worker": worker, "reason": message.reason})
            self._open.discard(worker)
            if worker in self._free:
                self._free.remove(worker)
            return
        about = {"host": message.host, "cpus": message.cpus, "gpus": message.gpus}
        self._write({"e": "open", "worker": worker, **about})
        self._open.add(worker)
        if worker not in self.ledger.workers:
            self._release(worker)
            self._due.append(Due(FREE, Stay()))

    def _release(self, worker: int) -> None:
        if worker in self._open:
            self._free.append(worker)
            self._free.sort()

    def _hear(self, message: Said | Ended) -> None:
        stay = self.ledger.stays.get(message.job)
        if stay is None or message.job not in self._heard:
            self._drop(message.job, len(message.rows))
            return
        self._heard[message.job] = self._clock()
        rows = self._new(stay, message)
        waits = isinstance(message, Said) and message.waits and bool(rows)
        if rows and stay.ended is None and not waits:
            self._write({"e": "rows", "job": stay.job, "rows": self._packed(rows)})
            self.ends.reported(rows)
        if waits and stay.ended is None:
            self._due.append(Due(MILESTONE, stay, self._index[stay.stop], rows))
        if isinstance(message, Ended):
            self._end(stay, message)

    def _new(self, stay: Stay, message: Said | Ended) -> Sequence[Row]:
        """Return the reports of a message that are new; write down what came late and what never came."""
        if stay.ended is not None or self._is_due(stay):  # nobody trains on before the answer
            late = len(message.rows)
        else:
            late = min(len(message.rows), max(0, stay.heard - message.first))
            if message.first > stay.heard:
                self._write({"e": "missing", "job": stay.job, "count": message.first - stay.heard})
        self._drop(stay.job, late)
        return message.rows[late:]

    def _is_due(self, stay: Stay) -> bool:
        return any(due.stay is stay for due in self._due)

    def _drop(self, job: int, count: int) -> None:
        if count:
            self._write({"e": "late", "job": job, "count": count})

    def _end(self, stay: Stay, ended: Ended) -> None:
        del self._heard[stay.job]
        pending = self._is_due(stay)
        # A function that goes on from its last checkpoint may have nothing left to do.
        reported = stay.heard or pending or self.ledger.reached.get(stay.trial, 0.0)
        left = stay.job in self._cut or (ended.left and ended.kind is None)
        # Whoever ends a study by a signal to all its processes may end trials before they are told to leave.
        left = left or (self.ends.interrupted and ended.kind == "lost")
        closing = self.closing or self.ends.interrupted
        if stay.ended is not None or (left and closing and not pending):
            self._gone(ended)
            self._due.append(Due(FREE, stay))
        elif left and closing:
            self._due.append(Due(FREE, stay, ended=ended))  # after what is still to be decided
        elif ended.kind is not None or left or not reported:
            if ended.kind is None:
                why = (
                    "something else ended it by SIGTERM" if left else "the function returned without a report"
                )
                ended = replace(ended, kind="lost" if left else "error", reason=why)
            self._due.append(Due(FAILURE, stay, ended=ended))
        elif self._until_return:
            self._due.append(Due(MILESTONE, stay, len(self._levels) - 1, ended=ended))
        else:
            self._due.append(Due(END, stay, ended=ended))

    def _gone(self, ended: Ended) -> None:
        begun = None if ended.begun is None else round(ended.begun - self._begun, STEP)
        seconds = {name: round(value, STEP) for name, value in ended.seconds.items()}
        stay = self.ledger.stays[ended.job]
        record = {"e": "gone", "job": ended.job, "begun": begun, "seconds": seconds}
        if ended.kind is None and ended.reason:
            record["note"] = ended.reason
            text = f"trial {stay.trial} left with an error, and may have no checkpoint: {ended.reason}"
            warnings.warn(HbsimWarning(text), stacklevel=2)
        self._write(record)
        self._leaving.pop(ended.job, None)
        self._heard.pop(ended.job, None)
        self._held.pop(stay.worker, None)
        self._release(stay.worker)
        for worker, task in list(self._held.items()):
            if task.trial == stay.trial:
                del self._held[worker]
                self._begin(worker, task)
