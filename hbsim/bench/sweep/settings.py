"""Which cells a table is about, and which settings hold for a variant on a task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final, TypeVar

from hbsim.bench.sweep.axes import Settings, SurrogateAxis, settings
from hbsim.bench.sweep.schema import Matches, Where
from hbsim.bench.sweep.source import Source
from hbsim.errors import nearest
from hbsim.toml_files import Place, dotted, shown

__all__ = ["SEARCH", "Layers", "Merged", "Names", "has_variant", "is_in", "unmatched"]

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
