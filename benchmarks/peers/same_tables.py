"""The tables of curves on which `benchmarks.peers.same_study` runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.same_figures import Mode
from hbsim.searchers import SearchTask, make_searcher
from hbsim.surrogates import load

__all__ = ["TABLES", "Table", "write_tables"]

ROWS: Final = 1000
LEVELS: Final = np.arange(1.0, 82.0)


@dataclass(frozen=True, slots=True)
class Table:
    """Curves of 1,000 configurations.

    Attributes
    ----------
    name : str
        In the page.
    surrogate : str
        Whose curves, as hbsim names it.
    mode : "max" or "min"
        Which values are better.
    slower : float
        By how much its seconds are multiplied.
    """

    name: str
    surrogate: str
    mode: Mode
    slower: float

    def curves(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return values and seconds since the start, shape (1000, 81) each."""
        surrogate = load(self.surrogate)
        points = (
            make_searcher("random", SearchTask(surrogate.space, 0)).suggest(ROWS)
            if surrogate.rows is None
            else np.arange(ROWS)
        )
        values, seconds = surrogate.evaluate(points, LEVELS)
        return values, seconds * self.slower


# No NaN: not every peer knows what to do with it. Epochs of the digits curves take 0.025 s, and Syne Tune
# polls every 5 s: slower by 400, an epoch of either table takes some 10 s.
TABLES: Final = (
    Table("synthetic", "synthetic:divergence=0,seconds=10", "max", 1.0),
    Table("digits", "digits", "min", 400.0),
)


def write_tables(table: Table, seeds: int, folder: Path) -> list[Path]:
    """Write a table once for each seed, its rows in another order; return where."""
    values, seconds = table.curves()
    paths = []
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(ROWS)
        paths.append(folder / f"{table.name}-{seed}.npz")
        np.savez(paths[-1], value=values[order], t=seconds[order], levels=LEVELS)
    return paths
