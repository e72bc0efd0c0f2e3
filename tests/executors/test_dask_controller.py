"""The controller in an event loop of its own, with a link that is pretended."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("distributed")

from hbsim.executors import checkpoint
from hbsim.executors.dask.controller import Controller
from hbsim.executors.dask.depots import Depots
from hbsim.executors.dask.fleet import Fleet
from hbsim.executors.dask.hello import Place, holds
from hbsim.executors.dask.homecoming import Homecoming
from hbsim.executors.dask.link import LinkError
from hbsim.executors.dask.options import Dask
from hbsim.executors.dask.plan import Plan
from hbsim.executors.dask.plugin_files import Files
from hbsim.executors.dask.pools import Pools
from hbsim.executors.dask.todo import Log
from hbsim.executors.dask.transfers import Transfers
from hbsim.executors.dask.vault import Vault
from hbsim.executors.dask.versions import versions
from hbsim.executors.dask.wire import Outbox
from hbsim.executors.local import trial_folder
from hbsim.runner.workers import Task
from tests.doubles.dask_link import STUDY
from tests.doubles.fake_link import FakeLink
from tests.doubles.trial import of_job


def controller_on(trials: Path, link: FakeLink, storage: str = "pull") -> Controller:
    """Return a controller that has come as far as to have a cluster."""
    plan = Plan(Dask(storage=storage, lease=30.0), {}, trials, {}, None, 1.0, STUDY)
    vault = None if plan.url is None else Vault(plan.url, STUDY)
    controller = Controller(plan, Pools(None, None), print, lambda news: None)
    stored = {} if vault is None else vault.jobs()
    controller.depots = Depots(vault is not None, {}, stored)
    controller.fleet = Fleet(controller.pools, controller.depots, 30.0)
    controller._transfers = Transfers(controller._ask_patiently, trials, vault, 30.0)
    controller._home = Homecoming(controller.depots, controller._transfers, controller._ask_patiently)
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


class Hosts:
    """Three hosts with disks of their own, on each of which a Dask worker's plugin does what it is asked for.

    Attributes
    ----------
    silent : set of str
        Those that do not answer.
    cleaned : set of str
        Those that were told to remove what they have.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.silent: set[str] = set()
        self.cleaned: set[str] = set()
        self.link = FakeLink(*(f"tcp://{host}:1" for host in "abc"), answer=self.answer)
        self.controller = controller_on(folder / "exp" / "trials", self.link)
        self.fleet = self.controller.fleet
        self._files: dict[str, Files] = {}
        self._says: dict[str, Outbox] = {}
        for host in "abc":
            place = Place(folder / host, folder / host / "trials", False)
            place.trials.mkdir(parents=True)
            self._files[host] = Files({}, lambda address, question: None)
            self._files[host]._place = place

    async def answer(self, address: str, op: str, **given: Any) -> Mapping[str, Any]:
        host = address[6]
        if host in self.silent:
            raise LinkError(f"the Dask worker at {address} does not answer")
        if op == "close" and given["clean"]:
            self.cleaned.add(host)
        if op in ("close", "lines", "wake"):
            return {"ok": True}
        try:
            return await getattr(self._files[host], op)(**given)
        except OSError as error:
            return {"error": str(error)}

    def save(self, host: str, trial: int, job: int) -> None:
        folder = trial_folder(self.folder / host / "trials", trial)
        checkpoint.save(folder / checkpoint.NAME, {"of job": job}, origin=of_job(job))

    def meet(self, host: str) -> str:
        """Have a host's agent say hello, and that it is ready."""
        place = self._files[host]._place
        assert place is not None
        number = len(self._says)
        name = f"tcp://{host}:1-{number}"
        self._says[name] = Outbox()
        hello = {"host": host, "boot": host, "cpus": [0], "cpu_limit": None, "gpus": [], "threads": None}
        hello |= {"versions": versions(), "shared": False, "trials": str(place.trials), "depot": f"of {host}"}
        kept = {str(trial): job for trial, job in holds(place).items()}
        self.fleet.worker_added(f"tcp://{host}:1", 0.0)
        self.say(name, {"m": "hello", **hello, "holds": kept})
        self.say(name, {"m": "ready", "seconds": 0.1})
        beat = json.loads(self.fleet.agents[name].outgoing[-1])["b"]
        self.say(name, {"m": "beat", "id": beat["id"], "clock": 0.0, "time": 0.0, "ack": 0})
        self.fleet.begin()
        self.fleet.open([self.fleet.agents[name]], 0.0)
        return name

    def say(self, name: str, body: dict[str, Any]) -> None:
        line = self._says[name].put(body, 0.0)
        self.fleet.heard(name, name.rpartition("-")[0], line, 0.0)

    def end(self, trials: list[int]) -> tuple[bool, list[str], dict[int, Any]]:
        """End the study; return whether all came home, what people were told, and what is there."""

        async def main() -> tuple[bool, list[str]]:
            notes: list[str] = []
            self.controller._news = lambda news: notes.extend(news[1])
            brought = await self.controller.bring(trials)
            await self.controller.close()
            return brought, notes

        brought, notes = asyncio.run(main())
        home = self.folder / "exp" / "trials"
        found = {trial: checkpoint.load(trial_folder(home, trial) / checkpoint.NAME) for trial in trials}
        return brought, notes, {trial: state["of job"] for trial, state in found.items() if state}


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hosts:
    monkeypatch.setattr("hbsim.executors.dask.transfers.PAUSE", 0.01)
    return Hosts(tmp_path)


