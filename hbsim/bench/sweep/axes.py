"""The axes of a sweep: variants, learning curves, clusters, seeds, and the settings of each cell."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final, TypeAlias, TypeVar

from hbsim.bench.sweep.curves import located, whole_path
from hbsim.bench.sweep.specification import (
    LOADED,
    OPTIONS,
    STUDY,
    ClusterTable,
    Matches,
    Source,
    SurrogateTable,
    VariantTable,
    Where,
    dotted,
    meant_option,
)
from hbsim.bench.variants import SEARCHER, Value, label
from hbsim.core.options import TYPES, meant
from hbsim.errors import ParameterError, SurrogateError, nearest
from hbsim.simulation import Cluster
from hbsim.toml_files import Place, shown

__all__ = [
    "SEARCH",
    "ClusterAxis",
    "Layers",
    "Merged",
    "Names",
    "Settings",
    "SurrogateAxis",
    "VariantAxis",
    "clusters",
    "has_variant",
    "is_in",
    "seeds",
    "settings",
    "surrogates",
    "unmatched",
    "variants",
]

MOST: Final = 2**63 - 1  # of a seed, for the tables
MANY: Final = 1_000_000  # seeds
PLAIN: Final = "plain"  # the cluster of a specification that names none
ABOUT: Final = ("name", "cluster", "workers", "about")  # fields of a cluster's table that `Cluster` has not
SCENARIO, EVERY = "yahpo:", "/*"  # all instances of a scenario
# What is no variant's own, and where it is said.
ELSEWHERE: Final = {
    "mode": "is the surrogate's: set it in [[surrogates]]",
    "seed": "is the study's: seeds = ... at the top of the file",
    **dict.fromkeys(
        ("num_trials", *(name for name in STUDY if name not in (SEARCHER, "search_options"))),
        "is the same for all variants of a task: set it in [defaults], [[surrogates]] or [[override]]",
    ),
}
Settings: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class VariantAxis:
    """A scheduler and a searcher: its name, type and own options of both, and where the file has them.

    `names` has more than one where variants under several names turned out to be the same.
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

    `group` is the file's, None if it has none.
    """

    name: str
    group: str | None
    load: Mapping[str, Any]
    settings: Settings
    place: Place


@dataclass(frozen=True)
class ClusterAxis:
    """A cluster, and the numbers of workers that it is taken with."""

    name: str
    sizes: tuple[tuple[int, Cluster], ...]
    place: Place


def seeds(source: Source) -> tuple[int, ...]:
    """Return the seeds: a number of them from 0 on, a list, or ``{first, count}``."""
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
        raise source.broken(place, rule)
    if len(set(listed)) < len(listed):
        raise source.broken(("seeds",), "must name each seed once")
    return tuple(listed)


def settings(source: Source, place: Place, found: Any) -> dict[str, Any]:
    """Return the settings that a table has, those of `STUDY` and options of schedulers.

    Raises
    ------
    ParameterError
        It has another one, or both budgets of time.
    """
    known = (*STUDY, *OPTIONS)
    extra: dict[str, Value] = found.model_extra or {}
    for name in extra:
        if name not in known:
            raise source.broken((*place, name), f"is no field here.{meant_option(name, known)}")
    given = {name: getattr(found, name) for name in STUDY if getattr(found, name) is not None}
    if "max_time" in given and "max_full_runs" in given:
        rule = "must not stand beside max_time: give one of the two budgets of time"
        raise source.broken((*place, "max_full_runs"), rule)
    if "search_options" in given:
        given["search_options"] = _placed(given["search_options"], source)
    return {**given, **extra}


def _placed(search_options: Mapping[str, Any], source: Source) -> dict[str, Any]:
    """Return the options of a searcher, with the whole path of a constraint's file."""
    constraint = search_options.get("constraints")
    if not isinstance(constraint, str):
        return dict(search_options)
    return {**search_options, "constraints": located(constraint, source.data)}


