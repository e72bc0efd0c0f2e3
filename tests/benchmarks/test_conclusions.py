"""The benchmark of conclusions, a tiny one; and what its published figures must hold."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import conclusions
from benchmarks.conclusions import render
from benchmarks.conclusions_studies import VARIANTS, digits_pool, equal_pool, synthetic
from tests.profile import THOROUGH

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results" / "conclusions"


def test_a_tiny_run_writes_its_page(tmp_path, monkeypatch):
    for name, value in {"STUDIES": 20, "EQUALS": (2, 4), "EFFECTS": (0.03,), "SIZES": (64,)}.items():
        monkeypatch.setattr(conclusions, name, value)
    random = np.random.default_rng(0)
    np.save(tmp_path / "equal.npy", random.normal(size=(4, 160)))
    np.save(tmp_path / "digits.npy", random.normal(size=(len(VARIANTS), 160)) + 5 * np.arange(8)[:, None])
    if not THOROUGH:  # its studies are 960
        np.save(tmp_path / "synthetic_64.npy", random.normal(size=(3, len(VARIANTS), 40)))
    monkeypatch.setattr(conclusions, "POWER_STUDIES", (20,))
    arguments = ["--out", str(tmp_path), "--pools", str(tmp_path), "--repetitions", "2", "--tables", "3"]
    conclusions.main(arguments)
    found = json.loads((tmp_path / "conclusions.json").read_text())
    assert (tmp_path / "conclusions.md").read_text() == render(found)
    assert [row["variants"] for row in found["equal"]] == [2, 4] * 3
    assert found["power"][0]["curves"] == {"fifo": 1, "hyperband": 1}  # far apart
    (tables,) = found["tables"]
    assert np.load(tmp_path / "synthetic_64.npy").shape == (3, len(VARIANTS), 20 if THOROUGH else 40)
    assert tables["pairs"]["pairs"] == 3 * 28


def test_tables_of_a_population_share_no_row_and_pools_no_luck():
    population = synthetic()
    one, other = population.cut(0, 50), population.cut(1, 50)
    assert not set(one.values[:, -1]) & set(other.values[:, -1])
    assert one.optimum(81.0) == other.optimum(81.0) == population.best
    assert digits_pool(2).shape == (len(VARIANTS), 2)
    equal = equal_pool(3, 4)
    assert equal.shape == (3, 4)
    assert (np.ptp(equal, axis=0) > 0).any()  # equal in law, not in every study


@pytest.fixture(scope="module")
def figures():
    return json.loads((RESULTS / "conclusions.json").read_text("utf-8"))


def test_the_page_of_results_is_made_from_its_figures(figures):
    assert render(figures) == (RESULTS / "conclusions.md").read_text("utf-8")


def test_equal_variants_are_called_worse_as_seldom_as_promised(figures):
    rows = figures["equal"] + figures["digits"]["rows"]
    for row in rows:
        assert row["repetitions"] == 400
        assert max(row["curves"], row["few"]) <= 0.05 * 400 + 3 * np.sqrt(400 * 0.05 * 0.95)
        assert row["draw"] <= 0.08 * 400
    every = sum(row["curves"] for row in rows)
    assert every <= 0.05 * 400 * len(rows) * 1.1


def test_another_draw_is_as_seldom_false_as_promised(figures):
    drawn = [table["rules"][-1] for table in figures["tables"]]
    assert sum(row["false"] for row in drawn) <= 0.08 * sum(row["tables"] for row in drawn)
    assert sum(row["reversed"] for row in drawn) <= 0.02 * sum(row["calls"] for row in drawn)
    assert all(row["draw"] <= 0.08 * row["repetitions"] for row in figures["linear"])
