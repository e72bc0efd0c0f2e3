"""The carrier by SSH, with real SSH servers on ports of the loopback as hosts."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import asyncssh
import pytest

from hbsim.errors import ParameterError
from hbsim.executors.remote import ssh, ssh_host
from hbsim.executors.remote.carrier import AgentEnded, CopyError, Event, HostFailed, Joined, Line
from hbsim.executors.remote.options import Hosts
from hbsim.executors.remote.ssh import SshCarrier
from tests.doubles.sshd import Host, sshd

PATIENCE = 60.0  # seconds, of a machine that is busy
ROOT = Path(__file__).parents[2]
STUB = ROOT / "tests" / "doubles" / "stub_agent.py"
CONFIG = json.dumps({"session": "s", "lease": 9})

T = TypeVar("T")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Host]]:
    """Give two hosts that take the same key."""
    with (
        sshd(tmp_path_factory.mktemp("one")) as one,
        sshd(tmp_path_factory.mktemp("other"), key=one.key) as other,
    ):
        yield [one, other]


@pytest.fixture
def hosts(servers: list[Host]) -> Iterator[list[Host]]:
    """Give the hosts; a test leaves nothing running there."""
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
        self.events: list[Event] = []

    async def until(self, found: Callable[[list[Event]], T]) -> T:
        """Wait until something that is not empty is found in the events; return it."""
        async with asyncio.timeout(PATIENCE):
            while not (result := found(self.events)):
                self.events.append(await self.carrier.events.get())
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
        lines = [event for event in self.events if isinstance(event, Line) and event.agent == agent]
        return [json.loads(line.text) for line in lines]

    def send(self, agent: str, **order: Any) -> None:
        self.carrier.send(agent, json.dumps(order))

    async def answer(self, agent: str, **order: Any) -> None:
        """Send an order, and wait for its echo."""
        self.send(agent, **order)
        await self.until(lambda _: {"m": "echo", **order} in self.texts(agent))

    async def end_of(self, agent: str) -> AgentEnded:
        def ended(events: list[Event]) -> list[AgentEnded]:
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


def test_what_is_no_message_is_noted_once(host: Host, stub: str) -> None:
    async def use() -> None:
        (name,) = (options := reach([host], stub)).hosts
        async with watching(options) as watched:
            agent = await watched.first_agent(name)
            for text in ("\x1b[2Jno JSON", "[1]", '{"no": "kind"}', "[" * 100_000, "\udcff\x00"):
                watched.send(agent, print=text)
            await watched.answer(agent, number=1)
            hello, note, _ = watched.texts(agent)
            assert hello["m"] == "hello"
            assert note == {"m": "note", "text": f"{name} sent a line that is no message: [2Jno JSON"}

    asyncio.run(use())


def test_a_line_without_an_end_ends_the_agent(host: Host, stub: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh_host, "LONGEST", 1 << 20)

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
            pid = watched.texts(third)[0]["pid"] if watched.texts(third) else None
            if pid is None:
                pid = (await watched.until(lambda _: watched.texts(third)))[0]["pid"]
            os.kill(pid, signal.SIGKILL)
            assert await watched.end_of(third) == AgentEnded(third, "signal KILL", clean=False)
            watched.send(third, number=1)  # is dropped
            await watched.answer(await watched.next_agent(name), number=2)

    asyncio.run(use())


def test_a_host_that_was_killed_joins_again(hosts: list[Host], stub: str, tmp_path: Path) -> None:
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
            reasons = [(failed.host, failed.reason) for failed in watched.failed()]
            assert len(set(reasons)) == len(reasons)  # each is said once
            assert {host for host, _ in reasons} == {lost}

    asyncio.run(use())


CONTROLLER = """
import asyncio
from hbsim.executors.remote.options import Hosts
from hbsim.executors.remote.ssh import SshCarrier

async def main():
    carrier = SshCarrier(Hosts({hosts!r}, ssh_key={key!r}, ssh_python={python!r}))
    await carrier.open({config!r})
    print("up", flush=True)
    await asyncio.sleep(1000)

asyncio.run(main())
"""


def test_nothing_is_left_when_the_controller_is_killed(hosts: list[Host], stub: str) -> None:
    options = reach(hosts, stub)
    given = {"hosts": options.hosts, "key": str(options.ssh_key), "python": stub, "config": CONFIG}
    command = [sys.executable, "-c", CONTROLLER.format(**given)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        assert hosts[0].processes() or hosts[1].processes()
        process.kill()
    for host in hosts:
        assert not host.wait_until_empty(15)


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
