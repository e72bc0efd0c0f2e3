"""The carrier over a Dask cluster: an agent beside each Dask worker, lines and files through a Dask client.

An agent's lines end with the client's connection to the scheduler, as those over SSH end with the SSH
connection. A new connection starts new agents.

Dask's trust model holds: anyone who can connect to the scheduler can run code on all processes connected to
it, including this one. `distributed` is an extra, and is imported only when a cluster is used.
"""

from __future__ import annotations

import asyncio
import importlib
import ipaddress
import json
import logging
import os
import sys
import tempfile
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from hbsim.errors import HbsimWarning, ParameterError, needs
from hbsim.executors.remote.protocol import (
    AgentEnded,
    AgentLine,
    CarrierEvent,
    CopyError,
    HostFailed,
    Joined,
    Lost,
    cancel_tasks,
)

if TYPE_CHECKING:
    from hbsim.executors.remote.options import Dask

PATIENCE: Final = 10.0  # seconds for an answer
_LOGGERS: Final = ("distributed", "distributed.client", "tornado", "tornado.application")
PART: Final = 4 << 20  # bytes of a file in one message,
COPY: Final = 60.0  # and the most seconds for it
ENDING: Final = 15.0  # seconds for all agents to end
RETRY: Final = 0.5  # seconds until the scheduler is tried again
LOOK: Final = 1.0  # seconds between two checks for new and lost workers
SOONEST, LATEST = 0.5, 10.0  # seconds until another agent is started
LIVED: Final = 60.0  # seconds that an agent has to run for its end to count as the first


def is_trusted(address: str | None) -> bool:
    """Return whether messages of a scheduler cannot be forged: by TLS, or on this machine."""
    if address is None or address.startswith("tls://"):
        return True
    host = (urlsplit(address).hostname or "").rstrip(".")
    if host in ("localhost", "localhost.localdomain", "ip6-localhost"):
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def security_of(options: Dask) -> Any:
    """Return the `distributed.Security` for a scheduler's address, None for ``tcp://``.

    Raises
    ------
    ParameterError
        Dask is not installed, there are no certificates, or they cannot be used.

    Warns
    -----
    HbsimWarning
        The connection leaves this machine without TLS.
    """
    address = options.scheduler_address
    try:
        distributed: Any = importlib.import_module("distributed")
    except ImportError:
        field = "scheduler_address" if address else "executor"
        raise ParameterError(field, address or "dask", needs("distributed", "remote")) from None
    if not is_trusted(address):
        danger = "whoever can reach it, or is on the way, can run code here and on its workers"
        text = f"the connection to {address} is neither encrypted nor authenticated: {danger}"
        warnings.warn(HbsimWarning(f"{text}; give a tls:// address"), stacklevel=2)
    if address is None or not address.startswith("tls://"):
        return None
    files = (options.tls_ca, options.tls_cert, options.tls_key)
    names = ("tls_ca_file", "tls_client_cert", "tls_client_key")
    given = {name: os.path.expanduser(file) for name, file in zip(names, files, strict=True) if file}
    security = distributed.Security(require_encryption=True, **given)
    if not (security.tls_ca_file and security.tls_client_cert):
        rule = "is needed for a tls:// address, with tls_cert and tls_key; or Dask's configuration has them"
        raise ParameterError("tls_ca", None, rule)
    try:
        security.get_connection_args("client")
    except OSError as error:  # ssl.SSLError is one
        rule = "must be the private key of tls_cert, without a passphrase, and all three files PEM"
        raise ParameterError("tls_key", security.tls_client_key, f"{rule} ({error_line(error)})") from None
    return security


async def check_scheduler(address: str, security: Any, timeout: float = PATIENCE) -> None:
    """Check that a scheduler answers, before a client is made: its failure to connect would log much.

    Raises
    ------
    ParameterError
        No scheduler answers at the address, or not with these certificates.
    """
    distributed: Any = importlib.import_module("distributed")
    given = {} if security is None else security.get_connection_args("client")
    try:
        async with asyncio.timeout(timeout), distributed.rpc(address, connection_args=given) as server:
            kind = (await server.identity())["type"]
    except Exception as error:  # another kind of server may answer anything
        raise ParameterError(
            "scheduler_address", address, _why(address, error.__cause__ or error, timeout)
        ) from None
    if kind != "Scheduler":
        rule = f"is the address of a Dask {kind.lower()}: give that of the scheduler"
        raise ParameterError("scheduler_address", address, rule)


