"""The check of a forecast: kept in a study's folder before the study, and held against it afterwards."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hbsim.errors import OutputError
from hbsim.planning.forecast import Range
from hbsim.planning.report import UNITLESS, counted, forecast_as_dict, ranged
from hbsim.study.folder import FORECAST, StudyFolder

if TYPE_CHECKING:
    from hbsim.planning.plan import Plan
    from hbsim.study.result import RunResult

NEAR: Final = 0.02  # of max_time: a study that ended so much earlier did not use its budget
# A real study starts processes and ends the last jobs: for so many seconds, or `NEAR`, workers may wait.
START_AND_END: Final = 1.0
CHECKED: Final = ("trials", "completed", "first_full_result", "busy_share", "machine_hours")


def check_folder(folder: Path | str) -> None:
    """Check that a study can begin in a folder, where its forecast is kept.

    Raises
    ------
    ParameterError
        It holds a study, or other files.
    """
    StudyFolder(folder).check(resume=False)


def keep(plan: Plan, folder: Path | str) -> None:
    """Keep the forecast of a plan's recommended variant in the folder of a study to be, as `Plan.keep`."""
    check_folder(folder)
    made = StudyFolder(folder)
    with made.lock():
        made.write(
            FORECAST,
            {
                "schema": 1,
                "scheduler": plan.recommended.checked().as_dict(),
                "time_unit": UNITLESS if plan.setting.unit_seconds is None else "s",
                "pilot": None if plan.pilot is None else plan.pilot.source,
                "studies": plan.studies,
                **forecast_as_dict(plan.recommended_forecast),
            },
        )


@dataclass(frozen=True)
class ForecastLine:
    """A quantity of a forecast, and what came of it.

    Attributes
    ----------
    quantity : str
        ``"trials"``, ``"completed"``, ``"first_full_result"`` (seconds), ``"busy_share"`` or
        ``"machine_hours"``.
    low, median, high : float or None
        Of the forecast; None: after the end of the study.
    real : float or None
        What came; None for no full result.
    within : bool
        Whether it lies within the 80 % interval. Of a busy share and of machine hours, up to 2 % of the study
        (at least a second) beside it counts as within: a real study starts and ends, which is not forecast.
    """

    quantity: str
    low: float | None
    median: float | None
    high: float | None
    real: float | None
    within: bool


@dataclass(frozen=True)
class ForecastCheck:
    """How a forecast did.

    Attributes
    ----------
    folder : str
        The study's.
    lines : list of ForecastLine
        A line for each quantity.
    notes : list of str
        How the study differs from the one that was forecast.
    """

    folder: str
    lines: Sequence[ForecastLine]
    notes: Sequence[str]

    def as_dict(self) -> dict[str, object]:
        """Return it in plain types."""
        names = ("quantity", "low", "median", "high", "real", "within")
        return {
            "folder": self.folder,
            "lines": [{name: getattr(one, name) for name in names} for one in self.lines],
            "notes": list(self.notes),
        }

    def rows(self) -> list[list[str]]:
        """Return a row of texts for each quantity: name, forecast, what came, and whether it lies within."""
        return [
            [
                one.quantity.replace("_", " "),
                _forecast(one),
                _real(one),
                "within" if one.within else "outside",
            ]
            for one in self.lines
        ]


def check_forecast(folder: Path | str) -> ForecastCheck | None:
    """Hold the forecast in a study's folder against the study; return None where there is none.

    Raises
    ------
    OutputError
        The forecast cannot be read.
    JournalError
        The journal is damaged.
    """
    from hbsim.study.result import load

    path = StudyFolder(folder).path / FORECAST
    if not path.is_file():
        return None
    try:
        kept = json.loads(path.read_text("utf-8"))
        ranges = {name: _range(kept[name]) for name in CHECKED if name in kept}
        notes_of = (kept["workers"], kept["max_time"], kept["scheduler"], kept["time_unit"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise OutputError(str(path), f"is no forecast of hbsim plan: {error!r}") from None
    result = load(folder)
    is_timed = kept["time_unit"] != UNITLESS
    came = _came(result)
    lines = [
        _line(
            name, ranges[name], came[name], max(NEAR, START_AND_END / kept["max_time"]) if is_timed else NEAR
        )
        for name in CHECKED
        if name in ranges and (is_timed or name not in ("first_full_result", "machine_hours"))
    ]
    return ForecastCheck(str(folder), lines, _notes(result, *notes_of))


def _range(found: Mapping[str, Any]) -> Range:
    ends = [math.inf if found[end] is None else float(found[end]) for end in ("low", "median", "high")]
    return Range(*ends)


def _came(result: RunResult) -> dict[str, float]:
    rows, summary = result.decisions, result.summary()
    full = rows.filter(rows["verdict"] == "complete")["time"]
    return {
        "trials": float(result.scheduler.started),
        "completed": float(len(full)),
        "first_full_result": float(full.min()) if len(full) else math.inf,  # type: ignore[arg-type]
        "busy_share": float(summary["busy_share"]),  # type: ignore[arg-type]
        "machine_hours": result.capacity / 3600.0,
    }


def _line(name: str, found: Range, real: float, near: float) -> ForecastLine:
    low, median, high, came = (
        value if math.isfinite(value) else None for value in (found.low, found.median, found.high, real)
    )
    wide = found
    if name == "busy_share":
        wide = Range(found.low - near, found.median, found.high + near)
    elif name == "machine_hours":
        wide = Range(found.low * (1 - near), found.median, found.high * (1 + near))
    return ForecastLine(name, low, median, high, came, real in wide)


def _notes(
    result: RunResult, workers: int, max_time: float, scheduler: Mapping[str, object], unit: str
) -> list[str]:
    notes = []
    if result.workers != workers:
        notes.append(f"it ran on {result.workers} workers: the forecast was for {workers}")
    now = result.scheduler.options.as_dict()
    own = [
        name for name in scheduler if name not in ("mode", "seed", "num_trials", "retries", "loss_retries")
    ]
    if any(now.get(name) != scheduler[name] for name in own):
        notes.append("its scheduler is not the one of the forecast")
    if unit == UNITLESS:
        notes.append("the forecast knew no seconds: times are not compared")
    elif abs(result.end_time - max_time) > NEAR * max_time:
        text = f"it ended after {result.end_time:.4g} s: the forecast was for {max_time:.4g} s"
        notes.append(text)
    return notes


def _forecast(one: ForecastLine) -> str:
    low, median, high = (math.inf if v is None else v for v in (one.low, one.median, one.high))
    found = Range(low, median, high)
    if one.quantity == "busy_share":
        return f"{median:.1%} ({low:.1%} to {high:.1%})"
    if one.quantity == "first_full_result":
        end = "after the end" if math.isinf(high) else f"{high:,.4g}"
        return "not by the end" if math.isinf(median) else f"{median:,.4g} s ({low:,.4g} to {end})"
    return ranged(found) if one.quantity == "machine_hours" else counted(found)


def _real(one: ForecastLine) -> str:
    if one.real is None:
        return "none"
    if one.quantity == "busy_share":
        return f"{one.real:.1%}"
    return f"{one.real:,.4g} s" if one.quantity == "first_full_result" else f"{one.real:,.4g}"
