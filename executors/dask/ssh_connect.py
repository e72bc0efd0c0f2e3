"""How a host is connected to by SSH, and what is said when that fails."""

from __future__ import annotations

import getpass
import os
import shlex
import socket
import sys
from typing import Any, Final

from hbsim.errors import ParameterError
from hbsim.executors.dask.options import Dask
from hbsim.executors.dask.where import is_loopback

__all__ = ["brief", "connect", "connect_options", "limit", "python_word", "too_slow"]

PATIENCE: Final = 20.0  # seconds until a host that does not answer counts as gone
_KINDS: Final = {"TimeoutError": "no answer for too long"}


def limit(options: Dask, usual: float) -> float:
    """Return the seconds that a step of a start may take: as asked for, else the usual ones."""
    return usual if options.ssh_timeout is None else float(options.ssh_timeout)


def too_slow(host: str, step: str, seconds: float) -> ParameterError:
    """Return what is said of a step that took too long, `step` being a sentence without an end."""
    return ParameterError("hosts", host, f"{step} within {seconds:g} s; more time is ssh_timeout")


def connect_options(options: Dask, host: str) -> dict[str, Any]:
    """Return what `asyncssh.connect` is given for a host; the rest is as OpenSSH's configuration has it."""
    # Routers forget connections on which nothing is sent.
    found: dict[str, Any] = {
        "connect_timeout": limit(options, PATIENCE),
        "login_timeout": limit(options, PATIENCE),
        "keepalive_interval": 30,
        "keepalive_count_max": 10,
    }
    if options.ssh_user is not None:
        found["username"] = options.ssh_user
    if options.ssh_port is not None:
        found["port"] = options.ssh_port
    if options.ssh_key is not None:
        found["client_keys"] = [os.path.expanduser(options.ssh_key)]
    if options.ssh_known_hosts is not None:
        found["known_hosts"] = os.path.expanduser(options.ssh_known_hosts)
    elif is_loopback(host):
        found["known_hosts"] = None  # nobody sits between: any key will do
    return found


def python_word(options: Dask) -> str:
    """Return the hosts' Python as a word for their shells."""
    python = options.ssh_python or sys.executable
    home, slash, rest = python.partition("/")
    return f"~/{shlex.quote(rest)}" if home == "~" and slash else shlex.quote(python)


async def connect(options: Dask, host: str) -> Any:
    """Return a connection to a host.

    Raises
    ------
    ParameterError
        Names the host, and what can be done.
    """
    import asyncssh

    try:
        return await asyncssh.connect(host, **connect_options(options, host))
    except (OSError, asyncssh.Error, ValueError) as error:
        raise _refused(options, host, error) from None


def brief(error: BaseException) -> str:
    """Return an error's text in one line."""
    return " ".join(str(error).split())[:200] or _KINDS.get(type(error).__name__, type(error).__name__)


def _refused(options: Dask, host: str, error: Exception) -> ParameterError:
    import asyncssh

    user, port = _effective(options, host)
    command = f"ssh {'' if port == 22 else f'-p {port} '}{user}@{host}"
    if isinstance(error, asyncssh.HostKeyNotVerifiable):
        rule = _strange_key(options, host, command)
    elif isinstance(error, asyncssh.PermissionDenied):
        rule = (
            f"does not let {user} in: `{command}` has to work without a password; or give ssh_user, ssh_key"
        )
    elif isinstance(error, asyncssh.KeyImportError) and options.ssh_key is not None:
        rule = f"is no private key that can be read ({brief(error)}): use ssh-agent for a passphrase"
        return ParameterError("ssh_key", str(options.ssh_key), rule)
    elif isinstance(error, socket.gaierror):
        rule = f"has no address that is known here ({brief(error)})"
    elif _is_late(error):
        return too_slow(host, f"there is no connection by SSH on port {port}", limit(options, PATIENCE))
    elif isinstance(error, asyncssh.ConnectionLost | ConnectionResetError):
        rule = f"what answers on port {port} breaks off ({brief(error)}): is it an SSH server, and does a "
        rule += f"firewall or a proxy let SSH through? `{command}` may say more; another port is ssh_port"
    elif isinstance(error, OSError):
        rule = f"no SSH server answers on port {port} ({brief(error)}); another is ssh_port"
    else:
        rule = f"SSH failed: {brief(error)}"
    return ParameterError("hosts", host, rule)


def _strange_key(options: Dask, host: str, command: str) -> str:
    """Say of a host's key that it is not known, or not the one that is."""
    file = _file_with_key(options, host)
    if file is None:
        return f"its key is not among the known hosts: connect once by `{command}`, or give ssh_known_hosts"
    _, port = _effective(options, host)
    name = host if port == 22 else f"[{host}]:{port}"
    return (
        f"its key is not the one in {file}: it was installed anew, or somebody sits between and can change "
        f"what is sent; ask who runs it, then remove the old key by `ssh-keygen -f {shlex.quote(file)} -R "
        f"{shlex.quote(name)}` and connect once by `{command}`"
    )


def _file_with_key(options: Dask, host: str) -> str | None:
    """Return the file of known hosts in which a host has a key; None if it has none."""
    import asyncssh

    try:
        found: Any = asyncssh.SSHClientConnectionOptions(host=host, **connect_options(options, host))
        files = found.known_hosts or [os.path.expanduser("~/.ssh/known_hosts")]
        names = [str(file) for file in ([files] if isinstance(files, str) else files)]
        port = None if found.port in (None, 22) else found.port
        for name in filter(os.path.isfile, names):
            if asyncssh.match_known_hosts(name, found.host_key_alias or found.host or host, "", port)[0]:
                return name
    except (OSError, ValueError, TypeError, asyncssh.Error):
        pass  # then it counts as unknown
    return None


def _is_late(error: Exception) -> bool:
    """Whether a limit of ours was over: of the network, which has no number then, or of the login."""
    if isinstance(error, TimeoutError):
        return error.errno is None
    return "login timeout" in str(error).lower()


def _effective(options: Dask, host: str) -> tuple[str, int]:
    """Return the user and the port, which OpenSSH's configuration may have."""
    import asyncssh

    try:
        found = asyncssh.SSHClientConnectionOptions(host=host, **connect_options(options, host))
        return found.username, found.port or 22
    except (OSError, ValueError, asyncssh.Error):
        return options.ssh_user or getpass.getuser(), options.ssh_port or 22
