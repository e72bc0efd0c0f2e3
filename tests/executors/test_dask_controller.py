"""The controller in an event loop of its own, with a link that is pretended."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

pytest.importorskip("distributed")

from hbsim.executors.dask.controller import Controller
from hbsim.executors.dask.depots import Depots
from hbsim.executors.dask.fleet import Fleet
from hbsim.executors.dask.options import Dask
from hbsim.executors.dask.plan import Plan
from hbsim.executors.dask.pools import Pools
from hbsim.executors.dask.todo import Log
from hbsim.executors.dask.transfers import Transfers
from hbsim.executors.dask.vault import Vault
from tests.doubles.dask_link import STUDY
from tests.doubles.fake_link import FakeLink


def controller_on(trials: Path, link: FakeLink, storage: str = "pull") -> Controller:
    """Return a controller that has come as far as to have a cluster."""
    plan = Plan(Dask(storage=storage, lease=30.0), {}, trials, {}, None, 1.0, STUDY)
    vault = None if plan.url is None else Vault(plan.url, STUDY)
    controller = Controller(plan, Pools(None, None), print, lambda: None)
    stored = {} if vault is None else vault.jobs()
    controller.depots = Depots(vault is not None, {}, stored)
    controller.fleet = Fleet(controller.pools, controller.depots, 30.0)
    controller._transfers = Transfers(controller._ask_patiently, trials, vault, 30.0)
    controller._link = link
    return controller


def test_what_is_to_be_done_last_is_done(tmp_path: Path) -> None:
    """Nobody waits at a study's end any more, who would have the last removals and logs done."""
    store, pack = f"file://{tmp_path}/store", tmp_path / "pack"
    pack.write_bytes(b"x" * 100)
    for trial in range(40):  # more than there are threads
        Vault(store, STUDY).put(trial, 5, pack)

    async def main() -> None:
        controller = controller_on(tmp_path / "trials", FakeLink(), store)
        for trial in range(20):
            controller.fleet.prune(trial, 0.0)
        controller.flush()  # these are under way,
        for trial in range(20, 39):
            controller.fleet.prune(trial, 0.0)  # and these are not
        controller.fleet.todo.actions.append(Log(7, "the last words\n"))
        await controller.close()

    asyncio.run(main())
    assert Vault(store, STUDY).jobs() == {39: 5}
    assert (tmp_path / "trials" / "000007" / "log.txt").read_text() == "the last words\n"