def client_of(address: str, security: Any, timeout: float = PATIENCE, **given: Any) -> Any:
    """Return a `distributed.Client` of a scheduler that answers."""
    distributed: Any = importlib.import_module("distributed")
    with warnings.catch_warnings():
        # Agents report the versions that matter.
        warnings.simplefilter("ignore", distributed.versions.VersionMismatchWarning)
        return distributed.Client(address, security=security, timeout=timeout, set_as_default=False, **given)


def _why(address: str, error: BaseException, timeout: float) -> str:
    """Return why there is no connection to a scheduler, and a remedy."""
    text = error_line(error)
    if address.startswith("tls://") and any(word in text for word in ("TLS", "SSL", "certificate")):
        return f"answers, but not with TLS that both sides accept: are the certificates its own? ({text})"
    said = "" if isinstance(error, TimeoutError | asyncio.CancelledError) else f" ({text})"
    rule = f"no Dask scheduler answers there within {timeout:g} s, as in tls://HOST:8786{said}"
    if address.startswith("tcp://") and not isinstance(error, ConnectionRefusedError):
        rule += "; if it has TLS, give tls:// with tls_ca, tls_cert and tls_key"
    return rule


def error_line(error: BaseException) -> str:
    """Return an error's type and text in one line."""
    text = " ".join(str(error).split())[:200]
    if type(error) is Exception and text:  # Dask's own text is enough
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@asynccontextmanager
async def scheduler_in_process() -> AsyncIterator[str]:
    """Start a scheduler and a worker in this process; yield the address, which only this process can use."""
    distributed: Any = importlib.import_module("distributed")
    http = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}
    with tempfile.TemporaryDirectory(prefix="hbsim-dask-") as folder:
        settings = {"nthreads": 1, "memory_limit": 0, "local_directory": folder, **http}
        async with (
            distributed.Scheduler(protocol="inproc://", **http) as scheduler,
            distributed.Worker(scheduler.address, **settings) as worker,
        ):
            for server in (scheduler, worker):  # they cannot be started without it
                server.http_server.stop()
            yield scheduler.address


@contextmanager
def logs_off_terminal() -> Iterator[None]:
    """Keep Dask's log off the terminal; other handlers still get it."""
    importlib.import_module("distributed")  # the import makes its handlers

    def is_of_others(record: logging.LogRecord) -> bool:
        return record.name.partition(".")[0] not in ("distributed", "tornado")

    handlers = {handler for name in ("", *_LOGGERS) for handler in logging.getLogger(name).handlers}
    with ExitStack() as stack:
        for handler in (*handlers, logging.lastResort):
            if isinstance(handler, logging.StreamHandler) and handler.stream in (sys.stderr, sys.stdout):
                handler.addFilter(is_of_others)
                stack.callback(handler.removeFilter, is_of_others)
        yield


@dataclass(slots=True)
class _Worker:
    """A Dask worker.

    Attributes
    ----------
    host : str
        The worker's name, as in `Joined`.
    agent : str
        The agent beside the worker, if any.
    ends : bool
        Whether the worker is about to end.
    outbox : queue of str
        Lines for the agent; None ends the agent.
    """

    host: str
    agent: str = ""
    ends: bool = False
    outbox: asyncio.Queue[str | None] = field(default_factory=asyncio.Queue)
    task: asyncio.Task[None] | None = None


