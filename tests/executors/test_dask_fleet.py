"""The state machine of hosts, held against a pretended cluster in which everything goes wrong."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import combinations
from math import inf
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbsim.executors.dask.agents import ROOM
from hbsim.executors.dask.depots import Depots
from hbsim.executors.dask.fleet import ALL_ROOM, Fleet
from hbsim.executors.dask.pools import Pools
from hbsim.runner.workers import Ended, Opened, Said, Shut, Task
from tests.doubles.fake_agents import FakeCluster

LEASE = 6.0


@dataclass
class Runner:
    """What the loop does, in short: gives jobs to free workers, answers, tries again what was lost."""

    cluster: FakeCluster
    random: Random
    jobs: dict[int, tuple[int, int]] = field(default_factory=dict)  # under way: worker, trial
    ended: list[Ended] = field(default_factory=list)
    open: set[int] = field(default_factory=set)
    again: list[int] = field(default_factory=list)
    rows: dict[int, int] = field(default_factory=dict)
    trials: int = 0
    started: int = 0
    closing: bool = False

    def turn(self) -> None:
        messages, self.cluster.messages = self.cluster.messages, []
        for _, message in messages:
            self._hear(message)
        busy = {worker for worker, _ in self.jobs.values()}
        for worker in sorted(self.open - busy):
            if not self.closing:
                self._start(worker)

    def _start(self, worker: int) -> None:
        if self.again:
            trial = self.again.pop(0)
        else:
            trial, self.trials = self.trials, self.trials + 1
        job, self.started = self.started, self.started + 1
        self.jobs[job] = (worker, trial)
        self.rows[job] = 0
        stop = float(self.random.randint(1, 3))
        self.cluster.fleet.start(worker, Task(job, trial, 0, 0.0, stop, [0.5], 1), self.cluster.now)

    def _hear(self, message: Any) -> None:
        now = self.cluster.now
        if isinstance(message, Opened):
            assert message.worker not in self.open, message
            self.open.add(message.worker)
        elif isinstance(message, Shut):
            self.open.remove(message.worker)
        elif isinstance(message, Said):
            assert message.job in self.jobs, "a report of a job that has ended"
            assert message.first == self.rows[message.job], "a report is missing, or comes twice"
            self.rows[message.job] += len(message.rows)
            assert all(row.at <= now for row in message.rows)
            if message.waits:
                if self.random.random() < 0.5 and not self.closing:
                    self.cluster.fleet.go_on(message.job, message.rows[-1].resource + 1, now)
                else:
                    self.cluster.fleet.leave(message.job, True, now)
        elif isinstance(message, Ended):
            _, trial = self.jobs.pop(message.job)  # each job ends once
            self.ended.append(message)
            if message.kind == "lost":
                self.again.append(trial)


def make(seed: int, delay: float, loss: float, hosts: int) -> tuple[FakeCluster, Runner]:
    random = Random(seed)
    fleet = Fleet(Pools(None, {"num_cpus": 1}), Depots(False, {}, {}), LEASE)
    fleet.begin()
    cluster = FakeCluster(fleet, random, LEASE, delay, loss)
    for number in range(hosts):
        cluster.add(f"h{number}", 1 + number % 2)
    return cluster, Runner(cluster, random)


def never_twice(cluster: FakeCluster) -> None:
    """No two processes of one trial at the same time."""
    for one, other in combinations(cluster.history, 2):
        if one.trial == other.trial:
            first, second = sorted((one, other), key=lambda run: run.begin)
            assert first.end <= second.begin, f"trial {one.trial} ran twice at once"


@pytest.mark.parametrize("seed", range(3))
def test_without_trouble_everything_ends_as_it_should(seed: int) -> None:
    cluster, runner = make(seed, 0.05, 0.0, 3)
    for _ in range(60):
        cluster.step(0.5)
        runner.turn()
    assert len(runner.open) == 4
    assert len(runner.ended) > 20
    assert all(ended.kind is None for ended in runner.ended)
    never_twice(cluster)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.floats(0.01, 1.0), st.sampled_from((0.0, 0.0, 0.1, 0.3)), st.integers(1, 4))
def test_no_trial_ever_runs_twice_at_once(seed: int, delay: float, loss: float, hosts: int) -> None:
    cluster, runner = make(seed, delay, loss, hosts)
    random = Random(seed + 1)
    for _ in range(80):
        cluster.step(0.5)
        runner.turn()
        agents = list(cluster.agents.values())
        if agents and random.random() < 0.15:
            agent = random.choice(agents)
            what = random.choice((cluster.kill, cluster.stop, cluster.partition, cluster.add))
            if what == cluster.kill:
                cluster.kill(agent)
            elif what == cluster.add:
                cluster.add(random.choice((agent.host, "new")), agent.cpus)
            else:
                what(agent, random.uniform(0.2, 3 * LEASE))
    cluster.loss = 0.0
    runner.closing = True
    for _ in range(80):  # stops and partitions are over after three leases
        cluster.step(0.5)
        runner.turn()
    for number in list(runner.jobs):
        cluster.fleet.kill(number, "the end", cluster.now)
    for _ in range(10):
        cluster.step(0.5)
        runner.turn()
    assert not runner.jobs, "a job has never ended"
    never_twice(cluster)


def test_a_stop_shorter_than_the_lease_costs_nothing() -> None:
    cluster, runner = make(5, 0.05, 0.0, 1)
    for _ in range(4):
        cluster.step(0.5)
        runner.turn()
    assert runner.jobs
    cluster.stop(next(iter(cluster.agents.values())), LEASE * 0.6)
    for _ in range(60):
        cluster.step(0.5)
        runner.turn()
    assert all(ended.kind is None for ended in runner.ended)
    assert runner.open == {0}


def test_a_lost_host_is_declared_lost_only_after_its_lease() -> None:
    cluster, runner = make(6, 0.01, 0.0, 2)
    for _ in range(6):
        cluster.step(0.5)
        runner.turn()
    agent = next(iter(cluster.agents.values()))
    cluster.partition(agent, 1e9)
    cut, trials = cluster.now, {run.trial for run in agent.runs.values()}
    assert trials
    while not any(ended.kind == "lost" for ended in runner.ended):
        cluster.step(0.1)
        runner.turn()
        assert cluster.now < cut + 2 * LEASE
    assert cluster.now > cut + LEASE - 1.5
    lost = [ended for ended in runner.ended if ended.kind == "lost"]
    assert "h0" in lost[0].reason


def test_a_worker_that_is_shut_is_not_opened_by_the_loss_of_its_job() -> None:
    """Another host has taken its place among as many workers as were asked for."""
    fleet = Fleet(Pools(1, {"num_cpus": 1}), Depots(False, {}, {}), LEASE)
    fleet.begin()
    cluster = FakeCluster(fleet, Random(1), LEASE, 0.01, 0.0)
    agents = [cluster.add("h0", 1), cluster.add("h0", 1)]
    cluster.step(3)
    fleet.start(0, Task(0, 0, 0, 0.0, 99.0, [0.5], 1), cluster.now)
    cluster.step(1)
    for agent in agents:
        cluster.stop(agent, 3.2)
    cluster.step(2.8)
    cluster.add("h1", 1)
    cluster.step(3)
    (busy,) = (agent for agent in agents if agent.runs)
    cluster.kill(busy)
    fleet.worker_removed(busy.address, cluster.now)
    cluster.step(8)
    open_: set[int] = set()
    for _, message in cluster.messages:
        if isinstance(message, Opened):
            open_.add(message.worker)
        elif isinstance(message, Shut):
            open_.discard(message.worker)
    assert open_ == {1}
    assert [message.kind for _, message in cluster.messages if isinstance(message, Ended)] == ["lost"]


def test_what_the_first_host_cannot_do_ends_the_study() -> None:
    """There is nobody else who could; later hosts may be the odd ones."""
    fleet = Fleet(Pools(None, None), Depots(False, {}, {}), LEASE)
    fleet.begin()
    cluster = FakeCluster(fleet, Random(1), LEASE, 0.01, 0.0)
    fatal = {"m": "fatal", "field": "train", "value": "f", "rule": "must load"}
    cluster.add("h0", 1)
    cluster.step(3)
    cluster._say(cluster.add("h1", 1), fatal)
    cluster.step(1)
    assert fleet.fatal is None
    assert fleet.todo.notes == ["h1 gets no trials: train='f': must load (on h1)"]

    fleet = Fleet(Pools(None, None), Depots(False, {}, {}), LEASE)
    fleet.begin()
    cluster = FakeCluster(fleet, Random(1), LEASE, 0.01, 0.0)
    agent = cluster.add("h0", 1)
    agent.stopped_until = 1e9  # it answers no beat: it cannot join before
    cluster._say(agent, fatal)
    cluster.step(1)
    assert fleet.fatal is not None
    assert fleet.fatal.field == "train"


def test_a_worker_that_is_gone_stays_so_whatever_comes_late() -> None:
    fleet = Fleet(Pools(None, None), Depots(False, {}, {}), LEASE)
    fleet.begin()
    cluster = FakeCluster(fleet, Random(1), LEASE, 0.01, 0.0)
    agent = cluster.add("h0", 1)
    cluster.step(2)
    fleet.start(0, Task(0, 0, 0, 0.0, 99.0, [0.5], 1), cluster.now)
    cluster.step(1)
    fleet.worker_removed(agent.address, cluster.now)
    cluster.step(4)  # it goes on until its lease is over
    assert fleet.jobs.reported
    assert not fleet.workers


def test_why_a_dask_worker_has_no_agent_that_lasts_is_said_once() -> None:
    """Its agent ends before it says anything, however often it is started: nothing else is heard."""
    fleet = Fleet(Pools(None, None), Depots(False, {}, {}), LEASE)
    fleet.begin()
    cluster = FakeCluster(fleet, Random(1), LEASE, 0.01, 0.0)
    fleet.worker_added("tcp://h9:1", cluster.now)
    for name in ("tcp://h9:1-a", "tcp://h9:1-b"):
        fleet.agent_ended(name, "exit code 1: no room", True, cluster.now)
    said = "the Dask worker tcp://h9:1 gets no trials yet: its agent ended: exit code 1: no room"
    assert fleet.todo.notes == [said]

    agent = cluster.add("h0", 1)
    cluster.step(2)
    fleet.start(0, Task(0, 0, 0, 0.0, 99.0, [0.5], 1), cluster.now)
    for _ in range(2):  # the plugin says it, and the answer to a line that comes too late
        fleet.agent_ended(agent.name, "signal 9, SIGKILL", True, cluster.now)
    assert fleet.todo.notes == [said]  # its loss is no secret: the runner is told
    (ended,) = (message for message in fleet.todo.messages if isinstance(message, Ended))
    assert "SIGKILL" in ended.reason


@pytest.mark.parametrize("clear", [True, False])
def test_how_an_agent_ended_replaces_the_guess_that_it_has(clear: bool) -> None:
    """That a Dask worker knows no such agent is often heard first; why it ended is what people need."""
    fleet = Fleet(Pools(None, None), Depots(False, {}, {}), LEASE)
    fleet.begin()
    cluster = FakeCluster(fleet, Random(1), LEASE, 0.01, 0.0)
    agent = cluster.add("h0", 1)
    cluster.step(2)
    fleet.start(0, Task(0, 0, 0, 0.0, 99.0, [0.5], 1), cluster.now)
    cluster.kill(agent)
    fleet.agent_refused(agent.name, "no such agent", cluster.now)
    assert [message.worker for message in fleet.todo.messages if isinstance(message, Shut)] == [0]
    fleet.agent_ended(agent.name, "exit code 1: the disk is full", clear, cluster.now)
    fleet.agent_refused(agent.name, "no such agent", cluster.now)  # of a line that was under way
    cluster.step(2 * LEASE)
    (ended,) = (message for _, message in cluster.messages if isinstance(message, Ended))
    assert ended.reason == "its host h0 was lost: its agent ended: exit code 1: the disk is full"


def test_an_agent_whose_end_nobody_hears_of_is_lost_after_its_lease() -> None:
    fleet = Fleet(Pools(None, None), Depots(False, {}, {}), LEASE)
    fleet.begin()
    cluster = FakeCluster(fleet, Random(1), LEASE, 0.01, 0.0)
    agent = cluster.add("h0", 1)
    cluster.step(2)
    fleet.start(0, Task(0, 0, 0, 0.0, 99.0, [0.5], 1), cluster.now)
    fleet.agent_refused(agent.name, "no such agent", cluster.now)
    assert not any(isinstance(message, Ended) for message in fleet.todo.messages)
    cluster.step(2 * LEASE)
    (ended,) = (message for _, message in cluster.messages if isinstance(message, Ended))
    assert ended.reason == "its host h0 was lost: its agent cannot be reached: no such agent"


@pytest.mark.parametrize("reported", [True, False])
def test_a_trial_that_reports_wrongly_costs_its_host_nothing(reported: bool) -> None:
    """If nobody has reported yet the study ends, as it would here; else only that trial fails."""
    fleet = Fleet(Pools(None, {"num_cpus": 1}), Depots(False, {}, {}), LEASE)
    fleet.begin()
    cluster = FakeCluster(fleet, Random(1), LEASE, 0.01, 0.0)
    cluster.add("h0", 1)
    other = cluster.add("h1", 1)
    cluster.step(2)
    fleet.start(0, Task(0, 0, 0, 0.0, 99.0, [0.5], 1), cluster.now)
    if reported:
        cluster.step(4)
    fleet.start(1, Task(1, 1, 0, 0.0, 99.0, [0.5], 1), cluster.now)
    cluster._say(
        other, {"m": "fatal", "field": "reward_attr", "value": "f", "rule": "must", "trial": "report"}
    )
    cluster.step(0.2 if not reported else 4)
    assert fleet.jobs.reported is reported
    if reported:
        assert fleet.fatal is None
        assert fleet.todo.notes == []
        assert all(agent.joined for agent in fleet.agents.values())
    else:
        assert fleet.fatal is not None
        assert fleet.fatal.field == "reward_attr"


@pytest.mark.parametrize("saved", [True, False])
def test_a_checkpoint_that_cannot_be_kept_ends_the_study_unless_others_could(saved: bool) -> None:
    """That others have reported does not count."""
    fleet = Fleet(Pools(None, {"num_cpus": 1}), Depots(False, {4: 1} if saved else {}, {}), LEASE)
    fleet.begin()
    cluster = FakeCluster(fleet, Random(1), LEASE, 0.01, 0.0)
    agent = cluster.add("h0", 1)
    cluster.step(2)
    fleet.start(0, Task(0, 0, 0, 0.0, 99.0, [0.5], 1), cluster.now)
    cluster.step(4)
    assert fleet.jobs.reported
    fatal = {"m": "fatal", "field": "checkpoint['a']", "value": "object", "rule": "must"}
    cluster._say(agent, {**fatal, "trial": "checkpoint"})
    cluster.step(0.2)
    assert (fleet.fatal is None) is saved


def told(fleet: Fleet, name: str) -> list[dict[str, Any]]:
    """Return what an agent was told of what was heard, but for beats; it is sent now."""
    agent = fleet.agents[name]
    lines, agent.outgoing = agent.outgoing, []
    bodies = [json.loads(line)["b"] for line in lines]
    return [body for body in bodies if body["o"] == "heard"]


def test_agents_share_what_may_be_on_its_way_and_much_is_acknowledged_at_once() -> None:
    fleet = Fleet(Pools(None, None), Depots(False, {}, {}), LEASE)
    fleet.begin()
    cluster = FakeCluster(fleet, Random(1), LEASE, 0.0, 0.0)
    agents = [cluster.add(f"h{number}", 1) for number in range(2)]
    cluster.step(2)
    room = fleet.room()
    assert room == ALL_ROOM // 2

    note = {"m": "note", "text": "x" * (room // 10)}
    heard = []
    for _ in range(10):
        fleet.heard(agents[0].name, agents[0].address, agents[0].outbox.put(note, 0.0), cluster.now)
        heard += told(fleet, agents[0].name)
    assert [body["ack"] for body in heard] == [5, 8, 11]  # after each third: a quarter of the room
    assert {body["room"] for body in heard} == {room}
    assert told(fleet, agents[1].name) == []  # it has said little: a beat will do

    fleet.given(3 * ALL_ROOM // 4)
    assert fleet.room() == room // 4
    fleet.given(ALL_ROOM // 4)
    assert fleet.room() == 0  # the runner is held up
    cluster.step(2)
    assert {agent.room for agent in fleet.agents.values()} == {0}
    fleet.taken(ALL_ROOM // 2, cluster.now)
    fleet.taken(ALL_ROOM // 2, cluster.now)  # the same is not said twice
    assert [body["room"] for body in told(fleet, agents[1].name)] == [room // 2]
    for number in range(2, 100):
        cluster.add(f"h{number}", 1)
    cluster.step(2)
    assert fleet.room() == ROOM  # each may say something


@pytest.mark.parametrize("count", [1, 2])
def test_a_lost_host_is_told_of_before_its_lease_is_over(count: int) -> None:
    fleet = Fleet(Pools(None, {"num_cpus": 1}), Depots(False, {}, {}), LEASE)
    fleet.begin()
    cluster = FakeCluster(fleet, Random(1), LEASE, 0.01, 0.0)
    agent = cluster.add("gpu2", 2)
    cluster.step(2)
    for job in range(count):
        fleet.start(job, Task(job, job, 0, 0.0, 99.0, [0.5], 1), cluster.now)
    cluster.step(1)
    agent.stopped_until = inf  # it cannot say that anything has ended
    fleet.worker_removed(agent.address, cluster.now)
    cluster.step(0.1)
    (note,) = fleet.todo.notes
    begin, _, rest = note.partition(" in ")
    seconds, _, end = rest.partition(" s ")
    fate = ("its trial counts", "it is") if count == 1 else ("its 2 trials count", "they are")
    assert begin == f"gpu2 is gone (Dask lost its worker); {fate[0]} as lost"
    assert end == f"unless {fate[1]} heard of"
    told = cluster.now
    cluster.step(2 * LEASE)
    lost = [when for when, message in cluster.messages if isinstance(message, Ended)]
    assert lost == [pytest.approx(told + int(seconds), abs=0.7)] * count
    assert len(fleet.todo.notes) == 1
