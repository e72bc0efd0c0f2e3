"""Hyperband's brackets, walks of successive halving, and how soon one trial is at R.

`python -m benchmarks.brackets` writes the same bytes each time.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.brackets_figures import LARGEST, SEEDS, collect
from benchmarks.compact import compact_json
from benchmarks.measure import ROOT
from benchmarks.report import table

COMMAND: Final = "python -m benchmarks.brackets"
FOLDER: Final = ROOT / "results" / "brackets"
DOC: Final = "../../docs/explanation/brackets.md"
NUMBERS: Final = """\
`n@level`: so many trials are trained to this level. A bracket's number says where it starts; s = K - bracket
is the Hyperband paper's number. Units are those of R that all rungs train, where promoted trials go on from
checkpoints, and where they train from zero."""
FORMS: Final = {"ceil": "ceil((K+1)·eta^s/(s+1))", "floor": "floor(floor((K+1)/(s+1))·eta^s)"}
WALKS: Final = """\
Nine trials, r=1, R=9, eta=3, one worker; trials are counted from 1. At level 1 the best are 1, 6 and 8, in
this order, at level 3 it is 8. Each step is a trial and the level that it is trained to."""
FIRST: Final = f"""\
R trials on R workers; a job takes the resource that it trains. Time of the first trial at R: the least, the
mean and the most over {SEEDS} random orders of quality."""


def render(content: dict[str, Any]) -> str:
    """Return the page, Markdown."""
    parts = [
        "# Brackets",
        f"Written by `{COMMAND}`, with [the same as JSON](brackets.json). [What it means]({DOC}).",
        NUMBERS,
        *_tables(content["tables"]),
        *_float(content),
        "## The walk of nine trials",
        WALKS,
        table(("scheduler", "steps"), ([name, _walk(steps)] for name, steps in content["walks"].items())),
        "## How soon one trial is at R",
        FIRST,
        table(
            ("eta", "R", "promotions train", "`straight_on`", "least", "mean", "most"),
            _first(content["first"]),
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _tables(tables: dict[str, Any]) -> Iterator[str]:
    for max_t, forms in tables.items():
        for form, brackets in forms.items():
            yield f'## R={max_t}, eta=3, `n_formula="{form}"`'
            yield f"A bracket starts {FORMS[form]} trials."
            yield table(("bracket", "s", "rungs", "units from checkpoints", "from zero"), _rows(brackets))


def _rows(brackets: Sequence[Sequence[Sequence[int]]]) -> Iterator[list[str]]:
    last = len(brackets) - 1
    totals = [0, 0]
    for bracket, rungs in enumerate(brackets):
        below = [0, *(level for _, level in rungs)]
        kept = sum(n * (level - before) for (n, level), before in zip(rungs, below, strict=False))
        again = sum(n * level for n, level in rungs)
        totals = [totals[0] + kept, totals[1] + again]
        yield [str(bracket), str(last - bracket), _rungs(rungs), f"{kept:,}", f"{again:,}"]
    yield ["all", "", f"{sum(rungs[0][0] for rungs in brackets)} trials", *(f"{total:,}" for total in totals)]


def _rungs(rungs: Iterable[Sequence[int]]) -> str:
    return " ".join(f"{n}@{level}" for n, level in rungs)


def _float(content: dict[str, Any]) -> Iterator[str]:
    case = content["float"]
    sizes = [n for n, _ in case["brackets"]]
    yield "## What a float makes of them"
    yield "\n".join(
        (
            f"`log({case['R']}) / log({case['eta']})` is {case['quotient']!r} in floats: its integer part",
            f"is {len(sizes) - 1}, not {len(sizes)}. What is left: {', '.join(map(str, sizes))} trials:",
            f"{_rungs(case['brackets'])}. The one of 243@1 is gone: no trial is judged before 3 units.",
        )
    )
    yield (
        f"Powers R = eta^K up to {LARGEST:,}, eta from 2 to 10, where the integer part falls short of K, by"
        " the logarithm that is taken:"
    )
    rows = ([row["eta"], row["K"], f"{row['R']:,}", ", ".join(row["short"])] for row in content["lost"])
    yield table(("eta", "K", "R", "short with"), rows)


def _walk(steps: Iterable[Sequence[int]]) -> str:
    return " ".join(f"{trial}@{level}" for trial, level in steps)


def _first(rows: Iterable[dict[str, Any]]) -> Iterator[list[str]]:
    for row in rows:
        train = "from checkpoints" if row["resume"] else "from zero"
        times = (f"{row[name]:g}" for name in ("least", "mean", "most"))
        yield [str(row["eta"]), str(row["R"]), train, str(row["straight_on"]), *times]


def write(content: dict[str, Any], out: Path) -> None:
    """Write the page and the figures."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "brackets.md").write_text(render(content), encoding="utf-8")
    (out / "brackets.json").write_text(to_json(content), encoding="utf-8")


def to_json(content: dict[str, Any]) -> str:
    """Return one JSON object."""
    return compact_json({"schema": 1, "command": COMMAND, **content}, 2)


def main() -> None:
    """Work everything out and write it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=FOLDER, help="a folder")
    write(collect(), parser.parse_args().out)


if __name__ == "__main__":
    main()
