"""What a reader of a sweep's results should know of the curves of a task, in plain sentences."""

from __future__ import annotations

from typing import Final

from hbsim.bench.sweep.groups import unwrapped
from hbsim.surrogates import Surrogate
from hbsim.surrogates.table import Table

__all__ = ["remarks"]

WHAT: Final = {
    "fail": "the run failed there, and its metric is NaN from then on",
    "extrapolate": "the last value is carried on",
    "exclude": "they are left out",
    "final": "the run was to end there; the last value is carried on, and no more time passes",
}


def remarks(surrogate: Surrogate, trials: object, is_replacing: bool) -> tuple[str, ...]:
    """Return what became of curves that end early, and whether rows come more than once.

    Parameters
    ----------
    surrogate : Surrogate
        The curves, in their wrappers.
    trials : int or None
        How many trials a study starts at most.
    is_replacing : bool
        Whether rows may come again.
    """
    return tuple(
        text for text in (_early(unwrapped(surrogate)), _again(surrogate, trials, is_replacing)) if text
    )


def _early(within: Surrogate) -> str:
    if not isinstance(within, Table) or within.censored is None:
        return ""
    early = within.censored_rows + within.excluded_rows
    if not early:
        return ""
    all_ = len(within.ends) + within.excluded_rows
    return f'{early:,} of {all_:,} curves end early; censored = "{within.censored}": {WHAT[within.censored]}'


def _again(surrogate: Surrogate, trials: object, is_replacing: bool) -> str:
    rows = surrogate.rows
    if rows is None or not is_replacing:
        return ""
    if isinstance(trials, int):
        return (
            "" if trials <= rows else f"up to {trials:,} trials from {rows:,} rows: rows come more than once"
        )
    return f"any number of trials from {rows:,} rows: rows may come more than once"
