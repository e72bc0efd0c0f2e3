"""What is to be known about tasks: what is said of many of them once, with their number."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from hbsim.bench.report.model import Report, Task

__all__ = ["task_notes"]

NAMED: Final = 3  # tasks that a note names


def task_notes(report: Report) -> list[str]:
    """Return the notes of all tasks; those that differ in numbers only are one, told of the first of them.

    Of the only task they are as they are.
    """
    if len(report.tasks) == 1:
        return list(report.tasks[0].notes)
    found: dict[str, list[tuple[Task, str]]] = {}
    for task in report.tasks:
        for note in task.notes:
            found.setdefault(re.sub(r"\d[\d,.]*", "#", note), []).append((task, note))
    return [_said(notes, len(report.tasks)) for notes in found.values()]


def _said(notes: Sequence[tuple[Task, str]], tasks: int) -> str:
    first, note = notes[0]
    many = f"all {tasks} tasks" if len(notes) == tasks else f"{len(notes)} of {tasks} tasks"
    if len({note for _, note in notes}) > 1:
        return f"{many}, such as {first.name}: {note}"
    if len(notes) <= NAMED:
        return f"{'; '.join(task.name for task, _ in notes)}: {note}"
    return f"{many}: {note}"
