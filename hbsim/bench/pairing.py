"""Whether variants of a comparison have the same configurations, trial by trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from hbsim.searchers import learns

__all__ = ["Searching", "pairing"]

MANY: Final = 3  # variants that a note lists by name
RANDOM: Final = "random"


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
