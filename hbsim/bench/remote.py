"""Other machines that run studies, and checks that their processes give the same results."""

from __future__ import annotations

import platform
import socket
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import hbsim
from hbsim.errors import HbsimWarning, ParameterError
from hbsim.executors.remote.allocation import differences
from hbsim.executors.remote.options import Dask, Hosts

DANGER: Final = "whoever answers there, or sits between, can run anything here: results come as pickles"
SAME: Final = "the same version of hbsim and Python must be there as here"
PACKAGES: Final = {  # how results may differ where their versions differ
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
        Whether to trust what a Dask cluster sends over a network without TLS.
    processes : int, optional
        How many processes are started on each host; by default one a core there.
    files : tuple of str
        Whole paths of the files that every process needs.
    say : callable
        Called with a line of text for the user on whatever takes a while.

    Raises
    ------
    ParameterError
        No cluster is named; or connections would go over a network without TLS, and `insecure` is not set:
        Dask's results are pickles, and reading one can run any code of its sender.
    """

    options: Hosts | Dask
    insecure: bool = False
    processes: int | None = None
    files: tuple[str, ...] = ()
    say: Callable[[str], None] = field(default=lambda text: None, repr=False, compare=False)
    _noted: set[tuple[str, str]] = field(default_factory=set, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if isinstance(self.options, Hosts):
            if self.insecure:
                raise ParameterError("insecure", True, "is for scheduler_address: SSH is secure")
            return
        from hbsim.executors.remote.dask import is_trusted

        address = self.options.scheduler_address
        if address is None:
            raise ParameterError("scheduler_address", None, "or hosts is needed: here processes serve")
        if not (self.insecure or is_trusted(address)):
            raise self.wrong(f"{DANGER}. Give a tls:// address, or insecure=True")

    def wrong(self, rule: str) -> ParameterError:
        """Return an error about the hosts or the cluster."""
        if isinstance(self.options, Hosts):
            return ParameterError("hosts", ",".join(self.options.hosts), rule)
        return ParameterError("scheduler_address", self.options.scheduler_address, rule)

    def check(self, name: str, found: Mapping[str, Any]) -> None:
        """Compare what a process there has (as `inspect_process` returns it) with this process.

        Raises
        ------
        ParameterError
            The process has another version of hbsim or Python, or lacks a file.

        Warns
        -----
        HbsimWarning
            The process has another version of a package that results depend on.
        """
        ours, theirs = versions(), found["versions"]
        if problem := find_problem(ours, found, name):
            raise self.wrong(problem)
        for package, consequence in PACKAGES.items():
            one = str(theirs.get(package, "none"))
            if one != ours[package] and (package, one) not in self._noted:
                self._noted.add((package, one))
                text = f"{name} has {package} {one}, and here it is {ours[package]}: {consequence}"
                warnings.warn(HbsimWarning(text), stacklevel=2)


def versions() -> dict[str, str]:
    """Return the versions of this process that results depend on."""
    found = {"hbsim": hbsim.__version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "none"
    return found


def inspect_process(files: Sequence[str] = ()) -> dict[str, Any]:
    """Return this process's host, its versions, and which of these files are absent."""
    absent = [file for file in files if not Path(file).exists()]
    return {"host": socket.gethostname(), "versions": versions(), "absent": absent}


def find_problem(wanted: Mapping[str, str], found: Mapping[str, Any], name: str) -> str:
    """Return the reason why a process cannot give the same results; empty if it can."""
    if problem := differences(wanted, found["versions"])[0]:
        return f"{name} has {problem}: {SAME}"
    for file in found["absent"]:
        return f"there is no {file} on {name}: workers read curves at the same whole path as this process"
    return ""


_host = ""  # this process's host, if it runs calls of another machine


def work_for(host: str) -> None:
    """Make this process's errors name its host."""
    global _host
    _host = host


def on_host() -> str:
    """Return " on HOST" if this process runs calls of another machine, else an empty text."""
    return f" on {_host}" if _host else ""
