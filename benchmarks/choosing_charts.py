"""The pictures of docs/explanation/choosing.md, and the figures that they show."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from hbsim.bench.plot_axes import log_axis
from hbsim.bench.study_style import INK, clean, new_figure, save
from hbsim.bench.styles import COLOURS, DASHES, MARKERS

from benchmarks.choosing_sweeps import early_ranks, pauses, workers
from benchmarks.measure import say, write_json
from benchmarks.stopping_rules import rounded

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw"]

Row: TypeAlias = dict[str, Any]

SIZE: Final = (11.0, 4.4)  # inches
COMMAND: Final = "python -m benchmarks.choosing"


def draw(folder: Path) -> None:
    """Run the sweeps; write three pictures and choosing.json."""
    content: Row = {"command": COMMAND}
    for name, sweep, picture in (
        ("workers", workers, _workers),
        ("pauses", pauses, _pauses),
        ("early_ranks", early_ranks, _early_ranks),
    ):
        say(name)
        content[name] = rounded(sweep())
        folder.mkdir(parents=True, exist_ok=True)
        picture(content[name], folder / f"{name}.png")
    write_json(folder / "choosing.json", content)


def _workers(rows: list[Row], path: Path) -> None:
    figure = new_figure(*SIZE)
    left, right = figure.subplots(1, 2)
    for place, label in enumerate(_labels(rows)):
        found = [row for row in rows if row["variant"] == label]
        x = [row["workers"] for row in found]
        _line(left, x, [100 * row["busy_share"] for row in found], place, label)
        _line(right, x, [row["simulated_seconds"] / 60 for row in found], place, label)
    for axes in (left, right):
        axes.set_xscale("log", base=2)
        axes.set_xticks(sorted({row["workers"] for row in rows}))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel("workers")
    right.set_yscale("log")
    _finish(left, "share of worker time that is busy, %")
    _finish(right, "simulated minutes until 400 trials are done")
    log_axis(right.yaxis)
    left.set_ylim(0, 103)
    left.legend(frameon=False, fontsize=9)
    _title(figure, "Who keeps workers busy: synthetic curves, R = 81, mean of 20 seeds")
    save(figure, path)


def _pauses(rows: list[Row], path: Path) -> None:
    figure = new_figure(*SIZE)
    left, right = figure.subplots(1, 2)
    for place, label in enumerate(_labels(rows)):
        found = [row for row in rows if row["variant"] == label]
        x = [row["startup"] / 60 for row in found]
        _line(left, x, [row["trained_resource"] for row in found], place, label)
        _line(right, x, [row["regret"]["mean"] for row in found], place, label)
        low, high = ([row["regret"][end] for row in found] for end in ("low", "high"))
        right.fill_between(x, low, high, color=COLOURS[place], alpha=0.12, linewidth=0)
    for axes in (left, right):
        axes.set_xlabel("minutes until a job trains; a fifth of that to save, and to load")
    _finish(left, "epochs trained in four hours")
    _finish(right, "regret after four hours, 95 % intervals")
    left.set_ylim(0)
    right.set_ylim(0)
    left.legend(frameon=False, fontsize=9)
    _title(figure, "What starts and pauses cost: 16 workers, epochs of a minute, 20 seeds")
    save(figure, path)


def _early_ranks(rows: list[Row], path: Path) -> None:
    figure = new_figure(*SIZE)
    panels = figure.subplots(1, 2, sharey=True)
    labels = _labels(rows)
    for axes, family in zip(panels, ("power", "exponential"), strict=True):
        for place, label in enumerate(labels[1:]):
            found = [row for row in rows if row["variant"] == label and row["family"] == family]
            x = [row["early_rank"] + 0.012 * (place - 1.5) for row in found]
            ends = [[row["difference"][end] for row in found] for end in ("low", "high")]
            axes.vlines(x, *ends, color=COLOURS[place], linewidth=1.4)
            _line(axes, x, [row["difference"]["mean"] for row in found], place, label.partition(",")[2])
        axes.axhline(0, color=INK, linewidth=1.0)
        axes.set_xlabel("early_rank: what ranks at level 1 say")
        _finish(axes, f"family={family}: regret beside that of r = 1, one bracket")
    panels[0].legend(frameon=False, fontsize=9)
    _title(figure, "What a later start changes: promotion, 16 workers, 300 s, 50 seeds, 95 % intervals")
    save(figure, path)


def _labels(rows: list[Row]) -> list[str]:
    return list(dict.fromkeys(row["variant"] for row in rows))


def _line(axes: Axes, x: list[float], y: list[float], place: int, label: str) -> None:
    axes.plot(
        x,
        y,
        color=COLOURS[place],
        marker=MARKERS[place],
        linestyle=DASHES[place % len(DASHES)],
        linewidth=1.6,
        markersize=5,
        label=label,
    )


def _finish(axes: Axes, title: str) -> None:
    clean(axes)
    axes.set_title(title, loc="left", fontsize=10, color=INK)


def _title(figure: Any, text: str) -> None:
    figure.suptitle(text, x=0.01, ha="left", fontsize=12, weight="bold", color=INK)
