"""One study for people, for programs, and as files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hbsim import terminal
from hbsim.cli.output import versions, write_frame, write_json

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from hbsim.simulation import Result

__all__ = ["Request", "as_json", "show", "write"]


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for: the command in words, and all options."""

    command: str
    options: Mapping[str, object]


def write(result: Result, request: Request, folder: Path) -> None:
    """Write the study's tables as Parquet, and summary.json; no clock, so same bytes."""
    frames = {
        "jobs": result.jobs,
        "trials": result.trials,
        "decisions": result.decisions,
        "failures": result.failures,
        "incumbent": result.incumbent(),
    }
    if result.simulated.disk is not None:
        frames["disk"] = result.disk()
    for name, frame in frames.items():
        write_frame(frame, folder / f"{name}.parquet")
    content = {
        "schema": 1,
        "command": request.command,
        "options": {
            **request.options,
            "scheduler": result.scheduler.options.as_dict(),
            "cluster": result.cluster.as_dict(),
        },
        "versions": versions(),
        **_content(result),
    }
    write_json(folder / "summary.json", content)


def as_json(result: Result, request: Request, explain: list[int], folder: Path | None) -> dict[str, object]:
    """Return what ``--json`` prints: plain types."""
    return {
        "command": request.command,
        **_content(result),
        "explain": [asdict(result.scheduler.explain(trial)) for trial in explain],
        "out": None if folder is None else str(folder),
        "files": [] if folder is None else sorted(path.name for path in folder.iterdir()),
    }


def _content(result: Result) -> dict[str, object]:
    searcher = result.curves.searcher
    return {
        "searcher": getattr(searcher, "name", type(searcher).__name__),
        "configurations": getattr(searcher, "limit", None),
        "summary": result.summary(),
        "rungs": result.rungs().to_dicts(),
        "incumbent": {at: last_incumbent(result, at) for at in ("any", "max_t")},
    }


def last_incumbent(result: Result, at: str) -> dict[str, object] | None:
    rows = result.incumbent("max_t" if at == "max_t" else "any").tail(1).to_dicts()
    return rows[0] if rows else None


# For people


def show(result: Result, explain: list[int], folder: Path | None) -> None:
    """Print a study's facts and rungs on stdout."""
    console = terminal.console()
    summary = result.summary()
    console.print(title(result, summary), style="bold", soft_wrap=True)
    console.print()
    console.print(_facts(result, summary))
    console.print()
    console.print(rung_table(result))
    for trial in explain:
        console.print()
        console.print(result.scheduler.explain(trial).text)
    if folder is not None:
        names = ", ".join(sorted(path.name for path in folder.iterdir()))
        console.print(f"\n{folder}: {names}", soft_wrap=True)


def title(result: Result, summary: dict[str, object]) -> str:
    options = result.scheduler.options.as_dict()
    if "brackets" in options:
        options["brackets"] = result.scheduler.brackets  # there may be fewer than were asked for
    shown = ("max_t", "grace_period", "reduction_factor", "interval", "brackets", "n")
    text = " ".join(f"{name}={options[name]}" for name in shown if name in options)
    return f"{options['type']} {text} on {summary['surrogate']}, {summary['workers']} workers"


def _facts(result: Result, summary: dict[str, object]) -> Table:
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column()
    for name, text in _fact_lines(result, summary):
        table.add_row(name, text)
    return table


def _fact_lines(result: Result, summary: dict[str, object]) -> list[tuple[str, str]]:
    from hbsim.searchers import about

    statuses = ("completed", "stopped", "paused", "failed", "running")
    counts = ", ".join(f"{summary[name]:,} {name}" for name in statuses if summary[name])
    metric = f"{summary['metric']} ({summary['mode']})"
    grid = about(result.curves.searcher)
    name = getattr(result.curves.searcher, "name", "random")
    lines = [
        *([("searcher", grid or name)] if name != "random" else []),
        ("trials", f"{summary['trials']:,}: {counts}"),
        ("jobs", f"{summary['jobs']:,}"),
        ("simulated time", duration(result.end_time) + gone_text(summary)),
        ("workers busy", f"{summary['busy_share']:.1%}, training {summary['training_share']:.1%}"),
        *_cluster_lines(summary),
        ("trained", f"{summary['trained_resource']:,.0f} units of the resource{wasted_text(summary)}"),
        (f"best {metric}", incumbent_text(last_incumbent(result, "any"))),
        ("best completed", incumbent_text(last_incumbent(result, "max_t"))),
    ]
    if summary["regret"] is not None:
        lines.append(("regret at R", f"{summary['regret']:.4g}"))
    if summary["test"] is not None:
        lines.append(("its test value", f"{summary['test']:.6g}"))
    return lines


