"""The fleet: agents on hosts, and what they run. A state machine without input and output.

`Fleet` is told what the runner wants, what the carrier says and what time it is. What is to be said and done
for it is in its `Effects`, which whoever drives it empties.
"""

from __future__ import annotations

import json
import zlib
from collections import deque
from collections.abc import Iterable, Sequence
from math import inf
from typing import Final

from hbsim.errors import ExecutorError, HbsimError, ParameterError
from hbsim.executors.remote import carrier
from hbsim.executors.remote.agents import MARGIN, Agent, Clocks, Host
from hbsim.executors.remote.checkpoints import Checkpoints, Copy, Get
from hbsim.executors.remote.jobs import Effects, Jobs
from hbsim.executors.remote.lines import ROOM, Body, to_ended, to_said
from hbsim.executors.remote.machines import Machine, Machines, differences_of, named
from hbsim.executors.remote.versions import differences, versions
from hbsim.runner.workers import Ended, Said, Task

__all__ = ["MARGIN", "Effects", "Fleet"]

SWEEP: Final = 1.0  # seconds between two looks at all that waits
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
    machines : Machines
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
    expected : int or None
        How many hosts there are to be, as `Carrier.open` says; None if any number may come.
    """

    def __init__(self, machines: Machines, checkpoints: Checkpoints, lease: float) -> None:
        self.effects = Effects()
        self.fatal: HbsimError | None = None
        self.expected: int | None = None
        self.machines, self.checkpoints = machines, checkpoints
        self._jobs = Jobs(machines, checkpoints, self.effects)
        self._lease, self._versions = lease, versions()
        self._agents: dict[str, Agent] = {}
        self._outside: dict[str, Agent] = {}  # of these, those that were not divided among workers yet
        self._hosts: dict[str, Host] = {}  # by place
        self._begun = False  # whether hosts are divided as they come
        self._opened = False  # whether any worker ever was
        self._swept = -inf
        self._given: deque[tuple[Agent, int]] = deque()  # whose lines the runner was given, and their sizes
        self._returned: list[str] = []  # hosts that people were told do not answer, and do
        self._said: set[str] = set()  # notes that are not repeated
        self._none_since: float | None = None  # since when no host could run trials

    # What the runner asks for

    def start(self, worker: int, task: Task, now: float) -> None:
        """Start a job on a worker, as soon as its host and its checkpoint are there."""
        self._jobs.start(worker, task)
        self._settle(now)

    def go_on(self, job: int, stop: float, now: float) -> None:
        """Answer a job that waits at a milestone."""
        self._jobs.go_on(job, stop)

    def leave(self, job: int, save: bool, now: float) -> None:
        """Have a job leave its function. Without `save` its checkpoint is of no more use."""
        self._jobs.leave(job, save)
        self._settle(now)

    def kill(self, job: int, reason: str, now: float) -> None:
        """End a job's processes."""
        self._jobs.kill(job, reason)
        self._settle(now)

    def prune(self, trial: int, now: float) -> None:
        """Remove a trial's checkpoints wherever hosts and the store keep them."""
        agents, stored = self.checkpoints.prune(trial)
        for name in agents:
            self.effects.send(self._agents[name], {"o": "prune", "trials": [trial]})
        if stored:
            self.effects.unstored.append(trial)

    def taken(self, size: int, now: float) -> None:
        """The runner has taken messages that were made of so many characters."""
        while size > 0 and self._given:
            agent, given = self._given.popleft()
            part = min(size, given)
            if part < given:
                self._given.appendleft((agent, given - part))
            size -= part
            agent.taken += part
            if agent.taken - agent.acknowledged >= ROOM // _PART:
                agent.acknowledged = agent.taken
                self.effects.send(agent, {"o": "taken", "taken": agent.taken})

    # What the controller asks for

    def ready(self, now: float) -> tuple[int, int]:
        """Return how many agents can take jobs, and how many hosts are waited for, those included.

        A host that cannot be reached for now is not waited for: it joins when it is there.
        """
        able = sum(agent.able(now) for agent in self._agents.values())
        failed = sum(bool(host.failures or host.problem(self._opened)) for host in self._hosts.values())
        return able, max(len(self._hosts), self.expected or 0) - failed

    def open(self, now: float) -> None:
        """Divide the hosts whose agents can take jobs among workers; others are divided as they come.

        Raises
        ------
        ParameterError
            No host has what a trial needs.
        """
        self._begun = True
        self._settle(now)
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
            Whether that is for want of a connection to the host, as `CopyError.away` says: it is tried again.
        """
        if isinstance(copy, Get):
            self.checkpoints.got(copy, problem, away)
        else:
            self._jobs.copied(copy, problem, away)
        self._jobs.advance_trial(copy.trial, now)
        self._settle(now)

    def hosts(self) -> list[str]:
        """Return the names of the hosts that there are and may run trials, each once."""
        agents = (agent for agent in self._agents.values() if not (agent.gone or agent.unfit))
        return list(dict.fromkeys(agent.host.name for agent in agents))

    def pending(self, trials: Iterable[int]) -> set[int]:
        """Return the trials whose newest checkpoint is neither in the study's folder nor in the store yet.

        It is copied if it can be; `unreachable` names the hosts of those that cannot be now.
        """
        found = self.checkpoints.pending(trials)
        self._jobs.copy()
        return found

    def unreachable(self, trials: Iterable[int]) -> dict[int, str]:
        """Return the hosts that have these trials' newest checkpoints, and cannot be reached now."""
        return self.checkpoints.unreachable(trials)

    # What happens

    def hear(self, event: carrier.Event, now: float) -> None:
        """Take what the carrier says."""
        if isinstance(event, carrier.Line):
            agent = self._agents.get(event.agent)
            if agent is not None and not agent.gone:
                self._hear_line(agent, event.text, now)
        elif isinstance(event, carrier.Joined):
            host = self._host(event.place, event.host)
            host.final, host.failures = False, 0
            share = zlib.crc32(event.agent.encode()) / 2**32  # not all are to be beaten at once
            clocks = Clocks(self._lease, now)
            clocks.due += share * clocks.pause
            self._agents[event.agent] = self._outside[event.agent] = Agent(event.agent, host, clocks)
        elif isinstance(event, carrier.AgentEnded):
            self._hear_end(event)
        elif isinstance(event, carrier.HostFailed):
            self._hear_failure(event)
        self._settle(now)

    def tick(self, now: float) -> None:
        """Let time pass: beats, silent agents, leases, hosts that come."""
        silent: list[Agent] = []
        for agent in list(self._agents.values()):
            if now >= agent.clocks.due:
                self._beat(agent, now)
            if agent.gone or agent.clocks.silent(now):
                self._look_at(agent, silent, now)
        self._report(silent, now)
        if now - self._swept >= SWEEP:
            self._swept = now
            self._jobs.look_again(now)
            for agent in self._agents.values():
                self._close_if_done(agent)
        self._settle(now)
        self._look_for_hosts(now)

    def _settle(self, now: float) -> None:
        """Do what has become possible."""
        if self._begun:
            self._divide(now)
        self._jobs.place(self._agents, now)
        self._jobs.copy()
        while self.checkpoints.notes:
            self._note_once(self.checkpoints.notes.pop(0))

    def _note_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self.effects.notes.append(text)

    # Agents

    def _beat(self, agent: Agent, now: float) -> None:
        if not (agent.gone or agent.closed):
            agent.acknowledged = agent.taken
            self.effects.send(agent, {**agent.clocks.beat(now), "taken": agent.taken})

    def _look_at(self, agent: Agent, silent: list[Agent], now: float) -> None:
        """Shut an agent that is silent, and give up one whose lease is over."""
        if agent.clocks.rest(now) < 0:
            self._lose(agent, "it did not answer", True)
        elif agent.inside and not agent.shut:
            self._shut(agent, f"{agent.host.name} does not answer")
            silent.append(agent)
        elif agent.jobs and not agent.named:
            silent.append(agent)

    def _report(self, silent: Sequence[Agent], now: float) -> None:
        """Tell people of agents that are silent or gone, and of their trials, and of those that are back."""
        for gone in (False, True):
            agents = [agent for agent in silent if bool(agent.gone) == gone]
            count = sum(len(agent.jobs) for agent in agents)
            if not agents:
                continue
            for agent in agents:
                agent.named = True
            hosts, many = (
                named(agent.host.name for agent in agents),
                len({agent.host for agent in agents}) > 1,
            )
            state = f"{hosts} {'do' if many else 'does'} not answer"
            if gone:
                state = f"{hosts} {'are' if many else 'is'} gone ({agents[0].gone})"
            rest = max(0.0, *(agent.clocks.rest(now) for agent in agents))
            if count == 1:
                state += f"; its trial counts as lost in {rest:.0f} s unless it is heard of"
            elif count:
                state += f"; {count} trials there count as lost in {rest:.0f} s unless they are heard of"
            self.effects.notes.append(state)
        if self._returned:
            hosts = named(self._returned)
            self.effects.notes.append(f"{hosts} answer{'' if len(set(self._returned)) > 1 else 's'} again")
            self._returned.clear()

    def _shut(self, agent: Agent, reason: str) -> None:
        """Let the workers of an agent take no new jobs."""
        if not agent.shut:
            agent.shut = reason
            self._jobs.shut(self.machines.workers(agent.name), reason)

    def _lose(self, agent: Agent, reason: str, over: bool) -> None:
        """Hear an agent no more; what it runs is lost when that must have ended, at once if all is `over`."""
        if not agent.gone:
            agent.gone = reason
            self.checkpoints.leave(agent.name)
            self._shut(agent, f"{agent.host.name}: {reason}")
            self._jobs.release(agent)
        if over or not agent.jobs:
            del self._agents[agent.name]
            self._outside.pop(agent.name, None)
            self.machines.remove(agent.name)
            self._jobs.lose(agent, f"its host {agent.host.name} was lost: {agent.gone}")

    def _refuse(self, agent: Agent, error: ParameterError, ends: bool) -> None:
        """Give an agent no new jobs, as it can run no trials; if it `ends`, another one is tried then."""
        name = agent.host.name
        agent.host.error, agent.unfit, agent.ends = error, str(error), ends
        if self._opened or self._among_others():
            self._note_once(f"{name} gets no trials: {error.rule if error.field in _OURS else error}")
        self._shut(agent, f"{name} can run no trials")
        self._jobs.release(agent)
        self._close_if_done(agent)

    def _among_others(self) -> bool:
        return max(len(self._hosts), self.expected or 0) > 1

    def _close_if_done(self, agent: Agent) -> None:
        """Close an agent that is to end, if nothing is left to be done there."""
        if agent.ends and not (agent.jobs or self.checkpoints.busy(agent.name)):
            self.effects.send(agent, {"o": "close", "clean": False})
            agent.closed = True

    def _look_for_hosts(self, now: float) -> None:
        """End the study if no host can run trials: at once before the first trial, later after the lease."""
        problems = [host.problem(self._opened) for host in self._hosts.values()]
        awaited = not problems or (not self._opened and len(problems) < (self.expected or 0))
        if awaited or not all(problems) or any(agent.jobs for agent in self._agents.values()):
            self._none_since = None
            return
        self._none_since = now if self._none_since is None else self._none_since
        if not self._opened:
            errors = [host.error for host in self._hosts.values() if host.error]
            names = named(host.name for host in self._hosts.values())
            nobody = ParameterError("hosts", names, f"none can run trials: {problems[0]}")
            self.fatal = self.fatal or (errors[0] if errors else nobody)
        elif now - self._none_since > self._lease:
            rule = f"none can run trials any more: {problems[0]}"
            self.fatal = self.fatal or ExecutorError("the hosts", rule)

    # What is heard

    def _host(self, place: str, name: str) -> Host:
        host = self._hosts.setdefault(place, Host(name))
        host.name = name
        return host

    def _hear_end(self, event: carrier.AgentEnded) -> None:
        agent = self._agents.get(event.agent)
        if agent is None:
            return
        host, reason = agent.host, f"its agent ended: {event.reason}"
        if not (agent.ready or agent.over or agent.closed):
            host.deaths, host.reason = host.deaths + 1, reason
            self._note_once(f"{host.name} gets no trials yet: {reason}")
        self._lose(agent, reason, event.clean)

    def _hear_failure(self, event: carrier.HostFailed) -> None:
        if event.gone:
            self._hosts.pop(event.place, None)
            return
        host = self._host(event.place, event.host)
        host.final, host.failures, host.reason = event.final, host.failures + 1, event.reason
        if self._opened or self._among_others() or not event.final:
            self._note_once(f"{host.name} gets no trials{'' if event.final else ' yet'}: {event.reason}")

    def _hear_line(self, agent: Agent, text: str, now: float) -> None:
        """Take a line of an agent; one that makes no sense is its last."""
        try:
            body = json.loads(text)
            if body["m"] in ("said", "ended"):
                make = to_said if body["m"] == "said" else to_ended
                self._hear_job(agent, body, make(body, agent.clocks.ahead), len(text), now)
            else:
                self._hear(agent, body, now)
        except _WRONG as error:
            problem = f"it sent a line that makes no sense ({type(error).__name__}: {error}): {text[:80]!r}"
            self.effects.notes.append(f"{agent.host.name}: {problem}")
            self.effects.send(agent, {"o": "close", "clean": False})
            self._lose(agent, problem, False)

    def _hear_job(self, agent: Agent, body: Body, made: Said | Ended, size: int, now: float) -> None:
        if self._jobs.hear(agent, body, made, now):
            self.effects.size += size
            self._given.append((agent, size))
        else:
            agent.taken += size
        self._close_if_done(agent)

    def _hear(self, agent: Agent, body: Body, now: float) -> None:
        kind = body["m"]
        if kind == "beat":
            self._hear_beat(agent, body, now)
        elif kind == "hello":
            self._hear_hello(agent, body, now)
        elif kind == "ready":
            agent.ready, agent.host.deaths = True, 0
            agent.host.error = agent.host.error if agent.unfit else None
        elif kind == "note":
            self.effects.notes.append(f"{agent.host.name}: {body['text']}")
        elif kind == "fatal":
            self._hear_fatal(agent, body)
        elif kind == "leaving":
            agent.leaving, agent.ends = str(body["reason"]), True
            self.effects.notes.append(f"{agent.host.name} is taken away: {agent.leaving}")
            self._shut(agent, f"{agent.host.name} is taken away")
            self._jobs.release(agent)
            self._close_if_done(agent)
        elif kind == "stored":
            if self.checkpoints.stored(agent.name, body["trial"], body["job"], body["problem"]):
                self.effects.unstored.append(body["trial"])
            self._jobs.advance_trial(body["trial"], now)

    def _hear_beat(self, agent: Agent, body: Body, now: float) -> None:
        agent.clocks.answer(int(body["id"]), float(body["clock"]), float(body["time"]), now)
        if agent.hello is not None:
            self.checkpoints.answers(agent.name)
        if agent.named:
            agent.named = False
            self._returned.append(agent.host.name)
        if agent.able(now):
            if agent.shut:
                agent.shut = ""
                self._jobs.open(self.machines.workers(agent.name), agent)
            self._jobs.advance(agent, now)

    def _hear_hello(self, agent: Agent, body: Body, now: float) -> None:
        """Take in what an agent says of its host."""
        agent.machine = Machine.from_hello(agent.host.name, body)
        useless = self.checkpoints.join(agent.name, agent.host.name, body)
        agent.hello = body
        if useless:
            self.effects.send(agent, {"o": "prune", "trials": useless})
        error, agent.warning = differences(self._versions, agent.machine.versions)
        if error:
            rule = f"{agent.host.name} runs {error}: install the same there"
            self._refuse(agent, ParameterError("hosts", agent.host.name, rule), True)
        self._beat(agent, now)  # it takes jobs once it has answered one

    def _hear_fatal(self, agent: Agent, body: Body) -> None:
        name, rule = agent.host.name, str(body["rule"])
        error = ParameterError(body["field"], body["value"], rule if name in rule else f"{rule} (on {name})")
        if not body.get("trial"):
            self._refuse(agent, error, True)
        elif not (self.checkpoints.saves if body["trial"] == "checkpoint" else self._jobs.reported):
            # Else others have done what that trial did not: only it fails, as its end says.
            self.fatal = self.fatal or error

    # Workers

    def _divide(self, now: float) -> None:
        """Take in agents that can take jobs, and divide what is free."""
        new = [agent for agent in self._outside.values() if agent.able(now)]
        machines = [agent.machine for agent in new if agent.machine is not None]
        first = not self.machines.begun
        if first and new:
            try:
                self.machines.begin(machines)
            except ParameterError as nothing:
                self.fatal = self.fatal or nothing
                return
            if differ := differences_of(machines):
                self.effects.notes.append(differ)
        self._warn(new)
        for agent, machine in zip(new, machines, strict=True):
            del self._outside[agent.name]
            agent.inside = True
            if error := self.machines.refusal(machine):
                self._refuse(agent, error, False)
            else:
                self.machines.add(agent.name, machine)
        able = [name for name in self.machines.candidates if self._agents[name].able(now)]
        for worker in self.machines.divide(able) if able else ():
            self._opened = True
            self._jobs.open([worker], self._agents[self.machines.agent(worker) or ""])
        if first and new and (wanting := self.machines.wanting()):
            self.effects.notes.append(wanting)

    def _warn(self, agents: Iterable[Agent]) -> None:
        """Tell people of other versions on hosts, once of each host."""
        hosts: dict[str, list[str]] = {}
        for agent in agents:
            if agent.warning and agent.host.warning != agent.warning:
                agent.host.warning = agent.warning
                hosts.setdefault(agent.warning, []).append(agent.host.name)
        for warning, names in hosts.items():
            run = "run" if len(set(names)) > 1 else "runs"
            self.effects.notes.append(
                f"{named(names)} {run} {warning}: trials there may come out differently"
            )
