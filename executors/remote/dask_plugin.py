"""What a study puts into each Dask worker: an agent's process beside it, and a way for lines and files."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import socket
import sys
import threading
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Final, TypeAlias

import dask
from distributed import Nanny, NannyPlugin, Status, Worker, WorkerPlugin
from distributed.protocol.pickle import dumps

from hbsim.executors import proc
from hbsim.executors.remote.carrier import CopyError

__all__ = ["AgentPlugin", "install"]

Answer: TypeAlias = dict[str, Any]
Event: TypeAlias = tuple[object, ...]
Parts: TypeAlias = Sequence[tuple[str, int, int]]  # a file's name, an offset in it, a size
Filled: TypeAlias = Sequence[tuple[str, int, bytes]]

PART: Final = 4 << 20  # bytes of files that travel at once,
MANY: Final = 1000  # of at most so many files
AGAIN: Final = 1.0  # seconds until an event that nobody has acknowledged is in answers, too
ENDING: Final = 5.0  # seconds in which an agent ends what it has started, once its stdin is closed
CLOSING: Final = 20.0  # seconds that an agent waits for `close` after its trials have left,
MARGIN: Final = 5.0  # and some more until it has ended and the controller has heard of it
FIRST, LONGEST = 0.5, 10.0  # seconds until another agent is started
STEADY: Final = 60.0  # seconds after which an agent's end counts as its first
LEASES: Final = 2.0  # leases without a request, after which the plugin takes itself off the worker,
LEAST: Final = 20.0  # or so many seconds, if that is more
_UNREAD: Final = 64 << 20  # bytes that an agent may leave unread
_CHUNK: Final = 1 << 16
_TAIL: Final = 2000  # characters of what it printed last
_LAST: Final = 0.5  # seconds for what it has left, and for what it printed last
_POLL: Final = 0.02
_OF_DASK: Final = ("DASK_INTERNAL_INHERIT_CONFIG", "__DASK_PARENT_PID")


def plugin_name(config: str) -> str:
    """Return the name of the plugin, and of its handler, for the configuration of a study."""
    return f"hbsim-{json.loads(config)['session']}"


async def install(config: str, dask_worker: Worker) -> None:
    """Set up the plugin in a Dask worker, unless it is there; `distributed.Client.run` calls it."""
    plugin = AgentPlugin(config)
    if plugin.name not in dask_worker.plugins:
        await dask_worker.plugin_add(plugin=plugin, name=plugin.name, catch_errors=False)


class AgentPlugin(WorkerPlugin):
    """Keeps an agent beside a Dask worker. When the worker ends in order, trials are handed back first.

    Parameters
    ----------
    config : str
        What each agent gets as its first line.

    Attributes
    ----------
    name : str
        As of `plugin_name`.
    command : sequence of str
        What starts an agent.
    """

    command: ClassVar[Sequence[str]] = (sys.executable, "-P", "-m", "hbsim.executors.remote.agent")

    def __init__(self, config: str) -> None:
        self.name = plugin_name(config)
        self._config = config

    async def setup(self, worker: Worker) -> None:
        """Begin, without waiting for the agent."""
        self._keeper = AgentKeeper(worker, self._config, self.command)
        if worker.nanny:
            guard: bytes = dumps(HandBack(self.name, self._keeper.limit))  # type: ignore[no-untyped-call]
            with suppress(OSError):
                async with worker.rpc(str(worker.nanny)) as nanny:
                    await nanny.plugin_add(plugin=guard, name=self.name)

    async def teardown(self, worker: Worker) -> None:
        """End the agent."""
        if worker.status == Status.closing:
            await self._keeper.leave()
        elif worker.nanny:
            with suppress(OSError):
                async with worker.rpc(str(worker.nanny)) as nanny:
                    await nanny.plugin_remove(name=self.name)
        await self._keeper.close()


class HandBack(NannyPlugin):
    """Has a worker hand its trials back before its nanny, which was told to end, ends it.

    A nanny gives its worker a few seconds only, but waits for its own plugins.

    Parameters
    ----------
    name : str
        Of the worker's handler.
    limit : float
        Seconds that it may take.
    """

    def __init__(self, name: str, limit: float) -> None:
        self.name, self._limit = name, limit

    async def teardown(self, nanny: Nanny) -> None:
        """Wait until the worker's agent has ended."""
        if nanny.status != Status.closing or not nanny.is_alive():  # type: ignore[no-untyped-call]
            return
        with suppress(OSError):  # the worker has ended, or it takes too long
            async with asyncio.timeout(self._limit), nanny.rpc(nanny.worker_address) as worker:
                await getattr(worker, self.name)(do="leave")


