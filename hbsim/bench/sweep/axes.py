"""The axes of a sweep: variants, learning curves, clusters, seeds, and the settings of each cell."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final, NamedTuple, TypeVar

from hbsim.bench.sweep.curves import absolute_path, absolute_surrogate
from hbsim.bench.sweep.specification import (
    LOADED,
    OPTIONS,
    STUDY,
    CellPattern,
    ClusterTable,
    SeedPattern,
    Specification,
    SurrogateTable,
    VariantTable,
    unknown_field,
)
from hbsim.bench.variants import SEARCHER, Value, label
from hbsim.core.options import TYPES, suggest_type
from hbsim.errors import ParameterError, SurrogateError, nearest
from hbsim.options import OTHER_WORDS
from hbsim.simulation import Cluster
from hbsim.toml_files import Place, dotted, shown

MOST: Final = 2**63 - 1  # the largest seed that the tables can hold
MANY: Final = 1_000_000  # seeds
PLAIN: Final = "plain"  # the name of the cluster where a specification names none
SEARCH: Final = "search_options"
BUDGETS: Final = (("max_time", "max_full_runs"), ("max_full_runs", "max_time"))
LISTED: Final = 5  # the most names that an error lists
ABOUT: Final = ("name", "cluster", "workers", "about")  # fields that `Cluster` does not have
SCENARIO, EVERY = "yahpo:", "/*"  # stands for all instances of a scenario
# Options that belong to no variant, and where they are set.
ELSEWHERE: Final = {
    "mode": "is the surrogate's: set it in [[surrogates]]",
    "seed": "is the study's: seeds = ... at the top of the file",
    **dict.fromkeys(
        (name for name in STUDY if name not in (SEARCHER, SEARCH)),
        "is the same for all variants of a task: set it in [defaults], [[surrogates]] or [[override]]",
    ),
}


@dataclass(frozen=True)
class VariantAxis:
    """A variant: its name, scheduler type, the own options of scheduler and searcher, and their places.

    `names` has several entries where variants of different names have the same inputs.
    """

    name: str
    type: str
    own: Mapping[str, Value]
    searcher: str | None
    search_options: Mapping[str, Any]
    place: Place
    names: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class SurrogateAxis:
    """Learning curves: keywords of `hbsim.surrogates.load`, and settings for them only.

    `group` is the group that the file sets, None if it sets none.
    """

    name: str
    group: str | None
    load: Mapping[str, Any]
    settings: Mapping[str, Any]
    place: Place


@dataclass(frozen=True)
class ClusterAxis:
    """A cluster, and the numbers of workers that it is simulated with."""

    name: str
    sizes: tuple[tuple[int, Cluster], ...]
    place: Place


def seeds(source: Specification) -> tuple[int, ...]:
    """Read the seeds: a count from 0 on, a list, or ``{first, count}``."""
    found, place = source.table.seeds, ("seeds",)
    if isinstance(found, list):
        listed: tuple[int, ...] | range = tuple(found)
    elif isinstance(found, int):
        listed = range(found)
    else:
        listed = range(found.first, found.first + found.count)
        place = (*place, "first" if found.count > 0 else "count")  # type: ignore[assignment]
    if not 0 < len(listed) <= MANY or min(listed) < 0 or max(listed) > MOST:
        rule = f"must be 1 to {MANY:,} seeds, each a whole number of at least 0 and below 2^63"
        raise source.field_error(place, rule)
    if len(set(listed)) < len(listed):
        raise source.field_error(("seeds",), "must name each seed once")
    return tuple(listed)


def settings(source: Specification, place: Place, found: Any) -> dict[str, Any]:
    """Read the settings of a table: those of `STUDY`, and options of schedulers.

    Raises
    ------
    ParameterError
        The table has an unknown setting, or both budgets of time.
    """
    known = (*STUDY, *OPTIONS)
    extra: dict[str, Value] = found.model_extra or {}
    for name in extra:
        if name not in known:
            raise source.field_error((*place, name), unknown_field(name, known))
    given = {name: getattr(found, name) for name in STUDY if getattr(found, name) is not None}
    if "max_time" in given and "max_full_runs" in given:
        rule = "must not stand beside max_time: give one of the two budgets of time"
        raise source.field_error((*place, "max_full_runs"), rule)
    if "search_options" in given:
        given["search_options"] = _placed(given["search_options"], source)
    return {**given, **extra}


def _placed(search_options: Mapping[str, Any], source: Specification) -> dict[str, Any]:
    """Return the options of a searcher; the path of a constraint's file is made absolute."""
    constraint = search_options.get("constraints")
    if not isinstance(constraint, str):
        return dict(search_options)
    return {**search_options, "constraints": absolute_surrogate(constraint, source.data)}


