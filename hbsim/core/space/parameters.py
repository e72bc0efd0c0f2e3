"""The parameters of a search space: their ranges, conditions and checks, and how each maps to [0, 1]."""

from __future__ import annotations

import math
import numbers
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, fields
from typing import Final, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hbsim.errors import ParameterError, nearest

Floats: TypeAlias = NDArray[np.float64]
Given: TypeAlias = Sequence[object] | NDArray[np.generic]  # a column of values, as users write it

# The centre of a whole number's share of [0, 1] must decode to that number again: on a log scale
# over 2**44 numbers the smallest share is still some ten float steps wide.
_LARGEST_INT: Final = 2**44
_SHOWN: Final = 10


def finite(field: str, value: object) -> float:
    """Return a finite number as a float; bools are no numbers."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        raise ParameterError(field, value, "must be a finite number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ParameterError(field, value, "must be a finite number")
    return number


def whole(field: str, value: object) -> int:
    """Return a whole number, at most 2**44 in size, as an int."""
    number = finite(field, value)
    if not number.is_integer():
        raise ParameterError(field, value, "must be a whole number")
    if abs(number) > _LARGEST_INT:
        raise ParameterError(field, value, "must lie between -2**44 and 2**44")
    return int(number)


def bound(field: str, value: float | None, alias: str, other: float | None) -> float:
    """Return the bound that was given by one of its two names."""
    if value is not None and other is not None:
        raise ParameterError(alias, other, f"is another name of {field}: give one of them")
    given = other if value is None else value
    if given is None:
        raise ParameterError(field, None, "is missing")
    return given


def check_range(low: float, high: float, log: bool) -> None:
    """Check a range and its scale."""
    if not isinstance(log, bool | np.bool_):
        raise ParameterError("log", log, "must be True or False (a default goes by name: default=...)")
    if not low < high:
        raise ParameterError("low", low, f"must be below high={high!r}")
    if log and low <= 0:
        raise ParameterError("low", low, "must be above 0 with log=True")


def check_choices(choices: tuple[object, ...]) -> None:
    """Check that there are choices, hashable and no two of them equal."""
    if not choices:
        raise ParameterError("choices", choices, "needs at least one value")
    seen: set[object] = set()
    for choice in choices:
        try:
            hash(choice)
        except TypeError:
            raise ParameterError("choices", choice, "every choice must be hashable") from None
        if choice != choice:
            raise ParameterError("choices", choice, "NaN cannot be a choice: it does not equal itself")
        if choice in seen:
            raise ParameterError("choices", choice, "must not be given twice (1, 1.0 and True are equal)")
        seen.add(choice)


def numbers_between(values: Given, field: str, low: float, high: float) -> Floats:
    """Return the values as floats, each between low and high."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiu":
        x = values.astype(np.float64)
    else:
        x = np.array([finite(field, value) for value in values], dtype=np.float64)
    outside = np.flatnonzero(~((x >= low) & (x <= high)))
    if outside.size:
        raise ParameterError(field, plain(values[int(outside[0])]), f"must lie between {low!r} and {high!r}")
    return x


def place_among(places: dict[object, int], value: object, field: str) -> int:
    """Return the place of one of the choices."""
    try:
        return places[value]
    except (KeyError, TypeError):
        shown = [repr(choice) for choice in places]
        words = ", ".join(shown if len(shown) <= _SHOWN else [*shown[:_SHOWN], "..."])
        near = nearest(value, [c for c in places if isinstance(c, str)]) if isinstance(value, str) else ""
        raise ParameterError(field, plain(value), f"must be one of {words}.{near}") from None