def _check_names(source: Source, axis: Iterable[VariantAxis | SurrogateAxis | ClusterAxis]) -> None:
    """Check that each name is there once, and is one."""
    seen: dict[str, Place] = {}
    for one in axis:
        place = (*one.place, "name")
        if not one.name.strip():
            raise source.broken(place, "must not be empty")
        if one.name in seen and source.options:
            raise source.wrong(one.place, "must not be given twice")
        if one.name in seen:
            rule = f"is the name of {'.'.join(map(str, seen[one.name]))} too; give each another one"
            raise source.broken(place, rule, one.name)
        seen[one.name] = one.place


# Variants


def variants(source: Source) -> list[VariantAxis]:
    """Return the variants, those of ``vary`` one by one.

    Raises
    ------
    ParameterError
        There is none; a type or an option is unknown; or names come twice.
    """
    found: list[VariantAxis] = []
    for number, table in enumerate(source.table.variants):
        found += _of_variant(source, ("variants", number), table)
    _check_names(source, found)
    if not found:
        raise source.broken(("variants",), "must be at least one", [])
    return found


def _of_variant(source: Source, place: Place, table: VariantTable) -> Iterator[VariantAxis]:
    if table.type not in TYPES:
        rule = f"must be one of {', '.join(TYPES)}.{meant(table.type)}"
        raise source.broken((*place, "type"), rule)
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


def _check_option(source: Source, place: Place, type: str) -> None:
    name = str(place[-1])
    if name in OPTIONS and name in TYPES[type]:
        return
    takes = [option for option in OPTIONS if option in TYPES[type]]
    fields = (*VariantTable.model_fields, *takes)
    takers = [repr(other) for other, names in TYPES.items() if name in names and name in OPTIONS]
    rule = f"is no option of type {type!r}.{meant_option(name, fields)}"
    if takers:
        rule = f"is no option of type {type!r}, but of {', '.join(takers)}"
    elsewhere = ELSEWHERE.get(name, rule)
    raise source.broken(place, elsewhere.partition(":")[0] if source.options else elsewhere)


def _check_varied(source: Source, place: Place, table: VariantTable, values: list[Value]) -> None:
    name = str(place[-1])
    if name != SEARCHER:
        _check_option(source, place, table.type)
    if name in (table.model_extra or {}) or (name == SEARCHER and table.searcher is not None):
        raise source.broken(place, f"is varied, and {name} is set for the variant as well")
    if not values or len({(isinstance(value, bool), value) for value in values}) < len(values):
        raise source.broken(place, "must be at least one value, each once")


# Learning curves


def surrogates(source: Source) -> list[SurrogateAxis]:
    """Return the learning curves, which are not loaded yet; of ``yahpo:SCENARIO/*`` every instance.

    Raises
    ------
    ParameterError
        There are none, a setting is unknown, or names come twice.
    """
    found: list[SurrogateAxis] = []
    for number, table in enumerate(source.table.surrogates):
        found += _of_surrogate(source, ("surrogates", number), table)
    _check_names(source, found)
    if not found:
        raise source.broken(("surrogates",), "must be at least one", [])
    return found


def _of_surrogate(source: Source, place: Place, table: SurrogateTable) -> Iterator[SurrogateAxis]:
    own = settings(source, place, table)
    load = {name: getattr(table, name) for name in LOADED if getattr(table, name) not in (None, [])}
    if "yahpo_data" in load:
        load["yahpo_data"] = whole_path(load["yahpo_data"], source.data)
    for name, text in _instances(source, place, table, load):
        called = name if table.name is None else table.name
        if table.name is not None and text != table.surrogate:  # one of several
            called = f"{table.name}/{text.rpartition('/')[2]}"
        loaded = {"surrogate": located(text, source.data), **load}
        yield SurrogateAxis(called, table.group, loaded, own, place)


