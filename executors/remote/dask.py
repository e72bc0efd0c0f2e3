"""A carrier over a Dask cluster: an agent beside each Dask worker, lines and files through a Dask client.

`distributed` is an extra, and is imported only when a cluster is used.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from hbsim.errors import ParameterError
from hbsim.executors.remote.carrier import AgentEnded, CopyError, Down, Event, HostFailed, Joined, Line, Up
from hbsim.executors.remote.dask_cluster import (
    PATIENCE,
    brief,
    check_scheduler,
    client_of,
    is_trusted,
    logs_off_terminal,
    scheduler_here,
    security_of,
)

if TYPE_CHECKING:
    from hbsim.executors.remote.options import Dask

__all__ = ["DaskCarrier"]

COPY: Final = 60.0  # seconds for a part of a copy,
INSTALL: Final = 60.0  # for a worker to import hbsim,
AFTER: Final = 5.0  # for a worker to say what has happened while the scheduler was away,
ENDING: Final = 15.0  # for all agents to end
RETRY: Final = 0.5  # seconds until something that failed is tried again
LOOK: Final = 0.2  # seconds between two looks at the connection,
PING: Final = 2.0  # and between two questions whether the scheduler answers
IDLE: Final = 1.0  # seconds until a worker is asked although there is nothing to send
BATCH: Final = 1 << 20  # characters of lines that travel at once


class _Away(Exception):
    """A worker or the scheduler did not answer."""


@dataclass(slots=True)
class _Worker:
    """A Dask worker as this side knows it.

    Attributes
    ----------
    place, host : str
        As in `Joined`; as long as the host is unknown, that of the address.
    keeper : str
        The id of its `AgentKeeper`.
    heard : int
        The number of the last event that was heard.
    agent : str
        The agent that runs, if any.
    outbox : deque of str
        Lines for the agent that it has not taken.
    taken : int
        How many it has taken.
    removed : bool
        Whether the scheduler has let it go. It may still hand its trials back.
    """

    place: str
    host: str
    keeper: str = ""
    heard: int = 0
    agent: str = ""
    outbox: deque[str] = field(default_factory=deque)
    taken: int = 0
    removed: bool = False
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class DaskCarrier:
    """Starts an agent beside each worker of a Dask cluster, and carries lines and files; a `Carrier`.

    Parameters
    ----------
    options : Dask
        Which cluster.
    say : callable
        Given lines for people on what takes a while.
    """

    def __init__(self, options: Dask, say: Callable[[str], None]) -> None:
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self.trusted = is_trusted(options.scheduler_address)
        self._options = options
        self._address = options.scheduler_address or ""
        self._config = self._name = ""
        self._security: Any = None
        self._client: Any = None
        self._up, self._echo = asyncio.Event(), asyncio.Event()
        self._workers: dict[str, _Worker] = {}
        self._left: set[str] = set()  # workers that have gone while it was asked which there are
        self._places: dict[str, str] = {}  # by agent, also of those that have ended
        self._task: asyncio.Task[None] | None = None
        self._stack = AsyncExitStack()

    async def open(self, config: str) -> int | None:
        """Connect to the scheduler, and begin to start agents; as `Carrier.open`."""
        self._config, self._name = config, f"hbsim-{json.loads(config)['session']}"
        given = self._options.scheduler_address
        self._security = security_of(self._options)
        try:
            self._stack.enter_context(logs_off_terminal())
            if given is None:
                self._address = await self._stack.enter_async_context(scheduler_here())
            await self._connect()
        except BaseException:
            await self.close()
            raise
        self._task = asyncio.get_running_loop().create_task(self._follow())
        return None if given else 1

    def send(self, agent: str, line: str) -> None:
        """Send a line to an agent, as `Carrier.send`."""
        worker = self._workers.get(self._places.get(agent, ""))
        if worker is not None and worker.agent == agent:
            worker.outbox.append(line)
            worker.wake.set()

    async def get(self, agent: str, source: str, target: Path) -> None:
        """Copy a folder from an agent's host, as `Carrier.get`."""
        from hbsim.executors.remote import dask_plugin as plugin

        found = await self._ask_for(agent, "list", path=source)
        files: dict[str, int] = dict(found["files"])
        plugin.check_names([*found["folders"], *files])
        made = False
        try:
            await asyncio.to_thread(plugin.make_folder, str(target), found["folders"])
            made = True
            for parts in plugin.divide(files):
                data = (await self._ask_for(agent, "read", path=source, parts=parts))["data"]
                await asyncio.to_thread(plugin.write_files, str(target), plugin.fill(parts, data))
        except BaseException as error:
            if made:
                await asyncio.to_thread(shutil.rmtree, target, ignore_errors=True)
            if isinstance(error, OSError):
                raise CopyError(f"{target} cannot be written: {error.strerror or error}") from None
            raise

    async def put(self, agent: str, source: Path, target: str) -> None:
        """Copy a folder to an agent's host, as `Carrier.put`."""
        from hbsim.executors.remote import dask_plugin as plugin

        try:
            found = await asyncio.to_thread(plugin.list_files, str(source))
            await self._ask_for(agent, "make", path=target, folders=found["folders"])
            for parts in plugin.divide(dict(found["files"])):
                read = await asyncio.to_thread(plugin.read_files, str(source), parts)
                await self._ask_for(agent, "write", path=target, parts=plugin.fill(parts, read["data"]))
        except OSError as error:
            raise CopyError(f"{source} cannot be read: {error.strerror or error}") from None

    async def close(self) -> None:
        """End all agents, and part from the cluster, as `Carrier.close`."""
        workers, self._workers = list(self._workers.values()), {}
        tasks = [task for task in (self._task, *(worker.task for worker in workers)) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        ends = (self._ask(worker.place, ENDING, do="close") for worker in workers if worker.keeper)
        await asyncio.gather(*ends, return_exceptions=True)
        await self._part()
        await self._stack.aclose()

    # The connection to the scheduler

    async def _connect(self) -> None:
        """Connect, and say what has happened since there was a connection.

        Raises
        ------
        ParameterError
            No scheduler answers.
        """
        await check_scheduler(self._address, self._security)
        client = self._client = client_of(self._address, self._security, loop=None, asynchronous=True)
        await client
        self._echo.clear()
        self._left.clear()
        client.subscribe_topic("all", self._hear_cluster)
        client.subscribe_topic(client.id, self._hear_worker)
        while not self._echo.is_set():  # then both are subscribed
            await client.log_event(client.id, "echo")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._echo.wait(), RETRY)
        places = set(await client.nthreads()) - self._left
        for worker in list(self._workers.values()):
            if worker.place not in places:
                self._lose(worker)
        known = (self._exchange(worker, AFTER) for worker in self._workers.values() if worker.keeper)
        await asyncio.gather(*known, return_exceptions=True)
        for place in places:
            self._add(place)
        self._up.set()

    async def _follow(self) -> None:
        """Connect again whenever the connection is lost."""
        while True:
            reason = await self._broken()
            self._up.clear()
            self.events.put_nowait(Down(f"{reason} the Dask scheduler at {self._address}"))
            while not self._up.is_set():
                await self._part()
                await asyncio.sleep(RETRY)
                with suppress(ParameterError, OSError, RuntimeError):
                    await self._connect()
            self.events.put_nowait(Up())

    async def _broken(self) -> str:
        """Wait until the connection is lost, or the scheduler does not answer; return which."""
        client, clock = self._client, asyncio.get_running_loop().time
        stream, asked = client.scheduler_comm, clock()
        while client.status == "running" and client.scheduler_comm is stream:
            await asyncio.sleep(LOOK)
            if clock() - asked >= PING:
                try:
                    async with asyncio.timeout(max(PING, min(PATIENCE, self._options.lease / 3))):
                        await client.nthreads(workers=[])
                except (OSError, RuntimeError):
                    return "there is no answer from"
                asked = clock()
        return "the connection is lost to"

    async def _part(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(OSError, RuntimeError):
                await client.close(timeout=RETRY)

    # Workers that come and go

    def _hear_cluster(self, event: tuple[float, Any]) -> None:
        about = event[1]
        action = about.get("action") if isinstance(about, dict) else None
        if action == "add-worker":
            self._add(about["worker"])
        elif action == "remove-worker":
            self._left.add(about["worker"])
            worker = self._workers.get(about["worker"])
            if worker is not None:
                worker.removed = True
                if about.get("expected") and worker.agent:
                    worker.wake.set()  # Dask has told it to end: it hands its trials back first
                else:
                    self._lose(worker)

    def _add(self, place: str) -> None:
        if place not in self._workers:
            worker = self._workers[place] = _Worker(place, urlsplit(place).hostname or place)
            worker.task = asyncio.get_running_loop().create_task(self._serve(worker))

    def _lose(self, worker: _Worker) -> None:
        """Say that a worker is gone."""
        if self._workers.get(worker.place) is worker:
            del self._workers[worker.place]
            if worker.task is not None:
                worker.task.cancel()
            reason = f"the Dask worker at {worker.place} has gone"
            self._say_ended(worker, reason)
            self.events.put_nowait(HostFailed(worker.host, worker.place, reason, final=True, gone=True))

    async def _serve(self, worker: _Worker) -> None:
        """Have a worker set up the plugin, and carry lines, as long as it is there."""
        while True:
            await self._up.wait()
            try:
                if not worker.keeper and (reason := await self._install(worker)):
                    self.events.put_nowait(HostFailed(worker.host, worker.place, reason, final=True))
                    return
                worker.wake.clear()
                taken = await self._exchange(worker, PATIENCE)
            except _Away:
                taken = False
                if worker.removed:
                    return self._lose(worker)
            if not taken:
                await asyncio.sleep(RETRY)
            elif not worker.outbox:
                with suppress(TimeoutError):
                    await asyncio.wait_for(worker.wake.wait(), IDLE)

    async def _install(self, worker: _Worker) -> str:
        """Have a worker set up the plugin; return why it cannot, if so."""
        from hbsim.executors.remote.dask_plugin import install

        try:
            async with asyncio.timeout(INSTALL):
                asking = self._client.run(install, self._config, workers=[worker.place], on_error="return")
                problem = (await asking).get(worker.place)
        except (OSError, RuntimeError, AttributeError) as error:  # there is no client at the moment
            raise _Away(str(error)) from None
        if problem is None:
            return ""
        if isinstance(problem, OSError):
            raise _Away(str(problem))
        reason = f"the Dask worker at {worker.place} cannot set up hbsim: {brief(problem)}"
        if any(kind in reason for kind in ("ModuleNotFoundError", "ImportError", "AttributeError")):
            reason += "; install the same hbsim, with its extra dask, in the environment of the Dask workers"
        return reason

    # Lines and what happens

    async def _exchange(self, worker: _Worker, seconds: float) -> bool:
        """Send lines, acknowledge events, take those that are missing; return whether lines were taken."""
        agent, lines = worker.agent, list(_batch(worker.outbox))
        known = {"topic": self._client and self._client.id, "keeper": worker.keeper, "heard": worker.heard}
        first = worker.taken + 1
        sent = {"agent": agent, "first": first, "lines": lines}
        answer = await self._ask(worker.place, seconds, do="lines", **known, **sent)
        if answer is not None and "error" in answer:
            raise _Away(answer["error"])
        keeper = "" if answer is None else answer["keeper"]
        if keeper != worker.keeper:
            self._say_ended(worker, "its Dask worker was started again")
            worker.keeper, worker.heard = keeper, 0
        if answer is None:  # the worker is another process, or nobody was heard there for long
            return True
        if worker.agent == agent and answer["taken"] is not None:
            while worker.taken < answer["taken"]:
                worker.outbox.popleft()
                worker.taken += 1
        self._take(worker, answer["first"], answer["events"])
        return not lines or worker.agent != agent or worker.taken >= first

    def _hear_worker(self, event: tuple[float, Any]) -> None:
        about = event[1]
        if about == "echo":
            self._echo.set()
        elif isinstance(about, dict) and "keeper" in about:
            worker = self._workers.get(about["place"])
            if worker is not None and worker.keeper == about["keeper"]:
                self._take(worker, about["first"], about["events"])

    def _take(self, worker: _Worker, first: int, events: Iterable[Sequence[Any]]) -> None:
        """Take the events that were not heard yet, as far as none before them is missing."""
        for number, (kind, *about) in enumerate(events, first):
            if number == worker.heard + 1:
                worker.heard = number
                self._take_one(worker, kind, about)

    def _take_one(self, worker: _Worker, kind: str, about: Sequence[Any]) -> None:
        if kind == "line":
            self.events.put_nowait(Line(*about))
            return
        worker.wake.set()  # so that it is acknowledged at once
        if kind == "joined":
            worker.agent, worker.host = about
            worker.outbox.clear()
            worker.taken = 0
            self._places[worker.agent] = worker.place
            self.events.put_nowait(Joined(worker.agent, worker.host, worker.place))
        elif kind == "ended":
            self._say_ended(worker, *about[1:])
        else:
            self.events.put_nowait(HostFailed(about[0], worker.place, about[1]))

    def _say_ended(self, worker: _Worker, reason: str, clean: bool = False) -> None:
        if worker.agent:
            self.events.put_nowait(AgentEnded(worker.agent, reason, clean))
            worker.agent = ""
            worker.outbox.clear()

    # Asking

    async def _ask(self, place: str, seconds: float, **message: Any) -> Any:
        """Return what a worker's handler answers, None if it has none; `_Away` if it does not answer."""
        asked = {"op": self._name, **message}
        try:
            async with asyncio.timeout(seconds):
                asking = self._client.scheduler.broadcast(msg=asked, workers=[place], on_error="ignore")
                return (await asking)[place]
        except KeyError:
            raise _Away(f"the Dask worker at {place} does not answer") from None
        except (OSError, RuntimeError, AttributeError) as error:  # there is no client at the moment
            raise _Away(f"the Dask scheduler does not answer: {brief(error)}") from None

    async def _ask_for(self, agent: str, do: str, **message: Any) -> Mapping[str, Any]:
        """Return what the worker of an agent answers about files."""
        place = self._places.get(agent, "")
        try:
            answer = await self._ask(place, COPY, do=do, **message) if place in self._workers else None
        except _Away as error:
            raise CopyError(str(error), away=True) from None
        if answer is None:
            raise CopyError(f"the Dask worker at {place} has gone", away=True)
        if "error" in answer:
            raise CopyError(f"{message['path']}: {answer['error']}")
        return dict(answer)


def _batch(lines: Iterable[str]) -> Iterator[str]:
    size = 0
    for line in lines:
        size += len(line)
        yield line
        if size > BATCH:
            break
