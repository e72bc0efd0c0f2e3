"""A pretended cluster for `Fleet`: hosts with clocks of their own, a bad network, stops and deaths.

Time is pretended, too. Every agent notes when its trials really ran, by the true time.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from math import inf
from random import Random
from typing import Any

from hbsim.executors.dask.fleet import Fleet
from hbsim.executors.dask.todo import Fetch, Store
from hbsim.executors.dask.versions import versions
from hbsim.executors.dask.wire import Inbox, Outbox, aside

NOTICE = 1.0  # seconds until an agent's processes see that the lease is over


@dataclass
class Run:
    """A trial's process: when it ran, by the true time."""

    trial: int
    job: int
    begin: float
    stop: float
    end: float = inf
    at: float = 0.0
    waits: bool = False
    next_report: float = 0.0


@dataclass
class FakeAgent:
    """What the agent of a host does, as the wire's words have it."""

    name: str
    address: str
    host: str
    born: float
    offset: float  # its clock minus the true time
    lease: float
    cpus: int
    until: float = 0.0
    alive: bool = True
    stopped_until: float = -inf
    inbox: Inbox = field(default_factory=Inbox)
    outbox: Outbox = field(default_factory=Outbox)
    runs: dict[int, Run] = field(default_factory=dict)
    known: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.until = self.born + self.offset + self.lease

    def clock(self, now: float) -> float:
        return now + self.offset


