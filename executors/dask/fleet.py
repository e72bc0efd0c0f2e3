"""Which hosts there are and what runs on them: a state machine without input and output.

`Controller` tells it what was heard and what time it is; it answers with messages for the runner, lines for
agents, and things to be done, each of which is reported back.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from typing import Final

from hbsim.errors import ExecutorError, HbsimError, ParameterError
from hbsim.executors.dask import wire
from hbsim.executors.dask.agents import ROOM, AgentState
from hbsim.executors.dask.depots import Depots
from hbsim.executors.dask.fleet_jobs import FleetJobs
from hbsim.executors.dask.hopes import Hopes
from hbsim.executors.dask.pools import Machine, Pools
from hbsim.executors.dask.todo import ToDo, Unstore, Wake
from hbsim.executors.dask.versions import differences, versions
from hbsim.executors.devices import Gpu
from hbsim.runner.workers import Opened, Shut, Task

__all__ = ["Fleet"]

ALL_ROOM: Final = 2 << 20  # bytes that all agents together may say before any of it is taken
WAKE: Final = 5.0  # seconds that a Dask worker has no agent before it is asked for one


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
    jobs : FleetJobs
        What runs on them.
    todo : ToDo
        What is to be said and done.
    fatal : HbsimError or None
        What ends the study: a ParameterError that an agent has told, or that no host is left that could run
        trials.
    workers : dict of str to float or None
        Dask workers by address, and since when they have had no agent; None where there is one.
    """

    def __init__(self, pools: Pools, depots: Depots, lease: float) -> None:
        self.agents: dict[str, AgentState] = {}
        self.todo = ToDo()
        self.jobs = FleetJobs(pools, depots, self.todo)
        self.fatal: HbsimError | None = None
        self._pools, self._depots, self._lease = pools, depots, lease
        self._versions = versions()
        self._begun = False  # whether hosts take jobs as they come
        self._opened_any = False
        self.workers: dict[str, float | None] = {}
        self._lost: set[str] = set()  # agents that are not listened to any more
        self._behind = 0  # bytes of what the runner was given and has not taken
        self._hopes = Hopes()
        self._hopeless: float | None = None  # since when no Dask worker could run trials

    # What the runner asks for

    def start(self, worker: int, task: Task, now: float) -> None:
        """Start a job on one of the agents that the worker belongs to."""
        agents = [self.agents[name] for name in self._pools.agents(worker)]
        self.jobs.start(worker, task, agents, now)

    def go_on(self, job: int, stop: float, now: float) -> None:
        """Answer a job that waits at a milestone."""
        self.jobs.order(job, {"o": "go", "job": job, "stop": stop if isfinite(stop) else None}, now)

    def leave(self, job: int, save: bool, now: float) -> None:
        """Have a job leave its function."""
        self.jobs.order(job, {"o": "leave", "job": job, "save": save}, now)

    def kill(self, job: int, reason: str, now: float) -> None:
        """End a job's processes."""
        self.jobs.order(job, {"o": "kill", "job": job, "reason": reason}, now)

    def prune(self, trial: int, now: float) -> None:
        """Remove a trial's checkpoints wherever hosts keep them."""
        agents, stored = self._depots.drop(trial)
        for agent in agents:
            agent.send({"o": "prune", "trials": [trial]}, now)
        if stored:
            self.todo.actions.append(Unstore(trial))

    def given(self, size: int) -> None:
        """The runner was given messages of so many bytes, which it has not taken yet."""
        self._behind += size

    def taken(self, size: int, now: float) -> None:
        """The runner has taken so many bytes: agents that were told to wait may say more."""
        self._behind -= size
        room = self.room()
        for agent in self.agents.values():
            if 2 * agent.room < room:
                agent.tell(room)

    def room(self) -> int:
        """Return how many bytes each agent may say before any of it is acknowledged."""
        left = ALL_ROOM - self._behind
        return max(ROOM, left // max(1, len(self.agents))) if left > 0 else 0

    # What was heard

    def worker_added(self, address: str, now: float) -> None:
        """A Dask worker is there; its agent will say hello."""
        if not self._hopes.is_unfit(address):
            self.workers.setdefault(address, now)

    def worker_removed(self, address: str, now: float) -> None:
        """Dask has lost a worker: its agent ends, or its lease does."""
        self.workers.pop(address, None)
        self._hopes.forget(address)
        self._depots.closed(address)
        for agent in list(self.agents.values()):
            if agent.address == address:
                self._lose(agent, "Dask lost its worker", now)

    def agent_ended(self, name: str, reason: str, clear: bool, now: float) -> None:
        """An agent's process has ended; `clear` says that nothing that it started is left."""
        agent = self.agents.get(name)
        if name not in self._lost and not (agent is not None and agent.ready):
            self._note_death(name, reason)
        if agent is None:
            self._lost.add(name)
            return
        if agent.guessed:
            agent.gone, agent.guessed = f"its agent ended: {reason}", False
        self._lose(agent, f"its agent ended: {reason}", now)
        if agent.address in self.workers:
            self._depots.outlived(agent)
        if clear and name in self.agents:
            self._bury(agent)

    def agent_refused(self, name: str, reason: str, now: float) -> None:
        """A Dask worker does not pass lines on to an agent; how that has ended may be heard later."""
        agent = self.agents.get(name)
        if agent is not None and agent.gone is None:
            agent.guessed = True
            self._lose(agent, f"its agent cannot be reached: {reason}", now)
            self._depots.outlived(agent)

    def heard(self, name: str, address: str, line: str, now: float) -> None:
        """Take a line of an agent."""
        agent = self.agents.get(name)
        if agent is None:
            if name in self._lost or self._hopes.is_unfit(address):
                return
            for other in list(self.agents.values()):
                if other.address == address:
                    self._lose(other, "another agent has taken its place", now)
            agent = self.agents[name] = AgentState(name, address, now)
        if agent.gone is None and not self._hopes.is_unfit(address):
            self.workers[address] = None
        self.todo.size += len(line)
        for body in agent.take(line, self.room()):
            self._hear(agent, body, now)

    def tick(self, now: float) -> None:
        """Let time pass: beats, leases, hosts that join."""
        self.jobs.tick(now)
        for agent in list(self.agents.values()):
            self._look_at(agent, now)
        if self._begun:
            self.open([agent for agent in self.agents.values() if not agent.joined], now)
            self._end_without_hope(now)
        for address, since in list(self.workers.items()):
            if since is not None and now - since > WAKE:
                self.workers[address] = now
                self.todo.actions.append(Wake(address))

    def _look_at(self, agent: AgentState, now: float) -> None:
        """Beat an agent, if it is time; part with one that is silent, and give up one whose lease is over."""
        if agent.gone is None:
            agent.beat(self._lease, now, self.room())
            if self._hopes.is_unfit(agent.address) and not agent.jobs:
                self._lose(agent, "it can run no trials", now)
            elif agent.joined and agent.silent(now, self._lease):
                self._part(agent, f"{agent.host} does not answer")
        if agent.over(now, self._lease):
            self._lose(agent, "it did not answer", now)
            if agent.name in self.agents:
                self._bury(agent)
        elif agent.gone is not None and agent.jobs and not agent.told:
            agent.told = True
            self.todo.notes.append(agent.loss(now, self._lease))

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
        machines = {agent.name: machine_of(agent) for agent in able}
        opened = self._pools.join(machines, self.jobs.busy())
        self._begun = True
        self._opened_any = self._opened_any or bool(opened)
        for agent in able:
            agent.joined = True
        self.todo.messages += [self._opened(worker) for worker in opened]

    def _opened(self, worker: int) -> Opened:
        slot = self._pools.slot(worker)
        cores = slot.threads if slot.cpus is None else len(slot.cpus)
        return Opened(worker, self._pools.host(worker), cores, [gpu.uuid for gpu in slot.gpus])

    def able(self, agent: AgentState, now: float) -> bool:
        """Whether an agent can be given jobs now."""
        if self._hopes.is_unfit(agent.address):
            return False
        return agent.ready and agent.known and agent.gone is None and not agent.silent(now, self._lease)

    def hopeless(self) -> str | None:
        """Return why none of the Dask workers that there are can run trials; None if one may."""
        for agent in self.agents.values():
            if agent.gone is None and (agent.jobs or not self._hopes.is_unfit(agent.address)):
                return None
        return self._hopes.none(self.workers)

    # How it is done

    def _hear(self, agent: AgentState, body: wire.Body, now: float) -> None:
        kind = body["m"]
        if kind == "beat":
            agent.answered(body, self._lease, now)
        elif kind == "hello":
            agent.hello = body
            self._depots.met(agent)
            self._compare(agent, now)
            agent.beat(self._lease, now, self.room())  # it takes jobs once it has answered one
        elif kind == "ready":
            agent.ready = True
            self._hopes.ready(agent.address)
        elif kind == "note":
            self.todo.notes.append(f"{agent.host}: {body['text']}")
        elif kind == "fatal":
            self._hear_fatal(agent, body, now)
        else:
            self.jobs.hear(agent, body, now)

    def _compare(self, agent: AgentState, now: float) -> None:
        """Look whether the host runs the same versions as this process."""
        assert agent.hello is not None
        error, warning = differences(self._versions, agent.hello["versions"])
        if error:
            rule = f"{agent.host} runs {error}: install the same there"
            self._hear_fatal(agent, {"field": "executor", "value": "dask", "rule": rule}, now)
        elif warning:
            self.todo.notes.append(f"{agent.host} runs {warning}: its trials may come out differently")

    def _hear_fatal(self, agent: AgentState, body: wire.Body, now: float) -> None:
        rule = body["rule"] if agent.host in body["rule"] else f"{body['rule']} (on {agent.host})"
        others = self._depots.saves if body.get("trial") == "checkpoint" else self.jobs.reported
        if body.get("trial") and others:
            return  # others have done what that trial did not: only it fails, as its end says
        if body.get("trial") or not self._opened_any:
            self.fatal = self.fatal or ParameterError(body["field"], body["value"], rule)
            return
        # Others can do what this host cannot, nor could another agent there; what runs there may end well.
        why = f"{agent.host} gets no trials: {body['field']}={body['value']!r}: {rule}"
        self.todo.notes.append(why)
        self._hopes.unfit(agent.address, why)
        self.workers.pop(agent.address, None)
        self._part(agent, f"{agent.host}: it can run no trials")

    def _note_death(self, name: str, reason: str) -> None:
        """Take note of an agent that was never ready; the first time people are told."""
        address = name.rpartition("-")[0]
        if not self._hopes.is_unfit(address) and self._hopes.died(address, reason):
            self.todo.notes.append(f"the Dask worker {address} gets no trials yet: its agent ended: {reason}")

    def _end_without_hope(self, now: float) -> None:
        """End the study when for a lease there has been no Dask worker that could run trials, but others."""
        if self._hopes.none(self.workers) is None:
            self._hopeless = None
            return
        self._hopeless = now if self._hopeless is None else self._hopeless
        reason = self.hopeless()
        if reason is not None and now - self._hopeless > self._lease:
            rule = f"none of its workers can run trials any more: {reason}"
            self.fatal = self.fatal or ExecutorError("the Dask cluster", rule)

    def _part(self, agent: AgentState, reason: str) -> None:
        """Give an agent no new jobs."""
        if agent.joined:
            agent.joined = False
            for worker in self._pools.leave(agent.name):
                self.todo.messages.append(Shut(worker, reason))

    def _open_again(self, agent: AgentState, reason: str) -> None:
        """Shut the workers whose jobs are lost, if other agents run them on: it is one loss, not many."""
        open_ = self._pools.open
        for worker in self.jobs.workers(agent):
            if worker in open_:
                self.todo.messages += [Shut(worker, reason), self._opened(worker)]

    def _lose(self, agent: AgentState, reason: str, now: float) -> None:
        """Give an agent up; what runs there is lost when it must have ended, at once if nothing does."""
        if agent.gone is None:
            agent.gone = reason
            agent.outgoing.clear()
            self._depots.left(agent)
            if self.workers.get(agent.address, now) is None:
                self.workers[agent.address] = now
                self.todo.actions.append(Wake(agent.address))  # after a long silence none starts by itself
            self._part(agent, f"{agent.host}: {reason}")
            self._open_again(agent, f"{agent.host}: {reason}")
        if not agent.jobs and agent.name in self.agents:
            self._bury(agent)

    def _bury(self, agent: AgentState) -> None:
        """Forget an agent: nothing that it started can be there any more."""
        reason = f"its host {agent.host} was lost: {agent.gone}"
        self.jobs.lost(agent, reason)
        self.agents.pop(agent.name, None)
        self._lost.add(agent.name)


def machine_of(agent: AgentState) -> Machine:
    """Return what an agent's host has, as it said."""
    hello = agent.hello
    assert hello is not None
    gpus = tuple(Gpu(**gpu) for gpu in hello["gpus"])
    limit, threads = hello["cpu_limit"], hello["threads"]
    group = hello.get("group", "")
    return Machine(hello["boot"], hello["host"], tuple(hello["cpus"]), limit, gpus, threads, group)
