"""The fleet: agents on hosts, and what they run. A state machine without input and output.

`Fleet` is told what the runner wants, what the carrier says and what time it is. What is to be said and done
for it is in its `Effects`, which whoever drives it empties.
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
from hbsim.executors.remote.fleet_agents import MARGIN, Clocks, FleetAgent, FleetHost
from hbsim.executors.remote.fleet_jobs import Effects, FleetJobs
from hbsim.executors.remote.protocol import ROOM, Body, to_ended, to_said
from hbsim.runner.workers import Assignment, JobEnded, Reported

__all__ = ["MARGIN", "Effects", "Fleet"]

RETRY: Final = 1.0  # seconds between two looks at all that waits
FAILURES: Final = 3  # of a host in a row, after which it is not waited for before the first trial
PLURAL: Final = {"answers": "answer", "does": "do", "is": "are", "runs": "run"}
_PART: Final = 4  # an agent is told at once what was taken, if it is this part of what it may send
_OURS: Final = ("hosts", "resource")  # fields of errors whose rules say it all
_WRONG: Final = (AttributeError, LookupError, RecursionError, TypeError, ValueError)


class Fleet:
    """Agents, their jobs, and the workers that they make up.

    A job that was not sent to an agent yet waits for it, for a checkpoint, or for another host; it never
    fails by the loss of an agent. One that was sent ends once: as its agent says, or as lost when nothing of
    that agent can run any more.

    Parameters
    ----------
    allocator : WorkerAllocator
        Divides hosts among workers.
    checkpoints : Checkpoints
        Knows where checkpoints are.
    lease : float
        Seconds after which an agent that hears nothing has ended its jobs.

    Attributes
    ----------
    effects : Effects
        What is to be said and done.
    fatal : HbsimError or None
        What ends the study.
    jobs : FleetJobs
        The jobs, which the runner starts by `start`.
    expected : int or None
        How many hosts there are to be, as `Carrier.open` says; None if any number may come.
    """

    def __init__(self, allocator: WorkerAllocator, checkpoints: Checkpoints, lease: float) -> None:
        self.effects = Effects()
        self.fatal: HbsimError | None = None
        self.expected: int | None = None
        self.allocator, self.checkpoints = allocator, checkpoints
        self._agents: dict[str, FleetAgent] = {}
        self._hosts: dict[str, FleetHost] = {}  # by place
        self.jobs = FleetJobs(allocator, checkpoints, self.effects, self._agents)
        self._lease, self._versions = lease, versions()
        self._begun = False  # whether hosts are divided as they come
        self._opened = False  # whether any worker ever was
        self._retried = -inf
        self._given: deque[tuple[FleetAgent, int]] = (
            deque()
        )  # whose lines the runner was given, and their sizes
        self._changes: list[
            tuple[str, str, FleetAgent]
        ] = []  # verbs, what follows, and of whom that is to be said
        self._none_since: float | None = None  # since when no host could run trials

    # What the runner asks for

    def start(self, worker: int, task: Assignment, now: float) -> None:
        """Start a job on a worker, as soon as its host and its checkpoint are there."""
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
        """The runner has taken messages that were made of so many characters."""
        while size > 0 and self._given:
            agent, given = self._given.popleft()
            size -= given
            agent.taken += given
            if agent.taken - agent.acknowledged >= ROOM // _PART:
                agent.acknowledged = agent.taken
                self.effects.send(agent, {"o": "taken", "taken": agent.taken})

    # What the controller asks for

    def hosts(self) -> list[str]:
        """Return the names of the hosts that may run trials, each once."""
        agents = (agent for agent in self._agents.values() if not (agent.gone or agent.over))
        return list(dict.fromkeys(agent.host.name for agent in agents))

    def ready(self, now: float) -> tuple[int, int]:
        """Return how many agents can take jobs, and how many hosts are waited for, those included.

        A host that cannot be reached for now is not waited for: it joins when it is there.
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
            No host has what a trial needs.
        """
        self._begun = True
        self._divide(now)
        self._report_changes(now)
        if isinstance(self.fatal, ParameterError):
            raise self.fatal

    def copied(self, copy: Copy, problem: str | None, now: float, away: bool = False) -> None:
        """A copy has been made, or cannot be.

        Parameters
        ----------
        copy : Get or Put
            As it was in `Effects.copies`.
        problem : str or None
            Why it cannot be made; None if it has been.
        now : float
            What time it is.
        away : bool
            Whether that is for want of a connection to the host, as `CopyError.away` says.
        """
        if isinstance(copy, Get):
            self.checkpoints.copied(copy, problem, away)
            self.effects.notes += self.checkpoints.notes  # the study may be over before the next look
            self.checkpoints.notes.clear()
        else:
            self.jobs.copied(copy, problem)
        self.jobs.advance(copy.trial, now)
        self.jobs.copy()

    def pending(self, trials: Iterable[int]) -> dict[int, str]:
        """Have those copied whose newest checkpoint is neither in the study's folder nor in the store yet.

        Returns
        -------
        pending : dict of int to str
            These trials, and the host that has the checkpoint if it cannot be reached now, else "".
        """
        found = self.checkpoints.pending(trials)
        self.jobs.copy()
        return found

    # What happens

    def handle(self, event: protocol.CarrierEvent, now: float) -> None:
        """Take what the carrier says."""
        if isinstance(event, protocol.AgentLine):
            agent = self._agents.get(event.agent)
            if agent is not None and not agent.gone:
                self._handle_line(agent, event.text, now)
        elif isinstance(event, protocol.Joined):
            share = zlib.crc32(event.agent.encode()) / 2**32  # not all are to be beaten at once
            clocks = Clocks(self._lease, now)
            clocks.due += share * clocks.pause
            self._agents[event.agent] = FleetAgent(event.agent, self._host(event.place, event.host), clocks)
        elif isinstance(event, protocol.AgentEnded):
            self._handle_end(event)
        elif isinstance(event, protocol.HostFailed):
            self._handle_failure(event)

    def tick(self, now: float) -> None:
        """Let time pass: beats, silent agents, leases, hosts that come."""
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
        """Tell people what is so of agents, in one line of all of which the same is so."""
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
        self.effects.notes += self.checkpoints.notes
        self.checkpoints.notes.clear()

    # Agents

    def _beat(self, agent: FleetAgent, now: float) -> None:
        agent.acknowledged = agent.taken
        self.effects.send(agent, {**agent.clocks.beat(now), "taken": agent.taken})

    def _check_agent(self, agent: FleetAgent, now: float) -> None:
        """Shut an agent that is silent or gone, and give it up when its lease is over."""
        if agent.clocks.rest(now) < 0:
            self._lose(agent, "it did not answer", True)
        elif not agent.reported_missing and (agent.jobs or (agent.divided and not agent.over)):
            agent.reported_missing = True
            self._shut(agent, f"{agent.host.name} does not answer")
            what = ("is", f"gone ({agent.over})") if agent.gone else ("does", "not answer")
            self._changes.append((*what, agent))

    def _shut(self, agent: FleetAgent, reason: str) -> None:
        """Let the workers of an agent take no new jobs."""
        if not agent.shut:
            agent.shut = reason
            self.jobs.shut(self.allocator.workers(agent.name), reason)

    def _lose(self, agent: FleetAgent, reason: str, over: bool) -> None:
        """Hear an agent no more; what it runs is lost when that must have ended, at once if all is `over`."""
        if not agent.gone:
            agent.gone, agent.reported_missing, agent.over = True, False, reason
            self.checkpoints.leave(agent.name)
            self._shut(agent, f"{agent.host.name}: {reason}")
        if over or not agent.jobs:
            del self._agents[agent.name]
            self.allocator.remove(agent.name)
            self.jobs.lose(agent, f"its host {agent.host.name} was lost: {agent.over}")

    def _exclude(self, agent: FleetAgent, error: ParameterError, ends: bool) -> None:
        """Give an agent no new jobs, as it can run no trials; if it `ends`, another one is tried then."""
        name = agent.host.name
        agent.over, agent.ends = str(error), ends
        self._fail(agent.host, error.rule if error.field in _OURS else str(error), True, error)
        self._shut(agent, f"{name} can run no trials")

    def _fail(self, host: FleetHost, problem: str, final: bool, error: ParameterError | None = None) -> None:
        """Keep why a host can run no trials, for now or until somebody has mended it."""
        among_others = max(len(self._hosts), self.expected or 0) > 1
        if problem != host.problem and (self._opened or among_others or not final):
            self.effects.notes.append(f"{host.name} gets no trials{'' if final else ' yet'}: {problem}")
        host.failures += 1
        host.problem, host.final, host.error = problem, final, error

    def _check_hosts(self, now: float) -> None:
        """End the study if no host can run trials: at once before the first trial, later after the lease."""
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

    # What agents say

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

    def _handle_failure(self, event: protocol.HostFailed) -> None:
        if event.gone:
            self._hosts.pop(event.place, None)
        else:
            self._fail(self._host(event.place, event.host), event.reason, event.final)

    def _handle_line(self, agent: FleetAgent, text: str, now: float) -> None:
        """Take a line of an agent; one that makes no sense is its last."""
        try:
            body = json.loads(text)
            if body["m"] in ("said", "ended"):
                make = to_said if body["m"] == "said" else to_ended
                self._handle_job(agent, body, make(body, agent.clocks.ahead), len(text), now)
            else:
                self._handle(agent, body, now)
        except _WRONG as error:
            problem = f"it sent a line that makes no sense ({type(error).__name__}: {error}): {text[:80]!r}"
            self.effects.notes.append(f"{agent.host.name}: {problem}")
            self.effects.send(agent, {"o": "close", "clean": False})
            self._lose(agent, problem, False)

    def _handle_job(
        self, agent: FleetAgent, body: Body, made: Reported | JobEnded, size: int, now: float
    ) -> None:
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
        """Take in what an agent says of its host."""
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
        self._beat(agent, now)  # it takes jobs once it has answered one

    def _handle_fatal(self, agent: FleetAgent, body: Body) -> None:
        name, rule = agent.host.name, str(body["rule"])
        error = ParameterError(body["field"], body["value"], rule if name in rule else f"{rule} (on {name})")
        if not body.get("trial"):
            self._exclude(agent, error, True)
        elif not (self.checkpoints.saves if body["trial"] == "checkpoint" else self.jobs.reported):
            # Else others have done what that trial did not: only it fails, as its end says.
            self.fatal = self.fatal or error

    # Workers

    def _divide(self, now: float) -> None:
        """Take in agents that can take jobs, and divide what is free."""
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
