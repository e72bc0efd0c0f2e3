"""About how long a sweep takes: from what its cells took, or from a few that are tried."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from hbsim.bench.sweep.outcome import run_studies
from hbsim.bench.sweep.store import Store
from hbsim.bench.sweep.study import Study
from hbsim.bench.sweep.sweep import Sweep

__all__ = ["Estimate", "estimate"]

TRIED: Final = 12  # cells
ENOUGH: Final = 5.0  # seconds
MANY: Final = 20  # cells that were run before say more than those that are tried
GOLDEN: Final = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class Estimate:
    """How long the studies take that are left.

    Attributes
    ----------
    studies : int
        How many are left; cells with the same inputs are one.
    seconds : float
        Of one process, together.
    known : int
        From how many studies that is known.
    least, most : float
        Seconds of the quickest and of the slowest of these.
    """

    studies: int
    seconds: float
    known: int
    least: float
    most: float

    def on(self, jobs: int) -> float:
        """Return about how many seconds so many processes need."""
        return self.seconds / max(1, min(jobs, self.studies))


def estimate(sweep: Sweep, store: Store | None = None) -> Estimate:
    """Return how long it takes; tries up to 12 cells, spread over the sweep, for about 5 seconds.

    Parameters
    ----------
    sweep : Sweep
        What is wanted.
    store : Store, optional
        What there is. The seconds of 20 or more studies in it are taken in place of a try.
    """
    there = {} if store is None else store.status
    left = [study for study in sweep.grid.different if study.key not in there]
    seconds = [] if store is None or not left else store.tables(there)["timings"]["seconds"].to_list()
    if left and len(seconds) < MANY:
        seconds = _try(left)
    if not left or not seconds:
        return Estimate(len(left), 0.0, 0, 0.0, 0.0)
    return Estimate(len(left), fmean(seconds) * len(left), len(seconds), min(seconds), max(seconds))


def _try(left: Sequence[Study]) -> list[float]:
    """Run studies far apart, until it is enough."""
    found: list[float] = []
    begin = time.monotonic()
    for place in _spread(len(left)):
        outcome = run_studies([(left[place], False)])
        found.append(float(outcome["timings"]["seconds"][0]))
        if time.monotonic() - begin > ENOUGH:
            break
    return found


def _spread(count: int) -> list[int]:
    """Return different places below `count`, each far from those before."""
    places = (int(count * ((0.5 + number * GOLDEN) % 1.0)) for number in range(4 * TRIED))
    return list(dict.fromkeys(places))[:TRIED]
