"""A real study in plain lines on stderr, for logs: bounded, however much happens."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Final

from hbsim.executors.local import trial_folder
from hbsim.runner.records import Record
from hbsim.study.overview import WAITING, Mishap, Overview
from hbsim.study.team import NO_ANSWER
from hbsim.study.words import few, hms, near, number
from hbsim.terminal import print_err

__all__ = ["PlainLines"]

EVERY: Final = 10.0  # seconds between two summaries
QUIET: Final = 600.0  # the same while nothing changes
APART: Final = 1.0  # seconds between two lines about the incumbent
FAILURES: Final = 5  # that are told one by one between two summaries


class PlainLines:
    """An `Observer` that writes a line when the incumbent improves, when a trial fails, and summaries.

    A summary comes at most every ten seconds, and every ten minutes while nothing changes. The incumbent
    has at most a line a second, hosts that come and go have one, too, and of many failures the first five
    between two summaries have one each.

    Parameters
    ----------
    overview : Overview
        Told of each record before.
    about : str
        What there is to say about the workers, in a line.
    clock : callable
        Seconds.
    """

    def __init__(self, overview: Overview, about: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._overview, self._about, self._clock = overview, about, clock
        self._begins = "goes on" if overview.journal_state.now else "starts"
        self._best = self._shown_best()
        self._begun = self._off = False
        self._told_best = self._summed = clock()
        self._trials = ""  # the last summary's
        self._there: frozenset[int] | None = None  # workers that people know of
        self._told_there = -APART + clock()
        self._told = 0  # failures since the last summary
        self._untold = 0

    def record(self, record: Record) -> None:
        """Take note of a record."""
        self._begin()
        self._overview.record(record)
        if record["e"] == "fail" and self._overview.last_failure is not None:
            self._fail(self._overview.last_failure)
        elif record["e"] == "close":
            self._improve(now=True)
            self._sum_up()

    def tick(self) -> None:
        """Write what is due."""
        self._begin()
        self._improve()
        self._tell_workers()
        since = self._clock() - self._summed
        if since >= QUIET or (since >= EVERY and (self._untold or self._overview.trials() != self._trials)):
            self._improve(now=True)
            self._sum_up()

    def close(self) -> None:
        """Nothing is left to write."""

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            overview = self._overview
            self._write(f"{overview.name()} {self._begins}, {self._about}, in {near(overview.place.path)}")

    def _improve(self, now: bool = False) -> None:
        best, time = self._shown_best(), self._clock()
        if best != self._best and (now or time - self._told_best >= APART):
            self._best, self._told_best = best, time
            self._write(f"best {self._overview.best()}")

    def _shown_best(self) -> tuple[int, str] | None:
        """Return whose the incumbent is, and its value as it is shown: less is no news."""
        best = self._overview.journal_state.best
        return None if best is None else (best.trial, number(best.value))

    def _tell_workers(self) -> None:
        """Say which workers have come or gone since the last time."""
        there, time = frozenset(self._overview.team.open), self._clock()
        if there == self._there or time - self._told_there < APART:
            return
        before, self._there, self._told_there = self._there, there, time
        if before is None and there:
            return  # those that the first line is about
        parts = [f"{len(there):,} now" if there else WAITING]
        if came := there.difference(before or ()):
            parts.insert(0, f"new {self._on_hosts(came)}")
        if gone := frozenset(before or ()) - there:
            parts.insert(0, self._gone(gone))
        self._write("; ".join(parts))

    def _gone(self, workers: Collection[int]) -> str:
        """Say which workers take no jobs any more, and why the first of them does not."""
        why = self._overview.team.shut.get(min(workers), "")
        if why == NO_ANSWER:
            return f"{NO_ANSWER} from {self._on_hosts(workers)}"
        return f"lost {self._on_hosts(workers)}{f': {why}' if why else ''}"

    def _on_hosts(self, workers: Collection[int]) -> str:
        """Count workers, and name their hosts: ``"2 workers (a, b)"``."""
        hosts = list(dict.fromkeys(self._overview.team.hosts.get(worker, "") for worker in sorted(workers)))
        count = f"{len(workers):,} worker{'' if len(workers) == 1 else 's'}"
        return f"{count} ({few(hosts)})"

    def _fail(self, mishap: Mishap) -> None:
        if self._told == FAILURES:
            self._untold += 1
            return
        self._told += 1
        log = near(trial_folder(self._overview.place.trials, mishap.trial) / "log.txt")
        self._write(f"failed {self._overview.mishap(mishap)}; see {log}")

    def _sum_up(self) -> None:
        overview, self._trials = self._overview, self._overview.trials()
        more = f"; {self._untold:,} more failures" if self._untold else ""
        self._told = self._untold = 0
        self._summed = self._clock()
        best = overview.journal_state.best
        best_ = "" if best is None else f"; best {overview.metric} {best.value:.5g} (trial {best.trial})"
        self._write(f"{self._trials}{best_}; {overview.state()}{more}")

    def _write(self, line: str) -> None:
        if self._off:
            return
        try:
            print_err(f"[{hms(self._overview.elapsed)}] {line}")
        except (OSError, ValueError):
            self._off = True  # nobody reads it: the study goes on
