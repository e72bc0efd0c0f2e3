"""What each bracket took, and which one the winner came from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from hbsim.bench.diagnosis.ended import Ended

if TYPE_CHECKING:
    from hbsim.simulation import Result

__all__ = ["bracket_mix"]


def bracket_mix(result: Result, ended: Ended | None = None) -> pl.DataFrame:
    """Return a row a bracket, those without trials too.

    Parameters
    ----------
    result : Result
        A study.
    ended : Ended, optional
        Its trials at R, where they are known already.

    Returns
    -------
    polars.DataFrame
        Columns: bracket; trials, how many started there; trained_resource, of all their jobs; best, what the
        best of them shows or would show at R, NaN for none; completed, how many reached R; is_winner,
        whether the final incumbent started there.
    """
    ended = ended or Ended.of(result)
    count, bracket, jobs = result.scheduler.brackets, ended.bracket, result.job_rows()
    best = np.full(count, -np.inf)
    np.maximum.at(best, bracket, ended.worth)
    trained = jobs["stop_resource"] - jobs["start_resource"]
    winner = bracket[ended.incumbent] if ended.incumbent >= 0 else -1
    return pl.DataFrame(
        {
            "bracket": np.arange(count),
            "trials": np.bincount(bracket, minlength=count),
            "trained_resource": np.bincount(bracket[jobs["trial"]], weights=trained, minlength=count),
            "best": ended.metric(best),
            "completed": np.bincount(bracket[ended.is_completed], minlength=count),
            "is_winner": np.arange(count) == winner,
        },
        schema_overrides={"bracket": pl.Int64, "trials": pl.Int64, "completed": pl.Int64},
    )
