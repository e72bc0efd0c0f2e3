"""Made-up reports, as small or large as a test wants them: numbers without meaning, of the right shape."""

from __future__ import annotations

import math

import numpy as np

from hbsim.bench.report.model import (
    Across,
    BracketRow,
    Duel,
    Heatmap,
    Line,
    Missing,
    Regrets,
    Report,
    RungRow,
    Segment,
    Shares,
    Task,
    TaskRow,
    Timeline,
    VariantInfo,
)
from hbsim.bench.statistics import Interval

NONE = Interval(math.nan, math.nan, math.nan)
TYPES = ("promotion", "stopping", "hyperband", "sha")
MIX = ((0.5, 0.4, 0.7), (0.3, 0.3, 0.2), (0.2, 0.3, 0.1))
LEVELS = (1.0, 3.0, 9.0, 27.0, 81.0)
AWKWARD = ("a_b $x_1$", "50% & more #1", "{x} ~ ^ \\alpha", "pipe | `tick` *star* [link](x) <b>")


def names(count: int) -> list[str]:
    """Return awkward names, then ordinary ones."""
    return [
        *AWKWARD,
        *(f"{TYPES[i % 4]}, brackets={i % 5}, eta={2 + i % 3}, n={i}" for i in range(4, count)),
    ][:count]


