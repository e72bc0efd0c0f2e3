"""The plugin of Dask workers that runs a study's agent, passes on its lines, and does file operations."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import signal
import socket
import sys
import threading
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Final

import dask
from distributed import Nanny, NannyPlugin, Status, Worker, WorkerPlugin
from distributed.protocol.pickle import dumps

from hbsim.executors import processes
from hbsim.executors.json_lines import LineReader

ENDING: Final = 5.0  # seconds for an agent to end its processes once its stdin is closed
CLOSING: Final = 20.0  # seconds that an agent waits for `close` after its trials have left,
MARGIN: Final = 5.0  # and seconds more until it has ended
_CHUNK: Final = 1 << 16
_TAIL: Final = 2000  # bytes kept of the agent's last output
_LAST: Final = 0.5  # seconds for its remaining processes, its last output, and sending its last line
_POLL: Final = 0.02
_OF_DASK: Final = ("DASK_INTERNAL_INHERIT_CONFIG", "__DASK_PARENT_PID")


async def install(config: str, topic: str, place: str, dask_worker: Worker) -> None:
    """Start an agent beside a Dask worker, in place of the study's one before; for `Client.run`.

    Parameters
    ----------
    config : str
        The agent's first line.
    topic : str
        The topic of the events: ``("joined", agent, host, place)``, ``("lines", agent, lines)`` and at last
        ``("ended", agent, place, reason, clean, ends)``, where `ends` says whether the worker is about to
        end.
    place : str
        The worker's address.
    dask_worker : Worker
        The worker.
    """
    plugin = AgentPlugin(config, topic, place)
    before = dask_worker.plugins.get(plugin.name)
    if isinstance(before, AgentPlugin):
        before.topic = topic  # its end is reported on this connection
    await dask_worker.plugin_add(plugin=plugin, name=plugin.name, catch_errors=False)


class AgentPlugin(WorkerPlugin):
    """A plugin that runs an agent beside a Dask worker, and hands trials back before the worker's end.

    The controller calls its operations by the worker's handler with the plugin's name.

    Parameters
    ----------
    config, topic, place : str
        As for `install`.

    Attributes
    ----------
    name : str
        The plugin's name, the same for all agents of a study.
    command : sequence of str
        The command that starts an agent.
    """

    command: ClassVar[Sequence[str]] = (sys.executable, "-P", "-m", "hbsim.executors.remote.agent")

    def __init__(self, config: str, topic: str, place: str) -> None:
        about = json.loads(config)
        self.name, self.topic, self._place = f"hbsim-{about['session']}", topic, place
        self._agent = f"{place}-{secrets.token_hex(8)}"
        self._first_line = json.dumps({**about, "agent": self._agent})
        self._grace = float(about["grace"])
        self._process: Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._removal: asyncio.Task[object] | None = None
        self._leaves = False
        self._printed = b""

    async def setup(self, worker: Worker) -> None:
        """Start the agent."""
        self._worker = worker
        self._process = await asyncio.create_subprocess_exec(
            *self.command,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=_environment(bool(worker.nanny)),
            start_new_session=True,
        )
        worker.handlers[self.name] = self._handle
        _PLUGINS.add(self)
        _hand_back_at_sigterm()
        limit = self._grace + CLOSING + 2 * MARGIN
        await self._inform_nanny("plugin_add", plugin=dumps(HandBack(self.name, limit)))  # type: ignore[no-untyped-call]
        self._say("joined", self._agent, _host_name(worker), self._place)
        self._task = asyncio.create_task(self._follow(self._process))
        assert self._process.stdin is not None
        self._process.stdin.write(f"{self._first_line}\n".encode())

    async def teardown(self, worker: Worker) -> None:
        """End the agent."""
        if worker.status == Status.closing:
            await self.leave()
        else:
            await self._inform_nanny("plugin_remove")
            await self._stop()
        _PLUGINS.discard(self)
        if worker.handlers.get(self.name) == self._handle:
            del worker.handlers[self.name]

    async def leave(self) -> None:
        """Make the agent hand its trials back and end."""
        if self._process is not None and self._task is not None:
            if not self._leaves:
                processes.kill(self._process.pid, signal.SIGTERM)
            self._leaves = True
            stream = self._worker.batched_stream
            is_heard = stream is not None and stream.comm is not None and not stream.comm.closed()
            # Without a connection no `close` can come: trials save, and no copies are made.
            await asyncio.wait({self._task}, timeout=self._grace + (CLOSING if is_heard else 0) + MARGIN)
        await self._stop()

    async def _inform_nanny(self, what: str, **given: object) -> None:
        if self._worker.nanny:
            with suppress(OSError):
                async with self._worker.rpc(str(self._worker.nanny)) as nanny:
                    await getattr(nanny, what)(name=self.name, **given)

    # Operations for the controller

    async def _handle(self, comm: object = None, do: str = "", given: Sequence[Any] = ()) -> dict[str, Any]:
        """Do an operation; return its result, or its error."""
        acts: dict[str, Callable[..., Awaitable[None]]]
        acts = {"write": self._write, "leave": self.leave, "end": self._end}
        try:
            found = await (acts[do](*given) if do in acts else asyncio.to_thread(FILES[do], *given))
            return {"found": found}
        except OSError as error:
            return {"error": ": ".join([*map(str, given[:1]), error.strerror or str(error)])}

    async def _write(self, agent: str, lines: Sequence[str]) -> None:
        """Write lines to the agent, as fast as it reads them."""
        if agent != self._agent or self._process is None or self._process.stdin is None:
            raise ProcessLookupError("it has ended")
        self._process.stdin.write("".join(f"{line}\n" for line in lines).encode())
        await self._process.stdin.drain()

    async def _end(self) -> None:
        await self._worker.plugin_remove(name=self.name)

    # The agent's process

    def _say(self, *event: object) -> None:
        self._worker.log_event(self.topic, event)

    async def _follow(self, process: Process) -> None:
        """Pass on the agent's lines, report how it ended, and remove the plugin."""
        assert process.stdout is not None
        printing = asyncio.create_task(self._pass_on(process))
        reader = LineReader()
        while data := await process.stdout.read(_CHUNK):
            lines = [line.decode("utf-8", "replace") for line in reader.lines(data)]
            self._say("lines", self._agent, lines)
        await self._stop()
        await _until(lambda: not processes.kill_group(process.pid), _LAST)
        await asyncio.wait({printing}, timeout=_LAST)
        printing.cancel()
        code = process.returncode
        how = "it does not end" if code is None else f"exit code {code}" if code >= 0 else f"signal {-code}"
        if last := self._printed.decode("utf-8", "replace").strip().rpartition("\n")[2].strip():
            how += f": {last}"
        self._say("ended", self._agent, self._place, how, code == 0, self._leaves)
        if self._worker.plugins.get(self.name) is self and not self._leaves:
            self._removal = asyncio.create_task(self._end())

    async def _pass_on(self, process: Process) -> None:
        """Copy the agent's stderr to the Dask worker's, and keep its end."""
        assert process.stderr is not None
        while data := await process.stderr.read(_CHUNK):
            self._printed = (self._printed + data)[-_TAIL:]
            with suppress(OSError, ValueError):
                sys.stderr.write(data.decode("utf-8", "replace"))

    async def _stop(self) -> None:
        """Close the agent's stdin, which ends it, and kill it if it goes on; wait for its last events."""
        process, task = self._process, self._task
        if process is not None and process.stdin is not None:
            process.stdin.close()
            # Not `wait`: that also waits for other processes that have its stderr open.
            if not await _until(lambda: process.returncode is not None, ENDING):
                processes.kill(process.pid)
                await _until(lambda: process.returncode is not None, ENDING)
        if task is not None and task is not asyncio.current_task():
            await asyncio.wait({task}, timeout=ENDING)


