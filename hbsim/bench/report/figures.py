"""The figures of a report, for papers: PNG and SVG, in the widths of a column and of two."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from hbsim.bench.report import figure_anytime, figure_timeline
from hbsim.bench.report.figure_bars import brackets_figure, regrets_figure, shares_figure
from hbsim.bench.report.figure_heatmap import heatmap_figure
from hbsim.bench.report.figure_ranks import rank_figure
from hbsim.bench.report.figure_rungs import rungs_figure
from hbsim.bench.report.figures_names import FileNames
from hbsim.bench.report.figures_style import Looks, looks_of, paper_style, save
from hbsim.bench.report.figures_views import FEW_TASKS, by_setting, views
from hbsim.bench.report.model import Report, Task
from hbsim.errors import OutputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["write_figures"]

_Item = TypeVar("_Item")


def write_figures(report: Report, folder: Path) -> list[Path]:
    """Write every figure of a report as ``NAME.png`` (200 dots an inch) and ``NAME.svg``.

    Up to `FEW_TASKS` tasks have figures of their own; of more, anytime curves share pages, the diagnosis is
    the mean of each setting, and the timelines are those of its first task. Figures with nothing in them are
    left out. The same report gives the same bytes.

    Parameters
    ----------
    report : Report
        What is drawn.
    folder : path
        Where to; made if it is not there.

    Returns
    -------
    list of path
        The files, in the order of the report.

    Raises
    ------
    OutputError
        A file cannot be written.
    """
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with paper_style():
            for name, figure in _figures(report):
                written.extend(save(figure, folder, name))
    except OSError as error:
        raise OutputError(str(folder), f"a figure cannot be written: {error}") from error
    return written


def _figures(report: Report) -> Iterator[tuple[str, Figure]]:
    """Yield a name and a figure at a time: hundreds of them would not fit into memory."""
    looks, names = looks_of(report), FileNames()
    for kind, texts, number, figure in _all(report, looks):
        if figure is not None:
            yield names.make(kind, texts, number), figure


def _all(report: Report, looks: Looks) -> Iterator[tuple[str, Sequence[str], int | None, Figure | None]]:
    for across in report.across:
        yield "ranks", (across.measure, across.setting), None, rank_figure(across, looks)
    yield from _anytime(report, looks)
    for heatmap in report.heatmaps:
        yield "heatmap", (heatmap.title, heatmap.setting), None, heatmap_figure(heatmap)
    for view in views(report):
        yield "regret", view.texts, None, regrets_figure(view, looks)
        yield "rungs", view.texts, None, rungs_figure(view, looks)
        yield "brackets", view.texts, None, brackets_figure(view, looks)
        yield "time", view.texts, None, shares_figure(view, looks)
    for task in _with_timeline(report):
        pages = _pages(task.timelines, figure_timeline.PANELS)
        for number, page in enumerate(pages, start=1):
            figure = figure_timeline.timeline_page(page, task.name, looks)
            yield "timeline", (task.surrogate, task.setting), number if len(pages) > 1 else None, figure


def _anytime(report: Report, looks: Looks) -> Iterator[tuple[str, Sequence[str], int | None, Figure | None]]:
    for setting, tasks in by_setting(report.tasks).items():
        yield "anytime-mean", (setting,), None, figure_anytime.mean_figure(tasks, setting, looks)
        if len(report.tasks) <= FEW_TASKS:
            for task in tasks:
                texts = task.surrogate, task.setting
                yield "anytime", texts, None, figure_anytime.anytime_figure(task, looks)
                yield "target", texts, None, figure_anytime.reached_figure(task, looks)
            continue
        pages = _pages(tasks, figure_anytime.PANELS)
        for number, page in enumerate(pages, start=1):
            part = f" ({number} of {len(pages)})" if len(pages) > 1 else ""
            figure = figure_anytime.anytime_page(page, setting, part, looks)
            yield "anytime", (setting,), number if part else None, figure


def _with_timeline(report: Report) -> list[Task]:
    if len(report.tasks) <= FEW_TASKS:
        return list(report.tasks)
    return [tasks[0] for tasks in by_setting(report.tasks).values()]


def _pages(items: Sequence[_Item], size: int) -> list[Sequence[_Item]]:
    return [items[first : first + size] for first in range(0, len(items), size)]
