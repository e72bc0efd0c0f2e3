"""The carrier by SSH: an agent on each host, its lines on a channel, and files by SFTP."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shlex
import shutil
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

from hbsim.errors import ParameterError
from hbsim.executors.remote.dask import is_trusted
from hbsim.executors.remote.options import Hosts, parse_host
from hbsim.executors.remote.protocol import (
    AgentEnded,
    AgentLine,
    CarrierEvent,
    CopyError,
    HostFailed,
    Joined,
    cancel_tasks,
    dump,
)

PART: Final = 8 << 20  # bytes of a file at a time; asyncssh requests the blocks of a part in parallel
DEEPEST: Final = 64  # levels of nested folders
ANSWER: Final = 60.0  # seconds for a part: disks may be slow
CONNECT: Final = 20.0  # seconds for a host to answer
START: Final = 60.0  # seconds for the first output of Python there: network disks are slow
BEAT, BEATS = 5.0, 6  # half a minute of silence ends a connection, and the host is connected anew
LONGEST: Final = 64 << 20  # bytes of a line
_ENDS: Final = 2.0  # seconds from the end of a process's output to its exit code
_COPIES: Final = 4  # at once: OpenSSH allows ten sessions on a connection
AGENT: Final = "hbsim.executors.remote.agent"
CLOSING: Final = 5.0  # seconds for agents to end what they run
SOONEST, LATEST = 0.5, 30.0  # seconds until a host is tried again
LIVED: Final = 10.0  # seconds that an agent has to run for its host to be tried again at once


async def _copy_here(client: Any, source: str, target: Path) -> None:
    """Copy a host's folder into a new folder of this machine, which is removed if that fails.

    Parameters
    ----------
    client : asyncssh.SFTPClient
        The host's client.
    source : str
        The folder on the host.
    target : path
        The new folder on this machine.

    Raises
    ------
    CopyError, OSError, asyncssh.Error
        The folder cannot be copied.
    """
    await asyncio.to_thread(os.makedirs, target)
    try:
        await _get_folder(client, os.fsencode(source), os.fsencode(target))
    except BaseException:
        await asyncio.to_thread(shutil.rmtree, target, True)
        raise


async def _copy_there(client: Any, source: Path, target: str) -> None:
    """Copy a folder of this machine into a new folder on a host; arguments and errors as for `_copy_here`."""
    found = await asyncio.to_thread(_list, source)
    await client.makedirs(os.path.dirname(target), exist_ok=True)
    await client.mkdir(target)
    try:
        for path, is_folder in found:
            copy = os.path.join(os.fsencode(target), os.fsencode(path.relative_to(source)))
            await (client.mkdir(copy) if is_folder else _put_file(client, path, copy))
    except Exception:
        with suppress(Exception):  # the first error counts
            async with asyncio.timeout(ANSWER):
                await client.rmtree(target, ignore_errors=True)
        raise


async def _get_folder(client: Any, source: bytes, target: bytes, depth: int = 0) -> None:
    import asyncssh

    if depth > DEEPEST:
        raise CopyError(f"there are folders in more than {DEEPEST} folders")
    async for entry in client.scandir(source):
        name, attrs = entry.filename, entry.attrs
        if name in (b".", b".."):
            continue
        if not name or b"/" in name or b"\0" in name:
            raise CopyError(f"there is something with the name {os.fsdecode(name)!r}")
        original, copy = os.path.join(source, name), os.path.join(target, name)
        if attrs.type == asyncssh.FILEXFER_TYPE_DIRECTORY:
            await asyncio.to_thread(os.mkdir, copy)
            await _get_folder(client, original, copy, depth + 1)
            continue
        if attrs.type == asyncssh.FILEXFER_TYPE_SYMLINK:
            with suppress(asyncssh.SFTPError):  # a dangling link
                attrs = await client.stat(original)
        if attrs.type == asyncssh.FILEXFER_TYPE_REGULAR:
            await _get_file(client, original, copy, 0o777 if attrs.permissions & 0o100 else 0o666)


async def _get_file(client: Any, source: bytes, target: bytes, mode: int) -> None:
    async with client.open(source, "rb") as original:
        with open(target, "xb", opener=lambda path, flags: os.open(path, flags, mode)) as copy:
            size = PART
            while size == PART:
                async with asyncio.timeout(ANSWER):
                    data = await original.read(PART)
                size = await asyncio.to_thread(copy.write, data)
            await asyncio.to_thread(copy.flush)
            await asyncio.to_thread(os.fsync, copy.fileno())


async def _put_file(client: Any, source: Path, target: bytes) -> None:
    import asyncssh

    with open(source, "rb") as original:
        mode = 0o777 if os.fstat(original.fileno()).st_mode & 0o100 else 0o666
        async with client.open(target, "xb", asyncssh.SFTPAttrs(permissions=mode)) as copy:
            while data := await asyncio.to_thread(original.read, PART):
                async with asyncio.timeout(ANSWER):
                    await copy.write(data)


def _list(source: Path) -> list[tuple[Path, bool]]:
    """Return the paths below a folder, each with whether it is a folder."""
    os.stat(source)  # an error if it does not exist
    found = [(path, path.is_dir()) for path in sorted(source.rglob("*"))]
    return [
        (path, is_folder)
        for path, is_folder in found
        if (not path.is_symlink() if is_folder else path.is_file())
    ]


class HostError(ParameterError):
    """Raised when a host cannot be used; the rule has the reason and a remedy.

    Attributes
    ----------
    final : bool
        Whether only a user can repair it, so that trying again is useless.
    """

    def __init__(self, host: str, rule: str, final: bool = False) -> None:
        super().__init__("hosts", host, rule)
        self.final = final


class SshHost:
    """A host; its connection is made when it is first needed, and made again after it was lost.

    Parameters
    ----------
    name : str
        The host as its user wrote it.
    options : Hosts
        The options of the connection.
    """

    def __init__(self, name: str, options: Hosts) -> None:
        self.name = name
        self.start_limit = float(options.ssh_timeout or START)
        self._python = options.ssh_python or sys.executable
        self._connection: Any = None
        self._connecting = asyncio.Lock()
        self._copies = asyncio.Semaphore(_COPIES)
        user, address, port = parse_host(name)
        limit = float(options.ssh_timeout or CONNECT)
        # Options that are not given come from OpenSSH's configuration.
        given: dict[str, Any] = {
            "username": user or options.ssh_user,
            "port": port or options.ssh_port,
            "client_keys": options.ssh_key and [os.path.expanduser(options.ssh_key)],
            "known_hosts": options.ssh_known_hosts and os.path.expanduser(options.ssh_known_hosts),
        }
        self._given = {key: value for key, value in given.items() if value is not None}
        self._given |= {"host": address, "connect_timeout": limit, "login_timeout": limit}
        self._given |= {"keepalive_interval": BEAT, "keepalive_count_max": BEATS}
        self._given |= {"agent_forwarding": False, "x11_forwarding": False}
        self._given |= {"request_pty": False, "command": None}
        if is_trusted(f"tcp://[{address}]" if ":" in address else f"tcp://{address}"):
            self._given.setdefault("known_hosts", None)  # any key is accepted on this machine

    async def connect(self) -> Any:
        """Return the connection.

        Raises
        ------
        HostError
            The host cannot be reached, or refuses the login.
        """
        import asyncssh

        async with self._connecting:
            if self._connection is None or self._connection.is_closed():
                try:
                    self._connection = await asyncssh.connect(**self._given)
                except (OSError, asyncssh.Error, ValueError) as error:
                    raise HostError(self.name, *self._refusal(error)) from None
            return self._connection

    async def start(self, arguments: str) -> SshProcess:
        """Start the host's Python with these arguments, which a shell on the host parses.

        Raises
        ------
        HostError
            The host cannot be reached, or refuses a session.
        """
        import asyncssh

        home, slash, rest = self._python.partition("/")
        python = f"~/{shlex.quote(rest)}" if home == "~" and slash else shlex.quote(self._python)
        connection = await self.connect()
        try:
            async with asyncio.timeout(self.start_limit):
                how = {"window": LONGEST, "encoding": "utf-8", "errors": "replace"}
                process = await connection.create_process(f"exec {python} {arguments}", **how)
        except (OSError, asyncssh.Error) as error:
            self.drop()
            raise HostError(self.name, f"SSH starts nothing there: {printable(error)}") from None
        return SshProcess(process)

    @asynccontextmanager
    async def files(self) -> AsyncIterator[Any]:
        """Yield an SFTP client; every error, also in the block, becomes a `CopyError`."""
        import asyncssh

        gone: tuple[type[Exception], ...] = (HostError, TimeoutError, asyncssh.DisconnectError)
        gone += (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection)
        try:
            async with self._copies:
                connection = await self.connect()
                async with asyncio.timeout(self.start_limit):
                    client = await connection.start_sftp_client()
                async with client:
                    yield client
        except Exception as error:  # asyncssh may raise anything on a server's data
            away = isinstance(error, gone) or self._connection is None or self._connection.is_closed()
            text = error.rule if isinstance(error, HostError) else printable(error)
            raise CopyError(f"{self.name}, by SFTP: {text}", away) from None

    def drop(self) -> None:
        """End the connection; the next call of `connect` makes a new one."""
        if self._connection is not None:
            self._connection.abort()
        self._connection = None

    def no_start(self, process: SshProcess, ending: str) -> HostError:
        """Return the error for a process that has ended without a message."""
        said = process.last_line
        no_module = "No module named" in said and "hbsim" in said
        if no_module or "nknown option: -P" in said or process.status in (126, 127):
            rule = f"{self._python} there cannot run this version of hbsim ({said or ending}): install it "
            return HostError(self.name, f"{rule}there, or give ssh_python, a Python that has it", final=True)
        return HostError(self.name, f"hbsim there has ended at once: {ending}")

    def _refusal(self, error: Exception) -> tuple[str, bool]:
        """Return why there is no connection, and whether only a user can repair that."""
        import asyncssh

        try:
            found: Any = asyncssh.SSHClientConnectionOptions(**self._given)
        except (OSError, ValueError) as problem:  # of ssh_key, or of OpenSSH's configuration
            rule = f"its key for SSH cannot be read ({printable(problem)})"
            return f"{rule}; one with a passphrase needs ssh-agent", True
        port = found.port or 22
        command = f"`ssh {'' if port == 22 else f'-p {port} '}{found.username}@{self._given['host']}`"
        sentences: list[tuple[type[Exception] | tuple[type[Exception], ...], str]] = [
            (asyncssh.HostKeyNotVerifiable, _key_problem(found, command)),
            (
                asyncssh.PermissionDenied,
                f"does not let {found.username} in: {command} has to work without a password; or give "
                "ssh_user, ssh_key",
            ),
            (socket.gaierror, "has no address that is known on this machine"),
            (
                (OSError, asyncssh.ConnectionLost),
                f"no SSH server answers on port {port}; does {command} work? There are ssh_port, ssh_timeout",
            ),
            (Exception, "SSH failed"),
        ]
        rule = next(rule for kinds, rule in sentences if isinstance(error, kinds))
        return f"{rule} ({printable(error)})", isinstance(error, asyncssh.PermissionDenied)


def _key_problem(found: Any, command: str) -> str:
    """Return the problem with a host's key: it is unknown, or differs from the known one."""
    import asyncssh

    known: Any = ()
    with suppress(OSError, ValueError):  # no such file
        files = found.known_hosts or os.path.expanduser("~/.ssh/known_hosts")
        port = None if found.port in (None, 22) else found.port
        known = asyncssh.match_known_hosts(files, found.host_key_alias or found.host, "", port)[0]
    if not known:
        return f"its key is not among the known hosts: connect once by {command}, or give ssh_known_hosts"
    return (
        "its key is not the one that is known: it was installed anew, or somebody sits between and can "
        f"change what is sent; ask who runs it, then {command} says which old key is to be removed"
    )


