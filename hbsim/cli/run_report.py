"""A real study for people and for programs."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from hbsim import terminal
from hbsim.cli.show_study import duration, incumbent_text, last_incumbent, rung_table, title, wasted_text

if TYPE_CHECKING:
    from hbsim.study.result import RunResult

__all__ = ["as_json", "resume_command", "show"]

SHOWN: Final = 3  # failed trials


def resume_command(out: Path, command: str = "run") -> str:
    """Return what goes on with a study in a folder, or with the recording of a file."""
    return shlex.join(["hbsim", command, "--resume", "--out", str(out)])


def as_json(result: RunResult, command: str, explain: Sequence[int], folder: Path) -> dict[str, object]:
    """Return what ``--json`` prints: plain types."""
    best = _best_trial(result)
    failures = [{**row, "log": str(_log(folder, row["trial"]))} for row in result.failures().to_dicts()]
    return {
        "command": command,
        "searcher": result.spec.searcher,
        "configurations": result.spec.limit,
        "summary": result.summary(),
        "rungs": result.rungs().to_dicts(),
        "incumbent": {at: last_incumbent(cast(Any, result), at) for at in ("any", "max_t")},
        "configuration": None if best is None else _plain(result.configuration(best)),
        "failures": failures,
        "explain": [asdict(result.scheduler.explain(trial)) for trial in explain],
        "folder": str(folder),
        "resume": resume_command(folder) if result.why == "interrupted" else None,
    }


def _plain(value: object) -> object:
    """Return a choice that is no JSON value as text."""
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value if isinstance(value, bool | int | float | str | None) else repr(value)


def _best_trial(result: RunResult) -> int | None:
    row = last_incumbent(cast(Any, result), "any")
    return None if row is None else cast(int, row["trial"])


def _log(folder: Path, trial: int) -> Path:
    from hbsim.executors.local import trial_folder

    return trial_folder(folder / "trials", trial) / "log.txt"


# For people


def show(result: RunResult, explain: Sequence[int], folder: Path) -> None:
    """Print a study's facts, rungs and failures on stdout."""
    console = terminal.console()
    summary = result.summary()
    console.print(_heading(result, summary), style="bold", soft_wrap=True)
    console.print()
    console.print(_facts(result, summary))
    if len(result.rungs()) and not result.spec.until_return:
        console.print()
        console.print(rung_table(cast(Any, result)))
    for line in _failure_lines(result, folder):
        console.print(line, soft_wrap=True)
    for trial in explain:
        console.print()
        console.print(result.scheduler.explain(trial).text)
    names = ", ".join(sorted(path.name for path in folder.iterdir() if path.name != "lock"))
    console.print(f"\n{folder}: {names}", soft_wrap=True)


def _heading(result: RunResult, summary: Mapping[str, object]) -> str:
    if result.spec.until_return:
        return f"fifo until each returns on {summary['train']}, {summary['workers']} workers"
    return title(cast(Any, result), {**summary, "surrogate": summary["train"]})


def _facts(result: RunResult, summary: Mapping[str, object]) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column()
    for name, text in _fact_lines(result, dict(summary)):
        table.add_row(name, Text(text))
    return table


def _fact_lines(result: RunResult, summary: dict[str, Any]) -> list[tuple[str, str]]:
    statuses = ("completed", "stopped", "paused", "failed", "running")
    said = {} if result.why is None else {"running": "interrupted"}
    counts = ", ".join(f"{summary[name]:,} {said.get(name, name)}" for name in statuses if summary[name])
    best, has_rungs = _best_trial(result), not result.spec.until_return
    wasted = wasted_text(summary) if has_rungs else ""
    name, limit = result.spec.searcher, result.spec.limit
    searcher = name if limit is None else f"{name} of {limit:,} configurations"
    lines = [
        *([("searcher", searcher)] if name != "random" else []),
        ("trials", f"{summary['trials']:,}{': ' if counts else ''}{counts}"),
        ("jobs", f"{summary['jobs']:,}"),
        ("time", duration(result.end_time) + ENDED.get(str(result.why), "")),
        ("workers busy", f"{summary['busy_share']:.1%}, training {summary['training_share']:.1%}"),
        ("trained", f"{summary['trained_resource']:,.0f} units of the resource{wasted}"),
    ]
    if summary["metric"] is not None:
        found = incumbent_text(last_incumbent(cast(Any, result), "any"))
        lines.append((f"best {summary['metric']} ({summary['mode']})", found))
    if best is not None:
        lines.append(("its configuration", _in_words(result.configuration(best))))
    if best is not None and has_rungs:
        lines.append(("best completed", incumbent_text(last_incumbent(cast(Any, result), "max_t"))))
    return lines


ENDED: Final = {
    "interrupted": ", interrupted",
    "max_time": ", cut by --max-time",
    "max_reward": ", ended by --max-reward",
}


def _in_words(configuration: Mapping[str, object]) -> str:
    parts = []
    for name, value in configuration.items():
        parts.append(f"{name}={value:.6g}" if isinstance(value, float) else f"{name}={value}")
    return ", ".join(parts) or "it has no parameters"


def _failure_lines(result: RunResult, folder: Path) -> list[str]:
    """Return the first failed trials, with the last reason of each, and where their tracebacks are."""
    last = {row["trial"]: row for row in result.failures().to_dicts()}
    if not last:
        return []
    lines = ["", f"{_count(len(last), 'trial')} failed at some time:"]
    for trial, row in sorted(last.items())[:SHOWN]:
        lines.append(f"  trial {trial}, {row['kind']}: {row['reason']}")
        lines.append(f"    {_log(folder, trial)}")
    if len(last) > SHOWN:
        lines.append(f"  and {len(last) - SHOWN} more: see {folder / 'trials'}")
    return lines


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
