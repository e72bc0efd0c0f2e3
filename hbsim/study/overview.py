"""What people want to know of a study while it runs, for all that shows it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import inf, isfinite
from typing import Final

from hbsim.core.types import COMPLETE, PAUSE, STOP
from hbsim.runner.records import Record
from hbsim.runner.state import JobRun
from hbsim.study.folder import StudyFolder
from hbsim.study.load import Standing
from hbsim.study.spec import Spec
from hbsim.study.team import NO_ANSWER, Team
from hbsim.study.words import amount, few, hms, number, plain, span

__all__ = ["WAITING", "Mishap", "Overview"]

SILENT: Final = 60.0  # seconds without a report before it is mentioned
TOLD: Final = ("reach", "fail", "return")  # after these the scheduler is asked again
WHY: Final = {
    "done": "done",
    "max_reward": "ended: max_reward is reached",
    "time_out": "ended: the time limit (--max-time or time_out) is over",
    "failures": "ended: one trial after the other failed",
    "interrupted": "interrupted",
}
RUNG: Final = "the rung waits for its last trials"
REST: Final = {
    "promotion": ", nothing promotable",
    "pasha": ", nothing promotable",
    "sha": f", {RUNG}",
    "hyperband": f", {RUNG}",
}
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


class Overview:
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
    team : Team
        Its workers.
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
        self.scheduler, self.journal_state = standing.scheduler, standing.journal_state
        self.team = Team(self.journal_state, workers)
        self.last_failure: Mishap | None = None
        self._clock = clock
        self._seen = clock()  # when the ledger was at its `now`
        self._in_vain = False  # the scheduler has had no job since it was told something
        self._said: dict[int, float] = {}  # by job: study seconds of its last report

    def record(self, record: Record) -> None:
        """Take note of a record that the ledger has."""
        self._seen = self._clock()
        self.team.record(record)
        kind, job = record["e"], record.get("job", -1)
        if kind in ("rows", "reach"):
            self._said[job] = record["t"]
        elif kind == "gone":
            self._said.pop(job, None)
        elif kind == "fail":
            self._fail(record)
        if kind in TOLD:
            self._in_vain = False
        elif kind == "none":
            self._in_vain = True

    def _fail(self, record: Record) -> None:
        trial = self.journal_state.runs[record["job"]].trial
        reason, again = plain(record["reason"]), record["verdict"] == "retry"
        self.last_failure = Mishap(record["t"], trial, record["resource"], record["kind"], reason, again)

    # Of the study

    @property
    def elapsed(self) -> float:
        """Study seconds by now."""
        if self.journal_state.why is not None:
            return self.journal_state.now
        return self.journal_state.now + self._clock() - self._seen

    @property
    def ending(self) -> bool:
        """Whether nothing starts any more although there might be jobs, and what runs is to leave."""
        return self.journal_state.closing and self.journal_state.why is None

    def name(self) -> str:
        """Say what runs."""
        return f"{self.scheduler.type} of {plain(self.spec.train)}"

    def trials(self) -> str:
        """Count trials: ``"37 of 100 started: 4 running, 8 paused, 20 stopped, 3 completed, 2 failed"``."""
        limit, counts = self.scheduler.num_trials, self.scheduler.status_counts()
        of = "" if limit is None else f" of {limit:,}"
        names = ("running", NO_ANSWER, "paused", "stopped", "completed", "failed")
        counts[NO_ANSWER] = self._unknown()
        counts["running"] -= counts[NO_ANSWER]
        said = {} if self.journal_state.why is None else {"running": "interrupted"}  # nothing runs any more
        parts = [f"{counts[name]:,} {said.get(name, name)}" for name in names if counts[name]]
        return f"{self.scheduler.started:,}{of} started{': ' if parts else ''}{', '.join(parts)}"

    def _unknown(self) -> int:
        """Return how many trials run as far as anybody knows, on hosts that do not answer."""
        if self.journal_state.why is not None:
            return 0
        stays = (self.journal_state.workers[worker] for worker in self.team.silent)
        return len({stay.trial for stay in stays if stay.ended is None})

    def best(self) -> str:
        """Say what the incumbent is, and where; empty before there is one."""
        best = self.journal_state.best
        if best is None:
            return ""
        at = f"{plain(self.spec.time_attr)} {amount(best.resource)}"
        return f"{self.metric} {number(best.value)}: trial {best.trial} at {at}, after {hms(best.time)}"

    @property
    def metric(self) -> str:
        """The name of the metric that decides."""
        return plain(self.spec.reward_attr or "")

    def state(self) -> str:
        """Say how busy the workers are, or why it is over."""
        if self.journal_state.why is not None:
            return WHY.get(self.journal_state.why, self.journal_state.why)
        silent = self.team.silent
        hosts = list(dict.fromkeys(self.team.hosts[worker] for worker in silent))
        since = span(self.elapsed - min(silent.values(), default=0.0))
        more = f"; no answer from {few(hosts)} for {since}" if hosts else ""
        if not self.team.open:
            return f"{WAITING}{more}"
        idle, why = self.team.idle, self.idle()
        more += f"; {idle:,} idle: {why}" if idle and why else ""
        return f"workers busy {self.team.busy_share(self.elapsed):.0%}{more}"

    def failure(self) -> str:
        """Say what failed last, and how often something has; empty before."""
        last, count = self.last_failure, len(self.journal_state.failures)
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

    def what(self, worker: int) -> str:
        """Say what a worker does."""
        if worker in self.team.silent:
            since = span(self.elapsed - self.team.silent[worker])
            why = self.team.shut[worker]
            return f"{NO_ANSWER} for {since}" + ("" if why == NO_ANSWER else f": {why}")
        stay, why = self.journal_state.workers.get(worker), self.team.shut.get(worker, "")
        if stay is not None:
            return self.doing(stay) + (f"; {why}" if why else "")
        if why:
            return why
        why = self.idle()
        return f"idle: {why}" if why else "idle"

    def rung(self, stay: JobRun) -> str:
        """Say to which of its rungs a trial trains: ``"2/4"``."""
        levels = self.scheduler.geometry.of_bracket(stay.bracket)
        if stay.stop not in levels:
            return "-"
        return f"{levels.index(stay.stop) + 1}/{len(levels)}"

    def far(self, stay: JobRun) -> str:
        """Say how far a trial is, and where its next milestone is: ``"5/27"``."""
        done = amount(stay.resource)
        return f"{done}/{amount(stay.stop)}" if isfinite(stay.stop) else done

    def doing(self, stay: JobRun) -> str:
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

    def _before(self, stay: JobRun) -> JobRun | None:
        """Return the job of the same trial that has to be gone before this one begins."""
        if stay.rows or stay.ended is not None:
            return None
        others = self.journal_state.runs.values()
        return next((s for s in others if s.trial == stay.trial and s.job < stay.job), None)

    def _silence(self, stay: JobRun) -> str:
        silent = self.elapsed - self._said.get(stay.job, inf)
        usual = stay.trained / stay.rows
        return f"silent for {span(silent)}" if silent > max(SILENT, 5 * usual) else ""

    def idle(self) -> str:
        """Say why workers without a job have none; empty where that is not known yet."""
        if self.ending:
            return "the study ends"
        if not self._in_vain:
            return ""
        limit, kind = self.scheduler.num_trials, self.scheduler.type
        if limit is None or self.scheduler.started < limit:
            return RUNG
        return f"num_trials reached{REST.get(kind, '')}"
