"""The carrier by SSH, with real SSH servers on ports of the loopback as hosts."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import asyncssh
import psutil
import pytest

from hbsim.errors import ParameterError
from hbsim.executors.remote import ssh
from hbsim.executors.remote.code import make_bundle
from hbsim.executors.remote.options import Hosts
from hbsim.executors.remote.protocol import (
    AgentEnded,
    AgentLine,
    CarrierEvent,
    CopyError,
    HostFailed,
    Joined,
    cancel_tasks,
    task_of,
)
from hbsim.executors.remote.ssh import SshCarrier, SshHost
from hbsim.executors.training_function import make_target
from hbsim.runner.workers import NEVER, Assignment
from tests.doubles.sshd import Host, sshd
from tests.executors.serving import wait_until
from tests.remote.agents import MODES, TRAIN

PATIENCE = 60.0  # seconds, of a machine that is busy
ROOT = Path(__file__).parents[2]
STUB = ROOT / "tests" / "doubles" / "stub_agent.py"
CONFIG = json.dumps({"session": "s", "lease": 9})

T = TypeVar("T")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Host]]:
    """Give two hosts that take the same key."""
    work = {"HBSIM_WORK": str(tmp_path_factory.mktemp("work"))}
    with (
        sshd(tmp_path_factory.mktemp("one"), work) as one,
        sshd(tmp_path_factory.mktemp("other"), work, key=one.key) as other,
    ):
        yield [one, other]


@pytest.fixture
def hosts(servers: list[Host], monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Host]]:
    """Give the hosts; a test leaves nothing running there."""
    monkeypatch.setattr(ssh, "SOONEST", 0.05)
    yield servers
    for host in servers:
        assert not host.wait_until_empty(PATIENCE)


@pytest.fixture
def host(hosts: list[Host]) -> Host:
    return hosts[0]


@pytest.fixture
def stub(tmp_path: Path) -> str:
    return script(tmp_path, f"exec {sys.executable} {STUB}")


def script(folder: Path, *lines: str) -> str:
    """Write what is used as Python on hosts."""
    file = folder / "a python"
    file.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    file.chmod(0o755)
    return str(file)


def reach(hosts: list[Host], python: str, **more: Any) -> Hosts:
    names = [f"{name}:{host.port}" for name, host in zip(("127.0.0.1", "localhost"), hosts, strict=False)]
    return Hosts(names, **{"ssh_key": hosts[0].key, "ssh_python": python, **more})


class Watched:
    """A carrier, and all that it has reported."""

    def __init__(self, options: Hosts) -> None:
        self.carrier = SshCarrier(options, lambda line: None)
        self.events: list[CarrierEvent] = []
        self._texts: dict[str, list[dict[str, Any]]] = {}

    async def until(self, found: Callable[[list[CarrierEvent]], T]) -> T:
        """Wait until something that is not empty is found in the events; return it."""
        async with asyncio.timeout(PATIENCE):
            while not (result := found(self.events)):
                event = await self.carrier.events.get()
                self.events.append(event)
                if isinstance(event, AgentLine):
                    self.texts(event.agent).append(json.loads(event.text))
        return result

    async def next_agent(self, host: str) -> str:
        """Wait until another agent joins on a host."""
        known = len(self.joined(host))
        return (await self.until(lambda _: self.joined(host)[known:]))[0]

    async def first_agent(self, host: str) -> str:
        return (await self.until(lambda _: self.joined(host)))[0]

    def joined(self, host: str) -> list[str]:
        return [event.agent for event in self.events if isinstance(event, Joined) and event.host == host]

    def texts(self, agent: str) -> list[dict[str, Any]]:
        """Return what an agent has sent."""
        return self._texts.setdefault(agent, [])

    def send(self, agent: str, **order: Any) -> None:
        self.carrier.send(agent, json.dumps(order))

    async def answer(self, agent: str, **order: Any) -> None:
        """Send an order, and wait for its echo."""
        self.send(agent, **order)
        await self.until(lambda _: {"m": "echo", **order} in self.texts(agent))

    async def end_of(self, agent: str) -> AgentEnded:
        def ended(events: list[CarrierEvent]) -> list[AgentEnded]:
            return [event for event in events if isinstance(event, AgentEnded) and event.agent == agent]

        return (await self.until(ended))[0]

    def failed(self) -> list[HostFailed]:
        return [event for event in self.events if isinstance(event, HostFailed)]


@asynccontextmanager
async def watching(options: Hosts) -> AsyncIterator[Watched]:
    watched = Watched(options)
    assert await watched.carrier.open(CONFIG) == len(options.hosts)
    try:
        yield watched
    finally:
        await watched.carrier.close()
        await watched.carrier.close()
        assert len(asyncio.all_tasks()) == 1


def refusal(options: Hosts) -> ParameterError:
    """Open a carrier none of whose hosts can be used; return what is said."""

    async def use() -> None:
        try:
            await SshCarrier(options, lambda line: None).open(CONFIG)
        finally:
            assert len(asyncio.all_tasks()) == 1

    with pytest.raises(ParameterError) as caught:
        asyncio.run(use())
    return caught.value


# Lines


def test_lines_come_whole_and_in_order(hosts: list[Host], stub: str, capfd: pytest.CaptureFixture) -> None:
    async def use() -> None:
        options = reach(hosts, stub)
        async with watching(options) as watched:
            agents = [await watched.first_agent(name) for name in options.hosts]
            for agent in agents:
                for number in range(500):
                    watched.send(agent, number=number, text="é" * number)
            for agent in agents:
                await watched.until(lambda _, agent=agent: len(watched.texts(agent)) == 501)
                hello, *echoes = watched.texts(agent)
                assert hello["config"] == {**json.loads(CONFIG), "agent": agent}
                assert [echo["number"] for echo in echoes] == list(range(500))
                assert all(echo["text"] == "é" * echo["number"] for echo in echoes)
            assert not watched.failed()

    asyncio.run(use())
    assert capfd.readouterr() == ("", "")


def test_what_is_no_message_is_left_out(host: Host, stub: str) -> None:
    async def use() -> None:
        (name,) = (options := reach([host], stub)).hosts
        async with watching(options) as watched:
            agent = await watched.first_agent(name)
            for text in ("\x1b[2Jno JSON", "[1]", '{"no": "kind"}', "[" * 100_000, "\udcff\x00"):
                watched.send(agent, print=text)
            await watched.answer(agent, number=1)
            assert [body["m"] for body in watched.texts(agent)] == ["hello", "echo"]

    asyncio.run(use())


def test_a_line_without_an_end_ends_the_agent(host: Host, stub: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh, "LONGEST", 1 << 20)

    async def use() -> None:
        (name,) = (options := reach([host], stub)).hosts
        async with watching(options) as watched:
            agent = await watched.first_agent(name)
            watched.send(agent, repeat=["x", 3 << 20])
            ended = await watched.end_of(agent)
            assert ended == AgentEnded(agent, "it sent a line of more than 1 MiB", clean=False)
            await watched.next_agent(name)

    asyncio.run(use())


# Ends


def test_an_agent_that_ends_is_started_again(host: Host, stub: str) -> None:
    async def use() -> None:
        (name,) = (options := reach([host], stub)).hosts
        async with watching(options) as watched:
            first = await watched.first_agent(name)
            watched.send(first, say="so \x1b[1m sad")
            watched.send(first, exit=3)
            assert await watched.end_of(first) == AgentEnded(first, "exit code 3: so [1m sad", clean=False)
            second = await watched.next_agent(name)
            assert second != first
            watched.send(second, exit=0)
            assert await watched.end_of(second) == AgentEnded(second, "exit code 0", clean=True)
            third = await watched.next_agent(name)
            (hello,) = await watched.until(lambda _: watched.texts(third))
            os.kill(hello["pid"], signal.SIGKILL)
            assert await watched.end_of(third) == AgentEnded(third, "signal KILL", clean=False)
            watched.send(third, number=1)  # is dropped
            await watched.answer(await watched.next_agent(name), number=2)

    asyncio.run(use())


def test_a_host_that_was_killed_joins_again(
    hosts: list[Host], stub: str, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    """Also the first one; the other is none the worse for it."""

    async def use() -> None:
        options = reach(hosts, stub)
        lost, other = options.hosts
        async with watching(options) as watched:
            agent, others = await watched.first_agent(lost), await watched.first_agent(other)
            await asyncio.to_thread(hosts[0].kill)
            ended = await watched.end_of(agent)
            assert "connection" in ended.reason
            assert not ended.clean
            await watched.until(lambda _: watched.failed())
            await watched.answer(others, number=1)
            with pytest.raises(CopyError, match="no SSH server answers") as caught:
                await watched.carrier.get(agent, str(tmp_path), tmp_path / "copy")
            assert caught.value.away
            assert not (tmp_path / "copy").exists()
            await asyncio.to_thread(hosts[0].start)
            again = await watched.next_agent(lost)
            await watched.answer(again, number=2)
            await watched.answer(others, number=3)
            assert watched.joined(other) == [others]
            assert {failed.host for failed in watched.failed()} == {lost}

    asyncio.run(use())
    assert capfd.readouterr() == ("", "")


def test_a_network_that_is_silent_is_left(host: Host, stub: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its host is connected anew, although nobody has closed the connection."""
    monkeypatch.setattr(ssh, "BEAT", 0.5)

    async def use() -> None:
        (name,) = (options := reach([host], stub)).hosts
        async with watching(options) as watched:
            agent = await watched.first_agent(name)
            sessions = [child.pid for child in psutil.Process(host.pid).children(recursive=True)]
            for pid in (pids := [pid for pid in sessions if pid not in host.processes()]):
                os.kill(pid, signal.SIGSTOP)
            try:
                assert "lost" in (await watched.end_of(agent)).reason
                await watched.answer(await watched.next_agent(name), number=1)
            finally:
                for pid in pids:
                    os.kill(pid, signal.SIGCONT)

    asyncio.run(use())


