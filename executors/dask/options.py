"""What a study that runs on Dask is told about its cluster."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from hbsim.core.exact import exact
from hbsim.errors import ParameterError, nearest

__all__ = ["LEASE", "Dask"]

LEASE: Final = 30.0  # seconds
_SEND: Final = ("file", "folder")
_WORDS: Final = ("auto", "shared", "pull")


@dataclass(frozen=True, slots=True)
class Dask:
    """Which Dask cluster runs the trials, and how.

    With `hosts` a scheduler is started by SSH on the first of them, and a worker on each; they end with the
    study. With `scheduler_address` the workers of a cluster that runs already are used. With neither, a
    cluster is started on this machine.

    Parameters
    ----------
    hosts : sequence of str
        Names or addresses. A host may be there twice: it gets two workers, which share it.
    scheduler_address : str, optional
        As in ``tls://HOST:8786`` or ``tcp://HOST:8786``.
    ssh_user, ssh_port, ssh_key, ssh_known_hosts, ssh_python : optional
        How `hosts` are reached: the user; the port; the file of the private key; the file of known hosts; the
        Python there, by default the one that runs here. What is not given is as OpenSSH's configuration has
        it.
    ssh_timeout : float, optional
        Seconds for each step of a start by SSH, in place of the usual ones: to connect (20), to find hbsim
        there (60), to start the scheduler and the workers (120).
    tls : bool, optional
        With `hosts`: whether all connections are encrypted and authenticated, by certificates made for this
        run and sent by SSH. By default they are.
    tls_ca, tls_cert, tls_key : path, optional
        PEM files for a ``tls://`` scheduler address: of the authority, of this client and its key. By default
        as Dask's configuration has them.
    send : "file" or "folder"
        What of the training function's code is sent to workers that do not have it: its file, or all Python
        files of its folder and the folders in it.
    storage : str
        Where checkpoints are while a trial is paused. ``"shared"``: in the study's folder, which every host
        sees. ``"pull"``: where they were made; the next worker gets them from there. A URL of fsspec, as in
        ``s3://bucket/path``; ``memory://`` is the same as pull. ``"auto"``: shared where hosts see the
        folder, else pull.
    lease : float
        Seconds. A host that has heard nothing for so long ends its trials by itself; only then do they
        count as lost, and start again elsewhere. So no trial ever runs twice at once.

    Raises
    ------
    ParameterError
        Names the parameter, its value and the rule.
    """

    hosts: Sequence[str] = ()
    scheduler_address: str | None = None
    ssh_user: str | None = None
    ssh_port: int | None = None
    ssh_key: Path | str | None = None
    ssh_known_hosts: Path | str | None = None
    ssh_python: str | None = None
    ssh_timeout: float | None = None
    tls: bool | None = None
    tls_ca: Path | str | None = None
    tls_cert: Path | str | None = None
    tls_key: Path | str | None = None
    send: Literal["file", "folder"] = "file"
    storage: str = "auto"
    lease: float = LEASE

    def __post_init__(self) -> None:
        self._check_where()
        self._check_ssh()
        self._check_tls()
        if self.send not in _SEND:
            rule = f"must be file or folder.{nearest(str(self.send), _SEND)}"
            raise ParameterError("send", self.send, rule)
        # Without a protocol before it, :// is no URL.
        if self.storage not in _WORDS and str(self.storage).find("://") < 1:
            near = nearest(str(self.storage), _WORDS)
            rule = f"must be auto, shared, pull or a URL (s3://bucket/path).{near}"
            raise ParameterError("storage", self.storage, rule)
        if exact("lease", self.lease) < 2:
            raise ParameterError("lease", self.lease, "must be 2 or more, in seconds")

    def _check_where(self) -> None:
        names = self.hosts if isinstance(self.hosts, (list, tuple)) else [None]
        if not all(isinstance(host, str) and host for host in names):
            raise ParameterError("hosts", self.hosts, "must be a list of names or addresses")
        for host in self.hosts:
            if not all(char.isalnum() or char in "._-:%" for char in host) or host.startswith("-"):
                raise ParameterError("hosts", host, "must be a name or an address; the user is ssh_user")
        if self.hosts and self.scheduler_address is not None:
            rule = "goes without scheduler_address: a cluster is started on hosts, or one that runs is used"
            raise ParameterError("hosts", list(self.hosts), rule)
        if self.scheduler_address is not None and not _is_address(self.scheduler_address):
            rule = "must be the address of a Dask scheduler, as in tls://HOST:8786 or tcp://HOST:8786"
            raise ParameterError("scheduler_address", self.scheduler_address, rule)

    def _check_ssh(self) -> None:
        for name in ("ssh_user", "ssh_port", "ssh_key", "ssh_known_hosts", "ssh_python", "ssh_timeout"):
            if getattr(self, name) is not None and not self.hosts:
                raise ParameterError(name, getattr(self, name), "needs hosts")
        for name in ("ssh_user", "ssh_python"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, str) and value):
                raise ParameterError(name, value, "must be a text that is not empty")
        port = self.ssh_port
        if port is not None and not (type(port) is int and 0 < port < 65536):
            raise ParameterError("ssh_port", port, "must be a port, from 1 to 65535")
        if self.ssh_timeout is not None and exact("ssh_timeout", self.ssh_timeout) <= 0:
            raise ParameterError("ssh_timeout", self.ssh_timeout, "must be above 0, in seconds")
        _check_file("ssh_key", self.ssh_key)
        _check_file("ssh_known_hosts", self.ssh_known_hosts)

    def _check_tls(self) -> None:
        names = ("tls_ca", "tls_cert", "tls_key")
        given = [name for name in names if getattr(self, name) is not None]
        encrypted = (self.scheduler_address or "").startswith("tls://")
        if given and not encrypted:
            raise ParameterError(
                given[0], str(getattr(self, given[0])), "needs a scheduler_address with tls://"
            )
        missing = [name for name in names if name not in given]
        if given and missing:
            raise ParameterError(missing[0], None, f"is needed with {given[0]}: give all three")
        for name in given:
            _check_file(name, getattr(self, name))
        if self.tls is not None and not isinstance(self.tls, bool):
            raise ParameterError("tls", self.tls, "must be True or False")
        if self.tls is not None and not self.hosts:
            raise ParameterError("tls", self.tls, "needs hosts; a scheduler's address says tls:// or tcp://")


def _is_address(address: object) -> bool:
    if not isinstance(address, str) or not address.startswith(("tcp://", "tls://")):
        return False
    try:
        parts = urlsplit(address)
        return bool(parts.hostname and parts.port) and not (parts.path or parts.query or parts.fragment)
    except ValueError:  # no port, or none that can be
        return False


def _check_file(name: str, value: object) -> None:
    if value is None:
        return
    if not (isinstance(value, (str, Path)) and Path(os.path.expanduser(value)).is_file()):
        raise ParameterError(name, str(value), "must be a file that exists")
