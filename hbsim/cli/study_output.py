"""Output of one study, simulated or real: for people, as JSON, and as files."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from hbsim import terminal
from hbsim.cli.output import duration, facts, table, versions, write_frame, write_json
from hbsim.core.types import LOSSES

if TYPE_CHECKING:
    from rich.table import Table

    from hbsim.simulation import Result
    from hbsim.study.result import RunResult
    from hbsim.study.simulated_run import SimulatedResult

Summary: TypeAlias = Mapping[str, Any]
MANY_FAILED: Final = 0.1  # share of the trials
LITTLE: Final = 0.05  # share of the busy time
FAILED_SHOWN: Final = 3  # trials


@dataclass(frozen=True, slots=True)
class Request:
    """The request: the command as text, and all options."""

    command: str
    options: Mapping[str, object]


# Files and JSON


def write(result: Result, request: Request, folder: Path) -> None:
    """Write a simulated study's tables as Parquet, and summary.json; the same study gives the same bytes."""
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
    scheduler, cluster = result.scheduler.options.as_dict(), result.cluster.as_dict()
    content = {
        "schema": 1,
        "command": request.command,
        "options": {**request.options, "scheduler": scheduler, "cluster": cluster},
        "versions": versions(),
        **_content(result),
    }
    write_json(folder / "summary.json", content)


def as_json(
    result: Result, request: Request, explain: Sequence[int], folder: Path | None
) -> dict[str, object]:
    """Return the output of ``--json`` for a simulated study, in plain types."""
    return {
        "command": request.command,
        **_content(result),
        "explain": _explained(result, explain),
        "out": None if folder is None else str(folder),
        "files": [] if folder is None else _names(folder),
    }


def _content(result: Result) -> dict[str, object]:
    searcher = result.curves.searcher
    return {
        "searcher": getattr(searcher, "name", type(searcher).__name__),
        "configurations": getattr(searcher, "limit", None),
        **_numbers(result),
    }


def run_as_json(
    result: RunResult | SimulatedResult, command: str, explain: Sequence[int], folder: Path, to_go_on: str
) -> dict[str, object]:
    """Return the output of ``--json`` of ``hbsim run``, in plain types; `to_go_on` resumes a real study."""
    from hbsim.study.status import plain_value

    best = _last_incumbent(result, "any")
    kept = result.folder is not None
    failures = [
        {**row, "log": str(_log(folder, row["trial"])) if kept else None}
        for row in result.failures.select("trial", "kind", "reason").to_dicts()
    ]
    return {
        "command": command,
        "searcher": result.spec.searcher,
        "configurations": result.spec.limit,
        **_numbers(result),
        "configuration": None if best is None else plain_value(result.configuration(best["trial"])),
        "failures": failures,
        "explain": _explained(result, explain),
        "folder": str(folder) if kept else None,
        "resume": to_go_on if kept and result.why == "interrupted" else None,
    }


def _numbers(result: Result | RunResult) -> dict[str, object]:
    return {
        "summary": result.summary(),
        "rungs": result.rungs().to_dicts(),
        "incumbent": {at: _last_incumbent(result, at) for at in ("any", "max_t")},
    }


def _explained(result: Result | RunResult, explain: Sequence[int]) -> list[dict[str, object]]:
    return [asdict(result.scheduler.explain(trial)) for trial in explain]


def _last_incumbent(result: Result | RunResult, at: str) -> dict[str, Any] | None:
    rows = result.incumbent("max_t" if at == "max_t" else "any").tail(1).to_dicts()
    return rows[0] if rows else None


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "lock")


def _log(folder: Path, trial: int) -> Path:
    from hbsim.executors.local import trial_folder

    return trial_folder(folder / "trials", trial) / "log.txt"


def resume_command(out: Path, command: str = "run", option: str = "--folder") -> str:
    """Return the command that resumes a study in a folder, or the recording of a file."""
    return shlex.join(["hbsim", command, "--resume", option, str(out)])


# For people


def show(result: Result, explain: Sequence[int], folder: Path | None) -> None:
    """Print a simulated study's facts and rungs on stdout."""
    summary = result.summary()
    _print(result, _title(result, summary), _facts(result, summary), [], explain, folder, True)


