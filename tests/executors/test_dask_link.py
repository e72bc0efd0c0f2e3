"""The controller's link, with a scheduler and workers that are processes of their own."""

from __future__ import annotations

import asyncio
import os
import signal
import struct
from pathlib import Path

import pytest

pytest.importorskip("distributed")

import cloudpickle
import distributed
from distributed.protocol import dumps, loads
from distributed.protocol import pickle as dask_pickle
from distributed.protocol.serialize import Serialize, ToPickle

from hbsim.errors import ParameterError
from hbsim.executors.dask import link as link_module
from hbsim.executors.dask.link import Link, LinkError
from hbsim.executors.dask.link_stream import Stream, Where
from tests.doubles.dask_link import NAME, Network, config, linked
from tests.doubles.dask_processes import ROOT, dask_processes
from tests.doubles.fake_agent import FakeAgentPlugin


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with dask_processes(tmp_path_factory.mktemp("cluster"), 2) as processes:
        yield processes


@pytest.fixture
def nothing_is_unpickled(monkeypatch: pytest.MonkeyPatch):
    def refuse(*given, **more):
        raise AssertionError("something is unpickled")

    for module in (cloudpickle, dask_pickle, dask_pickle.pickle):
        monkeypatch.setattr(module, "loads", refuse)
    monkeypatch.setattr(dask_pickle.pickle, "Unpickler", refuse)


def test_who_is_there_and_what_they_answer(cluster):
    async def main():
        link = await Link.open(cluster.address)
        try:
            addresses = {cluster.worker_address(0), cluster.worker_address(1)}
            there = await link.workers()
            assert there.keys() == addresses
            assert all(about["host"] == "127.0.0.1" and about["nthreads"] == 1 for about in there.values())
            for address in addresses:
                said = await link.call(address, "versions", packages=["hbsim"])
                assert "hbsim" in said["packages"]
            with pytest.raises(LinkError, match="has no handler nonsense"):
                await link.call(min(addresses), "nonsense")
            with pytest.raises(LinkError, match="is gone"):
                await link.call("tcp://127.0.0.1:1", "versions")
        finally:
            await link.close()
            await link.close()

    asyncio.run(main())


def test_an_error_in_a_worker_is_a_text(cluster, nothing_is_unpickled):
    async def main():
        async with linked(cluster.address) as has:
            agent, worker, _ = await has.hello()
            with pytest.raises(LinkError, match="UnpicklingError"):
                await has.link.call(worker, "plugin-add", plugin=b"\x00no pickle", name="x")
            with pytest.raises(LinkError, match=r"TypeError.*unexpected"):
                await has.link.call(worker, "versions", nonsense=1)
            with pytest.raises(LinkError, match="does not exist"):
                await has.link.unregister("hbsim-x")
            await has.say(agent, "still there")
            assert await has.line(agent) == {"echo": "still there"}

    asyncio.run(main())


