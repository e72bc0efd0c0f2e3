"""A fit on the command line."""

from __future__ import annotations

import json
from functools import cache

import pytest

from hbsim.surrogates import fit, fitted
from tests.surrogates.conftest import small_forests
from tests.surrogates.fit_pilots import curves, write

__all__ = ["small_forests"]
pytestmark = pytest.mark.usefixtures("small_forests")

FILE = ("--metric", "val", "--mode", "min")
ROWS = 24  # a fit needs 20


@pytest.fixture(scope="module")
def pilot(tmp_path_factory):
    return write(tmp_path_factory.mktemp("fit") / "pilot.npz", *curves(ROWS, mode="min", early_rank=0.8))


made_once = cache(fit)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Commands with the same options share a fit, which takes seconds."""
    monkeypatch.setattr(fitted, "fit", made_once)


def test_surrogates_prints_the_report(call, pilot):
    report = fit(pilot, mode="min").report
    code, out, err = call("surrogates", f"fit:{pilot}", *FILE, "--json")
    assert (code, err) == (0, "")
    printed = json.loads(out)["surrogates"][0]
    assert printed["rows"] is None
    assert [one["error"] for one in printed["fit"]["levels"]] == [one.error for one in report.levels]
    assert printed["fit"]["verdict"] == list(report.verdict)
    words = " ".join(call("surrogates", f"fit:{pilot}", *FILE, "--wrap", "negate").out.split())
    assert f"{ROWS} rows, {ROWS} of them to the end" in words
    assert f"{report.levels[4].error:.3g} {report.levels[4].spread:.3g}" in words
    assert report.verdict[0] in words


def test_a_study_has_more_trials_than_the_pilot(call, pilot):
    study = ("--scheduler", "promotion", "--trials", "300", "--workers", "8", "--seed", "1")
    code, out, err = call("simulate", "--surrogate", f"fit:{pilot}", *FILE, *study, "--json")
    assert (code, err) == (0, "")
    printed = json.loads(out)
    assert printed["summary"]["trials"] == 300
    assert printed["summary"]["regret"] is None


def test_too_little_is_one_line(call, tmp_path):
    surrogate, points, values, seconds = curves(12, mode="min")
    path = write(tmp_path / "small.npz", surrogate, points, values, seconds)
    code, out, err = call("surrogates", f"fit:{path}", *FILE)
    assert (code, out) == (2, "")
    assert err.startswith("hbsim: error:")
    assert "12 of 12 rows have a value of 'val'; a fit needs at least 20" in " ".join(err.split())
    code, out, err = call(
        "simulate", "--surrogate", "fit:none.npz,seed=1", *FILE, "--trials", "3", "--scheduler", "fifo"
    )
    assert (code, out) == (2, "")
    assert "none.npz: no such file" in err
