"""Hosts reached by SSH: what is installed there, and a folder for the length of a run."""

from __future__ import annotations

import asyncio
import getpass
import json
import shlex
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from hbsim.errors import ParameterError
from hbsim.executors.dask.options import Dask
from hbsim.executors.dask.tether import KEEPS
from hbsim.executors.dask.tether import PATIENCE as TETHER_PATIENCE
from hbsim.executors.dask.versions import differences, versions
from hbsim.executors.dask.where import is_loopback

__all__ = ["Host", "Hosts", "connect_options", "python_word"]

PATIENCE: Final = 20.0  # seconds until a host that does not answer counts as gone
IMPORTS: Final = 60.0  # seconds that Python may take there to look for packages: network disks are slow
_TETHER: Final = "-P -m hbsim.executors.dask.tether"
_MARK: Final = "hbsim found "
_PROBE: Final = f"""
import json, os, platform, sys
sys.path[:] = [place for place in sys.path if place]
found = {{"python": platform.python_version()}}
try:
    import hbsim
    found["hbsim"] = hbsim.__version__
except (ImportError, AttributeError, SyntaxError) as error:
    found["error"] = str(error)
try:
    from importlib.metadata import version
    found["distributed"] = version("distributed")
except Exception:
    pass
count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
print("{_MARK}" + json.dumps(dict(found, cores=count)))
"""


def connect_options(options: Dask, host: str) -> dict[str, Any]:
    """Return what `asyncssh.connect` is given for a host; the rest is as OpenSSH's configuration has it."""
    given = {
        "username": options.ssh_user,
        "port": options.ssh_port,
        "client_keys": None if options.ssh_key is None else [_path(options.ssh_key)],
        "known_hosts": None if options.ssh_known_hosts is None else _path(options.ssh_known_hosts),
    }
    found = {name: value for name, value in given.items() if value is not None}
    if is_loopback(host) and options.ssh_known_hosts is None:
        found["known_hosts"] = None  # nobody sits between
    # Routers forget connections on which nothing is sent.
    return {**found, "connect_timeout": PATIENCE, "keepalive_interval": 30, "keepalive_count_max": 10}


def python_word(options: Dask) -> str:
    """Return the hosts' Python as a word for their shells."""
    python = options.ssh_python or sys.executable
    home, slash, rest = python.partition("/")
    return f"~/{shlex.quote(rest)}" if home == "~" and slash else shlex.quote(python)


