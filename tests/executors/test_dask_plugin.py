"""The plugin in real Dask workers: its agent, which only talks here, and checkpoints on their way."""

from __future__ import annotations

import asyncio
import os
import pickletools
import sys
from contextlib import suppress
from pathlib import Path

import pytest

pytest.importorskip("distributed")

from distributed.protocol.pickle import dumps

from hbsim.executors import checkpoint, proc
from hbsim.executors.dask import plugin_agent
from hbsim.executors.dask.link import LinkError
from hbsim.executors.dask.plugin_agent import AgentProcess, Keeper
from hbsim.executors.dask.plugin_start import agent_command, agent_environment
from hbsim.executors.local import trial_folder
from tests.doubles import dask_link, fake_agent
from tests.doubles.dask_link import STUDY, linked
from tests.doubles.dask_processes import dask_processes, eventually
from tests.doubles.fake_agent import FakeAgentPlugin, ForgottenPlugin
from tests.doubles.trial import of_job

BIG = 9 << 20  # bytes: several parts


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Two workers on hosts of their own, as far as they can know: they have different folders."""
    folder = tmp_path_factory.mktemp("cluster")
    with dask_processes(folder, 0) as processes:
        for number in range(2):
            processes.start_worker(HBSIM_WORK=str(folder / f"host-{number}"))
        for number in range(2):
            processes.worker_address(number)
        yield processes


def trial_on(cluster, host: int, trial: int) -> Path:
    return trial_folder(cluster.folder / f"host-{host}" / STUDY / "trials", trial)


def save(folder: Path, job: int, size: int = 0) -> None:
    """Save a checkpoint, and a file of the trial's own."""
    folder.parents[1].mkdir(mode=0o700, parents=True, exist_ok=True)
    checkpoint.save(folder / checkpoint.NAME, {"of job": job}, resource=float(job), origin=of_job(job))
    (folder / "files").mkdir(exist_ok=True)
    (folder / "files" / "big").write_bytes(bytes(range(256)) * (size // 256))


def holds(folder: Path) -> tuple[object, int]:
    return checkpoint.load(folder / checkpoint.NAME), (folder / "files" / "big").stat().st_size


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def run_on(cluster, work, plugin: type = FakeAgentPlugin, **more: object) -> None:
    """Run a test that is given a link, and the agents of the two workers."""

    async def main():
        async with linked(cluster.address, plugin, **more) as has:
            await work(has, *await asyncio.gather(*(has.agent(cluster.worker_address(n)) for n in (0, 1))))

    asyncio.run(main())


def test_a_plugin_is_its_name_and_a_text():
    names = [
        arg
        for op, arg, _ in pickletools.genops(dumps(FakeAgentPlugin(dask_link.config())))
        if "UNICODE" in op.name
    ]
    assert "tests.doubles.fake_agent" in names
    assert dask_link.config() in names
    plugins = fake_agent.plugin.AgentPlugin(dask_link.config())
    assert plugins.name == dask_link.NAME
    assert plugins.__dict__ == {"name": dask_link.NAME, "_config": dask_link.config()}


def test_an_agent_gets_the_plan_and_its_lines(cluster):
    async def work(has, one, other):
        assert one != other
        assert await has.say(one, "a", "b") == {"ok": True}
        assert await has.say(other, "c") == {"ok": True}
        assert [await has.line(one), await has.line(one)] == [{"echo": "a"}, {"echo": "b"}]
        long = "\N{SNOWMAN}" * 300_000
        await has.say(one, long)
        assert await has.line(one) == {"echo": long}
        hellos = [event[1]["line"] for event in has.seen if '"hello"' in event[1].get("line", "")]
        assert any(one in hello and '"probe"' in hello for hello in hellos)

    run_on(cluster, work)


def test_whatever_is_asked_for_there_is_an_answer(cluster):
    worker = cluster.worker_address(0)

    async def work(has, one, other):
        stranger = await has.link.call(worker, dask_link.NAME, op_="lines", agent=other, lines=["x"])
        assert stranger == {"error": "no such agent"}
        for op, given, said in (
            ("nonsense", {}, "there is no 'nonsense'"),
            ("handle", {}, "there is no 'handle'"),
            ("lines", {"agent": 1}, "TypeError"),
            ("pack", {"trial": 404}, "trial 404 has no checkpoint here"),
            ("pack", {"trial": "../.."}, "Error"),
            ("read", {"trial": 404, "job": 1, "offset": 0, "length": 9}, "trial 404 is not packed"),
            ("write", {"trial": 4, "job": 1, "offset": 9, "data": b"x", "last": True}, ""),
            (
                "write",
                {"trial": 4, "job": 1, "offset": 0, "data": b"nonsense", "last": True},
                "cannot be unpacked",
            ),
            ("fetch", {"trial": 404, "job": 1, "holder": worker}, "trial 404 has no checkpoint here"),
            ("fetch", {"trial": 404, "job": 1, "holder": "tcp://127.0.0.1:1"}, "does not answer"),
            ("store", {"trial": 404, "url": "file:///nowhere"}, "trial 404 has no checkpoint here"),
            ("load", {"trial": 404, "url": "nonsense://x"}, "storage='nonsense://x'"),
            ("load", {"trial": 404, "url": f"file://{cluster.folder}/empty"}, "the store has no checkpoint"),
        ):
            answer = await has.ask(worker, op, **given)
            assert said in answer["error"], op
        assert (await has.ask(worker, "ping"))["agent"] == one

    run_on(cluster, work)


def test_an_agent_that_ends_is_said_and_another_starts(cluster):
    async def work(has, one, other):
        await has.say(one, "exit 3")
        ended = await has.ended(one)
        assert ended == {
            "agent": one,
            "worker": cluster.worker_address(0),
            "ended": "exit code 3: it has to leave by 3",
            "clear": False,
        }
        assert await has.say(one, "x") == {"error": "no such agent"}
        new, worker, _ = await has.hello(one, other)  # theirs may come late
        assert worker == cluster.worker_address(0)
        await has.say(other, "child 60", "kill")
        child = (await has.line(other))["child"]
        assert (await has.ended(other))["ended"].startswith("signal 9, SIGKILL")
        assert not is_alive(child)
        await has.say(new, "exit 0")
        ended = await has.ended(new)
        assert (ended["agent"], ended["clear"]) == (new, True)

    run_on(cluster, work)


def test_a_worker_that_is_retired_says_that_nothing_is_left(cluster):
    async def work(has, one, other):
        number = cluster.start_worker()
        third = await has.agent(await asyncio.to_thread(cluster.worker_address, number))
        await has.say(third, "child 60")
        child = (await has.line(third))["child"]
        retire = {"op": "retire_workers", "workers": [third.rpartition("-")[0]], "close_workers": True}
        await has.link._ask(retire, 30.0)
        ended = await has.ended(third)
        assert (ended["agent"], ended["clear"]) == (third, True)
        assert not is_alive(child)

    run_on(cluster, work)


def test_at_the_end_nothing_is_left(cluster):
    worker = cluster.worker_address(0)
    save(trial_on(cluster, 0, 1), 1)

    async def work(has, one, other):
        await has.say(one, "child 60")
        child = (await has.line(one))["child"]
        assert await has.ask(worker, "close", clean=True) == {"ok": True}
        assert not is_alive(child)
        assert not trial_on(cluster, 0, 1).parents[1].exists()
        with pytest.raises(LinkError, match="has no handler"):
            await has.say(one, "x")
        await has.say(other, "not this one")
        assert await has.line(other) == {"echo": "not this one"}

    run_on(cluster, work)


def test_a_checkpoint_goes_from_worker_to_worker(cluster):
    here, there = (trial_on(cluster, host, 7) for host in (0, 1))
    save(here, 5, BIG)

    async def work(has, one, other):
        worker, holder = cluster.worker_address(1), cluster.worker_address(0)

        def fetch(job: int):
            return has.ask(worker, "fetch", trial=7, job=job, holder=holder)

        answers = await asyncio.gather(*(fetch(5) for _ in range(3)))
        assert all(answer["job"] == 5 for answer in answers)
        assert holds(there) == ({"of job": 5}, BIG)
        save(there, 9)
        assert (await fetch(5))["job"] == 9  # what is there is later
        assert holds(there) == ({"of job": 9}, 0)
        save(here, 11, 256)
        assert (await fetch(10))["job"] == 11
        assert holds(there) == ({"of job": 11}, 256)
        assert (await has.ask(worker, "fetch", trial=7, job=11, holder="tcp://127.0.0.1:1"))["job"] == 11
        for host in (0, 1):
            assert list((cluster.folder / f"host-{host}" / STUDY / "packs").iterdir()) == []

    run_on(cluster, work)


def test_a_checkpoint_goes_to_the_controller_and_back(cluster):
    save(trial_on(cluster, 0, 8), 3, BIG)

    async def work(has, one, other):
        source, target = cluster.worker_address(0), cluster.worker_address(1)
        packed, again = [await has.ask(source, "pack", trial=8) for _ in range(2)]
        assert packed == again  # two read it
        assert packed["job"] == 3
        assert packed["size"] > BIG
        for _ in range(2):
            parts, offset = [], 0
            while offset < packed["size"]:
                about = {"trial": 8, "job": 3, "offset": offset, "length": 4 << 20}
                parts.append((await has.ask(source, "read", **about))["data"])
                offset += len(parts[-1])
        gone = await has.ask(source, "read", trial=8, job=3, offset=0, length=1)
        assert gone == {"error": "trial 8 is not packed"}
        offset = 0
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            about = {"trial": 8, "job": 3, "offset": offset, "data": part, "last": last}
            answer = await has.ask(target, "write", **about)
            assert answer["ok"]
            offset += len(part)
        assert answer == {"ok": True, "job": 3, "done": True}
        assert holds(trial_on(cluster, 1, 8)) == ({"of job": 3}, BIG)

    run_on(cluster, work)


def test_a_checkpoint_goes_into_a_store_and_out_of_it(cluster):
    save(trial_on(cluster, 0, 9), 4, BIG)
    about = {"trial": 9, "url": f"file://{cluster.folder}/store"}

    async def work(has, one, other):
        assert await has.ask(cluster.worker_address(0), "store", **about) == {"ok": True, "job": 4}
        answers = await asyncio.gather(
            *(has.ask(cluster.worker_address(1), "load", **about) for _ in range(2))
        )
        assert answers[0] == {"ok": True, "job": 4, "done": True}
        assert holds(trial_on(cluster, 1, 9)) == ({"of job": 4}, BIG)

    run_on(cluster, work)


def test_a_folder_that_all_see_is_where_trials_are(cluster, tmp_path):
    trials = tmp_path / "trials"
    trials.mkdir()
    (trials / f".probe-{dask_link.SESSION}").write_text(dask_link.SESSION)
    save(trial_folder(trials, 2), 6)

    async def work(has, one, other):
        worker = cluster.worker_address(0)
        found = await has.ask(worker, "fetch", trial=2, job=6, holder=cluster.worker_address(1))
        assert found == {"ok": True, "job": 6}
        await has.ask(worker, "close", clean=True)
        assert holds(trial_folder(trials, 2)) == ({"of job": 6}, 0)

    run_on(cluster, work, trials=str(trials), storage="auto")


def test_a_study_that_is_forgotten_goes_and_comes_back_with_its_controller(cluster):
    async def work(has, one, other):
        assert [(await has.ended(one, other))["clear"] for _ in range(2)] == [True, True]
        with pytest.raises(LinkError, match="has no handler"):
            await has.say(one, "x")
        new = ""
        while not new:  # whenever it is asked for, the link sees to it
            with suppress(LinkError):
                new = await has.agent(cluster.worker_address(0))
            await asyncio.sleep(0.05)
        assert new not in (one, other)
        await has.say(new, "again")
        assert await has.line(new) == {"echo": "again"}

    run_on(cluster, work, ForgottenPlugin, lease=0.1)


def test_a_worker_that_is_not_spoken_to_goes_alone(cluster):
    """As one does whose host cannot run the training function: the others have trials."""

    async def work(has, one, other):
        gone = asyncio.create_task(has.ended(one, other))
        while not gone.done():
            assert await has.say(one, "x") == {"ok": True}
            await asyncio.sleep(0.05)
        assert gone.result()["agent"] == other
        for _ in range(20):  # nor later
            assert await has.say(one, "x") == {"ok": True}
            await asyncio.sleep(0.05)

    run_on(cluster, work, ForgottenPlugin, lease=0.1)


# In this process


def test_an_agent_that_hangs_is_killed(monkeypatch):
    monkeypatch.setattr(plugin_agent, "GRACE", 0.3)

    async def main():
        said: asyncio.Queue[str] = asyncio.Queue()
        agent = await AgentProcess.start(
            "one", FakeAgentPlugin.command, dict(os.environ), dask_link.config(agent="one"), said.put_nowait
        )
        await said.get()
        agent.write(["child 60", "hang"])
        child = int((await said.get()).rpartition(" ")[2].rstrip("}"))
        await said.get()
        await agent.close()
        assert not agent.write(["x"])
        reason, clear = await agent.ended()
        assert reason.startswith("signal 9, SIGKILL")
        assert not clear
        eventually(lambda: not is_alive(child), "an end of the child")
        assert not proc.kill_group(child)

    asyncio.run(main())


def test_what_cannot_be_started_is_said_and_waits_until_it_is_wanted(monkeypatch):
    monkeypatch.setattr(plugin_agent, "FIRST", 0.01)
    monkeypatch.setattr(plugin_agent, "LONGEST", 0.02)
    wanted = [True, True, False, True, False]

    async def main():
        said: list[dict] = []

        def start(name: str):
            return AgentProcess.start(name, ["/no/such/program"], {}, "", print)

        keeper = Keeper(start, "tcp://host:1", said.append, lambda: wanted.pop(0))
        task = asyncio.ensure_future(keeper.run())
        while len(said) < 3:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert wanted == [True, False]  # it waits
        keeper.wake()
        while len(said) < 5:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert {event["ended"] for event in said} == {"it cannot be started: No such file or directory"}
        assert len({event["agent"] for event in said}) == 5

    asyncio.run(main())


def test_an_agent_is_started_where_hbsim_is_found(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert agent_command() == (sys.executable, "-P", "-m", "hbsim.executors.dask.agent")
    monkeypatch.chdir(Path(plugin_agent.__file__).resolve().parents[2])
    assert agent_command() == (sys.executable, "-m", "hbsim.executors.dask.agent")


@pytest.mark.parametrize("nanny", [False, True])
def test_a_trial_that_uses_dask_is_no_part_of_this_worker(nanny, monkeypatch):
    names = ("DASK_INTERNAL_INHERIT_CONFIG", "__DASK_PARENT_PID")
    for name in (*names, "DASK_TEMPORARY_DIRECTORY"):
        monkeypatch.setenv(name, "1")
    environment = agent_environment(nanny)
    assert not set(names) & set(environment)
    assert environment["DASK_TEMPORARY_DIRECTORY"] == "1"  # whoever runs this host says so


def test_without_a_nanny_the_environment_is_as_it_is(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert agent_environment(nanny=False)["OMP_NUM_THREADS"] == "3"
    assert "OMP_NUM_THREADS" not in agent_environment(nanny=True)  # whoever started this has not set it
