"""A host that is reached by SSH: a connection, processes and files there, and what to do when it fails."""

from __future__ import annotations

import asyncio
import getpass
import ipaddress
import os
import shlex
import socket
import sys
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from hbsim.errors import ParameterError
from hbsim.executors.remote.carrier import CopyError
from hbsim.executors.remote.options import Hosts, parse_host

__all__ = ["HostError", "Process", "SshHost", "brief"]

CONNECT: Final = 20.0  # seconds until a host that does not answer counts as gone
START: Final = 60.0  # seconds until Python there says something: network disks are slow
BEAT, BEATS = 5.0, 6  # half a minute of silence ends a connection, so that its host is connected anew
LONGEST: Final = 64 << 20  # bytes of a line
_KEPT: Final = 8192  # bytes of stderr
_ENDS: Final = 2.0  # seconds from the end of a process's output to its exit code
_SESSIONS: Final = 4  # copies at once: OpenSSH lets a connection have ten sessions
_BLOCK: Final = 1 << 16
_KINDS: Final = {"TimeoutError": "no answer for too long"}


class HostError(ParameterError):
    """A host cannot be used; the rule says why, and what can be done.

    Attributes
    ----------
    final : bool
        Whether it will be so until somebody has done something.
    """

    def __init__(self, field: str, value: object, rule: str, final: bool = False) -> None:
        super().__init__(field, value, rule)
        self.final = final

    @property
    def reason(self) -> str:
        """Why, in one line, without the host's name."""
        return self.rule if self.field == "hosts" else f"{self.field} {self.value} {self.rule}"


