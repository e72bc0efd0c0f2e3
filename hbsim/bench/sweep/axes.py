"""The axes of a sweep: its variants, learning curves, clusters, workers and seeds, each with its name."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from hbsim.bench.sweep.schema import LOADED, OPTIONS, STUDY, ClusterTable, SurrogateTable, VariantTable
from hbsim.bench.sweep.source import Source
from hbsim.bench.variants import Value, label
from hbsim.core.options import TYPES, meant
from hbsim.errors import ParameterError, SurrogateError, nearest
from hbsim.simulation import Cluster
from hbsim.simulation.cluster_schema import Place, shown

__all__ = ["ClusterAxis", "Settings", "SurrogateAxis", "VariantAxis", "clusters", "seeds", "settings",
           "surrogates", "variants", "workers"]  # fmt: skip

PLAIN: Final = "plain"  # the cluster of a file that names none
EVERY: Final = "/*"  # all instances of a scenario
Settings = Mapping[str, Value]
T = TypeVar("T")


@dataclass(frozen=True)
class VariantAxis:
    """A scheduler: its name, type and own options, and where the file has them."""

    name: str
    type: str
    own: Mapping[str, Value]
    searcher: str | None
    place: Place


@dataclass(frozen=True)
class SurrogateAxis:
    """Learning curves: keywords of `hbsim.surrogates.load`, and settings for them only."""

    name: str
    group: str
    load: Mapping[str, Any]
    settings: Settings
    place: Place


@dataclass(frozen=True)
class ClusterAxis:
    """A cluster, and the numbers of workers that it is taken with."""

    name: str
    sizes: tuple[tuple[int, Cluster], ...]
    place: Place


def settings(source: Source, place: Place, found: Mapping[str, Any]) -> dict[str, Value]:
    """Return the settings of a table that were given; those that are no option of a scheduler are errors."""
    given = {name: value for name, value in found.items() if value is not None}
    for name, value in given.items():
        if name not in (*STUDY, *OPTIONS):
            at = (*place, name)
            known = (*STUDY, *OPTIONS)
            rule = f"{_dotted(at)} = {shown(value)}: is no field here.{nearest(name, known)}"
            raise source.wrong(at, rule)
    return given


# Variants


def variants(source: Source) -> list[VariantAxis]:
    """Return the variants, those of `vary` one by one."""
    found: list[VariantAxis] = []
    for number, table in enumerate(source.table.variants):
        found += _variants(source, ("variants", number), table)
    _check_names(source, found)
    return _some(source, "variants", found)


def _variants(source: Source, place: Place, table: VariantTable) -> Iterable[VariantAxis]:
    if table.type not in TYPES:
        kinds = f"must be one of {', '.join(TYPES)}.{meant(table.type)}"
        at = (*place, "type")
        raise source.wrong(at, f"{_dotted(at)} = {shown(table.type)}: {kinds}")
    own: dict[str, Value] = dict(table.model_extra or {})
    for name, value in own.items():
        _check_option(source, (*place, name), table.type, name, value)
    for name, values in table.vary.items():
        at = (*place, "vary", name)
        _check_option(source, at, table.type, name, values)
        if name in own:
            raise source.wrong(at, f"{_dotted(at)}: {name} is set for the variant already")
        if not values or len(set(map(repr, values))) < len(values):
            raise source.wrong(at, f"{_dotted(at)} = {shown(values)}: must be different values")
    for picked in itertools.product(*table.vary.values()):
        varied = dict(zip(table.vary, picked, strict=True))
        name = label(table.type, {**own, **varied}) if table.name is None else label(table.name, varied)
        yield VariantAxis(name, table.type, {**own, **varied}, table.searcher, place)


def _check_option(source: Source, place: Place, type: str, name: str, value: object) -> None:
    if name in OPTIONS and name in TYPES[type]:
        return
    takes = [option for option in OPTIONS if option in TYPES[type]]
    if name in ("trials", "num_trials", "max_t", "max_time", "max_full_runs", "replace", "mode", "seed"):
        rule = "is the same for all variants of a task: set it in [defaults], [[surrogates]] or [[override]]"
        rule = f"{name} is the surrogate's" if name == "mode" else rule
        rule = "seeds are the sweep's: seeds = ..." if name == "seed" else rule
    else:
        rule = f"is no option of type {type!r}.{nearest(name, takes)}"
    raise source.wrong(place, f"{_dotted(place)} = {shown(value)}: {rule}")


# Learning curves


def surrogates(source: Source) -> list[SurrogateAxis]:
    """Return the learning curves; of ``yahpo:SCENARIO/*`` every instance."""
    found: list[SurrogateAxis] = []
    for number, table in enumerate(source.table.surrogates):
        found += _surrogates(source, ("surrogates", number), table)
    _check_names(source, found)
    return _some(source, "surrogates", found)


def _surrogates(source: Source, place: Place, table: SurrogateTable) -> Iterable[SurrogateAxis]:
    extra = settings(source, place, table.model_extra or {})
    own = {**{name: getattr(table, name) for name in STUDY if getattr(table, name) is not None}, **extra}
    load = {name: getattr(table, name) for name in LOADED if getattr(table, name) not in (None, [])}
    if "yahpo_data" in load:
        load["yahpo_data"] = os.path.join(source.data, load["yahpo_data"])
    for name, text in _instances(source, place, table, load):
        called = name if table.name is None else table.name
        if table.name is not None and name != text:  # one of several
            called = f"{table.name}/{text.rpartition('/')[2]}"
        group = called if table.group is None else table.group
        yield SurrogateAxis(called, group, {"surrogate": _located(source, text), **load}, own, place)


def _instances(
    source: Source, place: Place, table: SurrogateTable, load: Mapping[str, Any]
) -> Iterable[tuple[str, str]]:
    """Yield name and text of the learning curves that a table means."""
    text = table.surrogate
    if not (text.startswith("yahpo:") and text.endswith(EVERY)):
        yield text, text
        return
    from hbsim.surrogates.yahpo import instances

    scenario = text.removeprefix("yahpo:").removesuffix(EVERY)
    try:
        names = instances(scenario, load.get("yahpo_data"))
    except (ParameterError, SurrogateError) as error:
        raise source.of(place, error) from None
    for instance in names:
        yield f"{scenario}/{instance}", f"yahpo:{scenario}/{instance}"


def _located(source: Source, text: str) -> str:
    """Return what `load` takes, with a relative path from where the sweep's paths start."""
    first, colon, rest = text.partition(":")
    if first == "fit" and colon:
        return f"fit:{_from(source.data, rest)}"
    path, colon, name = text.rpartition(":")
    if colon and path.endswith(".py"):
        return f"{_from(source.data, path)}:{name}"
    return _from(source.data, text) if text.endswith((".npz", ".csv", ".parquet")) else text


def _from(folder: str, path: str) -> str:
    return os.path.join(folder, path)


# Clusters and workers


def clusters(source: Source) -> list[ClusterAxis]:
    """Return the clusters; without any in the file a plain one, where nothing costs time."""
    sizes = workers(source)
    tables = source.table.clusters
    if not tables:
        return [ClusterAxis(PLAIN, tuple((n, Cluster(workers=n)) for n in sizes), ())]
    found = [_cluster(source, ("clusters", number), table, sizes) for number, table in enumerate(tables)]
    _check_names(source, found)
    return found


def _cluster(source: Source, place: Place, table: ClusterTable, sizes: Sequence[int]) -> ClusterAxis:
    from hbsim.simulation.cluster_file import read
    from hbsim.simulation.machines import Machines

    fields = table.model_dump(exclude_unset=True, exclude={"name", "cluster", "workers", "about"})
    own = table.workers
    if own is not None:
        sizes = _counts(source, (*place, "workers"), own)
    try:
        if "machines" in fields:
            fields["machines"] = [Machines(**kind) for kind in fields["machines"]]
        if "trace" in fields:
            fields["trace"] = os.path.join(source.folder, fields["trace"])
        if table.cluster is None:
            made = Cluster(**fields)
        else:
            path = os.path.join(source.folder, table.cluster)
            made = read(path if os.path.isfile(path) else table.cluster).make(fields)
        # What names its workers itself, by machines or a trace, keeps that number.
        fixed = own is None and (made.names_workers or made.machines or made.trace or made.schedule)
        if fixed:
            return ClusterAxis(table.name, ((made.workers, made),), place)
        return ClusterAxis(table.name, tuple((n, dataclasses.replace(made, workers=n)) for n in sizes), place)
    except ParameterError as error:
        raise source.of(place, error) from None


def workers(source: Source) -> tuple[int, ...]:
    """Return the numbers of workers."""
    return _counts(source, ("workers",), source.table.workers)


def _counts(source: Source, place: Place, found: int | list[int]) -> tuple[int, ...]:
    counts = found if isinstance(found, list) else [found]
    if not counts or len(set(counts)) < len(counts) or min(counts) < 1:
        rule = "must be whole numbers of at least 1, each once"
        raise source.wrong(place, f"{_dotted(place)} = {shown(found)}: {rule}")
    return tuple(counts)


def seeds(source: Source) -> tuple[int, ...]:
    """Return the seeds: a number of them from 0 on, a list, or ``{first, count}``."""
    found = source.table.seeds
    if isinstance(found, list):
        listed = tuple(found)
    elif isinstance(found, int):
        listed = tuple(range(found))
    else:
        listed = tuple(range(found.first, found.first + found.count))
    if not listed or len(set(listed)) < len(listed) or min(listed) < 0:
        given = found if isinstance(found, int | list) else found.model_dump()
        rule = "must be at least one seed, each a whole number of at least 0, once"
        raise source.wrong(("seeds",), f"seeds = {shown(given)}: {rule}")
    return listed


def _some(source: Source, name: str, found: list[T]) -> list[T]:
    if not found:
        raise source.wrong((name,), f"{name} = []: must be at least one")
    return found


def _check_names(source: Source, axis: Iterable[VariantAxis | SurrogateAxis | ClusterAxis]) -> None:
    seen: set[str] = set()
    for one in axis:
        if not one.name.strip():
            raise source.wrong(one.place, f"{_dotted(one.place)}.name = {shown(one.name)}: must not be empty")
        if one.name in seen:
            rule = f"{_dotted(one.place)} is called {shown(one.name)}, as one before; give each a name"
            raise source.wrong(one.place, rule)
        seen.add(one.name)


def _dotted(place: Place) -> str:
    return ".".join(map(str, place))
