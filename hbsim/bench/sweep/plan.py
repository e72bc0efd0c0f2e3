"""The plan of a sweep: all its cells, checked, so that errors show before any study runs."""

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
    CellName,
    CellSettings,
    ClusterAxis,
    Layers,
    SurrogateAxis,
    VariantAxis,
    check_patterns,
    is_in,
    is_text_of,
)
from hbsim.bench.sweep.cell import FORMAT, CellStudy, Combination
from hbsim.bench.sweep.curves import CurveFacts, LoadedCurves
from hbsim.bench.sweep.specification import (
    OPTIONS,
    STUDY,
    CellPattern,
    OptionPlaces,
    Specification,
    make_specification,
    read_specification,
)
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
from hbsim.searchers.factory import plain_options
from hbsim.simulation import Cluster
from hbsim.study.simulate import check_study

if TYPE_CHECKING:
    from hbsim.simulation import Cluster

MOST: Final = 10_000_000  # cells
NAMED: Final = 3  # the most names of variants in one warning
# Settings that all variants of a task share: they are scored at one level and one time.
SHARED: Final = ("num_trials", "max_t", "max_time", "max_full_runs", "replace")
RUNS: Final = "max_full_runs"
ENDS: Final = ("num_trials", "max_time", RUNS)


@dataclass(frozen=True)
class SweepTask:
    """A task, on which variants are compared: a surrogate on a cluster with a number of workers.

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
    levels : CurveFacts
        The facts on the learning curves at R.
    known : LoadedCurves
        The learning curves.
    has_halves : bool
        Whether each study sees one half of the rows.
    notes : tuple of str
        Remarks for a reader of the results.
    """

    surrogate: str
    cluster: str
    workers: int
    group: str
    max_t: float
    max_time: float | None
    levels: CurveFacts
    known: LoadedCurves
    has_halves: bool
    notes: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str, int]:
        """The names of the surrogate, the cluster and the workers."""
        return self.surrogate, self.cluster, self.workers


class _Place(NamedTuple):
    """The parts of a task: a surrogate, a cluster and a number of workers."""

    surrogate: SurrogateAxis
    axis: ClusterAxis
    cluster: Cluster
    workers: int

    def names(self, variant: VariantAxis) -> CellName:
        return CellName(variant.name, self.surrogate.name, self.axis.name, self.workers)


def _make_plan(source: Specification, confirms: str = "") -> SweepPlan:
    """Make all cells of a sweep; `confirms` as in `SweepPlan`.

    Raises
    ------
    ParameterError
        Names occur twice, a variant cannot be built, learning curves or clusters cannot be used, options do
        not fit together, a table applies to no cell, or no cell is left; the error names the place.
    """
    table = source.table
    for name, least, rule in (("target", 0, "above 0"), ("beyond", 1, "of at least 1")):
        value = getattr(table, name)
        if not (value >= least and math.isfinite(value)) or value == 0:
            raise source.field_error((name,), f"must be a number {rule}", value)
    if table.confirm is not None and table.confirm < 1:
        raise source.field_error(("confirm",), "must be a whole number of at least 1")
    schedulers, seeds, learning = axes.variants(source), axes.seeds(source), axes.surrogates(source)
    places = [
        _Place(surrogate, axis, cluster, workers)
        for surrogate in learning
        for axis in axes.clusters(source)
        for workers, cluster in axis.sizes
    ]
    cells = [place.names(variant) for place in places for variant in schedulers]
    if len(cells) * len(seeds) > MOST:
        raise source.error((), f"makes {len(cells) * len(seeds):,} cells, and {MOST:,} are the most")
    check_patterns(source, cells, seeds)
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
        if is_in(table.include, table.exclude, CellName(one.variant.label, *one.task, seed))
    ]
    if not studies:
        raise source.error((), "has no cell: include and exclude leave none")
    task_keys = {study.of.task for study in studies}
    named, studies = _joined(schedulers, studies)
    tasks = tuple(task for task in builder.grouped() if task.key in task_keys)
    return SweepPlan(source, named, tasks, tuple(studies), builder.lines(), confirms)