def _check_names(source: Specification, axis: Iterable[VariantAxis | SurrogateAxis | ClusterAxis]) -> None:
    """Check that each name is valid and occurs once."""
    seen: dict[str, Place] = {}
    for one in axis:
        place = (*one.place, "name")
        if not one.name.strip():
            raise source.field_error(place, "must not be empty")
        if one.name in seen and source.options:
            raise source.error(one.place, "must not be given twice")
        if one.name in seen:
            rule = f"is the name of {'.'.join(map(str, seen[one.name]))} too; give each another one"
            raise source.field_error(place, rule, one.name)
        seen[one.name] = one.place


# Variants


def variants(source: Specification) -> list[VariantAxis]:
    """Read the variants; those of ``vary`` become one variant for each value.

    Raises
    ------
    ParameterError
        There are no variants; a type or an option is unknown; or names occur twice.
    """
    found: list[VariantAxis] = []
    for number, table in enumerate(source.table.variants):
        found += _of_variant(source, ("variants", number), table)
    _check_names(source, found)
    if not found:
        raise source.field_error(("variants",), "must be at least one", [])
    return found


def _of_variant(source: Specification, place: Place, table: VariantTable) -> Iterator[VariantAxis]:
    if table.type not in TYPES:
        rule = f"must be one of {', '.join(TYPES)}.{suggest_type(table.type)}"
        raise source.field_error((*place, "type"), rule)
    own: dict[str, Value] = dict(table.model_extra or {})
    for name in own:
        _check_option(source, (*place, name), table.type)
    for name, values in table.vary.items():
        _check_varied(source, (*place, "vary", name), table, values)
    for picked in itertools.product(*table.vary.values()):
        varied = dict(zip(table.vary, picked, strict=True))
        name = label(table.type, {**own, **varied}) if table.name is None else label(table.name, varied)
        searcher = varied.pop(SEARCHER, table.searcher)
        named = None if searcher is None else str(searcher)
        options = _placed(table.search_options, source)
        yield VariantAxis(name, table.type, {**own, **varied}, named, options, place, (name,))


def _check_option(source: Specification, place: Place, type: str) -> None:
    name = str(place[-1])
    if name in OPTIONS and name in TYPES[type]:
        return
    if (elsewhere := ELSEWHERE.get(OTHER_WORDS.get(name, name))) is not None:
        raise source.field_error(place, elsewhere.partition(":")[0] if source.options else elsewhere)
    rule = f"is no option of type {type!r}"
    if takers := [repr(other) for other, names in TYPES.items() if name in names and name in OPTIONS]:
        raise source.field_error(place, f"{rule}, but of {', '.join(takers)}")
    fields = (*VariantTable.model_fields, *(option for option in OPTIONS if option in TYPES[type]))
    raise source.field_error(place, unknown_field(name, fields, rule))


def _check_varied(source: Specification, place: Place, table: VariantTable, values: list[Value]) -> None:
    name = str(place[-1])
    if name != SEARCHER:
        _check_option(source, place, table.type)
    if name in (table.model_extra or {}) or (name == SEARCHER and table.searcher is not None):
        raise source.field_error(place, f"is varied, and {name} is set for the variant as well")
    if not values or len({(isinstance(value, bool), value) for value in values}) < len(values):
        raise source.field_error(place, "must be at least one value, each once")


# Learning curves


def surrogates(source: Specification) -> list[SurrogateAxis]:
    """Read the learning curves, without loading them; ``yahpo:SCENARIO/*`` gives every instance.

    Raises
    ------
    ParameterError
        There are no learning curves, a setting is unknown, or names occur twice.
    """
    found: list[SurrogateAxis] = []
    for number, table in enumerate(source.table.surrogates):
        found += _of_surrogate(source, ("surrogates", number), table)
    _check_names(source, found)
    if not found:
        raise source.field_error(("surrogates",), "must be at least one", [])
    return found


def _of_surrogate(source: Specification, place: Place, table: SurrogateTable) -> Iterator[SurrogateAxis]:
    own = settings(source, place, table)
    load = {name: getattr(table, name) for name in LOADED if getattr(table, name) not in (None, [])}
    if "yahpo_data" in load:
        load["yahpo_data"] = absolute_path(load["yahpo_data"], source.data)
    for name, text in _instances(source, place, table, load):
        called = name if table.name is None else table.name
        if table.name is not None and text != table.surrogate:  # one of several
            called = f"{table.name}/{text.rpartition('/')[2]}"
        loaded = {"surrogate": absolute_surrogate(text, source.data), **load}
        yield SurrogateAxis(called, table.group, loaded, own, place)


