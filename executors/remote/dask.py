"""A carrier over a Dask cluster: an agent beside each Dask worker, lines and files through a Dask client.

`distributed` is an extra, and is imported only when a cluster is used. Its trust model holds: who can connect
to the scheduler can run code on all that are connected to it, this process included.
"""

from __future__ import annotations

import asyncio
import importlib
import ipaddress
import json
import logging
import os
import shutil
import sys
import tempfile
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import urlsplit

from hbsim.errors import HbsimWarning, ParameterError
from hbsim.executors.remote.carrier import AgentEnded, CopyError, Down, Event, HostFailed, Joined, Line, Up

if TYPE_CHECKING:
    from hbsim.executors.remote.options import Dask

__all__ = ["DaskCarrier", "connect_client", "is_trusted", "logs_off_terminal", "security_of"]

Answer: TypeAlias = dict[str, Any]

PATIENCE: Final = 10.0  # seconds for an answer,
FILES: Final = 60.0  # for a part of a copy,
INSTALL: Final = 60.0  # for a worker to import hbsim,
SYNC: Final = 5.0  # for a worker to say what has happened while the scheduler was away,
LEAVE: Final = 15.0  # for all agents to end
RETRY, LONGEST = 0.5, 10.0  # seconds until something that failed is tried again
LOOK: Final = 0.2  # seconds between two looks at the connection,
PING: Final = 2.0  # and between two questions whether the scheduler answers
SOON, LATE = 1.0, 5.0  # seconds until events are acknowledged, and until a worker is asked for nothing else
BATCH: Final = 1 << 20  # characters of lines that travel at once
_LOGGERS: Final = ("distributed", "distributed.client", "tornado", "tornado.application")
_DANGER: Final = "whoever can reach it, or is on the way, can run code here and on its workers"


class _Away(Exception):
    """A worker or the scheduler did not answer."""


