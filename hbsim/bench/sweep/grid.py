"""All cells of a sweep, checked: what cannot run is said before anything does."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from hbsim.bench.sweep import axes, curves
from hbsim.bench.sweep.axes import ClusterAxis, SurrogateAxis, VariantAxis
from hbsim.bench.sweep.curves import Known, Levels
from hbsim.bench.sweep.matching import Names, matches
from hbsim.bench.sweep.schema import STUDY, Matches
from hbsim.bench.sweep.source import Source
from hbsim.bench.sweep.study import Combination, Study
from hbsim.bench.variants import Value, Variant, complete
from hbsim.errors import HbsimError, HbsimWarning
from hbsim.simulation import Cluster
from hbsim.simulation.cluster_schema import Place
from hbsim.study import check_study

__all__ = ["Grid", "Task", "make_grid"]

_SHARED: Final = (
    "trials",
    "max_t",
    "max_time",
    "max_full_runs",
    "replace",
)  # one value for a task's variants


@dataclass(frozen=True)
class Task:
    """A surrogate on a cluster with a number of workers.

    Attributes
    ----------
    surrogate, cluster : str
        Names in the file.
    workers : int
        How many.
    group : str
        Tasks of one group are not independent.
    max_t : float
        R.
    max_time : float or None
        Simulated seconds at which its studies are cut.
    levels : Levels
        What there is at R.
    known : Known
        The learning curves.
    """

    surrogate: str
    cluster: str
    workers: int
    group: str
    max_t: float
    max_time: float | None
    levels: Levels
    known: Known


@dataclass(frozen=True)
class Grid:
    """What is to be run.

    Attributes
    ----------
    variants : tuple of VariantAxis
        By their names, in the file's order.
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

    @property
    def different(self) -> list[Study]:
        """The studies with different inputs: cells under two names share one."""
        found: dict[str, Study] = {}
        for study in self.studies:
            found.setdefault(study.key, study)
        return list(found.values())


def make_grid(source: Source) -> Grid:
    """Make all cells of a sweep.

    Raises
    ------
    ParameterError
        Names come twice, a variant cannot be built, learning curves or clusters cannot be used, options do
        not fit together, or nothing is left; names the line (field ``file``).
    """
    variants, clusters = axes.variants(source), axes.clusters(source)
    seeds = axes.seeds(source)
    builder = _Builder(source, axes.settings(source, ("defaults",), _given(source.table.defaults)))
    combinations: list[Combination] = []
    for surrogate in axes.surrogates(source):
        known = builder.known(surrogate)
        for cluster in clusters:
            for workers, made in cluster.sizes:
                combinations += builder.task(variants, surrogate, known, cluster, made, workers)
    studies = [
        combination.with_seed(seed)
        for seed in seeds
        for combination in combinations
        if _is_in(source, _names(combination, seed))
    ]
    if not studies:
        raise source.wrong((), "no cell is left: include and exclude leave none")
    there = {study.of.task for study in studies}
    named = {study.of.variant.label for study in studies}
    return Grid(
        tuple(variant for variant in variants if variant.name in named),
        tuple(task for task in builder.tasks if (task.surrogate, task.cluster, task.workers) in there),
        tuple(studies),
        builder.warned(),
    )


def _given(table: Any) -> dict[str, Any]:
    return {**{name: getattr(table, name) for name in STUDY}, **(table.model_extra or {})}


def _names(combination: Combination, seed: int | None = None) -> Names:
    return Names(
        combination.variant.label, combination.surrogate, combination.cluster_name, combination.workers, seed
    )


def _is_in(source: Source, names: Names) -> bool:
    table = source.table
    included = not table.include or any(matches(one, names) for one in table.include)
    return included and not any(matches(one, names) for one in table.exclude)


def _could_be_in(source: Source, names: Names) -> bool:
    """Return whether some seed of a combination may be a cell."""
    table = source.table

    def of_all(one: Matches) -> Matches:
        return one.model_copy(update={"seed": None})

    included = not table.include or any(matches(of_all(one), names) for one in table.include)
    whole = (one for one in table.exclude if one.seed is None)
    return included and not any(matches(one, names) for one in whole)


