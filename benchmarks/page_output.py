"""What commands print, as pages show it."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import re
from collections.abc import Iterator
from typing import Final

from typer.testing import CliRunner

from benchmarks.page_blocks import PageError
from benchmarks.report import table
from hbsim.cli.main import app

__all__ = ["printed", "show"]

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


def show(commands: list[list[str]], what: str) -> str:
    """Run commands; return what a marker says of their output, see `benchmarks.page_blocks`."""
    if what.split()[0] != "output":
        return _tables(commands, [column.strip() for column in what.split("|")])
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


def _tables(commands: list[list[str]], columns: list[str]) -> str:
    """Return the tables of comparisons as one; columns that are options come first."""
    options = [column for column in columns if column.startswith("--")]
    columns = columns[len(options) :]
    head = [column.partition(":")[0].replace("_", " ") for column in columns]
    rows: list[list[str]] = []
    for words in commands:
        for place, row in enumerate(_rows(words, columns)):
            lead = [_value(words, option) if place == 0 else "" for option in options]
            rows.append([*lead, *row])
    return table([*(f"`{option}`" for option in options), *head], rows)


def _value(words: list[str], option: str) -> str:
    """Return the value that a command gives to an option; 0 or no where it does not, yes for a flag."""
    flag = option.startswith("--no-")
    if option not in words:
        return "no" if flag else "0"
    return "yes" if flag else f"`{words[words.index(option) + 1]}`"


def _rows(words: list[str], columns: list[str]) -> Iterator[list[str]]:
    """Run a comparison; give its rows, by rank."""
    words = [*words, "--jobs", "1"]
    shown = _table(printed(words))
    numbers: list[dict[str, float]] = [{}] * len(shown)
    if any(":" in column for column in columns):
        numbers = json.loads(printed([*words, "--json"]))["variants"]
    for text, number in zip(shown, numbers, strict=True):
        yield [_cell(column, text, number) for column in columns]


def _table(text: str) -> list[dict[str, str]]:
    """Read the table that a command prints: columns stand apart where no line has anything."""
    lines = text[: text.index("\n\n")].splitlines()
    rule = next(place for place, line in enumerate(lines) if line.startswith("─"))
    width = max(map(len, lines))
    head, rows = ([line.ljust(width) for line in part] for part in (lines[:rule], lines[rule + 1 :]))
    blank = "".join(" " if all(line[i] == " " for line in (*head, *rows)) else "x" for i in range(width))
    spans = [match.span() for match in re.finditer(r"x+(?: x+)*", blank)]
    names = [" ".join(line[start:end].strip() for line in head).strip() for start, end in spans]
    return [
        {name: row[start:end].strip() for name, (start, end) in zip(names, spans, strict=True)}
        for row in rows
    ]


def _cell(column: str, text: dict[str, str], numbers: dict[str, float]) -> str:
    name, _, style = column.partition(":")
    source = numbers if style else text
    if name not in source:
        raise PageError(f"no column {name!r}: {', '.join(source)}")
    if style:
        return f"{numbers[name]:{style}}"
    return f"`{text[name].replace(', ', ',')}`" if name == "variant" else text[name]
