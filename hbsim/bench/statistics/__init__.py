"""Which variant is better, and how sure that is; see docs/explanation/statistics.md."""

from hbsim.bench.statistics.across import AcrossTasks, Duel, across_tasks, group_means, seed_means
from hbsim.bench.statistics.area import area_under, at, normalise, on_grid
from hbsim.bench.statistics.family import holm_pairs
from hbsim.bench.statistics.holm import holm
from hbsim.bench.statistics.intervals import ALPHA, CONFIDENCE, MISSING, Interval, mean_band, mean_interval
from hbsim.bench.statistics.paired import Call, Pair, compare_pairs, paired_differences, verdict
from hbsim.bench.statistics.power import seeds_needed
from hbsim.bench.statistics.ranks import block_ranks, cliques, critical_difference, friedman, nemenyi
from hbsim.bench.statistics.signed_rank import SignedRank, least_pairs, signed_rank
from hbsim.bench.statistics.targets import (
    MedianTime,
    first_time,
    logrank,
    median_time,
    reached_curve,
    restricted_time,
)

__all__ = [
    "ALPHA",
    "CONFIDENCE",
    "MISSING",
    "AcrossTasks",
    "Call",
    "Duel",
    "Interval",
    "MedianTime",
    "Pair",
    "SignedRank",
    "across_tasks",
    "area_under",
    "at",
    "block_ranks",
    "cliques",
    "compare_pairs",
    "critical_difference",
    "first_time",
    "friedman",
    "group_means",
    "holm",
    "holm_pairs",
    "least_pairs",
    "logrank",
    "mean_band",
    "mean_interval",
    "median_time",
    "nemenyi",
    "normalise",
    "on_grid",
    "paired_differences",
    "reached_curve",
    "restricted_time",
    "seed_means",
    "seeds_needed",
    "signed_rank",
    "verdict",
]
