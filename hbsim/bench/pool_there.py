"""What Dask's workers and scheduler run: a look at what is there, and calls where that is right."""

from __future__ import annotations

import platform
import socket
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, TypeVar

import hbsim
from hbsim.executors.dask.versions import differences

__all__ = ["PACKAGES", "SAME", "Unfit", "absence", "call", "look", "place", "versions"]

Item = TypeVar("Item")
Found = TypeVar("Found")

SAME: Final = "the same version of hbsim and Python must be there as here"
PACKAGES: Final = {  # and what may be where the versions of them are others
    "numpy": "the last digits of results may differ",
    "scipy": "the last digits of results may differ",
    "polars": "the last digits of results may differ",
    "distributed": "Dask asks for the same",
}


class Unfit(Exception):
    """A process that cannot be given anything to do; the text says why, and where it is."""


_passed: list[tuple[Mapping[str, str], tuple[str, ...]]] = []  # what this process was held against
_works_for_another = False


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
    """Return what this process has: plain types, which any version of hbsim can read.

    Parameters
    ----------
    files : sequence of str
        Whole paths of what must be there.

    Returns
    -------
    dict
        ``host``, the machine's name; ``versions``; and ``absent``, the files that are not there.
    """
    absent = [file for file in files if not Path(file).exists()]
    return {"host": socket.gethostname(), "versions": versions(), "absent": absent}


def call(
    wanted: Mapping[str, str], files: tuple[str, ...], function: Callable[[Item], Found], item: Item
) -> Found:
    """Call a function with an item, if this process has what it needs.

    Parameters
    ----------
    wanted : mapping
        The versions of the process that asks.
    files : tuple of str
        Whole paths of what must be there.

    Raises
    ------
    Unfit
        It has not.
    """
    global _works_for_another
    _works_for_another = True
    if (wanted, files) not in _passed:
        here = look(files)
        if problem := differences(wanted, here["versions"])[0]:
            raise Unfit(f"a worker on {here['host']} has {problem}: {SAME}")
        if here["absent"]:
            raise Unfit(absence(here["absent"][0], [here["host"]]))
        _passed.append((wanted, files))
    return function(item)


def absence(file: str, hosts: Sequence[str]) -> str:
    """Say that hosts lack a file."""
    there = ", ".join(sorted(set(hosts)))
    return f"there is no {file} on {there}: workers read curves at the same whole path as this process"


def place() -> str:
    """Return " on HOST" if this process works for one elsewhere, nothing else."""
    return f" on {socket.gethostname()}" if _works_for_another else ""
