"""What real studies check about what they are given; every failure is a ParameterError."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping

from hbsim.core.numbers import exact
from hbsim.errors import ParameterError

__all__ = ["check_names", "constants", "seconds"]


def seconds(name: str, value: object) -> float | None:
    """Return seconds above 0, or None."""
    if value is None:
        return None
    number = exact(name, value)
    if number <= 0:
        raise ParameterError(name, value, "must be above 0, in seconds")
    return float(number)


def check_names(time_attr: object, reward_attr: object, needed: bool = True) -> None:
    """Check the names of the resource and of the metric, which may be None where it is not `needed`."""
    for name, value in (("time_attr", time_attr), ("reward_attr", reward_attr)):
        if value is None and name == "reward_attr" and not needed:
            continue
        if not isinstance(value, str) or not value:
            raise ParameterError(name, value, "must be a name that the training function reports")
    if time_attr == reward_attr:
        raise ParameterError("reward_attr", reward_attr, "must differ from time_attr")


def constants(args: object) -> dict[str, object]:
    """Return the constants in a mapping or an `argparse.Namespace`."""
    if args is None:
        return {}
    given = vars(args) if isinstance(args, argparse.Namespace) else args
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise ParameterError("args", args, "must be a mapping of names to values, or an argparse.Namespace")
    values = dict(given)
    for name, value in values.items():
        if not _is_plain(value):
            rule = f"{name}={value!r} is no plain value: numbers, texts, True, False, None, lists of them"
            raise ParameterError("args", args, rule)
    return values


def _is_plain(value: object) -> bool:
    try:
        return bool(json.loads(json.dumps(value, allow_nan=False)) == value)
    except (TypeError, ValueError):
        return False
