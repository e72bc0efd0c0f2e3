"""The worker seconds that there were in a study, by its records: here, and on hosts that come and go."""

from __future__ import annotations

__all__ = ["Capacity"]


class Capacity:
    """Adds up worker seconds, session by session.

    In a session with hosts that come and go, a worker is there while it is open, and on while it has a job:
    one that was lost took its worker until that was known. In a session on this machine alone all workers
    are there from its beginning to its end; how many is not written down, so these are those up to the last
    one that had a job. What is tidied up after the last job takes no worker seconds.

    Attributes
    ----------
    most : int
        The most workers that there were at once.
    """

    def __init__(self) -> None:
        self.most = 0
        self._hosts = False  # whether any session had some
        self._sum = 0.0  # of sessions before, and of hosts in this one
        self._began = self._until = 0.0  # of this session
        self._since = 0.0  # when those that are there came or went last
        self._local = 0  # how many workers this session has here; 0 as soon as it has hosts
        self._open: set[int] = set()
        self._there: set[int] = set()  # those that are open, or have a job; only in a session with hosts
        self._moved = False  # whether this session has hosts

    @property
    def total(self) -> float | None:
        """Worker seconds until now; None if all sessions were on this machine alone."""
        there = self._local * (self._until - self._began) + len(self._there) * (self._until - self._since)
        return self._sum + there if self._hosts else None

    def pass_to(self, now: float) -> None:
        """Let time pass in a session."""
        self._until = now

    def open(self, worker: int) -> None:
        """A host's worker is open."""
        self._hosts = self._moved = True
        self._local = 0
        self._open.add(worker)
        self._come(worker)

    def shut(self, worker: int, busy: bool) -> None:
        """A host's worker is shut; `busy` if it still has a job."""
        self._open.discard(worker)
        if not busy:
            self._go(worker)

    def begin(self, worker: int) -> None:
        """A worker gets a job."""
        if self._moved:
            self._come(worker)
        else:
            self._local = max(self._local, worker + 1)
            self.most = max(self.most, self._local)

    def end(self, worker: int) -> None:
        """A worker has its job no more."""
        if worker not in self._open:
            self._go(worker)

    def resume(self, now: float) -> None:
        """A session is over, and another one begins."""
        self._sum += self._local * (self._until - self._began)
        self._add_up()
        self._began = self._until = self._since = now
        self._local, self._moved = 0, False
        self._open.clear()
        self._there.clear()

    def _add_up(self) -> None:
        self._sum += len(self._there) * (self._until - self._since)
        self._since = self._until

    def _go(self, worker: int) -> None:
        self._add_up()
        self._there.discard(worker)

    def _come(self, worker: int) -> None:
        self._add_up()
        self._there.add(worker)
        self.most = max(self.most, len(self._there))
