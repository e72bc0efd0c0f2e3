"""Checkpoints on their way while the scheduler or a host cannot be reached, or is gone for good."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("distributed")

from hbsim.executors import checkpoint
from hbsim.executors.dask import transfers as module
from hbsim.executors.dask.agents import AgentState
from hbsim.executors.dask.controller import Controller
from hbsim.executors.dask.depots import HOME, Depots, Source
from hbsim.executors.dask.fleet_jobs import FleetJobs
from hbsim.executors.dask.link import Link, LinkError
from hbsim.executors.dask.machine import Machine
from hbsim.executors.dask.options import Dask
from hbsim.executors.dask.plan import Plan
from hbsim.executors.dask.pools import Pools
from hbsim.executors.dask.todo import Fetch, ToDo
from hbsim.executors.dask.transfers import Transfers
from hbsim.executors.local import trial_folder
from hbsim.runner.workers import Ended, Task
from tests.doubles.dask_link import NAME, STUDY, Network, config
from tests.doubles.dask_processes import DaskProcesses, dask_processes
from tests.doubles.fake_agent import FakeAgentPlugin
from tests.doubles.trial import of_job

BREAK = 5.0  # seconds: longer than it takes to fail three times


def controller_in(trials: Path) -> Controller:
    plan = Plan(Dask(storage="pull", lease=30.0), {}, trials, {}, None, 1.0, STUDY)
    plan.name = NAME
    return Controller(plan, Pools(None, None), print, lambda news: None)


def fetched(
    cluster: DaskProcesses,
    trials: Path,
    source: Source | Network,
    disturb: Callable[[Network, asyncio.AbstractEventLoop], None],
) -> str | None:
    """Fetch a checkpoint to the last worker while something is disturbed; return the problem."""

    async def main() -> str | None:
        if isinstance(source, Source):
            return await fetch(source)
        async with source.open() as holder:
            return await fetch(Source("there", 5, holder))

    async def fetch(source: Source) -> str | None:
        controller, network = controller_in(trials), Network(cluster.address)
        async with network.open() as address:
            link = controller._link = await Link.open(address, name=NAME)
            await link.register(FakeAgentPlugin(config()))
            transfers = Transfers(controller._ask_patiently, trials, None, controller.plan.options.lease)
            listening = asyncio.create_task(controller._listen())
            disturb(network, asyncio.get_running_loop())
            there = cluster.worker_address(len(cluster.workers) - 1)
            problem = await transfers.do(Fetch(there, 6, 3, source))
            listening.cancel()
            await link.close()
        return problem

    return asyncio.run(main())


def cut(network: Network, loop: asyncio.AbstractEventLoop) -> None:
    network.cut()
    loop.call_later(BREAK, network.mend)


def test_what_is_on_its_way_waits_for_the_link(tmp_path: Path) -> None:
    """A disturbance that is shorter than the lease costs no trial."""
    trials = tmp_path / "trials"
    checkpoint.save(trial_folder(trials, 3) / checkpoint.NAME, {"a": 1}, origin=of_job(5))
    with dask_processes(tmp_path, 1) as cluster:
        assert fetched(cluster, trials, Source(HOME, 5), cut) is None
        there = trial_folder(tmp_path / "work" / STUDY / "trials", 3)
        assert checkpoint.load(there / checkpoint.NAME) == {"a": 1}


@pytest.mark.parametrize("what", ["link", "hosts", "both"])
def test_what_is_on_its_way_between_hosts_waits_for_them(what: str, tmp_path: Path) -> None:
    """The link to the scheduler breaks, or the way to the host that has the checkpoint."""
    for number in range(2):
        (tmp_path / f"host-{number}").mkdir()
    with dask_processes(tmp_path, 0) as cluster:
        for number in range(2):
            cluster.start_worker(HBSIM_WORK=str(tmp_path / f"host-{number}"))
        between = Network(cluster.worker_address(0))
        cluster.worker_address(1)
        folders = [tmp_path / f"host-{number}" / STUDY / "trials" for number in range(2)]
        folders[0].parent.mkdir(mode=0o700)  # as the plugin would make it
        checkpoint.save(trial_folder(folders[0], 3) / checkpoint.NAME, {"a": 1}, origin=of_job(5))

        def disturb(network: Network, loop: asyncio.AbstractEventLoop) -> None:
            if what != "link":
                cut(between, loop)
            if what != "hosts":
                loop.call_later(0.2, cut, network, loop)  # while the hosts are at it

        assert fetched(cluster, tmp_path / "trials", between, disturb) is None
        assert checkpoint.load(trial_folder(folders[1], 3) / checkpoint.NAME) == {"a": 1}


# How often, and for how long


class Asked:
    """Answers what it is to, the last of it again and again."""

    def __init__(self, *answers: dict[str, Any] | Exception) -> None:
        self.answers, self.times = answers, 0

    def __call__(self, address: str, op: str, **what: Any) -> Awaitable[dict[str, Any]]:
        answer = self.answers[min(self.times, len(self.answers) - 1)]
        self.times += 1

        async def answered() -> dict[str, Any]:
            if isinstance(answer, Exception):
                raise answer
            return answer

        return answered()


AWAY = {"error": "tcp://b:1 does not answer", "away": True}
NONE = {"error": "trial 3 has no checkpoint here"}


def tried(asked: Asked, lease: float, monkeypatch: pytest.MonkeyPatch) -> str | None:
    monkeypatch.setattr(module, "PAUSE", 0.01)
    monkeypatch.setattr(module, "BEYOND", 0.0)
    transfers = Transfers(asked, Path("nowhere"), None, lease)
    return asyncio.run(transfers.do(Fetch("tcp://a:1", 6, 3, Source("there", 5, "tcp://b:1"))))


def test_what_cannot_be_is_tried_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked(NONE)
    assert tried(asked, 1000.0, monkeypatch) == "trial 3 has no checkpoint here"
    assert asked.times == module.TRIES


@pytest.mark.parametrize("away", [AWAY, LinkError("the Dask worker at tcp://a:1 is gone")])
def test_who_cannot_be_reached_is_waited_for(away: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked(*[away] * 9, NONE, away, away, {"ok": True})
    assert tried(asked, 1000.0, monkeypatch) is None
    assert asked.times == 13


def test_who_cannot_be_reached_for_a_lease_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked(AWAY)
    assert tried(asked, 0.2, monkeypatch) == "tcp://b:1 does not answer"
    assert asked.times > module.TRIES


# What comes of it


class Jobs:
    """Job 6 of trial 3 on host b, whose checkpoint is to be fetched from host a."""

    def __init__(self) -> None:
        pools, self.depots, self.todo = Pools(None, None), Depots(False, {}, {}), ToDo()
        self.holder, self.agent = self.meet("a", {"3": 5}), self.meet("b", {})
        pools.join({"b": Machine("boot", "b", (0,), None, (), None)})
        self.jobs = FleetJobs(pools, self.depots, self.todo)
        self.jobs.start(0, Task(6, 3, 0, 1.0, 3.0, [0.5], 0), [self.agent], 0.0)
        assert self.take() == Source("a", 5, "tcp://a:1")
        assert not self.agent.outgoing

    def meet(self, host: str, holds: dict[str, int], number: int = 1) -> AgentState:
        agent = AgentState(f"{host}{number}", f"tcp://{host}:{number}", 0.0)
        agent.name = host if number == 1 else agent.name
        agent.hello = {"host": host, "shared": False, "depot": host, "holds": holds}
        self.depots.met(agent)
        return agent

    def take(self) -> Source:
        """Return from where the job's checkpoint is to be fetched now."""
        (action,), self.todo.actions = self.todo.actions, []
        assert isinstance(action, Fetch)
        return action.source

    def started(self) -> bool:
        return any('"start"' in line for line in self.agent.outgoing)