class HandBack(NannyPlugin):
    """A nanny's plugin that makes the worker hand its trials back before the nanny ends it.

    A nanny gives its worker only a few seconds, but waits for its own plugins.

    Parameters
    ----------
    name : str
        The name of the worker's handler.
    limit : float
        The most seconds to wait.
    """

    def __init__(self, name: str, limit: float) -> None:
        self.name, self._limit = name, limit

    async def teardown(self, nanny: Nanny) -> None:
        """Wait until the worker's agent has ended."""
        if nanny.status != Status.closing or not nanny.is_alive():  # type: ignore[no-untyped-call]
            return
        with suppress(OSError):  # the worker has ended, or takes too long
            async with asyncio.timeout(self._limit), nanny.rpc(nanny.worker_address) as worker:
                await getattr(worker, self.name)(do="leave")


_PLUGINS: Final[set[AgentPlugin]] = set()


@cache
def _hand_back_at_sigterm() -> None:
    """Make all agents of this process hand their trials back at SIGTERM, before Dask handles the signal.

    Dask would first close the connection to the scheduler, and then end the agents.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    loop, before = asyncio.get_running_loop(), signal.getsignal(signal.SIGTERM)
    tasks: list[asyncio.Task[None]] = []

    async def hand_back() -> None:
        if _PLUGINS:
            await asyncio.gather(*(plugin.leave() for plugin in _PLUGINS), return_exceptions=True)
            await asyncio.sleep(_LAST)
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)

    def begin() -> None:
        if not tasks:
            tasks.append(loop.create_task(hand_back()))

    def on_signal(number: int, frame: object) -> None:
        loop.call_soon_threadsafe(begin)

    signal.signal(signal.SIGTERM, on_signal)


def _host_name(worker: Worker) -> str:
    """Return the worker's name if a user gave it one, else the machine's."""
    name = worker.name
    given = isinstance(name, str) and not name.isdigit() and "://" not in name
    return name if given else socket.gethostname()


def _environment(nanny: bool) -> dict[str, str]:
    """Return the environment of an agent: that of this Dask worker before Dask's nanny changed it.

    A nanny limits numerical libraries to one thread, for Dask's own tasks; trials get as many threads as
    their workers have cores. The configuration with which this worker was started is left out, too, for
    trials that use Dask themselves.
    """
    environment = {name: value for name, value in os.environ.items() if name not in _OF_DASK}
    if nanny:
        before: dict[str, str] = {}
        with suppress(OSError):
            content = os.fsdecode(Path(f"/proc/{os.getppid()}/environ").read_bytes())
            before = dict(entry.split("=", 1) for entry in content.split("\0") if "=" in entry)
        for name in ("PYTHONHASHSEED", *dask.config.get("distributed.nanny.pre-spawn-environ", {})):
            environment.pop(name, None)
            if name in before:
                environment[name] = before[name]
    return environment


async def _until(is_so: Callable[[], bool], seconds: float) -> bool:
    """Wait until a condition holds, at most some seconds; return whether it holds."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not is_so():
                await asyncio.sleep(_POLL)
    return is_so()


# File operations, with names relative to a folder


def _list(folder: str) -> list[tuple[str, int | None]]:
    """Return the names in a folder and its subfolders, folders before their content, with sizes of files."""
    found: list[tuple[str, int | None]] = []
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.is_dir(follow_symlinks=False):
            found.append((entry.name, None))
            found += [(f"{entry.name}/{name}", size) for name, size in _list(entry.path)]
        elif entry.is_file():
            found.append((entry.name, entry.stat().st_size))
    return found


def _make(folder: str, name: str) -> None:
    Path(folder, name).mkdir(parents=True)


def _read(folder: str, name: str, offset: int, size: int) -> bytes:
    with open(Path(folder, name), "rb") as file:
        file.seek(offset)
        data = file.read(size)
    if len(data) != size:
        raise OSError(f"{name} has become shorter while it was copied")
    return data


def _write_part(folder: str, name: str, offset: int, data: bytes) -> None:
    with open(Path(folder, name), "r+b" if offset else "wb") as file:
        file.seek(offset)
        file.write(data)


FILES: Final[Mapping[str, Callable[..., Any]]] = {
    "list": _list,
    "make": _make,
    "read": _read,
    "write part": _write_part,
    "remove": shutil.rmtree,
}
