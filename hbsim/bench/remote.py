"""Other machines that run studies, and checks that their processes give the same results."""

from __future__ import annotations

import asyncio
import concurrent.futures
import platform
import socket
import threading
import warnings
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, TypeVar

import hbsim
from hbsim.bench.pool import POLL
from hbsim.errors import HbsimWarning, ParameterError
from hbsim.executors.remote.allocation import differences
from hbsim.executors.remote.options import Dask, Hosts

__all__ = [
    "SAME",
    "LoopThread",
    "Remote",
    "find_problem",
    "inspect_process",
    "on_host",
    "versions",
    "work_for",
]

Found = TypeVar("Found")

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
        """Return an error about it."""
        if isinstance(self.options, Hosts):
            return ParameterError("hosts", ",".join(self.options.hosts), rule)
        return ParameterError("scheduler_address", self.options.scheduler_address, rule)

    def check(self, name: str, found: Mapping[str, Any]) -> None:
        """Hold what a process there has (`look`) against this one.

        Raises
        ------
        ParameterError
            It has another version of hbsim or Python, or lacks a file.

        Warns
        -----
        HbsimWarning
            It has another version of a package that computes.
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
    """Return what this process has: its host, its versions, and which of these files are absent."""
    absent = [file for file in files if not Path(file).exists()]
    return {"host": socket.gethostname(), "versions": versions(), "absent": absent}


def find_problem(wanted: Mapping[str, str], found: Mapping[str, Any], name: str) -> str:
    """Return why a process of this name cannot give the same results; empty if it can."""
    if problem := differences(wanted, found["versions"])[0]:
        return f"{name} has {problem}: {SAME}"
    for file in found["absent"]:
        return f"there is no {file} on {name}: workers read curves at the same whole path as this process"
    return ""


_host = ""  # of this process, if it works for one elsewhere


def work_for(host: str) -> None:
    """Have this process's errors name its host."""
    global _host
    _host = host


def on_host() -> str:
    """Return " on HOST" if this process works for one elsewhere, nothing else."""
    return f" on {_host}" if _host else ""


class LoopThread:
    """An event loop in a thread of its own: the caller's thread may have one that runs, as in a notebook."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="hbsim hosts", daemon=True)

    def __enter__(self) -> LoopThread:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def run(self, work: Coroutine[Any, Any, Found]) -> Found:
        """Return what a coroutine returns; it is cancelled by Ctrl-C."""
        future = asyncio.run_coroutine_threadsafe(work, self.loop)
        try:
            # Not one wait without end: it would not see Ctrl-C, whose handler is Polars' (with SA_RESTART).
            while not future.done():
                concurrent.futures.wait([future], timeout=POLL)
        except BaseException:
            future.cancel()
            raise
        return future.result()
