<<<<<<< HEAD
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
=======
"""``hbsim best``: the best trial of a study, and a copy of its model."""

from __future__ import annotations

import shutil

import hbsim
from hbsim.executors import checkpoint
from tests.cli.run_studies import printed


def test_the_best_trial_and_where_its_model_is(whole, call):
    best = hbsim.load(whole).best
    code, out, err = call("best", str(whole))
    assert (code, err) == (0, "")
    assert out.startswith(f"best accuracy {best.value:g}: trial {best.trial} at epoch {best.resource:g}\n")
    assert f"{best.config['x']:.6g}" in out
    assert str(best.checkpoint) in out.replace("\n", "")
    shown = printed(call("best", str(whole), "--json").out)
    assert (shown["trial"], shown["value"], shown["resource"]) == (best.trial, best.value, best.resource)
    assert (shown["config"], shown["checkpoint"]) == (best.config, str(best.checkpoint))


def test_the_model_is_copied_into_a_new_folder_only(whole, call, tmp_path):
    assert call("best", str(whole), "--copy-to", "model").code == 0
    assert checkpoint.load_one(tmp_path / "model") == hbsim.load(whole).best.load()
    (tmp_path / "other").write_text("mine")
    for name in ("model", "other"):
        ran = call("best", str(whole), "--copy-to", name)
        assert (ran.code, ran.out) == (2, "")
        assert f"--copy-to {name}: must be a new folder: it exists already" in ran.err


def test_a_model_that_was_not_kept(whole, call, tmp_path):
    (tmp_path / "exp").mkdir()
    shutil.copy(whole / "journal.jsonl", tmp_path / "exp")
    assert "not kept: the function can offer its state" in call("best", "exp").out
    assert printed(call("best", "exp", "--json").out)["checkpoint"] is None
    ran = call("best", "exp", "--copy-to", "model")
    assert ran.code == 1
    assert "there is nothing to copy" in ran.err
    assert not (tmp_path / "model").exists()
>>>>>>> next
