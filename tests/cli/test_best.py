"""``hbsim best``: the best trial, and its model, copied where it is wanted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hbsim.executors import checkpoint

EXAMPLE = Path(__file__).parents[2] / "examples" / "train.py"
RUN = ("run", f"{EXAMPLE}:train_fn", "--scheduler", "promotion", "--max-t", "27", "--workers", "1")


@pytest.fixture
def study(call, tmp_path):
    assert call(*RUN, "--trials", "4").code == 0
    return tmp_path / "exp"


def test_best(call, study):
    code, out, err = call("best", "exp")
    assert (code, err) == (0, "")
    assert out.startswith("best accuracy 0.")
    found = json.loads(call("best", "exp", "--json").out)
    assert found["schema"] == 1
    assert set(found["config"]) == {"lr", "decay"}
    assert found["checkpoint"] in out.replace("\n", "")
    assert checkpoint.load_one(Path(found["checkpoint"])) == {
        "epoch": found["resource"],
        "weight": found["value"],
    }
    assert call("best", "exp", "--copy-to", "model").code == 0
    assert checkpoint.load_one(study.parent / "model")["weight"] == found["value"]
    again = call("best", "exp", "--copy-to", "model")
    assert (again.code, again.err) == (
        2,
        "hbsim: error: --copy-to model: must be a new folder: it exists already\n",
    )


def test_a_journal_whose_last_line_is_being_written(call, study):
    journal = study / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-20])
    code, _, err = call("best", "exp")
    assert (code, err) == (0, "")


def test_no_model(call, tmp_path):
    assert call(*RUN, "--trials", "2", "--keep", "none").code == 0
    assert "not kept: the function can offer its state by reporter.on_pause" in call("best", "exp").out
    refused = call("best", "exp", "--copy-to", "model")
    assert refused.code == 1
    assert "there is nothing to copy" in refused.err


def test_no_study(call):
    code, out, err = call("best", "exp")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1


def test_more_trials(call, study):
    code, out, _ = call("run", "--resume", "--trials", "9")
    assert code == 0
    assert "9: " in out
    refused = call("run", "--resume", "--trials", "5")
    assert refused.err == (
        "hbsim: error: --trials 5: the study was extended to 9; it goes on with as many or more\n"
    )
