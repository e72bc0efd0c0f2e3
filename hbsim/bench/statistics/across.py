"""All variants over independent tasks."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from hbsim.bench.statistics.checks import check_share
from hbsim.bench.statistics.family import holm_pairs
from hbsim.bench.statistics.intervals import MISSING, Interval, mean_interval
from hbsim.bench.statistics.paired import paired_differences
from hbsim.bench.statistics.ranks import block_ranks, cliques, critical_difference, friedman, nemenyi
from hbsim.errors import ParameterError
from hbsim.surrogates.protocol import Floats

__all__ = ["AcrossTasks", "Duel", "across_tasks", "group_means", "seed_means"]


@dataclass(frozen=True)
class Duel:
    """Two variants, block by block.

    Attributes
    ----------
    first, second : int
        Their indices; `first` is the lesser.
    wins, ties, losses : int
        Blocks in which the first is better, the same, and worse.
    p : float
        As `holm_pairs` returns it; NaN for fewer than two blocks.
    p_nemenyi : float
        Of `nemenyi`, which is corrected as well; NaN for fewer than two blocks.
    """

    first: int
    second: int
    wins: int
    ties: int
    losses: int
    p: float
    p_nemenyi: float


@dataclass(frozen=True)
class AcrossTasks:
    """All variants over blocks.

    Attributes
    ----------
    blocks, variants : int
        g and k.
    means : tuple of Interval
        For each variant, over the blocks in which it has a score; the interval is a bootstrap over blocks.
    missing : tuple of int
        For each variant, the blocks in which it has none.
    ranks : array, shape (g, k)
        Within each block; 1 is the best, NaN comes last.
    mean_ranks : array, shape (k,)
        NaN without blocks.
    chi_square, f, p_friedman : float
        As `friedman` returns them.
    nemenyi : array, shape (k, k)
        As `nemenyi` returns them.
    critical_difference : float
        Nemenyi's.
    cliques : tuple of tuples of int
        Indices of variants that are not told apart, by mean rank.
    duels : tuple of Duel
        Every pair, in the order of `itertools.combinations`.
    """

    blocks: int
    variants: int
    means: tuple[Interval, ...]
    missing: tuple[int, ...]
    ranks: Floats
    mean_ranks: Floats
    chi_square: float
    f: float
    p_friedman: float
    nemenyi: Floats
    critical_difference: float
    cliques: tuple[tuple[int, ...], ...]
    duels: tuple[Duel, ...]


def across_tasks(scores: Floats, alpha: float = 0.05) -> AcrossTasks:
    """Compare all variants over independent blocks.

    As J. Demsar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7, 2006, recommends:
    Friedman's test in the form of Iman and Davenport, Nemenyi's for all pairs (both in section 3.2.2), and
    Wilcoxon's signed-rank test for two (section 3.1.3), Holm-corrected.

    A block is one number a variant: seeds of one task are no blocks (see `seed_means`), and tasks that
    depend on each other are one (see `group_means`). Fewer than 2 blocks have no test. Wilcoxon's test of
    fewer than 6 cannot be significant at 0.05, and with more variants it takes more; see `least_pairs`.
    Nemenyi's is an approximation for many blocks; with few it rejects less often than it may.

    Parameters
    ----------
    scores : array, shape (g, k)
        A row a block, a column a variant; less is better. NaN, no score, is worse than any.
    alpha : float
        The level of the critical difference.

    Raises
    ------
    ParameterError
        `scores` is not two-dimensional, `alpha` not in (0, 1), or the extra ``report`` is not installed.
    """
    check_share("alpha", alpha)
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 2:
        raise ParameterError("scores", scores.shape, "must have two dimensions: blocks and variants")
    scores = np.where(np.isfinite(scores), scores, np.nan)
    g, k = scores.shape
    ranks = block_ranks(scores)
    mean_ranks = ranks.mean(axis=0) if g else np.full(k, np.nan)
    difference = critical_difference(g, k, alpha)
    pairwise = nemenyi(ranks)
    return AcrossTasks(
        g,
        k,
        tuple(mean_interval(column[~np.isnan(column)]) for column in scores.T),
        tuple(int(count) for count in np.isnan(scores).sum(axis=0)),
        ranks,
        mean_ranks,
        *friedman(ranks),
        pairwise,
        difference,
        cliques(mean_ranks, difference),
        _duels(scores, pairwise),
    )


def _duels(scores: Floats, pairwise: Floats) -> tuple[Duel, ...]:
    corrected = holm_pairs(scores)
    duels = []
    for first, second in combinations(range(scores.shape[1]), 2):
        difference = paired_differences(scores[:, first], scores[:, second])
        wins, losses = int((difference < 0).sum()), int((difference > 0).sum())
        p, p_nemenyi = float(corrected[first, second]), float(pairwise[first, second])
        duels.append(Duel(first, second, wins, len(difference) - wins - losses, losses, p, p_nemenyi))
    return tuple(duels)


def seed_means(scores: Floats) -> Floats:
    """Return one number a variant of one task: the mean over its seeds, shape (k,).

    Parameters
    ----------
    scores : array, shape (n, k)
        A row a seed, a column a variant; NaN for no score. It is left out of a column's mean; a column where
        more than one in ten are NaN has none.
    """
    scores = np.asarray(scores, dtype=np.float64)
    means = np.full(scores.shape[1], np.nan)
    there = np.isnan(scores).sum(axis=0) <= MISSING * len(scores)
    if len(scores):
        means[there] = np.nanmean(scores[:, there], axis=0)
    return means


def group_means(scores: Floats, groups: list[str]) -> tuple[tuple[str, ...], Floats]:
    """Return one block a group of tasks: the means of their scores.

    Parameters
    ----------
    scores : array, shape (t, k)
        A row a task, a column a variant; NaN for no score.
    groups : list of str, length t
        Each task's group.

    Returns
    -------
    groups : tuple of str
        The g groups, as they first appear.
    scores : array, shape (g, k)
        NaN where a variant has no score in a task of the group: tasks that differ in level are not averaged
        over other tasks for one variant than for another.

    Raises
    ------
    ParameterError
        There is not one group a task.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if len(groups) != len(scores):
        raise ParameterError("groups", len(groups), f"must be as many as there are tasks, {len(scores)}")
    names = tuple(dict.fromkeys(groups))
    of_each = np.array([names.index(group) for group in groups], dtype=np.int64)
    rows = [scores[of_each == index].mean(axis=0) for index in range(len(names))]
    return names, np.array(rows, dtype=np.float64).reshape(len(names), scores.shape[1])
