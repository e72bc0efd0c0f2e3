"""What the operating system knows of processes: parents, sessions, and what happens when one dies."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from typing import Final, NamedTuple

__all__ = [
    "adopt_orphans",
    "children",
    "descendants",
    "die_with_parent",
    "in_session",
    "is_stopped",
    "kill",
    "kill_group",
    "latest",
    "outlive_parent",
    "thread_count",
]

LINUX: Final = sys.platform == "linux"
_PDEATHSIG: Final = 1
_CHILD_SUBREAPER: Final = 36
_GONE: Final = ("Z", "X")


class _Stat(NamedTuple):
    pid: int
    state: str
    parent: int
    session: int


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when the thread that started it ends; Linux only.

    Parameters
    ----------
    parent : int
        The parent's process id. If it is not the parent any more, this process ends here.
    """
    _prctl(_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def outlive_parent() -> None:
    """Undo `die_with_parent`."""
    _prctl(_PDEATHSIG, 0)


def adopt_orphans() -> None:
    """Become the parent of all descendants that lose theirs; Linux only."""
    _prctl(_CHILD_SUBREAPER, 1)


def kill_group(pid: int, number: int = signal.SIGKILL) -> bool:
    """Send a signal to the process group that `pid` leads; whether there still is one."""
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return False
    except PermissionError:  # on macOS: only zombies are left
        return False
    return True


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Send a signal to a process, if there still is one."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def latest() -> int:
    """Return the process id that was given last, 0 where that is unknown."""
    try:
        with open("/proc/loadavg", "rb") as file:
            return int(file.read().split()[-1])
    except (OSError, ValueError):
        return 0


def children(since: int = 0) -> set[int]:
    """Return the ids of this process's children, those included that have ended and wait for it.

    Empty where there is no ``/proc``.

    Parameters
    ----------
    since : int
        Look among the processes only that have been started after the one of this id; 0 for all.
    """
    me = os.getpid()
    return {stat.pid for stat in _processes(_started_after(since)) if stat.parent == me}


def descendants(pid: int) -> set[int]:
    """Return the ids of the processes that descend from this one, and run.

    Empty where there is no ``/proc``.
    """
    every = list(_processes(lambda pid: True))
    found: set[int] = set()
    parents = {pid}
    while parents:
        parents = {stat.pid for stat in every if stat.parent in parents} - found
        found |= parents
    return found - {stat.pid for stat in every if stat.state in _GONE}


def is_stopped(pid: int) -> bool:
    """Whether a signal has stopped this process; False where that is unknown."""
    try:
        return _read(str(pid)).state == "T"
    except (OSError, ValueError, IndexError):
        return False


def in_session(leaders: set[int]) -> set[int]:
    """Return the ids of the processes that run in the sessions of these leaders."""
    every = _processes(lambda pid: True)
    return {stat.pid for stat in every if stat.session in leaders and stat.state not in _GONE}


def thread_count() -> int:
    """Return how many threads this process has; 1 where that is unknown."""
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return 1


def _started_after(since: int) -> Callable[[int], bool]:
    """Process ids are given in a circle: those from `since` up to the latest."""
    last = latest() if since else 0
    if not last:
        return lambda pid: True
    if last >= since:
        return lambda pid: since <= pid <= last
    return lambda pid: pid >= since or pid <= last


def _processes(wanted: Callable[[int], bool]) -> Iterator[_Stat]:
    try:
        names = os.listdir("/proc")
    except OSError:
        return
    for name in names:
        if name.isdecimal() and wanted(int(name)):
            with suppress(OSError, ValueError, IndexError):  # it has ended meanwhile
                yield _read(name)


def _read(name: str) -> _Stat:
    descriptor = os.open(f"/proc/{name}/stat", os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = os.read(descriptor, 1024)
    finally:
        os.close(descriptor)
    fields = text[text.rindex(b")") + 2 :].split()  # the command before may hold anything
    return _Stat(int(name), fields[0].decode(), int(fields[1]), int(fields[3]))


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: int) -> None:
    if LINUX:
        _libc().prctl(option, value, 0, 0, 0)
