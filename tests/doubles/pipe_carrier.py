"""A carrier in one process: its hosts are real agents on this machine, and their lines go through pipes."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from hbsim.executors.remote.protocol import (
    AgentEnded,
    AgentLine,
    CarrierEvent,
    CopyError,
    HostFailed,
    Joined,
    Lost,
)

LIMIT = 1 << 26  # bytes of a line
AGAIN = 0.3  # seconds until another agent is started


class PipeCarrier:
    """Runs an agent for each host, each with a folder of its own, and says that each is a machine of its own.

    Parameters
    ----------
    folder : Path
        Holds the hosts' folders.
    hosts : str
        A letter a host; if there are none, any number may come.

    Attributes
    ----------
    pids : dict of str to int
        The process of each host's agent that is there.
    slow : set of str
        Hosts of which nothing is heard yet.
    gone : set of str
        Hosts on which no agent is started, and that cannot be reached for copies.
    before_copy : callable
        Given "get" or "put" and the host before anything is copied; may raise.
    copies : list of (str, str)
        The copies that were begun: "get" or "put", and the host.
    closed : list of str
        The orders to close that agents were sent.
    hello : dict of str to dict
        What hosts say of themselves in place of what is true.
    """

    def __init__(self, folder: Path, hosts: str = "ab", trusted: bool = True) -> None:
        self.events: asyncio.Queue[CarrierEvent] = asyncio.Queue()
        self.trusted = trusted
        self.pids: dict[str, int] = {}
        self.slow: set[str] = set()
        self.gone: set[str] = set()
        self.before_copy: Callable[[str, str], object] = lambda kind, host: None
        self.copies: list[tuple[str, str]] = []
        self.closed: list[str] = []
        self.hello: dict[str, dict[str, object]] = {}
        self._folder, self._hosts = folder, hosts
        self._processes: dict[str, Process] = {}
        self._host_of: dict[str, str] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._config = ""
        self._loop: asyncio.AbstractEventLoop | None = None

    # What tests do, in another thread

    def lose(self) -> None:
        """Have no host be reached any more."""
        self._call(self._lose)

    def add(self, hosts: str) -> None:
        """Have hosts come."""
        self._call(self._add, hosts)

    def _call(self, function: Callable[..., object], *given: object) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(function, *given)

    def _add(self, hosts: str) -> None:
        self._tasks += [asyncio.create_task(self._keep(host)) for host in hosts]

    def _lose(self) -> None:
        for agent in self._processes:
            self.events.put_nowait(AgentEnded(agent, "it does not answer", False))
        self.events.put_nowait(Lost("it does not answer"))

    # What the controller does

    async def open(self, config: str) -> int | None:
        self._config, self._loop = config, asyncio.get_running_loop()
        self._add(self._hosts)
        return len(self._hosts) or None

    def send(self, agent: str, line: str) -> None:
        if '"o":"close"' in line:
            self.closed.append(line)
        process = self._processes.get(agent)
        if process is not None and process.stdin is not None:
            with suppress(ConnectionError):
                process.stdin.write(line.encode() + b"\n")

    async def get(self, agent: str, source: str, target: Path) -> None:
        await self._copy("get", agent, Path(source), target)

    async def put(self, agent: str, source: Path, target: str) -> None:
        await self._copy("put", agent, source, Path(target))

    async def close(self) -> None:
        for process in self._processes.values():
            if process.stdin is not None:
                process.stdin.close()
        ended = [asyncio.create_task(process.wait()) for process in self._processes.values()]
        if ended:
            await asyncio.wait(ended, timeout=30)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _copy(self, kind: str, agent: str, source: Path, target: Path) -> None:
        host = self._host_of[agent]
        self.copies.append((kind, host))
        try:
            await asyncio.to_thread(self.before_copy, kind, host)
            if host in self.gone:
                raise CopyError(f"{host} cannot be reached", away=True)
            await asyncio.to_thread(shutil.copytree, source, target)
        except OSError as error:
            shutil.rmtree(target, ignore_errors=True)
            raise CopyError(error.strerror or str(error)) from error

    async def _keep(self, host: str) -> None:
        number = 0
        while host in self.slow:
            await asyncio.sleep(0.02)
        while True:
            if host in self.gone:
                self.events.put_nowait(HostFailed(host, host, "it is switched off"))
                while host in self.gone:
                    await asyncio.sleep(0.02)
            number += 1
            await self._run(f"{host}-{number}", host)
            await asyncio.sleep(AGAIN)

    async def _run(self, agent: str, host: str) -> None:
        work = self._folder / f"host-{host}"
        work.mkdir(exist_ok=True)
        command = (sys.executable, "-P", "-m", "hbsim.executors.remote.agent")
        env = {**os.environ, "HBSIM_WORK": str(work)}
        with open(self._folder / f"{agent}.err", "wb") as errors:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=PIPE, stdout=PIPE, stderr=errors, env=env, limit=LIMIT, start_new_session=True
            )
        assert process.stdin is not None
        assert process.stdout is not None
        self._processes[agent], self._host_of[agent], self.pids[host] = process, host, process.pid
        process.stdin.write(json.dumps({**json.loads(self._config), "agent": agent}).encode() + b"\n")
        self.events.put_nowait(Joined(agent, host, host))
        with suppress(ConnectionError):
            while line := await process.stdout.readline():
                self.events.put_nowait(AgentLine(agent, self._named(line.decode().rstrip("\n"), host)))
        code = await process.wait()
        del self._processes[agent], self.pids[host]
        self.events.put_nowait(AgentEnded(agent, f"exit code {code}", code == 0))

    def _named(self, line: str, host: str) -> str:
        """Let a host be a machine of its own."""
        if not line.startswith('{"m":"hello"'):
            return line
        body = {**json.loads(line), "boot": host, **self.hello.get(host, {})}
        return json.dumps(body, separators=(",", ":"))
