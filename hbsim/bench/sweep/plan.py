"""The plan of a sweep: all its cells, checked, so that what cannot run is an error before anything does."""

from __future__ import annotations

import dataclasses
import math
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import polars as pl

from hbsim.bench.sweep import axes, curves
from hbsim.bench.sweep.axes import (
    SEARCH,
    ClusterAxis,
    Layers,
    Merged,
    Names,
    SurrogateAxis,
    VariantAxis,
    has_variant,
    is_in,
    unmatched,
)
from hbsim.bench.sweep.cell import FORMAT, Combination, Study
from hbsim.bench.sweep.curves import Known, Levels
from hbsim.bench.sweep.specification import OPTIONS, STUDY, Options, Source, Where, make_source, read_source
from hbsim.bench.sweep.store import PLANNED
from hbsim.bench.variants import (
    SEARCHER,
    Searching,
    Value,
    check_taken,
    complete,
    pairing,
    search_named,
    taken,
)
from hbsim.core.options import TYPES
from hbsim.core.scheduler import Scheduler
from hbsim.errors import HbsimError, HbsimWarning, ParameterError, SurrogateError
from hbsim.searchers import check_searcher, ends
from hbsim.searchers.plain import plain_options
from hbsim.simulation import Cluster
from hbsim.study.simulate import check_study
from hbsim.toml_files import Place

if TYPE_CHECKING:
    from hbsim.simulation import Cluster

__all__ = ["Grid", "Plan", "Task", "cluster_table", "make_grid", "make_plan", "read_sweep"]

MOST: Final = 10_000_000  # cells
NAMED: Final = 3  # names of variants at most, in one warning
# One value for a task's variants: they are scored at one level and one time.
SHARED: Final = ("trials", "max_t", "max_time", "max_full_runs", "replace")
RUNS: Final = "max_full_runs"
ENDS: Final = ("trials", "max_time", RUNS)


@dataclass(frozen=True)
class Task:
    """What variants are compared on: a surrogate on a cluster with a number of workers.

    Attributes
    ----------
    surrogate, cluster : str
        Names in the specification.
    workers : int
        How many.
    group : str
        Tasks of one group are not independent.
    max_t : float
        R.
    max_time : float or None
        Simulated seconds at which its studies are scored, and cut unless the sweep goes on beyond that.
    levels : Levels
        What there is at R.
    known : Known
        The learning curves.
    has_halves : bool
        Whether each study sees one half of the rows.
    notes : tuple of str
        What a reader of its results should know of them.
    """

    surrogate: str
    cluster: str
    workers: int
    group: str
    max_t: float
    max_time: float | None
    levels: Levels
    known: Known
    has_halves: bool
    notes: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str, int]:
        """Its names."""
        return self.surrogate, self.cluster, self.workers


@dataclass(frozen=True)
class Grid:
    """What is to be run.

    Attributes
    ----------
    variants : tuple of VariantAxis
        In the order of the specification.
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
        not fit together, a table is about nothing, or no cell is left; names the place.
    """
    table = source.table
    for name, least, rule in (("target", 0, "above 0"), ("beyond", 1, "of at least 1")):
        value = getattr(table, name)
        if not (value >= least and math.isfinite(value)) or value == 0:
            raise source.broken((name,), f"must be a number {rule}", value)
    if table.confirm is not None and table.confirm < 1:
        raise source.broken(("confirm",), "must be a whole number of at least 1")
    schedulers, seeds, learning = axes.variants(source), axes.seeds(source), axes.surrogates(source)
    places = [
        _Place(surrogate, axis, cluster, workers)
        for surrogate in learning
        for axis in axes.clusters(source)
        for workers, cluster in axis.sizes
    ]
    cells = [place.names(variant) for place in places for variant in schedulers]
    if len(cells) * len(seeds) > MOST:
        raise source.wrong((), f"makes {len(cells) * len(seeds):,} cells, and {MOST:,} are the most")
    unmatched(source, cells, seeds)
    builder = _Builder(source, schedulers, learning)
    combinations: list[Combination] = []
    for place in places:
        wanted = [one for one in schedulers if is_in(table.include, table.exclude, place.names(one))]
        if wanted:
            combinations += builder.task(wanted, place)
    studies = [
        one.with_seed(seed)
        for seed in seeds
        for one in combinations
        if is_in(table.include, table.exclude, Names(one.variant.label, *one.task, seed))
    ]
    if not studies:
        raise source.wrong((), "has no cell: include and exclude leave none")
    there = {study.of.task for study in studies}
    named, studies = _joined(schedulers, studies)
    tasks = builder.grouped()
    return Grid(named, tuple(task for task in tasks if task.key in there), tuple(studies), builder.lines())