class DaskCarrier:
    """The `Carrier` that runs an agent beside each worker of a Dask cluster, and carries lines and files.

    Parameters
    ----------
    options : Dask
        The cluster.
    say : callable
        Called with lines on what the study waits for.
    """

    def __init__(self, options: Dask, say: Callable[[str], None]) -> None:
        self.events: asyncio.Queue[CarrierEvent] = asyncio.Queue()
        self.trusted = is_trusted(options.scheduler_address)
        self._options = options
        self._address = options.scheduler_address or ""
        self._config = self._name = ""
        self._security: Any = None
        self._client: Any = None
        self._subscribed = asyncio.Event()
        self._workers: dict[str, _Worker] = {}  # by place
        self._places: dict[str, str] = {}  # by agent, ended ones included
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
                self._address = await self._stack.enter_async_context(scheduler_in_process())
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
            worker.outbox.put_nowait(line)

    async def get(self, agent: str, source: str, target: Path) -> None:
        """Copy a folder from an agent's host, as `Carrier.get`."""
        await _copy(partial(self._do_on_host, agent), source, _do_locally, str(target))

    async def put(self, agent: str, source: Path, target: str) -> None:
        """Copy a folder to an agent's host, as `Carrier.put`."""
        await _copy(_do_locally, str(source), partial(self._do_on_host, agent), target)

    async def close(self) -> None:
        """End all agents, and disconnect from the cluster, as `Carrier.close`."""
        tasks = [task for task in (self._task, *(one.task for one in self._workers.values())) if task]
        await cancel_tasks(tasks)
        with suppress(OSError, RuntimeError):
            async with asyncio.timeout(ENDING):
                await asyncio.gather(
                    *(self._ask(place, "end") for place in self._workers), return_exceptions=True
                )
                while any(worker.agent for worker in self._workers.values()):
                    await asyncio.sleep(0.01)  # wait for the events on their end
        await self._part()
        await self._stack.aclose()

    # The connection to the scheduler

    async def _connect(self) -> None:
        """Connect to the scheduler; a `ParameterError` says why none answers."""
        await check_scheduler(self._address, self._security)
        client = self._client = client_of(self._address, self._security, loop=None, asynchronous=True)
        await client
        self._subscribed.clear()
        client.subscribe_topic("all", self._on_scheduler_event)
        client.subscribe_topic(client.id, self._on_agent_event)
        while not self._subscribed.is_set():
            await client.log_event(client.id, ["subscribed"])
            await asyncio.sleep(0.01)

    async def _follow(self) -> None:
        """Start agents beside all workers; connect again when the connection is lost."""
        clock = time.monotonic
        while True:
            stream = self._client.scheduler_comm
            with suppress(OSError, RuntimeError):
                while self._client.scheduler_comm is stream:
                    self._update_workers(set(await self._client.nthreads()))
                    await asyncio.sleep(LOOK)
            reason = f"the connection to the Dask scheduler at {self._address} is lost"
            for place in list(self._workers):
                self._lose(place, reason)
            lost, is_connected = clock(), False
            while not is_connected:
                if clock() - lost > self._options.lease:
                    return self.events.put_nowait(Lost(reason))
                await self._part()
                await asyncio.sleep(RETRY)
                with suppress(ParameterError, OSError, RuntimeError):
                    await self._connect()
                    is_connected = True

    async def _part(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(OSError, RuntimeError):
                await client.close(timeout=RETRY)

    # Workers that come and go

    def _update_workers(self, places: set[str]) -> None:
        """Record new and lost workers."""
        for place, worker in list(self._workers.items()):
            if place not in places and not worker.agent:
                self._lose(place)  # its agent, if any, hands its trials back
        for place in places - self._workers.keys():
            worker = self._workers[place] = _Worker(urlsplit(place).hostname or place)
            worker.task = asyncio.get_running_loop().create_task(self._serve(place, worker))

    def _lose(self, place: str, reason: str = "") -> None:
        """Report that a worker is gone."""
        worker = self._workers.get(place)
        if worker is not None:
            reason = reason or f"the Dask worker at {place} has gone"
            self._end(place, worker.agent, reason, False)
            self.events.put_nowait(HostFailed(worker.host, place, reason, final=True, gone=True))
            del self._workers[place]
            if worker.task is not None:
                worker.task.cancel()

    async def _serve(self, place: str, worker: _Worker) -> None:
        """Run agents beside a worker, one after another, and send them lines."""
        pause = SOONEST
        while not worker.ends:
            began, worker.outbox, is_started = time.monotonic(), asyncio.Queue(), False
            try:
                if (problem := await self._install(place)) is not None:
                    self.events.put_nowait(HostFailed(worker.host, place, problem, final=True))
                    return
                is_started = True
                while None not in (lines := await _all_of(worker.outbox)):
                    await self._ask(place, "write", worker.agent, lines)
            except (OSError, RuntimeError, CopyError) as error:
                problem = f"the Dask worker at {place} does not answer: {error_line(error)}"
                if is_started:
                    self._end(place, worker.agent, problem, False)
                else:
                    self.events.put_nowait(HostFailed(worker.host, place, problem))
            await asyncio.sleep(pause)
            pause = SOONEST if time.monotonic() - began > LIVED else min(2 * pause, LATEST)

    async def _install(self, place: str) -> str | None:
        """Start an agent beside a worker, in place of an earlier one; return why that is never possible."""
        from hbsim.executors.remote.dask_plugin import install

        about = (self._config, self._client.id, place)
        error = (await self._client.run(install, *about, workers=[place], on_error="return"))[place]
        if error is None:
            return None
        if isinstance(error, OSError):
            raise error
        reason = f"the Dask worker at {place} cannot set up hbsim: {error_line(error)}"
        if any(kind in reason for kind in ("ModuleNotFoundError", "ImportError", "AttributeError")):
            reason += "; install the same hbsim, with its extra remote, where the Dask workers run"
        return reason

    # Events

    def _on_scheduler_event(self, event: tuple[float, Any]) -> None:
        about = event[1]
        if isinstance(about, dict) and about.get("action") == "remove-worker" and not about.get("expected"):
            self._lose(about["worker"])

    def _on_agent_event(self, event: tuple[float, Sequence[Any]]) -> None:
        kind, *about = event[1]
        if kind == "subscribed":
            self._subscribed.set()
        elif kind == "lines":
            for line in about[1]:
                self.events.put_nowait(AgentLine(about[0], line))
        elif kind == "joined":
            agent, host, place = about
            if place in self._workers:
                self._places[agent] = place
                self._workers[place].agent, self._workers[place].host = agent, host
                self.events.put_nowait(Joined(agent, host, place))
        else:
            agent, place, reason, clean, ends = about
            if place in self._workers:
                self._workers[place].ends = ends
            self._end(place, agent, reason, clean)

    def _end(self, place: str, agent: str, reason: str, clean: bool) -> None:
        """Report that an agent has ended; one that was lost already, only if no process of it is left."""
        worker = self._workers.get(place)
        is_connected = worker is not None and worker.agent == agent != ""
        if worker is not None and is_connected:
            worker.agent = ""
            worker.outbox.put_nowait(None)
        if is_connected or clean:
            self.events.put_nowait(AgentEnded(agent, reason, clean))

    # Calls of the plugin

    async def _ask(self, place: str, do: str, *given: object) -> Any:
        """Call an operation of the plugin on a worker; return its result, or raise its error."""
        asked = {"op": self._name, "do": do, "given": given}
        answers = await self._client.scheduler.broadcast(msg=asked, workers=[place], on_error="ignore")
        answer = answers.get(place)
        if answer is None:
            raise ConnectionError("it cannot be reached, or was started again")
        if "error" in answer:
            raise CopyError(answer["error"])
        return answer["found"]

    async def _do_on_host(self, agent: str, do: str, *given: object) -> Any:
        """Call a file operation on an agent's host."""
        place = self._places.get(agent, "")
        if place not in self._workers:
            raise CopyError(f"the Dask worker at {place} has gone", away=True)
        try:
            async with asyncio.timeout(COPY):
                return await self._ask(place, do, *given)
        except (OSError, RuntimeError) as error:
            raise CopyError(
                f"the Dask worker at {place} does not answer: {error_line(error)}", away=True
            ) from None


async def _do_locally(do: str, *given: Any) -> Any:
    """Call a file operation on this machine."""
    from hbsim.executors.remote.dask_plugin import FILES

    try:
        return await asyncio.to_thread(FILES[do], *given)
    except OSError as error:
        raise CopyError(f"{given[0]}: {error.strerror or error}") from None


async def _copy(
    read: Callable[..., Awaitable[Any]], source: str, write: Callable[..., Awaitable[Any]], target: str
) -> None:
    """Copy a folder from the side on which `read` calls file operations to that of `write`."""
    listed: Iterable[tuple[str, int | None]] = await read("list", source)
    await write("make", target, "")
    try:
        for name, size in listed:
            if ".." in PurePosixPath(name).parts or PurePosixPath(name).is_absolute():
                raise CopyError(f"there is something with the name {name!r}")
            if size is None:
                await write("make", target, name)
                continue
            for offset in range(0, size or 1, PART):
                data = await read("read", source, name, offset, min(PART, size - offset))
                await write("write part", target, name, offset, data)
    except BaseException:
        with suppress(CopyError):
            await write("remove", target)
        raise


async def _all_of(outbox: asyncio.Queue[str | None]) -> list[str | None]:
    """Wait until a queue has items, and return all of them."""
    found = [await outbox.get()]
    while not outbox.empty():
        found.append(outbox.get_nowait())
    return found
