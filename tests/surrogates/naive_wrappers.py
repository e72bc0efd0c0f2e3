"""Wrappers written slowly: one configuration and one level at a time, hashes in whole numbers."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

MASK = (1 << 64) - 1
Options = Mapping[str, object]


def splitmix(z: int) -> int:
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def bits(number: float) -> int:
    return int.from_bytes(struct.pack("<d", number + 0.0), "little")


def key(*parts: int | float) -> int:
    found = 0
    for part in parts:
        found = splitmix(
            (found + (part if isinstance(part, int) else bits(part)) + 0x9E3779B97F4A7C15) & MASK
        )
    return found


def key_of(configuration: Sequence[float], *purpose: int) -> int:
    total = key(*purpose)
    for place, number in enumerate(configuration):
        total += bits(number) * (key(place) | 1)
    return splitmix(total & MASK)


def uniform(number: int) -> float:
    return (number >> 11) * 2.0**-53


def normal(number: int) -> float:
    total = sum((number >> shift) & 0xFFFF for shift in (0, 16, 32, 48))
    return (float(total) - 131070.0) * (1.0 / ((65536.0**2 - 1.0) / 3.0) ** 0.5)


@dataclass
class Naive:
    """Curves as a function of one configuration and one level.

    `places` gives the place of a configuration along a parameter; `all` is all rows, None for a space.
    """

    mode: str
    top: float
    levels: Sequence[float] | None
    all: Sequence[Sequence[float]] | None
    places: Callable[[Sequence[float], str], float]
    real: Sequence[int]
    value: Callable[[Sequence[float], float], float]
    seconds: Callable[[Sequence[float], float], float]


def wrap(curves: Naive, name: str, o: Options) -> Naive:
    return {"noise": noise, "negate": negate, "cost": cost, "corrupt": corrupt, "delay": delay}[name](
        curves, o
    )


def changed(curves: Naive, **changes: object) -> Naive:
    return Naive(**{**vars(curves), **changes})  # type: ignore[arg-type]


def noise(curves: Naive, o: Options) -> Naive:
    def value(configuration, level):
        drawn = normal(
            splitmix((key_of(configuration, o["seed"], 11) + key(key(o["seed"], 12), level)) & MASK)
        )
        std = o["std"] * (1.0 - level / curves.top) if o["fade"] else o["std"]
        return curves.value(configuration, level) + drawn * std

    return changed(curves, value=value)


def negate(curves: Naive, o: Options) -> Naive:
    mode = "min" if curves.mode == "max" else "max"
    return changed(curves, mode=mode, value=lambda c, level: 0.0 - curves.value(c, level))


def cost(curves: Naive, o: Options) -> Naive:
    def seconds(configuration, level):
        given = curves.seconds(configuration, level)
        if o["spread"] == 1.0:
            return given * o["factor"]
        drawn = uniform(key_of(configuration, o["seed"], 21))
        place = drawn if o["parameter"] is None else curves.places(configuration, o["parameter"])
        return given * (2.0 * o["factor"] / (1.0 + o["spread"]) * (1.0 + (o["spread"] - 1.0) * place))

    return changed(curves, seconds=seconds)


def corrupt(curves: Naive, o: Options) -> Naive:
    def value(configuration, level):
        bad = level >= o["from_level"] and corrupted(curves, o, configuration)
        return math.nan if bad else curves.value(configuration, level)

    return changed(curves, value=value)


def corrupted(curves: Naive, o: Options, configuration: Sequence[float]) -> bool:
    share, seed = o["share"], o["seed"]
    if o["parameter"] is not None:
        place = curves.places(configuration, o["parameter"])
        return place < share if o["end"] == "low" else place > 1.0 - share
    if curves.all is not None:
        order = sorted(curves.all, key=lambda row: key_of(row, seed, 31))
        return (order.index(configuration) + 0.5) / len(order) < share
    chosen = sorted(sorted(curves.real, key=lambda column: key(seed, 33, column))[:2])
    side = share if len(chosen) == 1 else math.sqrt(share)
    for column in chosen:
        offset = configuration[column] - uniform(key(seed, 34, column))
        if not (offset + 1.0 if offset < 0.0 else offset) < side:
            return False
    return True


def delay(curves: Naive, o: Options) -> Naive:
    first = curves.levels[0] if curves.levels else min(1.0, curves.top)

    def value(configuration, level):
        source = level if level <= first else max(first, level - o["units"])
        if curves.levels is None or source in curves.levels:
            return curves.value(configuration, source)
        low = max(at for at in curves.levels if at < source)
        high = min(at for at in curves.levels if at > source)
        lower, upper = curves.value(configuration, low), curves.value(configuration, high)
        if lower == upper:
            return lower
        with np.errstate(all="ignore"):
            return float(lower + (np.float64(upper) - lower) * ((source - low) / (high - low)))

    return changed(curves, value=value)
