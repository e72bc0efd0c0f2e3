"""The searchers of variants: which options each of them takes, and whether trials are paired."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from hbsim.errors import ParameterError, nearest
from hbsim.searchers import learns, takes
from hbsim.searchers.factory import plain_options

__all__ = ["SEARCHER", "Searching", "check_taken", "pairing", "search_named", "taken"]

SEARCHER: Final = "searcher"  # an option of variants of all types
RANDOM: Final = "random"
MANY: Final = 3  # variants that a note lists by name


def taken(searcher: str | None, options: Mapping[str, object]) -> dict[str, object]:
    """Return those options that a searcher takes."""
    known = takes(searcher)
    return {name: value for name, value in options.items() if name in known}


def search_named(searcher: str | None, options: Mapping[str, object]) -> dict[str, int | float | bool | str]:
    """Return a searcher and its options beside those of a scheduler; of random search without any nothing."""
    named: dict[str, int | float | bool | str] = {}
    if searcher not in (None, RANDOM):
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
    names = list(dict.fromkeys(name or RANDOM for name in searchers))
    known = dict.fromkeys(option for name in names for option in takes(name))
    for option, value in options.items():
        if option not in known:
            rule = f"is no option of {' or '.join(names)}: the options are {', '.join(known)}."
            raise ParameterError(f"search_options.{option}", value, rule + nearest(option, known))


class Searching(NamedTuple):
    """How a variant finds its configurations: its name, its searcher, and the searcher's options."""

    label: str
    searcher: str | None
    options: Mapping[str, object]


def pairing(variants: Sequence[Searching]) -> list[str]:
    """Say where trial i has not the same configuration under all variants, in a line each.

    Parameters
    ----------
    variants : sequence of Searching
        Those that are held against each other.
    """
    if len(variants) < 2:
        return []
    told = [one.label for one in variants if learns(one.searcher)]
    if told:
        which = _listed(told, len(variants))
        learn = "the searcher learns" if len(told) == 1 else "the searchers learn"
        return [
            f"{which}: {learn} from what is observed, so trials are not paired: trial i has not the "
            "configuration that it has under the other variants, and differences vary more from seed to seed"
        ]
    first = variants[0]
    same = [
        one
        for one in variants
        if (one.searcher or RANDOM, one.options) == (first.searcher or RANDOM, first.options)
    ]
    if len(same) == len(variants):
        return []
    names = ", ".join(dict.fromkeys(one.searcher or RANDOM for one in variants))
    return [
        f"variants find their configurations in different ways ({names}), so trials are not paired: trial i "
        "has not the same configuration under all of them"
    ]


def _listed(labels: Sequence[str], variants: int) -> str:
    if len(labels) > MANY:
        return f"{len(labels)} of the {variants} variants"
    return labels[0] if len(labels) == 1 else f"{'; '.join(labels[:-1])} and {labels[-1]}"
