"""The parameters of a search space: what they may be, and how each maps to and from [0, 1]."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hbsim.core.space.checks import (
    Floats,
    Given,
    check_choices,
    check_range,
    finite,
    numbers_between,
    place_among,
    plain,
    whole,
)
from hbsim.core.space.parameter import Column, Parameter, assign
from hbsim.core.space.when import When, conditions_of
from hbsim.errors import ParameterError

__all__ = ["Bool", "Choice", "Column", "Int", "Parameter", "Real"]

_UNSET: Final = object()  # None may be one of the choices


@dataclass(frozen=True, repr=False)
class Real(Parameter):
    """A real number between `low` and `high`, both included.

    Parameters
    ----------
    low, high : float
        Finite, ``low < high``.
    log : bool
        Spread evenly over the logarithm; needs ``low > 0``.
    default : float, optional
        The middle of the range, in its scale, unless given.
    when : mapping of str to value, optional
        As for `Parameter`.

    Raises
    ------
    ParameterError
        A bound or the default breaks these rules.
    """

    low: float
    high: float
    log: bool = False
    default: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        low, high = finite("low", self.low), finite("high", self.high)
        check_range(low, high, self.log)
        if math.isinf(high - low):
            raise ParameterError("high", high, f"high - low must be finite (low={low!r})")
        assign(self, low=low, high=high, log=bool(self.log))
        if self.default is None:
            assign(self, default=_middle(low, high, self.log))
        else:
            assign(self, default=finite("default", self.default))
            self.encode([self.default], "default")

    @property
    def initial(self) -> float:
        """The default, a float."""
        assert self.default is not None
        return self.default

    def decode(self, unit: Floats) -> Floats:
        """Map coordinates in [0, 1], shape (n,), to n floats; 0 and 1 to exactly `low` and `high`."""
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        values = low * (1.0 - unit) + high * unit
        values = np.clip(np.exp(values) if self.log else values, self.low, self.high)
        values[unit == 0.0] = self.low
        values[unit == 1.0] = self.high
        return values

    def encode(self, values: Given, field: str) -> Floats:
        """Map n numbers to coordinates in [0, 1], shape (n,)."""
        x = numbers_between(values, field, self.low, self.high)
        if not self.log:
            return np.clip((x - self.low) / (self.high - self.low), 0.0, 1.0)
        low, high = math.log(self.low), math.log(self.high)
        return np.clip((np.log(x) - low) / (high - low), 0.0, 1.0)


@dataclass(frozen=True, repr=False)
class Int(Parameter):
    """A whole number between `low` and `high`, both included.

    Each number has the same share of [0, 1]. With ``log=True`` number k has the share of
    ``[k - 1/2, k + 1/2]`` on a logarithmic scale.

    Parameters
    ----------
    low, high : int
        Whole, ``low < high``, neither beyond 2**44 in size.
    log : bool
        Spread over the logarithm; needs ``low > 0``.
    default : int, optional
        The middle of the range, in its scale, unless given.
    when : mapping of str to value, optional
        As for `Parameter`.

    Raises
    ------
    ParameterError
        A bound or the default breaks these rules.
    """

    low: int
    high: int
    log: bool = False
    default: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        low, high = whole("low", self.low), whole("high", self.high)
        check_range(low, high, self.log)
        assign(self, low=low, high=high, log=bool(self.log))
        if self.default is None:
            assign(self, default=math.floor(_middle(low, high, self.log) + 0.5))
        else:
            assign(self, default=whole("default", self.default))
            self.encode([self.default], "default")

    @property
    def initial(self) -> int:
        """The default, an int."""
        assert self.default is not None
        return self.default

    def decode(self, unit: Floats) -> NDArray[np.int64]:
        """Map coordinates in [0, 1], shape (n,), to n whole numbers."""
        if self.log:
            low, high = self._borders()
            values = np.floor(np.exp(low * (1.0 - unit) + high * unit) + 0.5)
        else:
            values = self.low + np.floor(unit * (self.high - self.low + 1))
        return np.clip(values, self.low, self.high).astype(np.int64)

    def encode(self, values: Given, field: str) -> Floats:
        """Map n whole numbers to coordinates inside their shares of [0, 1], shape (n,)."""
        x = numbers_between(values, field, self.low, self.high)
        broken = np.flatnonzero(x != np.floor(x))
        if broken.size:
            raise ParameterError(field, plain(values[int(broken[0])]), "must be a whole number")
        if self.log:
            low, high = self._borders()
            return (np.log(x) - low) / (high - low)
        return (x - self.low + 0.5) / (self.high - self.low + 1)

    def _borders(self) -> tuple[float, float]:
        return math.log(self.low - 0.5), math.log(self.high + 0.5)


@dataclass(frozen=True, init=False, repr=False)
class Choice(Parameter):
    """One of a few values without an order.

    Parameters
    ----------
    *choices : hashable
        The values, no two of them equal; or one list, tuple or range of them.
    default : hashable, optional
        One of the choices; the first unless given.
    when : mapping of str to value, optional
        As for `Parameter`.

    Raises
    ------
    ParameterError
        There are no choices, two are equal, one is not hashable, or the default is none of them.
    """

    choices: tuple[Hashable, ...]
    default: Hashable

    def __init__(self, *choices: object, default: object = _UNSET, when: When = ()) -> None:
        assign(self, when=conditions_of(when))
        if len(choices) == 1 and isinstance(choices[0], list | tuple | range):
            choices = tuple(choices[0])
        check_choices(choices)
        assign(self, choices=choices, default=choices[0] if default is _UNSET else default)
        self.encode([self.default], "default")

    def __repr__(self) -> str:
        words = [repr(choice) for choice in self.choices]
        if self.default != self.choices[0]:
            words.append(f"default={self.default!r}")
        return f"Choice({', '.join(words + self._when_words())})"

    @property
    def initial(self) -> object:
        """The default, one of the choices."""
        return self.default

    def decode(self, unit: Floats) -> list[object]:
        """Map coordinates in [0, 1], shape (n,), to n choices, as they were given."""
        last = len(self.choices) - 1
        places = np.minimum((unit * (last + 1)).astype(np.int64), last)
        return [self.choices[place] for place in places.tolist()]

    def encode(self, values: Given, field: str) -> Floats:
        """Map n choices to the centres of their shares of [0, 1], shape (n,)."""
        places = {choice: place for place, choice in enumerate(self.choices)}
        found = [place_among(places, value, field) for value in values]
        return (np.array(found, dtype=np.float64) + 0.5) / len(self.choices)


@dataclass(frozen=True, repr=False)
class Bool(Parameter):
    """False or True, with half of [0, 1] each.

    Parameters
    ----------
    default : bool
        False unless given.
    when : mapping of str to value, optional
        As for `Parameter`.

    Raises
    ------
    ParameterError
        The default is neither.
    """

    default: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.default, bool | np.bool_):
            raise ParameterError("default", self.default, "must be True or False")
        assign(self, default=bool(self.default))

    @property
    def initial(self) -> bool:
        """The default, a bool."""
        return self.default

    def decode(self, unit: Floats) -> NDArray[np.bool_]:
        """Map coordinates in [0, 1], shape (n,), to n bools."""
        return unit >= 0.5

    def encode(self, values: Given, field: str) -> Floats:
        """Map n bools (0 and 1 are taken as such) to 0.25 and 0.75, shape (n,)."""
        places: dict[object, int] = {False: 0, True: 1}
        found = [place_among(places, value, field) for value in values]
        return 0.25 + 0.5 * np.array(found, dtype=np.float64)


def _middle(low: float, high: float, log: bool) -> float:
    # Roots before the product: no overflow, and 0.01 for 0.001 and 0.1.
    middle = math.sqrt(low) * math.sqrt(high) if log else low + (high - low) / 2
    return min(max(middle, low), high)
