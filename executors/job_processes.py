"""The processes of jobs: which there are, how they are ended, and when nothing of them is left."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass
from math import inf
from typing import Final

from hbsim.executors import proc

__all__ = ["JobProcesses"]

GIVE_UP: Final = 5.0  # seconds after which a process that SIGKILL does not end is left alone
_LONG: Final = 10.0  # seconds in which process ids do not come round
_POLL: Final = 0.005


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

    Each leads a session and a process group of its own. On Linux this process adopts orphans, and so does
    each job's process while it lives. So whatever this process is the parent of, and has not started itself,
    is of a job that has ended, even a daemon with a session of its own.
    """

    def __init__(self) -> None:
        self._alive: dict[int, _Process] = {}  # by process id
        self._ending: list[_Process] = []
        self._kept: set[int] = set()
        self._stuck: set[int] = set()

    def keep_children(self) -> None:
        """Leave alone, until `kill_all`, what this process has started itself so far."""
        self._kept = proc.children()

    def add(self, job: int, pid: int) -> None:
        """Take in a job's process that has just been started."""
        self._alive[pid] = _Process(job, pid, time.monotonic())

    def kill(self, job: int, grace: float) -> None:
        """Send SIGTERM to a job's process group, and SIGKILL after `grace` seconds."""
        for process in self._alive.values():
            if process.job == job:
                if grace > 0 and not proc.kill_group(process.pid, signal.SIGTERM):
                    proc.kill(process.pid, signal.SIGTERM)  # it has been forked this moment
                process.kill_at = min(process.kill_at, time.monotonic() + grace)
        self.kill_overdue()

    def kill_overdue(self) -> None:
        """Send SIGKILL where the grace is over."""
        now = time.monotonic()
        for process in self._alive.values():
            if process.kill_at <= now:
                process.kill_at, process.give_up_at = inf, now + GIVE_UP
                proc.kill_group(process.pid)
                proc.kill(process.pid)

    def timeout(self) -> float | None:
        """Return after how many seconds something has to be done, None for never."""
        if self._ending:
            return _POLL
        due = (min(process.kill_at, process.give_up_at) for process in self._alive.values())
        first = min(due, default=inf)
        return None if first == inf else max(0.0, first - time.monotonic())

    def reap(self) -> list[tuple[int, int]]:
        """Kill what ended jobs have left; return those of which nothing is left, and their status.

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
        """Kill everything that descends from this process, and wait until it is gone."""
        leaders = [*self._alive, *(process.pid for process in self._ending)]
        deadline = time.monotonic() + GIVE_UP
        while time.monotonic() < deadline:
            groups = [pid for pid in leaders if proc.kill_group(pid)]
            for pid in proc.children() | self._alive.keys():
                proc.kill(pid)
            ended, more = _ended()
            for pid, _ in ended:
                self._alive.pop(pid, None)
            if not groups and not more:
                return
            time.sleep(_POLL)

    def _give_up(self) -> list[tuple[int, int]]:
        """Leave alone whom SIGKILL has not ended, since the kernel does not let go; return their jobs."""
        now = time.monotonic()
        lost = [process for process in self._alive.values() if process.give_up_at <= now]
        for process in lost:
            print(f"hbsim: process {process.pid} of a trial cannot be killed", file=sys.stderr)
            del self._alive[process.pid]
            self._stuck.add(process.pid)
        return [(process.job, -signal.SIGKILL) for process in lost]

    def _kill_left(self, children: bool) -> bool:
        """Kill what the jobs that have ended have left; whether there is anything."""
        groups = [process for process in self._ending if proc.kill_group(process.pid)]
        orphans = self._orphans() if children else set()
        for pid in orphans:
            proc.kill(pid)
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
        found = proc.children(since=oldest.pid if lived < _LONG else 0)
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
