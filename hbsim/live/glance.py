"""What people want to know of a study while it runs, for all that shows it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from typing import Final

from hbsim.core.trials import COMPLETE, PAUSE, STOP
from hbsim.live.folder import StudyFolder
from hbsim.live.load import Standing
from hbsim.live.spec import Spec
from hbsim.live.words import amount, hms, number, plain, span
from hbsim.runner.ledger import Record, Stay

__all__ = ["WAITING", "Glance", "Mishap"]

SILENT: Final = 60.0  # seconds without a report before it is mentioned
TOLD: Final = ("reach", "fail", "return")  # after these the scheduler is asked again
WHY: Final = {
    "done": "done",
    "max_reward": "ended: max_reward is reached",
    "time_out": "ended by time_out",
    "interrupted": "interrupted",
}
RUNG: Final = "the rung waits for its last trials"
REST: Final = {"promotion": ", nothing promotable", "sha": f", {RUNG}", "hyperband": f", {RUNG}"}
WAITING: Final = "no workers: waiting for a host"
LEAVING: Final = {PAUSE: "paused, saving", STOP: "stopped, leaving", COMPLETE: "completed, leaving"}


@dataclass(frozen=True, slots=True)
class Mishap:
    """A failure.

    Attributes
    ----------
    time : float
        Study seconds.
    trial : int
        Whose.
    resource : float
        What it had reported last.
    kind, reason : str
        As in the journal.
    again : bool
        Whether the trial is tried again.
    """

    time: float
    trial: int
    resource: float
    kind: str
    reason: str
    again: bool


class Glance:
    """Where a study stands at this moment: an `Observer` that others ask.

    Parameters
    ----------
    spec : Spec
        What the study is.
    standing : Standing
        Its scheduler and ledger.
    place : StudyFolder
        Its folder.
    workers : int or None
        How many there are; None: those of hosts that come and go, as the journal tells.
    clock : callable
        Seconds; it only has to go forwards.

    Attributes
    ----------
    last_failure : Mishap or None
        Since this process began.
    shut : dict of int to str
        Workers that have no host any more, and why.
    hosts : dict of int to str
        The host of each worker, open or shut; empty where there is only this machine.
    """

    def __init__(
        self,
        spec: Spec,
        standing: Standing,
        place: StudyFolder,
        workers: int | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.spec, self.place = spec, place
        self.scheduler, self.ledger = standing.scheduler, standing.ledger
        self.shut: dict[int, str] = {}
        self.hosts: dict[int, str] = {}
        self._fixed = None if workers is None else range(workers)
        self._opened = self.ledger.capacity or 0.0  # worker seconds of earlier processes
        self.last_failure: Mishap | None = None
        self._clock = clock
        self._began = self.ledger.now
        self._seen = clock()  # when the ledger was at its `now`
        self._in_vain = False  # the scheduler has had no job since it was told something
        self._starts: dict[int, float] = {}  # by job on a worker
        self._said: dict[int, float] = {}  # by job: study seconds of its last report
        self._busy = 0.0  # worker seconds of jobs that are over

    def record(self, record: Record) -> None:
        """Take note of a record that the ledger has."""
        self._seen = self._clock()
        kind, job = record["e"], record.get("job", -1)
        if kind in ("start", "restart"):
            self._starts[job] = record["t"]
        elif kind in ("rows", "reach"):
            self._said[job] = record["t"]
        elif kind == "gone":
            self._busy += record["t"] - self._starts.pop(job, record["t"])
            self._said.pop(job, None)
        elif kind == "fail":
            self._fail(record)
        elif kind == "open":
            self.hosts[record["worker"]] = plain(record["host"])
            self.shut.pop(record["worker"], None)
        elif kind == "shut":
            self.shut[record["worker"]] = plain(record["reason"])
        if kind in TOLD:
            self._in_vain = False
        elif kind == "none":
            self._in_vain = True

    def _fail(self, record: Record) -> None:
        trial = self.ledger.stays[record["job"]].trial
        reason, again = plain(record["reason"]), record["verdict"] == "retry"
        self.last_failure = Mishap(record["t"], trial, record["resource"], record["kind"], reason, again)

    # Of the study

    @property
    def elapsed(self) -> float:
        """Study seconds by now."""
        if self.ledger.why is not None:
            return self.ledger.now
        return self.ledger.now + self._clock() - self._seen

    @property
    def open(self) -> Sequence[int]:
        """The workers that can have jobs."""
        return sorted(self.ledger.machines) if self._fixed is None else self._fixed

    @property
    def idle_workers(self) -> int:
        """How many of them have none."""
        return sum(worker not in self.ledger.workers for worker in self.open)

    @property
    def busy_share(self) -> float:
        """The share of worker seconds that were occupied, since this process began."""
        now = self.elapsed
        busy = self._busy + sum(now - start for start in self._starts.values())
        capacity = self._capacity(now)
        return min(1.0, busy / capacity) if capacity > 0 else 0.0

    def _capacity(self, now: float) -> float:
        if self._fixed is not None:
            return len(self._fixed) * (now - self._began)
        until_now = len(self.ledger.machines) * (now - self.ledger.now)
        return (self.ledger.capacity or 0.0) - self._opened + until_now

    @property
    def ending(self) -> bool:
        """Whether nothing starts any more although there might be jobs; only right between two events."""
        return bool(self.idle_workers and self._starts) and not self._in_vain and self.ledger.why is None

    def name(self) -> str:
        """Say what runs."""
        return f"{self.scheduler.type} of {plain(self.spec.train)}"

    def trials(self) -> str:
        """Count trials: ``"37 of 100 started: 4 running, 8 paused, 20 stopped, 3 completed, 2 failed"``."""
        limit, counts = self.scheduler.options.num_trials, self.scheduler.status_counts()
        of = "" if limit is None else f" of {limit:,}"
        names = ("running", "paused", "stopped", "completed", "failed")
        parts = [f"{counts[name]:,} {name}" for name in names if counts[name]]
        return f"{self.scheduler.started:,}{of} started{': ' if parts else ''}{', '.join(parts)}"

    def best(self) -> str:
        """Say what the incumbent is, and where; empty before there is one."""
        best = self.ledger.best
        if best is None:
            return ""
        at = f"{plain(self.spec.time_attr)} {amount(best.resource)}"
        return f"{self.metric} {number(best.value)}: trial {best.trial} at {at}, after {hms(best.time)}"

    @property
    def metric(self) -> str:
        """The name of the metric that decides."""
        return plain(self.spec.reward_attr)

    def state(self) -> str:
        """Say how busy the workers are, or why it is over."""
        if self.ledger.why is not None:
            return WHY.get(self.ledger.why, self.ledger.why)
        if not self.open:
            return WAITING
        idle, why = self.idle_workers, self.idle()
        more = f"; {idle:,} idle: {why}" if idle and why else ""
        return f"workers busy {self.busy_share:.0%}{more}"

    def failure(self) -> str:
        """Say what failed last, and how often something has; empty before."""
        last, count = self.last_failure, len(self.ledger.failures)
        if not count:
            return ""
        times = f"{count:,} time{'' if count == 1 else 's'}"
        return times if last is None else f"{times}; last {self.mishap(last)}"

    def mishap(self, mishap: Mishap) -> str:
        """Say what happened to whom."""
        at = f" at {plain(self.spec.time_attr)} {amount(mishap.resource)}" if mishap.resource else ""
        again = ", tried again" if mishap.again else ""
        return f"trial {mishap.trial}{at} ({mishap.kind}{again}): {mishap.reason}"

    # Of workers

    def rows(self) -> list[int]:
        """Return the workers to be shown: those that have jobs or can have them, then the others."""
        there = sorted({*self.open, *self.ledger.workers})
        return [*there, *sorted(set(self.shut).difference(there))]

    @property
    def several_hosts(self) -> bool:
        """Whether the workers are of more than one host."""
        return len(set(self.hosts.values())) > 1

    def what(self, worker: int) -> str:
        """Say what a worker does."""
        if worker in self.shut:
            return f"its host is gone: {self.shut[worker]}"
        stay = self.ledger.workers.get(worker)
        if stay is not None:
            return self.doing(stay)
        why = self.idle()
        return f"idle: {why}" if why else "idle"

    def rung(self, stay: Stay) -> str:
        """Say to which of its rungs a trial trains: ``"2/4"``."""
        levels = self.scheduler.geometry.of_bracket(stay.bracket)
        if stay.stop not in levels:
            return "-"
        return f"{levels.index(stay.stop) + 1}/{len(levels)}"

    def far(self, stay: Stay) -> str:
        """Say how far a trial is, and where its next milestone is: ``"5/27"``."""
        done = amount(stay.resource)
        return f"{done}/{amount(stay.stop)}" if isfinite(stay.stop) else done

    def doing(self, stay: Stay) -> str:
        """Say what a job is doing."""
        before = self._before(stay)
        if before is not None:
            does = "saves" if before.ended == PAUSE else "ends"
            return f"waits: worker {before.worker} still {does} trial {stay.trial}"
        if stay.ended is not None:
            return LEAVING.get(stay.ended, "failed")
        again = f", attempt {stay.attempt + 1}" if stay.attempt else ""
        if not stay.rows:
            return f"no report yet{again}"
        if self.ending:
            return "leaves at next report"
        if stay.resource <= stay.stood:
            return f"trains again up to {amount(stay.stood)}{again}"
        return self._silence(stay) or f"training{again}"

    def _before(self, stay: Stay) -> Stay | None:
        """Return the job of the same trial that has to be gone before this one begins."""
        if stay.rows or stay.ended is not None:
            return None
        others = self.ledger.stays.values()
        return next((s for s in others if s.trial == stay.trial and s.job < stay.job), None)

    def _silence(self, stay: Stay) -> str:
        silent = self.elapsed - self._said.get(stay.job, inf)
        usual = stay.trained / stay.rows
        return f"silent for {span(silent)}" if silent > max(SILENT, 5 * usual) else ""

    def idle(self) -> str:
        """Say why workers without a job have none; empty where that is not known yet."""
        if self.ending:
            return "the study ends"
        if not self._in_vain:
            return ""
        options, kind = self.scheduler.options, self.scheduler.type
        if options.num_trials is None or self.scheduler.started < options.num_trials:
            return RUNG
        return f"num_trials reached{REST.get(kind, '')}"
