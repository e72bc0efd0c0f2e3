"""The jobs of a fleet: on their way to an agent, running, and ended. No input or output."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf, isfinite

from hbsim.executors.remote.allocation import WorkerAllocator
from hbsim.executors.remote.checkpoints import TRIES, Checkpoints, Copy, Put
from hbsim.executors.remote.fleet_agents import FleetAgent
from hbsim.executors.remote.protocol import Body, dump, task_of
from hbsim.runner.workers import (
    Assignment,
    JobEnded,
    Message,
    Reported,
    ReportRow,
    WorkerClosed,
    WorkerOpened,
)

__all__ = ["Effects", "FleetJobs"]


@dataclass(slots=True)
class Effects:
    """What is to be said and done, to be emptied by who does it.

    Attributes
    ----------
    messages : list of Message
        For the runner, in order.
    size : int
        Characters of the agents' lines that `messages` were made of. When the runner has taken the messages,
        `Fleet.taken` is told the same number.
    notes : list of str
        Warnings for people.
    lines : list of (str, str)
        Agents, and a line for each, in order.
    copies : list of Get or Put
        Copies to be made at the same time, each of which ends with `Fleet.copied`.
    logs : list of (int, str)
        Trials, and what is to be added to their logs.
    unstored : list of int
        Trials whose checkpoints are to be removed from the store behind the URL.
    """

    messages: list[Message] = field(default_factory=list)
    size: int = 0
    notes: list[str] = field(default_factory=list)
    lines: list[tuple[str, str]] = field(default_factory=list)
    copies: list[Copy] = field(default_factory=list)
    logs: list[tuple[int, str]] = field(default_factory=list)
    unstored: list[int] = field(default_factory=list)

    def send(self, agent: FleetAgent, body: Body) -> None:
        """Have an order sent, if there is somebody to read it."""
        if not agent.gone:
            self.lines.append((agent.name, dump(body)))


@dataclass(slots=True, eq=False)
class _Job:
    task: Assignment
    worker: int
    agent: FleetAgent | None = None  # that it was sent to, or its checkpoint is copied to
    sent: bool = False
    useful: bool = True  # whether its checkpoint is of use once it has ended
    copy: Put | None = None  # that is under way
    copies: int = 0  # that were tried
    checkpoint: Body | None = None  # where its agent finds its checkpoint
    at: float = -inf  # the time of its last report


class FleetJobs:
    """Jobs by number, from their start until their end has been said.

    Parameters
    ----------
    allocator : WorkerAllocator
        Knows which agent a worker belongs to.
    checkpoints : Checkpoints
        Knows where checkpoints are.
    effects : Effects
        Gets what is to be said and done.
    agents : mapping
        The agents that there are, by their ids.

    Attributes
    ----------
    reported : bool
        Whether any trial has reported.
    """

    def __init__(
        self,
        allocator: WorkerAllocator,
        checkpoints: Checkpoints,
        effects: Effects,
        agents: Mapping[str, FleetAgent],
    ) -> None:
        self.reported = False
        self._allocator, self._checkpoints, self._effects = allocator, checkpoints, effects
        self._agents = agents
        self._jobs: dict[int, _Job] = {}
        self._trials: dict[int, _Job] = {}  # the same, by trial
        self._waiting: dict[int, _Job] = {}  # of these, those that were not sent yet

    # What the runner asks for

    def start(self, worker: int, task: Assignment, now: float) -> None:
        """Start a job, or have it wait for its agent and its checkpoint."""
        job = self._jobs[task.job] = self._trials[task.trial] = self._waiting[task.job] = _Job(task, worker)
        self._advance(job, now)

    def go_on(self, number: int, stop: float) -> None:
        """Answer a job that waits at a milestone."""
        job = self._jobs.get(number)
        if job is not None and job.sent and job.agent is not None:
            order = {"o": "go", "job": number, "stop": stop if isfinite(stop) else None}
            self._effects.send(job.agent, order)

    def leave(self, number: int, save: bool) -> None:
        """Have a job leave its function. Without `save` its checkpoint is of no more use."""
        if number in self._jobs:
            self._jobs[number].useful = save
        self._end({"o": "leave", "job": number, "save": save}, JobEnded(number, left=True))

    def kill(self, number: int, reason: str) -> None:
        """End a job's processes."""
        ended = JobEnded(number, kind="lost", reason=reason or "it was killed")
        self._end({"o": "kill", "job": number, "reason": reason}, ended)

    def _end(self, order: Body, ended: JobEnded) -> None:
        """Send an order that ends a job; one that has not begun ends at once."""
        job = self._jobs.get(ended.job)
        if job is not None and job.sent and job.agent is not None:
            self._effects.send(job.agent, order)
        elif job is not None:
            self._finish(job, ended)

    # Workers

    def open(self, workers: Iterable[int]) -> None:
        """Let workers take jobs."""
        for worker in workers:
            slot = self._allocator.slot(worker)
            cores = slot.threads if slot.cpus is None else len(slot.cpus)
            host = self._agents[self._allocator.agent(worker) or ""].host.name
            self._effects.messages.append(WorkerOpened(worker, host, cores, [gpu.uuid for gpu in slot.gpus]))

    def shut(self, workers: Iterable[int], reason: str) -> None:
        """Let workers take no jobs any more."""
        self._effects.messages += [WorkerClosed(worker, reason) for worker in workers]

    def lose(self, agent: FleetAgent, reason: str) -> None:
        """End what was sent to an agent, of which nothing can run any more."""
        for number in sorted(agent.jobs):
            self._finish(self._jobs[number], JobEnded(number, kind="lost", reason=reason))

    # On their way

    def retry_waiting(self, now: float) -> None:
        """See which of the jobs that wait can be started; none of them has hung."""
        for number, job in list(self._waiting.items()):
            self._effects.messages.append(Reported(number, [], 0))
            self._advance(job, now)

    def _advance(self, job: _Job, now: float) -> None:
        """Start a job that waits, if its agent and its checkpoint are there; else see to that."""
        if job.agent is not None and job.agent.over:
            job.agent = job.copy = job.checkpoint = None
        agent = job.agent or self._agents.get(self._allocator.agent(job.worker) or "")
        if agent is None or agent.over:
            agent = self._move(job)
        if agent is None or not agent.is_ready(now) or job.copy is not None:
            return
        trial, number = job.task.trial, job.task.job
        source = "own" if job.checkpoint else self._checkpoints.source(agent.name, trial)
        if source == "wait":
            return
        job.agent = agent
        if source == "put":
            job.copies += 1
            job.copy = Put(agent.name, trial, number, f"{agent.incoming}/{number}-{job.copies}")
            self._effects.copies.append(job.copy)
            return
        job.checkpoint = {"job": source} if isinstance(source, int) else job.checkpoint
        slot = self._allocator.slot(job.worker)
        cpus = None if slot.cpus is None else list(slot.cpus)
        share = {"cpus": cpus, "threads": slot.threads, "env": slot.env}
        start = {"o": "start", "task": task_of(job.task), "slot": share, "checkpoint": job.checkpoint}
        self._effects.send(agent, start)
        job.sent = True
        del self._waiting[number]
        agent.jobs.add(number)

    def _move(self, job: _Job) -> FleetAgent | None:
        """Give a job whose worker has no host any more the place of a free worker; return its agent."""
        busy = {other.worker for other in self._jobs.values()}
        for worker in sorted(set(self._allocator.workers()) - busy):
            agent = self._agents[self._allocator.agent(worker) or ""]
            if not agent.shut:
                self.shut([worker], f"worker {job.worker} takes its place")
                self._allocator.swap(worker, job.worker)
                self.open([job.worker])
                return agent
        return None

    def copied(self, copy: Put, problem: str | None) -> None:
        """A job's checkpoint has come to its host, or cannot."""
        job = self._jobs.get(copy.job)
        if job is None or job.copy is not copy or job.agent is None:
            return
        job.copy = None
        if problem is None:
            job.checkpoint = {"folder": copy.target}
        elif job.copies >= TRIES:
            reason = f"its checkpoint cannot be copied to {job.agent.host.name}: {problem}"
            self._finish(job, JobEnded(copy.job, kind="lost", reason=reason))

    def advance(self, trial: int, now: float) -> None:
        """Start the job of a trial, if that waited for its checkpoint."""
        job = self._trials.get(trial)
        if job is not None and not job.sent:
            self._advance(job, now)

    def copy(self) -> None:
        """Have those checkpoints copied from hosts that can be now."""
        self._effects.copies += self._checkpoints.begin_copies(self._is_running)

    def _is_running(self, trial: int) -> bool:
        """Whether a trial's files may change, or are copied to a host."""
        job = self._trials.get(trial)
        return job is not None and (job.sent or job.copy is not None)

    # What agents say

    def handle(self, agent: FleetAgent, body: Body, made: Reported | JobEnded, now: float) -> bool:
        """Take what an agent says of one of its jobs; return whether the runner is told."""
        job = self._jobs.get(made.job)
        if job is None or job.agent is not agent or not job.sent:
            return False
        rows = _timed(job, made.rows, now)
        self.reported = self.reported or bool(rows)
        if isinstance(made, Reported):
            self._effects.messages.append(replace(made, rows=rows))
            return True
        if body["log"]:
            self._effects.logs.append((job.task.trial, str(body["log"])))
        self._checkpoints.ended(agent.name, job.task.trial, body, job.useful)
        begun = None if made.begun is None else min(made.begun, now)
        self._finish(job, replace(made, rows=rows, begun=begun))
        return True

    def _finish(self, job: _Job, ended: JobEnded) -> None:
        """End a job: its worker and its trial are free."""
        number, trial = job.task.job, job.task.trial
        del self._jobs[number], self._trials[trial]
        self._waiting.pop(number, None)
        if job.agent is not None:
            job.agent.jobs.discard(number)
        if job.useful:
            self._checkpoints.request(trial)
        self._effects.messages.append(ended)


def _timed(job: _Job, rows: Sequence[ReportRow], now: float) -> list[ReportRow]:
    """Return reports with times in order, and none in the future: clocks are estimates."""
    timed = []
    for row in rows:
        job.at = min(now, max(row.at, job.at))
        timed.append(row._replace(at=job.at))
    return timed
