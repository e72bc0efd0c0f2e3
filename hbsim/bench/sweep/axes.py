"""The axes of a sweep: its variants, learning curves, clusters and seeds, each with its name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar

from hbsim.bench.located import located
from hbsim.bench.sweep.schema import OPTIONS, STUDY
from hbsim.bench.sweep.source import Source
from hbsim.bench.sweep.words import meant_option
from hbsim.bench.variants import Value
from hbsim.simulation import Cluster
from hbsim.simulation.cluster_schema import Place

__all__ = [
    "ClusterAxis",
    "Settings",
    "SurrogateAxis",
    "VariantAxis",
    "check_names",
    "placed",
    "seeds",
    "settings",
    "some",
]

MOST: Final = 2**63 - 1  # of a seed, for the tables
MANY: Final = 1_000_000  # seeds
Settings: TypeAlias = Mapping[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class VariantAxis:
    """A scheduler and a searcher: its name, type and own options of both, and where the file has them."""

    name: str
    type: str
    own: Mapping[str, Value]
    searcher: str | None
    search_options: Mapping[str, Any]
    place: Place


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
        given["search_options"] = placed(given["search_options"], source)
    return {**given, **extra}


def placed(search_options: Mapping[str, Any], source: Source) -> dict[str, Any]:
    """Return the options of a searcher, with the whole path of a constraint's file."""
    constraint = search_options.get("constraints")
    if not isinstance(constraint, str):
        return dict(search_options)
    return {**search_options, "constraints": located(constraint, source.data)}


def seeds(source: Source) -> tuple[int, ...]:
    """Return the seeds: a number of them from 0 on, a list, or ``{first, count}``."""
    found = source.table.seeds
    if isinstance(found, list):
        listed: tuple[int, ...] | range = tuple(found)
    elif isinstance(found, int):
        listed = range(found)
    else:
        listed = range(found.first, found.first + found.count)
    if not 0 < len(listed) <= MANY or min(listed) < 0 or max(listed) > MOST:
        rule = f"must be 1 to {MANY:,} seeds, each a whole number of at least 0 and below 2^63"
        raise source.broken(("seeds",), rule)
    if len(set(listed)) < len(listed):
        raise source.broken(("seeds",), "must name each seed once")
    return tuple(listed)


def some(source: Source, name: str, found: list[T]) -> list[T]:
    """Return what was found, which is at least one."""
    if not found:
        raise source.broken((name,), "must be at least one", [])
    return found


def check_names(source: Source, axis: Iterable[VariantAxis | SurrogateAxis | ClusterAxis]) -> None:
    """Check that each name is there once, and is one."""
    seen: dict[str, Place] = {}
    for one in axis:
        place = (*one.place, "name")
        if not one.name.strip():
            raise source.broken(place, "must not be empty")
        if one.name in seen:
            rule = f"is the name of {'.'.join(map(str, seen[one.name]))} too; give each another one"
            raise source.broken(place, rule, one.name)
        seen[one.name] = one.place