def _joined(
    schedulers: Sequence[VariantAxis], studies: list[Study]
) -> tuple[tuple[VariantAxis, ...], list[Study]]:
    """Make one variant of those all of whose cells have the same inputs, under the names of all."""
    inputs: dict[str, list[tuple[object, ...]]] = {}
    for study in studies:
        inputs.setdefault(study.of.variant.label, []).append((study.of.task, study.key))
    same: dict[tuple[tuple[object, ...], ...], list[VariantAxis]] = {}
    for axis in schedulers:
        if axis.name in inputs:
            same.setdefault(tuple(inputs[axis.name]), []).append(axis)
    variants, renamed = [], {}
    for first, *others in same.values():
        names = (first.name, *(one.name for one in others))
        variants.append(dataclasses.replace(first, name=_name_of(names), names=names))
        if others:
            renamed[first.name] = variants[-1].name
    kept, combinations = {axis.names[0] for axis in variants}, dict[int, Combination]()
    found = []
    for study in studies:
        label = study.of.variant.label
        if label in renamed:
            variant = dataclasses.replace(study.of.variant, label=renamed[label])
            of = combinations.setdefault(id(study.of), dataclasses.replace(study.of, variant=variant))
            found.append(dataclasses.replace(study, of=of))
        elif label in kept:
            found.append(study)
    return tuple(variants), found


def _name_of(names: Sequence[str]) -> str:
    """Return one name of several: ``promotion,brackets=3 (= brackets=5)``."""
    first, *others = (name.split(",") for name in names)
    if not others:
        return names[0]
    rest = [
        ",".join(part for part in other if part not in first) if other[0] == first[0] else ""
        for other in others
    ]
    said = [text or name for text, name in zip(rest, names[1:], strict=True)]
    return f"{names[0]} (= {', '.join(said)})"


