"""Run the pytest-benchmark suites and write their figures: `python -m benchmarks.suite --help`."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.measure import ROOT, conditions, run, say, yardstick
from benchmarks.pages import joined, machine_lines, publish, table

HEAD = ("benchmark", "median ms", "fastest ms", "rounds", "fastest, us each")


def figures(raw: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what is worth keeping of pytest-benchmark's JSON; it would name the host as well."""
    kept = ("min", "median", "rounds")
    return [
        {
            "group": entry["group"],
            "name": entry["name"],
            **{name: entry["stats"][name] for name in kept},
            **entry["extra_info"],
        }
        for entry in raw["benchmarks"]
    ]


def render(content: dict[str, Any]) -> str:
    """Return the page, Markdown."""
    parts = [
        "# Benchmark suites",
        f"Written by `{content['command']}`, which runs `pytest benchmarks --benchmark-only`.",
        "\n".join(machine_lines(content["machine"], content["load_at_start"])),
        f"The yardstick, 1.5 million timeouts in bare SimPy: {content['yardstick']:.2f} s of cpu.",
    ]
    for group, entries in groupby(content["benchmarks"], key=lambda entry: entry["group"]):
        parts += [f"## {group[:1].upper()}{group[1:]}", table(HEAD, map(_cells, entries))]
    return joined(*parts)


def _cells(entry: dict[str, Any]) -> list[str]:
    each = next(
        (f"{v:.3g} ({k.removeprefix('us_per_')})" for k, v in entry.items() if k.startswith("us_")), ""
    )
    times = [f"{1e3 * entry[name]:.4g}" for name in ("median", "min")]
    return [f"`{entry['name']}`", *times, str(entry["rounds"]), each]


def main() -> None:
    """Run the suites and write them down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "speed", help="a folder")
    out = parser.parse_args().out
    measured_on = conditions()
    say("running the suites: about a minute")
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw.json"
        options = ["--benchmark-only", f"--benchmark-json={raw}", "-p", "no:cacheprovider"]
        run([sys.executable, "-m", "pytest", "benchmarks", *options])
        benchmarks = figures(json.loads(raw.read_text()))
    benchmarks.sort(key=lambda entry: entry["group"])  # of a group, in the order of the file
    content = {
        "schema": 1,
        "command": "python -m benchmarks.suite",
        **measured_on,
        "yardstick": yardstick(),
        "benchmarks": benchmarks,
    }
    publish(out, "suite", content, render(content))


if __name__ == "__main__":
    main()