class AgentKeeper:
    """Has an agent run beside a Dask worker, always one, and passes on its lines.

    What the controller asks for comes to the worker's handler that is named like the plugin; ``do`` is one of
    lines, leave, close, list, read, make, write. What happens is numbered, logged as an event in the topic
    that the controller has named, and kept until the controller has acknowledged it; if that takes long, it
    is in the answer to `lines`, too. Events are ``("joined", agent, host)``, ``("line", agent,
    text)``, ``("ended", agent, reason, clean)`` and ``("failed", host, reason)``.

    Parameters
    ----------
    worker : distributed.Worker
        The Dask worker.
    config : str
        What each agent gets as its first line, with its id added.
    command : sequence of str
        What starts an agent.

    Attributes
    ----------
    limit : float
        Seconds that it may take to hand all trials back.
    """

    def __init__(self, worker: Worker, config: str, command: Sequence[str]) -> None:
        self._worker, self._name, self._command = worker, plugin_name(config), command
        self._config = json.loads(config)
        self._grace, self._lease = float(self._config["grace"]), float(self._config["lease"])
        self.limit = self._grace + CLOSING + 2 * MARGIN
        self._place: str = worker.contact_address or worker.address
        self._id = secrets.token_hex(8)
        self._topic = ""
        self._events: deque[tuple[float, Event]] = deque()  # when what nobody has acknowledged was logged,
        self._last = 0  # and the number of the last of it
        self._process: Process | None = None  # the agent that runs,
        self._agent, self._taken = "", 0  # its id, and the number of the last line that it got
        self._tail = ""
        self._stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._clock = loop.time
        self._heard = loop.time()
        self._leaving: asyncio.Task[None] | None = None
        self._going: asyncio.Task[object] | None = None
        self._task = loop.create_task(self._keep())
        self._watcher = loop.create_task(self._watch())
        self._do: dict[str, Callable[..., Awaitable[Answer]]] = {
            "lines": self._lines,
            "leave": self._leave_all,
            "close": self._end,
        }
        worker.handlers[self._name] = self._handle
        _SIGTERM.add(self, loop)

    async def leave(self) -> None:
        """Have the agent hand its trials back and end, and wait until the controller has heard of it."""
        if self._leaving is None:
            self._leaving = asyncio.get_running_loop().create_task(self._leave())
        await asyncio.shield(self._leaving)

    async def close(self) -> None:
        """End the agent and everything else. May be called twice."""
        _SIGTERM.remove(self)
        if self._worker.handlers.get(self._name) == self._handle:
            del self._worker.handlers[self._name]
        for task in (self._task, self._watcher):
            task.cancel()
        await asyncio.gather(self._task, self._watcher, return_exceptions=True)

    # What the controller asks for

    async def _handle(self, comm: object = None, do: str = "", **given: Any) -> Answer:
        try:
            if do in _FILES:
                return await asyncio.to_thread(_FILES[do], **given)
            return await self._do[do](**given)
        except OSError as error:
            return {"error": error.strerror or str(error)}
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}"}

    async def _lines(
        self, topic: str, keeper: str, heard: int, agent: str, first: int, lines: Sequence[str]
    ) -> Answer:
        """Take lines for the agent, from number `first` on, and an acknowledgement of events."""
        now = self._heard = self._clock()
        long_ago = now - AGAIN if (keeper, topic) == (self._id, self._topic) else now
        self._topic = topic
        while keeper == self._id and self._events and self._last - len(self._events) < heard:
            self._events.popleft()
        if self._process is not None and agent == self._agent:
            self._write_lines(self._process, lines[self._taken + 1 - first :])
        taken = self._taken if agent == self._agent else None
        events = [event for logged, event in self._events if logged <= long_ago]
        number = self._last - len(self._events) + 1
        return {"keeper": self._id, "taken": taken, "first": number, "events": events}

    def _write_lines(self, process: Process, lines: Sequence[str]) -> None:
        assert process.stdin is not None
        if process.stdin.transport.get_write_buffer_size() < _UNREAD:
            process.stdin.write("".join(f"{line}\n" for line in lines).encode())
            self._taken += len(lines)

    async def _leave_all(self) -> Answer:
        await self.leave()
        return {}

    async def _end(self) -> Answer:
        await self._worker.plugin_remove(name=self._name)
        return {}

    # What it does

    def _say(self, *events: Event) -> None:
        first, now = self._last + 1, self._clock()
        self._events += ((now, event) for event in events)
        self._last += len(events)
        about = {"place": self._place, "keeper": self._id, "first": first, "events": events}
        if self._topic:
            with suppress(OSError):  # the scheduler has gone, and so will this worker
                self._worker.log_event(self._topic, about)

    async def _keep(self) -> None:
        pause = FIRST
        while not self._stop.is_set():
            begun = self._clock()
            await self._one(f"{self._place}-{secrets.token_hex(8)}")
            pause = FIRST if self._clock() - begun > STEADY else pause
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), pause)
            pause = min(2 * pause, LONGEST)
            while self._clock() - self._heard > self._lease and not self._stop.is_set():
                await asyncio.sleep(FIRST)

    async def _one(self, agent: str) -> None:
        """Start an agent, pass on its lines, and say how it ended."""
        host = _host_name(self._worker)
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                env=_environment(bool(self._worker.nanny)),
                start_new_session=True,
            )
        except OSError as error:
            self._say(("failed", host, f"its agent cannot be started: {error.strerror or error}"))
            return
        assert process.stdout is not None
        assert process.stderr is not None
        self._agent, self._process, self._taken, self._tail = agent, process, 0, ""
        printed = asyncio.get_running_loop().create_task(self._pass_on(process.stderr))
        try:
            self._write_lines(process, [json.dumps({**self._config, "agent": agent})])
            self._taken = 0
            self._say(("joined", agent, host))
            if self._stop.is_set():
                process.terminate()
            unread = b""
            while data := await process.stdout.read(_CHUNK):
                *lines, unread = (unread + data).split(b"\n")
                self._say(*(("line", agent, line.decode("utf-8", "replace")) for line in lines))
        finally:
            self._agent, self._process = "", None
            self._say(("ended", agent, *await self._wait_for_end(process, printed)))

    async def _wait_for_end(self, process: Process, printed: asyncio.Task[None]) -> tuple[str, bool]:
        """Close an agent's stdin, upon which it ends; kill what does not; say how it ended, and if clean."""
        assert process.stdin is not None
        process.stdin.close()
        # Not `wait`: that may wait for whatever holds its stderr, too.
        if not await _until(lambda: process.returncode is not None, ENDING):
            proc.kill(process.pid)
            await _until(lambda: process.returncode is not None, ENDING)
        await _until(lambda: not proc.kill_group(process.pid), _LAST)
        await asyncio.wait({printed}, timeout=_LAST)
        printed.cancel()
        code = process.returncode
        how = "it does not end" if code is None else f"exit code {code}" if code >= 0 else f"signal {-code}"
        last = self._tail.strip().rpartition("\n")[2].strip()
        return how + (f": {last}" if last else ""), code == 0

    async def _pass_on(self, printed: asyncio.StreamReader) -> None:
        """Let what an agent prints come out where the Dask worker's output does, and keep the end."""
        while data := await printed.read(_CHUNK):
            text = data.decode("utf-8", "replace")
            self._tail = (self._tail + text)[-_TAIL:]
            with suppress(OSError, ValueError):
                sys.stderr.write(text)

    async def _leave(self) -> None:
        self._stop.set()
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.terminate()
        heard = _is_connected(self._worker)  # else nobody can say `close`: trials save, and that is all
        await asyncio.wait({self._task}, timeout=self._grace + (CLOSING if heard else 0) + MARGIN)
        self._task.cancel()
        await _until(lambda: not (self._events and _is_connected(self._worker)), MARGIN)

    async def _watch(self) -> None:
        """Take the plugin off the worker some time after nobody was heard."""
        while self._clock() - self._heard <= max(LEAST, LEASES * self._lease):
            await asyncio.sleep(FIRST)
        self._going = asyncio.get_running_loop().create_task(self._worker.plugin_remove(name=self._name))