class FakeCluster:
    """Hosts, a network between them and a fleet, and what really happens."""

    def __init__(self, fleet: Fleet, random: Random, lease: float, delay: float, loss: float) -> None:
        self.fleet, self.random = fleet, random
        self.now = 1000.0
        self.lease, self.delay, self.loss = lease, delay, loss
        self.agents: dict[str, FakeAgent] = {}
        self.dead_or_alive: list[FakeAgent] = []
        self.cut: dict[str, float] = {}  # by address: no line gets through until then
        self._wires: list[tuple[float, int, str, str, str]] = []  # when, order, direction, agent, line
        self._number = 0
        self.history: list[Run] = []
        self.messages: list[tuple[float, Any]] = []
        self.trains = 0.0

    # Hosts

    def add(self, host: str, cpus: int) -> FakeAgent:
        self._number += 1
        address = f"tcp://{host}:{self._number}"
        offset = self.random.uniform(-900, 1e4)  # clocks are never below 0
        agent = FakeAgent(f"{address}-x", address, host, self.now, offset, self.lease, cpus)
        self.agents[agent.name] = agent
        self.dead_or_alive.append(agent)
        self.fleet.worker_added(address, self.now)
        hello = {"host": host, "boot": host, "cpus": list(range(cpus)), "cpu_limit": None, "gpus": []}
        more = {"versions": versions(), "shared": True, "trials": "/trials", "holds": {}, "threads": None}
        self._say(agent, {"m": "hello", **hello, **more})
        self._say(agent, {"m": "ready", "seconds": 0.1})
        return agent

    def kill(self, agent: FakeAgent) -> None:
        """Kill -9: its trials die with it, and Dask notices sooner or later."""
        self._end_runs(agent, self.now)
        agent.alive = False
        self.agents.pop(agent.name, None)
        if self.random.random() < 0.7:
            self._later(self.random.uniform(0, 3), "gone", agent.name, "")
        if self.random.random() < 0.5:
            self.add(agent.host, agent.cpus)

    def stop(self, agent: FakeAgent, seconds: float) -> None:
        """SIGSTOP for a while. Its trials train on, up to the next milestone."""
        agent.stopped_until = self.now + seconds

    def partition(self, agent: FakeAgent, seconds: float) -> None:
        self.cut[agent.address] = self.now + seconds

    def _end_runs(self, agent: FakeAgent, at: float) -> None:
        for run in agent.runs.values():
            run.end = min(run.end, at)
        agent.runs.clear()

    # Time

    def step(self, seconds: float) -> None:
        """Let time pass for all."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + 0.1)
            for agent in list(self.agents.values()):
                self._live(agent)
            self._deliver()
            self.fleet.tick(self.now)
            self._flush()
            self.messages += [(self.now, message) for message in self.fleet.todo.messages]
            self.fleet.todo.messages.clear()

    def _live(self, agent: FakeAgent) -> None:
        # The lease ends trials whether the agent is stopped or not: its server looks at it, too.
        if agent.clock(self.now) > agent.until + NOTICE:
            self._end_runs(agent, self.now)
            agent.alive = False
            self.agents.pop(agent.name)
            return
        if agent.stopped_until > self.now:
            return
        for line in agent.outbox.again(self.now):
            self._send("up", agent.name, line)
        for run in list(agent.runs.values()):
            if not run.waits and self.now >= run.next_report:
                run.at += 1
                run.next_report = self.now + self.random.choice((0.05, 0.5, 3.0))
                run.waits = run.at >= run.stop
                row = [agent.clock(self.now), run.at, run.at, {"accuracy": 0.5}]
                said = {"job": run.job, "rows": [row], "first": int(run.at) - 1, "waits": run.waits}
                self._say(agent, {"m": "said", **said})

    def _act(self, agent: FakeAgent, order: dict[str, Any]) -> None:
        kind = order["o"]
        if kind == "beat":
            agent.outbox.acknowledge(order["ack"], self.now)
            agent.until = max(agent.until, order["until"])
            answer = {"id": order["id"], "clock": agent.clock(self.now), "time": agent.clock(self.now)}
            self._send("up", agent.name, aside({"m": "beat", **answer, "ack": agent.inbox.heard}))
        elif kind == "heard":
            agent.outbox.acknowledge(order["ack"], self.now)
        elif kind == "start":
            task = order["task"]
            assert task["job"] not in agent.known, "a job was started twice"
            agent.known.add(task["job"])
            run = Run(task["trial"], task["job"], self.now, task["stop"])
            agent.runs[task["job"]] = run
            self.history.append(run)
        elif kind == "go" and order["job"] in agent.runs:
            run = agent.runs[order["job"]]
            run.stop, run.waits = order["stop"], False
        elif kind in ("leave", "kill") and order["job"] in agent.runs:
            run = agent.runs.pop(order["job"])
            run.end = self.now
            kind_ = "lost" if kind == "kill" else None
            ended = {"job": run.job, "rows": [], "first": int(run.at), "kind": kind_, "reason": ""}
            more = {"begun": None, "seconds": {}, "left": True, "saved": None, "log": None}
            self._say(agent, {"m": "ended", **ended, **more})

    # The network

    def _say(self, agent: FakeAgent, body: dict[str, Any]) -> None:
        self._send("up", agent.name, agent.outbox.put(json.loads(json.dumps(body)), self.now))

    def _send(self, direction: str, name: str, line: str) -> None:
        for _ in range(1 + (self.random.random() < self.loss)):
            if self.random.random() >= self.loss:
                self._later(self.random.uniform(0, self.delay), direction, name, line)

    def _later(self, seconds: float, direction: str, name: str, line: str) -> None:
        self._number += 1
        self._wires.append((self.now + seconds, self._number, direction, name, line))

    def _flush(self) -> None:
        for agent in self.fleet.agents.values():
            for line in agent.outgoing:
                self._send("down", agent.name, line)
            agent.outgoing.clear()
        for action in self.fleet.todo.actions:
            assert not isinstance(action, Fetch | Store)
        self.fleet.todo.actions.clear()

    def _deliver(self) -> None:
        due = sorted(wire for wire in self._wires if wire[0] <= self.now)
        for wire in due:
            self._wires.remove(wire)
            _, _, direction, name, line = wire
            address = name.removesuffix("-x")
            if direction == "gone":
                self.fleet.worker_removed(address, self.now)
            elif self.cut.get(address, -inf) > self.now:
                self._wires.append((self.cut[address] + 0.01, *wire[1:]))  # TCP delivers it when it can
            elif direction == "up":
                self.fleet.heard(name, address, line, self.now)
            elif name in self.agents:
                agent = self.agents[name]
                if agent.stopped_until > self.now:
                    self._wires.append((agent.stopped_until + 0.01, *wire[1:]))
                else:
                    for order in agent.inbox.take([line]):
                        self._act(agent, order)
