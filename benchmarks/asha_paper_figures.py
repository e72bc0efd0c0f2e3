"""The figures of the ASHA paper's workloads: looked up, averaged and held against each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from math import sqrt
from statistics import fmean, stdev, variance
from typing import Any, Final

from benchmarks.asha_paper_cells import DROPS, LIMIT, POLICIES, STDS, UNDROPPED

__all__ = ["PAIRS", "Figures", "growth", "spread", "standard_errors"]

# A policy of promotion, and the one of sha that belongs to it.
PAIRS: Final = tuple(zip(POLICIES["promotion"], POLICIES["sha"], strict=True))
OTHERS: Final = 10  # the fewest seeds that an independent figure was averaged over


class Figures:
    """What the cells came to, by variant, policy, std and p; the policy is of no account where p is 0."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        self._cells = {self._key(cell): cell for cell in content["cells"]}

    @staticmethod
    def _key(cell: Mapping[str, Any]) -> tuple[object, ...]:
        return cell["variant"], cell["policy"], cell["std"], cell["p"]

    def _cell(self, variant: str, policy: str, std: float, p: float) -> Mapping[str, Any]:
        return self._cells[variant, policy if p else UNDROPPED, std, p]

    def trained(self, variant: str, policy: str, std: float, p: float) -> list[int]:
        """Return how many trials were trained to R, by seed."""
        return list(self._cell(variant, policy, std, p)["trained"])

    def first(self, variant: str, policy: str, std: float, p: float) -> list[float]:
        """Return when the first was, by seed; the end, where there was none."""
        return [LIMIT if time is None else time for time in self._cell(variant, policy, std, p)["first"]]

    def without(self, variant: str, policy: str, std: float, p: float) -> int:
        """Return in how many seeds no trial was trained to R."""
        return list(self._cell(variant, policy, std, p)["first"]).count(None)

    def ratio(self, pair: tuple[str, str], std: float, p: float) -> float:
        """Return trials trained by promotion that pauses, over those of sha that overlaps."""
        ours, theirs = (fmean(self.trained(*key, std, p)) for key in _keys(pair))
        return ours / theirs

    def sooner(self, pair: tuple[str, str], std: float, p: float) -> tuple[float, float]:
        """Return by how much its first is sooner, and the standard error, by the same seeds."""
        ours, theirs = (self.first(*key, std, p) for key in _keys(pair))
        differences = [late - early for early, late in zip(ours, theirs, strict=True)]
        return fmean(differences), stdev(differences) / sqrt(len(differences))


def _keys(pair: tuple[str, str]) -> tuple[tuple[str, str], tuple[str, str]]:
    return ("pausing", pair[0]), ("overlapping", pair[1])


def spread(sample: Sequence[float]) -> str:
    """Return mean and standard deviation over seeds, as counts or as times."""
    mean, deviation = fmean(sample), stdev(sample)
    return f"{mean:.0f} ({deviation:.0f})" if mean > 100 else f"{mean:.1f} ({deviation:.1f})"


def growth(ratio: Mapping[tuple[float, float], float]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return in how many of the steps from one std, then from one p, to the next a figure grows."""
    by_std = ([ratio[std, p] for std in STDS] for p in DROPS)
    by_p = ([ratio[std, p] for p in DROPS] for std in STDS)
    return _grows(by_std), _grows(by_p)


def _grows(rows: Iterable[Sequence[float]]) -> tuple[int, int]:
    steps = [later > earlier for row in rows for earlier, later in pairwise(row)]
    return sum(steps), len(steps)


def standard_errors(ours: Sequence[float], theirs: float, their_sd: float | None) -> float | None:
    """Return the difference in standard errors of a difference; None where nothing varies.

    Without `their_sd` theirs varies as ours does, over as few seeds as such a figure may have.
    """
    others = variance(ours) / OTHERS if their_sd is None else their_sd**2 / 25
    error = sqrt(variance(ours) / len(ours) + others)
    return (fmean(ours) - theirs) / error if error else None
