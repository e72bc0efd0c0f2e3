"""The figures of `benchmarks.searchers`, of what its sweep kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import polars as pl

from benchmarks.searchers_sweep import TYPES, variant
from hbsim.bench.conclusions import ALPHA, mean_intervals
from hbsim.bench.over_tasks import block_ranks, friedman, paired_differences, signed_rank
from hbsim.bench.report.model import OPEN
from hbsim.bench.sweep import SweepResults
from hbsim.bench.sweep.scores import Scale, Steps, TaskScores, task_scores
from hbsim.surrogates.protocol import Floats

__all__ = ["BASE", "SHARES", "across", "settings", "spent", "summary_of"]

Row = dict[str, Any]
BASE: Final = "random"
SHARES: Final = (0.25, 0.5, 1.0)  # of the budget
POINTS: Final = 40  # of a curve
FIRST: Final = 0.02  # of the budget, where curves start


def settings(results: SweepResults, searchers: Sequence[str]) -> list[Row]:
    """Return a dict for each task and type of scheduler: what each searcher reached there."""
    return [_setting(results, task, type, searchers) for task in results.manifest["tasks"] for type in TYPES]


def _setting(results: SweepResults, task: Row, type: str, searchers: Sequence[str]) -> Row:
    names = [variant(searcher, type) for searcher in searchers]
    done = results.done.filter((pl.col("surrogate") == task["surrogate"]) & pl.col("variant").is_in(names))
    counts = dict(done.group_by("variant").len().iter_rows())
    half = counts[variant(BASE, type)] / 2  # fewer seeds say nothing beside the others
    searchers = [name for name in searchers if counts.get(variant(name, type), 0) >= half]
    found = {name: _scores(results, task, type, [name]) for name in searchers}
    first = found[BASE]
    return {
        "task": task["surrogate"],
        "type": type,
        "budget": first.budget.value,
        "best": first.scale.best,
        "is_best_known": first.scale.is_known,
        "unit": first.scale.unit,
        "searchers": {name: _searcher(results, found[name]) for name in searchers},
        "against": _against(results, task, type, searchers),
    }


def _scores(results: SweepResults, task: Row, type: str, searchers: Sequence[str]) -> TaskScores:
    """Score searchers on the seeds that all of them have."""
    names = [variant(searcher, type) for searcher in searchers]
    key = (task["surrogate"], task["cluster"], task["workers"])
    cells = results.done.filter((pl.col("surrogate") == task["surrogate"]) & pl.col("variant").is_in(names))
    shared = cells.group_by("seed").len().filter(pl.col("len") == len(names))["seed"]
    return task_scores(results, key, cells.filter(pl.col("seed").is_in(shared.implode())), set(names))


def _searcher(results: SweepResults, scores: TaskScores) -> Row:
    """Return what one searcher reached in one setting."""
    cells = results.done.filter(pl.col("key").is_in([row[0] for row in scores.keys]))
    return {
        "seeds": len(scores.seeds),
        "trials": cells["trials"].mean(),
        "completed": cells["completed"].mean(),
        "area": _interval(scores.area[:, 0]),
        **summary_of([row[0] for row in scores.studies], scores.scale, scores.budget.value),
    }


def summary_of(studies: Sequence[Steps], scale: Scale, budget: float) -> Row:
    """Return the mean score of some studies at shares of the budget, and over time.

    Parameters
    ----------
    studies : sequence of Steps
        A seed each.
    scale : Scale
        Of the task.
    budget : float
        Simulated seconds.
    """
    grid = np.geomspace(FIRST * budget, budget, POINTS)
    times = np.concatenate([grid, [share * budget for share in SHARES]])
    scores = np.array([study.at(scale.score(study.value), times) for study in studies])
    mean, low, high = (column.tolist() for column in mean_intervals(scores.T))
    ends = {
        f"at {share:g}": {"mean": mean[place], "low": low[place], "high": high[place]}
        for place, share in enumerate(SHARES, POINTS)
    }
    curves = {"mean": mean[:POINTS], "low": low[:POINTS], "high": high[:POINTS]}
    return {**ends, "time": (grid / budget).tolist(), **curves}


def _interval(values: Floats) -> Row:
    mean, low, high = mean_intervals(values)
    return {"mean": float(mean), "low": float(low), "high": float(high)}


def _against(results: SweepResults, task: Row, type: str, searchers: Sequence[str]) -> dict[str, Row]:
    """Hold each searcher against the random one with the same seeds, by final score and by area.

    Holm's correction is over the searchers of the setting.
    """
    others = [name for name in searchers if name != BASE]
    pairs = {name: _scores(results, task, type, [BASE, name]) for name in others}
    final = _pairs({name: pair.score for name, pair in pairs.items()})
    area = _pairs({name: pair.area for name, pair in pairs.items()})
    return {name: {"final": final[name], "area": area[name]} for name in others}


def _pairs(scores: dict[str, Floats]) -> dict[str, Row]:
    """Compare the second column with the first, of each searcher: Wilcoxon's test with Holm's correction."""
    from statsmodels.stats.multitest import multipletests

    differences = {name: paired_differences(both[:, 1], both[:, 0]) for name, both in scores.items()}
    p = [signed_rank(one) for one in differences.values()]
    corrected = multipletests(p, method="holm")[1]
    found = {}
    for name, one, p_corrected in zip(differences, differences.values(), corrected, strict=True):
        interval = _interval(np.where(np.isfinite(one), one, np.nan))
        better, worse = int((one < 0).sum()), int((one > 0).sum())
        told = "better" if better > worse else "worse"
        found[name] = {
            "n": len(one),
            "difference": interval["mean"],
            "low": interval["low"],
            "high": interval["high"],
            "better": better,
            "worse": worse,
            "p": float(p_corrected),
            "call": told if p_corrected <= ALPHA else OPEN,
        }
    return found


def across(found: Sequence[Row]) -> Row:
    """Return ranks in each setting, by mean score, and Friedman's test over tasks: a task's types are one."""
    searchers = [name for name in found[0]["searchers"] if all(name in row["searchers"] for row in found)]
    means = [[row["searchers"][name]["at 1"]["mean"] for name in searchers] for row in found]
    scores = np.array(means, dtype=np.float64)
    tasks = list(dict.fromkeys(row["task"] for row in found))
    blocks = np.array([scores[[row["task"] == task for row in found]].mean(axis=0) for task in tasks])
    ranks = block_ranks(scores)
    return {
        "searchers": searchers,
        "tasks": len(tasks),
        "ranks": ranks.tolist(),
        "mean_ranks": ranks.mean(axis=0).tolist(),
        "p_friedman": friedman(block_ranks(blocks))[2],
    }


def spent(results: SweepResults, searchers: Sequence[str]) -> dict[str, Row]:
    """Return what the studies of each searcher took of the processor, seconds: means a study and a trial."""
    timed = results.done.join(results.tables["timings"], on="key", how="inner")
    found = {}
    for name in searchers:
        rows = timed.filter(pl.col("variant").is_in([variant(name, type) for type in TYPES]))
        if rows.height:
            seconds, trials = float(rows["seconds"].sum()), int(rows["trials"].sum())
            found[name] = {"study": seconds / rows.height, "trial": seconds / trials, "studies": rows.height}
    return found
