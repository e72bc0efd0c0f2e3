"""How many of n trials a rung lets through, by stopping rule: exactly, and as hbsim's own rungs decide."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hbsim.core.rungs import RULES

__all__ = ["Count", "chance", "count", "exact", "exact_rows", "kind_rows", "simulated_rows"]

Floats: TypeAlias = NDArray[np.float64]
Row: TypeAlias = dict[str, Any]

SIZES: Final = (9, 27, 256)
ETAS: Final = (2, 3, 4)
ORDERS: Final = {9: 10_000, 27: 10_000, 256: 2_000}
KIND_SIZE: Final = 256
KIND_ETA: Final = 3
SEED: Final = 20_180


def chance(rule: str, n: int, eta: Fraction) -> Fraction:
    """Return the chance that the n-th value at a rung goes on, where values differ and come in random order.

    Its rank among n is then each of 1 to n with the same chance. For `quantile` the values are uniform: a
    new one lies above the order statistic j of m with chance 1 - j / (m + 1), and its cutoff lies between
    two of them; for the other rules the values' distribution does not matter.

    Parameters
    ----------
    rule : str
        One of `hbsim.core.rungs.RULES`.
    n : int
        How many values are recorded, this one included; at least 1.
    eta : Fraction
        The reduction factor.
    """
    if n == 1:
        return Fraction(1)
    share = 1 / eta
    if rule == "quantile":
        return 1 - ((n - 2) * (1 - share) + 1) / n
    if rule == "quantile-inclusive":
        return Fraction(n - math.ceil((n - 1) * (1 - share)), n)
    if rule == "rank":
        return Fraction(min(n, math.floor(n * share) + 1), n)
    return Fraction(max(1, math.floor(n * share)), n)


def exact(rule: str, n: int, eta: Fraction) -> Fraction:
    """Return how many of n go on, on average; see `chance`."""
    return sum((chance(rule, i, eta) for i in range(1, n + 1)), Fraction(0))


@dataclass(frozen=True)
class Count:
    """How many of n values went on, over random orders.

    Attributes
    ----------
    mean, error : float
        The mean, and its standard error.
    """

    mean: float
    error: float


def count(rule: str, eta: Fraction, values: Floats) -> Count:
    """Let hbsim's rungs decide on values, shape (orders, n), of which larger is better; -inf is no number."""
    totals = []
    for order in values.tolist():
        cut = RULES[rule](eta)
        totals.append(sum(map(cut.decide, order)))
    spread = float(np.std(totals, ddof=1))
    return Count(math.fsum(totals) / len(totals), spread / math.sqrt(len(totals)))


def _improving(draw: np.random.Generator, shape: tuple[int, int]) -> Floats:
    return draw.random(shape) + np.arange(shape[1]) / shape[1]


# What values may look like: from a generator and a shape to values, of which larger is better.
KINDS: Final[dict[str, Callable[[np.random.Generator, tuple[int, int]], Floats]]] = {
    "uniform": lambda draw, shape: draw.random(shape),
    "normal": lambda draw, shape: draw.standard_normal(shape),
    "losses with a heavy tail (lognormal, σ = 2)": lambda draw, shape: -draw.lognormal(0.0, 2.0, shape),
    "ten different values": lambda draw, shape: draw.integers(0, 10, shape).astype(np.float64),
    "two different values": lambda draw, shape: draw.integers(0, 2, shape).astype(np.float64),
    "one in ten is no number": lambda draw, shape: _lost(draw, shape, 0.1),
    "seven in ten are no numbers": lambda draw, shape: _lost(draw, shape, 0.7),
    "improving: from 0 to 1 at first, from 1 to 2 at last": _improving,
}


def _lost(draw: np.random.Generator, shape: tuple[int, int], share: float) -> Floats:
    values = draw.random(shape)
    values[draw.random(shape) < share] = -math.inf
    return values


def exact_rows() -> Iterator[Row]:
    """Give a row an eta and a size: what each rule lets through, exactly."""
    for eta in ETAS:
        for n in SIZES:
            yield {"eta": eta, "n": n, "exact": {r: float(exact(r, n, Fraction(eta))) for r in RULES}}


def simulated_rows() -> Iterator[Row]:
    """Give the rows of `exact_rows` with what hbsim's rungs let through in random orders."""
    for row in exact_rows():
        eta, n = row["eta"], row["n"]
        values = np.random.default_rng((SEED, eta, n)).random((ORDERS[n], n))
        found = {rule: _plain(count(rule, Fraction(eta), values)) for rule in RULES}
        yield {**row, "orders": ORDERS[n], "simulated": found}


def kind_rows() -> Iterator[Row]:
    """Give a row a kind of values: what each rule lets through of `KIND_SIZE`, at `KIND_ETA`."""
    for place, (kind, draw) in enumerate(KINDS.items()):
        values = draw(np.random.default_rng((SEED, 0, place)), (ORDERS[KIND_SIZE], KIND_SIZE))
        found = {rule: _plain(count(rule, Fraction(KIND_ETA), values)) for rule in RULES}
        yield {
            "kind": kind,
            "n": KIND_SIZE,
            "eta": KIND_ETA,
            "orders": ORDERS[KIND_SIZE],
            "simulated": found,
        }


def _plain(found: Count) -> dict[str, float]:
    return {"mean": found.mean, "error": found.error}
