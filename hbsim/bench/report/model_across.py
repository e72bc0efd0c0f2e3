"""What a report says over groups of tasks."""

from __future__ import annotations

from dataclasses import dataclass

from hbsim.bench.statistics import Interval

__all__ = ["Across", "Duel", "Heatmap"]


@dataclass(frozen=True)
class Duel:
    """Two variants over groups of tasks: in how many the first is ahead, level and behind.

    `p` is Wilcoxon's, Holm-corrected over all pairs, NaN where there are too few groups for so many pairs;
    `p_nemenyi` Nemenyi's. `call` says how the first stands by `p`: "better", "worse" or "too close to call".
    """

    first: str
    second: str
    wins: int
    ties: int
    losses: int
    p: float
    p_nemenyi: float
    call: str = "too close to call"


@dataclass(frozen=True)
class Across:
    """All variants in one setting, over its independent groups of tasks.

    Attributes
    ----------
    setting : str
        A cluster and a number of workers.
    measure : str
        "score" or "area", as in `TaskRow`.
    groups : tuple of str
        The g groups of tasks, the blocks of the tests.
    variants : tuple of str
        The k variants, by mean rank.
    scores : tuple of tuples, (g, k)
        Means over seeds, then over the tasks of a group; NaN for none.
    means : tuple of Interval
        A variant each: mean over groups, and its bootstrap interval over groups; NaN for a variant that has
        no score in some group, since the mean of the others would not compare.
    ranks : tuple of float
        Mean rank of each variant.
    p_friedman : float
        That all are the same (Iman and Davenport's F; permutations below 10 groups); NaN where there are
        fewer than 6 groups: with so few no pair can be told apart.
    critical_difference : float
        Nemenyi's: mean ranks closer than that are not told apart; NaN likewise.
    cliques : tuple of tuples of str
        Variants that are not told apart, for the diagram.
    duels : tuple of Duel
        Every pair.
    """

    setting: str
    measure: str
    groups: tuple[str, ...]
    variants: tuple[str, ...]
    scores: tuple[tuple[float, ...], ...]
    means: tuple[Interval, ...]
    ranks: tuple[float, ...]
    p_friedman: float
    critical_difference: float
    cliques: tuple[tuple[str, ...], ...]
    duels: tuple[Duel, ...]


@dataclass(frozen=True)
class Heatmap:
    """Mean normalised regret over two options: `values[row][column]`, rows are `brackets`; NaN for none."""

    title: str
    setting: str
    brackets: tuple[float, ...]
    etas: tuple[float, ...]
    values: tuple[tuple[float, ...], ...]