class _Builder:
    """Makes the combinations of one task after the other.

    Parameters
    ----------
    source : Source
        The specification.
    variants, surrogates : sequence of VariantAxis and of SurrogateAxis
        All of them.

    Raises
    ------
    ParameterError
        A table has what is no setting.
    """

    def __init__(
        self, source: Source, variants: Sequence[VariantAxis], surrogates: Sequence[SurrogateAxis]
    ) -> None:
        self._tasks: list[Task] = []
        self._source = source
        self._layers = Layers(source)
        self._known: dict[str, Known] = {}
        self._axes: list[SurrogateAxis] = []  # those whose curves are known
        self._levels: dict[tuple[str, float], Levels] = {}
        self._searching: dict[tuple[str, str, int], list[Searching]] = {}
        self._said: dict[str, dict[str, None]] = {}  # what to warn of, and the names of what it is about
        self._check_taken(variants, surrogates)
        self._say_unused(variants, surrogates)

    def task(self, variants: Sequence[VariantAxis], place: _Place) -> Iterator[Combination]:
        """Yield the combinations of a task, one for each variant.

        Raises
        ------
        ParameterError
            The curves cannot be loaded, variants do not have the same budget, or one cannot be run.
        """
        known = self._curves(place.surrogate)
        task: Task | None = None
        for variant in variants:
            names = place.names(variant)
            merged = self._layers.of(names, place.surrogate)
            self._check_end(variant, place.surrogate, merged)
            if task is None:
                task, first = self._task(names, place.surrogate, known, merged), merged
                self._tasks.append(task)
            self._check_shared(first, merged, names)
            yield self._combination(variant, place, merged, task)

    def _curves(self, surrogate: SurrogateAxis) -> Known:
        if surrogate.name not in self._known:
            try:
                with self._about(surrogate.name):
                    self._known[surrogate.name] = curves.know(surrogate.load)
            except SurrogateError as error:  # a file, or what is in it
                raise self._source.of((*surrogate.place, "surrogate"), _advised(error)) from None
            except HbsimError as error:
                raise self._source.of(surrogate.place, error) from None
            self._axes.append(surrogate)
        return self._known[surrogate.name]

    def _task(self, names: Names, surrogate: SurrogateAxis, known: Known, merged: Merged) -> Task:
        source, top = self._source, known.surrogate.max_resource
        max_t = cast(float, merged.values.get("max_t", int(top) if top == int(top) else top))
        if not (max_t > 0 and math.isfinite(max_t)):
            raise source.broken(merged.places["max_t"], "must be a number above 0", max_t)
        try:
            levels = self._at_level(surrogate.name, known, max_t)
        except HbsimError as error:
            raise source.of(surrogate.place, _advised(error), merged.places) from None
        trials, is_replacing = merged.get("trials"), bool(merged.get("replace"))
        rows = known.surrogate.rows
        if rows is not None and trials is None and not is_replacing:
            text = f"{surrogate.name} has {rows:,} rows, one for each trial: studies that need more end; "
            text += "set trials, or replace = true, under this surrogate"
            self._said.setdefault(source.wrong(surrogate.place, text).rule, {})
        max_time = self._max_time(levels, merged)
        if source.table.beyond > 1 and max_time is None:
            raise source.broken(("beyond",), f"needs a budget of time: {' or '.join(ENDS[1:])}")
        has_halves = source.table.halves and curves.has_halves(known.surrogate, trials, is_replacing)
        notes = curves.remarks(known.surrogate, trials, is_replacing)
        where = (names.surrogate, names.cluster, names.workers)
        return Task(*where, surrogate.name, max_t, max_time, levels, known, has_halves, notes)

    def _at_level(self, name: str, known: Known, max_t: float) -> Levels:
        if (name, max_t) not in self._levels:
            self._levels[name, max_t] = curves.at_level(known.surrogate, max_t)
        return self._levels[name, max_t]

    def _max_time(self, levels: Levels, merged: Merged) -> float | None:
        """Return the budget in seconds, also where it is given as so many full runs."""
        runs = cast("float | None", merged.get(RUNS))
        if runs is None:
            return cast("float | None", merged.get("max_time"))
        if not (runs > 0 and math.isfinite(runs)):
            raise self._source.broken(merged.places[RUNS], "must be a number above 0", runs)
        if not levels.full_run > 0:
            rule = "needs curves that take time, and these take none: give max_time, or trials"
            raise self._source.broken(merged.places[RUNS], rule, runs)
        # Rounded, so that the last bits of another processor give the same cells.
        return float(f"{runs * levels.full_run:.12g}")

    def _check_end(self, variant: VariantAxis, surrogate: SurrogateAxis, merged: Merged) -> None:
        """Refuse studies without an end; a grid has one of its own."""
        if not any(name in merged.values for name in ENDS) and not ends(_searcher(variant, merged)):
            rule = f"studies on {surrogate.name} have no end: give trials, max_time or max_full_runs"
            if self._source.options is None:
                is_said = self._source.at(("defaults",)) is not None
                rule += " in [defaults], or under this surrogate" if is_said else " in [defaults]"
                raise self._source.wrong(("defaults",) if is_said else surrogate.place, rule)
            raise self._source.wrong(("defaults", "trials"), rule)

    def _check_shared(self, first: Merged, merged: Merged, names: Names) -> None:
        for name in SHARED:
            one, other = first.get(name), merged.get(name)
            if one != other:
                stated = [each.places[name] for each in (merged, first) if name in each.places]
                at = next((place for place in stated if place[0] == "override"), stated[0])
                rule = f"must be the same for all variants of a task: {names.variant} has {_text(other)}, and"
                raise self._source.broken(at, f"{rule} others have {_text(one)}, on {names.surrogate}")

    def _combination(self, variant: VariantAxis, place: _Place, merged: Merged, task: Task) -> Combination:
        searcher, curves_ = _searcher(variant, merged), task.known.surrogate
        found = self._search_options(variant, searcher, merged)
        # Without rows it says nothing, and is to be no other study.
        is_replacing = bool(merged.get("replace")) and curves_.rows is not None
        options = {name: value for name, value in merged.values.items() if name not in STUDY}
        options |= {"max_t": task.max_t}
        if merged.get("trials") is not None:
            options["num_trials"] = merged.get("trials")
        end = None if task.max_time is None else task.max_time * self._source.table.beyond
        try:
            with self._about(variant.name):
                made = complete(variant.name, variant.type, variant.own, options)
                scheduler = made.make(curves_.mode, 0)
                asked = (curves_, None, 0, place.cluster, searcher, end, None, is_replacing, found)
                check_study(scheduler, *asked)
        except HbsimError as error:
            about = f"{variant.name} on {place.surrogate.name}"
            raise self._source.of(variant.place, _cause(error), merged.places, about) from None
        for note in made.notes:
            self._said.setdefault(note, {})
        self._searching.setdefault(task.key, []).append(Searching(variant.name, searcher, found))
        return Combination(
            variant=made,
            surrogate=place.surrogate.name,
            cluster_name=place.axis.name,
            load=place.surrogate.load,
            mode=curves_.mode,
            fingerprint=task.known.fingerprint,
            cluster=place.cluster,
            max_time=end,
            is_replacing=is_replacing,
            searcher=searcher,
            geometry=_geometry(scheduler),
            search_options=found,
            has_halves=task.has_halves,
        )

    def _search_options(self, variant: VariantAxis, searcher: str | None, merged: Merged) -> dict[str, Any]:
        """Return the variant's options of its searcher, and those of other tables that it takes."""
        try:
            check_searcher(searcher, variant.search_options)
            options = {**taken(searcher, merged.get(SEARCH) or {}), **variant.search_options}
            plain_options(options)
            return options
        except ParameterError as error:
            raise self._source.of(variant.place, error, merged.places, variant.name) from None

    def grouped(self) -> list[Task]:
        """Return the tasks that were made, with their groups; warns of groups that share curves."""
        found = {axis: curves.origins(self._known[axis.name].surrogate) for axis in self._axes}
        named, texts = _groups(found)
        for text in texts:
            self._said.setdefault(text, {})
        return [
            dataclasses.replace(
                task, group=named[task.surrogate], notes=(*task.notes, *pairing(self._searching[task.key]))
            )
            for task in self._tasks
        ]

    def lines(self) -> tuple[str, ...]:
        """Return what to warn of, each text with the names of what it is about."""
        lines = []
        for text, names in self._said.items():
            more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
            lines.append(f"{'; '.join(list(names)[:NAMED])}{more}: {text}" if names else text)
        return tuple(lines)

    @contextmanager
    def _about(self, name: str) -> Iterator[None]:
        """Note what hbsim warns of within the block; other warnings of libraries are dropped."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", HbsimWarning)
            yield
        for warning in caught:
            self._said.setdefault(str(warning.message), {})[name] = None

    def _check_taken(self, variants: Sequence[VariantAxis], surrogates: Sequence[SurrogateAxis]) -> None:
        """Check that the options of searchers in each table are some of a searcher's that there is."""
        tables = [(place, own) for _, place, own in self._layers.tables()]
        tables += [(one.place, one.settings) for one in surrogates]
        named = [(one.place, one.searcher) for one in variants]
        named += [(place, own.get(SEARCHER)) for place, own in tables]
        for place, name in named:
            with self._of(place):
                check_searcher(name)
        for place, own in tables:
            with self._of(place):
                check_taken([name for _, name in named], own.get(SEARCH, {}))

    @contextmanager
    def _of(self, place: Place) -> Iterator[None]:
        try:
            yield
        except ParameterError as error:
            raise self._source.of(place, error) from None

    def _say_unused(self, variants: Sequence[VariantAxis], surrogates: Sequence[SurrogateAxis]) -> None:
        """Say which options no variant takes: each has its own, or is of a type without them."""
        rule = "is taken by no variant: they are of other types, or set it themselves"
        own_ones = [(Where(), surrogate.place, surrogate.settings) for surrogate in surrogates]
        for where, place, own in [*self._layers.tables(), *own_ones]:
            there = [one for one in variants if has_variant(where, one.name)]
            for name in own:
                if name in OPTIONS and not any(
                    name in TYPES[one.type] and name not in one.own for one in there
                ):
                    self._said.setdefault(self._source.note((*place, name), rule), {})


