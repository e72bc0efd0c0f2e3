"""Pages whose figures are what their commands print.

A block of shell commands may be followed by a marker, a comment that a reader does not see. It says what of
their output the page shows; what stands between it and the end marker is made from that::

    <!-- shows output -->                             what the commands print
    <!-- shows output from bracket -->                from the first line that starts so
    <!-- shows variant | these curves -->             these columns of a comparison
    <!-- shows --startup | variant | jobs:,.0f -->    several commands' tables as one, options' values first
    <!-- end -->

The columns of a comparison are those of `benchmarks.doc_pages.rows_of`; numbers have a format
(``jobs:,.0f``).
"""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import shlex
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeAlias

import polars as pl
from typer.testing import CliRunner

from benchmarks.pages import table
from hbsim import load_sweep
from hbsim.bench.comparison import Sweep
from hbsim.bench.formatting import decimals, interval
from hbsim.bench.report.model import OPEN
from hbsim.cli.main import app

Show: TypeAlias = Callable[[list[list[str]], str], str]

BLOCK: Final = re.compile(
    r"```sh\n(?P<shell>[^`]*)```\n\n<!-- shows (?P<what>[^\n]*?) -->\n(?P<shown>.*?)<!-- end -->", re.DOTALL
)
SHELL: Final = re.compile(r"```sh\n([^`]*)```")
MARKER: Final = re.compile(r"<!-- shows ")
CODE: Final = r"```.*?```|<!-- shows .*?<!-- end -->"
# What holds no claim: inline code, comments, and where links lead.
ASIDE: Final = re.compile(r"`[^`\n]*`|<!--.*?-->|\]\([^)]*\)", re.DOTALL)
# A figure that was measured: with a decimal point or a percent sign, or of three digits and more.
FIGURE: Final = re.compile(r"\d[\d,]*\.\d+(?: ?%)?|\d[\d,]* ?%|\d{1,3}(?:,\d{3})+|\d{3,}")
ALLOWED: Final = {"95%", "5%", "100", "0.13", "0.16"}  # intervals, tests, seeds; versions of Syne Tune


class PageError(Exception):
    """A page cannot be filled: a marker stands alone, a command fails, or a column is not there."""


def commands(text: str) -> list[list[str]]:
    """Return the words of all shell commands of a page, in order."""
    return [words for match in SHELL.finditer(text) for words in _split(match[1])]


def _split(shell: str) -> list[list[str]]:
    lines = shell.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def filled(text: str, show: Show) -> str:
    """Return a page with all that it shows made anew.

    Parameters
    ----------
    text : str
        The page, Markdown.
    show : callable
        From commands and what a marker says to what the page shows; `show`.

    Raises
    ------
    PageError
        A marker has no block of commands before it, or no end.
    """
    alone = len(MARKER.findall(text)) - len(BLOCK.findall(text))
    if alone:
        raise PageError(f"{alone} markers do not follow a block of commands, or have no end")

    def fill(match: re.Match[str]) -> str:
        start = match.start("shown") - match.start()
        shown = show(_split(match["shell"]), match["what"])
        return f"{match[0][:start]}\n{shown}\n\n<!-- end -->"

    return BLOCK.sub(fill, text)


def loose_figures(text: str) -> Iterator[str]:
    """Give each figure of a page's sentences that no command or block of the same section has.

    A section goes from a heading ``##`` to the next.
    """
    for section in re.split(r"^(?=## )", text, flags=re.MULTILINE):
        code = " ".join(re.findall(CODE, section, flags=re.DOTALL))
        known = {_plain(figure) for figure in FIGURE.findall(code)}
        known |= {_plain(number) for number in re.findall(r"\d[\d,]*(?:\.\d+)?", code)}
        prose = ASIDE.sub(" ", re.sub(CODE, " ", section, flags=re.DOTALL))
        for figure in FIGURE.findall(prose):
            if _plain(figure) not in known | ALLOWED:
                yield figure


def _plain(figure: str) -> str:
    return figure.replace(" ", "").rstrip(",")


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
    """Return what a marker says of the output of commands, see the module.

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
