"""The simulated workloads of the ASHA paper: `python -m benchmarks.asha_paper --help`.

Writes the same bytes each time, for the same version of matplotlib.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any, Final

from benchmarks.asha_paper_cells import LIMIT, POLICIES, SEEDS, VARIANTS, cells, run_cells
from benchmarks.asha_paper_page import render
from benchmarks.asha_paper_plot import save_policies, save_workloads
from benchmarks.compact import compact_json
from benchmarks.measure import ROOT, say

COMMAND: Final = "python -m benchmarks.asha_paper"
FOLDER: Final = ROOT / "results" / "asha_paper"


def collect(seeds: int, jobs: int) -> dict[str, Any]:
    """Run all cells; return what is written as JSON."""
    todo = list(cells())
    found = []
    for number, figures in enumerate(run_cells(todo, seeds, jobs), 1):
        found.append(dict(figures))
        if number % 20 == 0 or number == len(todo):
            say(f"{number} of {len(todo)} cells")
    return {
        "schema": 1,
        "command": COMMAND,
        "seeds": seeds,
        "time_units": LIMIT,
        "variants": VARIANTS,
        "policies": POLICIES,
        "cells": found,
    }


def to_json(content: dict[str, Any]) -> str:
    """Return one JSON object, a line a cell."""
    return compact_json(content, 2)


def write(content: dict[str, Any], out: Path) -> None:
    """Write the figures, the page and the pictures."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "asha_paper.json").write_text(to_json(content), encoding="utf-8")
    (out / "table.md").write_text(render(content), encoding="utf-8")
    save_workloads(content, out / "workloads.png")
    save_policies(content, out / "policies.png")


def main() -> None:
    """Run the workloads and write them down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=FOLDER, help="a folder")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="studies a cell, seeds 0, 1, ...")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    options = parser.parse_args()
    write(collect(options.seeds, options.jobs), options.out)


if __name__ == "__main__":
    main()