CONTROLLER = """
import asyncio
from hbsim.executors.remote.protocol import Joined
from hbsim.executors.remote.options import Hosts
from hbsim.executors.remote.ssh import SshCarrier

async def main():
    carrier = SshCarrier(Hosts({hosts!r}, ssh_key={key!r}, ssh_python={python!r}))
    await carrier.open({config!r})
    print("up", flush=True)
    while True:
        event = await carrier.events.get()
        if isinstance(event, Joined):
            carrier.send(event.agent, {order!r})

asyncio.run(main())
"""


def test_an_agent_that_does_not_end_is_left_behind(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing takes a few seconds at most; the agent ends by its lease."""
    monkeypatch.setattr(ssh, "CLOSING", 0.2)
    python = script(tmp_path, """echo '{"m": "hello"}'""", "exec sleep 1000")

    async def use() -> None:
        async with watching(reach([host], python)):
            pass

    begin = time.monotonic()
    asyncio.run(use())
    assert time.monotonic() - begin < PATIENCE
    for pid, command in host.processes().items():
        assert command == "sleep 1000"
        os.kill(pid, signal.SIGKILL)


# The real agent


def test_a_trial_and_its_checkpoint(host: Host, tmp_path: Path) -> None:
    async def use() -> None:
        (name,) = (options := reach([host], sys.executable)).hosts
        watched = Watched(options)
        await watched.carrier.open(real_config(tmp_path))
        agent = await watched.first_agent(name)
        watched.send(agent, **start_order(mode="plain", stop=2.0))
        await watched.until(lambda _: any(body.get("waits") for body in watched.texts(agent)))
        watched.send(agent, o="leave", job=4, save=True)
        (ended,) = await watched.until(
            lambda _: [body for body in watched.texts(agent) if body["m"] == "ended"]
        )
        assert (ended["kind"], ended["saved"]) == (None, 4)
        await watched.carrier.get(agent, ended["folder"], tmp_path / "checkpoint")
        await watched.carrier.get(agent, ended["files"], tmp_path / "files")
        assert (tmp_path / "files" / "pid").exists()
        assert (tmp_path / "checkpoint" / "meta.json").exists()
        watched.send(agent, o="close", clean=True)
        assert (await watched.end_of(agent)).clean
        await watched.carrier.close()

    asyncio.run(use())


@pytest.mark.skipif(sys.platform != "linux", reason="orphans are adopted on Linux only")
def test_no_trial_is_left_when_the_controller_is_killed(hosts: list[Host], tmp_path: Path) -> None:
    options = reach(hosts, sys.executable)
    given = {"hosts": options.hosts, "key": str(options.ssh_key), "python": sys.executable}
    order = json.dumps(start_order(mode="hold"))
    command = [sys.executable, "-c", CONTROLLER.format(**given, config=real_config(tmp_path), order=order)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        for host in hosts:
            wait_until(lambda host=host: "sleep 600" in host.processes().values())
        process.kill()
    for host in hosts:
        assert not host.wait_until_empty(15)


def real_config(folder: Path) -> str:
    """Return what a real agent has to know to run trials, in a study's folder that no host sees."""
    (folder / "train.py").write_text(TRAIN)
    target = make_target(f"{folder / 'train.py'}:train_fn")
    setup = {"time_attr": "epoch", "metric": "loss", "constants": {}}
    study = {"session": "1" * 16, "study": "5" * 16, "trials": str(folder / "study"), "probe": "seen"}
    how = {"start": None, "grace": 0.5, "lease": 60.0, "storage": "auto"}
    return json.dumps({**study, **how, "bundle": make_bundle(target, "file"), "setup": setup})


def start_order(mode: str, stop: float = NEVER) -> dict[str, Any]:
    task = Assignment(4, 3, 0, 0.0, stop, [MODES[mode]], 7, "5" * 16)
    slot = {"cpus": None, "threads": 1, "env": {}}
    return {"o": "start", "task": task_of(task), "slot": slot, "checkpoint": None}


# Files


def make_tree(folder: Path, size: int) -> None:
    """Make a folder with all that a trial may leave, and what is not copied."""
    (folder / "deep" / "deeper").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "large").write_bytes(os.urandom(size))
    (folder / "deep" / "none").write_bytes(b"")
    (folder / "deep" / "deeper" / "a näme").write_text("text")
    (folder / os.fsdecode(b"\xff")).write_text("no UTF-8")
    (folder / "program").write_text("#!/bin/sh")
    (folder / "program").chmod(0o755)
    (folder / "link").symlink_to("deep/deeper/a näme")
    (folder / "around").symlink_to(".")
    (folder / "nowhere").symlink_to("absent")
    os.mkfifo(folder / "pipe")


