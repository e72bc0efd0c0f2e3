"""The picture of training curves: saved, or shown where there is a display."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, cast

from hbsim.errors import OutputError, ParameterError
from hbsim.live.result import RunResult
from hbsim.seed.place import CURVES
from hbsim.terminal import print_err

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.figure import Figure

    from hbsim.core.scheduler import Scheduler
    from hbsim.simulation import Result

__all__ = ["draw"]

# Backends of matplotlib that have no window; all others can show a figure.
_WINDOWLESS: Final = ("agg", "cairo", "pdf", "pgf", "ps", "svg", "template")


def draw(
    result: RunResult | Result,
    reports: pl.DataFrame,
    filename: str | os.PathLike[str] | None,
    folder: Path,
    show: bool,
    legend: bool,
) -> None:
    """Draw training curves.

    Parameters
    ----------
    result : RunResult or Result
        The study.
    reports : polars.DataFrame
        Its reports: trial, resource, value.
    filename : path, optional
        Where to save the picture.
    folder : Path
        Where to save it if it is to be shown and there is no display.
    show, legend : bool
        Whether to show it, and whether it has a legend.
    """
    from hbsim.bench.training_curves import plot_curves

    seen = result if isinstance(result, RunResult) else cast(RunResult, _seen(result, reports))
    figure = plot_curves(seen)
    if not legend:
        for each in figure.legends:
            each.remove()
    if filename is not None:
        _save(figure, Path(filename))
    if show and not _show(figure) and filename is None:
        path = folder / CURVES
        _save(figure, path)
        print_err(f"hbsim: there is no display; the training curves are in {path}")


def _save(figure: Figure, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise OutputError(str(path), f"cannot be written: {error.strerror or error}") from error
    except ValueError as error:  # matplotlib lists the formats that it knows
        raise ParameterError("filename", str(path), str(error)) from None


def _show(figure: Figure) -> bool:
    """Show a figure in a window or notebook; return whether there is any."""
    import matplotlib.pyplot as plt

    if plt.get_backend().lower() in _WINDOWLESS:
        return False
    figure.canvas.draw()
    width, height = figure.get_size_inches()
    window = plt.figure(figsize=(width, height))
    axes = window.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.imshow(figure.canvas.buffer_rgba())  # type: ignore[attr-defined]
    axes.set_axis_off()
    plt.show()
    return True


@dataclass(frozen=True)
class _Seen:
    """A simulated study, as a picture of a real one needs it."""

    reports: pl.DataFrame
    trials: pl.DataFrame
    scheduler: Scheduler
    workers: int
    spec: Any
    best: int | None

    def summary(self) -> dict[str, object]:
        return {"best_trial": self.best}


def _seen(result: Result, reports: pl.DataFrame) -> _Seen:
    surrogate, better = result.curves.surrogate, result.incumbent()
    until_return = result.scheduler.type == "fifo"
    spec = SimpleNamespace(
        time_attr="resource", reward_attr=surrogate.metric, train=surrogate.name, until_return=until_return
    )
    best = better["trial"][-1] if len(better) else None
    return _Seen(reports, result.trials, result.scheduler, result.cluster.workers, spec, best)
