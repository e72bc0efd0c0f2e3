"""Rungs in plain JSON types, and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf, isfinite
from typing import cast

__all__ = [
    "integer",
    "integers",
    "number",
    "pack_rungs",
    "pack_values",
    "pairs",
    "unpack_rungs",
    "unpack_values",
]


def integers(value: object) -> list[int]:
    """Return a list of integers out of a state."""
    return [integer(item) for item in _items(value)]


def integer(item: object) -> int:
    """Return an integer out of a state."""
    if type(item) is not int:
        raise TypeError(f"{item!r} is no whole number")
    return item


def number(item: object) -> float:
    """Return a finite number out of a state, whole ones as they are."""
    if type(item) is not int and type(item) is not float:
        raise TypeError(f"{item!r} is no number")
    if not isfinite(item):
        raise ValueError(f"{item!r} is not finite")
    return item


def pairs(value: object) -> dict[int, object]:
    """Return a dict out of a state that has it as pairs; no key is there twice."""
    found = {integer(key): item for key, item in map(_items, _items(value))}
    if len(found) < len(_items(value)):
        raise ValueError("a trial is named twice")
    return found


def _items(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is no list")
    return value


def pack_values(values: Sequence[float]) -> list[float | None]:
    """Return signed values; what is no number is None."""
    return [None if value == -inf else value for value in values]


def unpack_values(packed: object) -> list[float]:
    """Return what `pack_values` was given."""
    return [-inf if value is None else float(number(value)) for value in _items(packed)]


def pack_rungs(rungs: Iterable[tuple[list[float], list[int]]]) -> list[dict[str, object]]:
    """Return rungs, each its values and its trials, in JSON types."""
    return [{"values": pack_values(values), "trials": list(trials)} for values, trials in rungs]


def unpack_rungs(packed: object, count: int) -> list[tuple[list[float], list[int]]]:
    """Return what `pack_rungs` was given, of a scheduler with so many trials."""
    rungs = cast(list[dict[str, object]], _items(packed))
    found = [(unpack_values(rung["values"]), integers(rung["trials"])) for rung in rungs]
    for _, trials in found:
        if trials and not 0 <= min(trials) <= max(trials) < count:
            raise ValueError(f"a rung has a trial that is none of the {count}")
    return found
