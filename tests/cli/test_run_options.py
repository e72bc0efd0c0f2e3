"""``hbsim run``: what it asks the library for, what it refuses, and the same study simulated."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import hbsim.study.run
from hbsim.core import make_scheduler
from hbsim.errors import ParameterError
from hbsim.study.interrupts import Interrupted
from hbsim.study.result import load
from tests.cli.run_studies import START, TRAIN, TWELVE, printed
from tests.doubles.journal_lines import read_journal


@pytest.fixture(autouse=True)
def train(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TRAIN)


# What the library is asked for


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return what `hbsim.run` is called with, once it is; nothing is run."""
    called: dict[str, Any] = {}

    def run(train: str, scheduler: object, **options: object) -> None:
        called.update(train=train, scheduler=scheduler, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(hbsim.study.run, "run", run)
    return called


def test_every_option_comes_to_the_library(call, asked):
    words = (
        "--brackets 2 --retries 1 --seed 5 --max-time 9.5 --max-reward 0.75 --searcher random --metric f1"
        " --mode min --time-attr step --workers 2 --num-cpus 1 --num-gpus 0.5 --hang-timeout 60 --grace 1.5"
        " --keep none --fsync always --start spawn --visualizer tensorboard --progress lines --out x"
        " --callback mlflow --callback x.py:Mine"
        " --set a=1 --set b=text --set c='[1, null]' --set a=2.5 --set d=NaN --set e=x=y"
    )
    call(*START.split(), "12", *shlex.split(words))
    scheduler = asked.pop("scheduler")
    options = {"max_t": 9, "num_trials": 12, "seed": 5, "brackets": 2, "retries": 1, "mode": "min"}
    assert scheduler.options == make_scheduler("promotion", **options).options
    assert asked == {
        "train": "train.py:train_fn",
        "workers": 2,
        "resource": {"num_cpus": 1, "num_gpus": 0.5},
        "folder": Path("x"),
        "seed": 5,
        "searcher": "random",
        "search_options": {},
        "time_attr": "step",
        "metric": "f1",
        "args": {"a": 2.5, "b": "text", "c": [1, None], "d": "NaN", "e": "x=y"},
        "max_time": 9.5,
        "max_reward": 0.75,
        "hang_timeout": 60,
        "grace": 1.5,
        "keep": "none",
        "fsync": "always",
        "start": "spawn",
        "until_return": False,
        "visualizer": "tensorboard",
        "callbacks": ["mlflow", "x.py:Mine"],
        "progress": "lines",
    }


def test_fifo_without_max_t_runs_until_the_function_returns(call, asked):
    call("run", "train.py:train_fn", "--scheduler", "fifo", "--trials", "3")
    assert asked["until_return"] is True
    assert asked["folder"] == Path("exp")
    call("run", "train.py:train_fn", "--scheduler", "fifo", "--trials", "3", "--max-t", "5")
    assert asked["until_return"] is False
    assert asked["scheduler"].levels == (5,)


def test_what_is_not_given_again_is_as_before(call, asked, whole):
    ran = call("run", "--resume", "--out", str(whole), "--grace", "1", "--set", "pause=0.5")
    assert ran.err.endswith(f"to go on: hbsim run --resume --out {whole}\n")
    spec = load(whole).spec
    assert asked.pop("scheduler").options == spec.make_scheduler().options
    assert asked == {
        "train": f"{whole.parent}/train.py:train_fn",
        "workers": 1,
        "resource": None,
        "folder": whole,
        "resume": True,
        "seed": 4,
        "searcher": "random",
        "search_options": {},
        "time_attr": "epoch",
        "metric": "accuracy",
        "args": {"pause": 0.5, "fail": "none"},
        "hang_timeout": 500,
        "grace": 1,
        "keep": "all",
        "until_return": False,
    }
    call("run", "other.py:f", "--resume", "--out", str(whole), "--scheduler", "promotion", "--eta", "3")
    assert asked["train"] == "other.py:f"


# Wrong requests


def words_of(text: str) -> tuple[str, ...]:
    return tuple(shlex.split(text))


THREE = f"{START} 3"
WRONG = {
    "run --scheduler fifo --trials 3": "Missing argument 'FILE.py:NAME', or option '--command'.",
    "run train.py:train_fn": "Missing option '--scheduler'. See hbsim run --help.",
    "run train.py:train_fn --scheduler promotion --trials 3": "--max-t: is required for type 'promotion'",
    "run train.py:train_fn --scheduler fifo": "--num-trials: without it the study has no end: give"
    " --num-trials, --max-time or --max-reward",
    "run no.py:f --scheduler fifo --trials 3": "no.py:f: there is no file no.py",
    "run --resume": "exp: there is no study to resume: it has no journal.jsonl",
    f"{THREE} --executor dusk": "--executor dusk: must be one of local, hosts, dask, sim. Did you mean",
    f"{THREE} --executor hosts": "--executor hosts: needs --hosts",
    f"{THREE} --executor dask --ssh-user me": "--ssh-user me: needs --hosts",
    f"{THREE} --hosts a,": "--hosts a,: must be names or addresses",
    f"{THREE} --hosts a --scheduler-address tcp://b:1": "reached by SSH: it goes without --scheduler-address",
    f"{THREE} --scheduler-address b:1": "--scheduler-address b:1: must be the address",
    f"{THREE} --hosts a --send all": "--send all: must be one of file, folder.",
    f"{THREE} --executor dask --storage s3:/x": "--storage s3:/x: must be auto, shared, pull or a URL",
    f"{THREE} --executor dask --lease 1": "--lease 1: must be 2 or more, in seconds",
    f"{THREE} --executor dask --num-gpus -1": "--num-gpus -1: ",
    f"{THREE} --executor dask --workers 0": "--workers 0: must be a whole number of at least 1",
    "run --executor sim --scheduler fifo --trials 3": "Missing argument 'FILE.py:NAME'",
    "run no.py:f --executor sim --scheduler fifo --trials 3": "no.py:f: there is no file no.py",
    f"{THREE} --executor sim --resume": "exp: there is no study to resume",
    f"{THREE} --executor sim --price 1 --speed 0": "--speed 0: must be above 0",
    f"{THREE} --explain 3": "--explain 3: must be one of the trials 0 ... 2",
    f"{THREE} --keep bst": "--keep bst: must be one of best, completed, all, none. Did you mean 'best'?",
    f"{THREE} --fsync never --start x": "--start x: must be one of fork, spawn.",
    f"{THREE} --mode up": "--mode up: must be one of max, min.",
    f"{THREE} --set 3=4": "--set 3=4: must be NAME=VALUE",
    f"{THREE} --max-time -1": "--max-time -1: must be above 0, in seconds",
    f"{THREE} --out train.py": "train.py: is a file; give a folder",
    f"{THREE} --metric epoch": "--metric epoch: must differ from --time-attr",
}


@pytest.mark.parametrize("text", WRONG)
def test_wrong_requests_are_one_line_before_any_work(call, tmp_path, text):
    code, out, err = call(*words_of(text))
    assert (code, out) == (2, "")
    assert err.startswith("hbsim: error: ")
    assert err.count("\n") == 1
    assert WRONG[text] in err
    assert not (tmp_path / "exp").exists()
    assert not (tmp_path / "loaded").exists()


LOADED = {
    f"{THREE} --num-gpus 999": "--num-gpus 999: a trial needs 999 GPUs; this machine has ",
    f"{THREE} --num-cpus 0": "--num-cpus 0: --num-cpus is a whole number, at least 1",
    f"{THREE} --set nothing=3": "--set nothing=3: is no argument of the function",
    f"{THREE} --set x=3": "--set x=3: is searched over",
    f"{THREE} --executor sim": "--surrogate: there are no learning curves of train.py:train_fn, exp holds no "
    "study: record some (hbsim record), name the folder of an earlier study, or ask for curves by a formula",
    f"{THREE} --executor sim --surrogate digits": "digits has batch_size, depth, dropout, lr, ",
    f"{THREE} --executor sim --surrogate synthetic --num-gpus 999": "--num-gpus 999: a trial needs 999 GPUs",
    "run train.py:nobody --scheduler fifo --trials 3": "train.py:nobody: there is no 'nobody' in train.py",
}


@pytest.fixture
def loading(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let a command load the training function in this process."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    sys.modules.pop("train", None)


@pytest.mark.usefixtures("loading")
@pytest.mark.parametrize("text", LOADED)
def test_what_does_not_fit_the_function_or_the_machine(call, tmp_path, text):
    code, out, err = call(*words_of(text))
    assert (code, out) == (2, "")
    assert err.startswith("hbsim: error: ")
    assert err.count("\n") == 1
    assert LOADED[text] in err
    assert not (tmp_path / "exp").exists()


def test_a_metric_that_is_not_reported(hbsim):
    code, out, err = hbsim(*words_of(THREE), "--metric", "acc", "--progress", "none")
    assert (code, out) == (2, "")
    assert err.startswith("hbsim: error: --metric acc: every report must have it")
    assert err.count("\n") == 1


DIFFERS = {
    "--eta 4": "--eta 4: the study began with 3; it goes on with the same, or in another folder",
    "--scheduler stopping --rule rank": "--scheduler stopping: the study began with 'promotion'",
    "--trials 5": "--trials 5: the study began with 12; it goes on with as many or more",
    "--metric loss": "--metric loss: the study began with 'accuracy'",
    "--mode min": "--mode min: the study began with 'max'",
    "--time-attr step": "--time-attr step: the study began with 'epoch'",
    "--seed 1": "--seed 1: the study began with ",
}


@pytest.mark.usefixtures("loading")
def test_what_differs_from_the_study(call, whole):
    journal = whole / "journal.jsonl"
    lines = sum(1 for _ in read_journal(journal))
    for text, expected in DIFFERS.items():
        code, out, err = call("run", *words_of(text), "--resume", "--out", str(whole))
        assert (code, out) == (2, "")
        assert err.count("\n") == 1
        assert expected in err
    err = call(*TWELVE, "--out", str(whole)).err
    ways = "--resume goes on with it; to begin anew, choose another folder or delete this one"
    assert err.endswith(f"exp: holds a study already; {ways}\n")
    assert sum(1 for _ in read_journal(journal)) == lines


def test_errors_of_the_library_in_the_words_of_options(call, monkeypatch):
    resource = {"num_cpus": 1, "num_gpus": 0.5}
    cases = [
        (
            ("space", ["lr"], "the study began with ..."),
            "train.py:train_fn: its search space is not the one",
        ),
        (("resource", resource, "a trial needs half of a GPU; there is no GPU"), "--num-gpus 0.5: a trial"),
        (("resource", resource, "a trial needs 1 CPU core; there is no GPU"), "--num-cpus 1: a trial needs"),
        (("lr", 3, "is no argument of the function (x)."), "--set lr=3: is no argument of the function (x)."),
        (("max_time", 0, "must be above max_t"), "--max-time 0: must be above --max-t"),
        (("folder", "exp", "resume=True goes on"), "--folder exp: --resume goes on"),
    ]
    words = ("--num-cpus", "1", "--num-gpus", "0.5", "--set", "lr=3")
    for raised, expected in cases:

        def run(*given: object, raised: tuple[str, object, str] = raised, **options: object) -> None:
            raise ParameterError(*raised)

        monkeypatch.setattr(hbsim.study.run, "run", run)
        code, _, err = call(*words_of(THREE), *words)
        assert code == 2
        assert err.startswith(f"hbsim: error: {expected}")


# Simulated


@pytest.mark.usefixtures("loading")
def test_one_flag_simulates_the_same_study(call, whole):
    """Options are those of the real study, and its curves are in its folder; nothing is written."""
    before = sorted(path.name for path in whole.iterdir())
    words = (*TWELVE, "--out", str(whole), "--executor", "sim")
    ran = call(*words)
    assert ran.code == 0
    assert ", 1 worker, simulated on exp\n" in ran.out
    assert "its configuration    x=" in ran.out
    assert ran.out.count("simulated time") == 1
    assert str(whole) not in ran.out
    (line,) = [line for line in ran.err.splitlines() if "the clock of row" not in line]  # a slow machine
    assert line.endswith(
        "ended early: their last values stay in the simulation, as by --censored extrapolate"
    )
    content = printed(call(*words, "--censored", "final", "--json", "--explain", "2").out)
    real = load(whole).summary()
    summary = content["summary"]
    assert {
        name: summary[name] for name in ("scheduler", "train", "metric", "mode", "workers", "trials")
    } == {name: real[name] for name in ("scheduler", "train", "metric", "mode", "workers", "trials")}
    assert set(real) <= set(summary)
    assert set(content["configuration"]) == {"x", "kind"}
    assert content["explain"][0]["trial"] == 2
    assert (content["folder"], content["resume"], content["failures"]) == (None, None, [])
    assert sorted(path.name for path in whole.iterdir()) == before


@pytest.mark.usefixtures("loading")
def test_a_study_that_is_over_is_simulated_without_its_options(call, whole):
    simulated = printed(call("run", "--resume", "--out", str(whole), "--executor", "sim", "--json").out)
    given = printed(call(*TWELVE, "--out", str(whole), "--executor", "sim", "--json").out)
    assert simulated["summary"] == given["summary"]


@pytest.mark.usefixtures("loading")
def test_curves_of_a_function_that_has_changed(call, tmp_path, whole):
    (tmp_path / "train.py").write_text(f"{TRAIN}\n# changed\n")
    words = (*TWELVE, "--out", str(whole), "--executor", "sim", "--censored", "final")
    assert "train.py:train_fn has changed since the study in " in call(*words).err
    (tmp_path / "train.py").write_text(TRAIN.replace("x=hbsim", "z=hbsim"))
    sys.modules.pop("train")
    assert "exp has another search space: record some" in call(*words).err


IGNORED = (
    "--keep all --fsync never --grace 1 --hang-timeout 60 --start spawn --visualizer none --num-cpus 1"
    " --callback tensorboard --set pause=1 --hosts a,b --lease 5"
)


@pytest.mark.usefixtures("loading")
def test_options_without_a_meaning_are_named_in_one_line(call, tmp_path):
    sim = ("--executor", "sim", "--surrogate", "synthetic", "--json")
    plain = call(*TWELVE, *sim)
    with_all = call(*TWELVE, *sim, *words_of(IGNORED))
    assert plain.err == ""
    start, _, named = with_all.err.partition("ignores ")
    assert start == "hbsim: note: --executor sim "
    assert named.count("\n") == 1
    assert sorted(named.strip().split(", ")) == sorted(word for word in IGNORED.split() if "--" in word)
    one, two = printed(plain.out), printed(with_all.out)
    assert {**one, "command": ""} == {**two, "command": ""}
    assert not (tmp_path / "exp").exists()
    err = call(*START.split(), "12", *sim, "--hosts", "a,b").err
    assert err.endswith(
        "--workers: is needed to simulate a study on hosts: how many trials fit there is only known there\n"
    )
    err = call(*TWELVE, *sim, "--set", "nothing=3").err
    assert "--set nothing=3: is no argument of the function" in err


@pytest.mark.usefixtures("loading")
def test_a_simulated_cluster_and_curves_by_a_formula(call, tmp_path):
    words = "--executor sim --surrogate synthetic --wrap noise:std=0.05 --startup 5 --no-checkpoints --json"
    plain = printed(call(*TWELVE, "--executor", "sim", "--surrogate", "synthetic", "--json").out)["summary"]
    summary = printed(call(*TWELVE, *words_of(words)).out)["summary"]
    assert summary["surrogate"] == "synthetic:max_resource=9.0 + noise:std=0.05"
    assert summary["seconds"] > plain["seconds"]
    assert summary["wasted_resource"] > 0
    (tmp_path / "mine.toml").write_text("[[machines]]\nkind = 'T4'\ncount = 3\ngpus = 2\nprice = 4.0\n")
    words = "--executor sim --surrogate synthetic --cluster mine.toml --json"
    summary = printed(call(*START.split(), "12", *words_of(words)).out)["summary"]
    assert summary["workers"] == 6
    assert summary["cost"] > 0


@pytest.mark.usefixtures("loading")
def test_an_interrupted_simulation(call, monkeypatch):
    def interrupted(*given: Any, **options: Any) -> Any:
        result = hbsim.simulate(*given, **options)
        result.interrupted = True
        raise Interrupted("interrupted", result)

    monkeypatch.setattr("hbsim.study.simulated_run.simulate", interrupted)
    code, out, err = call(*TWELVE, "--executor", "sim", "--surrogate", "synthetic")
    assert code == 1
    assert ", interrupted" in out
    assert err.startswith("hbsim: error: interrupted after ")
    assert err.endswith(" simulated seconds: what came until then is above\n")


def test_a_real_study_ignores_what_is_for_simulations(call, asked):
    words = "--surrogate digits --save 3 --no-checkpoints --wrap negate --cluster no.toml --replace --lease 5"
    err = call(*TWELVE, *words_of(words)).err
    first, _ = err.splitlines()
    assert first.startswith("hbsim: note: --executor local ignores ")
    assert sorted(first.rpartition("ignores ")[2].split(", ")) == sorted(
        ["--surrogate", "--save", "--checkpoints", "--wrap", "--cluster", "--replace", "--lease"]
    )
    assert not {"surrogate", "cluster", "executor"} & set(asked)


def test_help(call):
    code, out, _ = call("run", "--help")
    assert code == 0
    headings = (
        "Arguments",
        "Options",
        "Training function",
        "Study",
        "Scheduler",
        "Learning curves",
        "Output",
    )
    places = [out.index(f"\n{heading}:\n") for heading in headings]
    assert places == sorted(places)
    assert "--checkpoints / --no-checkpoints" in out
    assert "\n  run " in call().out


def test_a_duration_on_the_command_line_and_in_a_file(call, tmp_path, asked):
    words = (*TWELVE, "--trial-timeout")
    refused = call(*words, "a while")
    assert refused.code == 2
    assert "'a while' is no duration, as 90, 30m, 1.5h or 2d are" in refused.err
    call(*words, "1h 30m")
    assert asked["trial_timeout"] == 5400
    file = tmp_path / "study.toml"
    file.write_text(
        'train = "train.py:train_fn"\nnum_trials = 1\ntrial_timeout = "2h"\nscheduler = {type = "fifo"}'
    )
    call("run", "study.toml")
    assert asked["trial_timeout"] == 7200
    assert call("run", "study.toml", "--write-toml", "written.toml").code == 0
    assert "trial_timeout = 7200" in Path("written.toml").read_text()


def test_callbacks_are_known_when_a_study_is_resumed(call, asked, whole, tmp_path):
    folder = tmp_path / "exp"
    shutil.copytree(whole, folder)
    path = folder / "environment.json"
    content = json.loads(path.read_text())
    content["runs"][-1]["argv"] += ["--callback", "wandb", "--callback", "mine.py:Table"]
    path.write_text(json.dumps(content))
    call("run", "--resume", "--out", str(folder))
    assert asked["callbacks"] == ["wandb", f"{whole.parent}/mine.py:Table"]
    call("run", "--resume", "--out", str(folder), "--callback", "mlflow")
    assert asked["callbacks"] == ["mlflow"]


def test_callbacks_in_a_file_of_a_study(call, asked, tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "mine.py").write_text("import hbsim\nclass Table(hbsim.Callback): pass\n")
    text = 'train = "train.py:train_fn"\nnum_trials = 1\ncallbacks = {}\n'
    text += '[scheduler]\ntype = "promotion"\nmax_t = 9\n'
    (tmp_path / "there" / "study.toml").write_text(text.format('["tensorboard", "mine.py:Table"]'))
    call("run", "there/study.toml")
    assert asked["callbacks"] == ["tensorboard", "there/mine.py:Table"]
    assert call("run", "there/study.toml", "--write-toml", "written.toml").code == 0
    assert 'callbacks = ["tensorboard", "there/mine.py:Table"]' in Path("written.toml").read_text()
    (tmp_path / "there" / "study.toml").write_text(text.format('"wanb"'))
    assert 'callbacks = "wanb": must be mlflow, tensorboard, wandb or' in call("run", "there/study.toml").err
