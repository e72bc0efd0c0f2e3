"""What the decisions below R let go: rung by rung."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from hbsim.bench.diagnosis.ended import Ended
from hbsim.surrogates.protocol import Floats, Ints

if TYPE_CHECKING:
    from hbsim.simulation import Result

__all__ = ["early_decisions"]

SCHEMA: Final = {
    "bracket": pl.Int64,
    "level": pl.Float64,
    "recorded": pl.Int64,
    "went_on": pl.Int64,
    "stopped": pl.Int64,
    "better": pl.Int64,
    "false_promotions": pl.Int64,
    "best_recorded": pl.Float64,
    "best_went_on": pl.Float64,
    "loss": pl.Float64,
}


def early_decisions(result: Result, ended: Ended | None = None) -> pl.DataFrame:
    """Return what was decided at each rung below R, held against how the trials end at R.

    A row is all trials of a bracket that recorded a value at a level, as in `Result.rungs`: with
    `shared_rungs` too, and where a synchronous bracket was opened more than once. NaN at R is worse than
    any number.

    Parameters
    ----------
    result : Result
        A study.
    ended : Ended, optional
        Its trials at R, where they are known already.

    Returns
    -------
    polars.DataFrame
        Ordered by bracket and level; no rows for fifo. Columns:

        - bracket, level, recorded: the rung, and how many trials have a value there.
        - went_on, stopped: how many of them went on, at once or later; and how many did not until the end
          of the study, stopped or paused.
        - better: how many of those that did not go on end better at R than the best of those that did. The
          best of none is worse than any number.
        - false_promotions: how many went on without being among the best `went_on` of the recorded at R.
          Ties are among them.
        - best_recorded, best_went_on: the best at R of either, in the metric's unit; NaN for none.
        - loss: how far these two are apart, at least 0; NaN if one is NaN.
    """
    ended = ended or Ended.of(result)
    rows, levels = result.simulated.decisions.rows(), result.scheduler.levels
    rows = rows[rows["at"] < len(levels) - 1]
    if not len(rows):
        return pl.DataFrame(schema=SCHEMA)
    at, trial = rows["at"].astype(np.int64), rows["trial"].astype(np.int64)
    last = np.full(len(ended.worth), -1)
    np.maximum.at(last, trial, at)
    stayed = ended.is_held[trial] & (at == last[trial])
    # By rung, and in it from the worst to the best: what is among the best m stands at its end.
    order = np.lexsort((ended.worth[trial], at, ended.bracket[trial]))
    at, bracket = at[order], ended.bracket[trial][order]
    firsts = np.flatnonzero(np.diff(bracket * len(levels) + at, prepend=-1))
    columns = _columns(ended, ended.worth[trial][order], ~stayed[order], firsts)
    named = {"bracket": bracket[firsts], "level": np.array(levels, dtype=np.float64)[at[firsts]]}
    return pl.DataFrame({**named, **columns}, schema=SCHEMA)


def _columns(
    ended: Ended, worth: Floats, went_on: NDArray[np.bool_], firsts: Ints
) -> dict[str, NDArray[np.float64] | NDArray[np.int64]]:
    """Return the figures of each rung; rungs begin at `firsts`, and worth ascends in each."""
    recorded = np.diff(firsts, append=len(worth))
    passed = np.add.reduceat(went_on.astype(np.int64), firsts)
    best = np.maximum.reduceat(worth, firsts)
    best_on = np.maximum.reduceat(np.where(went_on, worth, -np.inf), firsts)
    places = np.minimum(firsts + recorded - passed, firsts + recorded - 1)
    better = ~went_on & (worth > np.repeat(best_on, recorded))
    is_false = went_on & (worth < np.repeat(worth[places], recorded))
    best_recorded, best_went_on = ended.metric(best), ended.metric(best_on)
    return {
        "recorded": recorded,
        "went_on": passed,
        "stopped": recorded - passed,
        "better": np.add.reduceat(better.astype(np.int64), firsts),
        "false_promotions": np.add.reduceat(is_false.astype(np.int64), firsts),
        "best_recorded": best_recorded,
        "best_went_on": best_went_on,
        "loss": np.abs(best_recorded - best_went_on),
    }