@dataclass(slots=True)
class _Worker:
    """A Dask worker as this side knows it.

    Attributes
    ----------
    place : str
        Its address.
    host : str
        Its host as users call it; until that is known, that of its address.
    keeper : str
        The id of its plugin.
    heard, acknowledged : int
        The numbers of the last event that was heard, and of the last one that it knows was heard.
    last : int
        The number of its last event.
    behind : float or None
        Since when events are missing.
    agent : str
        The agent that runs, if any.
    outbox : deque of str
        Lines for the agent that it has not taken.
    taken : int
        How many it has taken.
    known : bool
        Whether anything was said of it.
    removed : bool
        Whether the scheduler has let it go. It may still hand its trials back.
    """

    place: str
    host: str
    keeper: str = ""
    heard: int = 0
    acknowledged: int = 0
    last: int = 0
    behind: float | None = None
    agent: str = ""
    outbox: deque[str] = field(default_factory=deque)
    taken: int = 0
    known: bool = False
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
        self._options, self._say = options, say
        self._address, self._security = options.scheduler_address or "", None
        self._config = self._name = ""
        self._client: Any = None
        self._up, self._echo = asyncio.Event(), asyncio.Event()
        self._workers: dict[str, _Worker] = {}
        self._places: dict[str, str] = {}  # by agent, also of those that have ended
        self._tasks: set[asyncio.Task[None]] = set()
        self._stack = AsyncExitStack()

    async def open(self, config: str) -> int | None:
        """Connect to the scheduler, and begin to start agents; as `Carrier.open`.

        Warns
        -----
        HbsimWarning
            The connection leaves this machine without TLS.
        """
        _check_installed(self._address)
        self._config, self._name = config, f"hbsim-{json.loads(config)['session']}"
        try:
            self._stack.enter_context(logs_off_terminal())
            if self._address:
                self._security = security_of(self._options)
                if not self.trusted:
                    text = f"the connection to {self._address} is neither encrypted nor authenticated"
                    warnings.warn(HbsimWarning(f"{text}: {_DANGER}; give a tls:// address"), stacklevel=2)
            else:
                await self._start_cluster()
            await self._connect()
        except BaseException:
            await self.close()
            raise
        self._spawn(self._follow())
        return None if self._options.scheduler_address else 1

    def send(self, agent: str, line: str) -> None:
        """Send a line to an agent, as `Carrier.send`."""
        worker = self._workers.get(self._places.get(agent, ""))
        if worker is not None and worker.agent == agent:
            worker.outbox.append(line)
            worker.wake.set()

    async def get(self, agent: str, source: str, target: Path) -> None:
        """Copy a folder from an agent's host, as `Carrier.get`."""
        from hbsim.executors.remote import dask_plugin as plugin

        found = await self._ask_files(agent, "list", path=source)
        folders, files = found["folders"], {name: int(size) for name, size in found["files"]}
        _check_names([*folders, *files])
        try:
            await asyncio.to_thread(plugin.make_folder, str(target), folders)
        except OSError as error:
            raise CopyError(f"{target} cannot be made: {error.strerror or error}") from None
        try:
            for parts in _parts(files, plugin.PART):
                data = (await self._ask_files(agent, "read", path=source, parts=parts))["data"]
                await asyncio.to_thread(plugin.write_files, str(target), _filled(parts, data))
        except BaseException as error:
            await asyncio.to_thread(shutil.rmtree, target, ignore_errors=True)
            if isinstance(error, OSError):
                raise CopyError(f"{target} cannot be written: {error.strerror or error}") from None
            raise

    async def put(self, agent: str, source: Path, target: str) -> None:
        """Copy a folder to an agent's host, as `Carrier.put`."""
        from hbsim.executors.remote import dask_plugin as plugin

        try:
            found = await asyncio.to_thread(plugin.list_files, str(source))
            await self._ask_files(agent, "make", path=target, folders=found["folders"])
            for parts in _parts(dict(found["files"]), plugin.PART):
                read = await asyncio.to_thread(plugin.read_files, str(source), parts)
                await self._ask_files(agent, "write", path=target, parts=_filled(parts, read["data"]))
        except OSError as error:
            raise CopyError(f"{source} cannot be read: {error.strerror or error}") from None

    async def close(self) -> None:
        """End all agents, and part from the cluster, as `Carrier.close`."""
        tasks = [*self._tasks, *(worker.task for worker in self._workers.values() if worker.task)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        workers, self._workers = list(self._workers.values()), {}
        leaving = (self._ask(worker.place, LEAVE, do="close") for worker in workers if worker.keeper)
        await asyncio.gather(*leaving, return_exceptions=True)
        await self._part()
        await self._stack.aclose()

    # The connection to the scheduler

    async def _start_cluster(self) -> None:
        """Start a cluster in this process; there is no port that others could connect to."""
        distributed: Any = importlib.import_module("distributed")
        http = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}
        scheduler = distributed.Scheduler(protocol="inproc://", **http)
        await self._stack.enter_async_context(scheduler)
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="hbsim-dask-"))
        settings = {"nthreads": 1, "memory_limit": 0, "local_directory": folder}
        worker = distributed.Worker(scheduler.address, **settings, **http)
        await self._stack.enter_async_context(worker)
        for server in (scheduler, worker):
            server.http_server.stop()
        self._address = scheduler.address

    async def _connect(self) -> None:
        """Connect, and say what has happened since there was a connection.

        Raises
        ------
        ParameterError
            No scheduler answers.
        """
        client = self._client = await connect_client(self._address, self._security)
        self._echo.clear()
        client.subscribe_topic("all", self._hear_cluster)
        client.subscribe_topic(client.id, self._hear_worker)
        while not self._echo.is_set():  # what was said before both were subscribed is lost
            await client.log_event(client.id, "echo")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._echo.wait(), RETRY)
        places = set(await client.nthreads())
        known = [worker for worker in self._workers.values() if worker.place in places]
        for worker in [worker for worker in self._workers.values() if worker.place not in places]:
            self._lose(worker)
        await asyncio.gather(*(self._sync(worker) for worker in known if worker.keeper))
        self._up.set()
        for place in places:
            self._add(place)

    async def _sync(self, worker: _Worker) -> None:
        with suppress(_Away):
            await self._exchange(worker, SYNC, again=True)

    async def _follow(self) -> None:
        """Connect again whenever the connection is lost."""
        while True:
            reason = await self._broken()
            self._up.clear()
            self.events.put_nowait(Down(reason))
            await self._part()
            while not self._up.is_set():
                try:
                    await self._connect()
                except (ParameterError, OSError, RuntimeError):
                    await self._part()
                    await asyncio.sleep(RETRY)
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
                    return f"the Dask scheduler at {self._address} does not answer"
                asked = clock()
        return f"the connection to the Dask scheduler at {self._address} is lost"

    async def _part(self) -> None:
        client, self._client = self._client, None
        self._up.clear()
        if client is not None:
            with suppress(OSError, RuntimeError):
                await client.close(timeout=RETRY)

    # Workers that come and go

    def _hear_cluster(self, event: tuple[float, Any]) -> None:
        about = event[1]
        if not isinstance(about, dict):
            return
        if about.get("action") == "add-worker":
            self._add(about["worker"])
        elif about.get("action") == "remove-worker" and about["worker"] in self._workers:
            worker = self._workers[about["worker"]]
            worker.removed = True
            if about.get("expected") and worker.agent:
                worker.wake.set()  # Dask has told it to end: it hands its trials back first
            else:
                self._lose(worker)

    def _add(self, place: str) -> None:
        if place not in self._workers:
            host = urlsplit(place).hostname or place
            worker = self._workers[place] = _Worker(place, host)
            worker.task = asyncio.get_running_loop().create_task(self._serve(worker))

    def _lose(self, worker: _Worker) -> None:
        """Say that a worker is gone."""
        if self._workers.get(worker.place) is not worker:
            return
        del self._workers[worker.place]
        if worker.task is not None:
            worker.task.cancel()
        reason = f"the Dask worker at {worker.place} has gone"
        self._say_ended(worker, reason)
        if worker.known:
            self.events.put_nowait(HostFailed(worker.host, worker.place, reason, final=True, gone=True))

    async def _serve(self, worker: _Worker) -> None:
        """Have a worker set up the plugin, and carry lines, as long as it is there."""
        pause = RETRY
        while True:
            await self._up.wait()
            try:
                if not worker.keeper and not await self._install(worker):
                    return
                worker.wake.clear()
                again = worker.behind is not None and self._now() - worker.behind > SOON
                moved = await self._exchange(worker, PATIENCE, again)
            except _Away:
                if worker.removed or not await self._is_there(worker.place):
                    return self._lose(worker)
                moved = False
            if not moved:
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST)
                continue
            pause = RETRY
            if worker.outbox or not worker.keeper:
                continue
            soon = worker.removed or worker.behind is not None or worker.heard > worker.acknowledged
            with suppress(TimeoutError):
                await asyncio.wait_for(worker.wake.wait(), SOON if soon else LATE)

    async def _install(self, worker: _Worker) -> bool:
        """Have a worker set up the plugin; return whether it could."""
        from hbsim.executors.remote.dask_plugin import install

        client = self._client
        if client is None:
            raise _Away("the Dask scheduler")
        try:
            async with asyncio.timeout(INSTALL):
                asking = client.run(install, self._config, workers=[worker.place], on_error="return")
                problem = (await asking).get(worker.place)
        except (OSError, RuntimeError) as error:
            problem = error
        if isinstance(problem, OSError | RuntimeError):
            raise _Away(str(problem))
        if problem is None:
            return True
        reason = f"the Dask worker at {worker.place} cannot set up hbsim: {_brief(problem)}"
        if any(kind in reason for kind in ("ModuleNotFoundError", "ImportError", "AttributeError")):
            reason += "; install the same hbsim, with its extra dask, in the environment of the Dask workers"
        worker.known = True
        self.events.put_nowait(HostFailed(worker.host, worker.place, reason, final=True))
        return False

    async def _is_there(self, place: str) -> bool:
        """Return whether the scheduler knows a worker; True if it cannot be asked."""
        client = self._client
        if client is not None:
            with suppress(OSError, RuntimeError):
                async with asyncio.timeout(PATIENCE):
                    return place in await client.nthreads()
        return True

    # Lines and what happens

    async def _exchange(self, worker: _Worker, seconds: float, again: bool) -> bool:
        """Send lines, acknowledge events, and take those that were missing; return whether it got through."""
        agent, heard, taken = worker.agent, worker.heard, worker.taken
        known = {"keeper": worker.keeper, "heard": heard, "again": again}
        lines = list(_batch(worker.outbox))
        about = {"agent": agent, "first": taken + 1, "lines": lines, "topic": self._client_id()}
        answer = await self._ask(worker.place, seconds, do="lines", **known, **about)
        if (
            answer is None
        ):  # the plugin has gone, as the worker was started anew or has heard nothing for long
            self._say_ended(worker, "its Dask worker was started again")
            worker.keeper, worker.heard = "", 0
            return True
        if "error" in answer:
            return False
        if answer["keeper"] != worker.keeper:
            self._say_ended(worker, "its Dask worker was started again")
            worker.keeper, worker.heard, heard = answer["keeper"], 0, 0
        worker.acknowledged, worker.last = heard, answer["last"]
        moved = not lines
        if answer["taken"] is not None and worker.agent == agent:
            for _ in range(answer["taken"] - worker.taken):
                worker.outbox.popleft()
                worker.taken += 1
            moved = worker.taken > taken or moved
        self._take(worker, answer.get("first", 0), answer.get("events", ()))
        return moved or worker.agent != agent

    def _hear_worker(self, event: tuple[float, Any]) -> None:
        about = event[1]
        if about == "echo":
            self._echo.set()
        elif isinstance(about, dict) and "keeper" in about:
            worker = self._workers.get(about["place"])
            if worker is not None and worker.keeper == about["keeper"]:
                worker.last = about["first"] + len(about["events"]) - 1
                self._take(worker, about["first"], about["events"])

    def _take(self, worker: _Worker, first: int, events: Iterable[Sequence[Any]]) -> None:
        """Take the events that were not heard yet, as far as none before them is missing."""
        for number, event in enumerate(events, first):
            if number == worker.heard + 1:
                worker.heard = number
                self._take_one(worker, *event)
        if worker.heard >= worker.last:
            worker.behind = None
        elif worker.behind is None:
            worker.behind = self._now()

    def _take_one(self, worker: _Worker, kind: str, *about: Any) -> None:
        if kind == "line":
            self.events.put_nowait(Line(*about))
            return
        worker.wake.set()  # so that it is acknowledged at once
        worker.known = True
        if kind == "joined":
            worker.agent, worker.host = about
            worker.outbox.clear()
            worker.taken = 0
            self._places[worker.agent] = worker.place
            self.events.put_nowait(Joined(worker.agent, worker.host, worker.place))
        elif kind == "ended":
            self._say_ended(worker, *about[1:])
        else:
            worker.host, reason = about
            self.events.put_nowait(HostFailed(worker.host, worker.place, reason))

    def _say_ended(self, worker: _Worker, reason: str, clean: bool = False) -> None:
        if worker.agent:
            self.events.put_nowait(AgentEnded(worker.agent, reason, clean))
            worker.agent = ""
            worker.outbox.clear()

    # Asking

    async def _ask(self, place: str, seconds: float, **message: Any) -> Any:
        """Return what a worker's handler answers, None if it has none; `_Away` if it does not answer."""
        client = self._client
        if client is None:
            raise _Away("the Dask scheduler cannot be reached")
        broadcast = client.scheduler.broadcast
        try:
            async with asyncio.timeout(seconds):
                asked = {"op": self._name, **message}
                answers = await broadcast(msg=asked, workers=[place], on_error="ignore")
        except (OSError, RuntimeError) as error:
            raise _Away(f"the Dask scheduler does not answer: {_brief(error)}") from None
        if place not in answers:
            raise _Away(f"the Dask worker at {place} does not answer")
        return answers[place]

    async def _ask_files(self, agent: str, do: str, **message: Any) -> Answer:
        place = self._places.get(agent, "")
        if place not in self._workers:
            raise CopyError("its Dask worker has gone", away=True)
        try:
            answer = await self._ask(place, FILES, do=do, **message)
        except _Away as error:
            raise CopyError(str(error), away=True) from None
        if answer is None:
            raise CopyError("its Dask worker was started again", away=True)
        if "error" in answer:
            raise CopyError(f"{message['path']}: {answer['error']}")
        return dict(answer)

    def _client_id(self) -> str:
        return "" if self._client is None else str(self._client.id)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _batch(lines: Iterable[str]) -> Iterator[str]:
    size = 0
    for line in lines:
        size += len(line)
        yield line
        if size > BATCH:
            break


