"""Conditions: which values of others a parameter needs to count."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeAlias

from hbsim.core.space.checks import plain
from hbsim.errors import ParameterError

__all__ = ["Conditions", "When", "conditions_of", "words"]

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