class Bomb:
    """Asks who unpickles it to make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_what_dask_would_unpickle_is_none(tmp_path, nothing_is_unpickled):
    bomb = Bomb(tmp_path / "made")
    message = {"a": ToPickle(bomb), "b": [Serialize(bomb)], "c": {1, 2}, "d": distributed.Status.running}

    async def main():
        async def serve(reader, writer):
            for said in ({"compression": None}, message, [b"x" * 70_000, "y"]):
                frames = [bytes(frame) for frame in dumps(said)]
                head = struct.pack(f"{len(frames) + 1}Q", len(frames), *map(len, frames))
                # As Dask does: the large ones come after what is announced first.
                writer.write(struct.pack("Q", len(head) + len(frames[0])) + head + b"".join(frames))
            await writer.drain()
            await reader.read()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            where = Where.of(f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}", None)
            stream = await Stream.open(where)
            with pytest.raises(AssertionError, match="something is unpickled"):
                loads(dumps(message), deserialize=False)
            read = await stream.read()
            assert read == {"a": None, "b": [None], "c": [1, 2], "d": "running"}
            assert await stream.read() == [b"x" * 70_000, "y"]
            await stream.close()
            await asyncio.sleep(0.05)

    asyncio.run(main())
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("address", "rule"),
    [
        ("nonsense", "must be the address of a Dask scheduler"),
        ("tcp://host", "must be the address of a Dask scheduler"),
        ("tcp://host:port", "must be the address of a Dask scheduler"),
        ("inproc://1:1", "must be the address of a Dask scheduler"),
        (
            "tcp://127.0.0.1:1",
            r"no Dask scheduler answers there within 0\.3 s.*\(.*refused|Connect call failed",
        ),
        ("tcp://no-such-host.invalid:1", "no Dask scheduler answers there"),
        ("tls://127.0.0.1:1", "needs certificates"),
    ],
)
def test_an_address_without_a_scheduler_is_one_error(address: str, rule: str):
    with pytest.raises(ParameterError, match=rule) as caught:
        asyncio.run(Link.open(address, timeout=0.3))
    assert (caught.value.field, caught.value.value) == ("scheduler_address", address)


@pytest.mark.parametrize(
    "said",
    [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", struct.pack("4Q", 24, 9, 1, 1), struct.pack("3Q", 16, 0, 0)],
)
def test_what_is_no_scheduler_is_one_error(said: bytes):
    async def main():
        async def serve(reader, writer):
            writer.write(said)
            await reader.read(1000)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            await Link.open(f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}", timeout=0.3)

    with pytest.raises(ParameterError, match=r"no Dask scheduler answers there within 0\.3 s"):
        asyncio.run(main())


def test_a_worker_is_no_scheduler(cluster):
    with pytest.raises(ParameterError, match="no Dask scheduler"):
        asyncio.run(Link.open(cluster.worker_address(0), timeout=0.5))


def test_a_worker_that_hangs_holds_up_nothing(cluster):
    stopped = cluster.workers[1].pid

    async def main():
        async with linked(cluster.address) as has:
            agents = {worker: agent for agent, worker, _ in [await has.hello(), await has.hello()]}
            one, other = (agents[cluster.worker_address(number)] for number in (0, 1))
            os.kill(stopped, signal.SIGSTOP)
            try:
                late = asyncio.ensure_future(
                    has.link.call(cluster.worker_address(1), NAME, op_="ping", timeout=0.3)
                )
                for number in range(3):
                    await has.say(one, f"{number}")
                    assert await has.line(one) == {"echo": f"{number}"}
                with pytest.raises(LinkError, match=r"no answer within 0\.3 s"):
                    await late
            finally:
                os.kill(stopped, signal.SIGCONT)
            await has.say(other, "back")
            assert await has.line(other) == {"echo": "back"}

    asyncio.run(main())


def test_a_worker_that_is_killed_is_said_and_its_nanny_starts_another(tmp_path):
    async def main(processes):
        async with linked(processes.address) as has:
            _, worker, hello = await has.hello()
            assert hello["threads"] is None  # the nanny's limit is for Dask's own tasks
            os.kill(hello["pid"], signal.SIGSTOP)
            waits = asyncio.ensure_future(has.ask(worker, "close"))  # for seconds: the agent does not end
            await asyncio.sleep(0.1)
            os.kill(int(processes.log("worker-0").rpartition("worker-pid ")[2].split()[0]), signal.SIGKILL)
            assert await has.kind("worker-removed") == ("worker-removed", worker)
            with pytest.raises(LinkError, match="is gone"):
                await waits
            os.kill(hello["pid"], signal.SIGKILL)
            new = (await has.kind("worker-added"))[1]
            agent, again, _ = await has.hello()
            assert again == new != worker
            await has.say(agent, "a new one")
            assert await has.line(agent) == {"echo": "a new one"}

    with dask_processes(tmp_path, 1, nanny=True, worker_options=preload(tmp_path)) as processes:
        asyncio.run(main(processes))


def preload(folder: Path) -> list[str]:
    """Have workers say their process ids: with a nanny they are not those that were started here."""
    file = folder / "say_pid.py"
    file.write_text(
        "import os, sys\n"
        "def dask_setup(worker):\n"
        "    print('worker-pid', os.getpid(), file=sys.stderr, flush=True)\n"
    )
    return ["--preload", str(file)]


def test_a_scheduler_that_goes_is_said_and_another_one_at_its_place_is_used(tmp_path, monkeypatch):
    monkeypatch.setattr(link_module, "RETRY", 0.05)

    async def main(processes):
        async with linked(processes.address) as has:
            _, worker, _ = await has.hello()
            processes.kill_scheduler()
            assert (await has.kind("down"))[1]
            with pytest.raises(LinkError, match="the connection to the Dask scheduler is down"):
                await has.ask(worker, "ping")
            with pytest.raises(LinkError, match="the connection to the Dask scheduler is down"):
                await has.link.workers()
            processes.start_scheduler(int(processes.address.rpartition(":")[2]))
            await has.kind("up")
            assert ("worker-removed", worker) in has.seen
            processes.start_worker()
            agent, new, _ = await has.hello()
            assert list(await has.link.workers()) == [new]
            await has.say(agent, "here")
            assert await has.line(agent) == {"echo": "here"}

    with dask_processes(tmp_path, 1) as processes:
        asyncio.run(main(processes))


def test_a_network_that_breaks_costs_no_agent(cluster, monkeypatch):
    monkeypatch.setattr(link_module, "RETRY", 0.05)

    async def main():
        network = Network(cluster.address)
        async with network.open() as address, linked(address) as has:
            agents = {(await has.hello())[0], (await has.hello())[0]}
            network.cut()
            await has.kind("down")
            number = cluster.start_worker()
            new = cluster.worker_address(number)
            network.mend()
            await has.kind("up")
            assert ("worker-added", new) in has.seen
            for agent in [*agents, await has.agent(new)]:
                await has.say(agent, "still you")
                assert await has.line(agent) == {"echo": "still you"}
            cluster.kill_worker(number)
            assert (await has.kind("worker-removed"))[1] == new

    asyncio.run(main())


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("ImportError('it is broken')", "it is broken"),
        (
            "ModuleNotFoundError(\"No module named 'hbsim'\")",
            "there is no hbsim: install hbsim with its extra dask in the environment of the Dask workers",
        ),
    ],
)
def test_a_worker_without_hbsim_is_named(cluster, tmp_path, error, said):
    (tmp_path / "hbsim.py").write_text(f"raise {error}")
    number = cluster.start_worker(PYTHONPATH=f"{tmp_path}:{ROOT}")
    worker = cluster.worker_address(number)

    async def main():
        link = await Link.open(cluster.address)
        try:
            problems = await link.register(FakeAgentPlugin(config()))
            assert problems.keys() == {worker}
            assert said in problems[worker]
            assert "install" not in said or problems[worker] == said
            for other in (await link.workers()).keys() - problems.keys():
                assert (await link.call(other, NAME, op_="ping"))["ok"]
            await link.unregister(NAME)
        finally:
            await link.close()

    try:
        asyncio.run(main())
    finally:
        cluster.kill_worker(number)


def test_tls_works_and_other_certificates_do_not(tmp_path):
    ours, theirs = (distributed.Security.temporary() for _ in range(2))
    files = {}
    for name in ("ca_file", "scheduler_cert", "scheduler_key", "worker_cert", "worker_key"):
        files[name] = tmp_path / name
        files[name].write_text(getattr(ours, f"tls_{name}"))

    def options(role: str) -> list[str]:
        about = {"ca-file": "ca_file", "cert": f"{role}_cert", "key": f"{role}_key"}
        return ["--protocol", "tls", *(f"--tls-{key}={files[name]}" for key, name in about.items())]

    async def main(processes):
        assert processes.address.startswith("tls://")
        link = await Link.open(processes.address, ours)
        assert list(await link.workers()) == [processes.worker_address(0)]
        assert "host" in await link.call(processes.worker_address(0), "versions")
        await link.close()
        for address, security, rule in (
            (processes.address, theirs, "not with TLS that both sides accept"),
            (
                processes.address.replace("tls", "tcp"),
                None,
                "no Dask scheduler answers.*; if it has TLS, try",
            ),
            (processes.address.replace("tls", "tcp"), ours, "no Dask scheduler answers|require encryption"),
        ):
            with pytest.raises(ParameterError, match=rule):
                await Link.open(address, security, 1.0)

    given = {"scheduler_options": options("scheduler"), "worker_options": options("worker")}
    with dask_processes(tmp_path, 1, **given) as processes:
        asyncio.run(main(processes))
