"""A pretended network for `Fleet`: hosts with clocks and disks of their own, a bad network, stops and deaths.

Time is pretended, too. Every process of a trial is noted with when it really ran, by the true time, and
with the checkpoint that it went on from.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from math import inf
from random import Random
from typing import Any

from hbsim.executors.remote.allocation import versions
from hbsim.executors.remote.checkpoints import Copy, Get
from hbsim.executors.remote.fleet import Fleet
from hbsim.executors.remote.protocol import AgentEnded, AgentLine, CarrierEvent, HostFailed, Joined, dump

NOTICE = 1.0  # seconds until an agent's processes see that the lease is over
STEP = 0.1


@dataclass(eq=False)
class Run:
    """A trial's process: when it ran, by the true time."""

    trial: int
    job: int
    host: str
    begin: float
    stop: float
    went_on_from: int
    gpus: str | None
    end: float = inf
    at: int = 0
    waits: bool = False
    next_report: float = 0.0


@dataclass(eq=False)
class FakeHost:
    """A machine with a disk, on which an agent is started again and again.

    Attributes
    ----------
    disk : dict of int to int
        The trials that have a checkpoint in its own folder, and the job that made each.
    away_until : float
        Until when nothing gets through to it.
    off_until : float
        Until when it is switched off.
    """

    name: str
    cpus: int = 1
    gpus: int = 0
    shared: bool = False
    boot: str = ""
    more: dict[str, Any] = field(default_factory=dict)
    disk: dict[int, int] = field(default_factory=dict)
    copied: dict[str, int] = field(default_factory=dict)  # by folder: what was put there
    away_until: float = -inf
    off_until: float = -inf
    begin_at: float = 0.0
    agent: FakeAgent | None = None
    fatal: dict[str, Any] | None = None
    never_ready: bool = False

    def hello(self) -> dict[str, Any]:
        """Return what its agents say of it."""
        uuids = [f"GPU-{self.name}-{number}" for number in range(self.gpus)]
        return {
            "m": "hello",
            "boot": self.boot or f"boot of {self.name}",
            "name": f"{self.name}.local",
            "cpus": list(range(self.cpus)),
            "cpu_limit": None,
            "group": "",
            "gpus": [{"visible": uuid, "name": "A100", "memory": None, "uuid": uuid} for uuid in uuids],
            "gpu_problem": None,
            "threads": None,
            "versions": versions(),
            "shared": self.shared,
            "incoming": "/own/incoming",
            "store": f"disk of {self.name}",
            "holds": {str(trial): held(trial, job) for trial, job in self.disk.items()},
            **self.more,
        }


def held(trial: int, job: int) -> dict[str, Any]:
    """Return what an agent says of a checkpoint that its host has."""
    return {"job": job, "folder": f"/own/trials/{trial:06d}/checkpoint/{job}", "files": None}


@dataclass(eq=False)
class FakeAgent:
    """An agent on a host, as the lines have it."""

    name: str
    host: FakeHost
    offset: float  # its clock minus the true time
    until: float  # its lease, by its clock
    stopped_until: float = -inf
    ready_at: float = inf
    runs: dict[int, Run] = field(default_factory=dict)
    known: set[int] = field(default_factory=set)
    orders: deque[tuple[float, str]] = field(default_factory=deque)
    messages: deque[tuple[float, str]] = field(default_factory=deque)
    uploads: list[tuple[float, int, int]] = field(default_factory=list)
    stored: dict[int, int] = field(default_factory=dict)  # what it knows to be in the store
    leaving: bool = False
    sent: int = 0


