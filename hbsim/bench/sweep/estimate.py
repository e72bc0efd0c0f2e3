"""About how long a sweep takes: from what its cells took, or from a few that are tried."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from hbsim.bench.sweep.outcome import run_studies
from hbsim.bench.sweep.run import to_run
from hbsim.bench.sweep.store import Store
from hbsim.bench.sweep.study import Study
from hbsim.bench.sweep.sweep import Sweep
from hbsim.bench.sweep.tables import DONE, MAIN

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
    tried : int
        How many were tried for it.
    failures : tuple of (Study, str)
        Those of them that failed, and their errors.
    """

    studies: int
    seconds: float
    known: int
    least: float
    most: float
    tried: int = 0
    failures: tuple[tuple[Study, str], ...] = ()

    def on(self, jobs: int) -> float:
        """Return about how many seconds so many processes need."""
        return self.seconds / max(1, min(jobs, self.studies))


def estimate(sweep: Sweep, store: Store | None = None, is_retrying: bool = False) -> Estimate:
    """Return how long it takes; tries up to 12 cells, spread over the sweep, for about 5 seconds.

    Parameters
    ----------
    sweep : Sweep
        What is wanted.
    store : Store, optional
        What there is. The seconds of 20 or more studies in it are taken in place of a try.
    is_retrying : bool
        Whether studies that failed are to be run again.
    """
    left = to_run(sweep, store, is_retrying)
    seconds = _known(store) if left else []
    failures: list[tuple[Study, str]] = []
    tried = 0
    if left and len(seconds) < MANY:
        seconds, failures = _try(left)
        tried = len(seconds) + len(failures)
    problems = tuple(failures)
    if not seconds:
        return Estimate(len(left), 0.0, 0, 0.0, 0.0, tried, problems)
    ends = (min(seconds), max(seconds), tried, problems)
    return Estimate(len(left), fmean(seconds) * len(left), len(seconds), *ends)


def _known(store: Store | None) -> list[float]:
    if store is None:
        return []
    done = [key for key, status in store.status.items() if status == DONE]
    seconds: list[float] = store.tables(done)["timings"]["seconds"].to_list()
    return seconds


def _try(left: Sequence[Study]) -> tuple[list[float], list[tuple[Study, str]]]:
    """Run studies far apart, until it is enough; return the seconds of those that are done, and the rest."""
    found: list[float] = []
    failures: list[tuple[Study, str]] = []
    begin = time.monotonic()
    for place in _spread(len(left)):
        outcome = run_studies([(left[place], False)])
        error = outcome[MAIN]["error"][0]
        if error is None:
            found.append(float(outcome["timings"]["seconds"][0]))
        else:
            failures.append((left[place], error))
        if time.monotonic() - begin > ENOUGH:
            break
    return found, failures


def _spread(count: int) -> list[int]:
    """Return different places below `count`, each far from those before."""
    places = (int(count * ((0.5 + number * GOLDEN) % 1.0)) for number in range(4 * TRIED))
    return list(dict.fromkeys(places))[:TRIED]
