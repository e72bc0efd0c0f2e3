"""A link to a scheduler with a plugin in its workers, with agents that only talk; a network that breaks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any

from hbsim.executors.dask.link import Link, LinkError
from tests.doubles.fake_agent import FakeAgentPlugin, ForgottenPlugin

SESSION, STUDY = "0123456789abcdef", "fedcba9876543210"
NAME = f"hbsim-{SESSION}"
PATIENCE = 30.0


def config(**more: object) -> str:
    given = {"session": SESSION, "study": STUDY, "lease": 30.0, "storage": "pull", "trials": "/nowhere"}
    return json.dumps({**given, "probe": SESSION, **more})


@dataclass
class Linked:
    """A link, and what came by it."""

    link: Link
    seen: list[tuple[Any, ...]] = field(default_factory=list)

    async def until(self, wanted: Callable[[tuple[Any, ...]], object], what: str = "it") -> tuple[Any, ...]:
        """Return the next event that is wanted; the others are in `seen`."""
        async with asyncio.timeout(PATIENCE):
            while True:
                event = await self.link.events.get()
                self.seen.append(event)
                if wanted(event):
                    return event

    async def kind(self, kind: str) -> tuple[Any, ...]:
        return await self.until(lambda event: event[0] == kind, kind)

    async def hello(self, *old: str) -> tuple[str, str, dict[str, Any]]:
        """Return the next agent that says hello and is not an `old` one, its worker, and what it said."""
        _, event = await self.until(
            lambda event: (
                event[0] == "event" and '"hello"' in event[1].get("line", "") and event[1]["agent"] not in old
            )
        )
        return event["agent"], event["worker"], json.loads(event["line"])

    async def agent(self, worker: str) -> str:
        """Return the agent of a worker, once it runs: what it said before may be lost.

        Meanwhile the worker hears of its controller, so that it does not take the study for gone.
        """
        async with asyncio.timeout(PATIENCE):
            while not (agent := (await self.ask(worker, "wake"))["agent"]):
                await asyncio.sleep(0.02)
        return str(agent)

    async def ended(self, *agents: str) -> dict[str, Any]:
        """Return the next end of one of these agents; of those before there may be late news."""
        _, event = await self.until(
            lambda event: event[0] == "event" and "ended" in event[1] and event[1]["agent"] in agents
        )
        return event

    async def say(self, agent: str, *lines: str) -> dict[str, Any]:
        """Tell an agent something; its id begins with the address of its worker."""
        return await self.ask(agent.rpartition("-")[0], "lines", agent=agent, lines=list(lines))

    async def line(self, agent: str) -> dict[str, Any]:
        """Return the next that an agent says, but for its hello."""
        while True:
            _, event = await self.until(lambda event: event[0] == "event" and event[1]["agent"] == agent)
            said = json.loads(event["line"])
            if "hello" not in said:
                return said

    async def ask(self, worker: str, op: str, **given: Any) -> dict[str, Any]:
        return await self.link.call(worker, NAME, op_=op, timeout=PATIENCE, **given)


@asynccontextmanager
async def linked(address: str, plugin: type = FakeAgentPlugin, **more: object) -> AsyncIterator[Linked]:
    """Give a link, with the plugin registered; afterwards it is unregistered."""
    link = await Link.open(address, name=NAME)
    try:
        await link.subscribe(NAME)
        assert await link.register(plugin(config(**more))) == {}
        yield Linked(link)
        # It may have gone by itself.
        with suppress(LinkError) if plugin is ForgottenPlugin else nullcontext():
            await link.unregister(NAME)
    finally:
        await link.close()


class Network:
    """Passes on what two sides say to each other, until it is cut."""

    def __init__(self, address: str) -> None:
        self._host, self._port = address.rpartition("/")[2].rsplit(":", 1)
        self._writers: set[asyncio.StreamWriter] = set()
        self._cut = False

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        """Give the address of this side."""
        server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        try:
            yield f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            self.cut()
            await asyncio.sleep(0.05)

    def cut(self) -> None:
        self._cut = True
        for writer in self._writers:
            writer.transport.abort()

    def mend(self) -> None:
        self._cut = False

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._cut:
            writer.transport.abort()
            return
        there_reader, there_writer = await asyncio.open_connection(self._host, self._port)
        self._writers |= {writer, there_writer}
        await asyncio.gather(_copy(reader, there_writer), _copy(there_reader, writer))
        self._writers -= {writer, there_writer}


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.transport.abort()