def tree(folder: Path) -> dict[str, tuple[bytes | None, bool]]:
    """Return what is in a folder: contents and whether it can be run, None for folders."""
    return {
        str(path.relative_to(folder)): (
            (None, False) if path.is_dir() else (path.read_bytes(), os.access(path, os.X_OK))
        )
        for path in folder.rglob("*")
        if not path.is_symlink()
    }


def expected(folder: Path) -> dict[str, tuple[bytes | None, bool]]:
    """Return what is in the copy of a folder of `make_tree`."""
    (folder / "pipe").unlink()
    return {**tree(folder), "link": (b"text", False)}


def test_folders_are_copied_while_lines_go_on(host: Host, stub: str, tmp_path: Path) -> None:
    make_tree(tmp_path / "source", 20 << 20)

    async def use() -> None:
        (name,) = (options := reach([host], stub)).hosts
        async with watching(options) as watched:
            agent = await watched.first_agent(name)

            async def copy() -> None:
                carrier = watched.carrier
                await carrier.put(agent, tmp_path / "source", f"{tmp_path}/there/deep/sent")
                await carrier.get(agent, f"{tmp_path}/there/deep/sent", tmp_path / "back" / "again")

            copying = asyncio.create_task(copy())
            number = 0
            while not copying.done():
                await watched.answer(agent, number=(number := number + 1))
                await asyncio.sleep(0.005)
            await copying
            assert number > 10
            watched.send(agent, exit=0)
            await watched.end_of(agent)
            await watched.carrier.get(agent, f"{tmp_path}/there", tmp_path / "later")

    asyncio.run(use())
    there = expected(tmp_path / "source")
    for copy in ("there/deep/sent", "back/again", "later/deep/sent"):
        assert tree(tmp_path / copy) == there