def _searcher(variant: VariantAxis, merged: Merged) -> str | None:
    return cast("str | None", merged.get(SEARCHER)) if variant.searcher is None else variant.searcher


def _advised(error: HbsimError) -> HbsimError:
    """Return what a user's own curves raised, with what to do."""
    if isinstance(error, SurrogateError) and error.problem.startswith("evaluate raised"):
        return SurrogateError(error.source, f"{error.problem}; return NaN where a run diverges")
    return error


def _geometry(scheduler: Scheduler) -> tuple[int, float] | None:
    options = scheduler.options
    return (scheduler.brackets, options.reduction_factor) if "brackets" in TYPES[options.type] else None


def _cause(error: HbsimError) -> HbsimError:
    """Return the rule of an option itself, where a variant has made it one of its own."""
    inner = error.__context__
    is_own = isinstance(error, ParameterError) and error.field == "variant"
    return inner if is_own and isinstance(inner, ParameterError) else error


def _text(value: Value | None) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value).lower()


def _groups(found: Mapping[SurrogateAxis, frozenset[str]]) -> tuple[dict[str, str], list[str]]:
    """Return the group of each surrogate, by its name, and what to warn of.

    Tests over tasks are to count curves once that are the same ones under several names.

    Parameters
    ----------
    found : mapping
        What each comes from, in the order of the specification.

    Returns
    -------
    dict, list of str
        The group that was given, else that of the first with the same curves that was given one, else the
        name of the first with the same curves. A text for each given group that is not the first one of
        its curves.
    """
    named: dict[str, str] = {}
    texts: list[str] = []
    for same in _together(found):
        given = [axis for axis in same if axis.group is not None]
        default = given[0].group if given else None
        for axis in same:
            named[axis.name] = axis.group if axis.group is not None else default or same[0].name
        texts += [
            f"{given[0].name} and {axis.name} are of the same curves, and their groups are not the same "
            f"({given[0].group}, {axis.group}): tests over tasks take them for independent"
            for axis in given
            if axis.group != default
        ]
    return named, texts


