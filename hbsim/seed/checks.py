"""What the classes check about what they are given; every failure is a ParameterError."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from typing import Final

from hbsim.core.exact import exact
from hbsim.errors import ParameterError, nearest

__all__ = [
    "MAX_REWARD",
    "check_addresses",
    "check_names",
    "check_search_options",
    "check_searcher",
    "constants",
    "flag",
    "one_of",
    "reward",
    "seconds",
]

_METHODS: Final = ("suggest", "resume", "model_based", "listens")
_TOLD: Final = ("on_start", "on_report", "on_end")


class _Default(float):
    """A number that was not given: equal to it, and still another object."""


# The best accuracy there is. Of a loss it would be no end worth having: with mode="min" it only
# counts where the user wrote it.
MAX_REWARD: Final = _Default(1.0)


def flag(name: str, value: object) -> bool:
    """Return True or False."""
    if not isinstance(value, bool):
        raise ParameterError(name, value, "must be True or False")
    return value


def one_of(name: str, value: object, choices: Sequence[str]) -> str:
    """Return one of some words."""
    if not isinstance(value, str) or value not in choices:
        rule = f"must be one of {', '.join(choices)}.{nearest(str(value), choices)}"
        raise ParameterError(name, value, rule)
    return value


def seconds(name: str, value: object) -> float | None:
    """Return seconds above 0, or None."""
    if value is None:
        return None
    number = exact(name, value)
    if number <= 0:
        raise ParameterError(name, value, "must be above 0, in seconds")
    return float(number)


def reward(value: object, mode: str) -> float | None:
    """Return the reward that ends a study, or None."""
    if value is None or (value is MAX_REWARD and mode == "min"):
        return None
    return float(exact("max_reward", value))


def check_names(time_attr: object, reward_attr: object) -> None:
    """Check the names of the resource and of the metric."""
    for name, value in (("time_attr", time_attr), ("reward_attr", reward_attr)):
        if not isinstance(value, str) or not value:
            raise ParameterError(name, value, "must be a name that train_fn reports")
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


def check_searcher(searcher: object) -> None:
    """Check a searcher: None, a name, or an object."""
    from hbsim.searchers import SEARCHERS

    if searcher is None or isinstance(searcher, str):
        one_of("searcher", searcher or "random", SEARCHERS)
        return
    if isinstance(searcher, type):
        raise ParameterError("searcher", searcher, f"is a class; give an object, {searcher.__name__}(...)")
    needed = [*_METHODS, *(_TOLD if getattr(searcher, "listens", True) else ())]
    if missing := [name for name in needed if not hasattr(searcher, name)]:
        rule = f"must be a name, or a Searcher; it has no {', '.join(missing)}"
        raise ParameterError("searcher", searcher, rule)


def check_search_options(searcher: object, options: object) -> None:
    """Check the options of a searcher: there is none that takes any."""
    if options is not None and not isinstance(options, Mapping):
        raise ParameterError("search_options", options, "must be a dict")
    if not options:
        return
    if searcher is not None and not isinstance(searcher, str):
        raise ParameterError("search_options", options, "are for searchers by name; this one is made already")
    rule = (
        f"the random searcher takes no options, and no {next(iter(options))!r}; its seed is that of the study"
    )
    raise ParameterError("search_options", options, rule)


def check_addresses(addresses: object) -> None:
    """Check that no other machines are asked for."""
    if addresses is None:
        return
    if isinstance(addresses, str) or not isinstance(addresses, Sequence):
        raise ParameterError("dist_ip_addrs", addresses, "must be a list of addresses")
    if addresses:
        rule = "remote hosts need the dask executor, which this version does not have"
        raise ParameterError("dist_ip_addrs", addresses, rule)
