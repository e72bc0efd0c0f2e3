"""What commands print, as pages show it."""

from __future__ import annotations

import contextlib
import importlib
import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeAlias

import polars as pl
from typer.testing import CliRunner

from benchmarks.page_blocks import PageError
from benchmarks.report import table
from hbsim import load_sweep
from hbsim.bench.comparison import Sweep
from hbsim.bench.report.formatting import decimals, interval
from hbsim.bench.report.model import OPEN
from hbsim.cli.main import app

__all__ = ["Row", "printed", "rows_of", "run_comparison", "show"]

Row: TypeAlias = dict[str, Any]
Compared: TypeAlias = Callable[[list[str]], list[Row]]

CALLS: Final = {OPEN: "≈"}
COUNTS: Final = (
    "trials",
    "jobs",
    "completed",
    "failed",
    "busy_share",
    "simulated_seconds",
    "trained_resource",
    "wasted_resource",
)
OURS: Final = ["python", "-m"]  # then a module of benchmarks


def printed(words: list[str]) -> str:
    """Run a command within this process, in the current folder; return its stdout.

    Raises
    ------
    PageError
        It is no command of ours, or fails.
    """
    if words[:2] == OURS and words[2].startswith("benchmarks."):
        with contextlib.redirect_stdout(io.StringIO()) as out:
            importlib.import_module(words[2]).main(words[3:])
        return out.getvalue()
    if words[0] != "hbsim":
        raise PageError(f"{' '.join(words)}: must start with hbsim or {' '.join(OURS)} benchmarks.")
    result = CliRunner().invoke(app, words[1:], catch_exceptions=False)
    if result.exit_code:
        raise PageError(f"{' '.join(words)}: exit code {result.exit_code}: {result.stderr}")
    return result.stdout


def show(commands: list[list[str]], what: str, compared: Compared | None = None) -> str:
    """Return what a marker says of the output of commands, see `benchmarks.page_blocks`.

    Parameters
    ----------
    commands : list of list of str
        Their words.
    what : str
        What the marker says.
    compared : callable, optional
        From the words of a comparison to its rows; by default it is run.
    """
    if what.split()[0] != "output":
        columns = [column.strip() for column in what.split("|")]
        return _tables(commands, columns, compared or run_comparison)
    first = what.partition(" from ")[2]
    texts = ["\n".join(_from(first, printed(words))) for words in commands]
    if all(text.startswith("|") for text in texts):
        return "\n\n".join(texts)
    return "```text\n" + "\n\n".join(texts) + "\n```"


def _from(first: str, text: str) -> list[str]:
    lines = [line.rstrip() for line in text.strip("\n").splitlines()]
    starts = [place for place, line in enumerate(lines) if line.startswith(first)]
    if not starts:
        raise PageError(f"no line starts with {first!r}")
    return lines[starts[0] :]


def _tables(commands: list[list[str]], columns: list[str], compared: Compared) -> str:
    """Return the tables of comparisons as one; columns that are options come first."""
    options = [column for column in columns if column.startswith("--")]
    columns = columns[len(options) :]
    head = [column.partition(":")[0].replace("_", " ") for column in columns]
    rows: list[list[str]] = []
    for words in commands:
        for place, row in enumerate(compared(words)):
            lead = [_value(words, option) if place == 0 else "" for option in options]
            rows.append([*lead, *(_cell(column, row) for column in columns)])
    return table([*(f"`{option}`" for option in options), *head], rows)


def _value(words: list[str], option: str) -> str:
    """Return the value that a command gives to an option; 0 or no where it does not, yes for a flag."""
    flag = option.startswith("--no-")
    if option not in words:
        return "no" if flag else "0"
    return "yes" if flag else f"`{words[words.index(option) + 1]}`"


def _cell(column: str, row: Row) -> str:
    name, _, style = column.partition(":")
    if name not in row:
        raise PageError(f"no column {name!r}: {', '.join(row)}")
    value = row[name]
    if style:
        return f"{value:{style}}"
    return f"`{value}`" if name == "variant" else str(value)


def run_comparison(words: list[str], jobs: int = 1) -> list[Row]:
    """Run `hbsim compare` as a command says, and return a row a variant, by rank; see `rows_of`.

    Raises
    ------
    PageError
        It is another command, or fails.
    """
    if words[:2] != ["hbsim", "compare"]:
        raise PageError(f"{' '.join(words)}: must start with hbsim compare")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "comparison")
        printed([*words, "--jobs", str(jobs), "--out", str(out)])
        return rows_of(load_sweep(out))


def rows_of(sweep: Sweep) -> list[Row]:
    """Return a row a variant of a comparison, by rank.

    ``variant``; ``score``, the mean normalised regret, and ``normalised regret`` with its 95 % interval; how
    it stands on ``these curves`` and on ``another draw`` of configurations; and means over its studies of
    counts.
    """
    (task,) = sweep.report.tasks
    digits = decimals(row.score for row in task.rows)
    means = {row["variant"]: row for row in sweep.cells.group_by("variant").agg(pl.mean(*COUNTS)).to_dicts()}
    return [
        {
            "variant": row.variant,
            "score": row.score.mean,
            "normalised regret": interval(row.score, digits),
            "these curves": CALLS.get(row.curves.call, row.curves.call),
            "another draw": "–" if row.draw is None else CALLS.get(row.draw.call, row.draw.call),
            **{name: means[row.variant][name] for name in COUNTS},
        }
        for row in task.rows
    ]