def _together(found: Mapping[SurrogateAxis, frozenset[str]]) -> list[list[SurrogateAxis]]:
    """Return those that hang together, each in the order of the specification."""
    parts: list[tuple[frozenset[str], list[SurrogateAxis]]] = []
    for axis, roots in found.items():
        near = [part for part in parts if part[0] & roots]
        parts = [part for part in parts if not part[0] & roots]
        same = [one for _, others in near for one in others]
        parts.append((roots.union(*(other for other, _ in near)), [*same, axis]))
    order = list(found)
    return [sorted(same, key=order.index) for _, same in parts]


@dataclass(frozen=True)
class Plan:
    """Variants, learning curves, clusters, workers and seeds, checked.

    Attributes
    ----------
    source : Source
        The specification.
    grid : Grid
        Its cells.
    confirms : str
        Of studies on fresh seeds the digest of the plan whose results they confirm; else empty.
    """

    source: Source
    grid: Grid
    confirms: str = ""

    @property
    def title(self) -> str:
        """As the specification has it, or the file's own name."""
        return self.source.table.title or os.path.basename(self.source.name).removesuffix(".toml")

    @cached_property
    def cells(self) -> pl.DataFrame:
        """A row a cell: key, variant, surrogate, cluster, workers, seed, split, part."""
        rows = [
            (s.key, s.of.variant.label, *s.of.task, s.seed, *(s.half or (None, None)))
            for s in self.grid.studies
        ]
        return pl.DataFrame(rows, schema=PLANNED, orient="row")

    @cached_property
    def drawn(self) -> frozenset[str]:
        """The keys of the studies whose timelines are kept: of each variant and task the first seed."""
        first: dict[tuple[object, ...], str] = {}
        for study in self.grid.studies:
            first.setdefault((study.of.variant.label, *study.of.task), study.key)
        return frozenset(first.values())

    def confirming(self, chosen: Mapping[tuple[str, str, int], Sequence[str]], count: int, of: str) -> Plan:
        """Return a plan of studies with fresh seeds, those after the last, for some of the variants.

        Parameters
        ----------
        chosen : mapping
            The variants, by tasks: (surrogate, cluster, workers).
        count : int
            How many seeds; at least 1.
        of : str
            The digest of this plan.
        """
        names = {axis.name: list(axis.names) for axis in self.grid.variants}
        include = [
            {
                "variant": [name for label in labels for name in names[label]],
                **dict(zip(("surrogate", "cluster", "workers"), task, strict=True)),
            }
            for task, labels in chosen.items()
        ]
        first = 1 + max(study.seed for study in self.grid.studies)
        content = {
            name: value for name, value in self.source.content.items() if name not in ("exclude", "confirm")
        }
        content |= {"seeds": {"first": first, "count": count}, "include": include}
        source = self.source.changed(content)
        return Plan(source, make_grid(source), of)

    def manifest(self) -> dict[str, object]:
        """Return what a reader of the results needs beside them, plain JSON types; no clock."""
        combinations = list({id(study.of): study.of for study in self.grid.studies}.values())
        table = self.source.table
        return {
            "schema": 1,
            "format": FORMAT,
            "title": self.title,
            "description": table.description.strip(),
            "file": os.path.basename(self.source.name),
            "target": table.target,
            "beyond": table.beyond,
            "confirms": self.confirms,
            "cells": len(self.grid.studies),
            "variants": self._variants(combinations),
            "tasks": [_task(task, combinations) for task in self.grid.tasks],
            "clusters": _clusters(combinations),
            "warnings": list(self.grid.warnings),
        }

    def _variants(self, combinations: list[Combination]) -> list[dict[str, object]]:
        """Return each variant with the options that it has in every task."""
        common: dict[str, dict[str, Value]] = {}
        for combination in combinations:
            found = search_named(combination.searcher, combination.search_options)
            options = {**combination.variant.options, **found}
            earlier = common.setdefault(combination.variant.label, options)
            kept = {name: value for name, value in earlier.items() if options.get(name) == value}
            common[combination.variant.label] = kept
        return [
            {
                "name": axis.name,
                "names": list(axis.names),
                "type": axis.type,
                "own": {**axis.own, **search_named(axis.searcher, axis.search_options)},
                "options": common[axis.name],
            }
            for axis in self.grid.variants
        ]