def _instances(
    source: Specification, place: Place, table: SurrogateTable, load: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of all learning curves that a table stands for."""
    text = table.surrogate
    if not (text.startswith(SCENARIO) and text.endswith(EVERY)):
        yield text, text
        return
    from hbsim.surrogates.yahpo import instances

    scenario = text.removeprefix(SCENARIO).removesuffix(EVERY)
    try:
        names = instances(scenario, load.get("yahpo_data"))
    except (ParameterError, SurrogateError) as error:
        raise source.error_of(place, error) from None
    for instance in names:
        yield f"{scenario}/{instance}", f"{SCENARIO}{scenario}/{instance}"


# Clusters


def clusters(source: Specification) -> list[ClusterAxis]:
    """Read the clusters; without any in the file, a plain one without overheads.

    Raises
    ------
    ParameterError
        A cluster cannot be made, or names occur twice.
    """
    place: Place = ("workers",)
    sizes = _counts(source, place, source.table.workers)
    tables = source.table.clusters
    if not tables:
        return [ClusterAxis(PLAIN, _sized(source, (), Cluster(), sizes), ())]
    found = [_cluster(source, ("clusters", number), table, sizes) for number, table in enumerate(tables)]
    _check_names(source, found)
    return found


def _cluster(source: Specification, place: Place, table: ClusterTable, sizes: Sequence[int]) -> ClusterAxis:
    with source.errors_at(place):
        made = _made(source, table)
    if table.workers is not None:
        sizes = _counts(source, (*place, "workers"), table.workers)
    elif made.names_workers or made.machines or made.trace or made.schedule:
        return ClusterAxis(table.name, ((made.workers, made),), place)  # a trace sets the number of workers
    return ClusterAxis(table.name, _sized(source, place, made, sizes), place)


def _made(source: Specification, table: ClusterTable) -> Cluster:
    from hbsim.simulation.cluster import Machines
    from hbsim.simulation.cluster_files import read

    fields: dict[str, Any] = table.model_dump(exclude_unset=True, exclude=set(ABOUT))
    if isinstance(table.workers, int):
        fields["workers"] = table.workers
    elif isinstance(table.speed, list):
        fields["workers"] = len(table.speed)
    if "machines" in fields:
        fields["machines"] = [Machines(**kind) for kind in fields["machines"]]
    if "trace" in fields:
        fields["trace"] = os.path.join(source.folder, fields["trace"])
    if table.cluster is None:
        return Cluster(**fields)
    path = os.path.join(source.folder, table.cluster)
    return read(path if os.path.isfile(path) else table.cluster).make(fields)


def _sized(
    source: Specification, place: Place, cluster: Cluster, sizes: Sequence[int]
) -> tuple[tuple[int, Cluster], ...]:
    with source.errors_at(place, {"workers": ("workers",)}):
        return tuple((count, dataclasses.replace(cluster, workers=count)) for count in sizes)


def _counts(source: Specification, place: Place, found: int | list[int]) -> tuple[int, ...]:
    counts = found if isinstance(found, list) else [found]
    if not counts or len(set(counts)) < len(counts) or min(counts) < 1:
        raise source.field_error(place, "must be whole numbers of at least 1, each once", found)
    return tuple(counts)


# Which cells a table applies to

T = TypeVar("T")


class CellName(NamedTuple):
    """The names that identify a cell; `seed` is None for all seeds of a combination."""

    variant: str
    surrogate: str
    cluster: str
    workers: int
    seed: int | None = None


def is_in(include: Sequence[SeedPattern], exclude: Sequence[SeedPattern], cell: CellName) -> bool:
    """Return whether the sweep includes a cell; without a seed, whether it may include some seed."""
    match = could_match if cell.seed is None else matches
    is_included = not include or any(match(one, cell) for one in include)
    return is_included and not any(matches(one, cell) for one in exclude)


def matches(pattern: CellPattern, cell: CellName) -> bool:
    """Return whether a cell matches all fields of a pattern: texts with ``*`` and ``?``, numbers exactly."""
    seeds = getattr(pattern, "seed", None)
    return could_match(pattern, cell) and (seeds is None or cell.seed in _listed(seeds))


def could_match(pattern: CellPattern, cell: CellName) -> bool:
    """Return whether some seed of a combination may match a pattern."""
    return (
        is_text_of(pattern.variant, cell.variant)
        and is_text_of(pattern.surrogate, cell.surrogate)
        and is_text_of(pattern.cluster, cell.cluster)
        and (pattern.workers is None or cell.workers in _listed(pattern.workers))
    )


def is_text_of(wanted: str | list[str] | None, name: str) -> bool:
    """Return whether a name matches one of the wanted ones; any name does if none is given."""
    return wanted is None or any(_is_like(name, pattern) for pattern in _listed(wanted))


def check_patterns(source: Specification, cells: Sequence[CellName], seeds: Sequence[int]) -> None:
    """Check that each table applies to some cell, and that each name and number in it matches one.

    Parameters
    ----------
    source : Specification
        The specification.
    cells : sequence of CellName
        All combinations of variants, surrogates, clusters and workers.
    seeds : sequence of int
        All seeds.

    Raises
    ------
    ParameterError
        A name or a number in a table matches nothing, which must be a misprint.
    """
    table = source.table
    patterns: list[tuple[Place, CellPattern]] = [
        *((("include", at), one) for at, one in enumerate(table.include)),
        *((("exclude", at), one) for at, one in enumerate(table.exclude)),
        *((("override", at, "where"), one.where) for at, one in enumerate(table.override)),
    ]
    numbers = (("workers", "number of workers", {one.workers for one in cells}), ("seed", "seed", set(seeds)))
    for place, pattern in patterns:
        for axis in ("variant", "surrogate", "cluster"):
            names = list(dict.fromkeys(getattr(one, axis) for one in cells))
            for text in _wanted(source, (*place, axis), getattr(pattern, axis)):
                if not any(_is_like(name, text) for name in names):
                    rule = f"there is no {axis} {shown(text)}.{_meant_name(text, names)}"
                    raise source.field_error((*place, axis), rule)
        for axis, what, known in numbers:
            for number in _wanted(source, (*place, axis), getattr(pattern, axis, None)):
                if number not in known:
                    raise source.field_error((*place, axis), f"there is no {what} {number}")
        if not any(could_match(pattern, one) for one in cells):
            raise source.error(place, f"{dotted(place)}: there is no such cell, with one of each")


def _wanted(source: Specification, place: Place, given: T | list[T] | None) -> list[T]:
    if given == []:
        raise source.field_error(place, "must be at least one", [])
    return [] if given is None else _listed(given)


def _meant_name(text: str, names: Sequence[str]) -> str:
    """Suggest the name that was probably meant, a pattern for names with this beginning, or all names."""
    if text and any(_is_like(name, f"{text}*") for name in names):
        return f" Did you mean {shown(f'{text}*')}?"
    more = ", ..." if len(names) > LISTED else ""
    return nearest(text, names) or f" There are {', '.join(names[:LISTED])}{more}"


def _is_like(name: str, pattern: str) -> bool:
    # Brackets are literal: only * and ? are wildcards.
    return name == pattern or fnmatchcase(name, pattern.replace("[", "[[]"))


def _listed(given: T | list[T]) -> list[T]:
    return given if isinstance(given, list) else [given]


# Which settings apply to a cell


@dataclass(frozen=True)
class CellSettings:
    """Settings, and the place of each in the specification."""

    values: Mapping[str, Any] = field(default_factory=dict)
    places: Mapping[str, Place] = field(default_factory=dict)

    def over(self, own: Mapping[str, Any], table: Place) -> CellSettings:
        """Return these settings updated by a table; of the two budgets of time the later one counts."""
        if SEARCH in own and SEARCH in self.values:  # merged option by option
            own = {**own, SEARCH: {**self.values[SEARCH], **own[SEARCH]}}
        values, places = {**self.values, **own}, {**self.places, **{name: (*table, name) for name in own}}
        for one, other in BUDGETS:
            if one in own and other in self.values:
                del values[other], places[other]
        return CellSettings(values, places)

    def get(self, name: str) -> Any:
        """Return a setting, None if it is not set."""
        return self.values.get(name)


class Layers:
    """All tables with settings; later ones win: defaults, the surrogate's, overrides in their order.

    Attributes
    ----------
    tables : list of (CellPattern, place, mapping)
        The tables except those of surrogates: the cells each applies to, its place and its settings.

    Raises
    ------
    ParameterError
        A table has an unknown setting.
    """

    def __init__(self, source: Specification) -> None:
        found: list[tuple[CellPattern, Place, Any]] = [(CellPattern(), ("defaults",), source.table.defaults)]
        for at, one in enumerate(source.table.override):
            found.append((one.where, ("override", at, "set"), one.set))
        self.tables: list[tuple[CellPattern, Place, Mapping[str, Any]]] = [
            (pattern, place, settings(source, place, table)) for pattern, place, table in found
        ]

    def settings_of(self, cell: CellName, surrogate: SurrogateAxis) -> CellSettings:
        """Return the settings of a combination."""
        (_, place, defaults), *overrides = self.tables
        merged = CellSettings().over(defaults, place).over(surrogate.settings, surrogate.place)
        for pattern, place, own in overrides:
            if matches(pattern, cell):
                merged = merged.over(own, place)
        return merged
