"""The combinations of a sweep's tasks: what each variant runs with, checked."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final, cast

from hbsim.bench.pairing import Searching, pairing
from hbsim.bench.searching import SEARCHER, check_taken, taken
from hbsim.bench.sweep import curves
from hbsim.bench.sweep.axes import ClusterAxis, SurrogateAxis, VariantAxis
from hbsim.bench.sweep.curves import Known, Levels
from hbsim.bench.sweep.groups import groups, origins
from hbsim.bench.sweep.matching import Names, has_variant
from hbsim.bench.sweep.merged import SEARCH, Layers, Merged
from hbsim.bench.sweep.noting import Notes
from hbsim.bench.sweep.remarks import remarks
from hbsim.bench.sweep.schema import OPTIONS, STUDY, Where
from hbsim.bench.sweep.source import Source
from hbsim.bench.sweep.study import Combination
from hbsim.bench.sweep.task import Task
from hbsim.bench.variants import Value, complete
from hbsim.core.options import TYPES
from hbsim.core.scheduler import Scheduler
from hbsim.errors import HbsimError, ParameterError, SurrogateError
from hbsim.searchers import check_searcher, ends
from hbsim.searchers.plain import plain_options
from hbsim.simulation import Cluster
from hbsim.simulation.cluster_schema import Place
from hbsim.study import check_study

__all__ = ["Builder"]

# One value for a task's variants: they are scored at one level and one time.
SHARED: Final = ("trials", "max_t", "max_time", "max_full_runs", "replace")
RUNS: Final = "max_full_runs"
ENDS: Final = ("trials", "max_time", RUNS)


class Builder:
    """Makes the combinations of one task after the other.

    Parameters
    ----------
    source : Source
        The file.
    variants, surrogates : sequence of VariantAxis and of SurrogateAxis
        All of them.
    notes : Notes
        Takes what is to be said before anything runs.

    Attributes
    ----------
    tasks : list of Task
        Those that were made.

    Raises
    ------
    ParameterError
        A table has what is no setting.
    """

    def __init__(
        self,
        source: Source,
        variants: Sequence[VariantAxis],
        surrogates: Sequence[SurrogateAxis],
        notes: Notes,
    ) -> None:
        self.tasks: list[Task] = []
        self._source, self._notes = source, notes
        self._layers = Layers(source)
        self._known: dict[str, Known] = {}
        self._axes: list[SurrogateAxis] = []  # those whose curves are known
        self._levels: dict[tuple[str, float], Levels] = {}
        self._searching: dict[tuple[str, str, int], list[Searching]] = {}
        self._check_taken(variants, surrogates)
        self._say_unused(variants, surrogates)

    def task(
        self, variants: Sequence[VariantAxis], surrogate: SurrogateAxis, axis: ClusterAxis, cluster: Cluster
    ) -> Iterator[Combination]:
        """Yield the combinations of a task, one for each variant.

        Raises
        ------
        ParameterError
            The curves cannot be loaded, variants do not have the same budget, or one cannot be run.
        """
        known = self._curves(surrogate)
        task: Task | None = None
        for variant in variants:
            names = Names(variant.name, surrogate.name, axis.name, cluster.workers)
            merged = self._layers.of(names, surrogate)
            self._check_end(variant, surrogate, merged)
            if task is None:
                task, first = self._task(names, surrogate, known, merged), merged
                self.tasks.append(task)
            self._check_shared(first, merged, names)
            yield self._combination(variant, surrogate, axis, cluster, merged, task)

    def _curves(self, surrogate: SurrogateAxis) -> Known:
        if surrogate.name not in self._known:
            try:
                with self._notes.about(surrogate.name):
                    self._known[surrogate.name] = curves.know(surrogate.load)
            except SurrogateError as error:  # a file, or what is in it
                raise self._source.of((*surrogate.place, "surrogate"), _advised(error)) from None
            except HbsimError as error:
                raise self._source.of(surrogate.place, error) from None
            self._axes.append(surrogate)
        return self._known[surrogate.name]

    def _task(self, names: Names, surrogate: SurrogateAxis, known: Known, merged: Merged) -> Task:
        top = known.surrogate.max_resource
        max_t = cast(float, merged.values.get("max_t", int(top) if top == int(top) else top))
        if not (max_t > 0 and math.isfinite(max_t)):
            raise self._source.broken(merged.places["max_t"], "must be a number above 0", max_t)
        try:
            levels = self._at_level(surrogate.name, known, max_t)
        except HbsimError as error:
            raise self._source.of(surrogate.place, _advised(error), merged.places) from None
        max_time = cast("float | None", merged.get("max_time"))
        runs = cast("float | None", merged.get(RUNS))
        self._say_rows(surrogate, known, merged)
        if runs is not None:
            max_time = self._seconds(runs, levels, merged)
        where = (names.surrogate, names.cluster, names.workers)
        notes = remarks(known.surrogate, merged.get("trials"), bool(merged.get("replace")))
        return Task(*where, surrogate.name, max_t, max_time, levels, known, notes)

    def _check_end(self, variant: VariantAxis, surrogate: SurrogateAxis, merged: Merged) -> None:
        """Refuse studies without an end; a grid has one of its own."""
        if not any(name in merged.values for name in ENDS) and not ends(_searcher(variant, merged)):
            place: Place = () if self._source.at(("defaults",)) is None else ("defaults",)
            rule = f"studies on {surrogate.name} have no end: give trials, max_time or max_full_runs"
            where = "in [defaults], or under this surrogate" if place else "in [defaults]"
            raise self._source.wrong(place or surrogate.place, f"{rule} {where}")

    def _say_rows(self, surrogate: SurrogateAxis, known: Known, merged: Merged) -> None:
        """Warn of studies that may need more rows than there are."""
        rows = known.surrogate.rows
        if rows is not None and "trials" not in merged.values and not merged.get("replace"):
            text = f"{surrogate.name} has {rows:,} rows, one for each trial: studies that need more end; "
            text += "set trials, or replace = true, under this surrogate"
            self._notes.add(self._source.wrong(surrogate.place, text).rule)

    def _at_level(self, name: str, known: Known, max_t: float) -> Levels:
        if (name, max_t) not in self._levels:
            self._levels[name, max_t] = curves.at_level(known.surrogate, max_t)
        return self._levels[name, max_t]

    def _seconds(self, runs: float, levels: Levels, merged: Merged) -> float:
        """Return how long so many full runs take."""
        if not (runs > 0 and math.isfinite(runs)):
            raise self._source.broken(merged.places[RUNS], "must be a number above 0", runs)
        if not levels.full_run > 0:
            rule = "needs curves that take time, and these take none: give max_time, or trials"
            raise self._source.broken(merged.places[RUNS], rule, runs)
        # Rounded, so that the last bits of another processor give the same cells.
        return float(f"{runs * levels.full_run:.12g}")

    def _check_shared(self, first: Merged, merged: Merged, names: Names) -> None:
        for name in SHARED:
            one, other = first.get(name), merged.get(name)
            if one != other:
                said = [each.places[name] for each in (merged, first) if name in each.places]
                at = next((place for place in said if place[0] == "override"), said[0])
                rule = (
                    f"must be the same for all variants of a task: {names.variant} has {_said(other)}, and "
                )
                rule += f"others have {_said(one)}, on {names.surrogate}"
                raise self._source.broken(at, rule)

    def _combination(
        self,
        variant: VariantAxis,
        surrogate: SurrogateAxis,
        axis: ClusterAxis,
        cluster: Cluster,
        merged: Merged,
        task: Task,
    ) -> Combination:
        searcher, known = _searcher(variant, merged), task.known
        found = self._search_options(variant, searcher, merged)
        # Without rows it says nothing, and is to be no other study.
        is_replacing = bool(merged.get("replace")) and known.surrogate.rows is not None
        options = {name: value for name, value in merged.values.items() if name not in STUDY}
        options |= {"max_t": task.max_t}
        trials = merged.get("trials")
        if trials is not None:
            options["num_trials"] = trials
        try:
            with self._notes.about(variant.name):
                made = complete(variant.name, variant.type, variant.own, options)
                scheduler = made.make(known.surrogate.mode, 0)
                asked = (
                    known.surrogate,
                    None,
                    0,
                    cluster,
                    searcher,
                    task.max_time,
                    None,
                    is_replacing,
                    found,
                )
                check_study(scheduler, *asked)
        except HbsimError as error:
            about = f"{variant.name} on {surrogate.name}"
            raise self._source.of(variant.place, _cause(error), merged.places, about) from None
        for note in made.notes:
            self._notes.add(note)
        where = (surrogate.name, axis.name, surrogate.load, known.surrogate.mode)
        how = (task.max_time, is_replacing, searcher)
        self._searching.setdefault(task.key, []).append(Searching(variant.name, searcher, found))
        return Combination(made, *where, known.fingerprint, cluster, *how, _geometry(scheduler), found)

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
        found = {axis: origins(self._known[axis.name].surrogate) for axis in self._axes}
        named, texts = groups(found)
        for text in texts:
            self._notes.add(text)
        return [
            replace(
                task, group=named[task.surrogate], notes=(*task.notes, *pairing(self._searching[task.key]))
            )
            for task in self.tasks
        ]

    def _check_taken(self, variants: Sequence[VariantAxis], surrogates: Sequence[SurrogateAxis]) -> None:
        """Check that the options of searchers in each table are some of a searcher's that there is."""
        tables = [(place, own) for _, place, own in self._layers.tables()]
        tables += [(one.place, one.settings) for one in surrogates]
        named: list[str | None] = []
        for place, name in [(one.place, one.searcher) for one in variants] + [
            (place, own.get(SEARCHER)) for place, own in tables
        ]:
            with self._of(place):
                check_searcher(name)
            named.append(name)
        for place, own in tables:
            with self._of(place):
                check_taken(named, own.get(SEARCH, {}))

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
                    self._notes.add(self._source.broken((*place, name), rule).rule)


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


def _said(value: Value | None) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value).lower()
