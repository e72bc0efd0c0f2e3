"""What pretended trials report, and what goes wrong with them."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, inf

from hbsim.runner.workers import Assignment

# What can go wrong. `at` is the number of a report of the job for the first, of a message for the second.
AT_REPORT = ("error", "oom", "lost", "hang", "return", "silent", "terminated", "dies waiting")
AT_MESSAGE = ("drop", "twice", "delay")
ALWAYS = ("deaf", "stubborn", "slow save", "slow start", "slow kill")


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong in the n-th job that is begun.

    ``error``, ``oom``, ``lost``: it fails instead of its report number `at`; ``dies waiting``: just after
    it, if it waits there; ``hang``: it never comes to that report; ``return``: it returns after it;
    ``silent``: it returns instead of its first; ``terminated``: somebody else sends it SIGTERM. ``drop``,
    ``twice``, ``delay``: message number `at`. ``deaf``: it does not leave; ``stubborn``: it reports once more
    before it does. `seconds` is how long whatever is late takes.
    """

    job: int
    kind: str
    at: int = 0
    seconds: float = 1.0


@dataclass(frozen=True)
class Curve:
    """What trials report, and when: a pure function of the trial and the resource.

    Attributes
    ----------
    most : float
        R, where every trial reports last.
    paces : tuple of float
        Resource between two reports, by trial in turn.
    seconds : float
        What a unit of resource takes.
    batch : int
        Reports a message, between milestones.
    values : int
        How many different values there are.
    odd : bool
        Whether some values are no numbers.
    resume : bool
        Whether trials go on from a checkpoint at their last milestone, or train again from zero.
    breaks : tuple of (trial, attempt, resource)
        Fails instead of the first report at or beyond the resource.
    ends : tuple of (trial, resource)
        The function returns after the first report at or beyond the resource, once it may go on; at once if
        it goes on from there.
    """

    most: float
    paces: tuple[float, ...] = (1,)
    seconds: float = 1.0
    batch: int = 1
    values: int = 1009
    odd: bool = False
    resume: bool = True
    breaks: tuple[tuple[int, int, float], ...] = ()
    ends: tuple[tuple[int, float], ...] = ()

    def after(self, trial: int, resource: float) -> float:
        """Return the resource of the first report beyond `resource`; infinite if there is none."""
        pace = self.paces[trial % len(self.paces)]
        count = floor(resource / pace)
        while count * pace <= resource:
            count += 1
        return inf if resource >= self.most else min(count * pace, self.most)

    def at(self, trial: int, level: float) -> float:
        """Return the resource of the first report at or beyond `level`."""
        resource = self.after(trial, 0)
        while resource < level:
            resource = self.after(trial, resource)
        return resource

    def fails(self, task: Assignment, resource: float) -> bool:
        """Return whether an attempt fails instead of a report."""
        where = (task.trial, task.attempt)
        return any((trial, attempt) == where and resource >= r for trial, attempt, r in self.breaks)

    def returns(self, trial: int, resource: float) -> bool:
        """Return whether the function returns after a report."""
        return any(who == trial and resource >= r for who, r in self.ends)

    def value(self, trial: int, resource: float) -> float | None:
        """Return what is reported; None for no number."""
        mixed = (trial + 1) * 2654435761 + floor(resource * 1024) * 40503
        mixed ^= mixed >> 13
        if self.odd and mixed % 7 == 0:
            return None
        return mixed % self.values / self.values
