"""Small studies against committed traces, to the last digit: what a seed means must not change.

Where it has to change on purpose, `python tests/simulation/test_golden.py` writes the files again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

import hbsim
from hbsim.core import make_scheduler

GOLDEN = Path(__file__).with_name("golden")
# Without formulas: a power or a logarithm may differ between machines in its last digit.
STUDIES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "stopping": (
        "stopping",
        {"brackets": 3, "num_trials": 30, "reduction_factor": 3},
        {"workers": 4, "startup": 0.5, "report_delay": 0.25, "report": "async"},
    ),
    "promotion": (
        "promotion",
        {"num_trials": 24, "straight_on": False, "retries": 1},
        {"workers": 3, "speed": [1, 2, 1], "load": 0.25, "straggler_std": 0.5, "drop_rate": 0.04},
    ),
    "pasha": (
        "pasha",
        {"num_trials": 40, "retries": 1, "mode": "min"},
        {"workers": 4, "save": 0.0625, "drop_rate": 0.25},
    ),
    "median": (
        "median",
        {"num_trials": 24, "interval": 4, "min_samples": 2},
        {"workers": 3, "startup": 0.5, "report_delay": 0.25},
    ),
    "hyperband": ("hyperband", {"num_trials": 60}, {"workers": 8, "save": 0.5, "load": 1}),
}


def run(name: str) -> hbsim.Result:
    type, options, cluster = STUDIES[name]
    scheduler = make_scheduler(type, max_t=27, seed=11, **options)
    curves = "digits" if name == "pasha" else "ideal:max_resource=27"  # where the ranking changes
    return hbsim.simulate(scheduler, curves, seed=12, cluster=hbsim.Cluster(**cluster))


def lines(table: pl.DataFrame) -> list[str]:
    return table.write_csv().splitlines()


@pytest.mark.parametrize("name", STUDIES)
def test_trace(name: str) -> None:
    result = run(name)
    for table in ("jobs", "decisions"):
        expected = (GOLDEN / f"{name}.{table}.csv").read_text(encoding="utf-8").splitlines()
        assert lines(getattr(result, table)) == expected, f"{name}.{table}"


def test_the_traces_show_every_verdict() -> None:
    seen = [line.rpartition(",")[2] for file in sorted(GOLDEN.glob("*.csv")) for line in open_lines(file)]
    assert set(seen) == {"verdict", "continue", "pause", "stop", "complete", "failed"}


def open_lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines()


def write() -> None:
    """Write all traces again."""
    for name in STUDIES:
        result = run(name)
        for table in ("jobs", "decisions"):
            text = "\n".join(lines(getattr(result, table))) + "\n"
            (GOLDEN / f"{name}.{table}.csv").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
