"""About how long a sweep takes: from what its cells took, or from a few that are tried."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from hbsim.bench.sweep.outcome import run_studies
from hbsim.bench.sweep.store import Store
from hbsim.bench.sweep.study import Study
from hbsim.bench.sweep.sweep import Sweep

__all__ = ["Estimate", "estimate"]

TRIED: Final = 12  # cells
ENOUGH: Final = 5.0  # seconds
MANY: Final = 20  # cells that were run before say more than those that are tried


@dataclass(frozen=True)
class Estimate:
    """How long the cells that are left take.

    Attributes
    ----------
    cells : int
        How many are left.
    seconds : float
        Of one process, together.
    tried : int
        From how many cells that is known.
    least, most : float
        Seconds of the quickest and of the slowest of these.
    """

    cells: int
    seconds: float
    tried: int
    least: float
    most: float


def estimate(sweep: Sweep, store: Store | None) -> Estimate:
    """Return how long it takes; tries up to 12 cells, spread over the sweep, for about 5 seconds.

    Parameters
    ----------
    sweep : Sweep
        What is wanted.
    store : Store, optional
        What there is.
    """
    there = {} if store is None else store.status
    left = [study for study in sweep.grid.different if study.key not in there]
    known = _known(store)
    if len(known) < MANY:
        known = _try(left)
    if not len(known):
        return Estimate(len(left), 0.0, 0, 0.0, 0.0)
    mean = float(np.mean(known))
    return Estimate(len(left), mean * len(left), len(known), float(min(known)), float(max(known)))


def _known(store: Store | None) -> Sequence[float]:
    if store is None:
        return []
    timings = store.tables(store.status)["timings"]
    return [] if timings.is_empty() else timings["seconds"].to_list()


def _try(left: Sequence[Study]) -> list[float]:
    """Run cells far apart, first the middles of halves, then of quarters, ..., until it is enough."""
    found: list[float] = []
    begin = time.monotonic()
    for place in _spread(len(left)):
        outcome = run_studies([(left[place], False)])
        found.append(float(outcome["timings"]["seconds"][0]))
        if len(found) == TRIED or time.monotonic() - begin > ENOUGH:
            break
    return found


def _spread(count: int) -> list[int]:
    """Return different places below `count`, each far from those before."""
    golden = (5**0.5 - 1) / 2
    return list(dict.fromkeys(int(count * ((0.5 + number * golden) % 1.0)) for number in range(count)))
