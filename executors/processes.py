"""Trees of operating-system processes, and the causes of their end: signals, leases, lack of memory."""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from math import inf, nan
from pathlib import Path
from typing import Any, Final, NamedTuple

LINUX: Final = sys.platform == "linux"
_PDEATHSIG: Final = 1
_CHILD_SUBREAPER: Final = 36
_GONE: Final = ("Z", "X")
_SIZE: Final = 8  # bytes: one float, which is read and written as a whole
# The time for which a machine was suspended counts, too.
_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
# The counts of the control group, version 2 and 1, and of the whole machine: the first readable one is used.
FILES: Final = (
    "/sys/fs/cgroup/memory.events",
    "/sys/fs/cgroup/memory/memory.oom_control",
    "/proc/vmstat",
)
# What CUDA, PyTorch, JAX, C++ and systems say of a lack of memory, in small letters.
_NO_MEMORY: Final = (
    *("out of memory", "outofmemoryerror", "memoryerror", "allocate memory", "bad_alloc"),
    *("resource_exhausted", "resourceexhaustederror", "alloc_failed"),
)
_RECENT: Final = 1.0  # seconds in which the system may kill several processes at once
GIVE_UP: Final = 5.0  # seconds after which a process that SIGKILL does not end is left alone
_LONG: Final = 10.0  # seconds in which process ids do not wrap around
_POLL: Final = 0.005


class _Stat(NamedTuple):
    pid: int
    state: str
    parent: int
    session: int


def die_with_parent(parent: int) -> None:
    """Make the kernel kill this process when the thread that started it ends; Linux only.

    Parameters
    ----------
    parent : int
        The parent's process id. If that process is not the parent any more, this process ends at once.
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
    """Send a signal to the process group that `pid` leads; return whether the group still exists."""
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return False
    except PermissionError:  # on macOS: only zombies are left
        return False
    return True


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Send a signal to a process, if it still exists."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def latest() -> int:
    """Return the process id that the system assigned last, 0 where that is unknown."""
    try:
        with open("/proc/loadavg", "rb") as file:
            return int(file.read().split()[-1])
    except (OSError, ValueError):
        return 0


def children(since: int = 0) -> set[int]:
    """Return the ids of this process's children, including ended ones that it has not waited for.

    Empty where there is no ``/proc``.

    Parameters
    ----------
    since : int
        Consider only processes that were started after the one with this id; 0 for all.
    """
    me = os.getpid()
    return {stat.pid for stat in _processes(_started_after(since)) if stat.parent == me}


def descendants(pid: int) -> set[int]:
    """Return the ids of the running processes that descend from the process `pid`.

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
    """Return whether a signal has stopped the process; False where that is unknown."""
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
    """Return a test for process ids after `since`, up to the latest; ids wrap around."""
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


def lease_clock() -> float:
    """Return the time in seconds on a clock that goes on while the machine is suspended."""
    return time.clock_gettime(_CLOCK)