def test_what_cannot_be_copied_is_said_and_leaves_nothing(host: Host, stub: str, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "file").write_text("text")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "kept").write_text("kept")

    async def use() -> None:
        (name,) = (options := reach([host], stub)).hosts
        async with watching(options) as watched:
            agent = await watched.first_agent(name)
            get, put = watched.carrier.get, watched.carrier.put
            for copy, words in (
                (get(agent, f"{tmp_path}/absent", tmp_path / "copy"), "No such file"),
                (get(agent, f"{tmp_path}/source", tmp_path / "taken"), "File exists"),
                (get("nobody", f"{tmp_path}/source", tmp_path / "copy"), "no agent"),
                (put(agent, tmp_path / "absent", f"{tmp_path}/copy"), "No such file"),
                (put(agent, tmp_path / "source", f"{tmp_path}/taken"), "Failure"),
                (put(agent, tmp_path / "source", "/proc/nothing"), name),
            ):
                with pytest.raises(CopyError, match=words) as caught:
                    await copy
                assert not caught.value.away

    asyncio.run(use())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a python", "source", "taken"]
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["kept"]


class Hostile(asyncssh.SFTPServer):
    """Files whose names lead out of the folder that is copied into, and a link to a file outside."""

    names: tuple[bytes, ...] = ()

    async def scandir(self, path: bytes) -> AsyncIterator[asyncssh.SFTPName]:
        for name in (b".", b"..", *self.names):
            mode = {b"folder": stat.S_IFDIR, b"link": stat.S_IFLNK}.get(name, stat.S_IFREG) | 0o755
            yield asyncssh.SFTPName(name, attrs=asyncssh.SFTPAttrs(size=4, permissions=mode))

    def map_path(self, path: bytes) -> bytes:
        return os.fsencode(STUB)  # whatever is asked for is there

    async def stat(self, path: bytes) -> asyncssh.SFTPAttrs:
        return asyncssh.SFTPAttrs(size=4, permissions=stat.S_IFREG | 0o644)


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ((b"../evil",), "something with the name '../evil'"),
        ((b"inner", b"/etc/evil"), "something with the name '/etc/evil'"),
        ((b"..\0",), "something with the name"),
        ((b"",), "something with the name ''"),
        ((b"twice", b"twice"), "File exists"),
        ((b"folder/../../evil",), "something with the name"),
        ((b"folder",), "folders in more than"),  # and so on in it
        ((b"link", b"link/evil"), "something with the name 'link/evil'"),
        ((b"inner",), None),
    ],
)
def test_a_hostile_host_writes_nothing_outside(
    names: tuple[bytes, ...], problem: str | None, tmp_path: Path
) -> None:
    async def use() -> None:
        async with serving(type("Named", (Hostile,), {"names": names})) as (watched, agent):
            getting = watched.carrier.get(agent, "/folder", tmp_path / "in" / "copy")
            if problem is None:
                await getting
            else:
                with pytest.raises(CopyError, match=problem) as caught:
                    await getting
                assert not caught.value.away

    asyncio.run(use())
    found = [path.relative_to(tmp_path) for path in tmp_path.rglob("*")]
    assert found[:1] == [Path("in")]
    assert len(found) == (1 if problem else 3)