class _Sigterm:
    """What SIGTERM does in a Dask worker's process: agents hand their trials back, then Dask gets it.

    Dask would close the connection to the scheduler first, and end the agents then.
    """

    def __init__(self) -> None:
        self._keepers: dict[AgentKeeper, asyncio.AbstractEventLoop] = {}
        self._before: Any = None
        self._task: asyncio.Task[None] | None = None

    def add(self, keeper: AgentKeeper, loop: asyncio.AbstractEventLoop) -> None:
        if threading.current_thread() is threading.main_thread() and not self._keepers:
            self._before = signal.signal(signal.SIGTERM, self._on_signal)
        self._keepers[keeper] = loop

    def remove(self, keeper: AgentKeeper) -> None:
        self._keepers.pop(keeper, None)
        if not self._keepers and signal.getsignal(signal.SIGTERM) == self._on_signal:
            signal.signal(signal.SIGTERM, self._before or signal.SIG_DFL)

    def _on_signal(self, number: int, frame: object) -> None:
        for loop in list(self._keepers.values())[:1]:
            loop.call_soon_threadsafe(self._begin)

    def _begin(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._hand_back())

    async def _hand_back(self) -> None:
        await asyncio.gather(*(keeper.leave() for keeper in self._keepers), return_exceptions=True)
        signal.signal(signal.SIGTERM, self._before or signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)


