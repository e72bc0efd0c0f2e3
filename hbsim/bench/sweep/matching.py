"""Which cells a table of a sweep's file is about."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from hbsim.bench.sweep.schema import Matches

__all__ = ["Names", "matches"]


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
    return all(wanted is None or _is_text(name, wanted) for wanted, name in texts) and all(
        wanted is None or _is_number(number, wanted) for wanted, number in numbers
    )


def _is_text(name: str, wanted: str | list[str]) -> bool:
    patterns = wanted if isinstance(wanted, list) else [wanted]
    return any(name == pattern or fnmatchcase(name, _plain(pattern)) for pattern in patterns)


def _is_number(number: int | None, wanted: int | list[int]) -> bool:
    return number in (wanted if isinstance(wanted, list) else [wanted])


def _plain(pattern: str) -> str:
    """Return the pattern with brackets as themselves: only * and ? stand for others."""
    return pattern.replace("[", "[[]")
