"""Single studies for benchmarks: who was best when, and by what had been trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hbsim.bench.sweep.outcome import resource_at
from hbsim.bench.variants import Variant, complete, label, variant_tables
from hbsim.simulation import Result

__all__ = ["Study", "column", "make_variants", "study_of"]

Floats = NDArray[np.float64]


def make_variants(texts: Sequence[str], shared: Mapping[str, Any]) -> list[Variant]:
    """Return variants of texts as `hbsim compare` takes them, with options that all share."""
    made = []
    for table in variant_tables(texts):
        type = str(table.pop("type"))
        made.append(complete(label(type, table), type, table, shared))  # type: ignore[arg-type]
    return made


@dataclass(frozen=True)
class Study:
    """The incumbents of a study: time and resource when each came, and its value at R; and a summary."""

    time: Floats
    resource: Floats
    value: Floats
    summary: Mapping[str, Any]

    def at(self, axis: str, where: float) -> float:
        """Return the value at R of the incumbent at a time or resource, NaN before the first."""
        place = int(np.searchsorted(getattr(self, axis), where, side="right")) - 1
        return float(self.value[place]) if place >= 0 else float("nan")


def study_of(result: Result) -> Study:
    """Return the incumbents of a study."""
    found = result.incumbent()
    time = found["time"].to_numpy()
    values = result.values_at_max(found["trial"].to_list()) if len(found) else np.empty(0)
    values = np.where(np.isfinite(values), values, np.nan)
    return Study(time, resource_at(result.jobs, time), values, result.summary())


def column(studies: Sequence[Study], axis: str, where: float) -> Floats:
    """Return the values at R of the incumbents of studies, shape (studies,)."""
    return np.array([one.at(axis, where) for one in studies])
