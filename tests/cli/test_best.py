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


def test_where_the_files_of_a_script_are(whole, call, tmp_path):
    shutil.copytree(whole, tmp_path / "exp")
    assert printed(call("best", "exp", "--json").out)["files"] is None
    best = hbsim.load("exp").best
    (best.checkpoint / "files").mkdir()
    (best.checkpoint / "files" / "model.pt").touch()
    assert printed(call("best", "exp", "--json").out)["files"] == str(best.checkpoint / "files")
    shown = call("best", "exp", "--copy-to", "model").out
    assert f"its files   {best.checkpoint / 'files'}\n" in shown
    assert shown.endswith("\ncopied to model; its files are in model/files\n")
    assert (tmp_path / "model" / "files" / "model.pt").exists()


def test_a_model_that_was_not_kept(whole, call, tmp_path):
    (tmp_path / "exp").mkdir()
    shutil.copy(whole / "journal.jsonl", tmp_path / "exp")
    assert "not kept: see reporter.on_pause" in call("best", "exp").out
    assert printed(call("best", "exp", "--json").out)["checkpoint"] is None
    ran = call("best", "exp", "--copy-to", "model")
    assert ran.code == 1
    assert "there is nothing to copy" in ran.err
    assert not (tmp_path / "model").exists()


def test_a_journal_whose_last_line_is_being_written(whole, call, tmp_path):
    (tmp_path / "exp").mkdir()
    (tmp_path / "exp" / "journal.jsonl").write_bytes((whole / "journal.jsonl").read_bytes()[:-20])
    code, _, err = call("best", "exp")
    assert (code, err) == (0, "")


def test_no_study(call):
    code, out, err = call("best", "exp")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1


def test_a_study_is_extended(whole, call, tmp_path):
    shutil.copytree(whole, tmp_path / "exp")
    assert call("run", "--resume", "--trials", "14").code == 0
    assert hbsim.load(tmp_path / "exp").scheduler.options.num_trials == 14
    refused = call("run", "--resume", "--trials", "13")
    assert refused.err.endswith(
        "--trials 13: the study was extended to 14; it goes on with as many or more\n"
    )
