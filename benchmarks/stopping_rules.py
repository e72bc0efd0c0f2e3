"""Hold the four stopping rules against each other: `python -m benchmarks.stopping_rules --help`.

The same command and the same curves give the same bytes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import ROOT, rounded, say, write_json
from benchmarks.rules_counts import exact_rows, kind_rows, simulated_rows
from benchmarks.rules_curves import study
from benchmarks.rules_page import exact_table, render, summary
from benchmarks.rules_sets import CurveSet, predicted, recorded, shipped

__all__ = ["main"]


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="a folder of public recorded curves (.npz)")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "stopping_rules", help="a folder")
    parser.add_argument("--seeds", type=int, default=100, help="studies of each kind, rule and set of curves")
    parser.add_argument("--jobs", type=int, help="processes (default: one a core)")
    parser.add_argument("--exact", action="store_true", help="only print how many go on, worked out exactly")
    parser.add_argument("--summary", action="store_true", help="only print what the figures in --out say")
    options = parser.parse_args(arguments)
    if options.seeds < 2:
        parser.error("--seeds must be at least 2: an interval needs two")
    if options.data is not None and not public(options.data):
        parser.error(f"--data {options.data} holds no curves that are known here")
    return options


def public(folder: Path) -> list[CurveSet]:
    """Return the public curves that a folder has."""
    return [*recorded(folder), *predicted(folder)]


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return all figures."""
    sets = [*shipped(), *(public(options.data) if options.data is not None else ())]
    content: dict[str, Any] = {
        "command": "python -m benchmarks.stopping_rules" + (" --data DIR" if options.data else ""),
        "seeds": options.seeds,
        "exact": list(simulated_rows()),
        "kinds": list(kind_rows()),
        "curves": [],
    }
    for curves in sets:
        say(curves.title)
        content["curves"].append(study(curves, options.seeds, options.jobs))
    return content


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the command line asks for."""
    options = parse(arguments)
    if options.exact:
        print(exact_table(exact_rows()))
        return
    if options.summary:
        print(summary(json.loads((options.out / "stopping_rules.json").read_text("utf-8"))))
        return
    from benchmarks.rules_plot import draw

    content = json.loads(json.dumps(rounded(measure(options))))
    options.out.mkdir(parents=True, exist_ok=True)
    write_json(options.out / "stopping_rules.json", content)
    (options.out / "stopping_rules.md").write_text(render(content), "utf-8")
    draw(content["curves"], options.out / "stopping_rules.png")


if __name__ == "__main__":
    main()
