"""What several views of machines get when cores and GPUs are dealt out among them, each to one."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from hbsim.executors.resource import Need

__all__ = ["Share", "View", "deal"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class View:
    """What is free of what some agents see of their machine.

    Attributes
    ----------
    machine : str
        Which one; cores of two machines are never the same.
    cores : tuple of int
        The ids of the free cores, in order.
    most : int
        How many of them there is time for, under a quota.
    gpus : tuple of str
        The UUIDs of the free GPUs, in order. Those are known over all machines.
    blind : bool
        Whether the agents see no GPUs at all, free or not.
    """

    machine: str
    cores: tuple[int, ...]
    most: int
    gpus: tuple[str, ...]
    blind: bool


@dataclass(frozen=True, slots=True)
class Share:
    """What one of the views got: how many workers, and the cores and GPUs for all of them."""

    count: int
    cores: tuple[int, ...]
    gpus: tuple[str, ...]


def deal(views: Sequence[View], need: Need, workers: int | None, crowd: bool = True) -> list[Share]:
    """Deal cores and GPUs out, in turns of what one more trial needs.

    A turn gives a trial the cores and GPUs that it asked for; where it asked for no GPUs one, while there are
    any; where it asked for no cores one, while there are any. So as many trials as fit come before any two
    share a core or GPU that nobody asked for. Those who see parts of a machine that others also see get those
    last that the most others see. Nothing is left that a trial could have had.

    If `workers` is more, and `need` does not forbid it, the views get more in proportion to what fits with
    `crowd`, and these share what there is.

    Parameters
    ----------
    views : sequence of View
        In the order of turns, except that second views of a machine come after the first ones of others.
    need : Need
        What a trial needs, not settled.
    workers : int or None
        The most workers over all; None: as many as fit.
    crowd : bool
        Whether there may be more workers than fit.

    Returns
    -------
    list of Share
        One a view. Cores that nobody asked for are divided without a rest, evenly among workers.
    """
    return _Deal(views, need).shares(workers, crowd)


class _Stock(Generic[T]):
    """Things of which each goes to one taker. Those that the same takers see are alike until the end."""

    def __init__(self, seen: Sequence[Iterable[T]]) -> None:
        viewers: dict[T, list[int]] = {}
        for taker, things in enumerate(seen):
            for thing in things:
                viewers.setdefault(thing, []).append(taker)
        self._kinds: dict[tuple[int, ...], list[T]] = {}
        for thing, takers in viewers.items():
            self._kinds.setdefault(tuple(takers), []).append(thing)
        self._left = {kind: len(things) for kind, things in self._kinds.items()}
        self._taken: Counter[tuple[tuple[int, ...], int]] = Counter()
        self.number = [0] * len(seen)  # by taker: how many it has
        self._seen_by: list[list[tuple[int, ...]]] = [[] for _ in seen]
        for kind in sorted(self._kinds, key=len):  # first what the fewest others could take
            for taker in kind:
                self._seen_by[taker].append(kind)

    def left(self, taker: int, enough: int) -> bool:
        """Whether there are so many things for a taker."""
        for kind in self._seen_by[taker]:
            enough -= self._left[kind]
            if enough <= 0:
                return True
        return enough <= 0

    def take(self, taker: int, number: int) -> None:
        """Take so many; they must be there."""
        self.number[taker] += number
        for kind in self._seen_by[taker]:
            part = min(number, self._left[kind])
            self._left[kind] -= part
            self._taken[kind, taker] += part
            number -= part

    def handed(self) -> list[set[T]]:
        """Return what each taker has: of things that are alike a run."""
        hands: list[set[T]] = [set() for _ in self.number]
        for kind, things in self._kinds.items():
            at = 0
            for taker in kind:
                end = at + self._taken[kind, taker]
                hands[taker].update(things[at:end])
                at = end
        return hands


class _Deal:
    def __init__(self, views: Sequence[View], need: Need) -> None:
        self._views, self._need = views, need
        self._cores = _Stock([[(view.machine, core) for core in view.cores] for view in views])
        self._gpus = _Stock([view.gpus for view in views])
        self._count = [0] * len(views)
        nth: Counter[str] = Counter()
        ranks = []
        for one, view in enumerate(views):
            ranks.append((nth[view.machine], one))
            nth[view.machine] += 1
        self._turns = [one for _, one in sorted(ranks)]

    def shares(self, workers: int | None, crowd: bool) -> list[Share]:
        self._go_round(workers)
        if crowd and workers is not None:
            self._crowd(workers - sum(self._count))
        if self._need.cpus is None:
            self._divide_cores()
        hands = zip(self._count, self._views, self._cores.handed(), self._gpus.handed(), strict=True)
        return [
            Share(
                count,
                tuple(core for core in view.cores if (view.machine, core) in cores),
                tuple(gpu for gpu in view.gpus if gpu in gpus),
            )
            for count, view, cores, gpus in hands
        ]

    def _go_round(self, workers: int | None) -> None:
        """Give each in turn what a trial needs, while there is any."""
        turns, left = self._turns, float("inf") if workers is None else workers
        while turns and left:
            still = []
            for one in turns:
                if left and self._serve(one):
                    left -= 1
                    still.append(one)
            turns = still

    def _crowd(self, more: int) -> None:
        """Have trials share what nobody said how many of it they need; those with most room take most."""
        fits = list(self._count)
        loads = [(1 + 1 / fits[one], rank, one) for rank, one in enumerate(self._turns) if fits[one]]
        heapq.heapify(loads)
        while more > 0 and loads:
            _, rank, one = heapq.heappop(loads)
            if self._squeeze(one):
                more -= 1
                heapq.heappush(loads, ((self._count[one] + 1) / fits[one], rank, one))

    def _divide_cores(self) -> None:
        """Deal out the cores that are left, to those whose workers have the fewest."""
        least = [
            (self._cores.number[one] / self._count[one], rank, one)
            for rank, one in enumerate(self._turns)
            if self._count[one]
        ]
        heapq.heapify(least)
        while least:
            _, rank, one = heapq.heappop(least)
            if self._has_cores(one, 1):
                self._cores.take(one, 1)
                heapq.heappush(least, (self._cores.number[one] / self._count[one], rank, one))

    def _serve(self, one: int) -> bool:
        """Give a view a trial with what it needs, if that is there for it alone; whether it is."""
        gpus, cores = self._gpus_each(one), self._need.cpus or 1
        new = gpus > 0 and self._gpus.left(one, gpus)
        if gpus and not new and not self._has_part(one):
            return False
        alone = self._has_cores(one, cores)
        if not alone and (self._need.cpus or not new):  # a GPU is worth a trial on cores that are shared
            return False
        if alone:
            self._cores.take(one, cores)
        if new:
            self._gpus.take(one, gpus)
        self._count[one] += 1
        return True

    def _squeeze(self, one: int) -> bool:
        """Give a view a trial that shares what others of it have, if none of them asked for it."""
        if self._need.gpus and not self._has_part(one):
            return False
        if self._need.cpus:
            if not self._has_cores(one, self._need.cpus):
                return False
            self._cores.take(one, self._need.cpus)
        self._count[one] += 1
        return True

    def _gpus_each(self, one: int) -> int:
        if self._need.gpus is None:
            return 0 if self._views[one].blind else 1
        return self._need.gpus

    def _has_part(self, one: int) -> bool:
        sharing = self._need.sharing
        return sharing > 1 and self._count[one] < sharing * self._gpus.number[one]

    def _has_cores(self, one: int, number: int) -> bool:
        most = self._views[one].most
        return self._cores.number[one] + number <= most and self._cores.left(one, number)
