"""The notes of a report: remarks for the reader beside the results."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import polars as pl

from hbsim.bench.formatting import count, duration, listed, percent, plural
from hbsim.bench.report.model import SweepReport, TaskReport
from hbsim.bench.report.standings import Standings
from hbsim.bench.sweep.scores import TaskScores

FEW_SEEDS: Final = 10
MANY_FAILED: Final = 0.1  # of the trials
NOT_COMPARED: Final = "not compared, for want of finished studies"  # of an incomplete task
NAMED: Final = 3  # tasks or variants that a note names


def task_notes(
    scores: TaskScores, standings: Standings, cells: pl.DataFrame, rows: int | None = None
) -> list[str]:
    """Return remarks on a task, a sentence each, the most important first.

    Parameters
    ----------
    scores : TaskScores
        Of the task.
    standings : Standings
        The conclusions from the scores.
    cells : polars.DataFrame
        Its finished cells.
    rows : int, optional
        The number of rows of the task's table; None where configurations are unlimited.
    """
    names = scores.variants
    notes = [*_conclusions(scores, standings), *_without_score(scores)]
    has_test = len(names) > 1 and math.isfinite(standings.curves[-1].difference.low)
    if rows is not None and scores.split is None and has_test:
        half = f"where trials are at most {rows // 2:,}, each sees one half"
        notes.append(
            f"nothing is said of another draw of configurations: studies saw all {rows:,} rows; {half}"
        )
    if not scores.scale.is_known:
        notes.append("the best of these curves is unknown: regrets are held against the best that was seen")
    if math.isnan(scores.scale.unit):
        notes.append(
            "the median configuration is as good as the best, or unknown: no scores, and nothing to tune"
        )
    if scores.absent:
        notes.append(f"{_which(scores.absent, len(names) + len(scores.absent))}: {NOT_COMPARED}")
    if math.isfinite(scores.resource):
        notes.append(
            f"equal resource: {count(scores.resource)} units, the median of what studies had trained "
            f"after {duration(scores.budget.value)}; a study that trained less keeps its last incumbent"
        )
    return [*notes, *_budget(scores, cells), *_failures(scores, cells)]


def _conclusions(scores: TaskScores, standings: Standings) -> Iterator[str]:
    """Explain why there is no ranking, why nothing is concluded, or why only large differences are."""
    n, k = len(scores.seeds), len(scores.variants)
    if not scores.budget.value > 0:
        yield "nothing took any time, so there is no ranking"
    elif not n:
        yield "no seed is finished for all variants here, so there is no ranking"
    elif k > 1 and all(math.isnan(one.difference.low) for one in standings.curves):
        if math.isfinite(scores.scale.unit):
            yield f"nothing is concluded: {standings.why}"
    elif k > 1 and scores.split is not None and standings.draw is None:
        yield f"nothing is said of another draw of configurations: {standings.why}"
    elif 1 < n < FEW_SEEDS:
        yield f"{plural(n, 'seed')}: only large differences show"


def _without_score(scores: TaskScores) -> Iterator[str]:
    n = len(scores.seeds)
    if not n or math.isnan(scores.scale.unit):
        return
    for v, name in enumerate(scores.variants):
        missing = sum(map(math.isnan, scores.score[:, v]))
        if missing:
            what = "without a rank" if 10 * missing > n else "it counts as the median configuration there"
            yield f"{name}: no score in {missing} of {n} seeds (no incumbent, or no number at R): {what}"


def _budget(scores: TaskScores, cells: pl.DataFrame) -> Iterator[str]:
    if not scores.budget.is_given:
        running = cells.filter(pl.col("simulated_seconds") > scores.budget.value).height
        if 2 * running > len(cells):
            yield (
                f"scored at the earliest end of any study, when {running} of {len(cells)} were still "
                "running: that favours the quick ones; with max_time or max_full_runs you choose the time"
            )
        return
    early = cells.filter((pl.col("simulated_seconds") < scores.budget.value) & ~pl.col("is_deserted"))
    if not early.is_empty():
        names = [name for name in scores.variants if name in set(early["variant"])]
        yield (
            f"{_which(names, len(scores.variants))}: {len(early)} of {len(cells)} studies ran out of trials "
            "before the time was up; their last incumbents stand, and their workers stood idle"
        )


def _failures(scores: TaskScores, cells: pl.DataFrame) -> Iterator[str]:
    deserted = int(cells["is_deserted"].sum())
    if deserted:
        yield f"in {deserted} of {len(cells)} studies no worker was left before the work was done"
    shares = cells.group_by("variant").agg(share=pl.col("failed").sum() / pl.col("trials").sum())
    failed = {name: share for name, share in shares.iter_rows() if share}
    if failed:
        names = [name for name in scores.variants if name in failed]
        most = f"{'up to ' if len(names) > 1 else ''}{percent(max(failed.values()))}"
        advice = "; more retries try them again" if max(failed.values()) >= MANY_FAILED else ""
        yield f"{_which(names, len(scores.variants))}: {most} of the trials failed for good{advice}"


def _which(names: Sequence[str], variants: int) -> str:
    if len(names) == variants and variants > 1:
        return "all variants"
    return ", ".join(names) if len(names) <= NAMED else f"{len(names)} of the {variants} variants"


def shared_notes(report: SweepReport) -> list[str]:
    """Return the notes of all tasks; of notes that differ in numbers only, the first stands for all.

    With a single task its notes are returned unchanged.
    """
    if len(report.tasks) == 1:
        return list(report.tasks[0].notes)
    found: dict[str, list[tuple[TaskReport, str]]] = {}
    for task in report.tasks:
        for note in task.notes:
            found.setdefault(re.sub(r"\d[\d,.]*( (s|min|h|d)\b)?", "#", note), []).append((task, note))
    return [_shared(notes, len(report.tasks)) for notes in found.values()]


def _shared(notes: Sequence[tuple[TaskReport, str]], tasks: int) -> str:
    first, note = notes[0]
    many = f"all {tasks} tasks" if len(notes) == tasks else f"{len(notes)} of {tasks} tasks"
    if len({note for _, note in notes}) > 1:
        return f"{many}, such as {first.name}: {note}"
    if len(notes) <= NAMED:
        return f"{'; '.join(task.name for task, _ in notes)}: {note}"
    return f"{many}: {note}"


def report_notes(report: SweepReport, warnings: Iterable[str]) -> list[str]:
    """Return the notes on the whole report."""
    notes = [f"Warned when the sweep began: {text}" for text in warnings]
    if report.tasks:
        notes.append(
            "Scores are normalised regrets: 0 is the best there is at R, 1 no better than the median "
            "configuration."
        )
    if len(report.tasks) > 1:
        notes.append(
            "Seeds of a task say how sure its own result is, not what other tasks would show; tests over "
            "tasks count each group of tasks once."
        )
    timed = [task for task in report.tasks if task.budget > 0]
    left_out = [task.name for task in timed if not task.seeds]
    if left_out:
        notes.append(f"{listed(left_out, quote=False)}: no seed is finished for all variants there.")
    compared = {row.variant for task in report.tasks for row in task.rows}
    nowhere = [variant.name for variant in report.variants if variant.name not in compared]
    if nowhere and timed:
        notes.append(f"{listed(nowhere)}: not compared, since too few studies of it are finished.")
    incomplete = [task.name for task in report.tasks if any(NOT_COMPARED in note for note in task.notes)]
    if incomplete:
        notes.append(f"{listed(incomplete, quote=False)}: not complete, so left out where tasks are counted.")
    return notes
