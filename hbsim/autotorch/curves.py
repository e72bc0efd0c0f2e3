"""Training curves: as dicts by trial, and as a plot that is saved, or shown in a notebook or on a display."""

from __future__ import annotations

import os
import sys
import tempfile
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

from hbsim.autotorch.running import CURVES
from hbsim.errors import OutputError
from hbsim.terminal import print_err

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hbsim.autotorch.options import StudyParameters
    from hbsim.study.result import RunResult
    from hbsim.study.simulated_run import SimulatedResult


def draw(
    result: RunResult | SimulatedResult,
    filename: str | os.PathLike[str] | None,
    show: bool,
    legend: bool,
) -> None:
    """Draw training curves.

    Parameters
    ----------
    result : RunResult or SimulatedResult
        The study.
    filename : path, optional
        Where to save the picture. By default, if it is to be shown outside a notebook, the study's folder; a
        temporary file for a simulated study, whose folder may hold the real one.
    show, legend : bool
        Whether to show it, and whether it has a legend.
    """
    from hbsim.bench.chart_style import save
    from hbsim.bench.study_charts import training_curves

    chart = training_curves(result, legend=legend)
    # IPython in a terminal has no kernel, and cannot show pictures.
    is_notebook = "IPython" in sys.modules and hasattr(sys.modules["IPython"].get_ipython(), "kernel")
    if show and is_notebook:
        sys.modules["IPython"].display.display(chart)
    if filename is None and (is_notebook or not show):
        return
    path = _default_path(result) if filename is None else Path(filename)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(str(path), f"cannot be written: {error.strerror or error}") from error
    save(chart, path)
    if show and not is_notebook and not (_has_display() and webbrowser.open(path.resolve().as_uri())):
        print_err(f"hbsim: there is no display; the training curves are in {path}")


def history(
    result: RunResult | SimulatedResult, setting: StudyParameters, configs: Mapping[int, Mapping[str, object]]
) -> dict[int, list[dict[str, object]]]:
    """Return the reports of each trial as AutoTorch's ``training_history`` has them."""
    run, core = setting.run, result.scheduler
    found: dict[int, list[dict[str, object]]] = {}
    names = ("trial", "resource", "value", "metrics")
    for trial, resource, value, metrics in result.reports.select(*names).iter_rows():
        reported = {name: number for name, number in metrics.items() if number is not None}
        report = {**configs[trial], **reported, run.time_attr: resource, run.metric: value}
        if resource == int(resource):
            report[run.time_attr] = int(resource)
        if setting.type != "fifo":
            report["bracket"] = core.bracket_of(trial)
        found.setdefault(trial, []).append(report)
    for trial, reports in found.items():
        status = core.status(trial)
        if status != "running":
            reports[-1]["done"] = True
        if status in ("paused", "stopped"):
            reports[-1]["terminated"] = True
    return dict(sorted(found.items()))


def _default_path(result: RunResult | SimulatedResult) -> Path:
    if result.folder is not None:
        return result.folder / CURVES
    return Path(tempfile.mkdtemp(prefix="hbsim-")) / CURVES


def _has_display() -> bool:
    return sys.platform in ("darwin", "win32") or any(
        os.environ.get(x) for x in ("DISPLAY", "WAYLAND_DISPLAY")
    )