def report(tasks: int = 2, variants: int = 4, *, empty: bool = False, seed: int = 0) -> Report:
    """Return a report of `tasks` tasks, two settings where there are several; all of it NaN if `empty`."""
    rng = np.random.default_rng(seed)
    called = names(variants)
    settings = ("busy cluster_1", 8), ("free & easy", 32)
    made = tuple(
        task(rng, called, f"surrogate_{i // 2}", *settings[i % 2], empty=empty) for i in range(tasks)
    )
    groups = tuple(f"surrogate_{i}" for i in range((tasks + 1) // 2))
    both = dict.fromkeys(one.setting for one in made)
    return Report(
        title="Brackets & rungs: 100% of $x_1$",
        description="What brackets do.",
        summary=(
            f"Over {tasks} tasks, {called[0]} is ahead of the others, but too close to call.",
            "The number of brackets matters less than the reduction factor.",
        ),
        notes=("few seeds: 10", "a_b: no score in 3 of 10 seeds"),
        cells=tasks * variants * 10,
        finished=tasks * variants * 10 - 3,
        variants=tuple(VariantInfo(name, TYPES[i % 4], {"brackets": i % 5}) for i, name in enumerate(called)),
        tasks=made,
        across=tuple(
            across(rng, called, groups, setting, measure, empty=empty)
            for setting in both
            for measure in ("score", "area")
        ),
        heatmaps=(heatmap(rng, made[0].setting, empty=empty),) if made else (),
        missing=(Missing("worker died | out of memory", 3, "surrogate_0, seed 4"),),
        commands={"the whole sweep": "hbsim sweep file.toml --out results"},
        versions={"python": "3.11.9", "hbsim": "0.1.0"},
    )


def interval(rng: np.random.Generator, mean: float, width: float = 0.2, *, empty: bool = False) -> Interval:
    low, high = rng.uniform(0.2, 1.0, 2) * width * abs(mean)
    return NONE if empty else Interval(mean, mean - low, mean + high)


def task(
    rng: np.random.Generator, called: list[str], surrogate: str, cluster: str, workers: int, *, empty: bool
) -> Task:
    nan = math.nan if empty else 1.0
    order = rng.permutation(len(called))
    scores = np.sort(rng.uniform(0.01, 0.2, len(called)))
    rows = []
    for rank, (which, score) in enumerate(zip(order, scores, strict=True), start=1):
        close = rank in (2, 3)
        rows.append(
            TaskRow(
                variant=called[which],
                rank=rank,
                score=interval(rng, score, empty=empty),
                regret=interval(rng, score * 37.0, empty=empty),
                area=interval(rng, score * 2.5, empty=empty),
                to_target=interval(rng, 9000 * score**0.3, empty=empty),
                median_time=interval(rng, 7000 * score**0.3, empty=empty),
                p_target=math.nan if rank == 1 or empty else 0.3,
                reached=nan * min(1.0, rank / 7),
                missing=int(rank == 4) * 3,
                difference=NONE if rank == 1 or empty else interval(rng, score - scores[0]),
                p=math.nan if rank == 1 or empty else (0.2 if close else 0.0004),
                effect=nan * (1.0 - 1.0 / rank),
                superiority=nan / rank,
                call="no score"
                if empty
                else "best"
                if rank == 1
                else "too close to call"
                if close
                else "worse",
                seeds_needed=40 if close and not empty else None,
                completed=nan * 31.5,
                busy_share=nan * 0.87,
                simulated_seconds=nan * 7200.0,
                cost=math.nan if cluster.startswith("free") else nan * 12.5,
            )
        )
    anytime = tuple(line(rng, name, 7200.0, empty=empty) for name in called)
    return Task(
        surrogate=surrogate,
        cluster=cluster,
        workers=workers,
        group=surrogate,
        metric="validation_error",
        mode="min",
        max_t=81.0,
        seeds=10,
        budget=7200.0,
        budget_text="as given",
        optimum=0.0612,
        is_optimum_known=True,
        guess=0.4,
        target=0.05,
        rows=tuple(rows),
        anytime=anytime,
        reached=tuple(
            Line(one.variant, one.x, tuple(nan * np.linspace(0, 0.8, len(one.x)))) for one in anytime
        ),
        rungs=tuple(
            RungRow(
                name, bracket, level, 81 // 3**rung, 50 // 3**rung, 4 - rung, 9, nan * rng.uniform(0, 0.05)
            )
            for name in called
            for bracket in range(3)
            for rung, level in enumerate(LEVELS[bracket:-1])
        ),
        regrets=tuple(
            Regrets(name, *(nan * rng.uniform(0.0, 0.05, 3)), choice=nan * rng.uniform(-0.02, 0.02))
            for name in called
        ),
        brackets=tuple(
            BracketRow(name, bracket, *(nan * np.array(MIX[bracket])))
            for name in called
            for bracket in range(3)
        ),
        shares=tuple(
            Shares(name, *(nan * np.array([0.7, 0.05, 0.1, 0.1, 0.05])), nan * 0.12) for name in called
        ),
        timelines=tuple(timeline(rng, name, min(workers, 8)) for name in called),
        notes=("the best there is is known",),
    )


def line(rng: np.random.Generator, name: str, end: float, *, empty: bool) -> Line:
    x = np.geomspace(end / 300, end, 60)
    drops = rng.uniform(0, 1, len(x)) ** 4
    mean = np.exp(-0.12 * np.cumsum(drops)) * rng.uniform(0.3, 1.0)
    mean[:3] = math.nan
    if empty:
        mean[:] = math.nan
    return Line(name, tuple(x), tuple(mean), tuple(0.8 * mean), tuple(1.2 * mean))


def timeline(rng: np.random.Generator, name: str, workers: int) -> Timeline:
    segments = []
    for worker in range(workers):
        now = float(rng.uniform(0, 100))
        while now < 7000:
            end = now + float(rng.uniform(20, 60))
            segments.append(Segment(worker, now, end, None))
            level = LEVELS[int(rng.integers(5))]
            segments.append(Segment(worker, end, end + 20 * level**0.7, level))
            now = end + 20 * level**0.7 + float(rng.uniform(0, 30))
    return Timeline(name, 0, workers, LEVELS, tuple(segments), cut=7200.0)


def across(
    rng: np.random.Generator,
    called: list[str],
    groups: tuple[str, ...],
    setting: str,
    measure: str,
    *,
    empty: bool,
) -> Across:
    k = len(called)
    few = empty or k < 2 or len(groups) < 3
    scores = rng.uniform(0.01, 0.2, (len(groups), k)) * np.linspace(0.4, 1.6, k)
    ranks = (scores.argsort(axis=1).argsort(axis=1) + 1).mean(axis=0)
    order = ranks.argsort(kind="stable")
    ranks = ranks[order] * (math.nan if empty else 1.0)
    scores = scores[:, order] * (math.nan if empty else 1.0)
    there = tuple(called[i] for i in order)
    cd = math.nan if few else 3.2 * math.sqrt(k * (k + 1) / (6 * max(1, len(groups)))) / math.sqrt(2)
    p = math.nan if few else 0.00003
    cliques = []
    for first in range(k):
        last = max((j for j in range(k) if ranks[j] - ranks[first] < cd), default=first)
        if last > first and not any(there[last] in clique for clique in cliques):
            cliques.append(there[first : last + 1])
    return Across(
        setting=setting,
        measure=measure,
        groups=groups,
        variants=there,
        scores=tuple(tuple(float(value) for value in row) for row in scores),
        means=tuple(interval(rng, float(mean), empty=empty) for mean in scores.mean(axis=0)),
        ranks=tuple(float(rank) for rank in ranks),
        p_friedman=p,
        critical_difference=cd,
        cliques=tuple(cliques),
        duels=tuple(
            Duel(
                *(there[i], there[j], 3, 1, 2, math.nan if few else 0.04, math.nan if few else 0.2),
                call="too close to call" if few or j - i < 2 else "better",
            )
            for i in range(k)
            for j in range(i + 1, k)
        ),
    )


def heatmap(rng: np.random.Generator, setting: str, *, empty: bool) -> Heatmap:
    values = rng.uniform(0.01, 0.3, (5, 4)) * (math.nan if empty else 1.0)
    values[4, 3] = math.nan
    return Heatmap(
        "promotion",
        setting,
        (1.0, 2.0, 3.0, 4.0, 5.0),
        (2.0, 3.0, 4.0, 5.0),
        tuple(tuple(float(value) for value in row) for row in values),
    )