def test_a_host_without_sftp(tmp_path: Path) -> None:
    async def use() -> None:
        async with serving(None) as (watched, agent):
            with pytest.raises(CopyError, match="by SFTP: Session request failed") as caught:
                await watched.carrier.get(agent, "/folder", tmp_path / "copy")
            assert not caught.value.away

    asyncio.run(use())
    assert not list(tmp_path.iterdir())


@asynccontextmanager
async def serving(files: Any) -> AsyncIterator[tuple[Watched, str]]:
    """Give a carrier and an agent of a host of this process, with these files."""

    async def process(process: asyncssh.SSHServerProcess) -> None:
        process.stdout.write('{"m": "hello"}\n')
        await process.stdin.read()
        process.exit(0)

    key = asyncssh.generate_private_key("ssh-ed25519")
    given = {"server_host_keys": [key], "process_factory": process, "sftp_factory": files}
    server = await asyncssh.listen("127.0.0.1", 0, server_factory=Open, **given)
    (name,) = (options := Hosts([f"127.0.0.1:{server.get_port()}"], ssh_user="me")).hosts
    async with watching(options) as watched:
        yield watched, await watched.first_agent(name)
    server.close()
    await server.wait_closed()


class Open(asyncssh.SSHServer):
    """Lets everybody in."""

    def begin_auth(self, username: str) -> bool:
        return False


