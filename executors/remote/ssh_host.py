"""A host that is reached by SSH: a connection, processes and files there, and why it cannot be used."""

from __future__ import annotations

import asyncio
import os
import shlex
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from hbsim.errors import ParameterError
from hbsim.executors.remote.carrier import CopyError
from hbsim.executors.remote.dask_cluster import is_trusted
from hbsim.executors.remote.options import Hosts, parse_host

__all__ = ["HostError", "Process", "SshHost", "brief"]

CONNECT: Final = 20.0  # seconds until a host that does not answer counts as gone
START: Final = 60.0  # seconds until Python there says something: network disks are slow
BEAT, BEATS = 5.0, 6  # half a minute of silence ends a connection, so that its host is connected anew
LONGEST: Final = 64 << 20  # bytes of a line
_ENDS: Final = 2.0  # seconds from the end of a process's output to its exit code
_COPIES: Final = 4  # at once: OpenSSH lets a connection have ten sessions


class HostError(ParameterError):
    """A host cannot be used; the rule says why, and what can be done.

    Attributes
    ----------
    final : bool
        Whether it will be so until somebody has done something.
    """

    def __init__(self, host: str, rule: str, final: bool = False) -> None:
        super().__init__("hosts", host, rule)
        self.final = final


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
        self.start_limit = float(options.ssh_timeout or START)
        self._python = options.ssh_python or sys.executable
        self._connection: Any = None
        self._connecting = asyncio.Lock()
        self._copies = asyncio.Semaphore(_COPIES)
        user, address, port = parse_host(name)
        limit = float(options.ssh_timeout or CONNECT)
        # What is not given is as OpenSSH's configuration has it.
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
            self._given.setdefault("known_hosts", None)  # it stays on this machine: any key will do

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
                    self._connection = await asyncssh.connect(**self._given)
                except (OSError, asyncssh.Error, ValueError) as error:
                    raise HostError(self.name, *self._refusal(error)) from None
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
                how = {"window": LONGEST, "encoding": "utf-8", "errors": "replace"}
                process = await connection.create_process(f"exec {python} {arguments}", **how)
        except (OSError, asyncssh.Error) as error:
            self.drop()
            raise HostError(self.name, f"SSH starts nothing there: {brief(error)}") from None
        return Process(process)

    @asynccontextmanager
    async def files(self) -> AsyncIterator[Any]:
        """Give an SFTP client; whatever fails, also in the block, is a `CopyError`."""
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
        except Exception as error:  # what a server sends can make asyncssh raise anything
            away = isinstance(error, gone) or self._connection is None or self._connection.is_closed()
            text = error.rule if isinstance(error, HostError) else brief(error)
            raise CopyError(f"{self.name}, by SFTP: {text}", away) from None

    def drop(self) -> None:
        """End the connection; the next one who needs it makes another."""
        if self._connection is not None:
            self._connection.abort()
        self._connection = None

    def no_start(self, process: Process, ending: str) -> HostError:
        """Return the error of a process that has ended without a message."""
        said = process.last_line
        no_module = "No module named" in said and "hbsim" in said
        if no_module or "nknown option: -P" in said or process.status in (126, 127):
            rule = f"{self._python} there cannot run this version of hbsim ({said or ending}): install it "
            return HostError(self.name, f"{rule}there, or give ssh_python, a Python that has it", final=True)
        return HostError(self.name, f"hbsim there has ended at once: {ending}")

    def _refusal(self, error: Exception) -> tuple[str, bool]:
        """Return why there is no connection, and whether it will be so until somebody has done something."""
        import asyncssh

        try:
            found: Any = asyncssh.SSHClientConnectionOptions(**self._given)
        except (OSError, ValueError) as problem:  # of ssh_key, or of OpenSSH's configuration
            rule = f"its key for SSH cannot be read ({brief(problem)}); one with a passphrase needs ssh-agent"
            return rule, True
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
        return f"{rule} ({brief(error)})", isinstance(error, asyncssh.PermissionDenied)


def _key_problem(found: Any, command: str) -> str:
    """Say of a host's key that it is not known, or not the one that is."""
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


class Process:
    """A process on a host: the lines that it writes, and how it ends.

    Parameters
    ----------
    process : asyncssh.SSHClientProcess
        With texts.

    Attributes
    ----------
    last_line : str
        Of its stderr, so far.
    """

    def __init__(self, process: Any) -> None:
        self.last_line = ""
        self._process = process
        self._problem = ""
        self._reading = asyncio.create_task(self._read_stderr())

    @property
    def status(self) -> int | None:
        """Its exit code; None if it has none, or that is not known yet."""
        found: int | None = self._process.exit_status
        return found

    def write(self, line: str) -> None:
        """Write a line to its stdin, without waiting; nothing happens if it has ended."""
        with suppress(OSError):
            self._process.stdin.write(f"{line}\n")

    def end_of_file(self) -> None:
        """Close its stdin, after what was written."""
        with suppress(OSError):
            self._process.stdin.write_eof()

    async def lines(self) -> AsyncIterator[str]:
        """Give the lines of its stdout, until it has ended or nothing more can be read."""
        import asyncssh

        try:
            while True:
                yield await self._process.stdout.readuntil("\n")
        except asyncio.IncompleteReadError:
            if not self._process.stdout.at_eof():
                self._problem = f"it sent a line of more than {LONGEST >> 20} MiB"
        except (OSError, asyncssh.Error) as error:
            self._problem = f"the connection is lost: {brief(error)}"

    async def ending(self) -> str:
        """Return how it has ended, in one line, once there are no more lines."""
        if self._problem:
            return self._problem
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._reading), _ENDS)
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
        self._reading.cancel()

    async def _read_stderr(self) -> None:
        with suppress(Exception):  # how a connection ends, its stdout says
            async for line in self._process.stderr:
                self.last_line = brief(line) if line.strip() else self.last_line


def brief(error: object) -> str:
    """Return an error's text in one line of printable characters."""
    text = "".join(char if char.isprintable() else " " for char in str(error))
    return " ".join(text.split())[:200] or type(error).__name__
