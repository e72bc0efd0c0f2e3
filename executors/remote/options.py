"""Options of executors on other machines: hosts that are reached by SSH, and Dask clusters."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeVar
from urllib.parse import urlsplit

from hbsim.core.numbers import exact
from hbsim.errors import ParameterError, nearest
from hbsim.options import declared, named_options, option

LEASE: Final = 30.0  # seconds
SEND: Final = ("file", "folder")
_STORAGE: Final = ("auto", "shared", "pull")
_HOST: Final = re.compile(
    r"""
    (?: (?P<user> [^-\s:/] [^\s:/]* ) @ )?
    (?: \[ (?P<boxed> [0-9a-f]* : [0-9a-f:.]+ (?: % \w+ )? ) \]           # an IPv6 address, before a port
      | (?P<bare> [0-9a-f]* : [0-9a-f.]* : [0-9a-f:.]* (?: % \w+ )? )
      | (?P<name> \w [\w.-]* ) )
    (?: : (?P<port> [0-9]{1,5} ) )?
    """,
    re.VERBOSE | re.IGNORECASE,
)
T = TypeVar("T")


class HostAddress(NamedTuple):
    """The parts of a host's address ``[user@]name[:port]``; None for parts that are not given."""

    user: str | None
    name: str
    port: int | None


def parse_host(text: object) -> HostAddress:
    """Return the parts of ``[user@]name[:port]``; an IPv6 address with a port is ``[::1]:22``.

    Raises
    ------
    ParameterError
        The text is no address of a host; the field is ``hosts``.
    """
    found = _HOST.fullmatch(text) if isinstance(text, str) else None
    port = int(found["port"]) if found and found["port"] else None
    if found is None or not (port is None or 0 < port < 65536):
        rule = "must be a name or an address, as in gpu1, me@gpu1, gpu1:2222 or [::1]:22"
        raise ParameterError("hosts", text, rule)
    return HostAddress(found["user"], found["boxed"] or found["bare"] or found["name"], port)


def _hosts(name: str, value: object) -> object:
    if not isinstance(value, (list, tuple)) or not value:
        raise ParameterError(name, value, "must be a list of names or addresses, at least one")
    for host in value:
        parse_host(host)
    return value


def _port(name: str, value: object) -> object:
    if type(value) is not int or not 0 < value < 65536:
        raise ParameterError(name, value, "must be a port, from 1 to 65535")
    return value


def _text(name: str, value: object) -> object:
    if not isinstance(value, str) or not value:
        raise ParameterError(name, value, "must be a text that is not empty")
    return value


def _file(name: str, value: object) -> object:
    if not (isinstance(value, (str, Path)) and Path(os.path.expanduser(value)).is_file()):
        raise ParameterError(name, str(value), "must be a file that exists")
    return value


def _seconds(name: str, value: object) -> object:
    if exact(name, value) <= 0:
        raise ParameterError(name, value, "must be above 0, in seconds")
    return value


def _lease(name: str, value: object) -> object:
    if exact(name, value) < 2:
        raise ParameterError(name, value, "must be 2 or more, in seconds")
    return value


def _storage(name: str, value: object) -> object:
    # A text that begins with :// is no URL.
    if value not in _STORAGE and not (isinstance(value, str) and value.find("://") > 0):
        rule = f"must be auto, shared, pull or a URL (s3://bucket/path).{nearest(value, _STORAGE)}"
        raise ParameterError(name, value, rule)
    return value


def _address(name: str, value: object) -> object:
    try:
        parts = urlsplit(value) if isinstance(value, str) else urlsplit("")
        is_address = parts.scheme in ("tcp", "tls") and bool(parts.hostname and parts.port)
        is_address &= str(value).startswith(f"{parts.scheme}://") and parts[2:] == ("", "", "")
    except ValueError:  # no port, or none that can be
        is_address = False
    if not is_address:
        rule = "must be the address of a Dask scheduler, as in tls://HOST:8786 or tcp://HOST:8786"
        raise ParameterError(name, value, rule)
    return value


def _named(kind: type[T]) -> type[T]:
    """Make a class raise a `ParameterError` for an unknown keyword."""
    kind.__init__ = named_options(kind.__init__)  # type: ignore[method-assign]
    return kind


@dataclass(frozen=True, slots=True)
class RemoteOptions:
    """The options of every executor on other machines.

    Parameters
    ----------
    send : "file" or "folder"
        The part of the training function's code that is sent to hosts without it: its file, or all Python
        files of its folder and subfolders.
    storage : str
        The place of checkpoints. ``"shared"``: the study's folder, which every host sees. ``"pull"``: each
        checkpoint is copied into the study's folder when its trial pauses, and to the host where the trial
        goes on. A URL of fsspec, such as ``s3://bucket/path``. ``"auto"``: shared for hosts that see the
        folder, else pull.
    lease : float
        Seconds. A host without messages of the controller for so long ends its trials by itself; only then
        do they count as lost, and start again on another host. So no trial ever runs twice at once.

    Raises
    ------
    ParameterError
        Names the parameter, its value and the rule.
    """

    _: KW_ONLY
    send: Literal["file", "folder"] = option(
        "file",
        help="What is sent to hosts without the code: the function's file, or all Python files of its "
        "folder (default: file).",
        panel="Hosts and Dask clusters",
        choices=SEND,
    )
    storage: str = option(
        "auto",
        help="Where checkpoints are: a folder that all hosts see, copies by hbsim, or a URL (default: auto).",
        panel="Hosts and Dask clusters",
        metavar="auto|shared|pull|URL",
        check=_storage,
    )
    lease: float = option(
        LEASE,
        help="Seconds without contact after which a host counts as lost (default: 30).",
        panel="Hosts and Dask clusters",
        takes="number",
        check=_lease,
    )

    def __post_init__(self) -> None:
        """Check each field by its rule."""
        for name, one in declared(type(self)).items():
            value = getattr(self, name)
            if value is not None or one.default is not None:
                one.check(name, value)


