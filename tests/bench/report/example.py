"""Reports with made-up numbers of a likely kind, small and huge, for the tests of the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace

import numpy as np

from hbsim.bench.conclusions import Interval
from hbsim.bench.report.model import (
    ALL,
    BEST,
    NO_SCORE,
    OPEN,
    WORSE,
    Across,
    BracketRow,
    Heatmap,
    Lead,
    Line,
    Missing,
    Pairwise,
    Regrets,
    RungRow,
    Segment,
    Shares,
    SweepReport,
    TaskReport,
    TaskRow,
    Timeline,
    VariantInfo,
    VariantStanding,
)

NAN = float("nan")
TYPES = ("stopping", "promotion", "hyperband", "fifo")
LEVELS = (1.0, 3.0, 9.0, 27.0, 81.0)
SURROGATES = ("digits", "lcbench/adult", "lcbench/higgs", "nb201/cifar10", "pd1/imagenet")


def example(
    surrogates: int = 2,
    workers: tuple[int, ...] = (8, 32),
    clusters: tuple[str, ...] = ("local",),
    variants: int = 5,
    names: tuple[str, ...] = (),
    points: int = 120,
    segments: int = 400,
    seed: int = 7,
) -> SweepReport:
    """Return a report: all surrogates on all clusters with all numbers of workers."""
    rng = np.random.default_rng(seed)
    infos = tuple(_info(i, names[i] if i < len(names) else "") for i in range(variants))
    skills = rng.uniform(0.05, 0.4, variants)
    tasks = []
    for surrogate in range(surrogates):
        for cluster in clusters:
            tasks += [_task(rng, surrogate, cluster, w, infos, skills, points, segments) for w in workers]
    settings = list(dict.fromkeys(task.setting for task in tasks))
    places = [*settings, *([ALL] if len(settings) > 1 else [])] if surrogates > 1 else []
    across = [_across(tasks, place, measure) for place in places for measure in ("score", "area")]
    best = infos[int(np.argmin(skills))].name
    return SweepReport(
        title="Asynchronous Hyperband: which variant on which cluster",
        description="Stopping and promotion, few and many brackets, on learning curves of five benchmarks.",
        answer=f"{best} has the best mean rank in {len(settings)} of {len(settings)} settings.",
        summary=(
            "Stopping and promotion are not told apart with 8 workers; about 60 seeds would do.",
            "FIFO needs 3.1 times as long to reach the target as the best.",
        ),
        notes=("Two tasks have no known optimum: their regrets are against the best that was seen.",),
        cells=len(tasks) * variants * 20,
        finished=len(tasks) * variants * 20 - 3,
        variants=infos,
        tasks=tuple(tasks),
        across=tuple(across),
        heatmaps=tuple(_heatmap(rng, s) for s in settings),
        missing=(Missing("the study ended before its first result", 3, "digits, local, 8 workers, seed 4"),),
        commands={
            "All cells": "hbsim sweep sweep.toml --out results",
            "This page": "hbsim report results",
            "One cell": "hbsim simulate --workers 8 --variant stopping,brackets=3 --seed 4",
        },
        versions={"python": "3.11.2", "hbsim": "0.1.0", "numpy": "2.1.0"},
        spec='title = "Which variant"\nseeds = 20\n\n[[variants]]\ntype = "stopping"\nbrackets = 3\n',
    )


def _info(index: int, name: str) -> VariantInfo:
    kind = TYPES[index % len(TYPES)]
    brackets = (1, 3, 5)[index // len(TYPES) % 3]
    eta = (3, 4)[index // 12 % 2]
    options = {} if kind == "fifo" else {"brackets": brackets, "eta": eta}
    shown = kind + "".join(f",{key}={value}" for key, value in options.items())
    return VariantInfo(name or (f"{shown}-{index}" if kind == "fifo" else shown), kind, options)


def _around(mean: float, half: float) -> Interval:
    return Interval(mean, max(0.0, mean - half), mean + 1.1 * half)


def _task(
    rng: np.random.Generator,
    surrogate: int,
    cluster: str,
    workers: int,
    infos: tuple[VariantInfo, ...],
    skills: np.ndarray,
    points: int,
    segments: int,
) -> TaskReport:
    has_draws = surrogate % 2 == 0
    family = SURROGATES[surrogate % len(SURROGATES)]
    name = family if surrogate < len(SURROGATES) else f"{family}-{surrogate}"
    budget = 3600.0 * 24 / workers
    finals = skills * rng.uniform(0.6, 1.5, len(infos))
    order = np.argsort(finals, kind="stable")
    best = float(finals[order[0]])
    rows = tuple(
        _row(rng, infos[i].name, rank, float(finals[i]), best, budget, has_draws)
        for rank, i in enumerate(order, 1)
    )
    first = rows[0].variant
    x = np.concatenate([[0.0], np.geomspace(budget / 500, budget, points - 1)])
    shape = 1.0 / (1.0 + np.geomspace(1, 400, points) / 30)
    return TaskReport(
        surrogate=name,
        cluster=cluster,
        workers=workers,
        group=family,
        metric="validation_error",
        mode="min",
        max_t=81.0,
        seeds=20,
        splits=10 * has_draws,
        configurations=500 if has_draws else None,
        budget=budget,
        budget_text="the study that ended first: seed 3 of stopping",
        resource=budget / 7,
        optimum=0.0123,
        is_optimum_known=surrogate % 2 == 0,
        median=0.31,
        target=0.1,
        matters=None,
        rows=rows,
        leads=tuple(
            Lead(share, share * budget, first, (first,), (), float(share < 1))
            for share in (0.25, 0.5, 0.75, 1.0)
        ),
        chances=tuple(
            Line(row.variant, tuple((x[1::4]).tolist()), (1 / len(rows),) * len(x[1::4])) for row in rows
        ),
        anytime=tuple(
            _line(info.name, x, f + (1.6 - f) * shape) for info, f in zip(infos, finals, strict=True)
        ),
        reached=tuple(
            Line(info.name, tuple(x.tolist()), tuple(np.clip(1.2 - shape - f, 0, 1).round(2).tolist()))
            for info, f in zip(infos, finals, strict=True)
        ),
        rungs=tuple(row for info in infos for row in _rungs(rng, info)),
        regrets=tuple(
            Regrets(info.name, f * 0.5, f * 0.4, f * 0.2, f * -0.1)
            for info, f in zip(infos, finals.tolist(), strict=True)
        ),
        brackets=tuple(row for info in infos for row in _brackets(rng, info)),
        shares=tuple(_shares(rng, info.name) for info in infos),
        timelines=tuple(_timeline(rng, info.name, min(workers, 8), budget, segments) for info in infos[:4]),
        notes=("Seed 11 is left out: one variant did not finish it.",) if surrogate == 0 else (),
    )


def _line(variant: str, x: np.ndarray, mean: np.ndarray) -> Line:
    low, high = mean * 0.85, mean * 1.18
    return Line(variant, *(tuple(values.tolist()) for values in (x, mean, low, high)))


def _row(
    rng: np.random.Generator, variant: str, rank: int, score: float, best: float, budget: float, draws: bool
) -> TaskRow:
    gap = score - best
    curves = _standing(rank, gap, 60.0)
    draw = _standing(rank, gap, 30.0) if draws else None
    decides = draw or curves
    return TaskRow(
        variant=variant,
        rank=decides.rank,
        call=decides.call,
        curves=curves,
        draw=draw,
        score=_around(score, 0.15 * score),
        regret=_around(score * 0.2977, 0.15 * score * 0.2977),
        picked=_around(0.01 + score * 0.29, 0.15 * score * 0.2977),
        value=_around(0.0123 + score * 0.2977, 0.15 * score * 0.2977),
        test=_around(0.02 + score * 0.3, 0.15 * score * 0.2977),
        test_standing=curves,
        resource=_around(score * 1.1, 0.15 * score),
        resource_standing=curves,
        area=_around(score + 0.1, 0.02),
        to_target=_around(budget * min(1.0, 0.3 + score), budget * 0.05),
        median_time=_around(budget * min(1.0, 0.3 + score), budget * 0.05),
        reached=float(np.clip(1.2 - 2 * score, 0, 1)),
        missing=0,
        trials=float(rng.integers(1000, 2000)),
        failed=float(rng.integers(0, 9)),
        completed=float(rng.integers(200, 900)),
        busy_share=float(rng.uniform(0.7, 1)),
        simulated_seconds=budget * float(rng.uniform(1, 1.2)),
        cost=float(rng.uniform(10, 40)),
    )


def _standing(rank: int, gap: float, steep: float) -> VariantStanding:
    p = NAN if rank == 1 else float(np.exp(-steep * gap))
    call = BEST if rank == 1 else OPEN if p > 0.05 else WORSE
    ends = Interval(0.0, 0.0, 0.0) if rank == 1 else Interval(gap, gap - 0.03, gap + 0.03)
    needed = int(20 + 2 / (gap + 0.01)) if call == OPEN else None
    return VariantStanding(1 if call == OPEN else rank, call, ends, p, needed)


def _of_brackets(info: VariantInfo) -> int:
    return int(str(info.options.get("brackets", 1)))


def _rungs(rng: np.random.Generator, info: VariantInfo) -> list[RungRow]:
    rows = []
    for bracket in range(_of_brackets(info)):
        recorded = 2000 // (bracket + 1)
        for level in LEVELS[bracket:-1] or LEVELS[-1:]:
            stopped = recorded * 2 // 3
            better, wrong = (int(rng.integers(0, 1 + count // 50)) for count in (stopped, recorded))
            rows.append(
                RungRow(
                    info.name,
                    bracket,
                    level,
                    recorded,
                    stopped,
                    better,
                    wrong,
                    float(rng.exponential(0.2)) / level**0.5,
                )
            )
            recorded -= stopped
    return rows


def _brackets(rng: np.random.Generator, info: VariantInfo) -> list[BracketRow]:
    count = _of_brackets(info)
    shares = [rng.dirichlet(np.full(count, 4.0)).tolist() for _ in range(3)]
    return [BracketRow(info.name, i, *(share[i] for share in shares)) for i in range(count)]


def _shares(rng: np.random.Generator, name: str) -> Shares:
    training, retrained, overhead, idle, absent = rng.dirichlet((20, 1, 2, 3, 1)).tolist()
    return Shares(name, training, retrained, overhead, idle, absent, float(rng.uniform(0, 0.5)))


def _timeline(rng: np.random.Generator, name: str, workers: int, budget: float, count: int) -> Timeline:
    each = max(1, count // workers)
    segments = []
    for worker in range(workers):
        edges = np.concatenate([[0.0], np.cumsum(rng.exponential(1.0, 2 * each))])
        edges = edges / edges[-1] * budget * 0.98
        for i in range(each):
            level = None if i % 7 == 0 else LEVELS[int(rng.integers(0, len(LEVELS)) ** 2 // 5)]
            segments.append(Segment(worker, float(edges[2 * i]), float(edges[2 * i + 2]), level))
    return Timeline(name, 0, workers, LEVELS, tuple(segments), cut=budget * 0.98)


def _across(tasks: list[TaskReport], setting: str, measure: str) -> Across:
    mine = [task for task in tasks if setting in (task.setting, ALL)]
    groups = tuple(dict.fromkeys(task.group for task in mine))
    names = sorted(row.variant for row in mine[0].rows)
    score = {
        (task.group, row.variant): getattr(row, measure).mean for task in reversed(mine) for row in task.rows
    }
    table = np.array([[score[group, name] for name in names] for group in groups])
    ranks = table.argsort(axis=1).argsort(axis=1).mean(axis=0) + 1
    order = np.argsort(ranks, kind="stable")
    table, ranks, names = table[:, order], ranks[order], [names[i] for i in order]
    distance = 2.5 * len(names) ** 0.5 / len(groups) ** 0.5 / 2
    return Across(
        setting=setting,
        measure=measure,
        groups=groups,
        variants=tuple(names),
        scores=tuple(tuple(row) for row in table.tolist()),
        means=tuple(_around(float(mean), 0.03) for mean in table.mean(axis=0)),
        iqm=tuple(_around(float(mean), 0.02) for mean in np.median(table, axis=0)),
        ranks=tuple(ranks.tolist()),
        p_friedman=0.0123,
        critical_difference=distance,
        cliques=_cliques(names, ranks, distance),
        pairs=tuple(_pair(names, table, i, j) for i in range(len(names)) for j in range(i + 1, len(names))),
    )


def _pair(names: list[str], table: np.ndarray, i: int, j: int) -> Pairwise:
    wins, losses = int((table[:, i] < table[:, j]).sum()), int((table[:, i] > table[:, j]).sum())
    call = "better" if 0.5**wins < 0.05 else "not told apart"
    chance = Interval(0.6, 0.5, 0.7)
    ties = len(table) - wins - losses
    return Pairwise(names[i], names[j], wins, ties, losses, 0.5**wins, 0.6**wins, chance, call)


def _cliques(names: list[str], ranks: np.ndarray, distance: float) -> tuple[tuple[str, ...], ...]:
    found, reach = [], 0
    for i in range(len(names)):
        end = int(np.searchsorted(ranks, ranks[i] + distance, side="right"))
        if end > reach and end - i > 1:
            found.append(tuple(names[i:end]))
        reach = max(reach, end)
    return tuple(found)


def _heatmap(rng: np.random.Generator, setting: str) -> Heatmap:
    values = rng.uniform(0.02, 0.3, (4, 3)).tolist()
    values[3][2] = NAN
    return Heatmap("stopping", setting, (1.0, 2.0, 3.0, 5.0), (2.0, 3.0, 4.0), tuple(map(tuple, values)))


def poisoned(report: SweepReport, text: str) -> SweepReport:
    """Return `report` with `text` in front of every text but those with a fixed set of values."""
    kept = {"mode", "call", "measure"}

    def changed(value: object, name: str = "") -> object:
        if isinstance(value, str):
            return value if name in kept else text + value
        if isinstance(value, Mapping):
            return {changed(key): changed(item) for key, item in value.items()}
        if isinstance(value, tuple):
            return tuple(changed(item) for item in value)
        if is_dataclass(value) and not isinstance(value, type):
            new = {one.name: changed(getattr(value, one.name), one.name) for one in fields(value)}
            return replace(value, **new)
        return value

    made = changed(report)
    assert isinstance(made, SweepReport)
    return made


def without_results(report: SweepReport) -> SweepReport:
    """Return a report of a sweep none of whose studies has a score."""
    none = Interval(NAN, NAN, NAN)
    stands = VariantStanding(1, NO_SCORE, none, NAN)
    intervals = ("score", "regret", "picked", "value", "test", "resource", "area", "to_target", "median_time")
    numbers = ("reached", "trials", "completed", "failed", "busy_share", "simulated_seconds", "cost")
    tasks = []
    for task in report.tasks:
        rows = tuple(
            replace(
                row,
                rank=1,
                call=NO_SCORE,
                curves=stands,
                draw=None,
                test_standing=None,
                resource_standing=stands,
                missing=20,
                **dict.fromkeys(intervals, none),
                **dict.fromkeys(numbers, NAN),
            )
            for row in task.rows
        )
        small = replace(task, seeds=0, budget=NAN, resource=NAN, optimum=NAN, median=NAN, rows=rows)
        small = replace(small, leads=(), chances=(), anytime=(), reached=())
        tasks.append(replace(small, rungs=(), regrets=(), brackets=(), shares=(), timelines=()))
    across = tuple(
        replace(
            one,
            scores=tuple((NAN,) * len(one.variants) for _ in one.groups),
            means=(none,) * len(one.variants),
            ranks=(NAN,) * len(one.variants),
            p_friedman=NAN,
            critical_difference=NAN,
            cliques=(),
            pairs=tuple(
                replace(pair, wins=0, ties=0, losses=0, p=NAN, p_nemenyi=NAN, improvement=none)
                for pair in one.pairs
            ),
            iqm=(none,) * len(one.variants),
        )
        for one in report.across
    )
    empty = tuple(
        replace(one, values=tuple((NAN,) * len(one.etas) for _ in one.brackets)) for one in report.heatmaps
    )
    return replace(report, finished=0, tasks=tuple(tasks), across=across, heatmaps=empty)