class SshProcess:
    """A process on a host, with its output lines and its end.

    Parameters
    ----------
    process : asyncssh.SSHClientProcess
        The process, in text mode.

    Attributes
    ----------
    last_line : str
        The last line of its stderr so far.
    """

    def __init__(self, process: Any) -> None:
        self.last_line = ""
        self._process = process
        self._problem = ""
        self._reading = asyncio.create_task(self._read_stderr())

    @property
    def status(self) -> int | None:
        """Its exit code; None if there is none, or none is known yet."""
        found: int | None = self._process.exit_status
        return found

    def write(self, line: str) -> None:
        """Write a line to its stdin, without waiting; nothing happens if it has ended."""
        with suppress(OSError):
            self._process.stdin.write(f"{line}\n")

    def end_of_file(self) -> None:
        """Close its stdin, after all lines that were written."""
        with suppress(OSError):
            self._process.stdin.write_eof()

    async def lines(self) -> AsyncIterator[str]:
        """Yield the lines of its stdout, until it has ended or no more can be read."""
        import asyncssh

        try:
            while True:
                yield await self._process.stdout.readuntil("\n")
        except asyncio.IncompleteReadError:
            if not self._process.stdout.at_eof():
                self._problem = f"it sent a line of more than {LONGEST >> 20} MiB"
        except (OSError, asyncssh.Error) as error:
            self._problem = f"the connection is lost: {printable(error)}"

    async def ending(self) -> str:
        """Return how it has ended, in one line; to be called after the last line."""
        if self._problem:
            return self._problem
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._reading), _ENDS)
            await asyncio.wait_for(self._process.wait_closed(), _ENDS)
        signal = self._process.exit_signal
        if signal is not None:
            code = f"signal {printable(signal[0])}"
        else:
            code = "its connection was closed" if self.status is None else f"exit code {self.status}"
        return f"{code}: {self.last_line}" if self.last_line else code

    def close(self) -> None:
        """Close its channel, which also ends its stdin."""
        self._process.close()
        self._reading.cancel()

    async def _read_stderr(self) -> None:
        with suppress(Exception):  # `lines` reports the end of a connection
            async for line in self._process.stderr:
                self.last_line = printable(line) if line.strip() else self.last_line