@_named
@dataclass(frozen=True, slots=True)
class Hosts(RemoteOptions):
    """Machines that are reached by SSH, and how their trials run.

    Parameters
    ----------
    hosts : sequence of str
        Names or addresses, as in ``gpu1``, ``me@gpu1``, ``gpu1:2222`` or ``[::1]:22``. One that is given
        twice counts once.
    ssh_user, ssh_port, ssh_key, ssh_known_hosts : optional
        The user, the port, the file of the private key and the file of known hosts. The defaults are those of
        OpenSSH's configuration.
    ssh_python : str, optional
        The path of Python on the hosts; by default that of the Python that runs this process.
    ssh_timeout : float, optional
        Seconds for each step of a start, in place of the defaults.
    send, storage, lease
        See `RemoteOptions`.

    Raises
    ------
    ParameterError
        Names the parameter, its value and the rule.
    """

    hosts: Sequence[str] = option(
        (),
        help="Run on these hosts by SSH, such as gpu1,me@gpu2:2222.",
        panel="Hosts by SSH",
        metavar="HOST,...",
        check=_hosts,
    )
    _: KW_ONLY
    ssh_user: str | None = option(
        None,
        help="User name on the hosts (default: as in ~/.ssh/config).",
        panel="Hosts by SSH",
        metavar="NAME",
        check=_text,
    )
    ssh_port: int | None = option(
        None,
        help="Port of SSH (default: 22, or as in ~/.ssh/config).",
        panel="Hosts by SSH",
        takes="whole",
        check=_port,
    )
    ssh_key: Path | str | None = option(
        None,
        help="Private key for SSH (default: as in ~/.ssh/config).",
        panel="Hosts by SSH",
        metavar="FILE",
        check=_file,
    )
    ssh_known_hosts: Path | str | None = option(
        None,
        help="File of known hosts (default: ~/.ssh/known_hosts).",
        panel="Hosts by SSH",
        metavar="FILE",
        check=_file,
    )
    ssh_python: str | None = option(
        None,
        help="Path of Python on the hosts (default: the same path as here).",
        panel="Hosts by SSH",
        metavar="FILE",
        check=_text,
    )
    ssh_timeout: float | None = option(
        None,
        help="Seconds for each step of a start (default: 20 to connect, 60 to start Python).",
        panel="Hosts by SSH",
        takes="number",
        check=_seconds,
    )

    def __post_init__(self) -> None:
        """Check each field by its rule, and remove hosts that are given twice."""
        RemoteOptions.__post_init__(self)  # super() does not work in a class with slots=True
        once: dict[HostAddress, str] = {}
        for text in self.hosts:
            user, name, port = parse_host(text)
            once.setdefault(HostAddress(user or self.ssh_user, name.lower(), port or self.ssh_port), text)
        object.__setattr__(self, "hosts", tuple(once.values()))


@_named
@dataclass(frozen=True, slots=True)
class Dask(RemoteOptions):
    """A Dask cluster, and how trials run there.

    Parameters
    ----------
    scheduler_address : str, optional
        The address of a running cluster, such as ``tls://HOST:8786`` or ``tcp://HOST:8786``. Without it a
        cluster is started in this process, for trying things out.
    tls_ca, tls_cert, tls_key : path, optional
        PEM files for a ``tls://`` address: those of the authority, of this client and of its key. The
        defaults are those of Dask's configuration.
    send, storage, lease
        See `RemoteOptions`.

    Raises
    ------
    ParameterError
        Names the parameter, its value and the rule.
    """

    scheduler_address: str | None = option(
        None,
        help="Run on the workers of a Dask cluster, such as tls://HOST:8786 or tcp://HOST:8786.",
        panel="Dask cluster",
        metavar="ADDRESS",
        check=_address,
    )
    _: KW_ONLY
    tls_ca: Path | str | None = option(
        None,
        help="Certificate of the authority of a tls:// address, as PEM.",
        panel="Dask cluster",
        metavar="FILE",
        check=_file,
    )
    tls_cert: Path | str | None = option(
        None, help="Certificate of this client, as PEM.", panel="Dask cluster", metavar="FILE", check=_file
    )
    tls_key: Path | str | None = option(
        None, help="Key of this client, as PEM.", panel="Dask cluster", metavar="FILE", check=_file
    )

    def __post_init__(self) -> None:
        """Check each field by its rule, and the fields that need each other."""
        RemoteOptions.__post_init__(self)
        files = {name: getattr(self, name) for name in ("tls_ca", "tls_cert", "tls_key")}
        given = [name for name, value in files.items() if value is not None]
        if given and not (self.scheduler_address or "").startswith("tls://"):
            rule = "needs a scheduler_address with tls://"
            raise ParameterError(given[0], str(files[given[0]]), rule)
        if given and len(given) < 3:
            missing = next(name for name in files if name not in given)
            raise ParameterError(missing, None, f"is needed with {given[0]}: give all three")
