"""Short names of variants for charts: without what all of them have in common, never the same for two."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Final

from hbsim.bench.report.figures_names import clean, labels

__all__ = ["short_names"]

LONGEST: Final = 44  # characters
GAIN: Final = 8  # characters of a common beginning that are worth an ellipsis
SYMBOLS: Final = {"reduction_factor=": "η="}


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Return a label of at most about 44 characters for each name, no two the same.

    What stands between commas in every name is left out, and so is a common beginning; the reduction factor
    is called η. Where that would make two names the same, they stay as they are.
    """
    if not names:
        return {}
    tries = (_symbols(_without_beginning(_without_common(names))), _symbols(names))
    for tried in tries:
        if len({clean(name) for name in tried}) == len(set(names)) and all(map(clean, tried)):
            # `labels` keeps them apart where they are cut.
            cut = labels(tried, LONGEST)
            return {name: cut[short] for name, short in zip(names, tried, strict=True)}
    return labels(names, LONGEST)


def _without_common(names: Sequence[str]) -> list[str]:
    """Return names without the parts, between commas, that all have; as they are if one has nothing else."""
    parts = [name.split(",") for name in names]
    common = set(parts[0]).intersection(*parts[1:]) if len(set(names)) > 1 else set()
    kept = [",".join(part for part in mine if part not in common) for mine in parts]
    return kept if all(kept) else list(names)


def _without_beginning(names: Sequence[str]) -> list[str]:
    """Return names with an ellipsis for a common beginning of whole words."""
    first, last = min(names), max(names)
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    start = "".join(letter for letter, _ in same)
    start = re.sub(r"[^\W_]*$", "", start)
    if len(start) < GAIN or any("=" in name or name == start for name in names):
        return list(names)
    return [f"…{name[len(start) :]}" for name in names]


def _symbols(names: Sequence[str]) -> list[str]:
    made = []
    for name in names:
        for long, short in SYMBOLS.items():
            name = re.sub(rf"(?<!\w){long}", short, name)
        made.append(name)
    return made
