"""Whether a worker of a naively simulated cluster is there."""

from __future__ import annotations

import math
from typing import Any


class Attendance:
    """A worker's comings and goings, an absence at a time."""

    def __init__(self, absences: Any) -> None:
        self.absences = iter(absences)
        self.next = next(self.absences, None)
        self.told = False  # that it is about to go
        self.gone = False

    @property
    def works(self) -> bool:
        """Whether it may get a job."""
        return not self.told and not self.gone

    def next_change(self) -> float:
        """Return when it is told, goes or is back, whichever comes next."""
        if self.next is None:
            return math.inf
        if self.gone:
            return self.next.end
        if self.told or not self.next.notice or not self.next.preempted:
            return self.next.start
        return self.next.start - self.next.notice

    def change(self) -> str:
        """Make the next change; return which."""
        if self.gone:
            self.gone = self.told = False
            self.next = next(self.absences, None)
            return "back"
        is_notice = self.next_change() < self.next.start
        self.told = self.told or is_notice
        self.gone = not is_notice
        return "told" if is_notice else "gone"
