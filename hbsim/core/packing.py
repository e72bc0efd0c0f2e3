"""Rungs in plain JSON types, and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf
from typing import cast

__all__ = ["integers", "pack_rungs", "pack_values", "unpack_rungs", "unpack_values"]


def integers(value: object) -> list[int]:
    """Return a list of integers out of a state."""
    return [int(item) for item in cast(list[int], value)]


def pack_values(values: Sequence[float]) -> list[float | None]:
    """Return signed values; what is no number is None."""
    return [None if value == -inf else value for value in values]


def unpack_values(packed: object) -> list[float]:
    """Return what `pack_values` was given."""
    return [-inf if value is None else float(value) for value in cast(list[float | None], packed)]


def pack_rungs(rungs: Iterable[tuple[list[float], list[int]]]) -> list[dict[str, object]]:
    """Return rungs, each its values and its trials, in JSON types."""
    return [{"values": pack_values(values), "trials": list(trials)} for values, trials in rungs]


def unpack_rungs(packed: object) -> list[tuple[list[float], list[int]]]:
    """Return what `pack_rungs` was given."""
    rungs = cast(list[dict[str, object]], packed)
    return [(unpack_values(rung["values"]), integers(rung["trials"])) for rung in rungs]