# Connecting; also for simulated studies


def is_trusted(address: str | None) -> bool:
    """Return whether nobody else can change what a scheduler says: by TLS, or on this machine."""
    if address is None or address.startswith("tls://"):
        return True
    host = (urlsplit(address).hostname or "").rstrip(".")
    if host in ("localhost", "localhost.localdomain", "ip6-localhost"):
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _check_installed(address: str) -> None:
    try:
        importlib.import_module("distributed")
    except ImportError:
        rule = "needs the package distributed: install hbsim with its extra dask"
        field, value = ("scheduler_address", address) if address else ("executor", "dask")
        raise ParameterError(field, value, rule) from None


def security_of(options: Dask) -> Any:
    """Return the `distributed.Security` for a scheduler's address, None for ``tcp://``.

    Raises
    ------
    ParameterError
        There are no certificates, or they cannot be read.
    """
    if not (options.scheduler_address or "").startswith("tls://"):
        return None
    files = {
        "tls_ca_file": options.tls_ca,
        "tls_client_cert": options.tls_cert,
        "tls_client_key": options.tls_key,
    }
    given = {name: os.path.expanduser(file) for name, file in files.items() if file is not None}
    distributed: Any = importlib.import_module("distributed")
    security = distributed.Security(require_encryption=True, **given)
    if not (security.tls_ca_file and security.tls_client_cert):
        rule = "is needed for a tls:// address, with tls_cert and tls_key; or Dask's configuration has them"
        raise ParameterError("tls_ca", None, rule)
    try:
        security.get_connection_args("client")
    except OSError as error:  # ssl.SSLError is one
        names = f"{security.tls_ca_file}, {security.tls_client_cert} and {security.tls_client_key}"
        rule = f"of {names} one is no PEM file of its kind, or the key is of another certificate, or locked"
        raise ParameterError("tls_key", str(options.tls_key), f"{rule} ({_brief(error)})") from None
    return security


