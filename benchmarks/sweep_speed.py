"""How fast sweeps and reports are, and what a second process brings: `python -m benchmarks.sweep_speed`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.measure import ROOT, Cost, conditions, run, say
from benchmarks.pages import joined, machine_lines, publish, table

VARIANTS: Final = """
[[variants]]
type = "stopping"
vary = {brackets = [1, 2, 3, 4], reduction_factor = [2, 3, 4]}
[[variants]]
type = "promotion"
vary = {brackets = [1, 2, 3, 4], reduction_factor = [2, 3, 4]}
"""
# 24 variants x 3 numbers of workers x 14 seeds: 1,008 cells.
THOUSAND: Final = f"""
seeds = 14
workers = [4, 32, 256]
[defaults]
num_trials = 1000
{VARIANTS}
[[surrogates]]
surrogate = "digits"
"""
# 24 variants x 7 problems x 6 numbers of workers x 10 seeds: 10,080 cells.
PROBLEMS: Final = ("", ",noise=0.1", ",early_rank=0.1", ",early_rank=0.9", ",divergence=0.5",
                   ",family=exponential", ",cost_spread=16")  # fmt: skip
TEN_THOUSAND: Final = f"""
seeds = 10
workers = [1, 2, 4, 8, 16, 32]
[defaults]
num_trials = 60
{VARIANTS}
""" + "".join(f'[[surrogates]]\nsurrogate = "synthetic:max_resource=27{options}"\n' for options in PROBLEMS)
HBSIM: Final = (sys.executable, "-m", "hbsim")


def sweep(folder: Path, spec: str, jobs: int) -> Cost:
    """Run a sweep into `folder`/out."""
    (folder / "study.toml").write_text(spec)
    return run(
        [*HBSIM, "sweep", str(folder / "study.toml"), "--out", str(folder / "out"), "--jobs", str(jobs)]
    )


def report(folder: Path) -> tuple[Cost, int]:
    """Make the page of a sweep; also return its bytes."""
    page = folder / "page.html"
    cost = run([*HBSIM, "report", str(folder / "out"), "--out", str(page)])
    return cost, page.stat().st_size


def measure(rounds: int) -> dict[str, Any]:
    """Run one and two processes in turn, and the large sweep once."""
    walls: dict[int, list[float]] = {1: [], 2: []}
    content: dict[str, Any] = {}
    for number in range(rounds):
        for jobs, found in walls.items():
            with tempfile.TemporaryDirectory() as name:
                cost = sweep(Path(name), THOUSAND, jobs)
                say(f"1,008 cells of 1,000 trials, {jobs} processes: {cost.wall:.1f} s")
                found.append(cost.wall)
                if number == 0 and jobs == 2:
                    made, size = report(Path(name))
                    content["thousand_report"] = {"wall": made.wall, "cpu": made.cpu, "bytes": size}
    with tempfile.TemporaryDirectory() as name:
        cost = sweep(Path(name), TEN_THOUSAND, 2)
        made, size = report(Path(name))
    large = {
        "sweep": cost.wall,
        "wall": made.wall,
        "cpu": made.cpu,
        "bytes": size,
        "megabytes": made.megabytes,
    }
    ratios = [one / two for one, two in zip(walls[1], walls[2], strict=True)]
    return {**content, "walls": walls, "ratios": ratios, "ten_thousand": large}


def render(content: dict[str, Any]) -> str:
    """Return the page, Markdown."""
    one, two = (median(content["walls"][jobs]) for jobs in (1, 2))
    large, small = content["ten_thousand"], content["thousand_report"]
    ratios = ", ".join(f"{ratio:.2f}" for ratio in content["ratios"])
    rows = [
        ("1,008 cells of 1,000 trials on digits, 1 process", f"{one:.1f}", ""),
        ("the same, 2 processes", f"{two:.1f}", ""),
        ("its report", f"{small['wall']:.1f}", f"{small['bytes'] / 1e6:.1f}"),
        ("10,080 cells of 60 trials on 7 problems, 2 processes", f"{large['sweep']:.1f}", ""),
        ("its report", f"{large['wall']:.1f}", f"{large['bytes'] / 1e6:.1f}"),
    ]
    parts = [
        "# Sweeps and reports",
        f"Written by `{content['command']}`.",
        "\n".join(machine_lines(content["machine"], content["load_at_start"])),
        "Whole commands, from start to exit; medians where there are several.",
        table(("what", "wall s", "page MB"), rows),
        f"A second process makes it {median(content['ratios']):.2f} times as fast (in turn: {ratios}).",
    ]
    return joined(*parts)


def main() -> None:
    """Measure and write it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "speed", help="a folder")
    options = parser.parse_args()
    measured_on = conditions()
    content = {
        "schema": 1,
        "command": "python -m benchmarks.sweep_speed",
        **measured_on,
        **measure(options.rounds),
    }
    publish(options.out, "sweep", content, render(content))


if __name__ == "__main__":
    main()
