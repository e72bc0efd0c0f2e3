"""What each stopping rule lets through, costs and brings on learning curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks.incumbents import Study, column, study_of
from benchmarks.rules_sets import CurveSet, Ends, at_the_end
from hbsim import simulate
from hbsim.bench.conclusions import Interval, mean_intervals
from hbsim.bench.pool import default_jobs, open_pool
from hbsim.core import make_scheduler
from hbsim.core.cuts import RULES
from hbsim.simulation import Result
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


def _simulated(
    surrogate: Surrogate,
    max_t: int,
    rule: str,
    seed: int,
    trials: int,
    workers: int,
    end: float | None = None,
) -> Result:
    own = {"rule": rule, "reduction_factor": ETA, "num_trials": trials, "seed": seed}
    scheduler = make_scheduler("stopping", max_t=max_t, mode=surrogate.mode, **own)  # type: ignore[arg-type]
    return simulate(scheduler, surrogate, seed=seed, workers=workers, max_time=end)


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
        rule: [
            _end_of(_simulated(surrogate, curves.max_t, rule, seed, trials, workers), curves.max_t)
            for seed in range(seeds)
        ]
        for rule in RULES
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


def _end_of(result: Result, max_t: int) -> _End:
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
    """Cut studies at a time; score them there, and where all have trained as much as the one with least."""
    max_time = full_runs * ends.seconds
    items = [(rule, seed) for seed in range(seeds) for rule in RULES]
    found: dict[str, dict[int, Study]] = {rule: {} for rule in RULES}
    with open_pool(default_jobs(len(items)) if jobs is None else jobs) as pool:
        for (rule, seed), study in pool.imap(partial(_cut, curves, max_time), items):
            if isinstance(study, BaseException):
                raise study
            found[rule][seed] = study
    studies = {rule: [found[rule][seed] for seed in range(seeds)] for rule in RULES}
    resource = min(one.summary["trained_resource"] for of in studies.values() for one in of)
    wheres, mode = {"time": max_time, "resource": resource}, curves.load().mode
    return {
        "full_runs": full_runs,
        "seconds": max_time,
        "resource": resource,
        "workers": WORKERS,
        "rules": {rule: _scores(studies[rule], studies[BASE], wheres, mode, ends) for rule in RULES},
    }


def _cut(curves: CurveSet, max_time: float, item: tuple[str, int]) -> Study:
    rule, seed = item
    result = _simulated(_loaded(curves), curves.max_t, rule, seed, curves.trials, WORKERS, max_time)
    return study_of(result)


_kept: dict[str, Surrogate] = {}  # of this process


def _loaded(curves: CurveSet) -> Surrogate:
    if curves.title not in _kept:
        _kept[curves.title] = curves.load()
    return _kept[curves.title]


def _scores(
    studies: Sequence[Study], base: Sequence[Study], wheres: dict[str, float], mode: str, ends: Ends
) -> Row:
    """Return the scores of a rule at both budgets, and what it had in the time."""
    scores = {}
    for axis, where in wheres.items():
        mine, its = (_regrets(column(of, axis, where), ends, mode) for of in (studies, base))
        scores[f"at_equal_{axis}"] = _against(mine, its, ends.middle)
    counts = {
        name: _mean(np.array([one.summary[name] for one in studies])) for name in ("trials", "completed")
    }
    early = sum(one.summary["simulated_seconds"] < wheres["time"] for one in studies)
    return {**scores, **counts, "out_of_trials": early}


def _regrets(values: Floats, ends: Ends, mode: str) -> Floats:
    return values - ends.best if mode == "min" else ends.best - values


def _against(values: Floats, base: Floats, middle: float) -> Row:
    """Return the median of regrets, and the mean paired difference from the base's with the same seed.

    One of more than `middle` counts as that, and so does one that is no number: an incumbent that
    diverges later, or none so far, would else be all that a mean shows.
    """
    kept = np.minimum(np.nan_to_num(values, nan=np.inf), middle)
    differences = kept - np.minimum(np.nan_to_num(base, nan=np.inf), middle)
    found = Interval(*map(float, mean_intervals(differences)))
    return {
        "regret": float(np.median(kept)),
        "beyond_middle": int((~(values <= middle)).sum()),
        "difference": {"mean": found.mean, "low": found.low, "high": found.high},
    }


def _mean(values: Floats) -> float:
    return math.fsum(values) / len(values)
