"""All variants over independent groups of tasks, a setting at a time; and over brackets and eta."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hbsim.bench import statistics
from hbsim.bench.report.model import Across, Duel, Heatmap
from hbsim.bench.report.pairs import TaskScores
from hbsim.bench.statistics import AcrossTasks, across_tasks, group_means, least_pairs, seed_means
from hbsim.bench.sweep.scored import TaskKey
from hbsim.surrogates.protocol import Floats

__all__ = ["ALL", "MEASURES", "across_settings", "heatmaps"]

ALL = "all settings"
MEASURES = ("score", "area")
OPTIONS = ("brackets", "reduction_factor")

Groups = Mapping[TaskKey, str]


def across_settings(
    scored: Sequence[TaskScores], groups: Groups, variants: Sequence[str]
) -> tuple[Across, ...]:
    """Compare variants in each setting with several groups of tasks; and over all settings, of several.

    Over all settings a group of tasks is still one block: its numbers are averaged.
    """
    settings = _settings(scored)
    if len(settings) > 1:
        settings[ALL] = list(scored)
    found = (
        _across(setting, measure, tasks, groups, variants)
        for setting, tasks in settings.items()
        for measure in MEASURES
    )
    return tuple(across for across in found if across is not None)


def _settings(scored: Sequence[TaskScores]) -> dict[str, list[TaskScores]]:
    settings: dict[str, list[TaskScores]] = {}
    for task in scored:
        _, cluster, workers = task.key
        plural = "" if workers == 1 else "s"
        settings.setdefault(f"{cluster}, {workers} worker{plural}", []).append(task)
    return settings


def _across(
    setting: str, measure: str, tasks: Sequence[TaskScores], groups: Groups, variants: Sequence[str]
) -> Across | None:
    tasks = [task for task in tasks if task.is_complete]
    everywhere = [name for name in variants if all(name in task.variants for task in tasks)]
    if len(everywhere) < 2 or len({groups[task.key] for task in tasks}) < 2:
        return None
    means = np.array([_means(task, measure, everywhere) for task in tasks])
    names, blocks = group_means(means, [groups[task.key] for task in tasks])
    found = across_tasks(blocks)
    is_tested = len(names) >= least_pairs()  # fewer can tell no pair apart: then nothing is tested at all
    order = sorted(range(len(everywhere)), key=lambda v: (_last_if_nan(float(found.mean_ranks[v])), v))
    return Across(
        setting=setting,
        measure=measure,
        groups=names,
        variants=tuple(everywhere[v] for v in order),
        scores=tuple(tuple(float(block[v]) for v in order) for block in blocks),
        means=tuple(found.means[v] for v in order),
        ranks=tuple(float(found.mean_ranks[v]) for v in order),
        p_friedman=found.p_friedman if is_tested else math.nan,
        critical_difference=found.critical_difference if is_tested else math.nan,
        cliques=_cliques(found, everywhere) if is_tested else (),
        duels=tuple(_duel(duel, everywhere, is_tested) for duel in found.duels),
    )


def _cliques(found: AcrossTasks, names: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(names[v] for v in clique) for clique in found.cliques)


def _duel(duel: statistics.Duel, names: Sequence[str], is_tested: bool) -> Duel:
    p, p_nemenyi = (duel.p, duel.p_nemenyi) if is_tested else (math.nan, math.nan)
    return Duel(names[duel.first], names[duel.second], duel.wins, duel.ties, duel.losses, p, p_nemenyi)


def _means(task: TaskScores, measure: str, variants: Sequence[str]) -> Floats:
    """Return one number a variant of a task, NaN without seeds."""
    data: Floats = getattr(task, measure)
    if not len(data):
        return np.full(len(variants), np.nan)
    found = seed_means(data)
    return np.array([found[task.variants.index(name)] for name in variants])


def heatmaps(
    scored: Sequence[TaskScores], groups: Groups, variants: Sequence[Mapping[str, Any]]
) -> tuple[Heatmap, ...]:
    """Return mean scores over brackets and eta, for variants that differ in nothing else."""
    return tuple(
        heatmap
        for setting, tasks in _settings(scored).items()
        for title, places in _families(variants).items()
        if (heatmap := _heatmap(title, setting, tasks, groups, places)) is not None
    )


def _families(variants: Sequence[Mapping[str, Any]]) -> dict[str, dict[tuple[float, float], str]]:
    """Return variants by what they share, and within that by brackets and eta."""
    families: dict[str, dict[tuple[float, float], str]] = {}
    for variant in variants:
        options = {**variant["options"], **variant["own"]}
        rest = [f"{name}={value}" for name, value in variant["own"].items() if name not in OPTIONS]
        title = ", ".join([variant["type"], *rest])
        place = (float(options.get("brackets", 1)), float(options.get("reduction_factor", 3)))
        families.setdefault(title, {}).setdefault(place, variant["name"])
    return {title: places for title, places in families.items() if len(places) > 1 and "fifo" not in title}


def _heatmap(
    title: str,
    setting: str,
    tasks: Sequence[TaskScores],
    groups: Groups,
    places: Mapping[tuple[float, float], str],
) -> Heatmap | None:
    everywhere = {place: name for place, name in places.items() if all(name in t.variants for t in tasks)}
    brackets = tuple(sorted({place[0] for place in everywhere}))
    etas = tuple(sorted({place[1] for place in everywhere}))
    if len(brackets) * len(etas) < 2:
        return None
    names = list(everywhere.values())
    means = np.array([_means(task, "score", names) for task in tasks])
    _, blocks = group_means(means, [groups[task.key] for task in tasks])
    mean = dict(zip(names, blocks.mean(axis=0).tolist(), strict=True))
    values = tuple(tuple(mean.get(everywhere.get((b, eta), ""), math.nan) for eta in etas) for b in brackets)
    return Heatmap(title, setting, brackets, etas, values)


def _last_if_nan(number: float) -> float:
    return math.inf if math.isnan(number) else float(number)
