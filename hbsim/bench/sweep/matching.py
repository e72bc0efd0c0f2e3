"""Which cells a table of a sweep's file is about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TypeVar

from hbsim.bench.sweep.schema import Matches

__all__ = ["Names", "matches"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Names:
    """What a cell is called; `seed` is None for all seeds of a combination."""

    variant: str
    surrogate: str
    cluster: str
    workers: int
    seed: int | None = None


def matches(table: Matches, names: Names) -> bool:
    """Return whether a cell has one of each: texts with ``*`` and ``?``, numbers exactly.

    A table that names seeds does not match a combination without one.
    """
    texts = (
        (table.variant, names.variant),
        (table.surrogate, names.surrogate),
        (table.cluster, names.cluster),
    )
    numbers = ((table.workers, names.workers), (table.seed, names.seed))
    return all(
        wanted is None or any(name == one or fnmatchcase(name, _plain(one)) for one in _several(wanted))
        for wanted, name in texts
    ) and all(wanted is None or number in _several(wanted) for wanted, number in numbers)


def _plain(pattern: str) -> str:
    """Return the pattern with brackets as themselves: only * and ? stand for others."""
    return pattern.replace("[", "[[]")


def _several(value: T | list[T]) -> Iterable[T]:
    return value if isinstance(value, list) else [value]
