"""The figures of a report, for papers: PNG and SVG, in the widths of a column and of two."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from hbsim.bench.report import figure_anytime
from hbsim.bench.report.figure_bars import brackets_figure, regrets_figure, shares_figure
from hbsim.bench.report.figure_heatmap import heatmap_figure
from hbsim.bench.report.figure_ranks import rank_figure
from hbsim.bench.report.figure_rungs import rungs_figure
from hbsim.bench.report.figure_timeline import timeline_page
from hbsim.bench.report.figures_heat import heatmap_title, shown_heatmaps
from hbsim.bench.report.figures_names import FileNames
from hbsim.bench.report.figures_style import Looks, looks_of, paper_style, save
from hbsim.bench.report.figures_views import FEW_TASKS, by_setting, views
from hbsim.bench.report.model import Report, Task, Timeline
from hbsim.errors import OutputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["write_figures"]

TIMELINE_TASKS: Final = 3  # with timelines, and the best variants of each
TIMELINE_VARIANTS: Final = 6

_Item = TypeVar("_Item")


def write_figures(report: Report, folder: Path) -> list[Path]:
    """Write every figure of a report as ``NAME.png`` (200 dots an inch) and ``NAME.svg``.

    Up to `FEW_TASKS` tasks have figures of their own; of more, anytime curves share pages, the diagnosis is
    the mean of each setting. Timelines are those of at most 3 tasks, of other settings first, and of the best
    6 variants. Figures with nothing in them are
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
    for heatmap in shown_heatmaps(report):
        figure = heatmap_figure(heatmap, heatmap_title(heatmap, report))
        yield "heatmap", (heatmap.title, heatmap.setting), None, figure
    for view in views(report):
        yield "regret", view.texts, None, regrets_figure(view, looks)
        yield "rungs", view.texts, None, rungs_figure(view, looks)
        yield "brackets", view.texts, None, brackets_figure(view, looks)
        yield "time", view.texts, None, shares_figure(view, looks)
    for task in _with_timeline(report):
        drawn = _best_timelines(task)
        yield "timeline", (task.surrogate, task.setting), None, timeline_page(drawn, task.name, looks)


def _anytime(report: Report, looks: Looks) -> Iterator[tuple[str, Sequence[str], int | None, Figure | None]]:
    names = {one.setting: one.variants for one in report.across if one.measure == "score"}
    for setting, tasks in by_setting(report.tasks).items():
        yield (
            "anytime-mean",
            (setting,),
            None,
            figure_anytime.mean_figure(tasks, setting, looks, names.get(setting, ())),
        )
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
    """Return the first task of each setting, then others, `TIMELINE_TASKS` at most."""
    first = [tasks[0] for tasks in by_setting(report.tasks).values()]
    rest = [task for task in report.tasks if task not in first]
    kept = [*first, *rest][:TIMELINE_TASKS]
    return [task for task in report.tasks if task in kept]


def _best_timelines(task: Task) -> list[Timeline]:
    """Return the timelines of the best `TIMELINE_VARIANTS` variants of a task that have one, best first."""
    place = {row.variant: index for index, row in enumerate(task.rows)}
    ranked = sorted(task.timelines, key=lambda one: place.get(one.variant, len(place)))
    return ranked[:TIMELINE_VARIANTS]


def _pages(items: Sequence[_Item], size: int) -> list[Sequence[_Item]]:
    return [items[first : first + size] for first in range(0, len(items), size)]