def test_what_is_of_use_comes_home_before_it_is_removed_there(hosts: Hosts) -> None:
    hosts.save("a", 1, 5)
    hosts.save("b", 1, 7)
    hosts.save("c", 2, 6)
    for host in "abc":
        hosts.meet(host)
    assert hosts.end([1, 2, 3]) == (True, [], {1: 7, 2: 6})
    assert hosts.cleaned == set("abc")


def vanish(hosts: Hosts, agent: str) -> None:
    hosts.fleet.worker_removed(agent.rpartition("-")[0], 1.0)


def fall_silent(hosts: Hosts, agent: str) -> None:
    """The host is suspended; Dask may not have noticed."""
    hosts.fleet.tick(1000.0)
    hosts.silent.add(agent[6])


@pytest.mark.parametrize("lose", [vanish, fall_silent])
def test_what_cannot_be_reached_is_said_and_stays(hosts: Hosts, lose: Callable[[Hosts, str], None]) -> None:
    """An earlier checkpoint is better than none; but the study has not come home."""
    hosts.save("a", 1, 7)
    hosts.save("a", 2, 8)
    hosts.save("b", 1, 5)
    agent = hosts.meet("a")
    if lose is not vanish:
        lose(hosts, agent)
    hosts.meet("b")
    if lose is vanish:
        lose(hosts, agent)
    said = "the checkpoint of trial {} stays on its host: a cannot be reached"
    assert hosts.end([1, 2]) == (False, [said.format(1), said.format(2)], {1: 5})
    assert hosts.cleaned == {"b"}


def test_a_host_that_is_back_at_the_last_moment_keeps_what_did_not_come_home(hosts: Hosts) -> None:
    hosts.save("a", 1, 7)
    agent = hosts.meet("a")
    hosts.fleet.worker_removed("tcp://a:1", 1.0)  # and it is added again, without an agent yet
    hosts.fleet.worker_added("tcp://a:1", 2.0)
    assert agent not in hosts.fleet.agents
    brought, notes, found = hosts.end([1])
    assert (brought, len(notes), found) == (False, 1, {})
    assert not hosts.cleaned


@pytest.mark.parametrize("how", ["ended", "refused", "both"])
@pytest.mark.parametrize("saved", [True, False])
def test_a_dask_worker_whose_agent_has_ended_can_tell_what_was_left(
    hosts: Hosts, how: str, saved: bool
) -> None:
    """The job that was lost may have made a checkpoint; nobody has heard of it."""
    agent = hosts.meet("a")
    hosts.meet("b")
    hosts.fleet.start(0, Task(4, 1, 0, 0.0, 9.0, [0.5], 1), 0.0)
    if saved:
        hosts.save("a", 1, 4)
    if how != "ended":
        hosts.fleet.agent_refused(agent, "no such agent", 1.0)
    if how != "refused":
        hosts.fleet.agent_ended(agent, "signal 9, SIGKILL", False, 1.0)
    hosts.fleet.tick(1000.0)  # its lease is over: the job is lost
    assert hosts.end([1]) == (True, [], {1: 4} if saved else {})
    assert hosts.cleaned == {"a", "b"}


@pytest.mark.parametrize("saves", [True, False, None])
def test_a_host_that_may_have_a_checkpoint_and_is_gone(hosts: Hosts, saves: bool | None) -> None:
    """A function that has never saved, though jobs of it have ended, has not done so there, either."""
    agent = hosts.meet("a")
    hosts.fleet.start(0, Task(4, 1, 0, 0.0, 9.0, [0.5], 1), 0.0)
    vanish(hosts, agent)
    hosts.fleet.tick(1000.0)
    other = hosts.meet("b")
    if saves is not None:
        hosts.fleet.start(1, Task(5, 2, 0, 0.0, 9.0, [0.5], 1), 0.0)
        if saves:
            hosts.save("b", 2, 5)
        ended = {"job": 5, "rows": [], "first": 0, "kind": None, "reason": "", "begun": None, "seconds": {}}
        hosts.say(other, {"m": "ended", **ended, "left": True, "saved": 5 if saves else None, "log": None})
    brought, notes, found = hosts.end([1, 2])
    said = [] if saves is False else ["the checkpoint of trial 1 stays on its host: a cannot be reached"]
    assert (brought, notes) == (saves is False, said)
    assert found == ({2: 5} if saves else {})


def test_a_job_that_ended_well_after_one_that_was_lost_leaves_no_doubt(hosts: Hosts) -> None:
    hosts.save("b", 9, 1)
    agent = hosts.meet("a")
    hosts.fleet.start(0, Task(4, 1, 0, 0.0, 9.0, [0.5], 1), 0.0)
    vanish(hosts, agent)
    hosts.fleet.tick(1000.0)
    other = hosts.meet("b")
    hosts.fleet.start(1, Task(5, 1, 0, 0.0, 9.0, [0.5], 1), 0.0)
    ended = {"job": 5, "rows": [], "first": 0, "kind": None, "reason": "", "begun": None, "seconds": {}}
    hosts.say(other, {"m": "ended", **ended, "left": False, "saved": None, "log": None})
    assert hosts.end([1]) == (True, [], {})


def test_without_an_end_in_order_nothing_is_removed_on_hosts(hosts: Hosts) -> None:
    hosts.meet("a")
    asyncio.run(hosts.controller.close())
    assert not hosts.cleaned
