"""The carrier over Dask, with a real scheduler and real workers: lines, files, and what ends."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest

from hbsim.errors import ParameterError
from hbsim.executors.remote.options import Dask
from hbsim.executors.remote.protocol import AgentEnded, AgentLine, CopyError, HostFailed, Joined, Lost
from tests.doubles.certificate import make_certificate
from tests.doubles.dask_processes import PATIENCE, DaskProcesses, dask_processes
from tests.profile import thorough

pytest.importorskip("distributed")
from hbsim.executors.remote import dask
from hbsim.executors.remote.dask import DaskCarrier, check_scheduler

AGENT = Path(__file__).parents[1] / "doubles" / "echo_agent.py"
T = TypeVar("T")


class Study:
    """A carrier, and all that it has said."""

    def __init__(self, options: Dask) -> None:
        self.carrier = DaskCarrier(options, print)
        self.events: list[Any] = []

    async def until(self, found: Callable[[], T]) -> T:
        """Take events until something is true; return it."""
        async with asyncio.timeout(PATIENCE):
            while not (value := found()):
                with suppress(TimeoutError):
                    self.events.append(await asyncio.wait_for(self.carrier.events.get(), 0.2))
                while not self.carrier.events.empty():
                    self.events.append(self.carrier.events.get_nowait())
        return value

    def all(self, kind: type[T]) -> list[T]:
        return [event for event in self.events if isinstance(event, kind)]

    def said(self, agent: str, kind: str) -> list[dict[str, Any]]:
        bodies = (json.loads(line.text) for line in self.all(AgentLine) if line.agent == agent)
        return [body for body in bodies if body["m"] == kind]

    async def joined(self, count: int = 1) -> Joined:
        """Wait until so many agents have ever joined, and the last one has said hello; return that."""
        last = (await self.until(lambda: self.all(Joined)[count - 1 : count]))[0]
        await self.until(lambda: self.said(last.agent, "hello"))
        return last

    def order(self, agent: str, **body: object) -> None:
        self.carrier.send(agent, json.dumps(body))

    def pid(self, agent: str) -> int:
        return int(self.said(agent, "hello")[0]["pid"])

    async def worker_pid(self, joined: Joined) -> int:
        """Return the process id of a Dask worker."""
        return int((await self.carrier._client.run(os.getpid, workers=[joined.place]))[joined.place])

    async def ended(self, agent: str) -> AgentEnded:
        return (await self.until(lambda: [one for one in self.all(AgentEnded) if one.agent == agent]))[0]


@asynccontextmanager
async def studying(address: str | None, lease: float = 20.0, **tls: Path) -> AsyncIterator[Study]:
    study = Study(Dask(scheduler_address=address, lease=lease, **tls))
    try:
        config = {"session": os.urandom(4).hex(), "grace": 5.0, "lease": lease}
        await study.carrier.open(json.dumps(config))
        yield study
    finally:
        await study.carrier.close()


@contextmanager
def cluster(folder: Path, workers: int = 1, **given: Any) -> Iterator[DaskProcesses]:
    options = ("--preload", str(AGENT), *given.pop("worker_options", ()))
    with dask_processes(folder, workers, worker_options=options, **given) as processes:
        yield processes


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskProcesses]:
    """A scheduler and a worker, for tests that end neither."""
    with cluster(tmp_path_factory.mktemp("cluster")) as found:
        yield found


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[DaskProcesses, dict[str, Path]]]:
    """The same with TLS, and the files that a client needs."""
    folder = tmp_path_factory.mktemp("tls")
    files = make_certificate(folder)
    options = dask_options(files)
    given: dict[str, Any] = {"scheduler_options": ["--protocol", "tls", *options]}
    with cluster(folder, worker_options=["--name", "gpu1", *options], **given) as found:
        yield found, files


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def is_running(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


async def gone(pid: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while is_running(pid):
            await asyncio.sleep(0.05)


def dask_options(files: dict[str, Path]) -> list[str]:
    names = {"tls_ca": "--tls-ca-file", "tls_cert": "--tls-cert", "tls_key": "--tls-key"}
    return [word for name, file in files.items() for word in (names[name], str(file))]


def write_folder(folder: Path) -> dict[str, bytes]:
    """Write files of all kinds; return their contents."""
    contents = {f"many/{number}": bytes([number]) for number in range(40)}
    contents |= {"empty": b"", "deep/er/large": random.Random(0).randbytes(9_000_001), "é": b"1"}
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "nothing in it").mkdir()
    (folder / "link").symlink_to("é")
    return contents | {"link": b"1"}


def contents_of(folder: Path) -> dict[str, bytes]:
    assert (folder / "nothing in it").is_dir()
    files = (file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def test_lines_and_files(tls: tuple[DaskProcesses, dict[str, Path]], tmp_path: Path) -> None:
    processes, files = tls

    async def study() -> None:
        async with studying(processes.address, **files) as ours:
            joined = await ours.joined()
            assert (joined.host, joined.place) == ("gpu1", processes.worker_address(0))
            for number in range(3000):
                ours.order(joined.agent, o="echo", number=number, text="x" * 1000)
            said = await ours.until(
                lambda: ours.said(joined.agent, "echo")[2999:] and ours.said(joined.agent, "echo")
            )
            assert [one["body"]["number"] for one in said] == list(range(3000))

            contents = write_folder(tmp_path / "ours")
            await ours.carrier.put(joined.agent, tmp_path / "ours", str(tmp_path / "theirs"))
            assert contents_of(tmp_path / "theirs") == contents
            await ours.carrier.get(joined.agent, str(tmp_path / "theirs"), tmp_path / "back")
            assert contents_of(tmp_path / "back") == contents
            with pytest.raises(CopyError, match="No such file"):
                await ours.carrier.get(joined.agent, str(tmp_path / "none"), tmp_path / "other")
            with pytest.raises(CopyError, match="File exists"):
                await ours.carrier.put(joined.agent, tmp_path / "ours", str(tmp_path / "theirs"))
            pid = ours.pid(joined.agent)
        assert not is_running(pid)

    run(study())


def test_agents_that_end_are_replaced(tmp_path: Path) -> None:
    async def study() -> None:
        async with studying(processes.address) as ours:
            first = await ours.joined(1)
            assert (
                ours.said(first.agent, "hello")[0]["threads"] is None
            )  # a nanny sets it for Dask's own tasks
            ours.order(first.agent, o="exit", code=3)
            ended = await ours.ended(first.agent)
            assert (ended.reason, ended.clean) == ("exit code 3: as it was asked to", False)
            second = await ours.joined(2)
            assert (second.place, second.host) == (first.place, first.host)
            os.kill(ours.pid(second.agent), signal.SIGKILL)
            assert (await ours.ended(second.agent)).reason == "signal 9"
            third = await ours.joined(3)
            os.kill(await ours.worker_pid(third), signal.SIGKILL)
            assert not (await ours.ended(third.agent)).clean
            await gone(ours.pid(third.agent))
            (failed,) = await ours.until(lambda: ours.all(HostFailed))
            assert (failed.place, failed.gone) == (first.place, True)
            fourth = await ours.joined(4)  # of the worker that the nanny has started
            assert fourth.place != first.place
            os.kill(ours.pid(fourth.agent), signal.SIGSTOP)  # it cannot end by itself
        await gone(ours.pid(fourth.agent))

    with cluster(tmp_path, nanny=True) as processes:
        run(study())


@pytest.mark.parametrize(
    "how", ["no nanny", *(pytest.param(how, marks=thorough) for how in ("nanny", "retired")), "both"]
)
def test_trials_are_handed_back_before_a_worker_ends(how: str, tmp_path: Path) -> None:
    async def study() -> None:
        async with studying(processes.address) as ours:
            joined = await ours.joined()
            pid = await ours.worker_pid(joined)
            if how == "retired":
                retiring = asyncio.create_task(ours.carrier._client.retire_workers([joined.place]))
            else:
                processes.workers[0].send_signal(signal.SIGTERM)
            if how == "both":  # as SLURM does
                os.kill(pid, signal.SIGTERM)
            await ours.until(lambda: ours.said(joined.agent, "left"))
            (tmp_path / "theirs").mkdir()
            (tmp_path / "theirs" / "checkpoint").write_bytes(b"saved")
            await ours.carrier.get(joined.agent, str(tmp_path / "theirs"), tmp_path / "ours")
            assert (tmp_path / "ours" / "checkpoint").read_bytes() == b"saved"
            ours.order(joined.agent, o="close")
            assert (await ours.ended(joined.agent)).clean
            (failed,) = await ours.until(lambda: ours.all(HostFailed))
            assert (failed.place, failed.gone) == (joined.place, True)
            assert len(ours.all(Joined)) == 1
            await asyncio.to_thread(processes.workers[0].wait, PATIENCE)
            if how == "retired":
                await retiring

    with cluster(tmp_path, nanny=how in ("nanny", "both")) as processes:
        run(study())


def test_a_scheduler_that_is_silent_for_a_while(processes: DaskProcesses) -> None:
    """The workers stay: what they say meanwhile comes afterwards."""

    async def study() -> None:
        async with studying(processes.address, lease=9.0) as ours:
            joined = await ours.joined()
            ours.order(joined.agent, o="count", to=100, every=0.02)
            await ours.until(lambda: ours.said(joined.agent, "count")[10:])
            assert processes.scheduler is not None
            processes.scheduler.send_signal(signal.SIGSTOP)
            ours.order(joined.agent, o="echo", number=0)
            await asyncio.sleep(2.5)
            processes.scheduler.send_signal(signal.SIGCONT)
            await ours.until(lambda: ours.said(joined.agent, "echo"))
            counted = [one["number"] for one in ours.said(joined.agent, "count")]
            assert counted == list(range(100))
            assert len(ours.all(Joined)) == 1
            assert not ours.all(AgentEnded)

    run(study())


def test_a_scheduler_that_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried again for as long as a lease; nothing is left on its workers."""
    monkeypatch.setattr(dask, "check_scheduler", partial(check_scheduler, timeout=0.2))

    async def study() -> None:
        async with studying(processes.address, lease=2.0) as ours:
            joined = await ours.joined()
            processes.kill_scheduler()
            (lost,) = await ours.until(lambda: ours.all(Lost))
            assert lost.reason == f"the connection to the Dask scheduler at {processes.address} is lost"
            assert [one.agent for one in ours.all(AgentEnded)] == [joined.agent]
        await gone(ours.pid(joined.agent))

    with cluster(tmp_path) as processes:
        run(study())


