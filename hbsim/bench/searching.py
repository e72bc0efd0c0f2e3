"""The searchers of variants, and which of several options each of them takes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Final

from hbsim.errors import ParameterError, nearest
from hbsim.searchers import takes
from hbsim.searchers.plain import plain_options

__all__ = ["SEARCHER", "check_searcher_name", "check_taken", "search_named", "taken"]

SEARCHER: Final = "searcher"  # an option of variants of all types


def check_searcher_name(field: str, text: str, name: str) -> str:
    """Return the name of a searcher.

    Raises
    ------
    ParameterError
        There is no such searcher; `field` and `text` are where it was named.
    """
    try:
        takes(name)
    except ParameterError as error:
        raise ParameterError(field, text, f"searcher {error.rule}") from None
    return name


def taken(searcher: str | None, options: Mapping[str, object]) -> dict[str, object]:
    """Return those options that a searcher takes."""
    known = takes(searcher)
    return {name: value for name, value in options.items() if name in known}


def search_named(searcher: str | None, options: Mapping[str, object]) -> dict[str, int | float | bool | str]:
    """Return a searcher and its options beside those of a scheduler; of random search without any nothing."""
    named: dict[str, int | float | bool | str] = {}
    if searcher not in (None, "random"):
        named[SEARCHER] = str(searcher)
    for name, value in plain_options(options).items():
        is_plain = isinstance(value, int | float | str)
        named[f"search_options.{name}"] = value if is_plain else json.dumps(value)  # type: ignore[assignment]
    return named


def check_taken(searchers: Iterable[str | None], options: Mapping[str, object]) -> None:
    """Check that each option is taken by a searcher.

    Raises
    ------
    ParameterError
        None of them takes it.
    """
    names = list(dict.fromkeys(name or "random" for name in searchers))
    known = dict.fromkeys(option for name in names for option in takes(name))
    for option, value in options.items():
        if option not in known:
            rule = f"is no option of {' or '.join(names)}: the options are {', '.join(known)}."
            raise ParameterError(f"search_options.{option}", value, rule + nearest(option, known))