async def connect_client(address: str, security: Any) -> Any:
    """Return a `distributed.Client` of the running loop.

    Raises
    ------
    ParameterError
        No scheduler answers there, or not with these certificates.
    """
    distributed: Any = importlib.import_module("distributed")
    given = {} if security is None else security.get_connection_args("client")
    try:
        # A client that fails to connect leaves much noise behind.
        async with asyncio.timeout(PATIENCE), distributed.rpc(address, connection_args=given) as server:
            kind = (await server.identity())["type"]
        if kind != "Scheduler":
            rule = f"is the address of a Dask {kind.lower()}: give that of the scheduler"
            raise ParameterError("scheduler_address", address, rule)
        with warnings.catch_warnings():
            # A table of versions; agents say which of them count.
            warnings.simplefilter("ignore", distributed.versions.VersionMismatchWarning)
            return await distributed.Client(
                address, security=security, timeout=PATIENCE, asynchronous=True, set_as_default=False
            )
    except ParameterError:
        raise
    except Exception as error:  # whatever another kind of server says is decoded
        raise ParameterError("scheduler_address", address, _why(address, error.__cause__ or error)) from None


def _why(address: str, error: BaseException) -> str:
    """Return why there is no connection to a scheduler, and what can be done."""
    text = _brief(error)
    if address.startswith("tls://") and any(word in text for word in ("TLS", "SSL", "certificate")):
        return f"answers, but not with TLS that both sides accept: are the certificates its own? ({text})"
    rule = f"no Dask scheduler answers there within {PATIENCE:g} s, as in tls://HOST:8786 ({text})"
    if address.startswith("tcp://") and not isinstance(error, ConnectionRefusedError):
        rule += "; if it has TLS, give tls:// with tls_ca, tls_cert and tls_key"
    return rule


