"""The fleet: agents on hosts, and the jobs that they run. A state machine without input and output.

`Fleet` is told what the runner wants, what the carrier says and what time it is. What is to be said and done
for it is in its `Effects`, which whoever drives it empties.
"""

from __future__ import annotations

import json
import zlib
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from math import inf, isfinite
from typing import Final

from hbsim.errors import ExecutorError, HbsimError, ParameterError
from hbsim.executors.remote import carrier
from hbsim.executors.remote.agents import MARGIN, Agent, Clocks, Host, pause, silence
from hbsim.executors.remote.checkpoints import Checkpoints, Copy, Get, Put
from hbsim.executors.remote.lines import ROOM, Body, dump, task_of, to_ended, to_said
from hbsim.executors.remote.machines import Machine, Machines, differences_of, named
from hbsim.executors.remote.versions import differences, versions
from hbsim.runner.workers import Ended, Message, Opened, Row, Said, Shut, Task

__all__ = ["MARGIN", "Effects", "Fleet"]

TRIES: Final = 3  # to copy a checkpoint to a host,
PATIENCE: Final = 30  # or so many if the host answers, but no copy reaches it
SWEEP: Final = 1.0  # seconds between two looks at all jobs that wait
_OURS: Final = ("hosts", "resource")  # fields of errors whose rules say it all
_PART: Final = 4  # an agent is told at once what was taken, if it is this part of what it may send
_WRONG: Final = (AttributeError, LookupError, RecursionError, TypeError, ValueError)


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