class Lease:
    """A lease: its end is in a file that all processes concerned on this machine have mapped into memory.

    Checking it takes no system call except for the time. The file may be removed once all have mapped it.

    Parameters
    ----------
    path : Path or int
        A file that `create` has made; or its descriptor, which this object keeps.

    Raises
    ------
    OSError
        The file cannot be opened.
    """

    def __init__(self, path: os.PathLike[str] | str | int) -> None:
        self._descriptor = path if isinstance(path, int) else os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._until = memoryview(mmap.mmap(self._descriptor, _SIZE)).cast("d")

    def __reduce__(self) -> tuple[Any, ...]:
        from multiprocessing.reduction import DupFd

        return _received, (DupFd(self._descriptor),)

    @classmethod
    def create(cls, path: os.PathLike[str] | str, seconds: float) -> Lease:
        """Make a lease that ends after some seconds, in a new file."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, bytes(_SIZE))
        finally:
            os.close(descriptor)
        lease = cls(path)
        lease._until[0] = lease_clock() + seconds
        return lease

    @property
    def until(self) -> float:
        """The end of the lease on the lease clock; NaN if the lease was revoked."""
        return self._until[0]

    def renew(self, until: float) -> None:
        """Extend the lease to `until` on the lease clock. A lease that is over cannot be extended."""
        if until > self._until[0] and not self.expired():
            self._until[0] = until

    def revoke(self) -> None:
        """End the lease now; it cannot be renewed."""
        self._until[0] = nan  # all comparisons with NaN are false

    def expired(self) -> bool:
        """Return whether the lease is over."""
        return not lease_clock() < self._until[0]


def _received(passed: Any) -> Lease:
    return Lease(passed.detach())


def tells_of_memory(text: str) -> bool:
    """Return whether the text of an error says that there was not enough memory."""
    words = text.lower()
    return any(known in words for known in _NO_MEMORY)


class OomWatch:
    """A watch on the kernel's count of processes that it has killed for lack of memory.

    Parameters
    ----------
    files : sequence of str
        The files that may have the count, in a line ``oom_kill N``.
    """

    def __init__(self, files: tuple[str, ...] = FILES) -> None:
        self._files = files
        self._count = self._read()
        self._rose = -inf  # when it was seen that the count had risen

    def happened(self) -> bool:
        """Return whether the count has risen since the last call, or since the start, or within a second."""
        now = time.monotonic()
        before, self._count = self._count, self._read()
        if self._count > before:
            self._rose = now
        return now - self._rose < _RECENT

    def _read(self) -> int:
        for file in self._files:
            try:
                lines = Path(file).read_text().splitlines()
            except OSError:
                continue
            for line in lines:
                name, _, number = line.partition(" ")
                if name == "oom_kill" and number.strip().isdigit():
                    return int(number)
        return 0


@dataclass(slots=True)
class _Process:
    job: int
    pid: int
    started: float
    kill_at: float = inf
    give_up_at: float = inf
    status: int = 0
    ended: float = inf


class JobProcesses:
    """The jobs' processes, and the descendants that they leave behind.

    Each job's process leads a session and a process group of its own. On Linux this process adopts orphans,
    and so does each job's process while it lives. So every child of this process that it has not started
    itself belongs to a job that has ended, even a daemon with a session of its own.
    """

    def __init__(self) -> None:
        self._alive: dict[int, _Process] = {}  # by process id
        self._ending: list[_Process] = []
        self._kept: set[int] = set()
        self._stuck: set[int] = set()

    def keep_children(self) -> None:
        """Spare the children that this process has started so far, until `kill_all`."""
        self._kept = children()

    def add(self, job: int, pid: int) -> None:
        """Add a job's process that has just been started."""
        self._alive[pid] = _Process(job, pid, time.monotonic())

    def kill(self, job: int, grace: float) -> None:
        """Send SIGTERM to a job's process group, and SIGKILL after `grace` seconds."""
        for process in self._alive.values():
            if process.job == job:
                if grace > 0 and not kill_group(process.pid, signal.SIGTERM):
                    kill(process.pid, signal.SIGTERM)  # it has just been forked
                process.kill_at = min(process.kill_at, time.monotonic() + grace)
        self.kill_overdue()

    def kill_overdue(self) -> None:
        """Send SIGKILL to the jobs whose grace is over."""
        now = time.monotonic()
        for process in self._alive.values():
            if process.kill_at <= now:
                process.kill_at, process.give_up_at = inf, now + GIVE_UP
                kill_group(process.pid)
                kill(process.pid)

    def timeout(self) -> float | None:
        """Return the seconds until `kill_overdue` or `reap` has something to do; None for never."""
        if self._ending:
            return _POLL
        due = (min(process.kill_at, process.give_up_at) for process in self._alive.values())
        first = min(due, default=inf)
        return None if first == inf else max(0.0, first - time.monotonic())

    def reap(self) -> list[tuple[int, int]]:
        """Kill what ended jobs have left running; return the jobs without processes, with their status.

        The status is the exit code, or the negative number of the signal.
        """
        ended, more = _ended()
        for pid, status in ended:
            self._stuck.discard(pid)
            self._kept.discard(pid)
            process = self._alive.pop(pid, None)
            if process is not None:
                process.status, process.ended = status, time.monotonic()
                self._ending.append(process)
        given_up = self._give_up()
        if not self._ending or self._kill_left(more):
            return given_up
        done, self._ending = self._ending, []
        return given_up + [(process.job, process.status) for process in done]

    def kill_all(self) -> None:
        """Kill all descendants of this process, and wait until they are gone."""
        leaders = [*self._alive, *(process.pid for process in self._ending)]
        deadline = time.monotonic() + GIVE_UP
        while time.monotonic() < deadline:
            groups = [pid for pid in leaders if kill_group(pid)]
            for pid in children() | self._alive.keys():
                kill(pid)
            ended, more = _ended()
            for pid, _ in ended:
                self._alive.pop(pid, None)
            if not groups and not more:
                return
            time.sleep(_POLL)

    def _give_up(self) -> list[tuple[int, int]]:
        """Stop waiting for processes that SIGKILL does not end in `GIVE_UP` seconds; return their jobs."""
        now = time.monotonic()
        lost = [process for process in self._alive.values() if process.give_up_at <= now]
        for process in lost:
            print(f"hbsim: process {process.pid} of a trial cannot be killed", file=sys.stderr)
            del self._alive[process.pid]
            self._stuck.add(process.pid)
        return [(process.job, -signal.SIGKILL) for process in lost]

    def _kill_left(self, children: bool) -> bool:
        """Kill the processes that ended jobs have left; return whether there are any."""
        groups = [process for process in self._ending if kill_group(process.pid)]
        orphans = self._orphans() if children else set()
        for pid in orphans:
            kill(pid)
        if not groups and not orphans:
            return False
        if time.monotonic() - max(process.ended for process in self._ending) < GIVE_UP:
            return True
        print(f"hbsim: processes {sorted(orphans)} of ended trials cannot be killed", file=sys.stderr)
        self._stuck |= orphans
        return False

    def _orphans(self) -> set[int]:
        oldest = min(self._ending, key=lambda process: process.started)
        lived = time.monotonic() - oldest.started
        found = children(since=oldest.pid if lived < _LONG else 0)
        return found - self._alive.keys() - self._kept - self._stuck


def _ended() -> tuple[list[tuple[int, int]], bool]:
    """Return the children that have ended, with their status, and whether there are others."""
    ended: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended, False
        if not pid:
            return ended, True
        ended.append((pid, os.waitstatus_to_exitcode(status)))