def _instances(
    source: Source, place: Place, table: SurrogateTable, load: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """Yield name and text of the learning curves that a table means."""
    text = table.surrogate
    if not (text.startswith(SCENARIO) and text.endswith(EVERY)):
        yield text, text
        return
    from hbsim.surrogates.yahpo import instances

    scenario = text.removeprefix(SCENARIO).removesuffix(EVERY)
    try:
        names = instances(scenario, load.get("yahpo_data"))
    except (ParameterError, SurrogateError) as error:
        raise source.of(place, error) from None
    for instance in names:
        yield f"{scenario}/{instance}", f"{SCENARIO}{scenario}/{instance}"


# Clusters


def clusters(source: Source) -> list[ClusterAxis]:
    """Return the clusters; without any in the file a plain one, where nothing costs time.

    Raises
    ------
    ParameterError
        A cluster cannot be made, or names come twice.
    """
    place: Place = ("workers",)
    sizes = _counts(source, place, source.table.workers)
    tables = source.table.clusters
    if not tables:
        return [ClusterAxis(PLAIN, _sized(source, (), Cluster(), sizes), ())]
    found = [_cluster(source, ("clusters", number), table, sizes) for number, table in enumerate(tables)]
    _check_names(source, found)
    return found


def _cluster(source: Source, place: Place, table: ClusterTable, sizes: Sequence[int]) -> ClusterAxis:
    try:
        made = _made(source, table)
    except ParameterError as error:
        raise source.of(place, error) from None
    if table.workers is not None:
        sizes = _counts(source, (*place, "workers"), table.workers)
    elif made.names_workers or made.machines or made.trace or made.schedule:
        return ClusterAxis(table.name, ((made.workers, made),), place)  # it says how many itself
    return ClusterAxis(table.name, _sized(source, place, made, sizes), place)


def _made(source: Source, table: ClusterTable) -> Cluster:
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
    source: Source, place: Place, cluster: Cluster, sizes: Sequence[int]
) -> tuple[tuple[int, Cluster], ...]:
    try:
        return tuple((count, dataclasses.replace(cluster, workers=count)) for count in sizes)
    except ParameterError as error:
        raise source.of(place, error, {"workers": ("workers",)}) from None


def _counts(source: Source, place: Place, found: int | list[int]) -> tuple[int, ...]:
    counts = found if isinstance(found, list) else [found]
    if not counts or len(set(counts)) < len(counts) or min(counts) < 1:
        raise source.broken(place, "must be whole numbers of at least 1, each once", found)
    return tuple(counts)


SAID: Final = 5  # names in an error
SEARCH: Final = "search_options"
BUDGETS: Final = (("max_time", "max_full_runs"), ("max_full_runs", "max_time"))
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Names:
    """What a cell is called; `seed` is None for all seeds of a combination."""

    variant: str
    surrogate: str
    cluster: str
    workers: int
    seed: int | None = None


def matches(table: Where, names: Names) -> bool:
    """Return whether a cell has one of each: texts with ``*`` and ``?``, numbers exactly."""
    return could_match(table, names) and _is_number(getattr(table, "seed", None), names.seed)


def could_match(table: Where, names: Names) -> bool:
    """Return whether some seed of a combination may be one of these cells."""
    return (
        has_variant(table, names.variant)
        and _is_text(table.surrogate, names.surrogate)
        and _is_text(table.cluster, names.cluster)
        and _is_number(table.workers, names.workers)
    )


def has_variant(table: Where, name: str) -> bool:
    """Return whether it is about a variant, of some tasks."""
    return _is_text(table.variant, name)


def is_in(include: Sequence[Matches], exclude: Sequence[Matches], names: Names) -> bool:
    """Return whether a cell is one of the sweep's; without a seed, whether some seed of it may be."""
    if names.seed is None:
        included = not include or any(could_match(one, names) for one in include)
        return included and not any(one.seed is None and could_match(one, names) for one in exclude)
    included = not include or any(matches(one, names) for one in include)
    return included and not any(matches(one, names) for one in exclude)


def unmatched(source: Source, cells: Sequence[Names], seeds: Sequence[int]) -> None:
    """Check that each table is about some of all cells, and each name and number in it about one.

    Parameters
    ----------
    source : Source
        The specification.
    cells : sequence of Names
        All that variants, surrogates, clusters and workers make together.
    seeds : sequence of int
        All of them.

    Raises
    ------
    ParameterError
        Something in a table is not there: it is a misprint, surely.
    """
    table = source.table
    found: list[tuple[Place, Where]] = [(("include", at), one) for at, one in enumerate(table.include)]
    found += [(("exclude", at), one) for at, one in enumerate(table.exclude)]
    found += [(("override", at, "where"), one.where) for at, one in enumerate(table.override)]
    for place, where in found:
        for name in ("variant", "surrogate", "cluster"):
            there = dict.fromkeys(getattr(one, name) for one in cells)
            _check_texts(source, (*place, name), getattr(where, name), there)
        _check_numbers(source, (*place, "workers"), where.workers, {one.workers for one in cells})
        _check_numbers(source, (*place, "seed"), getattr(where, "seed", None), set(seeds))
        if not any(could_match(where, one) for one in cells):
            raise source.wrong(place, f"{dotted(place)}: there is no such cell, with one of each")