def printable(error: object) -> str:
    """Return an error's text in one line of printable characters."""
    text = "".join(char if char.isprintable() else " " for char in str(error))
    return " ".join(text.split())[:200] or type(error).__name__


class SshCarrier:
    """The `Carrier` by SSH: it keeps an agent running on each host, and restarts agents that end.

    Parameters
    ----------
    options : Hosts
        The hosts, and the options of their connections.
    say : callable
        Called with lines for people.
    module : str
        The agent's module, which each host's Python runs.

    Attributes
    ----------
    events, trusted
        See `hbsim.executors.remote.protocol.Carrier`.
    """

    def __init__(
        self, options: Hosts, say: Callable[[str], None] = lambda line: None, module: str = AGENT
    ) -> None:
        self.events: asyncio.Queue[CarrierEvent] = asyncio.Queue()
        self.trusted = True
        self._say = say
        self._module = module
        self._hosts = [SshHost(name, options) for name in options.hosts]
        self._config: dict[str, Any] = {}
        self._processes: dict[str, SshProcess] = {}  # by running agent
        self._host_of: dict[str, SshHost] = {}  # by agent, ended ones included
        self._errors: dict[str, HostError] = {}  # the first error of each host
        self._tried = asyncio.Event()  # one host has an agent, or all have failed
        self._tasks: dict[SshHost, asyncio.Task[None]] = {}

    async def open(self, config: str) -> int:
        """Start agents; return the number of hosts as soon as one of the agents has joined.

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
            await _copy_here(client, source, target)

    async def put(self, agent: str, source: Path, target: str) -> None:
        """Copy a folder of this machine into a new folder on an agent's host."""
        async with self._host(agent).files() as client:
            await _copy_there(client, source, target)

    async def close(self) -> None:
        """End all agents by closing their stdin, and after a few seconds by closing their channels."""
        for process in self._processes.values():
            process.end_of_file()
        until = time.monotonic() + CLOSING
        while self._processes and time.monotonic() < until:
            await asyncio.sleep(0.02)
        await cancel_tasks(self._tasks.values())
        for host in self._hosts:
            host.drop()
        await asyncio.sleep(0.01)  # lets asyncssh close its sockets, also those of refused connections

    async def _keep(self, host: SshHost) -> None:
        """Keep an agent running on a host."""
        pause = SOONEST
        while True:
            began = time.monotonic()
            try:
                await self._run_agent(host)
                if time.monotonic() - began > LIVED:
                    pause = SOONEST
            except HostError as error:
                final = error.final and host not in self._host_of.values()  # else it may pass
                self.events.put_nowait(HostFailed(host.name, host.name, error.rule, final))
                self._errors.setdefault(host.name, error)
                if len(self._errors) == len(self._hosts):
                    self._tried.set()
                if final:
                    return
            await asyncio.sleep(pause)
            pause = min(2 * pause, LATEST)

    async def _run_agent(self, host: SshHost) -> None:
        """Run an agent until it has ended; it has joined when its first message comes.

        Raises
        ------
        HostError
            The agent has not joined.
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
            self.events.put_nowait(AgentLine(name, hello))
            async for text in messages:
                self.events.put_nowait(AgentLine(name, text))
            self.events.put_nowait(AgentEnded(name, await process.ending(), clean=process.status == 0))
        finally:
            self._processes.pop(name, None)
            process.close()

    def _host(self, agent: str) -> SshHost:
        if agent not in self._host_of:
            raise CopyError("no agent of this name has joined")
        return self._host_of[agent]


async def _messages(process: SshProcess) -> AsyncIterator[str]:
    """Yield the lines that are messages; other lines may come from a shell's start-up files."""
    async for line in process.lines():
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict) and isinstance(found.get("m"), str):
            yield line.removesuffix("\n")
