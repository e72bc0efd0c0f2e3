"""What a reader should know beside what came out: of a task, of many, of the whole report."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import polars as pl

from hbsim.bench.report.judge import Judged
from hbsim.bench.report.model import Report, Task
from hbsim.bench.report.text import count, duration, listed, percent, plural
from hbsim.bench.sweep.scores import TaskScores

__all__ = ["ABSENT", "report_notes", "shared_notes", "task_notes"]

FEW_SEEDS: Final = 10
MANY_FAILED: Final = 0.1  # of the trials
ABSENT: Final = "not compared, for want of finished studies"  # how a note says that a task is not complete
NAMED: Final = 3  # tasks or variants that a note names


def task_notes(scores: TaskScores, judged: Judged, cells: pl.DataFrame, rows: int | None = None) -> list[str]:
    """Return remarks, a sentence each, the most important first.

    Parameters
    ----------
    scores : TaskScores
        Of the task.
    judged : Judged
        What came of them.
    cells : polars.DataFrame
        Its finished cells.
    rows : int, optional
        Of the task's table; None where configurations have no end.
    """
    of_scores = [*_seeds(scores, judged), *_draw(scores, judged, rows), *_scale(scores), *_absent(scores)]
    return [*of_scores, *_budget(scores, cells), *_lost(scores, cells)]


def _draw(scores: TaskScores, judged: Judged, rows: int | None) -> Iterator[str]:
    told = len(scores.variants) > 1 and math.isfinite(judged.curves[-1].difference.low)
    if rows is not None and scores.split is None and told:
        half = f"where trials are at most {rows // 2:,}, each sees one half"
        yield f"nothing is said of another draw of configurations: studies saw all {rows:,} rows; {half}"


def _seeds(scores: TaskScores, judged: Judged) -> Iterator[str]:
    n, k = len(scores.seeds), len(scores.variants)
    if not scores.budget.value > 0:
        yield "nothing took any time, so there is no ranking"
    elif not n:
        yield "no seed is finished for all variants here, so there is no ranking"
    elif k > 1 and all(math.isnan(one.difference.low) for one in judged.curves):
        if math.isfinite(scores.scale.unit):
            yield f"nothing is concluded: {judged.why}"
    elif k > 1 and scores.split is not None and judged.draw is None:
        yield f"nothing is said of another draw of configurations: {judged.why}"
    elif 1 < n < FEW_SEEDS:
        yield f"{plural(n, 'seed')}: only large differences show"
    missing = {name: int(math.fsum(map(math.isnan, scores.score[:, v]))) for v, name in _numbered(scores)}
    if n and math.isfinite(scores.scale.unit):
        for name, without in missing.items():
            if without:
                what = "without a rank" if 10 * without > n else "it counts as the median configuration there"
                yield f"{name}: no score in {without} of {n} seeds (no incumbent, or no number at R): {what}"


def _numbered(scores: TaskScores) -> Iterable[tuple[int, str]]:
    return enumerate(scores.variants)


def _scale(scores: TaskScores) -> Iterator[str]:
    if not scores.scale.is_known:
        yield "the best of these curves is unknown: regrets are held against the best that was seen"
    if math.isnan(scores.scale.unit):
        yield "the median configuration is as good as the best, or unknown: no scores, and nothing to tune"


def _absent(scores: TaskScores) -> Iterator[str]:
    if scores.absent:
        yield f"{_which(scores.absent, len(scores.variants) + len(scores.absent))}: {ABSENT}"


def _budget(scores: TaskScores, cells: pl.DataFrame) -> Iterator[str]:
    if math.isfinite(scores.resource):
        yield (
            f"equal resource: {count(scores.resource)} units, the median of what studies had trained "
            f"after {duration(scores.budget.value)}; a study that trained less keeps its last incumbent"
        )
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


def _lost(scores: TaskScores, cells: pl.DataFrame) -> Iterator[str]:
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


def shared_notes(report: Report) -> list[str]:
    """Return the notes of all tasks; those that differ in numbers only are one, told of the first of them.

    Of the only task they are as they are.
    """
    if len(report.tasks) == 1:
        return list(report.tasks[0].notes)
    found: dict[str, list[tuple[Task, str]]] = {}
    for task in report.tasks:
        for note in task.notes:
            found.setdefault(re.sub(r"\d[\d,.]*( (s|min|h|d)\b)?", "#", note), []).append((task, note))
    return [_shared(notes, len(report.tasks)) for notes in found.values()]


def _shared(notes: Sequence[tuple[Task, str]], tasks: int) -> str:
    first, note = notes[0]
    many = f"all {tasks} tasks" if len(notes) == tasks else f"{len(notes)} of {tasks} tasks"
    if len({note for _, note in notes}) > 1:
        return f"{many}, such as {first.name}: {note}"
    if len(notes) <= NAMED:
        return f"{'; '.join(task.name for task, _ in notes)}: {note}"
    return f"{many}: {note}"


def report_notes(report: Report, warnings: Iterable[str]) -> list[str]:
    """Return what a reader of the whole report should keep in mind."""
    said = [f"Warned when the sweep began: {text}" for text in warnings]
    if report.tasks:
        said.append(
            "Scores are normalised regrets: 0 is the best there is at R, 1 no better than the median "
            "configuration."
        )
    if len(report.tasks) > 1:
        said.append(
            "Seeds of a task say how sure its own result is, not what other tasks would show; tests over "
            "tasks count each group of tasks once."
        )
    timed = [task for task in report.tasks if task.budget > 0]
    left_out = [task.name for task in timed if not task.seeds]
    if left_out:
        said.append(f"{listed(left_out, quote=False)}: no seed is finished for all variants there.")
    there = {row.variant for task in report.tasks for row in task.rows}
    nowhere = [variant.name for variant in report.variants if variant.name not in there]
    if nowhere and timed:
        said.append(f"{listed(nowhere)}: not compared, since too few studies of it are finished.")
    aside = [task.name for task in report.tasks if any(ABSENT in note for note in task.notes)]
    if aside:
        said.append(f"{listed(aside, quote=False)}: not complete, so left out where tasks are counted.")
    return said
