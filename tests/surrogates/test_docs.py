"""What docs/reference/surrogates.md shows, runs; and its numbers are those of the code."""

import re
from pathlib import Path

import numpy as np
import pytest

from hbsim.surrogates import Checked, Synthetic, load, rank_correlation

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "surrogates.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_every_block_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    # The first block about tables loads the file that a later one writes.
    for block in sorted(BLOCKS, key=lambda block: "write_text" not in block):
        exec(compile(block, "docs/reference/surrogates.md", "exec"), {"__name__": "docs"})
    assert "synthetic" in capsys.readouterr().out


def test_the_own_surrogate_is_short_and_loads(tmp_path):
    block = next(block for block in BLOCKS if block.startswith("# mine.py"))
    assert len([line for line in block.splitlines() if line.strip()]) <= 15
    path = tmp_path / "mine.py"
    path.write_text(block)
    surrogate = load(f"{path}:Mine")
    assert isinstance(surrogate, Checked)
    values, seconds = surrogate.evaluate(
        surrogate.space.sample(100, np.random.default_rng(0)), np.array([1.0, 81])
    )
    assert (values[:, 0] > values[:, 1]).all()
    assert (seconds[:, 1] == 81 * seconds[:, 0]).all()


@pytest.mark.parametrize(
    "line", re.findall(r"^\| -?[\d.]+ \| (?:power|exponential) \|.*$", PAGE, re.MULTILINE)
)
def test_the_correlations_are_those_measured(line):
    early_rank, family, *found = (cell.strip() for cell in line.strip("|").split("|"))
    surrogate = Synthetic(early_rank=float(early_rank), family=family, noise=0, divergence=0)
    measured = rank_correlation(surrogate, [1, 3, 9, 27, 81], n=2000)[:-1]
    assert [float(cell) for cell in found] == pytest.approx(measured, abs=0.0051)
