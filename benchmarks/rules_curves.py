"""What each stopping rule lets through, costs and brings on learning curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import norm, studentized_range, t

import hbsim
from benchmarks.rules_sets import CurveSet, Ends, at_the_end
from hbsim.bench.conclusions import ALPHA
from hbsim.core import make_scheduler
from hbsim.core.rungs import RULES
from hbsim.surrogates import Surrogate

__all__ = ["BASE", "BUDGETS", "ETA", "STUDIES", "WORKERS", "study"]

Floats: TypeAlias = NDArray[np.float64]
Row: TypeAlias = dict[str, Any]

BASE: Final = "quantile"  # what the others are held against: the default
ETA: Final = 3
WORKERS: Final = 8
BUDGETS: Final = (1.5, 4.0)  # mean runs to R: how long studies at equal time last
STUDIES: Final = ((27, 3), (128, WORKERS))  # trials and workers of studies that run to their end


def study(curves: CurveSet, seeds: int, jobs: int | None = None) -> Row:
    """Try all rules on curves.

    Parameters
    ----------
    curves : CurveSet
        The learning curves.
    seeds : int
        Studies of each kind and rule; their seeds are paired.
    jobs : int, optional
        Processes; by default one a core.

    Returns
    -------
    dict
        ``title``, ``source``, ``max_t``, ``full_run`` (mean seconds), ``middle`` (the median configuration's
        regret: no incumbent's counts as more), ``to_the_end`` (an entry a size, see `_to_the_end`),
        ``equal_time`` (an entry a budget, see `_equal_time`).
    """
    surrogate = curves.load()
    ends = at_the_end(surrogate, curves.max_t)
    return {
        "title": curves.title,
        "source": curves.source,
        "max_t": curves.max_t,
        "full_run": ends.seconds,
        "middle": ends.middle,
        "to_the_end": [_to_the_end(curves, surrogate, ends, seeds, *size) for size in STUDIES],
        "equal_time": [_equal_time(curves, ends, seeds, runs, jobs) for runs in BUDGETS],
    }


@dataclass(frozen=True)
class _End:
    """One study that ran to its end: trials recorded and let through by level, what it cost and found."""

    recorded: list[int]
    through: list[int]
    trained: float
    seconds: float
    completed: int
    value: float


def _to_the_end(
    curves: CurveSet, surrogate: Surrogate, ends: Ends, seeds: int, trials: int, workers: int
) -> Row:
    """Run studies of a number of trials to their end: every rule sees the same trials."""
    found = {
        rule: [_run(surrogate, curves.max_t, rule, seed, trials, workers) for seed in range(seeds)]
        for rule in RULES
    }
    values = {rule: np.array([one.value for one in studies]) for rule, studies in found.items()}
    against = _against(values, ends, surrogate.mode)
    return {
        "trials": trials,
        "workers": workers,
        "rules": {rule: {**_summed_up(found[rule], trials), **against[rule]} for rule in RULES},
    }


def _run(surrogate: Surrogate, max_t: int, rule: str, seed: int, trials: int, workers: int) -> _End:
    scheduler = make_scheduler(
        "stopping",
        rule=rule,
        max_t=max_t,
        reduction_factor=ETA,
        num_trials=trials,
        mode=surrogate.mode,
        seed=seed,
    )
    result = hbsim.simulate(scheduler, surrogate, workers=workers, seed=seed)
    rungs, summary = result.rungs(), result.summary()
    below = rungs.filter(rungs["level"] < max_t)
    last = result.incumbent()["trial"].tail(1).to_list()
    return _End(
        below["recorded"].to_list(),
        below["continue"].to_list(),
        float(summary["trained_resource"]),  # type: ignore[arg-type]
        result.end_time,
        int(summary["completed"]),  # type: ignore[call-overload]
        float(result.values_at_max(last)[0]) if last else math.nan,
    )


def _summed_up(found: Sequence[_End], trials: int) -> Row:
    levels = max(len(one.recorded) for one in found)
    recorded = [sum(one.recorded[i] for one in found if i < len(one.recorded)) for i in range(levels)]
    through = [sum(one.through[i] for one in found if i < len(one.through)) for i in range(levels)]
    return {
        "recorded": recorded,
        "through": through,
        "share": [there / of for there, of in zip(through, recorded, strict=True)],
        "completed": _mean(np.array([float(one.completed) for one in found])),
        "trained_a_trial": _mean(np.array([one.trained for one in found]) / trials),
        "seconds": _mean(np.array([one.seconds for one in found])),
    }


def _equal_time(curves: CurveSet, ends: Ends, seeds: int, full_runs: float, jobs: int | None) -> Row:
    """Cut studies at a time, and score them there."""
    max_time = full_runs * ends.seconds
    names = {rule: f"stopping,reduction_factor={ETA},rule={rule}" for rule in RULES}
    sweep = hbsim.compare(
        list(names.values()),
        surrogate=curves.surrogate,
        workers=WORKERS,
        num_trials=curves.trials,
        max_time=max_time,
        max_t=curves.max_t,
        seeds=seeds,
        halves=False,
        jobs=jobs,
    )
    cells = {rule: sweep.cells.filter(pl.col("variant") == name) for rule, name in names.items()}
    values = {rule: rows["value"].fill_null(math.nan).to_numpy() for rule, rows in cells.items()}
    against = _against(values, ends, sweep.results.manifest["tasks"][0]["mode"])
    return {
        "full_runs": full_runs,
        "seconds": max_time,
        "workers": WORKERS,
        "rules": {
            rule: {
                **against[rule],
                "trials": rows["trials"].mean(),
                "completed": rows["completed"].mean(),
                "out_of_trials": rows.filter(pl.col("simulated_seconds") < max_time).height,
            }
            for rule, rows in cells.items()
        },
    }


def _against(values: Mapping[str, Floats], ends: Ends, mode: str) -> dict[str, Row]:
    """Return of each rule the median regret, and the mean paired difference from that of the base rule.

    A regret of more than the median configuration's counts as that, and so does one that is no number: an
    incumbent that diverges later, or none so far, would else be all that a mean shows. The intervals hold for
    all rules together.

    Parameters
    ----------
    values : mapping
        Of each rule the incumbents' values at R, a seed each.
    ends : Ends
        What configurations reach.
    mode : "max" or "min"
        Which values are better.
    """
    regrets = {rule: (one - ends.best if mode == "min" else ends.best - one) for rule, one in values.items()}
    kept = {rule: np.minimum(np.nan_to_num(one, nan=np.inf), ends.middle) for rule, one in regrets.items()}
    found = {}
    for rule, one in kept.items():
        differences = one - kept[BASE]
        n, mean = len(differences), float(differences.mean())
        half = _errors(len(kept), n - 1) * float(differences.std(ddof=1)) / math.sqrt(n)
        found[rule] = {
            "regret": float(np.median(one)),
            "beyond_middle": int((~(regrets[rule] <= ends.middle)).sum()),
            "difference": {"mean": mean, "low": mean - half, "high": mean + half},
        }
    return found


def _errors(rules: int, df: int) -> float:
    """Return how many standard errors of a difference an interval has, that holds for all rules together.

    As `hbsim.bench.conclusions`: no two of rules that are the same differ by more, with probability 0.95.
    """
    return float(t.isf(norm.sf(studentized_range.isf(ALPHA, rules, np.inf) / math.sqrt(2)), df))


def _mean(values: Floats) -> float:
    return math.fsum(values) / len(values)
