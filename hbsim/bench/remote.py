"""Where studies run other than on this machine, and whether the processes there give the same results."""

from __future__ import annotations

import platform
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import hbsim
from hbsim.errors import ParameterError
from hbsim.executors.remote.options import Dask, Hosts

__all__ = ["PACKAGES", "SAME", "Remote", "absence", "look", "place", "versions", "work_for_another"]

DANGER: Final = "whoever answers there, or sits between, can run anything here: results come as pickles"
SAME: Final = "the same version of hbsim and Python must be there as here"
PACKAGES: Final = {  # and what may be where the versions of them are others
    "numpy": "the last digits of results may differ",
    "scipy": "the last digits of results may differ",
    "polars": "the last digits of results may differ",
    "distributed": "Dask asks for the same",
}


@dataclass(frozen=True)
class Remote:
    """The hosts, or the Dask cluster, that run studies in place of this machine.

    Attributes
    ----------
    options : Hosts or Dask
        Where they are.
    insecure : bool
        Whether what a Dask cluster sends over a network without TLS is trusted.
    processes : int, optional
        How many processes are started on each host; by default one a core there.
    files : tuple of str
        Whole paths of what every process needs.
    say : callable
        Takes lines for people, on what takes a while.

    Raises
    ------
    ParameterError
        No cluster is named; or connections would go over a network without TLS, and `insecure` is not set:
        Dask's results are pickles, and to read one is to run what its sender wants.
    """

    options: Hosts | Dask
    insecure: bool = False
    processes: int | None = None
    files: tuple[str, ...] = ()
    say: Callable[[str], None] = field(default=lambda text: None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if isinstance(self.options, Hosts):
            if self.insecure:
                raise ParameterError("insecure", True, "is for scheduler_address: SSH is secure")
            return
        from hbsim.executors.remote.dask_cluster import is_trusted

        address = self.options.scheduler_address
        if address is None:
            raise ParameterError("scheduler_address", None, "or hosts is needed: here processes serve")
        if not (self.insecure or is_trusted(address)):
            cure = "Give a tls:// address, or insecure=True"
            raise self.wrong(f"{DANGER}. {cure}")

    def wrong(self, rule: str) -> ParameterError:
        """Return an error about it."""
        if isinstance(self.options, Hosts):
            return ParameterError("hosts", ",".join(self.options.hosts), rule)
        return ParameterError("scheduler_address", self.options.scheduler_address, rule)


def versions() -> dict[str, str]:
    """Return the versions of this process that results depend on."""
    found = {"hbsim": hbsim.__version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "none"
    return found


def look(files: Sequence[str] = ()) -> dict[str, Any]:
    """Return what this process has: its host, its versions, and which of these files are absent."""
    absent = [file for file in files if not Path(file).exists()]
    return {"host": socket.gethostname(), "versions": versions(), "absent": absent}


def absence(file: str, hosts: Sequence[str]) -> str:
    """Say that hosts lack a file."""
    names = ", ".join(sorted(set(hosts)))
    return f"there is no {file} on {names}: workers read curves at the same whole path as this process"


_host = ""  # of this process, if it works for one elsewhere


def work_for_another(host: str) -> None:
    """Have this process's errors name its host."""
    global _host
    _host = host


def place() -> str:
    """Return " on HOST" if this process works for one elsewhere, nothing else."""
    return f" on {_host}" if _host else ""