def test_what_was_fetched_is_gone_on_from() -> None:
    job = Jobs()
    job.jobs.fetched(6, 5, None, 1.0)
    assert job.started()
    assert not job.todo.messages
    assert job.depots.holds(job.agent, 3)


def test_what_cannot_be_fetched_is_a_lost_job() -> None:
    job = Jobs()
    job.jobs.fetched(6, 5, "it is broken", 1.0)
    assert job.todo.messages == [
        Ended(6, kind="lost", reason="its checkpoint cannot be fetched: it is broken")
    ]
    assert not job.started()


def test_whose_holder_is_gone_for_good_starts_anew() -> None:
    """As it would have, had the host gone a moment earlier: that is no failure, and needs no retry."""
    job = Jobs()
    job.depots.left(job.holder)
    job.jobs.fetched(6, 5, "tcp://a:1 does not answer", 40.0)
    assert job.started()
    assert not job.todo.messages
    assert job.todo.notes == ["trial 3 starts anew: its checkpoint is on a, which is not there any more"]


def test_whose_holder_has_another_address_is_fetched_from_there() -> None:
    job = Jobs()
    job.depots.left(job.holder)
    job.meet("a", {"3": 5}, number=2)
    job.jobs.fetched(6, 5, "tcp://a:1 does not answer", 40.0)
    assert job.take() == Source("a", 5, "tcp://a:2")
    assert not job.started()
    job.jobs.fetched(6, 5, None, 41.0)
    assert job.started()
    assert not job.todo.messages
