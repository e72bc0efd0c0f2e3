"""Certificates for the connections of a Dask cluster: an authority that signs one of them, and is gone.

All ends of a cluster show the same certificate. Who has its key is let in, and nobody else can be: the
authority's own key is kept nowhere.
"""

from __future__ import annotations

import datetime
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from hbsim.core.exact import whole
from hbsim.errors import OutputError, ParameterError

__all__ = ["FILES", "Certificates", "make_certificates", "security_of", "temporary"]

FILES: Final = ("ca.pem", "cert.pem", "key.pem")  # as in `Certificates`
DAYS: Final = 365
_MOST_DAYS: Final = 3650
_HERE: Final = ("localhost", "127.0.0.1", "::1")
_EARLIER: Final = datetime.timedelta(days=1)  # hosts' clocks differ


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM texts.

    Attributes
    ----------
    authority : str
        The authority's certificate, which says who is let in.
    certificate : str
        For servers and clients.
    key : str
        The certificate's private key. Whoever has it can run code on the cluster.
    until : datetime
        When they end, in UTC.
    """

    authority: str
    certificate: str
    key: str
    until: datetime.datetime

    def files(self) -> dict[str, str]:
        """Return the texts by the names of their files."""
        return dict(zip(FILES, (self.authority, self.certificate, self.key), strict=True))


def temporary(hosts: Iterable[str] = (), days: int = DAYS) -> Certificates:
    """Make certificates that are in no file.

    Parameters
    ----------
    hosts : iterable of str
        Names and addresses that the certificate is for, besides this machine's loopback. Dask does not look
        at them, but others may.
    days : int
        How long they are valid, from 1 to 3650.

    Raises
    ------
    ParameterError
        A host is neither a name nor an address, or `days` is out of range; or, with the field ``tls``, the
        package that makes certificates is missing.
    """
    days = whole("days", days, 1)
    if days > _MOST_DAYS:
        raise ParameterError("days", days, f"must be a whole number of at most {_MOST_DAYS}")
    try:
        from hbsim.executors.dask.authority import Authority
    except ImportError:
        rule = 'certificates are made by the package cryptography: pip install "hbsim[dask]"'
        raise ParameterError("tls", True, rule) from None
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    end = now + datetime.timedelta(days=days)
    authority = Authority(now - _EARLIER, end)
    return Certificates(authority.pem, *authority.certificate([*hosts, *_HERE]), end)


def make_certificates(
    folder: Path | str, hosts: Sequence[str] = (), days: int = DAYS, force: bool = False
) -> Certificates:
    """Make certificates, and write them into a folder: ``ca.pem``, ``cert.pem`` and ``key.pem``.

    Only their owner can read the files (mode 600), and enter a folder that is made for them (mode 700).

    Parameters
    ----------
    folder : path
        Is made if it does not exist.
    hosts, days
        As in `temporary`.
    force : bool
        Whether files of these names are replaced. What has the old ones is shut out then.

    Raises
    ------
    ParameterError
        As in `temporary`; or, with the field ``folder``, there are files of these names already.
    OutputError
        The files cannot be written.
    """
    place = Path(folder)
    if place.exists() and not place.is_dir():
        raise ParameterError("folder", str(folder), "is a file; give a folder")
    there = [name for name in FILES if os.path.lexists(place / name)]
    if there and not force:
        raise ParameterError("folder", str(folder), f"holds {there[0]} already; force=True replaces it")
    made = temporary(hosts, days)
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(place, made.files())
    except OSError as error:
        raise OutputError(str(folder), f"cannot be written: {error.strerror or error}") from error
    return made


def security_of(made: Certificates) -> Any:
    """Return a `distributed.Security` that demands these certificates, in all roles."""
    dask: Any = import_module("distributed")
    files = {"tls_ca_file": made.authority}
    for role in ("client", "scheduler", "worker"):
        files |= {f"tls_{role}_cert": made.certificate, f"tls_{role}_key": made.key}
    return dask.Security(require_encryption=True, **files)


def _write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        descriptor, new = tempfile.mkstemp(prefix=f".{name}-", dir=folder)  # of mode 600
        try:
            with open(descriptor, "w", encoding="ascii") as file:
                file.write(text)
            os.replace(new, folder / name)
        except BaseException:
            os.unlink(new)
            raise
