"""The jobs that agents run: how they start, what is heard of them, how they end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Final, Literal

from hbsim.executors.dask import wire
from hbsim.executors.dask.agents import AgentState
from hbsim.executors.dask.depots import VAULT, Depots, Source
from hbsim.executors.dask.pools import Pools
from hbsim.executors.dask.todo import Fetch, Log, Store, ToDo
from hbsim.runner.workers import Ended, Said, Task

__all__ = ["FleetJobs"]

HEARD: Final = 1.0  # seconds between two signs of life of a job that fetches


@dataclass(slots=True)
class _Job:
    task: Task
    worker: int
    agent: AgentState
    phase: Literal["fetching", "running", "storing"] = "running"
    ended: Ended | None = None
    at: float = -inf  # the time of its last report
    source: Source | None = None  # where its checkpoint is fetched from


class FleetJobs:
    """Jobs by number, each on one agent, from its start until its end has been said.

    Parameters
    ----------
    pools : Pools
        Knows which agents a worker belongs to.
    depots : Depots
        Knows where checkpoints are.
    todo : ToDo
        Gets what is to be said and done.

    Attributes
    ----------
    reported : bool
        Whether any trial has reported.
    """

    def __init__(self, pools: Pools, depots: Depots, todo: ToDo) -> None:
        self.reported = False
        self._pools, self._depots, self._todo = pools, depots, todo
        self._jobs: dict[int, _Job] = {}
        self._ticked = -inf

    def start(self, worker: int, task: Task, agents: Sequence[AgentState], now: float) -> None:
        """Start a job on the agent with the fewest jobs among those that the worker belongs to."""
        if task.job in self._jobs:
            return
        if not agents:
            self._todo.messages.append(
                Ended(task.job, kind="lost", reason=f"worker {worker} has lost its host")
            )
            return
        agent = min(agents, key=lambda one: (len(one.jobs), not self._depots.holds(one, task.trial)))
        job = self._jobs[task.job] = _Job(task, worker, agent)
        agent.jobs.add(task.job)
        self._prepare(job, now)

    def order(self, number: int, order: wire.Body, now: float) -> None:
        """Send an order about a job; one that has not started yet is called off."""
        job = self._jobs.get(number)
        if job is None:
            return
        if job.phase == "running":
            job.agent.send(order, now)
        elif job.phase == "fetching" and order["o"] == "leave":
            self._finish(job, Ended(number, left=True))
        elif job.phase == "fetching" and order["o"] == "kill":
            self._finish(job, Ended(number, kind="lost", reason=order["reason"]))

    def tick(self, now: float) -> None:
        """Let jobs that fetch be heard of: they are at it, and none of them has hung."""
        if now - self._ticked >= HEARD:
            self._ticked = now
            for number, job in self._jobs.items():
                if job.phase == "fetching":
                    self._todo.messages.append(Said(number, [], 0))

    def hear(self, agent: AgentState, body: wire.Body, now: float) -> None:
        """Take what an agent says of one of its jobs."""
        job = self._jobs.get(body["job"])
        if job is None or job.agent is not agent:
            return
        if body["m"] == "said":
            said = wire.to_said(body, agent.ahead)
            rows = _timed(job, said.rows, now)
            self.reported = self.reported or bool(rows)
            self._todo.messages.append(Said(said.job, rows, said.first, said.waits))
        elif job.phase == "running":
            self._hear_end(job, body, now)

    def fetched(self, job: int, made: int, problem: str | None, now: float) -> None:
        """A checkpoint, of job `made`, has come to the host that needs it, or cannot."""
        found = self._jobs.get(job)
        if found is None or found.phase != "fetching":
            return
        if problem is None:
            self._depots.fetched(found.agent, found.task.trial, made)
            self._send_start(found, now)
        elif self._depots.source(found.agent, found.task) != found.source:  # who had it has gone meanwhile
            self._prepare(found, now)
        else:
            reason = f"its checkpoint cannot be fetched: {problem}"
            self._finish(found, Ended(job, kind="lost", reason=reason))

    def stored(self, job: int, problem: str | None) -> None:
        """A job's checkpoint is in the store, or cannot be."""
        found = self._jobs.get(job)
        if found is None or found.phase != "storing":
            return
        ended = found.ended
        assert ended is not None
        if problem is None:
            self._depots.brought(found.task.trial, job, VAULT)
        else:
            self._todo.notes.append(f"trial {found.task.trial} has no new checkpoint in the store: {problem}")
        self._finish(found, ended)

    def lost(self, agent: AgentState, reason: str) -> None:
        """End what ran on an agent that is lost."""
        for number in sorted(agent.jobs):
            job = self._jobs[number]
            if job.phase == "running":
                self._depots.unsure(agent, job.task.trial, number)
            # If it has ended, only its checkpoint had not been stored yet.
            self._finish(job, job.ended or Ended(number, kind="lost", reason=reason))

    def workers(self, agent: AgentState) -> list[int]:
        """Return the workers whose jobs an agent runs."""
        return [self._jobs[number].worker for number in sorted(agent.jobs)]

    def busy(self) -> set[int]:
        """Return the workers that have jobs."""
        return {job.worker for job in self._jobs.values()}

    def _hear_end(self, job: _Job, body: wire.Body, now: float) -> None:
        ended = wire.to_ended(body, job.agent.ahead)
        rows = _timed(job, ended.rows, now)
        begun = None if ended.begun is None else min(ended.begun, now)
        more = (ended.kind, ended.reason, begun, ended.seconds, ended.left)
        job.ended = Ended(ended.job, rows, ended.first, *more)
        if body["log"]:
            self._todo.actions.append(Log(job.task.trial, body["log"]))
        made = body["saved"]
        if ended.kind is None:
            self._depots.over(job.task.trial, job.task.job)
        if made is not None and self._depots.saved(job.agent, job.task.trial, made) and made == job.task.job:
            job.phase = "storing"
            self._todo.actions.append(Store(job.agent.address, job.task.job, job.task.trial))
        else:
            self._finish(job, job.ended)

    def _prepare(self, job: _Job, now: float) -> None:
        """Have a job's checkpoint fetched, if it is elsewhere; else start the job."""
        source = self._depots.source(job.agent, job.task)
        if isinstance(source, Source):
            job.phase, job.source = "fetching", source
            self._todo.actions.append(Fetch(job.agent.address, job.task.job, job.task.trial, source))
            return
        if source is not None:
            self._todo.notes.append(source)
        self._send_start(job, now)

    def _send_start(self, job: _Job, now: float) -> None:
        job.phase = "running"
        slot = self._pools.slot(job.worker, job.agent.name)
        cpus = None if slot.cpus is None else list(slot.cpus)
        share = {"cpus": cpus, "threads": slot.threads, "env": slot.env}
        job.agent.send({"o": "start", "task": wire.task_of(job.task), "slot": share}, now)

    def _finish(self, job: _Job, ended: Ended) -> None:
        del self._jobs[job.task.job]
        job.agent.jobs.discard(job.task.job)
        self._todo.messages.append(ended)


def _timed(job: _Job, rows: Sequence[Any], now: float) -> list[Any]:
    """Return reports with times in order, and none in the future: clocks are estimates."""
    timed = []
    for row in rows:
        job.at = min(now, max(row.at, job.at))
        timed.append(row._replace(at=job.at))
    return timed