_SIGTERM: Final = _Sigterm()


def _is_connected(worker: Worker) -> bool:
    stream = worker.batched_stream
    return stream is not None and stream.comm is not None and not stream.comm.closed()


def _host_name(worker: Worker) -> str:
    """Return the worker's name, if somebody gave it one; else the machine's."""
    name = worker.name
    given = isinstance(name, str) and not name.isdigit() and "://" not in name
    return name if given else socket.gethostname()


def _environment(nanny: bool) -> dict[str, str]:
    """Return the environment of an agent: that of this Dask worker as it was before Dask's nanny.

    A nanny limits numerical libraries to one thread, for Dask's own tasks; trials get as many as their
    workers have cores. Nor has a trial that uses Dask itself the configuration that this worker was started
    with.
    """
    environment = {name: value for name, value in os.environ.items() if name not in _OF_DASK}
    if nanny:
        before = _environment_of(os.getppid())
        for name in ("PYTHONHASHSEED", *dask.config.get("distributed.nanny.pre-spawn-environ", {})):
            environment.pop(name, None)
            if name in before:
                environment[name] = before[name]
    return environment


def _environment_of(pid: int) -> dict[str, str]:
    """Return what a process was started with; empty where that is unknown."""
    try:
        content = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return {}
    pairs = (os.fsdecode(entry).partition("=") for entry in content.split(b"\0") if b"=" in entry)
    return {name: value for name, _, value in pairs}


async def _until(is_so: Callable[[], bool], seconds: float) -> bool:
    """Wait until something is so; return whether it is."""
    clock = asyncio.get_running_loop().time
    end = clock() + seconds
    while not is_so():
        if clock() > end:
            return False
        await asyncio.sleep(_POLL)
    return True


# Files. Names are relative to a folder


def list_files(path: str) -> Answer:
    """Return the ``folders`` and ``files``, with their sizes, that are in a folder."""
    folders: list[str] = []
    files: list[tuple[str, int]] = []
    for base, names, others in os.walk(path, onerror=_raise):
        below = Path(base).relative_to(path)
        names[:] = [name for name in names if not Path(base, name).is_symlink()]
        folders += [(below / name).as_posix() for name in names]
        found = ((below / name, Path(base, name)) for name in others)
        files += [(name.as_posix(), file.stat().st_size) for name, file in found if file.is_file()]
    return {"folders": folders, "files": files}


def _raise(error: OSError) -> None:
    raise error


def read_files(path: str, parts: Parts) -> Answer:
    """Return parts of files, as ``data``."""
    data = []
    for name, offset, size in parts:
        with open(Path(path, name), "rb") as file:
            file.seek(offset)
            data.append(file.read(size))
    return {"data": data}


def make_folder(path: str, folders: Sequence[str]) -> Answer:
    """Make a folder, and others in it."""
    Path(path).mkdir(parents=True)
    for name in folders:
        Path(path, name).mkdir()
    return {}


def write_files(path: str, parts: Filled) -> Answer:
    """Write parts of files; one that begins at 0 makes the file."""
    for name, offset, data in parts:
        with open(Path(path, name), "wb" if offset == 0 else "r+b") as file:
            file.seek(offset)
            file.write(data)
    return {}


_FILES: Final[Mapping[str, Callable[..., Answer]]] = {
    "list": list_files,
    "read": read_files,
    "make": make_folder,
    "write": write_files,
}


def divide(files: Mapping[str, int]) -> Iterator[Parts]:
    """Divide files, given their sizes, into what travels at once: several small files, or a part of one."""
    parts: list[tuple[str, int, int]] = []
    room = PART
    for name, size in files.items():
        for offset in range(0, max(size, 1), PART):
            length = min(size - offset, PART)
            if length > room or len(parts) == MANY:
                yield parts
                parts, room = [], PART
            parts.append((name, offset, length))
            room -= length
    if parts:
        yield parts


def fill(parts: Parts, data: Sequence[bytes]) -> Filled:
    """Return parts with their data in place of their sizes."""
    if [len(one) for one in data] != [size for _, _, size in parts]:
        raise CopyError("a file has become shorter while it was copied")
    return [(name, offset, one) for (name, offset, _), one in zip(parts, data, strict=True)]


def check_names(names: Iterable[str]) -> None:
    """Raise an error unless names, of a host that may be anything, lie in the folder."""
    for name in names:
        path = PurePosixPath(name)
        if path.is_absolute() or not path.parts or ".." in path.parts:
            raise CopyError(f"a name that does not lie in the folder: {name!r}")