def show_run(result: RunResult | SimulatedResult, explain: Sequence[int], folder: Path) -> None:
    """Print a study's facts, rungs and failures on stdout, for ``hbsim run``."""
    summary = result.summary()
    until_return = result.spec.until_return
    title = f"fifo until each returns on {summary['train']}, {_workers(summary)}"
    if not until_return:
        title = _title(result, {**summary, "surrogate": summary["train"]})
    has_rungs = len(result.rungs()) > 0 and not until_return
    kept = result.folder is not None
    title += "" if kept else f", simulated on {summary['surrogate']}"
    lines = _failure_lines(result, folder) if kept else []
    _print(result, title, _run_facts(result, summary), lines, explain, folder if kept else None, has_rungs)


def _print(
    result: Result | RunResult,
    title: str,
    lines: Sequence[tuple[str, str]],
    failures: Sequence[str],
    explain: Sequence[int],
    folder: Path | None,
    has_rungs: bool,
) -> None:
    console = terminal.console()
    console.print(title, style="bold", soft_wrap=True)
    console.print()
    console.print(facts(lines))
    if has_rungs:
        console.print()
        console.print(rung_table(result))
    for line in failures:
        console.print(line, soft_wrap=True)
    for trial in explain:
        console.print()
        console.print(result.scheduler.explain(trial).text)
    if folder is not None:
        console.print(f"\n{folder}: {', '.join(_names(folder))}", soft_wrap=True)


def _title(result: Result | RunResult, summary: Summary) -> str:
    options = result.scheduler.options.as_dict()
    if "brackets" in options:
        options["brackets"] = result.scheduler.brackets  # there may be fewer than the option says
    shown = ("max_t", "grace_period", "reduction_factor", "interval", "brackets", "n")
    text = " ".join(f"{name}={options[name]}" for name in shown if name in options)
    return f"{options['type']} {text} on {summary['surrogate']}, {_workers(summary)}"


def _workers(summary: Summary) -> str:
    count = summary["workers"]
    return f"{count} worker{'' if count == 1 else 's'}"


def _facts(result: Result, summary: Summary) -> list[tuple[str, str]]:
    from hbsim.searchers import about

    searcher = result.curves.searcher
    name = getattr(searcher, "name", "random")
    lines = [
        *([("searcher", about(searcher) or name)] if name != "random" else []),
        ("trials", f"{summary['trials']:,}: {_counts(summary)}"),
        ("jobs", f"{summary['jobs']:,}"),
        ("simulated time", duration(result.end_time) + _gone(summary)),
        ("workers busy", f"{summary['busy_share']:.1%}, training {summary['training_share']:.1%}"),
        *_cluster_lines(summary),
        ("trained", f"{summary['trained_resource']:,.0f} units of the resource{_wasted(summary)}"),
        (f"best {summary['metric']} ({summary['mode']})", _incumbent(result, "any")),
        ("best completed", _incumbent(result, "max_t")),
    ]
    if summary["regret"] is not None:
        lines.append(("regret at R", f"{summary['regret']:.4g}"))
    if summary["test"] is not None:
        lines.append(("its test value", f"{summary['test']:.6g}"))
    return lines


def _run_facts(result: RunResult | SimulatedResult, summary: Summary) -> list[tuple[str, str]]:
    from hbsim.study.result import RunResult

    running = "running" if result.why is None else "interrupted"
    ending = "" if result.why is None else result.why.ending
    counts, until_return = _counts(summary, running), result.spec.until_return
    wasted = "" if until_return else _wasted(summary)
    name, limit = result.spec.searcher, result.spec.limit
    searcher = name if limit is None else f"{name} of {limit:,} configurations"
    time, gone, cluster = "time", "", []
    if result.folder is None:
        time, gone, cluster = "simulated time", _gone(summary), _cluster_lines(summary)
    lines = [
        *([("searcher", searcher)] if name != "random" else []),
        ("trials", f"{summary['trials']:,}{': ' if counts else ''}{counts}"),
        ("jobs", f"{summary['jobs']:,}"),
        (time, duration(result.end_time) + ending + gone),
        ("workers busy", f"{summary['busy_share']:.1%}, training {summary['training_share']:.1%}"),
        *cluster,
        ("trained", f"{summary['trained_resource']:,.0f} units of the resource{wasted}"),
    ]
    if summary["metric"] is not None:
        lines.append((f"best {summary['metric']} ({summary['mode']})", _incumbent(result, "any")))
    best = _last_incumbent(result, "any")
    if best is not None:
        found = (best["trial"], best["resource"])
        changed = result.changed(*found) if isinstance(result, RunResult) else {}
        lines.append(("its configuration", _configuration(result.configuration(best["trial"]), changed)))
        if not until_return:
            lines.append(("best completed", _incumbent(result, "max_t")))
    return lines