def test_another_connection_to_the_same_scheduler(processes: DaskProcesses) -> None:
    """The agents of the one before end, and that is said."""

    async def study() -> None:
        async with studying(processes.address) as ours:
            joined = await ours.joined()
            ours.carrier._client.scheduler_comm.comm.abort()
            assert not (await ours.ended(joined.agent)).clean
            again = await ours.joined(2)
            assert again.place == joined.place
            clean = await ours.until(lambda: [one for one in ours.all(AgentEnded) if one.clean])
            assert [one.agent for one in clean] == [joined.agent]
            assert not is_running(ours.pid(joined.agent))
            ours.order(again.agent, o="echo")
            await ours.until(lambda: ours.said(again.agent, "echo"))

    run(study())


def test_a_worker_takes_the_plugin_off_when_nobody_is_there(processes: DaskProcesses) -> None:
    code = """
import asyncio, json
from hbsim.executors.remote.dask import DaskCarrier
from hbsim.executors.remote.options import Dask
async def main():
    carrier = DaskCarrier(Dask(scheduler_address={address!r}, lease=2), print)
    await carrier.open(json.dumps({{"session": "one", "grace": 1.0, "lease": 2.0, "ends": 1.0}}))
    while True:
        print(await carrier.events.get(), flush=True)
asyncio.run(main())
"""

    async def look() -> None:
        command = [sys.executable, "-c", code.format(address=processes.address)]
        killed = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        assert killed.stdout is not None
        while b'"m": "hello"' not in (line := await killed.stdout.readline()):
            assert line
        killed.kill()
        await killed.wait()
        pid = int(line.decode().partition('"pid": ')[2].partition(",")[0])
        await gone(pid)
        async with studying(processes.address) as ours:  # the next study is not held up
            await ours.joined()
            plugins = await ours.carrier._client.run(lambda dask_worker: list(dask_worker.plugins))
            assert not any("hbsim-one" in names for names in plugins.values())

    run(look())


