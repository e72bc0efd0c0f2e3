"""What each stopping rule lets through, costs and brings on learning curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from hbsim.bench.scores import column
from numpy.typing import NDArray

from benchmarks.rules_sets import CurveSet, Ends, at_the_end
from hbsim.bench import Comparison, Plan, compare, make_variants
from hbsim.bench.statistics import mean_interval
from hbsim.core.cuts import RULES
from hbsim.simulation import Cluster
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


def _plan(curves: CurveSet, seeds: int, trials: int, workers: int, max_time: float | None = None) -> Plan:
    shared = {"max_t": curves.max_t, "reduction_factor": ETA, "num_trials": trials}
    variants = make_variants(["stopping"], [f"rule={','.join(RULES)}"], shared)
    return Plan(variants, curves.load, range(seeds), Cluster(workers=workers), max_time)


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
    plan = _plan(curves, seeds, trials, workers)
    found = {
        rule: [_run(plan, surrogate, place, seed) for seed in plan.seeds] for place, rule in enumerate(RULES)
    }
    regrets = {
        rule: _regrets(np.array([one.value for one in all_]), ends, surrogate.mode)
        for rule, all_ in found.items()
    }
    return {
        "trials": trials,
        "workers": workers,
        "rules": {
            rule: {**_summed_up(found[rule], trials), **_against(regrets[rule], regrets[BASE], ends.middle)}
            for rule in RULES
        },
    }


def _run(plan: Plan, surrogate: Surrogate, variant: int, seed: int) -> _End:
    result = plan.run(surrogate, variant, seed)
    rungs, summary = result.rungs(), result.summary()
    below = rungs.filter(rungs["level"] < plan.max_t)
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
    """Cut studies at a time; score them there, and where all have trained as much as the one with least."""
    max_time = full_runs * ends.seconds
    comparison = compare(_plan(curves, seeds, curves.trials, WORKERS, max_time), jobs)
    return {
        "full_runs": full_runs,
        "seconds": max_time,
        "resource": comparison.resource.value,
        "workers": WORKERS,
        "rules": {rule: _scores(comparison, place, ends) for place, rule in enumerate(RULES)},
    }


def _scores(comparison: Comparison, place: int, ends: Ends) -> Row:
    """Return the scores of a rule at both budgets, and what it had in the time."""
    base = list(RULES).index(BASE)
    cells = comparison.variants[place]
    scores = {}
    for budget in (comparison.time, comparison.resource):
        values, bases = (column(comparison.variants[i], budget, "value") for i in (place, base))
        mine, its = (_regrets(one, ends, comparison.surrogate.mode) for one in (values, bases))
        scores[f"at_equal_{budget.axis}"] = _against(mine, its, ends.middle)
    counts = {
        name: _mean(np.array([cell.summary[name] for cell in cells])) for name in ("trials", "completed")
    }
    return {**scores, **counts, "out_of_trials": sum(cell.end_time < comparison.time.value for cell in cells)}


def _regrets(values: Floats, ends: Ends, mode: str) -> Floats:
    return values - ends.best if mode == "min" else ends.best - values


def _against(values: Floats, base: Floats, middle: float) -> Row:
    """Return the median of regrets, and the mean paired difference from the base's with the same seed.

    One of more than `middle` counts as that, and so does one that is no number: an incumbent that
    diverges later, or none so far, would else be all that a mean shows.
    """
    kept = np.minimum(np.nan_to_num(values, nan=np.inf), middle)
    found = mean_interval(kept - np.minimum(np.nan_to_num(base, nan=np.inf), middle))
    return {
        "regret": float(np.median(kept)),
        "beyond_middle": int((~(values <= middle)).sum()),
        "difference": {"mean": found.mean, "low": found.low, "high": found.high},
    }


def _mean(values: Floats) -> float:
    return math.fsum(values) / len(values)
