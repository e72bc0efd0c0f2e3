"""The plot of training curves: saved, or shown in a notebook or on a display."""

from __future__ import annotations

import os
import sys
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from hbsim.autotorch.running import CURVES
from hbsim.errors import OutputError
from hbsim.study.result import RunResult
from hbsim.terminal import print_err

if TYPE_CHECKING:
    import polars as pl

    from hbsim.core.scheduler import Scheduler
    from hbsim.simulation import Result


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
        Where to save the picture if it is to be shown outside a notebook.
    show, legend : bool
        Whether to show it, and whether it has a legend.
    """
    from hbsim.bench.chart_style import save
    from hbsim.bench.study_charts import training_curves

    seen = result if isinstance(result, RunResult) else cast(RunResult, _seen(result, reports))
    chart = training_curves(seen, legend=legend)
    # IPython in a terminal has no kernel, and cannot show pictures.
    is_notebook = "IPython" in sys.modules and hasattr(sys.modules["IPython"].get_ipython(), "kernel")
    if show and is_notebook:
        sys.modules["IPython"].display.display(chart)
    if filename is None and (is_notebook or not show):
        return
    path = folder / CURVES if filename is None else Path(filename)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(str(path), f"cannot be written: {error.strerror or error}") from error
    save(chart, path)
    if show and not is_notebook and not (_has_display() and webbrowser.open(path.resolve().as_uri())):
        print_err(f"hbsim: there is no display; the training curves are in {path}")


def _has_display() -> bool:
    return sys.platform in ("darwin", "win32") or any(
        os.environ.get(x) for x in ("DISPLAY", "WAYLAND_DISPLAY")
    )


@dataclass(frozen=True)
class _Seen:
    """A simulated study with the attributes that the plot of a real one needs."""

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
        time_attr="resource", metric=surrogate.metric, train=surrogate.name, until_return=until_return
    )
    best = better["trial"][-1] if len(better) else None
    return _Seen(reports, result.trials, result.scheduler, result.cluster.workers, spec, best)