def test_a_cluster_in_this_process(tmp_path: Path) -> None:
    psutil = pytest.importorskip("psutil")

    async def study() -> None:
        async with studying(None) as ours:
            assert ours.carrier.trusted
            joined = await ours.joined()
            ours.order(joined.agent, o="echo")
            await ours.until(lambda: ours.said(joined.agent, "echo"))
            contents = write_folder(tmp_path / "ours")
            await ours.carrier.put(joined.agent, tmp_path / "ours", str(tmp_path / "theirs"))
            assert contents_of(tmp_path / "theirs") == contents
            listening = psutil.Process().net_connections()
            assert [one for one in listening if one.status == psutil.CONN_LISTEN] == []
            pid = ours.pid(joined.agent)
        assert not is_running(pid)

    with in_process():
        run(study())


@contextmanager
def in_process() -> Iterator[None]:
    from hbsim.executors.remote.dask_plugin import AgentPlugin

    before, AgentPlugin.command = AgentPlugin.command, [sys.executable, str(AGENT)]
    try:
        yield
    finally:
        AgentPlugin.command = before


async def refusal(address: str, **tls: Path) -> str:
    carrier = DaskCarrier(Dask(scheduler_address=address, **tls), print)
    with pytest.raises(ParameterError) as caught:
        await carrier.open(json.dumps({"session": "s", "grace": 1.0, "lease": 9.0}))
    await carrier.close()
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_what_cannot_be_connected_to_is_said_in_one_line(
    tls: tuple[DaskProcesses, dict[str, Path]], tmp_path: Path
) -> None:
    (processes, ours), theirs = tls, make_certificate(tmp_path)

    async def look() -> None:
        address = processes.address
        assert "not with TLS that both sides accept" in await refusal(address, **theirs)
        plain = address.replace("tls", "tcp")
        assert "give tls:// with tls_ca, tls_cert and tls_key" in await refusal(plain)
        assert "give that of the scheduler" in await refusal(processes.worker_address(0), **ours)
        with pytest.raises(ParameterError, match=r"no Dask scheduler answers there within 0\.5 s"):
            await check_scheduler("tcp://127.0.0.1:1", None, 0.5)
        mixed = {**ours, "tls_key": theirs["tls_key"]}
        assert "must be the private key of tls_cert" in await refusal(address, **mixed)

    run(look())


def test_a_worker_without_hbsim(tmp_path: Path) -> None:
    (tmp_path / "none.py").write_text("import sys\nsys.modules['hbsim'] = None\n")

    async def study() -> None:
        async with studying(processes.address) as ours:
            (failed,) = await ours.until(lambda: ours.all(HostFailed))
            assert (failed.place, failed.final, failed.gone) == (processes.worker_address(0), True, False)
            assert "install the same hbsim, with its extra remote" in failed.reason
            number = processes.start_worker("--preload", str(AGENT))  # others can take part
            assert (await ours.joined()).place == processes.worker_address(number)

    with dask_processes(tmp_path, 0) as processes:
        processes.start_worker("--preload", str(tmp_path / "none.py"))
        processes.worker_address(0)
        run(study())