def plain(value: object) -> object:
    """Return a NumPy scalar as the Python value it stands for, anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value


Conditions: TypeAlias = tuple[tuple[str, tuple[Hashable, ...]], ...]  # names, and values of each
When: TypeAlias = Mapping[str, object] | Conditions  # as users write it, or as parameters keep it


def conditions_of(when: object) -> Conditions:
    """Return the conditions of a parameter, by name in alphabetical order, their values in ascending order.

    Parameters
    ----------
    when : mapping of str to value
        By the name of another parameter: one of its values, or a list, tuple or range of them. All names must
        have one of their values. What this returned before is taken, too.

    Raises
    ------
    ParameterError
        It is no such mapping, or no value is given for a name.
    """
    if isinstance(when, tuple) and all(isinstance(pair, tuple) and len(pair) == 2 for pair in when):
        when = dict(when)
    if not isinstance(when, Mapping):
        raise ParameterError("when", when, 'must be a dict, as when={"optimizer": "sgd"}')
    for name in when:
        if not isinstance(name, str) or not name:
            raise ParameterError("when", name, "a parameter's name must be non-empty text")
    return tuple((name, _values(name, when[name])) for name in sorted(when))


def words(conditions: Conditions) -> str:
    """Return conditions as people say them: optimizer='sgd' and layers in (2, 3)."""
    parts = [f"{name}={v[0]!r}" if len(v) == 1 else f"{name} in {v!r}" for name, v in conditions]
    return " and ".join(parts)


def _values(name: str, given: object) -> tuple[Hashable, ...]:
    values = tuple(given) if isinstance(given, list | tuple | range) else (given,)
    if not values:
        raise ParameterError(f"when.{name}", given, "needs a value, or it never counts")
    kept: dict[Hashable, None] = {}
    for value in values:
        if not isinstance(value, Hashable):
            raise ParameterError(f"when.{name}", value, "must be a value, or a list of values")
        kept[plain(value)] = None  # type: ignore[index, unused-ignore]
    try:
        return tuple(sorted(kept))  # type: ignore[type-var]
    except TypeError:  # of several kinds
        return tuple(sorted(kept, key=repr))


Column: TypeAlias = NDArray[np.float64] | NDArray[np.int64] | NDArray[np.bool_] | list[object]


@dataclass(frozen=True, repr=False)
class Parameter(ABC):
    """One dimension of a search space: a set of values, each with its share of [0, 1].

    Parameters
    ----------
    when : mapping of str to value, optional
        Where it counts: by the name of a parameter before it, one of its values or a list of them.
        Elsewhere it is not active, and nobody chooses it.
    """

    when: When = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        assign(self, when=conditions_of(self.when))

    def __repr__(self) -> str:
        names = [one.name for one in fields(self) if one.name != "when"]
        words = [f"{name}={getattr(self, name)!r}" for name in names]
        return f"{type(self).__name__}({', '.join(words + self._when_words())})"

    @property
    def conditions(self) -> Conditions:
        """What `when` says, by name in alphabetical order."""
        assert isinstance(self.when, tuple)
        return self.when

    def under(self, when: When) -> Self:
        """Return the same parameter with these conditions, and no others.

        Raises
        ------
        ParameterError
            They are no conditions.
        """
        changed = copy(self)
        assign(changed, when=conditions_of(when))
        return changed

    def _when_words(self) -> list[str]:
        if not self.conditions:
            return []
        one = {name: len(v) == 1 and not isinstance(v[0], tuple) for name, v in self.conditions}
        shown = {name: v[0] if one[name] else list(v) for name, v in self.conditions}
        return [f"when={shown!r}"]

    @property
    @abstractmethod
    def initial(self) -> object:
        """The default, as a plain Python value."""

    @property
    def rand(self) -> object:
        """A random value, another one each time; for trying things out, not for studies."""
        return plain(self.decode(np.random.default_rng().random(1))[0])

    @abstractmethod
    def decode(self, unit: Floats) -> Column:
        """Map coordinates in [0, 1], shape (n,), to n values."""

    @abstractmethod
    def encode(self, values: Given, field: str) -> Floats:
        """Map n values to coordinates in [0, 1], shape (n,).

        Raises
        ------
        ParameterError
            A value is none of the parameter's; `field` is what the error calls it.
        """


def assign(parameter: Parameter, **fields: object) -> None:
    """Set fields of a frozen parameter while it is made: it normalises them once."""
    for name, value in fields.items():
        object.__setattr__(parameter, name, value)


_UNSET: Final = object()  # None may be one of the choices


@dataclass(frozen=True, init=False, repr=False)
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
    lower, upper : float
        Other names of `low` and `high`.
    when : mapping of str to value, optional
        As for `Parameter`.

    Raises
    ------
    ParameterError
        A bound or the default breaks these rules.
    """

    low: float
    high: float
    log: bool
    default: float

    def __init__(
        self,
        low: float | None = None,
        high: float | None = None,
        log: bool = False,
        default: float | None = None,
        *,
        lower: float | None = None,
        upper: float | None = None,
        when: When = (),
    ) -> None:
        low = finite("low", bound("low", low, "lower", lower))
        high = finite("high", bound("high", high, "upper", upper))
        check_range(low, high, log)
        if math.isinf(high - low):
            raise ParameterError("high", high, f"high - low must be finite (low={low!r})")
        assign(self, low=low, high=high, log=bool(log), when=conditions_of(when))
        assign(self, default=_middle(low, high, self.log) if default is None else finite("default", default))
        self.encode([self.default], "default")

    @property
    def lower(self) -> float:
        """Another name of `low`."""
        return self.low

    @property
    def upper(self) -> float:
        """Another name of `high`."""
        return self.high

    @property
    def initial(self) -> float:
        """The default, a float."""
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