class SshHost:
    """One host; its connection is made when it is needed, and anew after it was lost.

    Parameters
    ----------
    name : str
        As its user wrote it.
    options : Hosts
        How it is reached.
    """

    def __init__(self, name: str, options: Hosts) -> None:
        self.name = name
        self.start_limit = _limit(options, START)
        self._options = options
        self._python = options.ssh_python or sys.executable
        self._connection: Any = None
        self._dropped: deque[Any] = deque(maxlen=4)  # that may not be closed yet
        self._connecting = asyncio.Lock()
        self._copies = asyncio.Semaphore(_SESSIONS)

    async def connect(self) -> Any:
        """Return the connection.

        Raises
        ------
        HostError
            The host cannot be reached, or lets nobody in.
        """
        import asyncssh

        async with self._connecting:
            if self._connection is None or self._connection.is_closed():
                try:
                    self._connection = await asyncssh.connect(**self._reach())
                except (OSError, asyncssh.Error, ValueError) as error:
                    raise self._refused(error) from None
            return self._connection

    async def start(self, arguments: str) -> Process:
        """Start the host's Python with these arguments, which a shell there reads.

        Raises
        ------
        HostError
            The host cannot be reached, or opens no session.
        """
        import asyncssh

        home, slash, rest = self._python.partition("/")
        python = f"~/{shlex.quote(rest)}" if home == "~" and slash else shlex.quote(self._python)
        connection = await self.connect()
        try:
            async with asyncio.timeout(self.start_limit):
                more = {"encoding": None, "bufsize": 1 << 20}
                return Process(self, await connection.create_process(f"exec {python} {arguments}", **more))
        except (OSError, asyncssh.Error) as error:
            self.drop()
            raise self.error(f"SSH starts nothing there: {brief(error)}") from None

    @asynccontextmanager
    async def files(self) -> AsyncIterator[Any]:
        """Give an SFTP client.

        Raises
        ------
        HostError
            The host cannot be reached.
        CopyError
            It has no SFTP.
        """
        import asyncssh

        async with self._copies:
            connection = await self.connect()
            try:
                async with asyncio.timeout(self.start_limit):
                    client = await connection.start_sftp_client()
            except (OSError, asyncssh.Error) as error:
                refused = getattr(error, "code", None) == asyncssh.OPEN_REQUEST_SESSION_FAILED
                if connection.is_closed() or not (refused or isinstance(error, asyncssh.SFTPError)):
                    raise self.error(brief(error)) from None
                raise CopyError(f"{self.name}: its SSH server has no SFTP ({brief(error)})") from None
            async with client:
                yield client

    def is_lost(self, error: BaseException) -> bool:
        """Return whether an error is the end of the connection, or that nothing has come for long."""
        import asyncssh

        kinds = (asyncssh.DisconnectError, asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection)
        is_closed = self._connection is None or self._connection.is_closed()
        return is_closed or isinstance(error, (TimeoutError, *kinds))

    def drop(self) -> None:
        """Close the connection; the next one who needs it makes another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
            self._dropped.append(connection)

    async def close(self) -> None:
        """Close the connection, and wait a moment for that."""
        self.drop()
        for connection in self._dropped:
            with suppress(TimeoutError):
                await asyncio.wait_for(connection.wait_closed(), _ENDS)
            connection.abort()
        await asyncio.sleep(0.01)  # only then asyncssh's sockets are closed, also of one that was refused

    def error(self, rule: str, final: bool = False) -> HostError:
        """Return an error about the host."""
        return HostError("hosts", self.name, rule, final)

    def too_slow(self, step: str, seconds: float) -> HostError:
        """Return an error of a step that took too long; `step` is a sentence without an end."""
        return self.error(f"{step} within {seconds:g} s; more time is ssh_timeout")

    def no_start(self, process: Process, ending: str) -> HostError:
        """Return an error of a process that has ended without a word but on stderr."""
        said, name, cure = process.last_line, self.name, "give ssh_python, a Python that has hbsim there"
        if "No module named" in said and "hbsim" in said:
            is_older = "hbsim." in said.rpartition("No module named")[2]
            what = "another version of hbsim" if is_older else "no hbsim"
            rule = f"has {what} on {name} ({said}): install the same version there as here, or {cure}"
        elif "nknown option: -P" in said:
            rule = f"is older than Python 3.11 on {name} ({said}): give ssh_python, a newer one"
        elif process.status in (126, 127):
            rule = f"cannot be run on {name} ({said or ending}): {cure}"
        else:
            return self.error(f"hbsim there has ended at once: {ending}")
        return HostError("ssh_python", self._python, rule, final=True)

    def _reach(self) -> dict[str, Any]:
        """Return what asyncssh is given; the rest is as OpenSSH's configuration has it."""
        options, (user, name, port) = self._options, parse_host(self.name)
        limit = _limit(options, CONNECT)
        given: dict[str, Any] = {
            "host": name,
            "username": user or options.ssh_user,
            "port": port or options.ssh_port,
            "client_keys": options.ssh_key and [os.path.expanduser(options.ssh_key)],
            "known_hosts": options.ssh_known_hosts and os.path.expanduser(options.ssh_known_hosts),
        }
        given = {key: value for key, value in given.items() if value is not None}
        if _is_loopback(name):
            given.setdefault("known_hosts", None)  # nobody sits between: any key will do
        alive = {"keepalive_interval": BEAT, "keepalive_count_max": BEATS}
        closed = {"agent_forwarding": False, "x11_forwarding": False, "request_pty": False, "command": None}
        return {**given, "connect_timeout": limit, "login_timeout": limit, **alive, **closed}

    def _refused(self, error: Exception) -> HostError:
        import asyncssh

        user, port = self._effective()
        name = parse_host(self.name).name
        command = f"ssh {'' if port == 22 else f'-p {port} '}{user}@{name}"
        final = False
        if isinstance(error, asyncssh.HostKeyNotVerifiable):
            rule = self._strange_key(command)
        elif isinstance(error, asyncssh.PermissionDenied):
            rule, final = f"does not let {user} in: `{command}` has to work without a password", True
            rule += "; or give ssh_user, ssh_key"
        elif isinstance(error, asyncssh.KeyImportError) and self._options.ssh_key is not None:
            rule = f"is no private key that can be read ({brief(error)}): use ssh-agent for a passphrase"
            return HostError("ssh_key", str(self._options.ssh_key), rule, final=True)
        elif isinstance(error, socket.gaierror):
            rule = f"has no address that is known here ({brief(error)})"
        elif _is_late(error):
            limit = _limit(self._options, CONNECT)
            return self.too_slow(f"there is no connection by SSH on port {port}", limit)
        elif isinstance(error, asyncssh.ConnectionLost | ConnectionResetError):
            rule = f"what answers on port {port} breaks off ({brief(error)}): is it an SSH server, and does "
            rule += (
                f"a firewall or a proxy let it through? `{command}` may say more; another port is ssh_port"
            )
        elif isinstance(error, OSError):
            rule = f"no SSH server answers on port {port} ({brief(error)}); another is ssh_port"
        else:
            rule = f"SSH failed: {brief(error)}"
        return self.error(rule, final)

    def _strange_key(self, command: str) -> str:
        """Say of a host's key that it is not known, or not the one that is."""
        file = self._file_with_key()
        if file is None:
            cure = f"connect once by `{command}`, or give ssh_known_hosts"
            return f"its key is not among the known hosts: {cure}"
        (_, port), name = self._effective(), parse_host(self.name).name
        known = shlex.quote(name if port == 22 else f"[{name}]:{port}")
        return (
            f"its key is not the one in {file}: it was installed anew, or somebody sits between and can "
            f"change what is sent; ask who runs it, then remove the old key by "
            f"`ssh-keygen -f {shlex.quote(file)} -R {known}` and connect once by `{command}`"
        )

    def _file_with_key(self) -> str | None:
        """Return the file of known hosts in which the host has a key; None if it has none."""
        import asyncssh

        with suppress(OSError, ValueError, TypeError, asyncssh.Error):  # then it counts as unknown
            found: Any = asyncssh.SSHClientConnectionOptions(**self._reach())
            files = found.known_hosts or [os.path.expanduser("~/.ssh/known_hosts")]
            name = found.host_key_alias or found.host
            port = None if found.port in (None, 22) else found.port
            for file in map(str, [files] if isinstance(files, str) else files):
                if os.path.isfile(file) and asyncssh.match_known_hosts(file, name, "", port)[0]:
                    return file
        return None

    def _effective(self) -> tuple[str, int]:
        """Return the user and the port, which OpenSSH's configuration may have."""
        import asyncssh

        given = self._reach()
        try:
            found = asyncssh.SSHClientConnectionOptions(**given)
            return found.username, found.port or 22
        except (OSError, ValueError, asyncssh.Error):
            return given.get("username") or getpass.getuser(), given.get("port") or 22