class Host:
    """One host, with a connection and a folder of its own as long as it is open.

    Parameters
    ----------
    name : str
        As its user wrote it.
    options : Dask
        How it is reached.

    Attributes
    ----------
    folder : str
        On the host, for its user only.
    cores : int
        How many it may use.
    """

    def __init__(self, name: str, options: Dask) -> None:
        self.name = name
        self.folder = ""
        self.cores = 1
        self._options = options
        self._python = options.ssh_python or sys.executable
        self._connection: Any = None
        self._keeper: Any = None

    async def open(self, files: Mapping[str, str]) -> None:
        """Connect, look for hbsim, and make the folder with these files.

        Raises
        ------
        ParameterError
            Names the host, and what can be done.
        """
        import asyncssh

        options = connect_options(self._options, self.name)
        try:
            self._connection = await asyncssh.connect(self.name, **options)
        except (OSError, asyncssh.Error, ValueError) as error:
            raise self._refused(error) from None
        try:
            self._check(await self._look())
            self.folder = await self._keep(files)
        except (OSError, asyncssh.Error, TimeoutError) as error:
            raise self._wrong(f"SSH: {_brief(error)}") from None

    async def close(self) -> None:
        """Remove the folder, once all that runs in it has ended, and disconnect."""
        import asyncssh

        if self._connection is None:
            return
        try:
            if self._keeper is not None:
                with suppress(OSError, asyncssh.Error, TimeoutError):
                    self._keeper.stdin.write_eof()
                    await asyncio.wait_for(self._keeper.wait_closed(), TETHER_PATIENCE + 3.0)
        finally:
            self._connection.close()
            await self._connection.wait_closed()

    async def _look(self) -> dict[str, Any]:
        """Return what is installed there."""
        command = f"{python_word(self._options)} -c {shlex.quote(_PROBE)}"
        done = await self._connection.run(command, timeout=IMPORTS)
        for line in done.stdout.splitlines():  # a shell's start-up files may say something, too
            if line.startswith(_MARK):
                found: dict[str, Any] = json.loads(line.removeprefix(_MARK))
                return found
        said = done.stderr.strip().splitlines()
        rule = f"cannot be run on {self.name} ({said[-1] if said else f'exit code {done.exit_status}'}): "
        raise self._python_wrong(rule + "give ssh_python, the Python there that has hbsim")

    def _check(self, found: Mapping[str, Any]) -> None:
        ours = {name: text for name, text in versions().items() if name != "torch"}
        there = f"on {self.name}"
        if "error" in found:
            rule = f"has no hbsim {there} ({found['error']})"
        elif problem := differences(ours, found)[0]:
            rule = f"runs {problem} {there}"
        elif "distributed" not in found:
            rule = f"has no Dask {there}"
        else:
            self.cores = int(found["cores"])
            return
        install = f"pip install 'hbsim[dask]=={ours['hbsim']}'"
        raise self._python_wrong(f"{rule}: {install} there, or give ssh_python, a Python there that has it")

    async def _keep(self, files: Mapping[str, str]) -> str:
        command = f"{python_word(self._options)} {_TETHER} keep"
        self._keeper = await self._connection.create_process(command)
        self._keeper.stdin.write(json.dumps(dict(files)) + "\n")
        async with asyncio.timeout(IMPORTS):
            async for line in self._keeper.stdout:
                if line.startswith(KEEPS):
                    return str(line.removeprefix(KEEPS).rstrip("\n"))
            said = (await self._keeper.stderr.read()).strip().splitlines()
        raise self._wrong(
            f"a folder for temporary files cannot be made ({said[-1] if said else 'no reason'})"
        )

    def _wrong(self, rule: str) -> ParameterError:
        return ParameterError("hosts", self.name, rule)

    def _python_wrong(self, rule: str) -> ParameterError:
        return ParameterError("ssh_python", self._python, rule)

    def _refused(self, error: Exception) -> ParameterError:
        """Say what may be done about a host that cannot be connected to."""
        import asyncssh

        user, port = self._effective()
        where = f"{user}@{self.name}" + ("" if port == 22 else f" -p {port}")
        if isinstance(error, asyncssh.HostKeyNotVerifiable):
            rule = f"its key is not among the known hosts: connect once by `ssh {where}`, or give "
            return self._wrong(rule + "ssh_known_hosts")
        if isinstance(error, asyncssh.PermissionDenied):
            rule = f"refuses the user {user}: `ssh {where}` must work without a password; "
            return self._wrong(rule + "ssh_user and ssh_key say who comes, with which key")
        if isinstance(error, asyncssh.KeyImportError | asyncssh.KeyEncryptionError):
            key = self._options.ssh_key
            if key is not None:
                rule = f"is no private key that can be read ({_brief(error)}): use ssh-agent for a passphrase"
                return ParameterError("ssh_key", str(key), rule)
        if isinstance(error, socket.gaierror):
            return self._wrong(f"has no address that is known here ({_brief(error)})")
        if isinstance(error, OSError | TimeoutError):
            return self._wrong(f"no SSH server answers on port {port} ({_brief(error)}); another is ssh_port")
        return self._wrong(f"SSH: {_brief(error)}")

    def _effective(self) -> tuple[str, int]:
        """Return the user and the port, as OpenSSH's configuration may have them."""
        import asyncssh

        try:
            found = asyncssh.SSHClientConnectionOptions(
                host=self.name, **connect_options(self._options, self.name)
            )
            return found.username, found.port or 22
        except (OSError, ValueError, asyncssh.Error):
            return self._options.ssh_user or getpass.getuser(), self._options.ssh_port or 22


class Hosts:
    """All hosts of a run.

    Parameters
    ----------
    names : sequence of str
        A host may be there more than once.
    options : Dask
        How they are reached.
    """

    def __init__(self, names: Sequence[str], options: Dask) -> None:
        self._hosts = {name: Host(name, options) for name in names}

    def __getitem__(self, name: str) -> Host:
        return self._hosts[name]

    async def open(self, files: Mapping[str, str]) -> None:
        """Open all hosts; `close` is to be called also if this raises.

        Raises
        ------
        ParameterError
            The first of them that cannot be used.
        """
        done = await asyncio.gather(
            *(host.open(files) for host in self._hosts.values()), return_exceptions=True
        )
        for error in done:
            if isinstance(error, BaseException):
                raise error

    async def close(self) -> None:
        """Close all hosts that are open."""
        await asyncio.gather(*(host.close() for host in self._hosts.values()), return_exceptions=True)


def _path(path: object) -> str:
    import os

    return os.path.expanduser(str(path))


def _brief(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
