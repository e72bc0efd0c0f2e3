"""What a reader of a task's ranking should know."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import polars as pl

from hbsim.bench.report.pairs import TaskScores
from hbsim.bench.report.words_lists import many
from hbsim.bench.statistics import ALPHA, least_pairs

__all__ = ["ABSENT", "task_notes"]

FEW_SEEDS: Final = 10
MANY_FAILED: Final = 0.1  # of the trials
ABSENT: Final = "not compared, for want of finished studies"  # how a note says that a task is not complete


def task_notes(scores: TaskScores, cells: pl.DataFrame) -> list[str]:
    """Return remarks, a sentence each, the most important first.

    Parameters
    ----------
    scores : TaskScores
        Of the task.
    cells : polars.DataFrame
        Its finished cells.
    """
    of_scores = [*_seeds(scores), *_scale(scores), *_absent(scores)]
    return [*of_scores, *_budget(scores, cells), *_lost(scores, cells)]


def _seeds(scores: TaskScores) -> Iterator[str]:
    n, k = len(scores.seeds), len(scores.variants)
    least = least_pairs(ALPHA, max(1, k * (k - 1) // 2))
    if not scores.budget.value > 0:
        yield "nothing took any time, so there is no ranking"
    elif not n:
        yield "no seed is finished for all variants here, so there is no ranking"
    elif k > 1 and n < least:
        yield f"{many(n, 'seed')} cannot tell {k} variants apart, however they differ: it takes {least}"
    elif n < FEW_SEEDS:
        yield f"{many(n, 'seed')}: too few for intervals to be trusted; take 20 or more"


def _scale(scores: TaskScores) -> Iterator[str]:
    if not scores.scale.is_known:
        yield "the best of these curves is unknown: regrets are held against the best that was seen"
    if math.isnan(scores.scale.unit):
        yield "a guess is as good as the best here, or unknown: there are no scores, and nothing to tune"


def _absent(scores: TaskScores) -> Iterator[str]:
    if scores.absent:
        yield f"{_which(scores.absent, len(scores.variants) + len(scores.absent))}: {ABSENT}"


def _budget(scores: TaskScores, cells: pl.DataFrame) -> Iterator[str]:
    if not scores.budget.is_given:
        running = cells.filter(pl.col("simulated_seconds") > scores.budget.value).height
        if 2 * running > len(cells):
            yield (
                f"scored at {scores.budget.text}: {running} of {len(cells)} studies were still running then, "
                "which favours the quick ones; with max_time or max_full_runs you choose the time"
            )
        return
    early = cells.filter((pl.col("simulated_seconds") < scores.budget.value) & ~pl.col("is_deserted"))
    if not early.is_empty():
        names = [name for name in scores.variants if name in set(early["variant"])]
        yield (
            f"{_which(names, len(scores.variants))}: {len(early)} of {len(cells)} studies ran out of trials "
            "before the time was up; their last incumbents stand, and their workers stood idle"
        )


def _lost(scores: TaskScores, cells: pl.DataFrame) -> Iterator[str]:
    deserted = int(cells["is_deserted"].sum())
    if deserted:
        yield f"in {deserted} of {len(cells)} studies no worker was left before the work was done"
    lost = cells.filter(pl.col("failed") > MANY_FAILED * pl.col("trials"))
    if not lost.is_empty():
        names = [name for name in scores.variants if name in set(lost["variant"])]
        which = _which(names, len(scores.variants))
        yield f"{which}: more than a tenth of the trials failed for good; more retries try them again"


def _which(names: list[str] | tuple[str, ...], variants: int) -> str:
    if len(names) == variants and variants > 1:
        return "all variants"
    return ", ".join(names) if len(names) <= 3 else f"{len(names)} of the {variants} variants"
