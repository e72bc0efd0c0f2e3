"""The jobs of a fleet: waiting for an agent, running, and ended. No input or output."""

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


@dataclass(slots=True)
class Effects:
    """The outputs of the fleet, which the controller carries out and empties.

    Attributes
    ----------
    messages : list of Message
        Messages for the runner, in order.
    size : int
        Characters of the agents' lines from which `messages` were made. When the runner has processed the
        messages, `Fleet.taken` is called with this number.
    notes : list of str
        Warnings for people.
    lines : list of (str, str)
        Agents, and a line for each, in order.
    copies : list of Get or Put
        Copies to be made at the same time, each of which ends with a call of `Fleet.copied`.
    logs : list of (int, str)
        Trials, and text to append to their logs.
    unstored : list of int
        Trials whose checkpoints have to be removed from the store behind the URL.
    """

    messages: list[Message] = field(default_factory=list)
    size: int = 0
    notes: list[str] = field(default_factory=list)
    lines: list[tuple[str, str]] = field(default_factory=list)
    copies: list[Copy] = field(default_factory=list)
    logs: list[tuple[int, str]] = field(default_factory=list)
    unstored: list[int] = field(default_factory=list)

    def send(self, agent: FleetAgent, body: Body) -> None:
        """Add an order to `lines`, unless the agent is gone."""
        if not agent.gone:
            self.lines.append((agent.name, dump(body)))


@dataclass(slots=True, eq=False)
class _Job:
    task: Assignment
    worker: int
    agent: FleetAgent | None = None  # the agent to which it was sent, or its checkpoint is copied
    sent: bool = False
    useful: bool = True  # whether its checkpoint may be needed after its end
    copy: Put | None = None  # the copy that is under way
    copies: int = 0  # attempts of copies
    checkpoint: Body | None = None  # the place of its checkpoint, for its agent
    at: float = -inf  # the time of its last report


class FleetJobs:
    """The fleet's jobs, from their start until their end has been reported.

    Parameters
    ----------
    allocator : WorkerAllocator
        The workers' agents.
    checkpoints : Checkpoints
        The places of checkpoints.
    effects : Effects
        The outputs, to which this object adds.
    agents : mapping
        The agents by their ids.

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
        self._trials: dict[int, _Job] = {}  # the same jobs by trial
        self._waiting: dict[int, _Job] = {}  # the jobs among them that were not sent yet

    # Methods for the runner

    def start(self, worker: int, task: Assignment, now: float) -> None:
        """Start a job, or let it wait for its agent and its checkpoint."""
        job = self._jobs[task.job] = self._trials[task.trial] = self._waiting[task.job] = _Job(task, worker)
        self._advance(job, now)

    def go_on(self, number: int, stop: float) -> None:
        """Let a job that waits at a milestone train to `stop`."""
        job = self._jobs.get(number)
        if job is not None and job.sent and job.agent is not None:
            order = {"o": "go", "job": number, "stop": stop if isfinite(stop) else None}
            self._effects.send(job.agent, order)

    def leave(self, number: int, save: bool) -> None:
        """Make a job leave its function. Without `save` its checkpoint is not needed any more."""
        if number in self._jobs:
            self._jobs[number].useful = save
        self._end({"o": "leave", "job": number, "save": save}, JobEnded(number, left=True))

    def kill(self, number: int, reason: str) -> None:
        """Kill a job's processes."""
        ended = JobEnded(number, kind="lost", reason=reason or "it was killed")
        self._end({"o": "kill", "job": number, "reason": reason}, ended)

    def _end(self, order: Body, ended: JobEnded) -> None:
        """Send an order that ends a job; a job that was not sent yet ends at once."""
        job = self._jobs.get(ended.job)
        if job is not None and job.sent and job.agent is not None:
            self._effects.send(job.agent, order)
        elif job is not None:
            self._finish(job, ended)

    # Workers

    def open(self, workers: Iterable[int]) -> None:
        """Report to the runner that workers take jobs."""
        for worker in workers:
            slot = self._allocator.slot(worker)
            cores = slot.threads if slot.cpus is None else len(slot.cpus)
            host = self._agents[self._allocator.agent(worker) or ""].host.name
            self._effects.messages.append(WorkerOpened(worker, host, cores, [gpu.uuid for gpu in slot.gpus]))

    def shut(self, workers: Iterable[int], reason: str) -> None:
        """Report to the runner that workers take no jobs any more."""
        self._effects.messages += [WorkerClosed(worker, reason) for worker in workers]

    def lose(self, agent: FleetAgent, reason: str) -> None:
        """End an agent's jobs as lost, once none of its processes can run any more."""
        for number in sorted(agent.jobs):
            self._finish(self._jobs[number], JobEnded(number, kind="lost", reason=reason))

    # Waiting jobs

    def retry_waiting(self, now: float) -> None:
        """Start those waiting jobs that can start, and reset the hang timeout of all others."""
        for number, job in list(self._waiting.items()):
            self._effects.messages.append(Reported(number, [], 0))
            self._advance(job, now)

    def _advance(self, job: _Job, now: float) -> None:
        """Start a waiting job if its agent and checkpoint are available; else request what is missing."""
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
        """Move a job whose worker has lost its host to a free worker's host; return the new agent."""
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
        """Record that a job's checkpoint was copied to its host, or why not."""
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
        """Start a trial's job if it waits for its checkpoint."""
        job = self._trials.get(trial)
        if job is not None and not job.sent:
            self._advance(job, now)

    def copy(self) -> None:
        """Add copies from hosts that can begin now."""
        self._effects.copies += self._checkpoints.begin_copies(self._is_running)

    def _is_running(self, trial: int) -> bool:
        """Return whether a trial's files may change, or are being copied to a host."""
        job = self._trials.get(trial)
        return job is not None and (job.sent or job.copy is not None)

    # Messages of agents

    def handle(self, agent: FleetAgent, body: Body, made: Reported | JobEnded, now: float) -> bool:
        """Handle an agent's message on one of its jobs; return whether the runner gets a message."""
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
        """End a job, which frees its worker and its trial."""
        number, trial = job.task.job, job.task.trial
        del self._jobs[number], self._trials[trial]
        self._waiting.pop(number, None)
        if job.agent is not None:
            job.agent.jobs.discard(number)
        if job.useful:
            self._checkpoints.request(trial)
        self._effects.messages.append(ended)


def _timed(job: _Job, rows: Sequence[ReportRow], now: float) -> list[ReportRow]:
    """Return reports with times in order and not in the future, since estimates of clocks have errors."""
    timed = []
    for row in rows:
        job.at = min(now, max(row.at, job.at))
        timed.append(row._replace(at=job.at))
    return timed
