"""A run's workers over time, and below them the simulated ones, on the same axis of time."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import polars as pl

from hbsim.bench.study_segments import Segments, segments
from hbsim.bench.study_style import INK, new_figure
from hbsim.bench.study_timeline import BARS, bars, image, legend, marks
from hbsim.validation.check import Check
from hbsim.validation.reading import Recorded

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["real_segments", "timelines"]

KEPT: Final = ("failed", "censored")
FEW: Final = 12  # workers up to which each has its number


def timelines(run: Recorded, check: Check) -> Figure:
    """Draw a real run's timeline above that of its simulation.

    Parameters
    ----------
    run : Recorded
        The run.
    check : Check
        One of it.
    """
    real, simulated = real_segments(run), segments(check.result)
    end = max(real.end_time, simulated.end_time) or 1.0
    figure = new_figure(11, min(11.0, 2.9 + 2 * max(0.75, 0.3 * real.workers)))
    above, below = figure.subplots(2, 1, sharex=True)
    error = "" if check.error is None else f" ({check.error:+.1%})"
    _draw(above, real, f"real, {real.end_time:.4g} s")
    _draw(below, simulated, f"simulated, {simulated.end_time:.4g} s{error}")
    above.set_xlim(0, end)
    below.xaxis.set_major_formatter("{x:,.10g}")
    below.set_xlabel("seconds")
    heading = "A real run and its simulation: workers over time, by the level they train towards"
    figure.suptitle(heading, x=0.01, ha="left", fontsize=12, fontweight="bold", color=INK)
    above.annotate(
        _line(run, check), (0, 1), (0, 20), xycoords="axes fraction", textcoords="offset points",
        fontsize=9, color="#666666", va="bottom",
    )  # fmt: skip
    legend(figure, _both(real, simulated))
    return figure


def real_segments(run: Recorded) -> Segments:
    """Split the jobs of a real run at their milestones; after the last one a process saves, and exits."""
    result = run.result
    cut = pl.col("verdict").is_in(KEPT)
    loads = pl.Series([stay.load for stay in run.stays], dtype=pl.Float64)  # within the function
    jobs = result.jobs.with_columns(
        train_start=pl.col("train_start") + loads,
        verdict=pl.when(cut).then("verdict").otherwise(pl.lit("pause")),
    )
    shown = SimpleNamespace(
        scheduler=result.scheduler,
        jobs=jobs,
        decisions=result.decisions,
        cluster=SimpleNamespace(workers=result.workers, has_absences=False),
        end_time=result.end_time,
    )
    return segments(cast(Any, shown))  # what it reads of a simulated study, a real one has too


def _draw(axes: Axes, parts: Segments, what: str) -> None:
    if len(parts.start) <= BARS:
        bars(axes, parts)
    else:
        image(axes, parts)
    marks(axes, parts)
    axes.axvline(parts.end_time, color=INK, linewidth=1, linestyle=":")
    axes.set(ylabel="worker", ylim=(parts.workers - 0.5, -0.5))
    axes.set_yticks(range(0, parts.workers, 1 + parts.workers // FEW))
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(what, loc="left", fontsize=10, color=INK)


def _both(real: Segments, simulated: Segments) -> Segments:
    """Return what the legend has to name: the levels and marks of either."""
    return replace(
        simulated,
        level=np.concatenate([real.level, simulated.level]),
        lost=np.concatenate([real.lost, simulated.lost]),
        cut=np.concatenate([real.cut, simulated.cut]),
    )


def _line(run: Recorded, check: Check) -> str:
    spec, agreement = run.result.spec, check.agreement
    same = f"{agreement.same:,} of {agreement.common:,} decisions the same"
    parts = [f"{spec.scheduler['type']} of {spec.train}", f"{run.result.scheduler.started:,} trials", same]
    return ", ".join([*parts, f"parameters: {check.kind}"])
