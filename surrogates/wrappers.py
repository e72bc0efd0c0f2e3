"""Wrappers of curves, for noise, the other sign, cost, delay and half of the rows, and their texts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np

from hbsim.core.streams import Purpose, block_generator
from hbsim.errors import ParameterError, nearest
from hbsim.surrogates import hashing
from hbsim.surrogates.options import Parsers, check_number, parse_options
from hbsim.surrogates.protocol import Floats, Ints, Surrogate, check_rows
from hbsim.surrogates.wrap_corrupted import Corrupted
from hbsim.surrogates.wrapper import Wrapper, axis_of, check_seed, configuration_keys

_CONFIGURATION: Final = 11  # the purposes of draws: no two share a key
_LEVEL: Final = 12


class Noisy(Wrapper):
    """Noise on every value, a pure function of configuration, level and seed.

    It is nearly normal, at most 3.5 standard deviations, and independent between levels. Nothing is cut
    off: an accuracy may exceed 1. NaN stays, and so does the held-out metric: it shows what the noise
    costs.

    Parameters
    ----------
    surrogate : Surrogate
        Or anything else that `hbsim.surrogates.load` takes.
    std : float
        Standard deviation, in units of the metric, at least 0.
    fade : bool
        Whether the noise falls linearly, from `std` at level 0 to nothing at `max_resource`. Then the optimum
        there is that of the wrapped curves. Otherwise it is the best of the noisy values, which is known
        for rows only.
    seed : int
        The seed of the draws. Two wrappers with the same seed draw the same.

    Raises
    ------
    ParameterError
        A parameter breaks its rule.
    """

    def __init__(self, surrogate: object, *, std: float = 0.01, fade: bool = False, seed: int = 0) -> None:
        super().__init__(surrogate, "noise")
        if not isinstance(fade, bool):
            raise ParameterError("fade", fade, "must be True or False")
        self.std = check_number("std", std, low=0.0)
        self.fade = fade
        self.seed = check_seed(seed)
        self._key = hashing.scalar_key(self.seed, _LEVEL)
        if not self._exact(self.max_resource):
            self.best_configuration = None

    def evaluate(self, configurations: Floats | Ints, levels: Floats) -> tuple[Floats, Floats]:
        """Return the noisy metric and cumulative seconds, shapes (n, m)."""
        values, seconds = self.wrapped.evaluate(configurations, levels)
        levels = np.asarray(levels, dtype=np.float64)
        keys = configuration_keys(self, configurations, self.seed, _CONFIGURATION)
        noise = hashing.normal(hashing.combine(keys, levels, self._key))
        noise *= self.std * (1.0 - levels / self.max_resource) if self.fade else self.std
        return values + noise, seconds

    def optimum(self, level: float) -> float | None:
        """Return the best noisy value of all rows; of a space only where there is no noise, else None."""
        return self.wrapped.optimum(level) if self._exact(level) else self.best_of_rows(level)

    def _exact(self, level: float) -> bool:
        """Return whether there is no noise at a level."""
        return self.std == 0.0 or (self.fade and level == self.max_resource)


class Negated(Wrapper):
    """The metric with the other sign: what was maximised is minimised, and the other way round.

    Ranks, and so decisions and regrets, are the same. NaN stays NaN. The held-out metric changes its
    sign as well.

    Parameters
    ----------
    surrogate : Surrogate
        Or anything else that `hbsim.surrogates.load` takes.
    """

    def __init__(self, surrogate: object) -> None:
        super().__init__(surrogate, "negate")
        self.mode = "min" if self.wrapped.mode == "max" else "max"
        metric = self.wrapped.metric
        self.metric = metric[1:] if metric.startswith("-") else f"-{metric}"

    def evaluate(self, configurations: Floats | Ints, levels: Floats) -> tuple[Floats, Floats]:
        """Return the metric with the other sign, and cumulative seconds, shapes (n, m)."""
        values, seconds = self.wrapped.evaluate(configurations, levels)
        return 0.0 - values, seconds  # unlike a minus sign, this makes no -0.0

    def optimum(self, level: float) -> float | None:
        """Return the wrapped optimum with the other sign, None where that is unknown."""
        best = self.wrapped.optimum(level)
        return None if best is None else 0.0 - best

    def test_values(self, configurations: Floats | Ints, level: float) -> Floats | None:
        """Return the held-out metric with the other sign, shape (n,), None where there is none."""
        tests = self.wrapped.test_values(configurations, level)
        return None if tests is None else 0.0 - tests


_COST: Final = 21


class ScaledCost(Wrapper):
    """Seconds times a factor, and optionally times a factor of mean 1 for each configuration.

    Parameters
    ----------
    surrogate : Surrogate
        Or anything else that `hbsim.surrogates.load` takes.
    factor : float
        The factor of all seconds, above 0.
    spread : float
        The largest over the smallest of the configurations' factors, at least 1. They are spread evenly.
    parameter : str, optional
        The hyperparameter with which factors rise, from its lowest value to its highest: in a space along
        its scale, in a table by rank. Without it a factor is drawn for each configuration.
    seed : int
        The seed of the draws.

    Raises
    ------
    ParameterError
        A parameter breaks its rule, or there is no such hyperparameter.
    """

    def __init__(
        self,
        surrogate: object,
        *,
        factor: float = 1.0,
        spread: float = 1.0,
        parameter: str | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(surrogate, "cost")
        self.factor = check_number("factor", factor, above=0.0)
        self.spread = check_number("spread", spread, low=1.0)
        self.seed = check_seed(seed)
        if parameter is not None and self.spread == 1.0:
            raise ParameterError("parameter", parameter, "needs a spread above 1: with 1 all cost the same")
        self.parameter = parameter
        self._axis = None if parameter is None else axis_of(self.wrapped, parameter)

    def evaluate(self, configurations: Floats | Ints, levels: Floats) -> tuple[Floats, Floats]:
        """Return the metric and the scaled cumulative seconds, shapes (n, m)."""
        values, seconds = self.wrapped.evaluate(configurations, levels)
        if self.spread == 1.0:
            return values, seconds * self.factor
        cheapest = 2.0 * self.factor / (1.0 + self.spread)
        factors = cheapest * (1.0 + (self.spread - 1.0) * self._places(configurations))
        return values, seconds * factors[:, None]

    def _places(self, configurations: Floats | Ints) -> Floats:
        """Return the place of each configuration from 0, cheapest, to 1, most expensive; shape (n,)."""
        if self._axis is not None:
            return self._axis.places(configurations)
        return hashing.uniform(configuration_keys(self, configurations, self.seed, _COST))


class Delayed(Wrapper):
    """Curves that stay at their first value for a while, and then continue as before, but later.

    The first level is a table's first one, or 1 where any level can be evaluated. The metric at level l
    is that of level ``l - units``, and until that is beyond the first level it is that of the first. Time
    is that of level l. A level in between those of a table has a value on the straight line between its
    neighbours, NaN if one of them is. What curves learn in their last `units` is never seen.

    Parameters
    ----------
    surrogate : Surrogate
        Or anything else that `hbsim.surrogates.load` takes.
    units : float
        The delay, in units of the resource: at least 0, and less than the distance between the first and
        the last level.

    Raises
    ------
    ParameterError
        `units` breaks its rule.
    """

    def __init__(self, surrogate: object, *, units: float = 3) -> None:
        super().__init__(surrogate, "delay")
        self.units = check_number("units", units, low=0.0)
        self._first = min(1.0, self.max_resource) if self.resources is None else self.resources[0]
        span = self.max_resource - self._first
        if self.units and self.units >= span:
            limit = f"below {span:g}" if span > 0.0 else "0"
            ends = f"{self._first:g} to {self.max_resource:g}"
            raise ParameterError(
                "units", units, f"must be {limit}: {self.wrapped.name} learns from level {ends}"
            )
        if self.units:
            self.best_configuration = None

    def evaluate(self, configurations: Floats | Ints, levels: Floats) -> tuple[Floats, Floats]:
        """Return the metric of an earlier level, and cumulative seconds, shapes (n, m)."""
        levels = np.asarray(levels, dtype=np.float64)
        if levels.ndim != 1:
            raise ParameterError("levels.shape", levels.shape, "must be (m,)")
        low, high, weight = self._sources(levels)
        # One call for all levels: the wrapped surrogate may compute a whole curve in each call.
        asked = np.unique(np.concatenate((levels, low, high)))
        values, seconds = self.wrapped.evaluate(configurations, asked)
        lower, upper, real = (np.searchsorted(asked, at) for at in (low, high, levels))
        return _between(values[:, lower], values[:, upper], weight), seconds[:, real]

    def optimum(self, level: float) -> float | None:
        """Return the best value of all rows at `level`; for a space that at the earlier level, or None."""
        if self.rows is not None:
            return self.best_of_rows(level)
        low, _, weight = (float(part[0]) for part in self._sources(np.array([level], dtype=np.float64)))
        return None if weight else self.wrapped.optimum(low)

    def test_values(self, configurations: Floats | Ints, level: float) -> Floats | None:
        """Return the held-out metric of an earlier level, shape (n,), None where there is none."""
        low, high, weight = self._sources(np.array([level], dtype=np.float64))
        lower = self.wrapped.test_values(configurations, float(low[0]))
        upper = self.wrapped.test_values(configurations, float(high[0]))
        return None if lower is None or upper is None else _between(lower, upper, weight)

    def _sources(self, levels: Floats) -> tuple[Floats, Floats, Floats]:
        """Return the source of each level's value: two neighbour levels, and the weight of the upper one."""
        source = np.maximum(levels - self.units, np.minimum(self._first, levels))
        if self.resources is None:
            return source, source, np.zeros(len(levels))
        there = np.array(self.resources)
        upper = np.minimum(np.searchsorted(there, source), len(there) - 1)
        high = there[upper]
        low = np.where(high == source, high, there[np.maximum(upper - 1, 0)])
        with np.errstate(invalid="ignore"):
            weight = np.where(high == low, 0.0, (source - low) / (high - low))
        return low, high, weight