class FakeNetwork:
    """Hosts, a network between them and a fleet, and what really happens.

    Parameters
    ----------
    fleet : Fleet
        Driven as the controller does.
    random : Random
        Draws delays and clocks.
    lease, delay : float
        Seconds of the lease, and at most of a line's way.
    slow : float
        Seconds that a copy takes at most.
    """

    def __init__(
        self, fleet: Fleet, random: Random, lease: float, delay: float = 0.05, slow: float = 0.5
    ) -> None:
        self.fleet, self.random = fleet, random
        self.lease, self.delay, self.slow = lease, delay, slow
        self.now = 1000.0
        self.hosts: list[FakeHost] = []
        self.down = False
        self._up_at = -inf
        self.history: list[Run] = []
        self.folder: dict[int, int] = {}  # the study's: trials and the job of each checkpoint
        self.url: dict[int, int] = {}
        self.messages: list[Any] = []  # for the runner
        self.all_messages: list[tuple[float, Any]] = []
        self.notes: list[str] = []
        self.orders: list[tuple[str, dict[str, Any]]] = []
        self.copies: list[Copy] = []
        self.breaks_copies = 0.0  # the share of copies that fail
        self.back_off = 1.0
        self._copies: list[tuple[float, Copy]] = []
        self._events: deque[tuple[float, CarrierEvent]] = deque()
        self._number = 0

    # What happens

    def add(self, name: str, cpus: int = 1, **more: Any) -> FakeHost:
        """Add a host, on which an agent is started at once."""
        host = FakeHost(name, cpus, **more)
        self.hosts.append(host)
        return host

    def kill_agent(self, host: FakeHost, clean: bool, reason: str = "killed by SIGKILL") -> None:
        """End a host's agent, and all that it runs."""
        agent = host.agent
        if agent is not None:
            self._end_runs(agent, self.now)
            self._drop(agent, reason, clean)

    def cut_connection(self, host: FakeHost, reason: str = "the connection broke") -> None:
        """Break a host's connection. Its agent ends everything a little later, and nobody hears of that."""
        agent = host.agent
        if agent is not None:
            self._end_runs(agent, self.now + self.random.uniform(0, min(1.0, self.lease / 2)))
            self._drop(agent, reason, False)

    def partition(self, host: FakeHost, seconds: float) -> None:
        """Let nothing through to a host and from it for a while; lines wait."""
        host.away_until = self.now + seconds

    def switch_off(self, host: FakeHost, seconds: float) -> None:
        """Switch a host off, and on again; nobody says that it has gone."""
        agent = host.agent
        host.off_until = host.away_until = self.now + seconds
        if agent is not None:
            self._end_runs(agent, self.now)
            agent.stopped_until = inf

    def stop(self, host: FakeHost, seconds: float) -> None:
        """SIGSTOP an agent for a while. Its trials train on, up to the next milestone."""
        if host.agent is not None:
            host.agent.stopped_until = self.now + seconds

    def terminate(self, host: FakeHost) -> None:
        """SIGTERM an agent: its trials save and are handed back."""
        agent = host.agent
        if agent is None or agent.leaving:
            return
        agent.leaving = True
        self.say(agent, {"m": "leaving", "reason": "SIGTERM"})
        for run in list(agent.runs.values()):
            self._finish(agent, run, "preempted", True)

    def interrupt(self, seconds: float) -> None:
        """Lose the connection that all lines go by; on the next one there are other agents."""
        if not self.down:
            self.down, self._up_at = True, self.now + seconds
            for host in self.hosts:
                if host.agent is not None:
                    self.fleet.handle(AgentEnded(host.agent.name, "no connection", False), self.now)
            self._flush()

    def fail(self, name: str, reason: str, final: bool = False, gone: bool = False) -> None:
        """Say that no agent can be started on a host."""
        self.fleet.handle(HostFailed(name, name, reason, final, gone), self.now)
        self._flush()

    def say(self, agent: FakeAgent, body: dict[str, Any]) -> None:
        """Have an agent send a message."""
        text = dump(json.loads(json.dumps(body)))
        agent.sent += len(text) if body["m"] in ("said", "ended") else 0
        agent.messages.append((self.now + self.random.uniform(0, self.delay), text))

    # Time

    def step(self, seconds: float) -> None:
        """Let time pass for all."""
        end = self.now + seconds - 1e-9
        while self.now < end:
            self.now += STEP
            for host in self.hosts:
                self._live(host)
            self._connect()
            self._carry()
            self._copy()
            self.fleet.tick(self.now)
            self._flush()

    def _live(self, host: FakeHost) -> None:
        agent, now = host.agent, self.now
        if agent is None:
            if now >= max(host.begin_at, host.off_until, host.away_until) and not self.down:
                self._start(host)
            return
        if now + agent.offset > agent.until + NOTICE or (agent.stopped_until == inf and now > host.off_until):
            # The lease ends trials whether the agent is stopped or not.
            self._end_runs(agent, now)
            if host.off_until < now and host.away_until < now:
                self._drop(agent, "its lease is over", True)
            return
        if agent.stopped_until > now:
            return
        self._work(agent)

    def _work(self, agent: FakeAgent) -> None:
        now = self.now
        if now >= agent.ready_at:
            agent.ready_at = inf
            self.say(agent, {"m": "ready", "seconds": 0.1})
        for due, trial, job in list(agent.uploads):
            if now >= due:
                agent.uploads.remove((due, trial, job))
                self.url[trial] = agent.stored[trial] = job
                self.say(agent, {"m": "stored", "job": job, "trial": trial, "problem": None})
        for run in list(agent.runs.values()):
            if not run.waits and now >= run.next_report:
                run.at += 1
                run.next_report = now + self.random.choice((0.05, 0.5, 3.0))
                run.waits = run.at >= run.stop
                row = [now + agent.offset, run.at, run.at, {"accuracy": 0.5}]
                said = {"job": run.job, "rows": [row], "first": run.at - 1, "waits": run.waits}
                self.say(agent, {"m": "said", **said})

    def _start(self, host: FakeHost) -> None:
        self._number += 1
        offset = self.random.uniform(-900, 1e4)
        until = self.now + offset + self.lease
        agent = host.agent = FakeAgent(f"{host.name}-{self._number}", host, offset, until)
        self.fleet.handle(Joined(agent.name, host.name, host.name), self.now)
        self.say(agent, host.hello())
        if host.fatal is not None:
            self.say(agent, {"m": "fatal", **host.fatal})
        elif not host.never_ready:
            agent.ready_at = self.now + self.random.uniform(0, 0.3)

    def _act(self, agent: FakeAgent, order: dict[str, Any]) -> None:
        kind, host = order["o"], agent.host
        if kind == "beat":
            agent.until = max(agent.until, order["until"])
            clock = self.now + agent.offset
            self.say(agent, {"m": "beat", "id": order["id"], "clock": clock, "time": clock})
        elif kind == "start":
            self._begin(agent, order)
        elif kind == "go" and order["job"] in agent.runs:
            run = agent.runs[order["job"]]
            run.stop, run.waits = order["stop"], False
        elif kind == "leave" and order["job"] in agent.runs:
            self._finish(agent, agent.runs[order["job"]], None, order["save"])
        elif kind == "kill" and order["job"] in agent.runs:
            self._finish(agent, agent.runs[order["job"]], "lost", False)
        elif kind == "prune":
            for trial in order["trials"]:
                assert trial not in [run.trial for run in agent.runs.values()]
                host.disk.pop(trial, None)
        elif kind == "close":
            self._end_runs(agent, self.now)
            self._drop(agent, "it was closed", True)

    def _begin(self, agent: FakeAgent, order: dict[str, Any]) -> None:
        task, host = order["task"], agent.host
        assert task["job"] not in agent.known, "a job was started twice"
        agent.known.add(task["job"])
        trial, source = task["trial"], order["checkpoint"]
        if agent.leaving:
            self._end(agent, Run(trial, task["job"], "", 0, 0, -1, None), "preempted", False)
            return
        disk = self.folder if host.shared else host.disk
        if source is not None:
            disk[trial] = host.copied.pop(source["folder"]) if "folder" in source else self.url[trial]
            if "job" in source:
                agent.stored[trial] = self.url[trial]
        gpus = order["slot"]["env"].get("CUDA_VISIBLE_DEVICES")
        run = Run(trial, task["job"], host.name, self.now, task["stop"], disk.get(trial, -1), gpus)
        agent.runs[task["job"]] = run
        self.history.append(run)
        for _, copy in self._copies:
            assert not (isinstance(copy, Get) and copy.trial == trial), "its files change in a copy"

    def _finish(self, agent: FakeAgent, run: Run, kind: str | None, save: bool) -> None:
        del agent.runs[run.job]
        run.end = self.now
        disk = self.folder if agent.host.shared else agent.host.disk
        if save:
            disk[run.trial] = run.job
        self._end(agent, run, kind, kind is None and not save)

    def _end(self, agent: FakeAgent, run: Run, kind: str | None, stops: bool) -> None:
        """Say that a job has ended; unless it `stops` for good, its checkpoint is brought to the store."""
        disk = self.folder if agent.host.shared else agent.host.disk
        self.say(agent, self._ended(agent, run, kind))
        saved, uses_url = disk.get(run.trial), self.fleet.checkpoints.url
        if uses_url and saved is not None and not stops and agent.stored.get(run.trial) != saved:
            agent.uploads.append((self.now + self.random.uniform(0, self.slow), run.trial, saved))

    def _ended(self, agent: FakeAgent, run: Run, kind: str | None) -> dict[str, Any]:
        host = agent.host
        saved = (self.folder if host.shared else host.disk).get(run.trial)
        folder = None if host.shared or saved is None else held(run.trial, saved)["folder"]
        more: dict[str, Any] = {
            "begun": None,
            "seconds": {},
            "left": kind is None,
            "saved": saved,
            "log": None,
        }
        about = {"job": run.job, "rows": [], "first": run.at, "kind": kind, "reason": ""}
        return {"m": "ended", **about, **more, "folder": folder, "files": None}

    def _end_runs(self, agent: FakeAgent, at: float) -> None:
        for run in agent.runs.values():
            run.end = min(run.end, at)
        agent.runs.clear()

    def _drop(self, agent: FakeAgent, reason: str, clean: bool) -> None:
        """Have the carrier hear that an agent has ended, after all that it has said."""
        host = agent.host
        host.agent, host.begin_at = None, self.now + self.back_off
        arrives = max([self.now, *(at for at, _ in agent.messages)])
        while agent.messages:
            self._events.append((arrives, AgentLine(agent.name, agent.messages.popleft()[1])))
        self._events.append((arrives, AgentEnded(agent.name, reason, clean)))

    # The network

    def _connect(self) -> None:
        if self.down and self.now >= self._up_at:
            self.down = False
            for host in self.hosts:
                if host.agent is not None:
                    self._end_runs(host.agent, self.now)
                    self._drop(host.agent, "there is another connection", True)

    def _carry(self) -> None:
        events, self._events = sorted(self._events, key=lambda pair: pair[0]), deque()
        for at, event in events:
            if at > self.now or self.down:
                self._events.append((at, event))
                continue
            self.fleet.handle(event, self.now)
            self._flush()
        for host in self.hosts:
            agent = host.agent
            if agent is None or self.down or host.away_until > self.now:
                continue
            while agent.messages and agent.messages[0][0] <= self.now:
                self.fleet.handle(AgentLine(agent.name, agent.messages.popleft()[1]), self.now)
                self._flush()
            while agent.orders and agent.orders[0][0] <= self.now and agent.stopped_until <= self.now:
                self._act(agent, json.loads(agent.orders.popleft()[1]))
                if host.agent is not agent:
                    break

    def _copy(self) -> None:
        for at, copy in list(self._copies):
            if at > self.now:
                continue
            self._copies.remove((at, copy))
            host = next(host for host in self.hosts if copy.agent.startswith(f"{host.name}-"))
            problem, away = None, self.down or host.away_until > self.now
            if away:
                problem = "the host cannot be reached"
            elif self.random.random() < self.breaks_copies:
                problem = "the disk is full"
            elif isinstance(copy, Get):
                if host.disk.get(copy.trial) == copy.job:
                    self.folder[copy.trial] = max(copy.job, self.folder.get(copy.trial, -1))
                else:
                    problem = "there is no such folder"
            elif copy.trial in self.folder:
                host.copied[copy.target] = self.folder[copy.trial]
            else:
                problem = "it is not in the study's folder"
            self.fleet.copied(copy, problem, self.now, away)
            self._flush()

    def _flush(self) -> None:
        effects = self.fleet.effects
        agents = {host.agent.name: host.agent for host in self.hosts if host.agent is not None}
        for name, line in effects.lines:
            self.orders.append((name, json.loads(line)))
            if name in agents:
                arrives = self.now + self.random.uniform(0, self.delay)
                agents[name].orders.append((arrives, line))
        for copy in effects.copies:
            running = [run for run in self.history if run.trial == copy.trial and run.end > self.now]
            assert not (isinstance(copy, Get) and running), "a trial is copied while it runs"
            self._copies.append((self.now + self.random.uniform(0, self.slow), copy))
        self.copies += effects.copies
        for trial in effects.unstored:
            self.url.pop(trial, None)
        self.messages += effects.messages
        self.all_messages += [(self.now, message) for message in effects.messages]
        self.notes += effects.notes
        size, effects.size = effects.size, 0
        for some in (effects.lines, effects.copies, effects.unstored, effects.messages, effects.notes):
            some.clear()
        effects.logs.clear()
        if size:
            self.fleet.taken(size)
