"""What the pages about learning curves in docs/reference show, runs; their numbers are those of the code."""

import re
from pathlib import Path

import numpy as np
import pytest

from hbsim.surrogates import Checked, Synthetic, load, rank_correlation

FOLDER = Path(__file__).parents[2] / "docs" / "reference"
NAMES = ("surrogates.md", "curves.md")
BLOCKS = {
    name: re.findall(r"```python\n(.*?)```", (FOLDER / name).read_text("utf-8"), re.DOTALL) for name in NAMES
}
OWN = (FOLDER.parent / "how-to" / "extend.md").read_text("utf-8")
CORRELATIONS = (FOLDER / "synthetic-curves.md").read_text("utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_every_block_runs(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for block in BLOCKS[name]:
        exec(compile(block, name, "exec"), {"__name__": "docs"})
    assert ("synthetic" if name == "surrogates.md" else "learning_rate") in capsys.readouterr().out


def test_the_own_surrogate_is_short_and_loads(tmp_path):
    (block,) = re.findall(r"```python\n(# mine\.py.*?)```", OWN, re.DOTALL)
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
    "line", re.findall(r"^\| -?[\d.]+ \| (?:power|exponential) \|.*$", CORRELATIONS, re.MULTILINE)
)
def test_the_correlations_are_those_measured(line):
    early_rank, family, *found = (cell.strip() for cell in line.strip("|").split("|"))
    surrogate = Synthetic(early_rank=float(early_rank), family=family, noise=0, divergence=0)
    measured = rank_correlation(surrogate, [1, 3, 9, 27, 81], n=2000)[:-1]
    assert [float(cell) for cell in found] == pytest.approx(measured, abs=0.0051)
