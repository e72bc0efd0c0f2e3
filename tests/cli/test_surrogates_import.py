"""``hbsim surrogates import``: from a tool's files to a simulation, and what is printed on the way."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from hbsim.surrogates import load

IMPORTS = Path(__file__).parents[1] / "surrogates" / "imports"
STOPPED = str(IMPORTS / "syne_tune_stopping")
PROMOTED = str(IMPORTS / "syne_tune_promotion")
JOURNAL = str(IMPORTS / "optuna_journal.log")
MLFLOW = str(IMPORTS / "mlflow_metrics.csv")


def test_from_a_folder_to_a_simulation(call, tmp_path):
    code, out, err = call("surrogates", "import", PROMOTED, "--out", "curves.parquet")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"from            Syne Tune, {PROMOTED}",
        "trials          8: 7 that end early (--censored says what they are)",
        "levels          9 of epoch, up to 9",
        "metric          loss (min)",
        "other metrics   acc",
        "time            from st_worker_time",
        "hyperparameters lr, layers, act",
        "- epochs is no hyperparameter: it changes within a trial",
        "- added up the time of jobs: it began again in 4 resumed jobs",
        "curves.parquet: `hbsim surrogates curves.parquet --censored ...` describes it",
    ]
    simulate = "simulate --scheduler promotion --trials 8 --max-t 9 --eta 3 --workers 2 --json"
    curves = "--surrogate curves.parquet --censored extrapolate"
    printed = json.loads(call(*simulate.split(), *curves.split()).out)
    assert printed["summary"]["trials"] == 8
    assert printed["summary"]["best"] == pytest.approx(0.2 + 1 / 3)  # of trial 0 at epoch 3


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_what_loading_needs_is_what_is_said(call, tmp_path, suffix):
    words = (
        "surrogates",
        "import",
        MLFLOW,
        "--metric",
        "loss",
        "--mode",
        "min",
        "--out",
        f"c.{suffix}",
        "--json",
    )
    printed = json.loads(call(*words).out)
    assert printed["needs"] == ["--censored"]
    found = [printed[name] for name in ("kind", "trials", "early", "time")]
    assert found == ["MLflow", 5, 1, "timestamp"]
    table = load(tmp_path / f"c.{suffix}", censored="fail")
    assert (table.rows, table.metric, table.mode) == (5, "loss", "min")
    assert load(tmp_path / f"c.{suffix}", censored="fail", metric="acc", mode="max").mode == "max"
    assert call("surrogates", f"c.{suffix}").code == 2


def test_notes_are_in_the_words_of_the_command_line(call):
    out = call("surrogates", "import", JOURNAL, "--study", "digits", "--out", "c.parquet").out
    assert "- steps are counted from 0: step 0 is level 1 (--first-level 0: it is untrained)\n" in out
    assert "metric          value (min), no number in 4 rows\n" in out


def test_without_a_mode_or_a_time(call, tmp_path):
    lines = [f"{run},{step},{0.5 / step},{run}" for run in (1, 2) for step in (1, 2)]
    (tmp_path / "h.csv").write_text("\n".join(["run_id,_step,loss,lr", *lines]))
    out = call("surrogates", "import", "h.csv", "--metric", "loss", "--out", "my curves.parquet").out
    assert "trials          2: all complete\n" in out
    assert "metric          loss (max or min: not known)\n" in out
    assert "time            none: loading needs --seconds-per-unit\n" in out
    assert "`hbsim surrogates 'my curves.parquet' --mode ... --seconds-per-unit ...`" in out
    words = ("surrogates", "my curves.parquet", "--mode", "min", "--seconds-per-unit", "2")
    assert call(*words).code == 0


WRONG = {
    (STOPPED,): "Missing option '--out'. See hbsim surrogates import --help.",
    ("--out", "c.csv"): "Missing argument 'FILE|FOLDER|sqlite:///FILE'. See hbsim surrogates import --help.",
    (STOPPED, "--out", "c.txt"): "--out c.txt: must end in .parquet or .csv",
    (STOPPED, "--out", "there.csv"): "--out there.csv: is there already; --force replaces it",
    (STOPPED, "--out", "c.csv", "--frm", "ray"): "No such option: --frm. Did you mean '--from'?",
    (STOPPED, "--out", "c.csv", "--from", "rai"): "--from rai: must be one of",
    ("no.csv", "--out", "c.csv"): "no.csv: no such file or folder",
    (JOURNAL, "--out", "c.csv"): f"--study: is needed: {JOURNAL} has 2: digits, other",
    (MLFLOW, "--out", "c.csv"): f"--metric: is needed for {MLFLOW}: one of acc, loss",
    (
        MLFLOW,
        "--out",
        "c.csv",
        "--metric",
        "loos",
    ): "--metric loos is not in it; there are: acc, loss. Did you mean",
    (
        STOPPED,
        "--out",
        "c.csv",
        "--time",
        "st_tuner_time",
    ): "--time st_tuner_time: counts from the start of the",
    (STOPPED, "--out", "c.csv", "--mode", "low"): "--mode low: must be one of",
    (STOPPED, "--out", "c.csv", "--first-level", "0.5"): "'0.5' is not a whole number.",
    ("mysql://me:pw@host/x", "--out", "c.csv"): "host/x: is a server's",
}


@pytest.mark.parametrize("words", WRONG, ids=range(len(WRONG)))
def test_wrong_requests_are_one_line_and_write_nothing(call, tmp_path, words):
    (tmp_path / "there.csv").write_text("mine")
    code, out, err = call("surrogates", "import", *words)
    assert (code, out) == (2, "")
    assert err.startswith("hbsim: error: ")
    assert err.count("\n") == 1
    assert WRONG[words] in err
    assert [path.name for path in tmp_path.iterdir()] == ["there.csv"]
    assert (tmp_path / "there.csv").read_text() == "mine"


def test_a_disk_that_takes_nothing_leaves_what_was_there(call, tmp_path):
    (tmp_path / "file").write_text("")
    ran = call("surrogates", "import", STOPPED, "--out", "file/c.csv")
    assert ran.code == 1
    assert ran.err.startswith("hbsim: error: file/c.csv: cannot be written: ")
    assert ran.err.count("\n") == 1


def test_what_a_table_says_beside_it_is_not_written_over(call, tmp_path):
    (tmp_path / "c.csv.json").write_text("mine")
    ran = call("surrogates", "import", STOPPED, "--out", "c.csv")
    assert (ran.code, ran.err) == (
        2,
        "hbsim: error: --out c.csv.json: is there already; --force replaces it\n",
    )
    assert (tmp_path / "c.csv.json").read_text() == "mine"
    assert not (tmp_path / "c.csv").exists()


def test_force_replaces(call, tmp_path):
    (tmp_path / "c.csv").write_text("mine")
    assert call("surrogates", "import", STOPPED, "--out", "c.csv", "--force").code == 0
    assert (tmp_path / "c.csv").read_text().startswith("trial,epoch,loss,acc,seconds,lr,layers,act,epochs\n")


@pytest.mark.parametrize("out", ["metrics.csv", "runs.csv", "./metrics.csv", "link.csv", "runs/results.csv"])
def test_what_is_read_is_never_replaced(out, call, tmp_path):
    shutil.copyfile(MLFLOW, tmp_path / "metrics.csv")
    (tmp_path / "runs.csv").write_text("run_id,params.lr\n")
    (tmp_path / "link.csv").symlink_to("metrics.csv")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "results.csv").write_text("trial_id\n")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.csv")}
    source = "runs" if out.startswith("runs/") else "metrics.csv"
    words = ("surrogates", "import", source, "--out", out, "--force", "--metric", "loss", "--mode", "min")
    ran = call(*words, *(() if source == "runs" else ("--params", "runs.csv")))
    assert (ran.code, ran.err) == (
        2,
        f"hbsim: error: --out {Path(out)}: is what is read: give another name\n",
    )
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.csv")} == before


def test_a_file_called_import_and_the_list(call, tmp_path):
    assert "`hbsim surrogates import --help`" in " ".join(call("surrogates", "--help").out.split())
    shown = call("surrogates", "import", "--help")
    assert shown.code == 0
    assert shown.out.startswith("Usage: hbsim surrogates import [OPTIONS] ")
    assert "digits" in call("surrogates").out
    shutil.copytree(STOPPED, tmp_path / "import")
    assert call("surrogates", "./import").err.startswith("hbsim: error: ./import: is no surrogate")
    assert call("surrogates", "import", "import", "--out", "c.csv").code == 0
