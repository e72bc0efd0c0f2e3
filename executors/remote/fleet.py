"""The fleet: agents on hosts, and what they run. A state machine without input and output.

`Fleet` gets the runner's calls, the carrier's events and the time. It puts messages, lines and copies that
are to be made into its `Effects`, which the controller carries out and empties.
"""

from __future__ import annotations

import json
import zlib
from collections import deque
from collections.abc import Iterable
from math import inf
from typing import Final

from hbsim.errors import ExecutorError, HbsimError, ParameterError
from hbsim.executors.remote import protocol
from hbsim.executors.remote.allocation import (
    Machine,
    WorkerAllocator,
    differences,
    differences_of,
    named,
    versions,
)
from hbsim.executors.remote.checkpoints import Checkpoints, Copy, Get
from hbsim.executors.remote.fleet_agents import Clocks, FleetAgent, FleetHost
from hbsim.executors.remote.fleet_jobs import Effects, FleetJobs
from hbsim.executors.remote.protocol import ROOM, Body, message_of
from hbsim.runner.workers import Assignment, JobEnded

RETRY: Final = 1.0  # seconds between two attempts to start waiting jobs
FAILURES: Final = 3  # failures of a host in a row after which the study begins without it
PLURAL: Final = {"answers": "answer", "does": "do", "is": "are", "runs": "run"}
_PART: Final = 4  # acknowledge at once when one part in so many of an agent's room was taken
_OURS: Final = ("hosts", "resource")  # fields of errors that are shown as their rules only
_WRONG: Final = (AttributeError, LookupError, RecursionError, TypeError, ValueError)