def gone_text(summary: dict[str, object]) -> str:
    """Say if the study ended since no worker was left."""
    return "" if summary["no_worker_after"] is None else ", when the last worker went: there was work"


def _cluster_lines(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """Return who was not there, what was lost, what it cost and what it took on disks; nothing if nothing."""
    lines = []
    if summary["absent_share"]:
        lines.append(("workers absent", f"{summary['absent_share']:.1%}"))
    kinds = ", ".join(f"{summary[kind]:,} {kind}" for kind in ("lost", "preempted") if summary[kind])
    if kinds:
        lines.append(("jobs cut short", kinds))
    if summary["lost_saves"]:
        lines.append(("checkpoints lost", f"{summary['lost_saves']:,}, not saved in time at a pause"))
    if summary["failed_resource"]:
        text = f"had reached {summary['failed_resource']:,.0f} units of the resource"
        lines.append(("failed trials", text))
    if summary["cost"] is not None:
        idle = summary["idle_cost"] / summary["cost"] if summary["cost"] else 0.0
        lines.append(("cost", f"{summary['cost']:,.2f}, {idle:.1%} of it for idle workers"))
    if summary["disk_peak"] is not None:
        held, collected = gigabytes(summary["disk_peak"]), gigabytes(summary["disk_peak_collected"])
        rest = "" if collected == held else f"; {collected} where those that can never go on are deleted"
        lines.append(("checkpoints", f"at most {held}{rest}"))
    return lines


def gigabytes(amount: float) -> str:
    """Return GB as people read them."""
    return f"{amount:,.0f} GB" if amount >= 100 else f"{amount:.3g} GB"


def wasted_text(summary: dict[str, Any]) -> str:
    """Return what was trained for nothing: four digits, or whole units where there are more."""
    wasted = summary["wasted_resource"]
    if not wasted:
        return ""
    return f", {f'{wasted:,.0f}' if wasted >= 1000 else f'{wasted:.4g}'} of them wasted"


def incumbent_text(row: dict[str, object] | None) -> str:
    if row is None:
        return "none"
    return f"{row['value']:.6g} at {row['resource']:g}, trial {row['trial']}, after {duration(row['time'])}"


def duration(seconds: object) -> str:
    """Return seconds as people read them: ``5,432 s (1.5 h)``."""
    assert isinstance(seconds, float)
    for unit, length in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds:,.0f} s ({seconds / length:.1f} {unit})"
    return f"{seconds:.4g} s"


def rung_table(result: Result) -> RenderableType:
    """Return how many trials of each bracket reached each level, and what became of them there."""
    from rich.table import Table

    rows = result.rungs().to_dicts()
    first = {row["bracket"]: row["recorded"] for row in reversed(rows)}
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    columns = [column for column in COLUMNS if column in ALWAYS or any(row[column] for row in rows)]
    for column in columns:
        table.add_column(COLUMNS[column], justify="right")
    for row in rows:
        row["pause"] -= row["promoted"]  # so that what became of the trials adds up
        row["share"] = row["recorded"] / max(1, first[row["bracket"]])
        table.add_row(*(FORMATS.get(column, "{:,}").format(row[column]) for column in columns))
    return table


ALWAYS: Final = ("bracket", "level", "recorded", "share")
COLUMNS: Final = {
    "bracket": "bracket",
    "level": "level",
    "recorded": "trials",
    "share": "share",
    "continue": "went on",
    "promoted": "promoted",
    "pause": "paused",
    "stop": "stopped",
    "complete": "completed",
    "failed": "failed",
}
FORMATS: Final = {"level": "{:g}", "share": "{:.1%}"}
