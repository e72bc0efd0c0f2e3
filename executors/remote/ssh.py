"""The carrier by SSH: an agent on each host, its lines on a channel, and files by SFTP."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

from hbsim.errors import ParameterError
from hbsim.executors.remote import ssh_files
from hbsim.executors.remote.carrier import AgentEnded, CopyError, Event, HostFailed, Joined, Line
from hbsim.executors.remote.lines import dump
from hbsim.executors.remote.options import Hosts
from hbsim.executors.remote.ssh_host import HostError, Process, SshHost

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
        self._processes: dict[str, Process] = {}  # by agent, of those that run
        self._host_of: dict[str, SshHost] = {}  # by agent, of all that have ever been there
        self._errors: dict[str, HostError] = {}  # the first of each host
        self._tried = asyncio.Event()  # one host has an agent, or all have failed
        self._tasks: dict[SshHost, asyncio.Task[None]] = {}

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
            rule = "need the package asyncssh: pip install asyncssh"
            raise ParameterError("hosts", ",".join(names), rule) from None
        self._config = json.loads(config)
        self._say(f"connecting to {', '.join(names) if len(names) < 6 else f'{len(names)} hosts'} by SSH")
        self._tasks = {host: asyncio.create_task(self._keep(host)) for host in self._hosts}
        try:
            await self._tried.wait()
        except BaseException:
            await self.close()
            raise
        if self._host_of:
            return len(self._hosts)
        await self.close()
        if len(names) == 1:
            raise self._errors[names[0]]
        reasons = "; ".join(f"{name}: {self._errors[name].rule}" for name in names)
        raise ParameterError("hosts", ",".join(names), f"none of them can be used: {reasons}")

    def send(self, agent: str, line: str) -> None:
        """Send a line to an agent, without waiting. It is dropped if the agent has ended."""
        if agent in self._processes:
            self._processes[agent].write(line)

    async def get(self, agent: str, source: str, target: Path) -> None:
        """Copy a folder from an agent's host into a new folder of this machine."""
        async with self._host(agent).files() as client:
            await ssh_files.get(client, source, target)

    async def put(self, agent: str, source: Path, target: str) -> None:
        """Copy a folder of this machine into a new folder on an agent's host."""
        async with self._host(agent).files() as client:
            await ssh_files.put(client, source, target)

    async def close(self) -> None:
        """End all agents, by the end of their stdin; after a few seconds by the end of their channels."""
        for process in self._processes.values():
            process.end_of_file()
        until = time.monotonic() + CLOSING
        while self._processes and time.monotonic() < until:
            await asyncio.sleep(0.02)
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        for host in self._hosts:
            host.drop()
        await asyncio.sleep(0.01)  # only then asyncssh's sockets are closed, also of one that was refused

    async def _keep(self, host: SshHost) -> None:
        """Have an agent run on a host."""
        pause = SOONEST
        while True:
            began = time.monotonic()
            try:
                await self._run_agent(host)
                if time.monotonic() - began > LIVED:
                    pause = SOONEST
            except HostError as error:
                final = error.final and host not in self._host_of.values()  # else a disk is missing, say
                self.events.put_nowait(HostFailed(host.name, host.name, error.rule, final))
                self._errors.setdefault(host.name, error)
                if len(self._errors) == len(self._hosts):
                    self._tried.set()
                if final:
                    return
            await asyncio.sleep(pause)
            pause = min(2 * pause, LATEST)

    async def _run_agent(self, host: SshHost) -> None:
        """Run an agent until it has ended; it joins when it has said something.

        Raises
        ------
        HostError
            It has not joined.
        """
        name = secrets.token_hex(8)
        process = await host.start(f"-P -m {self._module}")
        try:
            process.write(dump({**self._config, "agent": name}))
            messages = _messages(process)
            try:
                async with asyncio.timeout(host.start_limit):
                    hello = await anext(messages, None)
            except TimeoutError:
                host.drop()
                rule = f"hbsim there has not started within {host.start_limit:g} s; more time is ssh_timeout"
                raise HostError(host.name, rule) from None
            if hello is None:
                raise host.no_start(process, await process.ending())
            self._processes[name], self._host_of[name] = process, host
            self._tried.set()
            self.events.put_nowait(Joined(name, host.name, host.name))
            self.events.put_nowait(Line(name, hello))
            async for text in messages:
                self.events.put_nowait(Line(name, text))
            self.events.put_nowait(AgentEnded(name, await process.ending(), clean=process.status == 0))
        finally:
            self._processes.pop(name, None)
            process.close()

    def _host(self, agent: str) -> SshHost:
        if agent not in self._host_of:
            raise CopyError("no agent of this name has joined")
        return self._host_of[agent]


async def _messages(process: Process) -> AsyncIterator[str]:
    """Give the lines that are messages; others are of a shell's start-up files, say."""
    async for line in process.lines():
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict) and isinstance(found.get("m"), str):
            yield line.removesuffix("\n")