def _gone(summary: Summary) -> str:
    return "" if summary["no_worker_after"] is None else ", when the last worker went: there was work"


def _counts(summary: Summary, running: str = "running") -> str:
    statuses = {name: name for name in ("completed", "stopped", "paused", "failed")} | {"running": running}
    return ", ".join(f"{summary[name]:,} {text}" for name, text in statuses.items() if summary[name])


def _cluster_lines(summary: Summary) -> list[tuple[str, str]]:
    """Return the lines on absent workers, lost work, costs and disk space; only those that apply."""
    lines = []
    if summary["absent_share"]:
        lines.append(("workers absent", f"{summary['absent_share']:.1%}"))
    kinds = ", ".join(f"{summary[kind]:,} {kind}" for kind in LOSSES if summary[kind])
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
        held, collected = _gigabytes(summary["disk_peak"]), _gigabytes(summary["disk_peak_collected"])
        rest = "" if collected == held else f"; {collected} where those that can never go on are deleted"
        lines.append(("checkpoints", f"at most {held}{rest}"))
    return lines


def _gigabytes(amount: float) -> str:
    return f"{amount:,.0f} GB" if amount >= 100 else f"{amount:.3g} GB"


def _wasted(summary: Summary) -> str:
    """Return the wasted training as text: four digits, or whole units if there are more."""
    wasted = summary["wasted_resource"]
    if not wasted:
        return ""
    return f", {f'{wasted:,.0f}' if wasted >= 1000 else f'{wasted:.4g}'} of them wasted"


def _incumbent(result: Result | RunResult, at: str) -> str:
    row = _last_incumbent(result, at)
    if row is None:
        return "none"
    return f"{row['value']:.6g} at {row['resource']:g}, trial {row['trial']}, after {duration(row['time'])}"


def _configuration(configuration: Mapping[str, object], changed: Mapping[str, tuple[object, object]]) -> str:
    values = {name: (value,) for name, value in configuration.items()} | dict(changed)
    parts = []
    for name, several in values.items():
        texts = (f"{value:.6g}" if isinstance(value, float) else str(value) for value in several)
        parts.append(f"{name}={' -> '.join(texts)}")
    return ", ".join(parts) or "it has no parameters"


def rung_table(result: Result | RunResult) -> Table:
    """Return the numbers of trials that reached each level of each bracket, and of decisions there."""
    from hbsim.runner.summaries import rung_texts

    headings, *rows = rung_texts(result.rungs())
    return table(headings, rows)


def _failure_lines(result: RunResult | SimulatedResult, folder: Path) -> list[str]:
    """Return lines on the first failed trials, with the last reason of each, and the files of tracebacks."""
    last = {row["trial"]: row for row in result.failures.to_dicts()}
    if not last:
        return []
    lines = ["", f"{len(last):,} trial{'' if len(last) == 1 else 's'} failed at some time:"]
    for trial, row in sorted(last.items())[:FAILED_SHOWN]:
        lines.append(f"  trial {trial}, {row['kind']}: {row['reason']}")
        lines.append(f"    {_log(folder, trial)}")
    if len(last) > FAILED_SHOWN:
        lines.append(f"  and {len(last) - FAILED_SHOWN} more: see {folder / 'trials'}")
    return lines


# Warnings and notes on simulated studies


def notes(result: Result) -> list[tuple[str, str]]:
    """Return warnings and notes on a simulated study, each with its kind: ``"warning"`` or ``"note"``."""
    lines = []
    scheduler = result.scheduler
    trials, failed = scheduler.started, scheduler.status_counts()["failed"]
    if failed and failed >= MANY_FAILED * trials and result.no_worker_after is None:
        retries, option = scheduler.options.retries, "--retries"
        if scheduler.options.loss_retries is not None:  # all simulated failures are losses
            retries, option = scheduler.options.loss_retries, "--loss-retries"
        text = f"{failed:,} of {trials:,} trials failed for good: give more {option} (now {retries})"
        lines.append(("warning", text))
    rows = result.simulated.jobs.ended()
    busy, trained = math.fsum(rows["end_time"] - rows["start_time"]), math.fsum(rows["trained"])
    if trained and trained < LITTLE * busy:
        own = "synthetic:seconds=..., " if result.curves.surrogate.name.startswith("synthetic") else ""
        text = (
            f"a trial of these curves trains for {duration(trained / trials)} on average, and start-up, "
            f"loading, saving and waiting take {duration((busy - trained) / len(rows))} a job: give the "
            f"curves' real cost ({own}--wrap cost:factor=...)"
        )
        lines.append(("note", text))
    return lines
