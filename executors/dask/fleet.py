"""Which hosts there are and what runs on them: a state machine without input and output.

`DaskWorkers` tells it what was heard and what time it is; it answers with messages for the runner, lines for
agents, and things to be done, each of which is reported back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite
from typing import Any, Final, Literal, TypeAlias

from hbsim.errors import ParameterError
from hbsim.executors.dask import wire
from hbsim.executors.dask.agents import AgentState
from hbsim.executors.dask.depots import VAULT, Depots, Source
from hbsim.executors.dask.pools import Machine, Pools
from hbsim.executors.devices import Gpu
from hbsim.runner.workers import Ended, Message, Opened, Said, Shut, Task

__all__ = ["Action", "Fetch", "Fleet", "Log", "Store", "Unstore", "Wake"]

WAKE: Final = 5.0  # seconds that a Dask worker has no agent before it is asked for one


@dataclass(frozen=True, slots=True)
class Fetch:
    """A trial's checkpoint is to be brought to an agent's host; then `Fleet.fetched`."""

    address: str
    job: int
    trial: int
    source: Source


@dataclass(frozen=True, slots=True)
class Store:
    """A trial's checkpoint is to be brought from an agent's host to the store; then `Fleet.stored`."""

    address: str
    job: int
    trial: int


@dataclass(frozen=True, slots=True)
class Wake:
    """A Dask worker is to start an agent, if it has none."""

    address: str


@dataclass(frozen=True, slots=True)
class Log:
    """What a trial printed is to be added to its log in the study's folder."""

    trial: int
    text: str


@dataclass(frozen=True, slots=True)
class Unstore:
    """A trial's checkpoints are to be removed from the store."""

    trial: int


Action: TypeAlias = Fetch | Store | Unstore | Wake | Log


@dataclass(slots=True)
class _Job:
    task: Task
    worker: int
    agent: AgentState
    phase: Literal["fetching", "running", "storing"] = "running"
    orders: list[wire.Body] = field(default_factory=list)  # for when it has started
    ended: Ended | None = None
    at: float = -inf  # the time of its last report


