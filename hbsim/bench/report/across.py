"""Comparisons of variants over groups of tasks, in each setting; and heatmaps over brackets and eta."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from hbsim.bench.conclusions import ALPHA, Interval, mean_intervals
from hbsim.bench.formatting import last_if_nan
from hbsim.bench.over_tasks import (
    across_tasks,
    group_means,
    improvements,
    interquartile_means,
    least_pairs,
)
from hbsim.bench.report.model import ALL, Across, Heatmap, Pairwise, setting_of
from hbsim.bench.sweep.scores import TaskKey, TaskScores, key_of
from hbsim.surrogates.protocol import Floats

NONE: Final = Interval(math.nan, math.nan, math.nan)
MEASURES: Final = ("score", "area")
OPTIONS: Final = ("brackets", "reduction_factor")

Groups = Mapping[TaskKey, str]


def across_settings(
    scored: Sequence[TaskScores], groups: Groups, variants: Sequence[str]
) -> tuple[Across, ...]:
    """Compare variants in each setting that has several groups of tasks, and over all settings.

    Over all settings a group of tasks is still one block: the scores of its tasks are averaged.
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
        settings.setdefault(setting_of(cluster, workers), []).append(task)
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
    is_tested = len(names) >= least_pairs()  # fewer can tell no pair apart: then nothing is tested
    pairs = len(everywhere) * (len(everywhere) - 1) // 2
    is_paired = len(names) >= least_pairs(pairs)  # these cannot either, corrected for so many pairs
    order = sorted(range(len(everywhere)), key=lambda v: (last_if_nan(float(found.mean_ranks[v])), v))
    studies = [_studies(task, measure, everywhere) for task in tasks]
    iqm = interquartile_means(studies)
    better = improvements(studies) if measure == "score" else None
    return Across(
        setting=setting,
        measure=measure,
        groups=names,
        variants=tuple(everywhere[v] for v in order),
        scores=tuple(tuple(float(block[v]) for v in order) for block in blocks),
        means=tuple(NONE if found.missing[v] else found.means[v] for v in order),
        iqm=tuple(iqm[v] for v in order),
        ranks=tuple(float(found.mean_ranks[v]) for v in order),
        p_friedman=found.p_friedman if is_tested else math.nan,
        critical_difference=found.critical_difference if is_tested else math.nan,
        cliques=tuple(tuple(everywhere[v] for v in clique) for clique in found.cliques) if is_tested else (),
        pairs=tuple(
            Pairwise(
                everywhere[pair.first],
                everywhere[pair.second],
                pair.wins,
                pair.ties,
                pair.losses,
                pair.p if is_paired else math.nan,
                pair.p_nemenyi if is_tested else math.nan,
                NONE if better is None else better[pair.first][pair.second],
                _call(blocks[:, pair.first] - blocks[:, pair.second], pair.p if is_paired else math.nan),
            )
            for pair in found.pairs
        ),
    )


def _call(differences: Floats, p: float) -> str:
    """Return the call on the first of two variants: by p, if the mean difference has the same sign."""
    mean = float(np.mean(differences[np.isfinite(differences)])) if np.isfinite(differences).any() else 0.0
    if not p <= ALPHA or mean == 0.0:
        return "not told apart"
    return "better" if mean < 0.0 else "worse"


def _studies(task: TaskScores, measure: str, variants: Sequence[str]) -> Floats:
    """Return the scores of all studies of a task, shape (n, k)."""
    data: Floats = getattr(task, measure)
    return data[:, [task.variants.index(name) for name in variants]]


def _means(task: TaskScores, measure: str, variants: Sequence[str]) -> Floats:
    """Return the mean of each variant on a task, NaN without seeds."""
    data = _studies(task, measure, variants)
    return mean_intervals(data.T)[0]


def heatmaps(
    scored: Sequence[TaskScores], groups: Groups, manifest: Mapping[str, Any]
) -> tuple[Heatmap, ...]:
    """Return heatmaps of mean scores over brackets and eta, for variants that differ in nothing else."""
    geometry = {key_of(task): task.get("geometry", {}) for task in manifest["tasks"]}
    return tuple(
        heatmap
        for setting, tasks in _settings([task for task in scored if task.is_complete]).items()
        for title, places in _families(manifest["variants"], [geometry[task.key] for task in tasks]).items()
        if (heatmap := _heatmap(title, setting, tasks, groups, places)) is not None
    )


def _families(
    variants: Sequence[Mapping[str, Any]], geometry: Sequence[Mapping[str, Any]]
) -> dict[str, dict[tuple[float, float], str]]:
    """Group variants by the options they share, and within a group by brackets and eta.

    Where two variants have the same brackets and eta, the group is left out: an unknown difference remains.
    """
    families: dict[str, dict[tuple[float, float], list[str]]] = {}
    for variant in variants:
        place = _place(variant, [task[variant["name"]] for task in geometry if variant["name"] in task])
        if place is None:
            continue
        rest = [f"{name}={value}" for name, value in variant["own"].items() if name not in OPTIONS]
        title = ", ".join([variant["type"], *rest])
        families.setdefault(title, {}).setdefault(place, []).append(variant["name"])
    return {
        title: {place: names[0] for place, names in places.items()}
        for title, places in families.items()
        if all(len(names) == 1 for names in places.values())
    }


def _place(variant: Mapping[str, Any], found: Sequence[Any]) -> tuple[float, float] | None:
    """Return the brackets and eta of a variant; None where its type has none, or tasks differ.

    Set values are taken as given, though a low R may clip them; others are those the scheduler used.
    """
    if not found or any(one is None for one in found):
        return None
    asked = {**variant["options"], **variant["own"]}
    place = []
    for number, name in enumerate(OPTIONS):
        had = {float(one[number]) for one in found}
        if name not in asked and len(had) > 1:
            return None
        place.append(float(asked[name]) if name in asked else had.pop())
    return place[0], place[1]


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
    if len(brackets) < 2 or len(etas) < 2:
        return None
    names = list(everywhere.values())
    means = np.array([_means(task, "score", names) for task in tasks])
    _, blocks = group_means(means, [groups[task.key] for task in tasks])
    mean = dict(zip(names, blocks.mean(axis=0).tolist(), strict=True))
    values = tuple(tuple(mean.get(everywhere.get((b, eta), ""), math.nan) for eta in etas) for b in brackets)
    return Heatmap(title, setting, brackets, etas, values)