@dataclass
class _Builder:
    """Makes combinations, and gathers their tasks and warnings."""

    source: Source
    defaults: Mapping[str, Value]
    tasks: list[Task] = field(default_factory=list)
    _levels: dict[tuple[str, float], Levels] = field(default_factory=dict)
    _said: dict[str, list[str]] = field(default_factory=dict)

    def known(self, surrogate: SurrogateAxis) -> Known:
        """Load learning curves."""
        try:
            with self._noting(surrogate.name):
                return curves.know(surrogate.load)
        except HbsimError as error:
            raise self.source.of(surrogate.place, error) from None

    def task(
        self,
        variants: list[VariantAxis],
        surrogate: SurrogateAxis,
        known: Known,
        cluster: ClusterAxis,
        made: Cluster,
        workers: int,
    ) -> Iterator[Combination]:
        """Yield the combinations of a task."""
        first: dict[str, Value | None] | None = None
        for variant in variants:
            names = Names(variant.name, surrogate.name, cluster.name, workers)
            if not _could_be_in(self.source, names):
                continue
            settings, place = self._settings(names, surrogate, known)
            shared = {name: settings.get(name) for name in _SHARED}
            if first is None:
                first = shared
                self.tasks.append(self._task(names, surrogate, known, settings, place))
            elif shared != first:
                name = next(name for name in _SHARED if shared[name] != first[name])
                rule = (
                    f"{name} = {shared[name]}: must be {first[name]}, as for the other variants of the task"
                )
                raise self.source.wrong(place, f"{'.'.join(map(str, place))}: {rule}")
            yield self._combination(variant, surrogate, known, cluster, made, settings, self.tasks[-1])

    def _settings(
        self, names: Names, surrogate: SurrogateAxis, known: Known
    ) -> tuple[dict[str, Value], Place]:
        """Return what holds for a combination, the last word first: override, surrogate, defaults."""
        merged: dict[str, Value] = _over(dict(self.defaults), surrogate.settings)
        place: Place = surrogate.place
        for number, override in enumerate(self.source.table.override):
            at = ("override", number, "set")
            own = axes.settings(self.source, at, _given(override.set))
            if matches(override.where, names):
                merged, place = _over(merged, own), at
        top = known.surrogate.max_resource
        merged.setdefault("max_t", int(top) if top == int(top) else top)
        return merged, place

    def _task(
        self,
        names: Names,
        surrogate: SurrogateAxis,
        known: Known,
        settings: Mapping[str, Value],
        place: Place,
    ) -> Task:
        max_t = cast(float, settings["max_t"])
        try:
            levels = self._at_level(surrogate.name, known, float(max_t))
        except HbsimError as error:
            raise self.source.of(place, error) from None
        max_time = cast("float | None", settings.get("max_time"))
        runs = cast("float | None", settings.get("max_full_runs"))
        if runs is not None:
            if not runs > 0:
                rule = f"{'.'.join(map(str, place))}: max_full_runs = {runs}: must be above 0"
                raise self.source.wrong(place, rule)
            max_time = runs * levels.full_run
        return Task(
            names.surrogate, names.cluster, names.workers, surrogate.group, max_t, max_time, levels, known
        )

    def _at_level(self, name: str, known: Known, max_t: float) -> Levels:
        if (name, max_t) not in self._levels:
            self._levels[name, max_t] = curves.at_level(known.surrogate, max_t)
        return self._levels[name, max_t]

    def _combination(
        self,
        variant: VariantAxis,
        surrogate: SurrogateAxis,
        known: Known,
        cluster: ClusterAxis,
        made: Cluster,
        settings: Mapping[str, Value],
        task: Task,
    ) -> Combination:
        options = {name: value for name, value in settings.items() if name not in STUDY}
        shared = {**options, "max_t": settings["max_t"], "num_trials": settings.get("trials")}
        is_replacing = bool(settings.get("replace", False))
        searcher = variant.searcher or cast("str | None", settings.get("searcher"))
        mode = known.surrogate.mode
        try:
            with self._noting(variant.name):
                complete_ = complete(variant.name, variant.type, variant.own, _present(shared))
                for note in complete_.notes:
                    self._said.setdefault(note, [])
                self._check(complete_, known, made, task.max_time, is_replacing, searcher)
        except HbsimError as error:
            raise self.source.of(variant.place, error) from None
        return Combination(
            complete_,
            surrogate.name,
            cluster.name,
            surrogate.load,
            mode,
            known.fingerprint,
            made,
            task.max_time,
            is_replacing,
            searcher,
        )

    def _check(
        self,
        variant: Variant,
        known: Known,
        cluster: Cluster,
        max_time: float | None,
        is_replacing: bool,
        searcher: str | None,
    ) -> None:
        scheduler = variant.make(known.surrogate.mode, 0)
        check_study(scheduler, known.surrogate, None, 0, cluster, searcher, max_time, None, is_replacing)

    def _noting(self, name: str) -> _Noting:
        return _Noting(self._said, name)

    def warned(self) -> tuple[str, ...]:
        """Return what was warned of, each text once."""
        lines = []
        for text, names in self._said.items():
            different = list(dict.fromkeys(names))
            which = "; ".join(different[:3]) + (
                f" and {len(different) - 3} more" if len(different) > 3 else ""
            )
            lines.append(f"{which}: {text}" if which else text)
        return tuple(lines)


def _over(settings: dict[str, Value], own: Mapping[str, Value]) -> dict[str, Value]:
    """Return settings with others over them; of the two budgets of time the later one counts."""
    merged = {**settings, **own}
    for one, other in (("max_time", "max_full_runs"), ("max_full_runs", "max_time")):
        if one in own and other in settings and other not in own:
            del merged[other]
    return merged


def _present(options: Mapping[str, Value | None]) -> dict[str, Value]:
    return {name: value for name, value in options.items() if value is not None}


class _Noting(warnings.catch_warnings):
    """Gathers hbsim's warnings, with the name of what they are about."""

    def __init__(self, said: dict[str, list[str]], name: str) -> None:
        super().__init__(record=True)
        self._said, self._name = said, name

    def __enter__(self) -> Any:
        self._caught = super().__enter__()
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", HbsimWarning)
        return self._caught

    def __exit__(self, *exception: Any) -> None:
        super().__exit__(*exception)
        for warning in self._caught or ():
            self._said.setdefault(str(warning.message), []).append(self._name)