@dataclass(slots=True, eq=False)
class _Job:
    task: Task
    worker: int
    agent: Agent | None = None  # None while its worker has no host
    sent: bool = False
    useful: bool = True  # whether its checkpoint is of use once it has ended
    copy: Put | None = None
    copies: int = 0  # that were tried,
    failures: int = 0  # and that failed though the host could be reached
    checkpoint: Body | None = None  # where its agent finds its checkpoint
    at: float = -inf  # the time of its last report


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
        self._lease, self._silence = lease, silence(lease)
        self._versions = versions()
        self._agents: dict[str, Agent] = {}
        self._hosts: dict[str, Host] = {}  # by place
        self._jobs: dict[int, _Job] = {}
        self._outside: dict[str, Agent] = {}  # agents that were not divided among workers yet
        self._trials: dict[int, int] = {}  # those that have a job, and which
        self._running: set[int] = set()  # of these, those whose files may change or are copied to a host
        self._waiting: dict[int, _Job] = {}  # jobs that were not sent yet
        self._unplaced: dict[int, _Job] = {}  # of these, those whose worker has no host
        self._busy: set[int] = set()  # workers with jobs
        self._idle: set[int] = set()  # open workers without
        self._begun = False  # whether hosts are divided as they come
        self._opened = False  # whether any worker ever was
        self._down: str | None = None  # why no agent can be reached
        self._swept = -inf
        self._given: deque[tuple[Agent, int]] = deque()  # whose lines the runner was given, and their sizes
        self._back: list[str] = []  # hosts that people were told do not answer, and do
        self._said: set[str] = set()  # notes that are not repeated
        self._reported = False  # whether any trial has
        self._hopeless: float | None = None  # since when no host could run trials

    # What the runner asks for

    def start(self, worker: int, task: Task, now: float) -> None:
        """Start a job on a worker, as soon as its host and its checkpoint are there."""
        if task.job in self._jobs:
            return
        job = self._jobs[task.job] = self._waiting[task.job] = _Job(task, worker)
        self._trials[task.trial] = task.job
        self._busy.add(worker)
        self._idle.discard(worker)
        self._unplaced[task.job] = job
        self._settle(now)

    def go_on(self, job: int, stop: float, now: float) -> None:
        """Answer a job that waits at a milestone."""
        self._order(job, {"o": "go", "job": job, "stop": stop if isfinite(stop) else None})

    def leave(self, job: int, save: bool, now: float) -> None:
        """Have a job leave its function. Without `save` its checkpoint is of no more use."""
        found = self._jobs.get(job)
        if found is None:
            return
        found.useful = save
        if found.sent:
            self._order(job, {"o": "leave", "job": job, "save": save})
        else:
            self._finish(found, Ended(job, left=True))
            self._settle(now)

    def kill(self, job: int, reason: str, now: float) -> None:
        """End a job's processes."""
        found = self._jobs.get(job)
        if found is None:
            return
        if found.sent:
            self._order(job, {"o": "kill", "job": job, "reason": reason})
        else:
            self._finish(found, Ended(job, kind="lost", reason=reason or "it was killed"))
            self._settle(now)

    def prune(self, trial: int, now: float) -> None:
        """Remove a trial's checkpoints wherever hosts and the store keep them."""
        agents, stored = self.checkpoints.prune(trial)
        for name in agents:
            if name in self._agents:
                self._send(self._agents[name], {"o": "prune", "trials": [trial]})
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
            if agent.taken - agent.told >= ROOM // _PART:
                agent.told = agent.taken
                self._send(agent, {"o": "taken", "taken": agent.taken})

    # What the controller asks for

    def ready(self, now: float) -> tuple[int, int]:
        """Return how many agents can take jobs, and how many hosts are waited for, those included.

        A host that cannot be reached for now is not waited for: it joins when it is there.
        """
        able = sum(self._able(agent, now) for agent in self._agents.values())
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
        self._divide(now)
        if isinstance(self.fatal, ParameterError):
            raise self.fatal
        self._settle(now)

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
            job = self._jobs.get(copy.job)
            if job is not None and job.copy is copy:
                self._put_done(job, copy, problem, away)
        self._advance_trial(copy.trial, now)
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
        self._copy()
        return found

    def unreachable(self, trials: Iterable[int]) -> dict[int, str]:
        """Return the hosts that have these trials' newest checkpoints, and cannot be reached now."""
        return self.checkpoints.unreachable(trials)

    # What the carrier says

    def hear(self, event: carrier.Event, now: float) -> None:
        """Take what has happened."""
        if isinstance(event, carrier.Line):
            agent = self._agents.get(event.agent)
            if agent is not None and not agent.gone:
                self._hear_line(agent, event.text, now)
        elif isinstance(event, carrier.Joined):
            host = self._host(event.place, event.host)
            host.final, host.failures = False, 0
            share = zlib.crc32(event.agent.encode()) / 2**32  # not all are to be beaten at once
            clocks = Clocks(now, now + share * pause(self._lease))
            self._agents[event.agent] = self._outside[event.agent] = Agent(event.agent, host, clocks)
        elif isinstance(event, carrier.AgentEnded):
            self._hear_end(event, now)
        elif isinstance(event, carrier.HostFailed):
            self._hear_failure(event)
        elif isinstance(event, carrier.Down):
            if self._down is None:
                self._note(f"the connection to the hosts is interrupted: {event.reason}")
            self._down = event.reason
        elif self._down is not None:
            self._down = None
            self._note("the connection to the hosts is there again")
            for agent in self._agents.values():
                agent.clocks.fresh, agent.clocks.due = agent.clocks.number + 1, now
        self._settle(now)

    def tick(self, now: float) -> None:
        """Let time pass: beats, silent agents, leases, hosts that come."""
        silent: list[Agent] = []
        for agent in list(self._agents.values()):
            clocks = agent.clocks
            if now >= clocks.due and self._down is None:
                self._beat(agent, now)
            if agent.gone or (clocks.clock is not None and now - clocks.heard > self._silence):
                self._look_at(agent, silent, now)
        self._name(silent, now)
        if self._back:
            hosts, self._back = list(dict.fromkeys(self._back)), []
            self._note(f"{named(hosts)} answer{'' if len(hosts) > 1 else 's'} again")
        if now - self._swept >= SWEEP:
            self._swept = now
            for job in list(self._waiting.values()):
                if job.task.job in self._waiting:
                    self.effects.messages.append(Said(job.task.job, [], 0))  # it has not hung
                    self._advance(job, now)
            for agent in self._agents.values():
                self._let_go(agent)
        self._settle(now)
        self._look_for_hope(now)

    # Agents

    def _host(self, place: str, name: str) -> Host:
        host = self._hosts.setdefault(place, Host(name))
        host.name = name
        return host

    def _able(self, agent: Agent, now: float) -> bool:
        """Whether an agent can be given jobs now."""
        clocks = agent.clocks
        return (
            agent.ready
            and agent.machine is not None
            and not (agent.gone or agent.unfit or agent.leaving)
            and self._down is None
            and clocks.clock is not None
            and clocks.answered >= clocks.fresh
            and now - clocks.heard <= self._silence
        )

    def _send(self, agent: Agent, body: Body) -> None:
        if not agent.gone and not agent.closed:
            self.effects.lines.append((agent.name, dump(body)))

    def _beat(self, agent: Agent, now: float) -> None:
        if not agent.gone and not agent.closed:
            agent.told = agent.taken
            self._send(agent, {**agent.clocks.beat(self._lease, now), "taken": agent.taken})

    def _look_at(self, agent: Agent, silent: list[Agent], now: float) -> None:
        """Shut an agent that is silent, and give up one whose lease is over."""
        if agent.clocks.rest(self._lease, now) < 0:
            self._lose(agent, "it did not answer")
            self._bury(agent)
        elif agent.inside and not agent.shut:
            self._shut(agent, f"{agent.host.name} does not answer")
            silent.append(agent)
        elif agent.jobs and not agent.named:
            silent.append(agent)

    def _name(self, agents: Sequence[Agent], now: float) -> None:
        """Tell people of agents that are silent or gone, and of their trials."""
        for gone in (False, True):
            some = [agent for agent in agents if bool(agent.gone) == gone]
            count = sum(len(agent.jobs) for agent in some)
            if not some or (self._down is not None and not count):
                continue
            for agent in some:
                agent.named = True
            hosts, many = named(agent.host.name for agent in some), len({agent.host for agent in some}) > 1
            state = f"{hosts} {'do' if many else 'does'} not answer"
            if gone:
                state = f"{hosts} {'are' if many else 'is'} gone ({some[0].gone})"
            rest = max(0.0, *(agent.clocks.rest(self._lease, now) for agent in some))
            if count == 1:
                state += f"; its trial counts as lost in {rest:.0f} s unless it is heard of"
            elif count:
                state += f"; {count} trials there count as lost in {rest:.0f} s unless they are heard of"
            self._note(state)

    def _shut(self, agent: Agent, reason: str) -> None:
        """Let the workers of an agent take no new jobs."""
        if not agent.shut:
            agent.shut = reason
            for worker in self.machines.workers(agent.name):
                self._idle.discard(worker)
                self.effects.messages.append(Shut(worker, reason))

    def _lose(self, agent: Agent, reason: str) -> None:
        """Hear an agent no more; what runs there is lost when it must have ended."""
        if not agent.gone:
            agent.gone = reason
            self.checkpoints.leave(agent.name)
            self._shut(agent, f"{agent.host.name}: {reason}")
            self._unassign(agent)
        if not agent.jobs:
            self._bury(agent)

    def _bury(self, agent: Agent) -> None:
        """Forget an agent: nothing that it started can be there any more."""
        if self._agents.pop(agent.name, None) is None:
            return
        self._outside.pop(agent.name, None)
        self.machines.remove(agent.name)
        reason = f"its host {agent.host.name} was lost: {agent.gone}"
        for number in sorted(agent.jobs):
            self._finish(self._jobs[number], Ended(number, kind="lost", reason=reason))

    def _refuse(self, agent: Agent, error: ParameterError) -> None:
        """Give an agent that can run no trials no new ones; what runs there may end well."""
        name = agent.host.name
        agent.host.error, agent.unfit = error, str(error)
        if self._opened or self._among_others():
            self._note_once(f"{name} gets no trials: {error.rule if error.field in _OURS else error}")
        self._shut(agent, f"{name} can run no trials")
        self._unassign(agent)

    def _among_others(self) -> bool:
        return max(len(self._hosts), self.expected or 0) > 1

    def _let_go(self, agent: Agent) -> None:
        """Close an agent that is to end, if nothing is left to be done there; another one is tried then."""
        if not agent.ends or agent.closed or agent.gone or agent.jobs:
            return
        if not self.checkpoints.busy(agent.name):
            self._send(agent, {"o": "close", "clean": False})
            agent.closed = True

    def _look_for_hope(self, now: float) -> None:
        """End the study if no host can run trials: at once before the first trial, later after the lease."""
        problems = [host.problem(self._opened) for host in self._hosts.values()]
        awaited = not problems or (not self._opened and len(problems) < (self.expected or 0))
        if awaited or not all(problems) or any(agent.jobs for agent in self._agents.values()):
            self._hopeless = None
            return
        self._hopeless = now if self._hopeless is None else self._hopeless
        if not self._opened:
            errors = [host.error for host in self._hosts.values() if host.error]
            names = named(host.name for host in self._hosts.values())
            nobody = ParameterError("hosts", names, f"none can run trials: {problems[0]}")
            self.fatal = self.fatal or (errors[0] if errors else nobody)
        elif now - self._hopeless > self._lease:
            self.fatal = self.fatal or ExecutorError(
                "the hosts", f"none can run trials any more: {problems[0]}"
            )

    def _note(self, text: str) -> None:
        self.effects.notes.append(text)

    def _note_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._note(text)

    # Events

    def _hear_end(self, event: carrier.AgentEnded, now: float) -> None:
        agent = self._agents.get(event.agent)
        if agent is None:
            return
        host, reason = agent.host, f"its agent ended: {event.reason}"
        if not (agent.ready or agent.unfit or agent.leaving or agent.closed):
            host.deaths, host.reason = host.deaths + 1, reason
            self._note_once(f"{host.name} gets no trials yet: {reason}")
        self._lose(agent, reason)
        if event.clean:
            self._bury(agent)

    def _hear_failure(self, event: carrier.HostFailed) -> None:
        if event.gone:
            self._hosts.pop(event.place, None)
            return
        host = self._host(event.place, event.host)
        host.final, host.failures, host.reason = event.final, host.failures + 1, event.reason
        if self._opened or self._among_others() or not event.final:
            more = "gets no trials" if event.final else "gets no trials yet"
            self._note_once(f"{host.name} {more}: {event.reason}")

    def _hear_line(self, agent: Agent, text: str, now: float) -> None:
        """Take a line of an agent; one that makes no sense is its last."""
        try:
            body = json.loads(text)
            kind = body["m"]
            made: Said | Ended | Machine | None = None
            if kind == "said":
                made = to_said(body, agent.clocks.ahead)
            elif kind == "ended":
                made = to_ended(body, agent.clocks.ahead)
            elif kind == "hello":
                made = Machine.from_hello(agent.host.name, body)
            before = len(self.effects.messages)
            self._hear(agent, body, made, now)
        except _WRONG as error:
            problem = f"it sent a line that makes no sense ({type(error).__name__}: {error}): {text[:80]!r}"
            self._note(f"{agent.host.name}: {problem}")
            self._send(agent, {"o": "close", "clean": False})
            self._lose(agent, problem)
            return
        if kind in ("said", "ended") and len(self.effects.messages) > before:
            self.effects.size += len(text)
            self._given.append((agent, len(text)))
        elif kind in ("said", "ended"):
            agent.taken += len(text)

    def _hear(self, agent: Agent, body: Body, made: Said | Ended | Machine | None, now: float) -> None:
        kind = body["m"]
        if isinstance(made, Said | Ended):
            self._hear_job(agent, body, made, now)
        elif isinstance(made, Machine):
            self._meet(agent, body, made, now)
        elif kind == "beat":
            self._hear_beat(agent, body, now)
        elif kind == "ready":
            agent.ready, agent.host.deaths = True, 0
            agent.host.error = agent.host.error if agent.unfit else None
        elif kind == "note":
            self._note(f"{agent.host.name}: {body['text']}")
        elif kind == "fatal":
            self._hear_fatal(agent, body)
        elif kind == "leaving":
            self._hear_leaving(agent, str(body["reason"]))
        elif kind == "stored":
            self._hear_stored(agent, body, now)

    def _hear_stored(self, agent: Agent, body: Body, now: float) -> None:
        if self.checkpoints.stored(agent.name, body["trial"], body["job"], body["problem"]):
            self.effects.unstored.append(body["trial"])
        self._advance_trial(body["trial"], now)

    def _hear_leaving(self, agent: Agent, reason: str) -> None:
        agent.leaving, agent.ends = reason, True
        self._note(f"{agent.host.name} is taken away: {reason}")
        self._shut(agent, f"{agent.host.name} is taken away")
        self._unassign(agent)
        self._let_go(agent)

    def _hear_beat(self, agent: Agent, body: Body, now: float) -> None:
        number, clock, time = int(body["id"]), float(body["clock"]), float(body["time"])
        agent.clocks.answer(number, clock, time, self._lease, now)
        if agent.hello is not None:
            self.checkpoints.answers(agent.name)
        if agent.named:
            agent.named = False
            self._back.append(agent.host.name)
        if agent.shut and agent.inside and self._able(agent, now):
            agent.shut = ""
            self._open_workers(self.machines.workers(agent.name))
        for number in list(agent.waiting):
            self._advance(self._jobs[number], now)

    def _meet(self, agent: Agent, body: Body, machine: Machine, now: float) -> None:
        agent.hello, agent.machine = body, machine
        useless = self.checkpoints.join(agent.name, agent.host.name, body)
        if useless:
            self._send(agent, {"o": "prune", "trials": useless})
        error, agent.warning = differences(self._versions, machine.versions)
        if error:
            rule = f"{agent.host.name} runs {error}: install the same there"
            agent.ends = True
            self._refuse(agent, ParameterError("hosts", agent.host.name, rule))
        self._beat(agent, now)  # it takes jobs once it has answered one

    def _hear_fatal(self, agent: Agent, body: Body) -> None:
        name, rule = agent.host.name, str(body["rule"])
        error = ParameterError(body["field"], body["value"], rule if name in rule else f"{rule} (on {name})")
        if body.get("trial"):
            others = self.checkpoints.saves if body["trial"] == "checkpoint" else self._reported
            if not others:  # else they have done what that trial did not: only it fails, as its end says
                self.fatal = self.fatal or error
            return
        agent.ends = True
        self._refuse(agent, error)
        self._let_go(agent)

    # Workers

    def _divide(self, now: float) -> None:
        """Take in agents that can take jobs, and divide what is free."""
        new = [agent for agent in self._outside.values() if self._able(agent, now)]
        if new and not self.machines.begun:
            seen = [agent.machine for agent in new if agent.machine is not None]
            try:
                self.machines.begin(seen)
            except ParameterError as nothing:
                self.fatal = self.fatal or nothing
                return
            if differ := differences_of(seen):
                self._note(differ)
        self._warn(new)
        for agent in new:
            assert agent.machine is not None
            agent.inside = True
            del self._outside[agent.name]
            if error := self.machines.refusal(agent.machine):
                self._refuse(agent, error)
            else:
                self.machines.add(agent.name, agent.machine)
        able = {name for name in self.machines.hungry if self._able(self._agents[name], now)}
        if not able:
            return
        first, opened = not self.machines.begun, self.machines.divide(able)
        if first and (wanting := self.machines.wanting()):
            self._note(wanting)
        self._open_workers(opened)

    def _warn(self, agents: Iterable[Agent]) -> None:
        """Tell people of other versions on hosts, once of each host."""
        hosts: dict[str, list[str]] = {}
        for agent in agents:
            if agent.warning and agent.host.warning != agent.warning:
                agent.host.warning = agent.warning
                hosts.setdefault(agent.warning, []).append(agent.host.name)
        for warning, names in hosts.items():
            run = "run" if len(names) > 1 else "runs"
            self._note(f"{named(names)} {run} {warning}: trials there may come out differently")

    def _open_workers(self, workers: Iterable[int]) -> None:
        for worker in workers:
            self._opened = True
            slot, name = self.machines.slot(worker), self.machines.agent(worker)
            assert name is not None
            cores = slot.threads if slot.cpus is None else len(slot.cpus)
            host = self._agents[name].host.name
            self.effects.messages.append(Opened(worker, host, cores, [gpu.uuid for gpu in slot.gpus]))
            if worker not in self._busy:
                self._idle.add(worker)

    # Jobs

    def _order(self, number: int, body: Body) -> None:
        job = self._jobs.get(number)
        if job is not None and job.sent and job.agent is not None:
            self._send(job.agent, body)

    def _assign(self, job: _Job) -> None:
        """Give a job that waits to the agent that its worker belongs to, if it is one that may start it."""
        name = self.machines.agent(job.worker)
        agent = None if name is None else self._agents[name]
        if agent is not None and not (agent.gone or agent.leaving or agent.unfit):
            job.agent = agent
            agent.waiting.add(job.task.job)
            del self._unplaced[job.task.job]

    def _unassign(self, agent: Agent) -> None:
        """Have what an agent was to be given wait for another host."""
        for number in agent.waiting:
            job = self._jobs[number]
            job.agent = job.copy = job.checkpoint = None
            self._running.discard(job.task.trial)
            self._unplaced[number] = job
        agent.waiting.clear()

    def _settle(self, now: float) -> None:
        """Do what has become possible: divide what is free, move jobs that have lost their host, copy."""
        if self._begun:
            self._divide(now)
        for job in list(self._unplaced.values()):
            self._assign(job)
            if job.agent is None and self._idle:
                worker = min(self._idle)
                self._idle.remove(worker)
                self.effects.messages.append(Shut(worker, f"worker {job.worker} takes its place"))
                self.machines.swap(worker, job.worker)
                self._open_workers([job.worker])
                self._assign(job)
            if job.agent is not None:
                self._advance(job, now)
        self._copy()

    def _advance_trial(self, trial: int, now: float) -> None:
        number = self._trials.get(trial)
        if number in self._waiting:
            self._advance(self._waiting[number], now)

    def _advance(self, job: _Job, now: float) -> None:
        """Start a job that waits, if its agent and its checkpoint are there; else see to that."""
        agent, trial = job.agent, job.task.trial
        if job.sent or agent is None or not self._able(agent, now) or job.copy is not None:
            return
        if self.checkpoints.moves(trial):
            return
        if job.checkpoint is None:
            source = self.checkpoints.source(agent.name, trial)
            self._collect_notes()
            if source == "wait":
                return
            if source == "put":
                assert agent.hello is not None
                job.copies += 1
                target = f"{agent.hello['incoming']}/{job.task.job}-{job.copies}"
                job.copy = Put(agent.name, trial, job.task.job, target)
                self.effects.copies.append(job.copy)
                self._running.add(trial)
                return
            if isinstance(source, int):
                job.checkpoint = {"job": source}
        self._send_start(job, agent)

    def _send_start(self, job: _Job, agent: Agent) -> None:
        slot = self.machines.slot(job.worker)
        share = {
            "cpus": None if slot.cpus is None else list(slot.cpus),
            "threads": slot.threads,
            "env": slot.env,
        }
        start = {"o": "start", "task": task_of(job.task), "slot": share, "checkpoint": job.checkpoint}
        self._send(agent, start)
        job.sent = True
        self._running.add(job.task.trial)
        del self._waiting[job.task.job]
        agent.waiting.discard(job.task.job)
        agent.jobs.add(job.task.job)

    def _put_done(self, job: _Job, copy: Put, problem: str | None, away: bool) -> None:
        """A job's checkpoint has come to its host, or cannot."""
        job.copy = None
        if problem is None:
            job.checkpoint = {"folder": copy.target}
            return
        self._running.discard(copy.trial)
        job.failures += not away
        if (job.failures >= TRIES or job.copies >= PATIENCE) and job.agent is not None:
            reason = f"its checkpoint cannot be copied to {job.agent.host.name}: {problem}"
            self._finish(job, Ended(copy.job, kind="lost", reason=reason))

    def _hear_job(self, agent: Agent, body: Body, made: Said | Ended, now: float) -> None:
        """Take what an agent says of one of its jobs."""
        job = self._jobs.get(made.job)
        if job is None or job.agent is not agent or not job.sent:
            return
        rows = _timed(job, made.rows, now)
        self._reported = self._reported or bool(rows)
        if isinstance(made, Said):
            self.effects.messages.append(replace(made, rows=rows))
            return
        if body["log"]:
            self.effects.logs.append((job.task.trial, str(body["log"])))
        self.checkpoints.ended(agent.name, job.task.trial, body, job.useful)
        begun = None if made.begun is None else min(made.begun, now)
        self._finish(job, replace(made, rows=rows, begun=begun))
        self._let_go(agent)

    def _finish(self, job: _Job, ended: Ended) -> None:
        """End a job: its worker and its trial are free."""
        number, trial = job.task.job, job.task.trial
        del self._jobs[number]
        self._waiting.pop(number, None)
        self._unplaced.pop(number, None)
        if self._trials.get(trial) == number:
            del self._trials[trial]
            self._running.discard(trial)
        if job.agent is not None:
            job.agent.jobs.discard(number)
            job.agent.waiting.discard(number)
        if job.useful:
            self.checkpoints.want(trial)
        self.effects.messages.append(ended)
        self._busy.discard(job.worker)
        name = self.machines.agent(job.worker)
        if name is not None and not self._agents[name].shut:
            self._idle.add(job.worker)

    def _copy(self) -> None:
        self.effects.copies += self.checkpoints.gets(self._running)
        self._collect_notes()

    def _collect_notes(self) -> None:
        notes = self.checkpoints.notes
        while notes:
            self._note_once(notes.pop(0))


def _timed(job: _Job, rows: Sequence[Row], now: float) -> list[Row]:
    """Return reports with times in order, and none in the future: clocks are estimates."""
    timed = []
    for row in rows:
        job.at = min(now, max(row.at, job.at))
        timed.append(row._replace(at=job.at))
    return timed
