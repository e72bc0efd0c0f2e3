"""Surrogates for tests: small tables whose seconds are dyadic, so that sums of times are exact and tie."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hbsim.surrogates import Surrogate
from hbsim.surrogates.protocol import Floats, Ints

STEP = 2.0**-20
TIED = np.array([0.0, 1.0, 1.0, 2.0, 2.0, 3.0])
ODD = np.array([0.0, 1.0, 2.0, np.nan, np.inf, -np.inf])


class Grid:
    """Rows of random values, tied or odd if wanted; a unit takes a quarter of a second or more.

    Parameters
    ----------
    kind : str
        ``"random"``, ``"tied"``, ``"odd"`` (NaN and infinities) or ``"flat"``, one value a row.
    costs : sequence of float
        Seconds a unit, of a random row each, at every level rounded down to multiples of `step`.
    step : float
        Large ones make stretches that take no time.
    """

    metric = "score"
    max_resource = 1e6

    def __init__(
        self, kind: str, seed: int, rows: int, mode: str, costs: tuple[float, ...], step: float = 2.0**-10
    ) -> None:
        self.kind, self.mode, self.rows, self.step = kind, mode, rows, step
        generator = np.random.default_rng(seed)
        pool = {"tied": TIED, "odd": ODD}.get(kind)
        self._table = generator.random((rows, 16)) if pool is None else generator.choice(pool, (rows, 16))
        if kind == "flat":
            self._table[:] = self._table[:, :1]
        self._costs = generator.choice(np.array(costs), rows)

    def evaluate(self, configurations: Ints, levels: Floats) -> tuple[Floats, Floats]:
        columns = np.floor(levels * 10).astype(int) % 16
        values = self._table[configurations][:, columns]
        steps = np.floor(self._costs[configurations][:, None] * levels / self.step)
        seconds = 0.25 + steps * self.step
        return values, seconds

    def optimum(self, level: float) -> float | None:
        values = self._table[:, int(np.floor(level * 10)) % 16]
        values = values[np.isfinite(values)]
        if not len(values):
            return None
        return float(values.max() if self.mode == "max" else values.min())


class Rounded:
    """Another surrogate with its seconds rounded to multiples of 2**-20: their sums are exact."""

    def __init__(self, inner: Surrogate) -> None:
        self.inner = inner
        self.name, self.metric, self.mode = inner.name, inner.metric, inner.mode
        self.max_resource, self.resources = inner.max_resource, inner.resources
        self.rows, self.space = inner.rows, inner.space

    def evaluate(self, configurations: Floats | Ints, levels: Floats) -> tuple[Floats, Floats]:
        values, seconds = self.inner.evaluate(configurations, levels)
        return values, np.round(seconds / STEP) * STEP

    def optimum(self, level: float) -> float | None:
        return self.inner.optimum(level)


class Formula:
    """A surrogate given by two functions of (row, level)."""

    metric = "score"
    max_resource = 1e6

    def __init__(
        self,
        value: Callable[[Any, Any], Any],
        seconds: Callable[[Any, Any], Any] = lambda row, level: level + 0.0 * row,
        rows: int = 1000,
        mode: str = "max",
    ) -> None:
        self.value, self.seconds = value, seconds
        self.rows, self.mode = rows, mode

    def evaluate(self, configurations: Ints, levels: Floats) -> tuple[Floats, Floats]:
        row, level = configurations[:, None].astype(float), levels[None, :]
        shape = (len(configurations), len(levels))
        return np.broadcast_to(self.value(row, level), shape), np.broadcast_to(
            self.seconds(row, level), shape
        )


class Rows:
    """A searcher that takes the rows in their own order: trial i is row i."""

    model_based = False
    listens = False

    def __init__(self) -> None:
        self.asked = 0

    def suggest(self, n: int) -> Ints:
        self.asked += n
        return np.arange(self.asked - n, self.asked, dtype=np.int64)

    def register_pending(self, trial: int, level: float) -> None: ...

    def observe(self, trial: int, level: float, value: float | None) -> None: ...

    def forget(self, trial: int) -> None: ...
