"""The carrier by SSH: an agent on each host, its lines on a channel, and files by SFTP."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from hbsim.errors import ParameterError
from hbsim.executors.remote import ssh_files
from hbsim.executors.remote.carrier import AgentEnded, CopyError, Event, HostFailed, Joined, Line
from hbsim.executors.remote.lines import dump
from hbsim.executors.remote.options import Hosts
from hbsim.executors.remote.ssh_host import HostError, Process, SshHost, brief

__all__ = ["SshCarrier"]

AGENT: Final = "hbsim.executors.remote.agent"
CLOSING: Final = 5.0  # seconds for agents to end what they run
SOONEST, LATEST = 0.5, 30.0  # seconds until a host is tried again
LIVED: Final = 10.0  # seconds that an agent has to run for its host to be tried again at once


class SshCarrier:
    """Runs an agent on each host as long as it is open, whatever ends agents and connections meanwhile.

    Parameters
    ----------
    options : Hosts
        The hosts, and how they are reached.
    say : callable
        Takes lines for people.
    module : str
        The agent's, which each host's Python runs.

    Attributes
    ----------
    events, trusted
        As in `hbsim.executors.remote.carrier.Carrier`.
    """

    def __init__(
        self, options: Hosts, say: Callable[[str], None] = lambda line: None, module: str = AGENT
    ) -> None:
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self.trusted = True
        self._say = say
        self._module = module
        self._hosts = [SshHost(name, options) for name in options.hosts]
        self._config: dict[str, Any] = {}
        self._live: dict[str, _Agent] = {}
        self._host_of: dict[str, SshHost] = {}  # of all agents that have ever been there
        self._tasks: list[asyncio.Task[None]] = []
        self._is_closing = False

    async def open(self, config: str) -> int:
        """Start agents; return the number of hosts as soon as one of them has an agent that talks.

        Raises
        ------
        ParameterError
            asyncssh is missing, or no host can be used.
        """
        names = [host.name for host in self._hosts]
        try:
            import asyncssh  # noqa: F401 (it takes a while)
        except ImportError:
            raise ParameterError(
                "hosts", ",".join(names), "need the package asyncssh: pip install asyncssh"
            ) from None
        self._config = json.loads(config)
        self._say(f"connecting to {', '.join(names) if len(names) < 6 else f'{len(names)} hosts'} by SSH")
        firsts = [asyncio.get_running_loop().create_future() for _ in self._hosts]
        self._tasks = [
            asyncio.create_task(self._keep(host, first))
            for host, first in zip(self._hosts, firsts, strict=True)
        ]
        try:
            for first in asyncio.as_completed([*firsts]):
                if await first is None:
                    return len(self._hosts)
        except BaseException:
            await self.close()
            raise
        await self.close()
        errors: list[HostError] = [first.result() for first in firsts]
        if len(errors) == 1:
            raise errors[0]
        reasons = "; ".join(
            f"{host.name}: {error.reason}" for host, error in zip(self._hosts, errors, strict=True)
        )
        raise ParameterError("hosts", ",".join(names), f"none of them can be used: {reasons}")

    def send(self, agent: str, line: str) -> None:
        """Send a line to an agent, without waiting. It is dropped if the agent has ended."""
        if agent in self._live:
            self._live[agent].outbox.put_nowait(line)

    async def get(self, agent: str, source: str, target: Path) -> None:
        """Copy a folder from an agent's host into a new folder of this machine."""
        async with self._copying(agent) as client:
            await ssh_files.get(client, source, target)

    async def put(self, agent: str, source: Path, target: str) -> None:
        """Copy a folder of this machine into a new folder on an agent's host."""
        async with self._copying(agent) as client:
            await ssh_files.put(client, source, target)

    async def close(self) -> None:
        """End all agents, by the end of their stdin; after a few seconds by the end of their channels."""
        self._is_closing = True
        for agent in self._live.values():
            agent.outbox.put_nowait(None)
        for task in set(self._tasks) - {agent.task for agent in self._live.values()}:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSING)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(host.close() for host in self._hosts))

    async def _keep(self, host: SshHost, first: asyncio.Future[HostError | None]) -> None:
        """Have an agent run on a host; set `first` when it is known whether the first one does."""
        pause, has_joined = SOONEST, False
        while not self._is_closing:
            began = time.monotonic()
            try:
                await self._run_agent(host, first)
                has_joined = True
                if time.monotonic() - began > LIVED:
                    pause = SOONEST
            except HostError as error:
                final = error.final and not has_joined  # else its disks may not be there yet, say
                self.events.put_nowait(HostFailed(host.name, host.name, error.reason, final))
                if not first.done():
                    first.set_result(error)
                if final:
                    return
            await asyncio.sleep(pause)
            pause = min(2 * pause, LATEST)

    async def _run_agent(self, host: SshHost, first: asyncio.Future[HostError | None]) -> None:
        """Run an agent until it has ended; it joins when it has said something.

        Raises
        ------
        HostError
            It has not joined.
        """
        name = secrets.token_hex(8)
        process = await host.start(f"-P -m {self._module}")
        writer: asyncio.Task[None] | None = None
        try:
            messages = _messages(host, process)
            try:
                async with asyncio.timeout(host.start_limit):
                    await process.write(f"{dump({**self._config, 'agent': name})}\n".encode())
                async with asyncio.timeout(host.start_limit):
                    hello = await anext(messages, None)
            except TimeoutError:
                host.drop()
                raise host.too_slow("hbsim there has not started", host.start_limit) from None
            if hello is None:
                raise host.no_start(process, await process.ending())
            agent = self._live[name] = _Agent()
            self._host_of[name] = host
            writer = asyncio.create_task(_write(process, agent.outbox))
            self.events.put_nowait(Joined(name, host.name, host.name))
            self.events.put_nowait(Line(name, hello))
            if not first.done():
                first.set_result(None)
            try:
                async for text in messages:
                    self.events.put_nowait(Line(name, text))
                ended = AgentEnded(name, await process.ending(), clean=process.status == 0)
            except HostError as error:
                ended = AgentEnded(name, error.reason, clean=False)
            self.events.put_nowait(ended)
        finally:
            self._live.pop(name, None)
            if writer is not None:
                writer.cancel()
            process.close()

    @asynccontextmanager
    async def _copying(self, agent: str) -> AsyncIterator[Any]:
        """Give an SFTP client of an agent's host; what fails is a `CopyError`."""
        host = self._host_of.get(agent)
        if host is None:
            raise CopyError("no agent of this name has joined")
        try:
            async with host.files() as client:
                yield client
        except HostError as error:
            raise CopyError(f"{host.name}: {error.reason}", away=True) from None
        except CopyError:
            raise
        except Exception as error:  # what a server sends can make asyncssh raise anything
            raise CopyError(f"{host.name}: {brief(error)}", away=host.is_lost(error)) from None


class _Agent:
    """An agent that has joined: what it is to be sent, None being the end, and the task that runs it."""

    def __init__(self) -> None:
        self.outbox: asyncio.Queue[str | None] = asyncio.Queue()
        self.task = asyncio.current_task()


async def _write(process: Process, outbox: asyncio.Queue[str | None]) -> None:
    """Write lines to a process as fast as it takes them."""
    lines: list[str | None] = []
    while None not in lines:
        lines = [await outbox.get()]
        while not outbox.empty():
            lines.append(outbox.get_nowait())
        await process.write("".join(f"{line}\n" for line in lines if line is not None).encode())
    process.end_of_file()


async def _messages(host: SshHost, process: Process) -> AsyncIterator[str]:
    """Give the lines that are messages.

    Those before the first one are of a shell's start-up files, say; one that comes later is a note, once.
    """
    has_begun = has_noted = False
    async for line in process.lines():
        text = line.decode(errors="replace")
        if _is_message(text):
            has_begun = True
            yield text
        elif has_begun and not has_noted:
            has_noted = True
            yield dump({"m": "note", "text": f"{host.name} sent a line that is no message: {brief(text)}"})


def _is_message(text: str) -> bool:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and isinstance(found.get("m"), str)
