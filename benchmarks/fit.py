"""Fits to pilots, held against the tables that they were cut from: `python -m benchmarks.fit --help`.

All figures but the seconds are the same on every run.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

from benchmarks.fit_accuracy import accuracy, speed
from benchmarks.fit_censored import stopped_pilots
from benchmarks.fit_page import render
from benchmarks.fit_schedulers import VARIANTS, rankings
from benchmarks.fit_tables import sources
from benchmarks.measure import ROOT, describe_machine, say, write_json
from hbsim.errors import HbsimWarning

DIGITS = 6  # of the figures that are kept
BRACKETS = (1, 3)
STOPPED = {"digits": 200, "nasbench_nlp_wt2": 200}  # rows of a stopped pilot


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="a folder of public recorded curves (.npz)")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "fit", help="a folder")
    parser.add_argument("--pilots", type=int, default=5, help="pilots of each table and size")
    parser.add_argument("--seeds", type=int, default=20, help="studies on each pilot and variant")
    options = parser.parse_args()
    if options.pilots < 2 or options.seeds < 1:
        parser.error("--pilots must be at least 2, and --seeds at least 1")
    if options.data is not None and len(list(sources(options.data))) == 1:
        parser.error(f"--data {options.data} holds no curves that are known here")
    return options


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Return all figures."""
    content: dict[str, Any] = {"accuracy": [], "rankings": [], "stopped": [], "speed": []}
    for source in sources(options.data):
        for size in source.pilots:
            say(f"{source.name}, pilots of {size}")
            named = {"table": source.name, "rows": size}
            lines = accuracy(source, size, options.pilots, folder)
            content["accuracy"].append({**named, "levels": lines})
            found = rankings(source, size, options.pilots, options.seeds, folder)
            content["rankings"].append({**named, **found})
            content["speed"].append({**named, **speed(source, size, folder)})
        for brackets in BRACKETS if source.name in STOPPED else ():
            say(f"{source.name}, stopped pilots, {brackets} brackets")
            named = {"table": source.name, "rows": STOPPED[source.name], "brackets": brackets}
            found = stopped_pilots(source, STOPPED[source.name], brackets, options.pilots, folder)
            content["stopped"].append({**named, **found})
    return content


def rounded(content: Any) -> Any:
    """Return the same with numbers of six digits."""
    if isinstance(content, float):
        return float(f"{content:.{DIGITS}g}")
    if isinstance(content, dict):
        return {key: rounded(value) for key, value in content.items()}
    return [rounded(value) for value in content] if isinstance(content, list) else content


def main() -> None:
    """Measure what the command line asks for."""
    options = parse()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="hbsim-fit-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", HbsimWarning)  # the page says what they say
        found = rounded(measure(options, Path(folder)))
    content = {
        "command": "python -m benchmarks.fit" + (" --data DIR" if options.data else ""),
        "pilots": options.pilots,
        "seeds": options.seeds,
        "variants": list(VARIANTS),
        "machine": describe_machine(),
        "load_at_start": load,
        **found,
    }
    options.out.mkdir(parents=True, exist_ok=True)
    write_json(options.out / "fit.json", content)
    (options.out / "fit.md").write_text(render(content), "utf-8")


if __name__ == "__main__":
    main()
