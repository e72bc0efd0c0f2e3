"""A run's workers over time, and below them the simulated ones, on the same axis of time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Final, cast

import altair as alt
import polars as pl

from hbsim.bench.chart_style import Chart
from hbsim.bench.segments import Segments, segments
from hbsim.bench.study_charts import worker_chart
from hbsim.validation.check import Check
from hbsim.validation.reading import Recorded

__all__ = ["real_segments", "timelines"]

KEPT: Final = ("failed", "censored")


def timelines(run: Recorded, check: Check) -> Chart:
    """Return a real run's timeline above that of its simulation.

    Parameters
    ----------
    run : Recorded
        The run.
    check : Check
        One of it.
    """
    real, simulated = real_segments(run), segments(check.result)
    end = max(real.end_time, simulated.end_time) or 1.0
    error = "" if check.error is None else f" ({check.error:+.1%})"
    above = worker_chart(real, None, end).properties(title=f"real, {real.end_time:.4g} s")
    below = worker_chart(simulated, "seconds", end).properties(
        title=f"simulated, {simulated.end_time:.4g} s{error}"
    )
    heading = alt.TitleParams(
        "A real run and its simulation: workers over time, by the level they train towards",
        subtitle=_line(run, check),
    )
    return alt.vconcat(above, below, title=heading, spacing=12).resolve_scale(color="shared")


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


def _line(run: Recorded, check: Check) -> str:
    spec, agreement = run.result.spec, check.agreement
    same = f"{agreement.same:,} of {agreement.common:,} decisions the same"
    parts = [f"{spec.scheduler['type']} of {spec.train}", f"{run.result.scheduler.started:,} trials", same]
    return ", ".join([*parts, f"parameters: {check.kind}"])