class Fleet:
    """Agents, their jobs, and the workers that they make up.

    Parameters
    ----------
    pools : Pools
        Divides hosts among workers.
    depots : Depots
        Knows where checkpoints are.
    lease : float
        Seconds after which a silent agent has ended its jobs.

    Attributes
    ----------
    agents : dict of str to AgentState
        Those that are not lost.
    messages : list of Message
        For the runner; to be taken.
    actions : list of Action
        To be done; to be taken.
    notes : list of str
        Warnings for people; to be taken.
    fatal : ParameterError or None
        What an agent said that ends the study.
    workers : dict of str to float or None
        Dask workers by address, and since when they have had no agent; None where there is one.
    """

    def __init__(self, pools: Pools, depots: Depots, lease: float) -> None:
        self.agents: dict[str, AgentState] = {}
        self.messages: list[Message] = []
        self.actions: list[Action] = []
        self.notes: list[str] = []
        self.fatal: ParameterError | None = None
        self._pools, self._depots, self._lease = pools, depots, lease
        self._jobs: dict[int, _Job] = {}
        self._begun = False  # whether workers have been opened
        self._reported = False
        self.workers: dict[str, float | None] = {}
        self._lost: set[str] = set()  # agents that are not listened to any more

    # What the runner asks for

    def start(self, worker: int, task: Task, now: float) -> None:
        """Start a job on the agent with the fewest jobs among those that the worker belongs to."""
        if task.job in self._jobs:
            return
        candidates = [self.agents[name] for name in self._pools.agents(worker)]
        if not candidates:
            self._say(Ended(task.job, kind="lost", reason=f"worker {worker} has lost its host"))
            return
        agent = min(candidates, key=lambda one: (len(one.jobs), not self._depots.holds(one, task.trial)))
        job = self._jobs[task.job] = _Job(task, worker, agent)
        agent.jobs.add(task.job)
        source = self._depots.source(agent, task)
        if isinstance(source, str):
            self.notes.append(source)
        elif source is not None:
            job.phase = "fetching"
            self.actions.append(Fetch(agent.address, task.job, task.trial, source))
            return
        self._send_start(job, now)

    def go_on(self, job: int, stop: float, now: float) -> None:
        """Answer a job that waits at a milestone."""
        self._order(job, {"o": "go", "job": job, "stop": stop if isfinite(stop) else None}, now)

    def leave(self, job: int, save: bool, now: float) -> None:
        """Have a job leave its function."""
        self._order(job, {"o": "leave", "job": job, "save": save}, now)

    def kill(self, job: int, reason: str, now: float) -> None:
        """End a job's processes."""
        self._order(job, {"o": "kill", "job": job, "reason": reason}, now)

    def prune(self, trial: int, now: float) -> None:
        """Remove a trial's checkpoints wherever hosts keep them."""
        agents, stored = self._depots.drop(trial)
        for agent in agents:
            agent.send({"o": "prune", "trials": [trial]}, now)
        if stored:
            self.actions.append(Unstore(trial))

    # What was heard

    def worker_added(self, address: str, now: float) -> None:
        """A Dask worker is there; its agent will say hello."""
        self.workers.setdefault(address, now)

    def worker_removed(self, address: str, now: float) -> None:
        """Dask has lost a worker: its agent ends, or its lease does."""
        self.workers.pop(address, None)
        for agent in list(self.agents.values()):
            if agent.address == address:
                self._lose(agent, "Dask lost its worker", now)

    def agent_ended(self, name: str, reason: str, clear: bool, now: float) -> None:
        """An agent's process has ended; `clear` says that nothing that it started is left."""
        agent = self.agents.get(name)
        if agent is not None:
            self._lose(agent, f"its agent ended: {reason}", now)
            if clear and name in self.agents:
                self._bury(agent)

    def heard(self, name: str, address: str, line: str, now: float) -> None:
        """Take a line of an agent."""
        agent = self.agents.get(name)
        if agent is None:
            if name in self._lost:
                return
            for other in list(self.agents.values()):
                if other.address == address:
                    self._lose(other, "another agent has taken its place", now)
            agent = self.agents[name] = AgentState(name, address, now)
        self.workers[address] = None
        for body in agent.inbox.take([line]):
            self._hear(agent, body, now)

    def fetched(self, job: int, made: int, problem: str | None, now: float) -> None:
        """A checkpoint, of job `made`, has come to the host that needs it, or cannot."""
        found = self._jobs.get(job)
        if found is None or found.phase != "fetching":
            return
        if problem is None:
            found.phase = "running"
            self._depots.fetched(found.agent, found.task.trial, made)
            self._send_start(found, now)
        else:
            self._finish(
                found, Ended(job, kind="lost", reason=f"its checkpoint cannot be fetched: {problem}")
            )

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
            self.notes.append(f"trial {found.task.trial} has no new checkpoint in the store: {problem}")
        self._finish(found, ended)

    def tick(self, now: float) -> None:
        """Let time pass: beats, leases, hosts that join."""
        for agent in list(self.agents.values()):
            if agent.gone is None:
                agent.beat(self._lease, now)
                if agent.joined and agent.silent(now, self._lease):
                    self._part(agent, f"{agent.host} does not answer")
            if agent.over(now, self._lease):
                self._lose(agent, "it did not answer", now)
                if agent.name in self.agents:
                    self._bury(agent)
        if self._begun:
            self.open([agent for agent in self.agents.values() if not agent.joined], now)
        for address, since in list(self.workers.items()):
            if since is not None and now - since > WAKE:
                self.workers[address] = now
                self.actions.append(Wake(address))

    def begin(self) -> None:
        """Let hosts take jobs as they come."""
        self._begun = True

    def open(self, agents: Iterable[AgentState], now: float) -> None:
        """Let agents that are ready take jobs.

        Raises
        ------
        ParameterError
            At the first time: no host has what a trial needs.
        """
        able = [agent for agent in agents if self.able(agent, now)]
        if not able and not self._begun:
            return
        busy = {job.worker for job in self._jobs.values()}
        opened = self._pools.join({agent.name: machine_of(agent) for agent in able}, busy)
        self._begun = True
        for agent in able:
            agent.joined = True
        self.messages += [self._opened(worker) for worker in opened]

    def _opened(self, worker: int) -> Opened:
        slot = self._pools.slot(worker)
        cores = slot.threads if slot.cpus is None else len(slot.cpus)
        return Opened(worker, self._pools.host(worker), cores, [gpu.uuid for gpu in slot.gpus])

    def able(self, agent: AgentState, now: float) -> bool:
        """Whether an agent can be given jobs now."""
        return agent.ready and agent.known and agent.gone is None and not agent.silent(now, self._lease)

    # How it is done

    def _hear(self, agent: AgentState, body: wire.Body, now: float) -> None:
        kind = body["m"]
        if kind == "beat":
            agent.answered(body, self._lease, now)
        elif kind == "hello":
            agent.hello = body
            self._depots.met(agent)
            agent.beat(self._lease, now)  # it takes jobs once it has answered one
        elif kind == "ready":
            agent.ready = True
        elif kind == "note":
            self.notes.append(f"{agent.host}: {body['text']}")
        elif kind == "fatal":
            self._hear_fatal(agent, body, now)
        elif body["job"] in self._jobs and self._jobs[body["job"]].agent is agent:
            self._hear_job(agent, self._jobs[body["job"]], body, now)

    def _hear_fatal(self, agent: AgentState, body: wire.Body, now: float) -> None:
        rule = f"{body['rule']} (on {agent.host})"
        if self._reported or (self._begun and not agent.joined):  # the others can do what this one cannot
            self.notes.append(f"{agent.host} gets no trials: {body['field']}={body['value']!r}: {rule}")
            self._lose(agent, "it cannot run the training function", now)
            self.workers.pop(agent.address, None)  # another agent there would not be able to, either
        else:
            self.fatal = self.fatal or ParameterError(body["field"], body["value"], rule)

    def _hear_job(self, agent: AgentState, job: _Job, body: wire.Body, now: float) -> None:
        if body["m"] == "said":
            said = wire.to_said(body, agent.ahead)
            rows = self._timed(job, said.rows, now)
            self._reported = self._reported or bool(rows)
            self._say(Said(said.job, rows, said.first, said.waits))
            return
        if job.phase != "running":
            return
        ended = wire.to_ended(body, agent.ahead)
        rows = self._timed(job, ended.rows, now)
        begun = None if ended.begun is None else min(ended.begun, now)
        more = (ended.kind, ended.reason, begun, ended.seconds, ended.left)
        job.ended = Ended(ended.job, rows, ended.first, *more)
        if body["log"]:
            self.actions.append(Log(job.task.trial, body["log"]))
        made = body["saved"]
        if made is not None and self._depots.saved(agent, job.task.trial, made) and made == job.task.job:
            job.phase = "storing"
            self.actions.append(Store(agent.address, job.task.job, job.task.trial))
        else:
            self._finish(job, job.ended)

    def _timed(self, job: _Job, rows: Sequence[Any], now: float) -> list[Any]:
        """Return reports with times in order, and none in the future: clocks are estimates."""
        timed = []
        for row in rows:
            job.at = min(now, max(row.at, job.at))
            timed.append(row._replace(at=job.at))
        return timed

    def _order(self, number: int, order: wire.Body, now: float) -> None:
        job = self._jobs.get(number)
        if job is None or job.phase == "storing":
            return
        if job.phase == "fetching":
            job.orders.append(order)
        else:
            job.agent.send(order, now)

    def _send_start(self, job: _Job, now: float) -> None:
        slot = self._pools.slot(job.worker, job.agent.name)
        cpus = None if slot.cpus is None else list(slot.cpus)
        share = {"cpus": cpus, "threads": slot.threads, "env": slot.env}
        job.agent.send({"o": "start", "task": wire.task_of(job.task), "slot": share}, now)
        for order in job.orders:
            job.agent.send(order, now)
        job.orders = []

    def _say(self, message: Message) -> None:
        self.messages.append(message)

    def _finish(self, job: _Job, ended: Ended) -> None:
        del self._jobs[job.task.job]
        job.agent.jobs.discard(job.task.job)
        self._say(ended)

    def _part(self, agent: AgentState, reason: str) -> None:
        """Give an agent no new jobs."""
        if agent.joined:
            agent.joined = False
            for worker in self._pools.leave(agent.name):
                self._say(Shut(worker, reason))

    def _open_again(self, agent: AgentState, reason: str) -> None:
        """Shut the workers whose jobs are lost, if other agents run them on: it is one loss, not many."""
        for number in sorted(agent.jobs):
            worker = self._jobs[number].worker
            if self._pools.agents(worker):
                self._say(Shut(worker, reason))
                self._say(self._opened(worker))

    def _lose(self, agent: AgentState, reason: str, now: float) -> None:
        """Give an agent up; what runs there is lost when it must have ended, at once if nothing does."""
        if agent.gone is None:
            agent.gone = reason
            agent.outgoing.clear()
            self._depots.left(agent)
            if self.workers.get(agent.address, now) is None:
                self.workers[agent.address] = now
            self._part(agent, f"{agent.host}: {reason}")
            self._open_again(agent, f"{agent.host}: {reason}")
        if not agent.jobs and agent.name in self.agents:
            self._bury(agent)

    def _bury(self, agent: AgentState) -> None:
        """Forget an agent: nothing that it started can be there any more."""
        reason = f"its host {agent.host} was lost: {agent.gone}"
        for number in sorted(agent.jobs):
            job = self._jobs[number]
            if job.ended is not None:  # only its checkpoint had not been stored yet
                self._finish(job, job.ended)
            else:
                self._finish(job, Ended(number, kind="lost", reason=reason))
        self.agents.pop(agent.name, None)
        self._lost.add(agent.name)


def machine_of(agent: AgentState) -> Machine:
    """Return what an agent's host has, as it said."""
    hello = agent.hello
    assert hello is not None
    gpus = tuple(Gpu(**gpu) for gpu in hello["gpus"])
    limit, threads = hello["cpu_limit"], hello["threads"]
    return Machine(hello["boot"], hello["host"], tuple(hello["cpus"]), limit, gpus, threads)
