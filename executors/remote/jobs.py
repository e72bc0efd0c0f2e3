"""The jobs of a fleet: how they come to an agent, what is heard of them, how they end. No input or output."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from math import inf, isfinite
from typing import Final

from hbsim.executors.remote.agents import Agent
from hbsim.executors.remote.checkpoints import Checkpoints, Copy, Put
from hbsim.executors.remote.lines import Body, dump, task_of
from hbsim.executors.remote.machines import Machines
from hbsim.runner.workers import Ended, Message, Opened, Row, Said, Shut, Task

__all__ = ["Effects", "Jobs"]

TRIES: Final = 3  # to copy a checkpoint to a host,
PATIENCE: Final = 30  # or so many if the host answers, but no copy reaches it


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

    def send(self, agent: Agent, body: Body) -> None:
        """Have an order sent, if there is somebody to read it."""
        if not (agent.gone or agent.closed):
            self.lines.append((agent.name, dump(body)))


@dataclass(slots=True, eq=False)
class _Job:
    task: Task
    worker: int
    agent: Agent | None = None  # None while its worker has no host that could start it
    sent: bool = False
    useful: bool = True  # whether its checkpoint is of use once it has ended
    copy: Put | None = None
    copies: int = 0  # that were tried,
    failures: int = 0  # and that failed though the host could be reached
    checkpoint: Body | None = None  # where its agent finds its checkpoint
    at: float = -inf  # the time of its last report


class Jobs:
    """Jobs by number, from their start until their end has been said.

    Parameters
    ----------
    machines : Machines
        Knows which agent a worker belongs to.
    checkpoints : Checkpoints
        Knows where checkpoints are.
    effects : Effects
        Gets what is to be said and done.

    Attributes
    ----------
    reported : bool
        Whether any trial has reported.
    """

    def __init__(self, machines: Machines, checkpoints: Checkpoints, effects: Effects) -> None:
        self.reported = False
        self._machines, self._checkpoints, self._effects = machines, checkpoints, effects
        self._jobs: dict[int, _Job] = {}
        self._trials: dict[int, int] = {}  # those that have a job, and which
        self._running: set[int] = set()  # of these, those whose files may change or are copied to a host
        self._waiting: dict[int, _Job] = {}  # jobs that were not sent yet
        self._unplaced: dict[int, _Job] = {}  # of these, those without an agent
        self._idle: dict[int, Agent] = {}  # open workers without a job
        self._busy: set[int] = set()  # workers with one

    # What the runner asks for

    def start(self, worker: int, task: Task) -> None:
        """Take in a job; `place` finds an agent for it."""
        if task.job not in self._jobs:
            job = self._jobs[task.job] = self._waiting[task.job] = _Job(task, worker)
            self._unplaced[task.job] = job
            self._trials[task.trial] = task.job
            self._busy.add(worker)
            self._idle.pop(worker, None)

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
        self._end({"o": "leave", "job": number, "save": save}, Ended(number, left=True))

    def kill(self, number: int, reason: str) -> None:
        """End a job's processes."""
        ended = Ended(number, kind="lost", reason=reason or "it was killed")
        self._end({"o": "kill", "job": number, "reason": reason}, ended)

    def _end(self, order: Body, ended: Ended) -> None:
        """Send an order that ends a job; one that has not begun ends at once."""
        job = self._jobs.get(ended.job)
        if job is not None and job.sent and job.agent is not None:
            self._effects.send(job.agent, order)
        elif job is not None:
            self._finish(job, ended)

    # Workers

    def open(self, workers: Iterable[int], agent: Agent) -> None:
        """Let workers of an agent take jobs."""
        for worker in workers:
            slot = self._machines.slot(worker)
            cores = slot.threads if slot.cpus is None else len(slot.cpus)
            gpus = [gpu.uuid for gpu in slot.gpus]
            self._effects.messages.append(Opened(worker, agent.host.name, cores, gpus))
            if worker not in self._busy:
                self._idle[worker] = agent

    def shut(self, workers: Iterable[int], reason: str) -> None:
        """Let workers take no jobs any more."""
        for worker in workers:
            self._idle.pop(worker, None)
            self._effects.messages.append(Shut(worker, reason))

    def release(self, agent: Agent) -> None:
        """Have what was not sent to an agent wait for another one."""
        for number in agent.waiting:
            job = self._unplaced[number] = self._jobs[number]
            job.agent = job.copy = job.checkpoint = None
            self._running.discard(job.task.trial)
        agent.waiting.clear()

    def lose(self, agent: Agent, reason: str) -> None:
        """End what was sent to an agent, of which nothing can run any more."""
        for number in sorted(agent.jobs):
            self._finish(self._jobs[number], Ended(number, kind="lost", reason=reason))

    # On their way

    def place(self, agents: dict[str, Agent], now: float) -> None:
        """Find agents for jobs without one: that of their worker, or another one whose worker is free."""
        for job in list(self._unplaced.values()):
            agent = agents.get(self._machines.agent(job.worker) or "")
            if (agent is None or agent.over) and self._idle:
                worker = min(self._idle)
                agent = self._idle[worker]
                self.shut([worker], f"worker {job.worker} takes its place")
                self._machines.swap(worker, job.worker)
                self.open([job.worker], agent)
            if agent is not None and not agent.over:
                del self._unplaced[job.task.job]
                job.agent = agent
                agent.waiting.add(job.task.job)
                self._advance(job, now)

    def look_again(self, now: float) -> None:
        """See which of the jobs that wait can be started; none of them has hung."""
        for number, job in list(self._waiting.items()):
            self._effects.messages.append(Said(number, [], 0))
            self._advance(job, now)

    def advance(self, agent: Agent, now: float) -> None:
        """Start the jobs that wait for an agent, if it is there."""
        for number in list(agent.waiting):
            self._advance(self._jobs[number], now)

    def advance_trial(self, trial: int, now: float) -> None:
        """Start the job of a trial that waits for its checkpoint, if that is there."""
        job = self._waiting.get(self._trials.get(trial, -1))
        if job is not None:
            self._advance(job, now)

    def _advance(self, job: _Job, now: float) -> None:
        """Start a job that waits, if its agent and its checkpoint are there; else see to that."""
        agent, trial = job.agent, job.task.trial
        if agent is None or agent.hello is None or not agent.able(now) or job.copy is not None:
            return
        if self._checkpoints.moves(trial):
            return
        source = "own" if job.checkpoint else self._checkpoints.source(agent.name, trial)
        if source == "put":
            job.copies += 1
            target = f"{agent.hello['incoming']}/{job.task.job}-{job.copies}"
            job.copy = Put(agent.name, trial, job.task.job, target)
            self._effects.copies.append(job.copy)
            self._running.add(trial)
        elif source != "wait":
            job.checkpoint = {"job": source} if isinstance(source, int) else job.checkpoint
            self._send(job, agent)

    def _send(self, job: _Job, agent: Agent) -> None:
        slot, number = self._machines.slot(job.worker), job.task.job
        cpus = None if slot.cpus is None else list(slot.cpus)
        share = {"cpus": cpus, "threads": slot.threads, "env": slot.env}
        start = {"o": "start", "task": task_of(job.task), "slot": share, "checkpoint": job.checkpoint}
        self._effects.send(agent, start)
        job.sent = True
        self._running.add(job.task.trial)
        del self._waiting[number]
        agent.waiting.discard(number)
        agent.jobs.add(number)

    def copied(self, copy: Put, problem: str | None, away: bool) -> None:
        """A job's checkpoint has come to its host, or cannot."""
        job = self._jobs.get(copy.job)
        if job is None or job.copy is not copy or job.agent is None:
            return
        job.copy = None
        if problem is None:
            job.checkpoint = {"folder": copy.target}
            return
        self._running.discard(copy.trial)
        job.failures += not away
        if job.failures >= TRIES or job.copies >= PATIENCE:
            reason = f"its checkpoint cannot be copied to {job.agent.host.name}: {problem}"
            self._finish(job, Ended(copy.job, kind="lost", reason=reason))

    def copy(self) -> None:
        """Have those checkpoints copied from hosts that can be now."""
        self._effects.copies += self._checkpoints.gets(self._running)

    # What is heard

    def hear(self, agent: Agent, body: Body, made: Said | Ended, now: float) -> bool:
        """Take what an agent says of one of its jobs; return whether the runner is told."""
        job = self._jobs.get(made.job)
        if job is None or job.agent is not agent or not job.sent:
            return False
        rows = _timed(job, made.rows, now)
        self.reported = self.reported or bool(rows)
        if isinstance(made, Said):
            self._effects.messages.append(replace(made, rows=rows))
            return True
        if body["log"]:
            self._effects.logs.append((job.task.trial, str(body["log"])))
        self._checkpoints.ended(agent.name, job.task.trial, body, job.useful)
        begun = None if made.begun is None else min(made.begun, now)
        self._finish(job, replace(made, rows=rows, begun=begun))
        return True

    def _finish(self, job: _Job, ended: Ended) -> None:
        """End a job: its worker and its trial are free."""
        number, trial, worker = job.task.job, job.task.trial, job.worker
        del self._jobs[number]
        self._waiting.pop(number, None)
        self._unplaced.pop(number, None)
        self._busy.discard(worker)
        self._trials.pop(trial, None)
        self._running.discard(trial)
        if job.agent is not None:
            job.agent.jobs.discard(number)
            job.agent.waiting.discard(number)
            if not job.agent.shut and self._machines.agent(worker) == job.agent.name:
                self._idle[worker] = job.agent
        if job.useful:
            self._checkpoints.want(trial)
        self._effects.messages.append(ended)


def _timed(job: _Job, rows: Sequence[Row], now: float) -> list[Row]:
    """Return reports with times in order, and none in the future: clocks are estimates."""
    timed = []
    for row in rows:
        job.at = min(now, max(row.at, job.at))
        timed.append(row._replace(at=job.at))
    return timed
