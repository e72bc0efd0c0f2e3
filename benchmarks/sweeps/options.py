"""One option of schedulers over all others: variants that differ in nothing else, averaged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from hbsim.bench.over_tasks import across_tasks

__all__ = ["OptionRow", "option_rows"]

ALPHA: Final = 0.05
TYPE: Final = "type"  # counts as an option here


@dataclass(frozen=True)
class OptionRow:
    """A setting: mean score of each value of an option, over groups of tasks.

    Attributes
    ----------
    setting : str
        Its name.
    means : list of float
        A value each.
    best : int
        The place of the value with the best mean rank, of equal ones that with the least mean.
    close : list of bool
        Which are not told apart from it: Wilcoxon over groups, Holm's correction over the option's values.
    p : float
        That all values are the same: Wilcoxon's of two, Friedman's of more.
    ahead : str
        Of two values, in how many groups the best is ahead and behind; empty of more.
    differences : list of float
        Of each group, the score of the first value less that of the last.
    """

    setting: str
    means: list[float]
    best: int
    close: list[bool]
    p: float
    ahead: str
    differences: list[float]


def option_rows(
    variants: Sequence[Mapping[str, Any]], settings: Sequence[Mapping[str, Any]], name: str
) -> tuple[list[Any], list[OptionRow]]:
    """Return the values of an option, and a row a setting.

    Raises
    ------
    SystemExit
        No variants differ in that option alone.
    """
    families = _families(variants, name)
    values = list(dict.fromkeys(value for family in families for value in family))
    whole = [family for family in families if len(family) == len(values)]
    if len(values) < 2 or not whole:
        raise SystemExit(f"no variants differ in {name} alone")
    return values, [_row(setting, whole, values) for setting in settings]


def _families(variants: Sequence[Mapping[str, Any]], name: str) -> list[dict[Any, str]]:
    """Return variants by the option's value, those together that share all else."""
    families: dict[str, dict[Any, str]] = {}
    for variant in variants:
        settings = {TYPE: variant["type"], **variant["options"]}
        if name in settings:
            value = settings.pop(name)
            families.setdefault(repr(sorted(settings.items())), {})[value] = variant["name"]
    return [family for family in families.values() if len(family) > 1]


def _row(setting: Mapping[str, Any], families: list[dict[Any, str]], values: list[Any]) -> OptionRow:
    scores = np.array(setting["scores"], dtype=np.float64)
    place = setting["variants"].index
    families = [family for family in families if set(family.values()) <= set(setting["variants"])]
    columns = [[place(family[value]) for family in families] for value in values]
    blocks = np.stack([scores[:, of_value].mean(axis=1) for of_value in columns], axis=1)
    found = across_tasks(blocks)
    best = min(range(len(values)), key=lambda v: (found.mean_ranks[v], found.means[v].mean))
    p = list(_against(found.pairs, best, len(values)))
    return OptionRow(
        setting["setting"],
        [mean.mean for mean in found.means],
        best,
        [v != best and not p[v] < ALPHA for v in range(len(values))],
        float(found.p_friedman) if len(values) > 2 else p[1 - best],
        _ahead(found.pairs[0], best) if len(values) == 2 else "",
        (blocks[:, 0] - blocks[:, -1]).tolist(),
    )


def _ahead(duel: Any, best: int) -> str:
    wins, losses = (duel.wins, duel.losses) if duel.first == best else (duel.losses, duel.wins)
    return f"{wins} : {losses}"


def _against(duels: Sequence[Any], best: int, values: int) -> Iterator[float]:
    """Yield the p of each value against the best one, 0 for itself."""
    for value in range(values):
        pair = {value, best}
        yield next((duel.p for duel in duels if {duel.first, duel.second} == pair), 0.0)
