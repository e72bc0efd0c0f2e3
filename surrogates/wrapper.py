"""What all wrappers share: a surrogate around another one.

After the experimenters of Open Source Vizier's benchmarks (Song and others, AutoML 2022), which wrap each
other: noise, a sign flip, and failures that are drawn from the parameters and a seed.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hbsim.core.types import Mode
from hbsim.errors import ParameterError
from hbsim.surrogates import hashing
from hbsim.surrogates.options import check_number
from hbsim.surrogates.protocol import Floats, Ints, check_points, check_rows

__all__ = ["SEPARATOR", "Wrapper", "check_seed", "configuration_keys", "points_or_rows"]

SEPARATOR = " + "  # between the parts of a name


class Wrapper:
    """A surrogate around another one; what a wrapper does not say is as in the one that it wraps.

    Parameters
    ----------
    surrogate : Surrogate
        Or anything else that `hbsim.surrogates.load` takes.
    word : str
        What the wrapper is called in `load(..., wrap=[...])`.
    options : mapping of str to value
        What it was made with; those that are not its defaults stand in the name.

    Attributes
    ----------
    wrapped : Surrogate
        The one within.
    name : str
        The name of the one within, and behind a plus what `load(..., wrap=[...])` makes the same
        wrapper from: ``digits + noise:std=0.02``.
    best_configuration : array, shape (d,), or None
        Where the optimum at `max_resource` is attained; None where that is not known.
    """

    def __init__(self, surrogate: object, word: str, options: Mapping[str, object]) -> None:
        from hbsim.surrogates.registry import load  # which knows the wrappers

        self.wrapped = load(surrogate)
        self.name = self.wrapped.name + SEPARATOR + self._text(word, options)
        self.metric = self.wrapped.metric
        self.mode: Mode = self.wrapped.mode
        self.max_resource = self.wrapped.max_resource
        self.resources = self.wrapped.resources
        self.rows = self.wrapped.rows
        self.space = self.wrapped.space
        self.best_configuration: Floats | None = getattr(self.wrapped, "best_configuration", None)
        self._best_of_rows: dict[float, float | None] = {}

    @property
    def points(self) -> Floats | None:
        """The rows within as points of the unit cube, shape (rows, d); None where they are not known."""
        points: Floats | None = getattr(self.wrapped, "points", None)
        return points

    def evaluate(self, configurations: Floats | Ints, levels: Floats) -> tuple[Floats, Floats]:
        """Return the metric and cumulative seconds, shapes (n, m), as `Surrogate.evaluate`."""
        return self.wrapped.evaluate(configurations, levels)

    def optimum(self, level: float) -> float | None:
        """Return the best value of the metric in the whole space at `level`, None where it is unknown."""
        return self.wrapped.optimum(level)

    def test_values(self, configurations: Floats | Ints, level: float) -> Floats | None:
        """Return the held-out metric at `level`, shape (n,), None where there is none."""
        return self.wrapped.test_values(configurations, level)

    def best_of_rows(self, level: float) -> float | None:
        """Return the best finite value of all rows at `level`; None where there is none, or no rows."""
        if self.rows is None:
            return None
        level = float(level)
        if level not in self._best_of_rows:
            values, _ = self.evaluate(np.arange(self.rows), np.array([level]))
            finite = values[np.isfinite(values)]
            pick = np.max if self.mode == "max" else np.min
            self._best_of_rows[level] = float(pick(finite)) if finite.size else None
        return self._best_of_rows[level]

    def _text(self, word: str, options: Mapping[str, object]) -> str:
        defaults = type(self).__init__.__kwdefaults__ or {}
        changed = {name: value for name, value in options.items() if value != defaults[name]}
        items = [f"{name}={_shown(value)}" for name, value in changed.items()]
        return word + (":" + ",".join(items) if items else "")


def _shown(value: object) -> str:
    """Return an option as it is written: ``true``, and ``3`` for 3.0."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value).removesuffix(".0")


def check_seed(seed: int, field: str = "seed") -> int:
    """Return a seed, a whole number of at least 0, or raise a ParameterError."""
    return int(check_number(field, seed, low=0, high=2**53, whole=True))


def points_or_rows(surrogate: Wrapper, configurations: Floats | Ints) -> Floats:
    """Return what a configuration is, as floats: points, shape (n, d); or row numbers, shape (n, 1).

    Raises
    ------
    ParameterError
        The shape is another, or there is no such row.
    """
    if surrogate.rows is not None:
        return check_rows(configurations, surrogate.rows).astype(np.float64)[:, None]
    if surrogate.space is None:
        raise ParameterError("surrogate", surrogate.name, "needs a space, or rows")
    return surrogate.space.settled(check_points(configurations, surrogate.space.dimension))


def configuration_keys(
    surrogate: Wrapper, configurations: Floats | Ints, seed: int, purpose: int
) -> hashing.Keys:
    """Return a key a configuration, shape (n,), for one purpose: the same in any block."""
    return hashing.float_keys(points_or_rows(surrogate, configurations), hashing.scalar_key(seed, purpose))