class Process:
    """A process on a host: what it writes, and how it ends.

    Parameters
    ----------
    host : SshHost
        Named in errors.
    process : asyncssh.SSHClientProcess
        In bytes.

    Attributes
    ----------
    last_line : str
        Of its stderr, so far.
    """

    def __init__(self, host: SshHost, process: Any) -> None:
        self.last_line = ""
        self._host = host
        self._process = process
        self._tail = asyncio.create_task(self._read_stderr())

    @property
    def status(self) -> int | None:
        """Its exit code; None if it has none, or that is not known yet."""
        found: int | None = self._process.exit_status
        return found

    async def write(self, data: bytes) -> None:
        """Write to its stdin, and wait until most of it is on its way; nothing happens if it has ended."""
        import asyncssh

        with suppress(OSError, asyncssh.Error):
            self._process.stdin.write(data)
            await self._process.stdin.drain()

    def end_of_file(self) -> None:
        """Close its stdin."""
        with suppress(OSError):
            self._process.stdin.write_eof()

    async def lines(self) -> AsyncIterator[bytes]:
        """Give the lines of its stdout; what follows the last one is left out.

        Raises
        ------
        HostError
            The connection is lost, or a line is too long.
        """
        parts: list[bytes] = []
        size = 0
        while data := await self._read():
            first, *others = data.split(b"\n")
            for follows in others:
                yield b"".join([*parts, first])
                parts, size, first = [], 0, follows
            parts.append(first)
            size += len(first)
            if size > LONGEST:
                raise self._host.error(f"it sent a line of more than {LONGEST >> 20} MiB")

    async def _read(self) -> bytes:
        import asyncssh

        try:
            found: bytes = await self._process.stdout.read(_BLOCK)
            return found
        except (OSError, asyncssh.Error) as error:
            raise self._host.error(f"the connection is lost: {brief(error)}") from None

    async def ending(self) -> str:
        """Return how it has ended, in one line, once its stdout is closed."""
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._tail), _ENDS)
            await asyncio.wait_for(self._process.wait_closed(), _ENDS)
        signal = self._process.exit_signal
        if signal is not None:
            code = f"signal {brief(signal[0])}"
        else:
            code = "its connection was closed" if self.status is None else f"exit code {self.status}"
        return f"{code}: {self.last_line}" if self.last_line else code

    def close(self) -> None:
        """Close its channel, upon which it gets the end of its stdin."""
        self._process.close()
        self._tail.cancel()

    async def _read_stderr(self) -> None:
        kept = b""
        with suppress(Exception):  # how a connection ends, its stdout says
            while data := await self._process.stderr.read(_BLOCK):
                kept = (kept + data)[-_KEPT:]
                lines = [line for line in kept.decode(errors="replace").splitlines() if line.strip()]
                self.last_line = brief(lines[-1]) if lines else ""


def brief(error: object) -> str:
    """Return an error's text in one line of printable characters."""
    text = "".join(char if char.isprintable() else " " for char in str(error))
    return " ".join(text.split())[:200] or _KINDS.get(type(error).__name__, type(error).__name__)


def _limit(options: Hosts, usual: float) -> float:
    """Return the seconds that a step of a start may take: as asked for, else the usual ones."""
    return usual if options.ssh_timeout is None else float(options.ssh_timeout)


def _is_loopback(name: str) -> bool:
    """Return whether a name or address is of the loopback; names are not looked up."""
    if name.lower().rstrip(".") in ("localhost", "localhost.localdomain", "ip6-localhost"):
        return True
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _is_late(error: Exception) -> bool:
    """Whether a limit of ours was over: of the network, which has no number then, or of the login."""
    if isinstance(error, TimeoutError):
        return error.errno is None
    return "login timeout" in str(error).lower()
