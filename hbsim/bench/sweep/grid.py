"""All cells of a sweep, checked: what cannot run is said before anything does."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

from hbsim.bench.sweep import axes
from hbsim.bench.sweep.axes import ClusterAxis, SurrogateAxis, VariantAxis
from hbsim.bench.sweep.axis_clusters import clusters
from hbsim.bench.sweep.axis_surrogates import surrogates
from hbsim.bench.sweep.axis_variants import variants
from hbsim.bench.sweep.builder import Builder
from hbsim.bench.sweep.matching import Names, is_in, unmatched
from hbsim.bench.sweep.noting import Notes
from hbsim.bench.sweep.source import Source
from hbsim.bench.sweep.study import Combination, Study
from hbsim.bench.sweep.task import Task
from hbsim.simulation import Cluster

__all__ = ["Grid", "Task", "make_grid"]

MOST: Final = 10_000_000  # cells


@dataclass(frozen=True)
class Grid:
    """What is to be run.

    Attributes
    ----------
    variants : tuple of VariantAxis
        In the file's order.
    tasks : tuple of Task
        In the order of surrogates, clusters, workers.
    studies : tuple of Study
        The cells: seed by seed, then task by task, then the variants.
    warnings : tuple of str
        What studies would warn of, a line each, with those that it is about.
    """

    variants: tuple[VariantAxis, ...]
    tasks: tuple[Task, ...]
    studies: tuple[Study, ...]
    warnings: tuple[str, ...]

    @cached_property
    def different(self) -> list[Study]:
        """The studies with different inputs: cells under two names share one."""
        found: dict[str, Study] = {}
        for study in self.studies:
            found.setdefault(study.key, study)
        return list(found.values())


class _Place(NamedTuple):
    """A surrogate on a cluster with a number of workers: what a task is made of."""

    surrogate: SurrogateAxis
    axis: ClusterAxis
    cluster: Cluster
    workers: int

    def names(self, variant: VariantAxis) -> Names:
        return Names(variant.name, self.surrogate.name, self.axis.name, self.workers)


def make_grid(source: Source) -> Grid:
    """Make all cells of a sweep.

    Raises
    ------
    ParameterError
        Names come twice, a variant cannot be built, learning curves or clusters cannot be used, options do
        not fit together, a table is about nothing, or no cell is left; names the line (field ``file``).
    """
    if not (source.table.target > 0 and math.isfinite(source.table.target)):
        raise source.broken(("target",), "must be a number above 0", source.table.target)
    schedulers, seeds, learning = variants(source), axes.seeds(source), surrogates(source)
    places = [
        _Place(surrogate, axis, cluster, workers)
        for surrogate in learning
        for axis in clusters(source)
        for workers, cluster in axis.sizes
    ]
    cells = [place.names(variant) for place in places for variant in schedulers]
    if len(cells) * len(seeds) > MOST:
        raise source.wrong((), f"makes {len(cells) * len(seeds):,} cells, and {MOST:,} are the most")
    unmatched(source, cells, seeds)
    notes = Notes()
    builder = Builder(source, schedulers, learning, notes)
    combinations = list(_combinations(source, schedulers, places, builder))
    _say_same(combinations, notes)
    studies = tuple(_studies(source, combinations, seeds))
    if not studies:
        raise source.wrong((), "has no cell: include and exclude leave none")
    there = {study.of.task for study in studies}
    named = {study.of.variant.label for study in studies}
    tasks = builder.grouped()
    return Grid(
        tuple(variant for variant in schedulers if variant.name in named),
        tuple(task for task in tasks if task.key in there),
        studies,
        notes.lines(),
    )


def _combinations(
    source: Source, schedulers: Sequence[VariantAxis], places: Sequence[_Place], builder: Builder
) -> Iterator[Combination]:
    table = source.table
    for place in places:
        wanted = [one for one in schedulers if is_in(table.include, table.exclude, place.names(one))]
        if wanted:
            yield from builder.task(wanted, place.surrogate, place.axis, place.cluster)


def _say_same(combinations: Sequence[Combination], notes: Notes) -> None:
    """Say which variants are the same under two names: all their cells have the same inputs."""
    inputs: dict[str, list[tuple[object, ...]]] = {}
    for one in combinations:
        inputs.setdefault(one.variant.label, []).append((one.task, one.with_seed(0).key))
    seen: dict[tuple[object, ...], str] = {}
    for name, found in inputs.items():
        first = seen.setdefault(tuple(found), name)
        if first != name:
            notes.add(f"{first} and {name} are the same: all their cells have the same inputs")


def _studies(source: Source, combinations: Sequence[Combination], seeds: Sequence[int]) -> Iterator[Study]:
    include, exclude = source.table.include, source.table.exclude
    named = [(one, (one.variant.label, *one.task)) for one in combinations]
    for seed in seeds:
        for combination, names in named:
            if is_in(include, exclude, Names(*names, seed)):
                yield combination.with_seed(seed)