# Hosts that cannot be used


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_a_key_that_is_not_let_in(host: Host, stub: str, tmp_path: Path) -> None:
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(tmp_path / "key")
    options = reach([host], stub, ssh_key=tmp_path / "key")
    error = refusal(options)
    assert (error.field, error.value) == ("hosts", options.hosts[0])
    command = f"`ssh -p {host.port} {host.user}@127.0.0.1`"
    assert error.rule.startswith(f"does not let {host.user} in: {command} has to work without a password")
    assert "ssh_key" in error.rule


def test_a_file_that_is_no_key(host: Host, stub: str, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("nothing of the kind")
    error = refusal(reach([host], stub, ssh_key=tmp_path / "key"))
    assert error.rule.startswith("its key for SSH cannot be read (")


@pytest.mark.parametrize(
    ("has_another", "said"),
    [(False, "its key is not among the known hosts: "), (True, "its key is not the one that is known: ")],
)
def test_a_host_whose_key_is_not_known(
    host: Host, stub: str, tmp_path: Path, has_another: bool, said: str
) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().split()[1]
    known = tmp_path / "known hosts"
    known.write_text(f"[127.0.0.1]:{host.port} ssh-ed25519 {other}\n" * has_another)
    error = refusal(reach([host], stub, ssh_known_hosts=known))
    assert error.field == "hosts"
    assert error.rule.startswith(said)
    assert f"`ssh -p {host.port} {host.user}@127.0.0.1`" in error.rule


def test_hosts_none_of_which_can_be_used() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute, socket.create_server(("127.0.0.1", 0)) as rude:

        def hang_up() -> None:
            rude.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        ports = [free_port(), rude.getsockname()[1], mute.getsockname()[1]]
        hosts = ["nowhere.invalid", *(f"127.0.0.1:{port}" for port in ports)]
        error = refusal(Hosts(hosts, ssh_user="me", ssh_timeout=2))
        thread.join()
    assert (error.field, error.value) == ("hosts", ",".join(hosts))
    assert error.rule.startswith("none of them can be used: nowhere.invalid: has no address")
    for host, port in zip(hosts[1:], ports, strict=True):
        said = f"{host}: no SSH server answers on port {port}; does `ssh -p {port} me@127.0.0.1` work?"
        assert said in error.rule


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([f'exec {sys.executable} -S "$@"'], "No module named 'hbsim'"),
        (["export PYTHONPATH={folder}", f'exec {sys.executable} -S "$@"'], "No module named 'hbsim."),
        (["echo Unknown option: -P >&2; exit 2"], "Unknown option: -P"),
        (["exec /nowhere/python"], "not found"),
    ],
    ids=["no hbsim", "another version", "an old Python", "no Python"],
)
def test_a_python_that_will_not_do(host: Host, tmp_path: Path, lines: list[str], said: str) -> None:
    (tmp_path / "hbsim").mkdir()
    (tmp_path / "hbsim" / "__init__.py").write_text("")
    python = script(tmp_path, *(line.format(folder=tmp_path) for line in lines))
    error = refusal(reach([host], python))
    assert error.rule.startswith(f"{python} there cannot run this version of hbsim (")
    assert said in error.rule
    assert "give ssh_python" in error.rule


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["echo out of order >&2; exit 3"], "exit code 3: out of order"),
        (["exit 3"], "exit code 3"),
        (["kill -9 $$"], "signal KILL"),
    ],
)
def test_an_agent_that_ends_at_once(host: Host, tmp_path: Path, lines: list[str], said: str) -> None:
    error = refusal(reach([host], script(tmp_path, *lines)))
    assert error.rule == f"hbsim there has ended at once: {said}"