def _check_texts(source: Source, place: Place, wanted: str | list[str] | None, there: Iterable[str]) -> None:
    patterns = _listed(wanted)
    if wanted is not None and not patterns:
        raise source.broken(place, "must be at least one", [])
    names = list(there)
    for pattern in patterns:
        if not any(_is_like(name, pattern) for name in names):
            more = ", ..." if len(names) > SAID else ""
            near = _longer(pattern, names) or nearest(pattern, names)
            near = near or f" There are {', '.join(names[:SAID])}{more}"
            raise source.broken(place, f"there is no {place[-1]} {shown(pattern)}.{near}")


def _longer(pattern: str, names: Sequence[str]) -> str:
    """Say how to mean the names that begin like this."""
    is_begun = pattern and any(_is_like(name, f"{pattern}*") for name in names)
    return f" Did you mean {shown(f'{pattern}*')}?" if is_begun else ""


def _check_numbers(source: Source, place: Place, wanted: int | list[int] | None, there: set[int]) -> None:
    numbers = _listed(wanted)
    if wanted is not None and not numbers:
        raise source.broken(place, "must be at least one", [])
    for number in numbers:
        if number not in there:
            what = "seed" if place[-1] == "seed" else "number of workers"
            raise source.broken(place, f"there is no {what} {number}")


def _is_text(wanted: str | list[str] | None, name: str) -> bool:
    return wanted is None or any(_is_like(name, pattern) for pattern in _listed(wanted))


def _is_number(wanted: int | list[int] | None, number: int | None) -> bool:
    return wanted is None or number in _listed(wanted)


def _is_like(name: str, pattern: str) -> bool:
    # Brackets stand for themselves: only * and ? stand for others.
    return name == pattern or fnmatchcase(name, pattern.replace("[", "[[]"))


def _listed(wanted: T | list[T] | None) -> list[T]:
    if wanted is None:
        return []
    return wanted if isinstance(wanted, list) else [wanted]


@dataclass(frozen=True)
class Merged:
    """Settings, and the place of each in the specification."""

    values: Settings = field(default_factory=dict)
    places: Mapping[str, Place] = field(default_factory=dict)

    def over(self, own: Settings, table: Place) -> Merged:
        """Return these with others over them; of the two budgets of time the later one counts."""
        if SEARCH in own and SEARCH in self.values:  # option by option
            own = {**own, SEARCH: {**self.values[SEARCH], **own[SEARCH]}}
        values, places = {**self.values, **own}, {**self.places, **{name: (*table, name) for name in own}}
        for one, other in BUDGETS:
            if one in own and other in self.values:
                del values[other], places[other]
        return Merged(values, places)

    def get(self, name: str) -> Any:
        """Return a setting, None if there is none."""
        return self.values.get(name)


class Layers:
    """All tables with settings, the last word last: defaults, the surrogate's, overrides in their order.

    Raises
    ------
    ParameterError
        A table has what is no setting.
    """

    def __init__(self, source: Source) -> None:
        self._first = Merged().over(settings(source, ("defaults",), source.table.defaults), ("defaults",))
        self._overrides: list[tuple[Where, Place, Settings]] = [
            (one.where, ("override", at, "set"), settings(source, ("override", at, "set"), one.set))
            for at, one in enumerate(source.table.override)
        ]

    def of(self, names: Names, surrogate: SurrogateAxis) -> Merged:
        """Return what holds for a combination."""
        merged = self._first.over(surrogate.settings, surrogate.place)
        for where, place, own in self._overrides:
            if matches(where, names):
                merged = merged.over(own, place)
        return merged

    def tables(self) -> list[tuple[Where, Place, Settings]]:
        """Return the tables with settings, those of surrogates aside, and what each is for."""
        return [(Where(), ("defaults",), self._first.values), *self._overrides]