def _between(lower: Floats, upper: Floats, weight: Floats) -> Floats:
    """Interpolate between two values with the weight of the upper one; equal values are returned exactly."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.where(lower == upper, lower, lower + (upper - lower) * weight)


class Half(Wrapper):
    """A random half of the rows, as if no other had been recorded; the optimum stays that of all rows.

    A split is two halves that share no row. Which rows they have depends on the number of rows and the
    split only. If the number is odd, one row, which differs between splits, is in neither half. Rows keep
    their order and are numbered anew.

    Parameters
    ----------
    surrogate : Surrogate
        Or anything else that `hbsim.surrogates.load` takes; it must have rows, at least 2.
    split : int
        The number of the split.
    part : 0 or 1
        The half of the split.

    Attributes
    ----------
    chosen : array of int, shape (rows,)
        The chosen rows of the wrapped surrogate, ascending.

    Raises
    ------
    ParameterError
        A parameter breaks its rule, or the surrogate has fewer than two rows.
    """

    def __init__(self, surrogate: object, *, split: int = 0, part: int = 0) -> None:
        super().__init__(surrogate, "half")
        if self.wrapped.rows is None or self.wrapped.rows < 2:
            rule = f"has {self.wrapped.rows or 'no'} rows: two halves need at least 2"
            raise ParameterError("surrogate", self.wrapped.name, rule)
        self.split = check_seed(split, "split")
        self.part = int(check_number("part", part, low=0, high=1, whole=True))
        self.rows = self.wrapped.rows // 2
        # Sorted draws, not `permutation`: its algorithm may change between versions of NumPy.
        draws = block_generator(self.split, Purpose.HALVES, self.wrapped.rows).random(self.wrapped.rows)
        order = np.argsort(draws, kind="stable")
        self.chosen: Ints = np.sort(order[self.part * self.rows :][: self.rows]).astype(np.int64)
        self.best_configuration = None  # its row number differs here

    @property
    def points(self) -> Floats | None:
        """The rows of this half as points of the unit cube, shape (rows, d); None where unknown."""
        points = super().points
        return None if points is None else points[self.chosen]

    def evaluate(self, configurations: Floats | Ints, levels: Floats) -> tuple[Floats, Floats]:
        """Return the metric and cumulative seconds of rows of this half, shapes (n, m)."""
        return self.wrapped.evaluate(self._within(configurations), levels)

    def test_values(self, configurations: Floats | Ints, level: float) -> Floats | None:
        """Return the held-out metric of rows of this half, shape (n,), None where there is none."""
        return self.wrapped.test_values(self._within(configurations), level)

    def _text(self) -> str:
        return f"{self._word}={self.split},{self.part}"

    def _within(self, configurations: Floats | Ints) -> Ints:
        rows: Ints = self.chosen[check_rows(configurations, len(self.chosen))]
        return rows


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


_WRAPPERS: Final[Mapping[str, tuple[Callable[..., Wrapper], Parsers]]] = {
    "noise": (Noisy, {"std": float, "fade": _truth, "seed": int}),
    "negate": (Negated, {}),
    "cost": (ScaledCost, {"factor": float, "spread": float, "parameter": str, "seed": int}),
    "corrupt": (
        Corrupted,
        {"share": float, "from_level": float, "parameter": str, "end": str, "seed": int},
    ),
    "delay": (Delayed, {"units": float}),
    "half": (Half, {"split": int, "part": int}),
}
_SHORT: Final = re.compile(r"^\s*half\s*=([^,]*),([^,]*)$")


def wrap_all(surrogate: Surrogate, texts: str | Sequence[str]) -> Surrogate:
    """Return a surrogate in wrappers, the first one innermost.

    Parameters
    ----------
    surrogate : Surrogate
        The curves.
    texts : sequence of str
        A wrapper each: its name, or ``NAME:key=value,...``. One text is one wrapper. ``half=3,1`` is short
        for ``half:split=3,part=1``.

    Raises
    ------
    ParameterError
        There is no such wrapper or option, or a value breaks its rule (field ``wrap``).
    """
    for text in [texts] if isinstance(texts, str) else texts:
        surrogate = _wrapped(surrogate, text)
    return surrogate


def _wrapped(surrogate: Surrogate, text: str) -> Wrapper:
    if not isinstance(text, str):
        raise ParameterError("wrap", text, "must be text: NAME, or NAME:key=value,...")
    name, _, rest = (part.strip() for part in _SHORT.sub(r"half:split=\1,part=\2", text).partition(":"))
    if name not in _WRAPPERS:
        rule = f"is no wrapper: one of {', '.join(_WRAPPERS)}.{nearest(name, _WRAPPERS)}"
        raise ParameterError("wrap", text, rule)
    make, parsers = _WRAPPERS[name]
    try:
        return make(surrogate, **parse_options(name, rest, parsers))
    except ParameterError as error:
        # Errors name the whole text, since a command may have its own --seed.
        rule = error.rule if error.field == "surrogate" else f"{error.field} {error.rule}"
        raise ParameterError("wrap", text, rule) from None
