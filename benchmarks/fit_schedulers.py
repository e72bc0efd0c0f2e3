"""Whether schedulers rank on a fit to a pilot as they do on the whole table."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.fit_accuracy import cut
from benchmarks.fit_tables import Source, write_pilot
from hbsim import make_scheduler, simulate
from hbsim.bench.targets import on_grid
from hbsim.errors import HbsimWarning
from hbsim.simulation import Cluster
from hbsim.surrogates import Surrogate
from hbsim.surrogates.protocol import Floats

__all__ = ["VARIANTS", "rankings"]

RATES: Final = {"reduction_factor": 3, "grace_period": 1}
VARIANTS: Final[dict[str, tuple[str, dict[str, int]]]] = {
    "fifo": ("fifo", {}),
    "stopping": ("stopping", RATES),
    "promotion": ("promotion", RATES),
    "stopping,brackets=3": ("stopping", {**RATES, "brackets": 3}),
    "promotion,brackets=3": ("promotion", {**RATES, "brackets": 3}),
}
TRIALS = 1000
PARTS = (0.25, 0.5, 1.0)  # of the time of a study


def rankings(source: Source, size: int, pilots: int, seeds: int, folder: Path) -> dict[str, Any]:
    """Return the incumbent's mean value at R, by variant and time, on three kinds of curves.

    `table`: the whole table, over ``pilots * seeds`` studies. `fit`: fits to that many pilots. `rows`: the
    rows of the same pilots again and again, without a fit.
    """
    table = source.load()
    found: dict[str, list[Floats]] = {"table": [], "fit": [], "rows": []}
    for pilot in range(pilots):
        rows, _ = cut(source, size, pilot)
        path = write_pilot(source, rows, folder / f"pilot{source.path.suffix}")
        these = range(pilot * seeds, (pilot + 1) * seeds)
        found["table"].append(_incumbents(source, table, these))
        found["fit"].append(_incumbents(source, source.fit(path), these))
        found["rows"].append(_incumbents(source, source.load(path), these))
    blocks = {kind: np.concatenate(parts) for kind, parts in found.items()}
    return {
        "times": [part * source.seconds for part in PARTS],
        "mean": {kind: np.nanmean(block, axis=0).tolist() for kind, block in blocks.items()},
        "error": {kind: _errors(parts) for kind, parts in found.items()},
        "agreement": {kind: _agreement(blocks["table"], blocks[kind]) for kind in ("fit", "rows")},
    }


def _incumbents(source: Source, curves: Surrogate, seeds: range) -> Floats:
    """Return the incumbents' values at R, shape (seeds, times, variants)."""
    found = np.empty((len(seeds), len(PARTS), len(VARIANTS)))
    cluster = Cluster(workers=source.workers)
    times = source.seconds * np.array(PARTS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HbsimWarning)
        for place, (type, options) in enumerate(VARIANTS.values()):
            for seed in seeds:
                scheduler = make_scheduler(
                    type,
                    max_t=int(curves.max_resource),
                    mode=curves.mode,
                    seed=seed,
                    num_trials=TRIALS,
                    **options,
                )
                study = simulate(
                    scheduler, curves, seed=seed, cluster=cluster, max_time=source.seconds, replace=True
                )
                shown = study.incumbent()
                values = study.values_at_max(shown["trial"].to_numpy())
                found[seed - seeds[0], :, place] = on_grid(shown["time"].to_numpy(), values, times)
    return found


def _errors(parts: Sequence[Floats]) -> list[list[float]]:
    """Return standard errors of the means, from pilot to pilot (or seed block to seed block)."""
    means = np.stack([np.nanmean(part, axis=0) for part in parts])
    return (means.std(axis=0, ddof=1) / np.sqrt(len(parts))).tolist()


def _agreement(table: Floats, other: Floats) -> dict[str, int]:
    """Count the pairs of variants that differ in the table, by more than two standard errors, at each time.

    Of those, `same` differ in the same direction in the other curves (by their means).
    """
    counts = {"clear": 0, "same": 0}
    for place in range(table.shape[1]):
        for a, b in combinations(range(table.shape[2]), 2):
            difference = table[:, place, a] - table[:, place, b]
            difference = difference[np.isfinite(difference)]
            if abs(difference.mean()) > 2.0 * difference.std(ddof=1) / np.sqrt(len(difference)):
                guess = np.nanmean(other[:, place, a] - other[:, place, b])
                counts["clear"] += 1
                counts["same"] += int(np.sign(guess) == np.sign(difference.mean()))
    return counts