def test_an_agent_that_says_nothing(host: Host, tmp_path: Path) -> None:
    error = refusal(reach([host], script(tmp_path, "cat > /dev/null"), ssh_timeout=1.5))
    assert error.rule == "hbsim there has not started within 1.5 s; more time is ssh_timeout"


def test_a_host_that_cannot_be_used_while_another_can(hosts: list[Host], tmp_path: Path) -> None:
    """It is tried again, unless somebody has to do something there first."""
    lines = [f"if [ ${{SSH_CONNECTION##* }} = {hosts[0].port} ]; then", "  STEP", "fi"]

    async def use(step: str, is_final: bool, said: str) -> None:
        python = script(
            tmp_path, *(line.replace("STEP", step) for line in lines), f"exec {sys.executable} {STUB}"
        )
        options = reach(hosts, python)
        async with watching(options) as watched:
            (failed, *_) = await watched.until(lambda _: watched.failed())
            assert failed == HostFailed(options.hosts[0], options.hosts[0], failed.reason, is_final)
            assert said in failed.reason
            await watched.answer(await watched.first_agent(options.hosts[1]), number=1)
            if not is_final:
                (tmp_path / "mended").touch()
                await watched.answer(await watched.first_agent(options.hosts[0]), number=2)

    asyncio.run(
        use(f"exec {sys.executable} -S -P -m hbsim.nothing", True, "cannot run this version of hbsim")
    )
    asyncio.run(use(f"[ -e {tmp_path}/mended ] || exit 4", False, "exit code 4"))


# How hosts are reached


def test_the_configuration_of_openssh_holds(
    host: Host, stub: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a host is reached through another; nothing of what would open ports or keys does."""
    config = f"""\
        Host jump
            HostName 127.0.0.1
            Port {host.port}
            IdentityFile {host.key}
            HostKeyAlias [127.0.0.1]:{host.port}
        Host lab1
            HostName 127.0.0.1
            HostKeyAlias [127.0.0.1]:{host.port}
            Port {host.port}
            ProxyJump jump
        Host *
            User {host.user}
            IdentityFile {host.key}
            UserKnownHostsFile {host.known_hosts}
            ForwardAgent yes
            RequestTTY force
            RemoteCommand echo no
        """
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text(textwrap.dedent(config))
    (tmp_path / "source").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))

    async def use() -> None:
        async with watching(Hosts(["lab1"], ssh_python=stub)) as watched:
            agent = await watched.first_agent("lab1")
            await watched.answer(agent, number=1)
            await watched.carrier.put(agent, tmp_path / "source", f"{tmp_path}/sent")
            assert (tmp_path / "sent").is_dir()

    asyncio.run(use())


def test_any_key_will_do_on_the_loopback_and_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "known").write_text("")

    def known(name: str, **more: Any) -> Any:
        given = SshHost(name, Hosts([name], **more))._given
        return given.get("known_hosts", "as configured")

    assert known("localhost") is None
    assert known("me@127.0.0.1:22") is None
    assert known("[::1]:22") is None
    assert known("gpu1") == "as configured"
    assert known("localhost", ssh_known_hosts=tmp_path / "known") == str(tmp_path / "known")


def test_tasks_that_go_on_after_they_were_cancelled_end_all_the_same() -> None:
    """As `asyncio.wait_for` of Python 3.11 has it, where a result comes at the same moment."""
    cancelled = 0

    async def restarts() -> None:
        nonlocal cancelled
        while cancelled < 2:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled += 1

    async def run() -> None:
        task = asyncio.create_task(restarts())
        await asyncio.sleep(0)
        await asyncio.wait_for(cancel_tasks([task]), 30)

    asyncio.run(run())
    assert cancelled == 2