def _joined(
    schedulers: Sequence[VariantAxis], studies: list[CellStudy]
) -> tuple[tuple[VariantAxis, ...], list[CellStudy]]:
    """Merge variants whose cells all have the same inputs into one, under the names of all."""
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
    """Merge several names into one: ``promotion,brackets=3 (= brackets=5)``."""
    first, *others = (name.split(",") for name in names)
    if not others:
        return names[0]
    rest = [
        ",".join(part for part in other if part not in first) if other[0] == first[0] else ""
        for other in others
    ]
    shown = [text or name for text, name in zip(rest, names[1:], strict=True)]
    return f"{names[0]} (= {', '.join(shown)})"


class _Builder:
    """A builder of the combinations of one task after the other.

    Parameters
    ----------
    source : Specification
        The specification.
    variants, surrogates : sequence of VariantAxis and of SurrogateAxis
        All variants and learning curves of the sweep.

    Raises
    ------
    ParameterError
        A table has an unknown setting.
    """

    def __init__(
        self, source: Specification, variants: Sequence[VariantAxis], surrogates: Sequence[SurrogateAxis]
    ) -> None:
        self._tasks: list[SweepTask] = []
        self._source = source
        self._layers = Layers(source)
        self._known: dict[str, LoadedCurves] = {}
        self._axes: list[SurrogateAxis] = []  # surrogates whose curves are loaded
        self._levels: dict[tuple[str, float], CurveFacts] = {}
        self._searching: dict[tuple[str, str, int], list[Searching]] = {}
        self._notes: dict[str, dict[str, None]] = {}  # warnings, each with the names concerned
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
        task: SweepTask | None = None
        for variant in variants:
            names = place.names(variant)
            merged = self._layers.settings_of(names, place.surrogate)
            self._check_end(variant, place.surrogate, merged)
            if task is None:
                task, first = self._task(names, place.surrogate, known, merged), merged
                self._tasks.append(task)
            self._check_shared(first, merged, names)
            yield self._combination(variant, place, merged, task)

    def _curves(self, surrogate: SurrogateAxis) -> LoadedCurves:
        if surrogate.name not in self._known:
            try:
                with self._about(surrogate.name):
                    self._known[surrogate.name] = curves.read_curves(surrogate.load)
            except SurrogateError as error:  # a file, or its content
                raise self._source.error_of((*surrogate.place, "surrogate"), _advised(error)) from None
            except HbsimError as error:
                raise self._source.error_of(surrogate.place, error) from None
            self._axes.append(surrogate)
        return self._known[surrogate.name]

    def _task(
        self, names: CellName, surrogate: SurrogateAxis, known: LoadedCurves, merged: CellSettings
    ) -> SweepTask:
        source, top = self._source, known.surrogate.max_resource
        max_t = cast(float, merged.values.get("max_t", int(top) if top == int(top) else top))
        if not (max_t > 0 and math.isfinite(max_t)):
            raise source.field_error(merged.places["max_t"], "must be a number above 0", max_t)
        try:
            levels = self._at_level(surrogate.name, known, max_t)
        except HbsimError as error:
            raise source.error_of(surrogate.place, _advised(error), merged.places) from None
        num_trials, is_replacing = merged.get("num_trials"), bool(merged.get("replace"))
        rows = known.surrogate.rows
        if rows is not None and num_trials is None and not is_replacing:
            text = f"{surrogate.name} has {rows:,} rows, one for each trial: studies that need more end; "
            text += "set num_trials, or replace = true, under this surrogate"
            self._notes.setdefault(source.error(surrogate.place, text).rule, {})
        max_time = self._max_time(levels, merged)
        if source.table.beyond > 1 and max_time is None:
            raise source.field_error(("beyond",), f"needs a budget of time: {' or '.join(ENDS[1:])}")
        has_halves = source.table.halves and curves.has_halves(known.surrogate, num_trials, is_replacing)
        notes = curves.curve_notes(known.surrogate, num_trials, is_replacing)
        key = (names.surrogate, names.cluster, names.workers)
        return SweepTask(*key, surrogate.name, max_t, max_time, levels, known, has_halves, notes)

    def _at_level(self, name: str, known: LoadedCurves, max_t: float) -> CurveFacts:
        if (name, max_t) not in self._levels:
            self._levels[name, max_t] = curves.at_level(known.surrogate, max_t)
        return self._levels[name, max_t]

    def _max_time(self, levels: CurveFacts, merged: CellSettings) -> float | None:
        """Return the budget in seconds, also where it is given as a number of full runs."""
        runs = cast("float | None", merged.get(RUNS))
        if runs is None:
            return cast("float | None", merged.get("max_time"))
        if not (runs > 0 and math.isfinite(runs)):
            raise self._source.field_error(merged.places[RUNS], "must be a number above 0", runs)
        if not levels.full_run > 0:
            rule = "needs curves that take time, and these take none: give max_time, or num_trials"
            raise self._source.field_error(merged.places[RUNS], rule, runs)
        # Rounded, so that the last bits of another processor give the same cells.
        return float(f"{runs * levels.full_run:.12g}")

    def _check_end(self, variant: VariantAxis, surrogate: SurrogateAxis, merged: CellSettings) -> None:
        """Raise a ParameterError for studies without an end; a grid ends by itself."""
        if not any(name in merged.values for name in ENDS) and not ends(_searcher(variant, merged)):
            rule = f"studies on {surrogate.name} have no end: give num_trials, max_time or max_full_runs"
            if self._source.options is None:
                has_defaults = self._source.value_at(("defaults",)) is not None
                rule += " in [defaults], or under this surrogate" if has_defaults else " in [defaults]"
                raise self._source.error(("defaults",) if has_defaults else surrogate.place, rule)
            raise self._source.error(("defaults", "num_trials"), rule)

    def _check_shared(self, first: CellSettings, merged: CellSettings, names: CellName) -> None:
        for name in SHARED:
            one, other = first.get(name), merged.get(name)
            if one != other:
                stated = [each.places[name] for each in (merged, first) if name in each.places]
                at = next((place for place in stated if place[0] == "override"), stated[0])
                rule = f"must be the same for all variants of a task: {names.variant} has {_text(other)}, and"
                raise self._source.field_error(at, f"{rule} others have {_text(one)}, on {names.surrogate}")

    def _combination(
        self, variant: VariantAxis, place: _Place, merged: CellSettings, task: SweepTask
    ) -> Combination:
        searcher, curves_ = _searcher(variant, merged), task.known.surrogate
        found = self._search_options(variant, searcher, merged)
        # Without rows `replace` has no effect, and must not change the key.
        is_replacing = bool(merged.get("replace")) and curves_.rows is not None
        options = {name: value for name, value in merged.values.items() if name not in STUDY}
        options |= {"max_t": task.max_t}
        if merged.get("num_trials") is not None:
            options["num_trials"] = merged.get("num_trials")
        end = None if task.max_time is None else task.max_time * self._source.table.beyond
        try:
            with self._about(variant.name):
                made = complete(variant.name, variant.type, variant.own, options)
                scheduler = made.make(curves_.mode, 0)
                asked = (curves_, None, 0, place.cluster, searcher, end, None, is_replacing, found)
                check_study(scheduler, *asked)
        except HbsimError as error:
            about = f"{variant.name} on {place.surrogate.name}"
            raise self._source.error_of(variant.place, _cause(error), merged.places, about) from None
        for note in made.notes:
            self._notes.setdefault(note, {})
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

    def _search_options(
        self, variant: VariantAxis, searcher: str | None, merged: CellSettings
    ) -> dict[str, Any]:
        """Return the options of a variant's searcher: its own, and those of other tables that it takes."""
        with self._source.errors_at(variant.place, merged.places, variant.name):
            check_searcher(searcher, variant.search_options)
            options = {**taken(searcher, merged.get(SEARCH) or {}), **variant.search_options}
            plain_options(options)
            return options

    def grouped(self) -> list[SweepTask]:
        """Return the finished tasks with their groups; warn of groups that share curves."""
        surrogates = {axis.name: self._known[axis.name].surrogate for axis in self._axes}
        named, texts = curves.curve_groups(surrogates, {axis.name: axis.group for axis in self._axes})
        for text in texts:
            self._notes.setdefault(text, {})
        return [
            dataclasses.replace(
                task, group=named[task.surrogate], notes=(*task.notes, *pairing(self._searching[task.key]))
            )
            for task in self._tasks
        ]

    def lines(self) -> tuple[str, ...]:
        """Return the warnings, each with the names of the variants or surrogates concerned."""
        lines = []
        for text, names in self._notes.items():
            more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
            lines.append(f"{'; '.join(list(names)[:NAMED])}{more}: {text}" if names else text)
        return tuple(lines)

    @contextmanager
    def _about(self, name: str) -> Iterator[None]:
        """Collect hbsim's warnings within the block; other warnings of libraries are dropped."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", HbsimWarning)
            yield
        for warning in caught:
            self._notes.setdefault(str(warning.message), {})[name] = None

    def _check_taken(self, variants: Sequence[VariantAxis], surrogates: Sequence[SurrogateAxis]) -> None:
        """Check that each searcher option in a table is an option of some searcher in the sweep."""
        tables = [(place, own) for _, place, own in self._layers.tables]
        tables += [(one.place, one.settings) for one in surrogates]
        named = [(one.place, one.searcher) for one in variants]
        named += [(place, own.get(SEARCHER)) for place, own in tables]
        for place, name in named:
            with self._source.errors_at(place):
                check_searcher(name)
        for place, own in tables:
            with self._source.errors_at(place):
                check_taken([name for _, name in named], own.get(SEARCH, {}))

    def _say_unused(self, variants: Sequence[VariantAxis], surrogates: Sequence[SurrogateAxis]) -> None:
        """Warn of options that no variant takes, as all set them or are of types without them."""
        rule = "is taken by no variant: they are of other types, or set it themselves"
        own_ones = [(CellPattern(), surrogate.place, surrogate.settings) for surrogate in surrogates]
        for pattern, place, own in [*self._layers.tables, *own_ones]:
            covered = [one for one in variants if is_text_of(pattern.variant, one.name)]
            for name in own:
                if name in OPTIONS and not any(
                    name in TYPES[one.type] and name not in one.own for one in covered
                ):
                    self._notes.setdefault(self._source.field_warning((*place, name), rule), {})


def _searcher(variant: VariantAxis, merged: CellSettings) -> str | None:
    return cast("str | None", merged.get(SEARCHER)) if variant.searcher is None else variant.searcher


def _advised(error: HbsimError) -> HbsimError:
    """Return an error of a user's own curves, with advice."""
    if isinstance(error, SurrogateError) and error.problem.startswith("evaluate raised"):
        return SurrogateError(error.source, f"{error.problem}; return NaN where a run diverges")
    return error