class Fleet:
    """Agents, their jobs, and their workers.

    A job that was not sent yet waits for its agent, for a checkpoint, or for another host; the loss of an
    agent does not end it. A job that was sent ends once: as its agent reports, or as lost when no process of
    that agent can run any more.

    Parameters
    ----------
    allocator : WorkerAllocator
        The division of hosts among workers.
    checkpoints : Checkpoints
        The places of trials' checkpoints.
    lease : float
        Seconds after which an agent without messages of the controller has ended its jobs.

    Attributes
    ----------
    effects : Effects
        The messages, lines and copies to be made.
    fatal : HbsimError or None
        The error that ends the study.
    jobs : FleetJobs
        The jobs, which the runner starts by `start`.
    expected : int or None
        The number of hosts, as `Carrier.open` returns it; None if any number may come.
    """

    def __init__(self, allocator: WorkerAllocator, checkpoints: Checkpoints, lease: float) -> None:
        self.effects = Effects()
        self.fatal: HbsimError | None = None
        self.expected: int | None = None
        self.allocator, self.checkpoints = allocator, checkpoints
        checkpoints.notes = self.effects.notes
        self._agents: dict[str, FleetAgent] = {}
        self._hosts: dict[str, FleetHost] = {}  # by place
        self.jobs = FleetJobs(allocator, checkpoints, self.effects, self._agents)
        self._lease, self._versions = lease, versions()
        self._begun = False  # whether hosts are divided as they come
        self._opened = False  # whether there was any worker
        self._retried = -inf
        # Agents whose lines were passed to the runner, and the lines' sizes.
        self._given: deque[tuple[FleetAgent, int]] = deque()
        # Notes to be joined: a verb, the words after it, and the agent.
        self._changes: list[tuple[str, str, FleetAgent]] = []
        self._none_since: float | None = None  # time since which no host can run trials

    # Methods for the runner

    def start(self, worker: int, task: Assignment, now: float) -> None:
        """Start a job on a worker, as soon as its host and its checkpoint are available."""
        self.jobs.start(worker, task, now)
        self.jobs.copy()

    def prune(self, trial: int) -> None:
        """Remove a trial's checkpoints wherever hosts and the store keep them."""
        agents, stored = self.checkpoints.prune(trial)
        for name in agents:
            self.effects.send(self._agents[name], {"o": "prune", "trials": [trial]})
        if stored:
            self.effects.unstored.append(trial)

    def taken(self, size: int) -> None:
        """Record that the runner has processed messages that came from lines of this many characters."""
        while size > 0 and self._given:
            agent, given = self._given.popleft()
            size -= given
            agent.taken += given
            if agent.taken - agent.acknowledged >= ROOM // _PART:
                agent.acknowledged = agent.taken
                self.effects.send(agent, {"o": "taken", "taken": agent.taken})

    # Methods for the controller

    def hosts(self) -> list[str]:
        """Return the names of the hosts that may run trials, each once."""
        agents = (agent for agent in self._agents.values() if not (agent.gone or agent.over))
        return list(dict.fromkeys(agent.host.name for agent in agents))

    def ready(self, now: float) -> tuple[int, int]:
        """Return the number of agents that can take jobs, and of hosts to wait for, including those agents.

        The study does not wait for a host that cannot be reached: the host joins when it can be reached.
        """
        able = sum(agent.is_ready(now) for agent in self._agents.values())
        there = {agent.host for agent in self._agents.values() if not agent.gone}
        failed = sum(host.final or bool(host.problem and host not in there) for host in self._hosts.values())
        return able, max(len(self._hosts), self.expected or 0) - failed

    def open(self, now: float) -> None:
        """Divide the hosts whose agents can take jobs among workers; others are divided as they come.

        Raises
        ------
        ParameterError
            No host satisfies the need of a trial.
        """
        self._begun = True
        self._divide(now)
        self._report_changes(now)
        if isinstance(self.fatal, ParameterError):
            raise self.fatal

    def copied(self, copy: Copy, problem: str | None, now: float, away: bool = False) -> None:
        """Record that a copy was made, or has failed.

        Parameters
        ----------
        copy : Get or Put
            The copy from `Effects.copies`.
        problem : str or None
            Why it has failed; None if it was made.
        now : float
            The time.
        away : bool
            Whether the host could not be reached, as `CopyError.away` says.
        """
        if isinstance(copy, Get):
            self.checkpoints.copied(copy, problem, away)
        else:
            self.jobs.copied(copy, problem)
        self.jobs.advance(copy.trial, now)
        self.jobs.copy()

    def pending(self, trials: Iterable[int]) -> dict[int, str]:
        """Request copies of those trials' newest checkpoints that are only on hosts.

        Returns
        -------
        pending : dict of int to str
            By trial: the host that has the checkpoint if it cannot be reached now, else "".
        """
        found = self.checkpoints.pending(trials)
        self.jobs.copy()
        return found

    # Events

    def handle(self, event: protocol.CarrierEvent, now: float) -> None:
        """Handle an event of the carrier."""
        if isinstance(event, protocol.AgentLine):
            agent = self._agents.get(event.agent)
            if agent is not None and not agent.gone:
                self._handle_line(agent, event.text, now)
        elif isinstance(event, protocol.Joined):
            share = zlib.crc32(event.agent.encode()) / 2**32  # spread the beats over time
            clocks = Clocks(self._lease, now)
            clocks.due += share * clocks.pause
            self._agents[event.agent] = FleetAgent(event.agent, self._host(event.place, event.host), clocks)
        elif isinstance(event, protocol.AgentEnded):
            self._handle_end(event)
        elif isinstance(event, protocol.HostFailed):
            if event.gone:
                self._hosts.pop(event.place, None)
            else:
                self._fail(self._host(event.place, event.host), event.reason, event.final)

    def tick(self, now: float) -> None:
        """Do what is due at this time: beats, silent agents, leases, new hosts."""
        for agent in list(self._agents.values()):
            if now >= agent.clocks.due and not agent.gone:
                self._beat(agent, now)
            if agent.gone or agent.clocks.silent(now):
                self._check_agent(agent, now)
        if self._begun:
            self._divide(now)
        if now - self._retried >= RETRY:
            self._retried = now
            self.jobs.retry_waiting(now)
            for agent in self._agents.values():
                if agent.ends and not (agent.jobs or self.checkpoints.busy(agent.name)):
                    self.effects.send(agent, {"o": "close", "clean": False})
        self.jobs.copy()
        self._report_changes(now)
        self._check_hosts(now)

    def _report_changes(self, now: float) -> None:
        """Add notes on changes of agents, one line for all agents with the same change."""
        alike: dict[tuple[str, str], list[FleetAgent]] = {}
        for verb, what, agent in self._changes:
            alike.setdefault((verb, what), []).append(agent)
        self._changes.clear()
        for (verb, what), agents in alike.items():
            hosts = dict.fromkeys(agent.host.name for agent in agents)
            text = f"{named(hosts)} {verb if len(hosts) == 1 else PLURAL[verb]} {what}"
            count = sum(len(agent.jobs) for agent in agents if agent.reported_missing)
            if count:
                rest = max(0.0, *(agent.clocks.rest(now) for agent in agents))
                trials = "its trial counts" if count == 1 else f"{count} trials there count"
                text += f"; {trials} as lost in {rest:.0f} s without an answer"
            self.effects.notes.append(text)

    # Agents

    def _beat(self, agent: FleetAgent, now: float) -> None:
        agent.acknowledged = agent.taken
        self.effects.send(agent, {**agent.clocks.beat(now), "taken": agent.taken})

    def _check_agent(self, agent: FleetAgent, now: float) -> None:
        """Close the workers of an agent that is silent or gone, and lose it when its lease is over."""
        if agent.clocks.rest(now) < 0:
            self._lose(agent, "it did not answer", True)
        elif not agent.reported_missing and (agent.jobs or (agent.divided and not agent.over)):
            agent.reported_missing = True
            self._shut(agent, f"{agent.host.name} does not answer")
            what = ("is", f"gone ({agent.over})") if agent.gone else ("does", "not answer")
            self._changes.append((*what, agent))

    def _shut(self, agent: FleetAgent, reason: str) -> None:
        """Close the workers of an agent: they take no new jobs."""
        if not agent.shut:
            agent.shut = reason
            self.jobs.shut(self.allocator.workers(agent.name), reason)

    def _lose(self, agent: FleetAgent, reason: str, over: bool) -> None:
        """Count an agent as gone; its jobs are lost when they must have ended, at once if all is `over`."""
        if not agent.gone:
            agent.gone, agent.reported_missing, agent.over = True, False, reason
            self.checkpoints.leave(agent.name)
            self._shut(agent, f"{agent.host.name}: {reason}")
        if over or not agent.jobs:
            del self._agents[agent.name]
            self.allocator.remove(agent.name)
            self.jobs.lose(agent, f"its host {agent.host.name} was lost: {agent.over}")

    def _exclude(self, agent: FleetAgent, error: ParameterError, ends: bool) -> None:
        """Give no new jobs to an agent that can run no trials; if it `ends`, another one is started."""
        name = agent.host.name
        agent.over, agent.ends = str(error), ends
        self._fail(agent.host, error.rule if error.field in _OURS else str(error), True, error)
        self._shut(agent, f"{name} can run no trials")

    def _fail(self, host: FleetHost, problem: str, final: bool, error: ParameterError | None = None) -> None:
        """Record why a host can run no trials, for now or, if `final`, until a user has repaired it."""
        among_others = max(len(self._hosts), self.expected or 0) > 1
        if problem != host.problem and (self._opened or among_others or not final):
            self.effects.notes.append(f"{host.name} gets no trials{'' if final else ' yet'}: {problem}")
        host.failures += 1
        host.problem, host.final, host.error = problem, final, error

    def _check_hosts(self, now: float) -> None:
        """End the study if no host can run trials: before the first trial at once, later after the lease."""
        hosts = list(self._hosts.values())
        able = [one for one in hosts if not (one.final or (one.failures >= FAILURES and not self._opened))]
        some_begin = any(not agent.over for agent in self._agents.values())
        awaited = not self._opened and (some_begin or len(hosts) < (self.expected or 0))
        if not hosts or able or awaited or any(agent.jobs for agent in self._agents.values()):
            self._none_since = None
            return
        self._none_since = now if self._none_since is None else self._none_since
        problem = str(hosts[0].error or f"{hosts[0].name}: {hosts[0].problem}")
        if not self._opened:
            errors = [host.error for host in hosts if host.error]
            names = named(host.name for host in hosts)
            nobody = ParameterError("hosts", names, f"none can run trials: {problem}")
            self.fatal = self.fatal or (errors[0] if errors else nobody)
        elif now - self._none_since > self._lease:
            rule = f"none can run trials any more: {problem}"
            self.fatal = self.fatal or ExecutorError("the hosts", rule)

    # Messages of agents

    def _host(self, place: str, name: str) -> FleetHost:
        host = self._hosts.setdefault(place, FleetHost(name))
        host.name = name
        return host

    def _handle_end(self, event: protocol.AgentEnded) -> None:
        agent = self._agents.get(event.agent)
        if agent is not None:
            reason = f"its agent ended: {event.reason}"
            if not (agent.ready or agent.over):
                self._fail(agent.host, reason, False)
            self._lose(agent, reason, event.clean)

    def _handle_line(self, agent: FleetAgent, text: str, now: float) -> None:
        """Handle a line of an agent; a malformed line ends the agent."""
        try:
            body = json.loads(text)
            if body["m"] in ("said", "ended"):
                self._handle_job(agent, body, len(text), now)
            else:
                self._handle(agent, body, now)
        except _WRONG as error:
            problem = f"it sent a line that makes no sense ({type(error).__name__}: {error}): {text[:80]!r}"
            self.effects.notes.append(f"{agent.host.name}: {problem}")
            self.effects.send(agent, {"o": "close", "clean": False})
            self._lose(agent, problem, False)

    def _handle_job(self, agent: FleetAgent, body: Body, size: int, now: float) -> None:
        made = message_of(body, agent.clocks.ahead)
        if self.jobs.handle(agent, body, made, now):
            self.effects.size += size
            self._given.append((agent, size))
            if isinstance(made, JobEnded):
                self.jobs.copy()
        else:
            agent.taken += size

    def _handle(self, agent: FleetAgent, body: Body, now: float) -> None:
        kind = body["m"]
        if kind == "beat":
            self._handle_beat(agent, body, now)
        elif kind == "hello":
            self._handle_hello(agent, body, now)
        elif kind == "ready":
            agent.ready = True
            if not agent.over:
                agent.host.failures, agent.host.problem, agent.host.error = 0, "", None
                agent.host.final = False
        elif kind == "fatal":
            self._handle_fatal(agent, body)
        elif kind == "leaving":
            agent.over, agent.ends = str(body["reason"]), True
            self.effects.notes.append(f"{agent.host.name} is taken away: {agent.over}")
            self._shut(agent, f"{agent.host.name} is taken away")
        elif kind == "stored":
            if self.checkpoints.stored(agent.name, body["trial"], body["job"], body["problem"]):
                self.effects.unstored.append(body["trial"])
            self.jobs.advance(body["trial"], now)

    def _handle_beat(self, agent: FleetAgent, body: Body, now: float) -> None:
        agent.clocks.answer(int(body["id"]), float(body["clock"]), float(body["time"]), now)
        self.checkpoints.reached(agent.name)
        if agent.reported_missing:
            agent.reported_missing = False
            self._changes.append(("answers", "again", agent))
        if agent.is_ready(now) and agent.shut:
            agent.shut = ""
            self.jobs.open(self.allocator.workers(agent.name))

    def _handle_hello(self, agent: FleetAgent, body: Body, now: float) -> None:
        """Record an agent's host from its ``hello``."""
        agent.machine = Machine.from_hello(agent.host.name, body)
        useless = self.checkpoints.join(agent.name, agent.host.name, body)
        agent.incoming = str(body["incoming"])
        if useless:
            self.effects.send(agent, {"o": "prune", "trials": useless})
        error, warning = differences(self._versions, agent.machine.versions)
        if error:
            rule = f"{agent.host.name} runs {error}: install the same there"
            self._exclude(agent, ParameterError("hosts", agent.host.name, rule), True)
        elif warning and warning != agent.host.warning:
            agent.host.warning = warning
            self._changes.append(("runs", f"{warning}: trials there may come out differently", agent))
        self._beat(agent, now)  # the agent takes jobs after its first answer to a beat

    def _handle_fatal(self, agent: FleetAgent, body: Body) -> None:
        name, rule = agent.host.name, str(body["rule"])
        error = ParameterError(body["field"], body["value"], rule if name in rule else f"{rule} (on {name})")
        if not body.get("trial"):
            self._exclude(agent, error, True)
        elif not (self.checkpoints.saves if body["trial"] == "checkpoint" else self.jobs.reported):
            # Else other trials have kept the rule: only this one fails, when it ends.
            self.fatal = self.fatal or error

    # Workers

    def _divide(self, now: float) -> None:
        """Add agents that can take jobs, and divide free cores and GPUs among workers."""
        new = [agent for agent in self._agents.values() if not agent.divided and agent.is_ready(now)]
        machines = [agent.machine for agent in new if agent.machine is not None]
        first = not self.allocator.begun
        if first and new:
            try:
                self.allocator.begin(machines)
            except ParameterError as nothing:
                self.fatal = self.fatal or nothing
                return
            if differ := differences_of(machines):
                self.effects.notes.append(differ)
        for agent, machine in zip(new, machines, strict=True):
            agent.divided = True
            if error := self.allocator.refusal(machine):
                self._exclude(agent, error, False)
            else:
                self.allocator.add(agent.name, machine)
        able = [name for name in self.allocator.candidates if self._agents[name].is_ready(now)]
        if able and (workers := self.allocator.divide(able)):
            self._opened = True
            self.jobs.open(workers)
        if first and new and (shortage := self.allocator.shortage()):
            self.effects.notes.append(shortage)
