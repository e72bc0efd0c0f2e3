"""Hosts that cannot run trials: parted with in peace; the study ends when no other is left."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest

from hbsim.errors import ExecutorError, ParameterError
from hbsim.executors.dask.depots import Depots
from hbsim.executors.dask.fleet import Fleet
from hbsim.executors.dask.hopes import DEATHS, Hopes
from hbsim.executors.dask.pools import Pools
from hbsim.executors.dask.todo import Wake
from hbsim.runner.workers import Ended, Shut, Task
from tests.doubles.fake_agents import FakeAgent, FakeCluster
from tests.doubles.fake_link import FakeLink

LEASE = 6.0
FULL = {"m": "fatal", "field": "folder", "value": "/work", "rule": "cannot be written"}
SAID = "h0 gets no trials: folder='/work': cannot be written (on h0)"


def cluster_of(*hosts: str) -> tuple[FakeCluster, list[FakeAgent]]:
    fleet = Fleet(Pools(None, {"num_cpus": 1}), Depots(False, {}, {}), LEASE)
    fleet.begin()
    cluster = FakeCluster(fleet, Random(1), LEASE, 0.01, 0.0)
    agents = [cluster.add(host, 1) for host in hosts]
    cluster.step(2)
    return cluster, agents


def start(cluster: FakeCluster, job: int, worker: int) -> None:
    cluster.fleet.start(worker, Task(job, job, 0, 0.0, 99.0, [0.5], 1), cluster.now)


def ends(cluster: FakeCluster) -> list[Ended]:
    return [message for _, message in cluster.messages if isinstance(message, Ended)]


# Parted with


@pytest.mark.parametrize("reported", [True, False])
def test_what_runs_on_a_host_that_is_parted_with_ends_well(reported: bool) -> None:
    """Be it that nobody has reported yet: the other host has loaded the function, too."""
    cluster, (agent, _) = cluster_of("h0", "h1")
    start(cluster, 0, 0)
    cluster.step(3 if reported else 0.2)
    cluster._say(agent, FULL)
    cluster.step(3 * LEASE)
    assert [message.worker for _, message in cluster.messages if isinstance(message, Shut)] == [0]
    assert cluster.fleet.todo.notes == [SAID]
    assert not ends(cluster)
    assert agent.alive
    cluster.fleet.kill(0, "enough", cluster.now)
    cluster.step(3 * LEASE)
    assert [ended.kind for ended in ends(cluster)] == ["lost"]
    assert not agent.alive  # nobody renews its lease any more
    assert cluster.fleet.fatal is None


def test_its_next_agents_get_no_trials_and_nobody_asks_for_them() -> None:
    cluster, (agent, _) = cluster_of("h0", "h1")
    cluster._say(agent, FULL)
    cluster.step(1)
    fleet, line = cluster.fleet, agent.outbox.put({"m": "ready", "seconds": 1.0}, cluster.now)
    for _ in range(100):
        fleet.worker_added(agent.address, cluster.now)  # the scheduler was away
        fleet.heard(f"{agent.address}-y", agent.address, line, cluster.now)
        fleet.tick(cluster.now)
        assert not [action for action in fleet.todo.actions if isinstance(action, Wake)]
        cluster.step(0.5)
    assert len(fleet.agents) == 1
    assert fleet.fatal is None


# The end


def test_the_study_ends_when_no_host_is_left_that_could() -> None:
    cluster, (one, other) = cluster_of("h0", "h1")
    cluster._say(one, FULL)
    start(cluster, 0, 1)
    cluster.step(2)
    cluster._say(other, FULL)
    cluster.step(3 * LEASE)
    assert cluster.fleet.fatal is None  # a job still runs there
    cluster.fleet.leave(0, True, cluster.now)
    cluster.step(1)
    fatal = cluster.fleet.fatal
    assert isinstance(fatal, ExecutorError)
    assert str(fatal).startswith("the Dask cluster: none of its workers can run trials any more: h1 gets no ")
    assert [ended.kind for ended in ends(cluster)] == [None]


@pytest.mark.parametrize("seconds", [LEASE / 2, 2 * LEASE])
def test_hosts_that_could_are_waited_for_as_long_as_a_lease(seconds: float) -> None:
    """Where hosts come and go, that none is there for a moment means nothing."""
    cluster, (one, other) = cluster_of("h0", "h1")
    cluster._say(one, FULL)
    cluster.step(1)
    cluster.fleet.worker_removed(other.address, cluster.now)
    cluster.step(seconds)
    cluster.add("h2", 1)
    cluster.step(2 * LEASE)
    assert (cluster.fleet.fatal is None) is (seconds < LEASE)


def test_a_study_without_any_worker_waits() -> None:
    cluster, (one, other) = cluster_of("h0", "h1")
    cluster._say(one, FULL)
    cluster.step(1)
    for agent in (one, other):
        cluster.fleet.worker_removed(agent.address, cluster.now)
    cluster.step(10 * LEASE)
    assert cluster.fleet.fatal is None


def die(cluster: FakeCluster, address: str) -> None:
    """Have an agent end before it has said anything."""
    cluster._number += 1
    cluster.fleet.agent_ended(f"{address}-{cluster._number}", "exit code 1: no room", True, cluster.now)


def test_a_host_whose_agents_never_get_ready_is_no_hope_either() -> None:
    cluster, (one, other) = cluster_of("h0", "h1")
    cluster._say(one, FULL)
    cluster.fleet.agent_ended(other.name, "signal 9, SIGKILL", True, cluster.now)
    del cluster.agents[other.name]
    for _ in range(DEATHS - 1):
        die(cluster, other.address)
    cluster.step(2 * LEASE)
    assert cluster.fleet.fatal is None
    die(cluster, other.address)
    cluster.step(2 * LEASE)
    assert isinstance(cluster.fleet.fatal, ExecutorError)


def test_the_start_ends_with_the_reason_of_the_agents_ends(tmp_path: Path) -> None:
    """However long it is waited for: it is the same again and again."""
    pytest.importorskip("distributed")
    from tests.executors.test_dask_controller import controller_on

    async def main() -> None:
        controller = controller_on(tmp_path, FakeLink())
        fleet = controller.fleet
        fleet.worker_added("tcp://h0:1", 0.0)
        mustering = asyncio.ensure_future(controller._muster(1))
        for number in range(DEATHS):
            await asyncio.sleep(0.1)
            assert not mustering.done()
            fleet.agent_ended(f"tcp://h0:1-{number}", f"exit code {number}: no room", True, 0.0)
        async with asyncio.timeout(10):
            await mustering

    with pytest.raises(ParameterError) as found:
        asyncio.run(main())
    said = f"no Dask worker can take part: tcp://h0:1: its agent ended: exit code {DEATHS - 1}: no room"
    assert (found.value.field, found.value.rule) == ("executor", said)


# What is known


def test_a_worker_that_gets_ready_has_hope_again() -> None:
    hopes = Hopes()
    assert hopes.none([]) is None
    firsts = [hopes.died("a", f"reason {number}") for number in range(DEATHS)]
    assert firsts == [True] + [False] * (DEATHS - 1)
    assert hopes.none(["a"]) == f"a: its agent ended: reason {DEATHS - 1}"
    assert hopes.none(["a", "b"]) is None
    hopes.unfit("b", "it is full")
    assert hopes.none(["a"]) == "it is full"
    hopes.ready("a")
    assert hopes.none(["a"]) is None
    hopes.forget("b")
    hopes.died("a", "again")
    assert hopes.none(["a"]) is None
    assert not hopes.is_unfit("b")