def _task(task: Task, combinations: list[Combination]) -> dict[str, object]:
    surrogate, levels = task.known.surrogate, task.levels
    return {
        "surrogate": task.surrogate,
        "cluster": task.cluster,
        "workers": task.workers,
        "group": task.group,
        "metric": surrogate.metric,
        "mode": surrogate.mode,
        "max_t": task.max_t,
        "max_time": task.max_time,
        "optimum": _known(levels.optimum),
        "guess": _known(levels.guess),
        "full_run": levels.full_run,
        "fingerprint": task.known.fingerprint,
        "rows": surrogate.rows,
        "halves": task.has_halves,
        "notes": list(task.notes),
        "geometry": {
            one.variant.label: None if one.geometry is None else list(one.geometry)
            for one in combinations
            if one.task == task.key
        },
    }


def _clusters(combinations: list[Combination]) -> dict[str, object]:
    """Return the clusters by their names, without what differs between numbers of workers."""
    found: dict[str, object] = {}
    for combination in combinations:
        if combination.cluster_name not in found:
            content = combination.cluster.as_dict()
            del content["workers"]
            found[combination.cluster_name] = content
    return found


def _known(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None


def read_sweep(path: str | os.PathLike[str], data: str | os.PathLike[str] | None = None) -> Plan:
    """Read a sweep's file, load its learning curves, and check every cell.

    Parameters
    ----------
    path : path
        A TOML file, as docs/reference/sweep.md says.
    data : path, optional
        The folder from which relative paths of learning curves start; by default the file's.

    Raises
    ------
    ParameterError
        Something in the file is wrong; names the line, the field, its value and the rule (field ``file``).
    """
    source = read_source(path, data)
    return Plan(source, make_grid(source))


def make_plan(content: Mapping[str, Any], options: Options | None = None) -> Plan:
    """Check a specification that is no file, as `read_sweep` does.

    Parameters
    ----------
    content : mapping
        In the form of the file: plain objects. Relative paths start where this process is.
    options : mapping, optional
        The options that places stand for, which errors name.

    Raises
    ------
    ParameterError
        Something is wrong: names the option, or the place in `content` (field ``spec``).
    """
    source = make_source(content, options or {})
    return Plan(source, make_grid(source))


def cluster_table(cluster: Cluster) -> dict[str, object]:
    """Return a cluster as a table of a specification has it, what is as it is by default left out.

    Raises
    ------
    ParameterError
        It has a trace that was read from no file.
    """
    from hbsim.simulation import Cluster

    usual, content = Cluster().as_dict(), cluster.as_dict()
    table = {name: value for name, value in content.items() if usual.get(name) != value}
    trace = table.get("trace")
    if trace is not None and not os.path.isfile(str(trace)):
        raise ParameterError("cluster", str(trace), "its trace must be a file")
    if not cluster.names_workers or cluster.machines or trace is not None:
        table.pop("workers", None)  # it says how many itself
    if isinstance(trace, str):
        table["trace"] = os.path.abspath(trace)
    return {"name": "cluster" if table.keys() - {"workers"} else "plain", **table}
