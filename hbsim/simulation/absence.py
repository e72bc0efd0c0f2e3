"""Times when a machine is not there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import inf
from typing import NamedTuple

__all__ = ["Absence", "joined"]


class Absence(NamedTuple):
    """From when to when a machine is not there.

    Attributes
    ----------
    start, end : float
        Simulated seconds. They may be equal: what ran is lost all the same. The end may be infinite.
    preempted : bool
        Whether it is taken away (else it breaks).
    notice : float
        How many seconds before `start` its workers are told; the machine is there all that time.
    """

    start: float
    end: float
    preempted: bool
    notice: float = 0.0


def joined(absences: Iterable[Absence]) -> Iterator[Absence]:
    """Make one of absences that overlap or touch, of the kind of the first; they come by their starts."""
    rest = iter(absences)
    whole = next(rest, None)
    if whole is None:
        return
    start, end, preempted, _ = whole
    for absence in rest:
        if end == inf:
            break
        if absence.start > end:
            yield Absence(start, end, preempted)
            start, end, preempted, _ = absence
        elif absence.end > end:
            end = absence.end
    yield Absence(start, end, preempted)