def _brief(error: BaseException) -> str:
    text = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@contextmanager
def logs_off_terminal() -> Iterator[None]:
    """Take what Dask logs from handlers that write to the terminal; others get it as ever."""
    importlib.import_module("distributed")  # which makes its handlers
    with ExitStack() as stack:
        for logger in map(logging.getLogger, _LOGGERS):
            before, passes_on = logger.handlers[:], logger.propagate
            everyone = [*before, *(logging.getLogger().handlers if passes_on else ())]
            logger.handlers[:] = [logging.NullHandler(), *(one for one in everyone if not _is_terminal(one))]
            logger.propagate = False
            stack.callback(logger.handlers.__setitem__, slice(None), before)
            stack.callback(setattr, logger, "propagate", passes_on)
        yield


def _is_terminal(handler: logging.Handler) -> bool:
    return isinstance(handler, logging.StreamHandler) and handler.stream in (sys.stderr, sys.stdout)


# Files


def _check_names(names: Iterable[str]) -> None:
    for name in names:
        path = PurePosixPath(name)
        if path.is_absolute() or not path.parts or ".." in path.parts or "\0" in name:
            raise CopyError(f"a name that is not in the folder: {name!r}")


def _parts(files: Mapping[str, int], most: int) -> Iterator[list[tuple[str, int, int]]]:
    """Divide files into parts of at most so many bytes, several files in one if they are small."""
    parts: list[tuple[str, int, int]] = []
    room = most
    for name, size in files.items():
        offset = 0
        while offset < size or (size == 0 and offset == 0):
            length = min(size - offset, room)
            parts.append((name, offset, length))
            offset, room = offset + max(length, 1), room - max(length, 1)
            if room <= 0:
                yield parts
                parts, room = [], most
    if parts:
        yield parts


def _filled(parts: Sequence[tuple[str, int, int]], data: Sequence[bytes]) -> list[tuple[str, int, bytes]]:
    """Return parts with their data for their sizes."""
    if [len(one) for one in data] != [size for _, _, size in parts]:
        raise CopyError("a file has become shorter while it was copied")
    return [(name, offset, one) for (name, offset, _), one in zip(parts, data, strict=True)]