def _geometry(scheduler: Scheduler) -> tuple[int, float] | None:
    options = scheduler.options
    return (scheduler.brackets, options.reduction_factor) if "brackets" in TYPES[options.type] else None


def _cause(error: HbsimError) -> HbsimError:
    """Return the error of the option itself, where it was wrapped in the error of a variant."""
    inner = error.__context__
    is_own = isinstance(error, ParameterError) and error.field == "variant"
    return inner if is_own and isinstance(inner, ParameterError) else error


def _text(value: Value | None) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value).lower()


@dataclass(frozen=True)
class SweepPlan:
    """A checked plan of variants, learning curves, clusters, workers and seeds.

    Attributes
    ----------
    source : Specification
        The specification.
    variants : tuple of VariantAxis
        In the order of the specification.
    tasks : tuple of SweepTask
        In the order of surrogates, clusters, workers.
    studies : tuple of CellStudy
        The cells: seed by seed, then task by task, then the variants.
    warnings : tuple of str
        The warnings that studies would give, a line each, with the variants or surrogates concerned.
    confirms : str
        For studies on fresh seeds, the digest of the plan whose results they confirm; else empty.
    """

    source: Specification
    variants: tuple[VariantAxis, ...]
    tasks: tuple[SweepTask, ...]
    studies: tuple[CellStudy, ...]
    warnings: tuple[str, ...]
    confirms: str = ""

    @cached_property
    def different(self) -> list[CellStudy]:
        """The distinct studies: cells with the same inputs under two names share one."""
        found: dict[str, CellStudy] = {}
        for study in self.studies:
            found.setdefault(study.key, study)
        return list(found.values())

    @property
    def title(self) -> str:
        """The title in the specification, or the file's own name."""
        return self.source.table.title or os.path.basename(self.source.name).removesuffix(".toml")

    @cached_property
    def cells(self) -> pl.DataFrame:
        """A row a cell: key, variant, surrogate, cluster, workers, seed, split, part."""
        rows = [
            (s.key, s.of.variant.label, *s.of.task, s.seed, *(s.half or (None, None))) for s in self.studies
        ]
        return pl.DataFrame(rows, schema=PLANNED, orient="row")

    @cached_property
    def with_timelines(self) -> frozenset[str]:
        """The keys of the studies whose timelines are kept: the first seed of each variant and task."""
        first: dict[tuple[object, ...], str] = {}
        for study in self.studies:
            first.setdefault((study.of.variant.label, *study.of.task), study.key)
        return frozenset(first.values())

    def confirming(
        self, chosen: Mapping[tuple[str, str, int], Sequence[str]], count: int, of: str
    ) -> SweepPlan:
        """Plan studies for some of the variants with fresh seeds, which follow the last seed.

        Parameters
        ----------
        chosen : mapping
            The variants, by tasks: (surrogate, cluster, workers).
        count : int
            How many seeds; at least 1.
        of : str
            The digest of this plan.
        """
        names = {axis.name: list(axis.names) for axis in self.variants}
        include = [
            {
                "variant": [name for label in labels for name in names[label]],
                **dict(zip(("surrogate", "cluster", "workers"), task, strict=True)),
            }
            for task, labels in chosen.items()
        ]
        first = 1 + max(study.seed for study in self.studies)
        content = {
            name: value for name, value in self.source.content.items() if name not in ("exclude", "confirm")
        }
        content |= {"seeds": {"first": first, "count": count}, "include": include}
        return _make_plan(self.source.with_content(content), of)

    def manifest(self) -> dict[str, object]:
        """Return the manifest, which readers of the results need: plain JSON types, without dates."""
        combinations = list({id(study.of): study.of for study in self.studies}.values())
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
            "cells": len(self.studies),
            "variants": self._variants(combinations),
            "tasks": [_task(task, combinations) for task in self.tasks],
            "clusters": _clusters(combinations),
            "warnings": list(self.warnings),
        }

    def _variants(self, combinations: list[Combination]) -> list[dict[str, object]]:
        """Return each variant with the options that are the same in every task."""
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
            for axis in self.variants
        ]


def _task(task: SweepTask, combinations: list[Combination]) -> dict[str, object]:
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
    """Return the clusters by name, without fields that differ between numbers of workers."""
    found: dict[str, object] = {}
    for combination in combinations:
        if combination.cluster_name not in found:
            content = combination.cluster.as_dict()
            del content["workers"]
            found[combination.cluster_name] = content
    return found


def _known(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None


def read_sweep(path: str | os.PathLike[str], data: str | os.PathLike[str] | None = None) -> SweepPlan:
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
        Something in the file is wrong; the error names the line, field, value and rule (field ``file``).
    """
    return _make_plan(read_specification(path, data))


def make_plan(content: Mapping[str, Any], options: OptionPlaces | None = None) -> SweepPlan:
    """Check a specification that is no file, as `read_sweep` does.

    Parameters
    ----------
    content : mapping
        In the form of the file: plain objects. Relative paths start at the working directory.
    options : mapping, optional
        The option for each place, which errors name.

    Raises
    ------
    ParameterError
        Something is wrong; the error names the option, or the place in `content` (field ``spec``).
    """
    return _make_plan(make_specification(content, options or {}))
