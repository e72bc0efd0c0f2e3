"""The agent's process, as the Dask worker's plugin keeps it: a socket to it, and another one when it ends."""

from __future__ import annotations

import asyncio
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import IO, Any, Final

from hbsim.executors import proc

__all__ = ["AgentProcess", "Keeper"]

GRACE: Final = 5.0  # seconds in which an agent ends what it has started, once its line is closed
FIRST, LONGEST = 0.5, 10.0  # seconds until another agent is started
STEADY: Final = 60.0  # seconds after which an agent's end counts as its first
_UNREAD: Final = 64 << 20  # bytes that an agent may leave unread
_CHUNK: Final = 1 << 16
_TAIL: Final = 2000  # characters of what it printed last
_LAST: Final = 0.5  # seconds for what it has left, and for what it printed last, to be gone
_POLL: Final = 0.02


class AgentProcess:
    """An agent that runs; made by `start`.

    Attributes
    ----------
    name : str
        Its id.
    """

    def __init__(self, name: str, process: subprocess.Popen[bytes], writer: asyncio.StreamWriter) -> None:
        self.name = name
        self._process, self._writer = process, writer
        self._tasks: list[asyncio.Task[None]] = []
        self._tail = ""

    @classmethod
    async def start(
        cls,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        first: str,
        hear: Callable[[str], None],
    ) -> AgentProcess:
        """Start an agent.

        Parameters
        ----------
        name : str
            Its id.
        command : sequence of str
            What starts it; the number of the file descriptor of its socket is added.
        environment : mapping
            Of its process.
        first : str
            What it is told first.
        hear : callable
            Called with each line that it says.

        Raises
        ------
        OSError
            It cannot be started.
        """
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                # Here and not in a thread: it must not end with the thread that has started it.
                process = _popen([*command, str(theirs.fileno())], environment, theirs.fileno())
        except BaseException:
            ours.close()
            raise
        try:
            reader, writer = await asyncio.open_connection(sock=ours)
        except BaseException:
            ours.close()
            process.kill()
            process.communicate()
            raise
        agent = cls(name, process, writer)
        assert process.stdout is not None
        loop = asyncio.get_running_loop()
        agent._tasks = [
            loop.create_task(agent._read(reader, hear)),
            loop.create_task(agent._pass_on(process.stdout)),
        ]
        writer.write(first.encode() + b"\n")
        return agent

    def write(self, lines: Iterable[str]) -> bool:
        """Hand it lines, without waiting; return whether it still reads."""
        transport = self._writer.transport
        if transport.is_closing() or transport.get_write_buffer_size() > _UNREAD:
            return False
        self._writer.write("".join(f"{line}\n" for line in lines).encode())
        return True

    async def ended(self) -> tuple[str, bool]:
        """Wait until it has ended, or closed its line; then as `close`."""
        await asyncio.shield(self._tasks[0])
        return await self.close()

    async def close(self) -> tuple[str, bool]:
        """Close the line, upon which the agent ends, and wait for that; kill it if it takes too long.

        Returns
        -------
        reason : str
            How it ended.
        clear : bool
            Whether it has ended in order: then nothing is left of what it had started.
        """
        self._writer.transport.abort()
        if not await _until(lambda: self._process.poll() is not None, GRACE):
            self._process.kill()
            await _until(lambda: self._process.poll() is not None, GRACE)
        await _until(lambda: not proc.kill_group(self._process.pid), _LAST)
        await asyncio.wait({self._tasks[1]}, timeout=_LAST)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        code = self._process.returncode
        last = self._tail.strip().rpartition("\n")[2].strip()
        return _how(code) + (f": {last}" if last else ""), code == 0

    async def _read(self, reader: asyncio.StreamReader, hear: Callable[[str], None]) -> None:
        unread = b""
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                *lines, unread = (unread + data).split(b"\n")
                for line in lines:
                    hear(line.decode("utf-8", "replace"))

    async def _pass_on(self, printed: IO[bytes]) -> None:
        """Let what it prints come out where the Dask worker's output does, and keep the end."""
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), printed)
        try:
            while data := await reader.read(_CHUNK):
                text = data.decode("utf-8", "replace")
                self._tail = (self._tail + text)[-_TAIL:]
                with suppress(OSError, ValueError):
                    sys.stderr.write(text)
        finally:
            transport.close()


class Keeper:
    """Has an agent run, always one: another is started when one ends, after a while.

    Parameters
    ----------
    start : callable
        Starts an agent, given its id.
    address : str
        Of the Dask worker.
    say : callable
        Given what the controller is to be told.
    wanted : callable
        Whether anybody has asked for anything lately. If nobody has when an agent ends, the next one waits
        until somebody does.

    Attributes
    ----------
    agent : AgentProcess or None
        The one that runs.
    """

    def __init__(
        self,
        start: Callable[[str], Awaitable[AgentProcess]],
        address: str,
        say: Callable[[dict[str, Any]], None],
        wanted: Callable[[], bool],
    ) -> None:
        self.agent: AgentProcess | None = None
        self._start, self._address, self._say, self._wanted = start, address, say, wanted
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Tell that an agent is wanted."""
        self._woken.set()

    async def run(self) -> None:
        """Keep it up until cancelled; then the agent ends, too."""
        clock = asyncio.get_running_loop().time
        pause = FIRST
        while True:
            begun = clock()
            await self._one(f"{self._address}-{secrets.token_hex(8)}")
            pause = FIRST if clock() - begun > STEADY else pause
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST)
            self._woken.clear()
            if not self._wanted():
                await self._woken.wait()

    async def _one(self, name: str) -> None:
        """Start an agent, and say how it ended."""
        reason, clear = "", False
        try:
            self.agent = await self._start(name)
            reason, clear = await self.agent.ended()
        except OSError as error:
            reason, clear = f"it cannot be started: {error.strerror or error}", True
        finally:
            agent, self.agent = self.agent, None
            if agent is not None and not reason:  # this is cancelled
                reason, clear = await agent.close()
            if reason:
                self._say({"agent": name, "worker": self._address, "ended": reason, "clear": clear})


async def _until(is_so: Callable[[], bool], seconds: float) -> bool:
    """Wait until something is so; return whether it is."""
    clock = asyncio.get_running_loop().time
    end = clock() + seconds
    while not is_so():
        if clock() > end:
            return False
        await asyncio.sleep(_POLL)
    return True


def _popen(
    command: Sequence[str], environment: Mapping[str, str], descriptor: int
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        pass_fds=(descriptor,),
        start_new_session=True,
    )


def _how(code: int | None) -> str:
    if code is None:
        return "it does not end"
    if code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):
        return f"signal {-code}, {signal.Signals(-code).name}"
    return f"signal {-code}"
