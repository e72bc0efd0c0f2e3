"""``hbsim run``: studies in real processes, interrupted and gone on with."""

from __future__ import annotations

import shlex
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from hbsim.study.result import load
from tests.cli.run_studies import TRAIN, TWELVE, printed
from tests.profile import thorough


@pytest.fixture(autouse=True)
def train(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TRAIN)


def decided(folder: Path) -> list[tuple[object, ...]]:
    """Return a study's decisions without their times."""
    return load(folder).decisions.drop("time").rows()


def reached(folder: Path, count: int) -> Callable[[], bool]:
    """Return whether so many decisions are written down."""
    journal = folder / "journal.jsonl"
    return lambda: journal.exists() and journal.read_text().count('"e":"reach"') >= count


def test_a_study_for_people(call, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = call(*TWELVE, "--set", "fail=3", "--explain", "2")
    assert code == 0
    result = load(tmp_path / "exp")
    lines = " ".join(out.split())
    assert "promotion max_t=9 grace_period=1 reduction_factor=3 brackets=1 on train.py:train_fn" in lines
    assert "trials 12: " in lines
    assert "1 failed" in lines
    best = result.summary()
    assert f"best accuracy (max) {best['best']:.6g} at " in lines
    configuration = result.configuration(best["best_trial"])
    assert f"its configuration x={configuration['x']:.6g}, kind={configuration['kind']}" in lines
    assert f"0 9 {result.rungs().filter(level=9)['recorded'][0]} " in lines
    assert "trial 3, error: ValueError: no luck today (train.py:14) exp/trials/000003/log.txt" in lines
    assert result.scheduler.explain(2).text in lines
    assert max(len(line) for line in out.splitlines()[2:-2]) <= 80
    assert "no luck today" in (tmp_path / "exp/trials/000003/log.txt").read_text()


def test_a_study_for_programs(call, tmp_path):
    options = "--metric loss --mode min --set pause=0.001 --keep all --retries 1 --set fail=1 --out a/b"
    code, out, _ = call(*TWELVE, *options.split(), "--json", "--explain", "0")
    content = printed(out)
    result = load(tmp_path / "a" / "b")
    assert code == 0
    assert content["summary"] == result.summary()
    assert content["summary"]["mode"] == "min"
    assert content["rungs"] == result.rungs().to_dicts()
    assert content["incumbent"]["any"] == result.incumbent().to_dicts()[-1]
    assert content["incumbent"]["max_t"] == result.incumbent("max_t").to_dicts()[-1]
    assert content["configuration"] == result.configuration(content["summary"]["best_trial"])
    assert [(row["trial"], row["kind"]) for row in content["failures"]] == [(1, "error"), (1, "error")]
    assert (tmp_path / content["failures"][0]["log"]).is_file()
    assert content["explain"][0]["trial"] == 0
    assert content["folder"] == "a/b"
    assert content["resume"] is None
    assert shlex.split(content["command"])[:3] == ["hbsim", "run", "train.py:train_fn"]
    assert content["command"].count("--set") == 2
    assert all((tmp_path / "a/b/trials" / f"{n:06d}" / "checkpoint").exists() for n in range(12) if n != 1)


def test_the_searcher_is_named(call):
    grid = ["--searcher", "grid", "--search-option", "points=3"]
    code, out, _ = call(*TWELVE, *grid)
    assert code == 0
    assert "searcher grid of 6 configurations trials 6: " in " ".join(out.split())
    content = printed(call(*TWELVE, *grid, "--out", "again", "--json")[1])
    assert (content["searcher"], content["configurations"]) == ("grid", 6)
    assert content["summary"]["trials"] == 6


def test_all_trials_failed(call):
    code, out, err = call(*TWELVE, "--set", "fail=all", "--grace-period", "3")
    assert code == 1
    assert "12 trials failed at some time:" in out
    assert "and 9 more: see exp/trials" in out
    reason = "ValueError: no luck today (train.py:20)"
    assert err.splitlines()[-1] == f"hbsim: error: all 12 trials failed; the first: {reason}"
    assert "warning" not in err
    code, _, err = call("run", "--resume", "--progress", "lines")
    assert code == 1
    over = "the study is over: nothing is left to run; it goes on with a num_trials (--num-trials) above 12"
    assert f"hbsim: {over}\n" in err
    more = ("--resume", "--num-trials", "13", "--set", "fail=none", "--progress", "none")
    assert call("run", *more).code == 0


@pytest.mark.parametrize(("type", "reports"), [("stopping", 3), ("fifo", 27)])
def test_nobody_shows_a_number(call, tmp_path, type, reports):
    (tmp_path / "train.py").write_text(TRAIN)
    words = f"run train.py:no_number --scheduler {type} --max-t 9 --trials 3 --workers 1"
    code, out, err = call(*words.split())
    assert code == 1
    assert "3 stopped" in out if type == "stopping" else "3 completed" in out
    line = f"hbsim: error: no trial has shown a number: accuracy was none in all {reports} reports"
    assert err.splitlines()[-1] == line


def test_a_loss_that_is_maximised_is_said(call):
    words = (
        "run",
        "train.py:train_fn",
        "--scheduler",
        "stopping",
        "--max-t",
        "3",
        "--trials",
        "1",
        "--metric",
    )
    (note,) = [line for line in call(*words, "val_loss").err.splitlines() if "note" in line]
    assert note == "hbsim: note: val_loss is maximised: --mode min if less is better"
    assert "note" not in call(*words, "val_loss", "--mode", "min", "--out", "other").err


# Interrupted


def test_interrupted_studies_go_on_as_if_nothing_had_been(call, start, tmp_path, whole):
    folder = tmp_path / "my study"
    words: list[str] = [*TWELVE, "--set", "pause=0.05", "--out", "my study"]
    for number, count in ((signal.SIGINT, 3), (signal.SIGTERM, 6), (signal.SIGUSR1, 8)):
        study = start(*words)
        study.when(reached(folder, count))
        study.signal(number)
        code, out, err = study.end()
        assert code == 75
        assert ", interrupted" in out
        last = err.splitlines()[-1]
        assert last.startswith("hbsim: error: interrupted after ")
        program, *words = shlex.split(last.partition("to go on: ")[2])
        assert (program, words) == ("hbsim", ["run", "--resume", "--out", "my study"])
    code, out, _ = call(*words, "--set", "pause=0", "--json")
    assert code == 0
    assert printed(out)["summary"]["why"] == "done"
    assert decided(folder) == decided(whole)


def test_twice_interrupted_is_over_at_once_and_goes_on_all_the_same(call, start, tmp_path, whole):
    study = start(*TWELVE, "--set", "hang=5")
    study.when((tmp_path / "exp/trials/000005").exists)
    study.signal(signal.SIGINT)
    study.when(lambda: "finishing" in study.err)
    study.signal(signal.SIGINT)
    code, out, err = study.end()
    assert (code, out) == (75, "")
    assert err.splitlines()[-1].endswith("to go on: hbsim run --resume --folder exp")
    assert call("run", "--resume", "--set", "hang=-1").code == 0
    assert decided(tmp_path / "exp") == decided(whole)


@thorough
def test_killed_studies_go_on(call, start, tmp_path, whole):
    study = start(*TWELVE, "--set", "hang=5")
    study.when((tmp_path / "exp/trials/000005").exists)
    study.signal(signal.SIGKILL)
    assert study.end()[0] == -signal.SIGKILL
    assert call("run", "--resume", "--set", "hang=-1").code == 0
    assert decided(tmp_path / "exp") == decided(whole)


@pytest.mark.parametrize("resumed", [False, True])
def test_interrupted_while_the_function_is_loaded(start, tmp_path, whole, resumed):
    if resumed:
        shutil.copytree(whole, tmp_path / "exp")
    (tmp_path / "slow-to-load").touch()
    study = start(*(("run", "--resume") if resumed else TWELVE))
    study.when((tmp_path / "loading").exists)
    study.signal(signal.SIGINT)
    code, out, err = study.end()
    assert (code, out) == (75 if resumed else 1, "")
    *loading, error = err.splitlines()
    assert len(loading) <= 1  # what takes a while is said
    assert error.startswith("hbsim: error: interrupted: ")
    assert ("--resume" in error) == resumed
    assert (tmp_path / "exp").exists() == resumed