@dataclass(frozen=True, init=False, repr=False)
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
    lower, upper : int
        Other names of `low` and `high`.
    when : mapping of str to value, optional
        As for `Parameter`.

    Raises
    ------
    ParameterError
        A bound or the default breaks these rules.
    """

    low: int
    high: int
    log: bool
    default: int

    def __init__(
        self,
        low: int | None = None,
        high: int | None = None,
        log: bool = False,
        default: int | None = None,
        *,
        lower: int | None = None,
        upper: int | None = None,
        when: When = (),
    ) -> None:
        low = whole("low", bound("low", low, "lower", lower))
        high = whole("high", bound("high", high, "upper", upper))
        check_range(low, high, log)
        assign(self, low=low, high=high, log=bool(log), when=conditions_of(when))
        middle = math.floor(_middle(low, high, self.log) + 0.5)
        assign(self, default=middle if default is None else whole("default", default))
        self.encode([self.default], "default")

    @property
    def lower(self) -> int:
        """Another name of `low`."""
        return self.low

    @property
    def upper(self) -> int:
        """Another name of `high`."""
        return self.high

    @property
    def initial(self) -> int:
        """The default, an int."""
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

    If one of the values is itself a space, such as `List` or what `obj` decorates, each value has parameters
    of its own.

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

    def __new__(cls, *choices: object, default: object = _UNSET, when: When = ()) -> Self:
        """Return a `Choice`, or a `NestedChoice`, whose own `__init__` has been called."""
        from hbsim.core.space.nested import Nested, NestedChoice  # which is made of parameters

        choices = _listed(choices)
        if not any(isinstance(choice, Parameter | Nested) for choice in choices):
            return super().__new__(cls)
        first = choices[0] if default is _UNSET else default
        return NestedChoice(choices, first, when)  # type: ignore[return-value]

    def __init__(self, *choices: object, default: object = _UNSET, when: When = ()) -> None:
        assign(self, when=conditions_of(when))
        choices = _listed(choices)
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


def _listed(choices: tuple[object, ...]) -> tuple[object, ...]:
    """Return the choices; one list of them, which is no space, stands for its items."""
    one = choices[0] if len(choices) == 1 else None
    is_space = hasattr(one, "parts")
    return tuple(one) if isinstance(one, list | tuple | range) and not is_space else choices


@dataclass(frozen=True, repr=False)
class Bool(Parameter):
    """False or True, both equally likely.

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
