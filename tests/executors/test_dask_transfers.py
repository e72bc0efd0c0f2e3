"""Checkpoints on their way while the scheduler cannot be reached, and what is left to be done at the end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

pytest.importorskip("distributed")

from hbsim.executors import checkpoint
from hbsim.executors.dask.controller import Controller
from hbsim.executors.dask.depots import HOME, Source
from hbsim.executors.dask.link import Link
from hbsim.executors.dask.options import Dask
from hbsim.executors.dask.plan import Plan
from hbsim.executors.dask.pools import Pools
from hbsim.executors.dask.todo import Fetch
from hbsim.executors.dask.transfers import Transfers
from hbsim.executors.local import trial_folder
from tests.doubles.dask_link import NAME, STUDY, Network, config
from tests.doubles.dask_processes import dask_processes
from tests.doubles.fake_agent import FakeAgentPlugin


def controller_in(trials: Path) -> Controller:
    plan = Plan(Dask(storage="pull"), {}, trials, {}, None, 1.0, STUDY)
    plan.name = NAME
    return Controller(plan, Pools(None, None), print, lambda: None)


def test_what_is_on_its_way_waits_for_the_link(tmp_path):
    """A disturbance that is shorter than the lease costs no trial."""
    trials = tmp_path / "trials"
    checkpoint.save(trial_folder(trials, 3) / checkpoint.NAME, {"a": 1}, job=5)

    async def main(cluster) -> str | None:
        controller, network = controller_in(trials), Network(cluster.address)
        async with network.open() as address:
            link = controller._link = await Link.open(address, name=NAME)
            await link.register(FakeAgentPlugin(config()))
            transfers = controller._transfers = Transfers(controller._ask_patiently, trials, None)
            listening = asyncio.create_task(controller._listen())
            network.cut()
            asyncio.get_running_loop().call_later(4.0, network.mend)
            fetch = Fetch(cluster.worker_address(0), 6, 3, Source(HOME, 5))
            problem = await transfers.do(fetch)
            listening.cancel()
            await link.close()
        return problem

    with dask_processes(tmp_path, 1) as cluster:
        assert asyncio.run(main(cluster)) is None
        there = trial_folder(tmp_path / "work" / STUDY / "trials", 3)
        assert checkpoint.load(there / checkpoint.NAME) == {"a": 1}
