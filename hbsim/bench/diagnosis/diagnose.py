"""The whole diagnosis of a study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from hbsim.bench.diagnosis.brackets import bracket_mix
from hbsim.bench.diagnosis.early import early_decisions
from hbsim.bench.diagnosis.ended import Ended
from hbsim.bench.diagnosis.regrets import RegretParts, regret_parts
from hbsim.bench.diagnosis.shares import worker_shares

if TYPE_CHECKING:
    from hbsim.simulation import Result

__all__ = ["Diagnosis", "diagnose"]


@dataclass(frozen=True)
class Diagnosis:
    """What one study's decisions cost, in the metric's own unit.

    Attributes
    ----------
    rungs : polars.DataFrame
        A row a rung below R: see `early_decisions`.
    regrets : RegretParts
        Where the final regret came from.
    brackets : polars.DataFrame
        A row a bracket: see `bracket_mix`.
    shares : mapping
        What the workers' time went to: see `worker_shares`.
    """

    rungs: pl.DataFrame
    regrets: RegretParts
    brackets: pl.DataFrame
    shares: Mapping[str, float]


def diagnose(result: Result) -> Diagnosis:
    """Return what a study's decisions cost, with each trial's value at R read once."""
    ended = Ended.of(result)
    return Diagnosis(
        early_decisions(result, ended),
        regret_parts(result, ended),
        bracket_mix(result, ended),
        worker_shares(result),
    )
