"""``hbsim record``: streams, exit codes, interruption."""

from __future__ import annotations

import json
import shlex
import signal
from pathlib import Path

import polars as pl
import pytest

from tests.cli.run_studies import printed

pytestmark = pytest.mark.filterwarnings("ignore:.*the clock of row .* jumps")
TRAIN = """
import os
import time
from pathlib import Path

import hbsim


@hbsim.args(lr=hbsim.Real(1e-4, 1.0, log=True), fail=-1, scale=1.0, waits="go")
def train_fn(args, reporter):
    for epoch in range((reporter.load() or 0) + 1, 5):
        if args.trial == 3 and not Path(args.waits).exists():
            time.sleep(2)
        reporter(epoch=epoch, loss=args.scale * args.lr / epoch, test_loss=args.lr, seed_seen=args.seed)
        reporter.save(epoch)
        assert args.trial != args.fail
"""
TWO = ("train.py:train_fn", "--trials", "2")
DECIDES = ("--metric", "loss", "--mode", "min")


@pytest.fixture(autouse=True)
def train(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "go").touch()


def test_says_where_the_file_is(call, tmp_path):
    code, out, err = call("record", "train.py:train_fn", "--trials", "2", "--out", "c.parquet")
    assert (code, out) == (0, "c.parquet: 2 trials\n")
    note = "hbsim: note: c.parquet does not say what decides: to read it takes --metric and --mode"
    assert err.splitlines()[-1] == note
    assert (tmp_path / "c.parquet").exists()


def test_what_is_recorded_is_simulated_without_options(call):
    words = ["record", "train.py:train_fn", "--trials", "6", *DECIDES, "--out", "c.parquet"]
    assert "hbsim: " not in call(*words).err
    simulate = ["simulate", "--scheduler", "stopping", "--surrogate", "c.parquet", "--max-t", "4"]
    content = printed(call(*simulate, "--trials", "6", "--json").out)
    assert (content["summary"]["metric"], content["summary"]["mode"]) == ("loss", "min")
    other = ["--trials", "6", "--metric", "seed_seen", "--mode", "max", "--json"]
    content = printed(call(*simulate, *other).out)
    assert (content["summary"]["metric"], content["summary"]["mode"]) == ("seed_seen", "max")


def test_json_and_failures_and_options_of_run(call):
    words = [
        "--trials",
        "2",
        "--set",
        "fail=0",
        "--num-cpus",
        "1",
        "--workers",
        "1",
        "--keep",
        "none",
        "--json",
    ]
    code, out, err = call("record", "train.py:train_fn", "--out", "c.parquet", *words)
    assert code == 0
    content = {"schema": 1, "out": "c.parquet", "trials": 2, "failed": 1, "study": "c.parquet.study"}
    assert printed(out) == content
    assert "hbsim: warning: 1 of 2 trials failed" in err
    assert "Trial 0: AssertionError" in err


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["train.py:train_fn"], "Missing option '--num-trials'. See hbsim record --help."),
        ([*TWO, "--workers", "0"], "--workers 0: is a whole number, at least 1"),
        ([*TWO, "--max-t", "-1"], "--max-t -1: must be greater than 0"),
        ([*TWO, "--metric", "loss"], "--mode: must be given with metric"),
        ([*TWO, "--keep", "al"], "--keep al: must be one of best, completed, all, none."),
        (
            ["--trials", "2"],
            "Missing argument 'FILE.py:NAME', or option '--command'. See hbsim record --help.",
        ),
        (["--resume"], "c.parquet.study: there is no study to resume: it has no journal.jsonl"),
        (["--from", "exp"], "exp: there is no such folder"),
        (["--from", "exp", "--trials", "3"], "--trials 3: is of no use with --from, which trains nothing"),
    ],
)
def test_errors_are_one_line(call, tmp_path, words, line):
    code, out, err = call("record", *words, "--out", "c.parquet")
    assert (code, out) == (2, "")
    assert line in err
    assert len(err.splitlines()) == 1
    assert not list(tmp_path.glob("c.parquet*"))


def test_a_metric_that_is_not_reported(call, tmp_path):
    words = ["--trials", "2", "--metric", "accuracy", "--mode", "max", "--out", "c.parquet"]
    code, _, err = call("record", "train.py:train_fn", *words)
    assert code == 2
    assert err.splitlines()[-1].startswith(
        "hbsim: error: --metric accuracy: every report must have it, as a number"
    )
    assert not list(tmp_path.glob("c.parquet*"))


def test_interrupted_it_goes_on_and_grows(call, start, tmp_path):
    out = tmp_path / "my curves.parquet"
    journal = Path(f"{out}.study/journal.jsonl")
    words = ["--trials", "5", "--set", "scale=2", "--workers", "1", *DECIDES, "--test-metric", "test_loss"]
    recording = start("record", "train.py:train_fn", *words, "--set", "waits=never", "--out", out.name)
    recording.when(lambda: journal.exists() and '"trial":3' in journal.read_text())
    recording.signal(signal.SIGINT)
    code, said, err = recording.end()
    assert (code, said) == (75, "")
    assert not out.exists()
    program, *go_on = shlex.split(err.splitlines()[-1].partition("to go on: ")[2])
    assert (program, go_on) == ("hbsim", ["record", "--resume", "--out", out.name])
    assert call(*go_on, "--set", "waits=go").code == 0  # other options are as they were
    five = pl.read_parquet(out)
    assert pl.read_parquet_metadata(out)["hbsim.test_metric"] == "test_loss"
    assert call(*go_on, "--trials", "8").out == "'my curves.parquet': 8 trials\n".replace("'", "")
    grown = pl.read_parquet(out)
    assert grown.filter(pl.col("config") < 5).equals(five)
    assert call(*go_on).code == 0  # it has grown: so it stays
    assert pl.read_parquet(out).equals(grown)
    code, _, err = call(*go_on, "--trials", "6")
    assert (code, err.splitlines()[-1]) == (
        2,
        "hbsim: error: --trials 6: the study was extended to 8; it goes on with as many or more",
    )


def test_its_study_is_one_of_run(call):
    assert call("record", "train.py:train_fn", "--trials", "2", "--out", "c.parquet").code == 0
    words = ["--resume", "--trials", "3", "--out", "c.parquet.study", "--progress", "none"]
    code, out, err = call("run", "train.py:train_fn", *words)
    assert (code, err) == (0, "")
    assert "3: 3 completed" in out
    assert "best" not in out  # no metric decides
    code, out, _ = call("record", "--resume", "--out", "c.parquet")
    assert (code, out) == (0, "c.parquet: 3 trials\n")


def test_the_curves_of_a_study(call, tmp_path):
    words = ["--scheduler", "fifo", "--max-t", "4", "--trials", "3", *DECIDES]
    assert call("run", "train.py:train_fn", *words).code == 0
    assert call("record", "--from", "exp", "--out", "c.parquet").out == "c.parquet: 3 trials\n"
    assert json.loads(pl.read_parquet_metadata(tmp_path / "c.parquet")["hbsim"])["metric"] == "loss"
    code, _, err = call("record", "--from", "exp", "--out", "c.parquet")
    assert (code, err) == (2, "hbsim: error: --out c.parquet: is there already; --force replaces it\n")
    words = ["--metric", "test_loss", "--mode", "min", "--force"]
    assert call("record", "--from", "exp", "--out", "c.parquet", *words).code == 0
    assert json.loads(pl.read_parquet_metadata(tmp_path / "c.parquet")["hbsim"])["metric"] == "test_loss"
