"""``hbsim run --command``: a script by its command line, with its parameters as options or in a file."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from hbsim.cli.script import parse_space
from hbsim.core.space import Bool, Choice, Int, Real
from hbsim.errors import ParameterError
from hbsim.study.result import load
from tests.cli.run_studies import printed

EXAMPLES = Path(__file__).parents[2] / "examples"
SHELL = "sh shell_script.sh {speed} {max_t}"
PATTERN = r"epoch (?P<epoch>\d+): accuracy (?P<accuracy>\S+)"
SCRIPT = ("--command", SHELL, "--param", "speed=int:1:9", "--report-pattern", PATTERN)
STUDY = (*SCRIPT, "--scheduler", "promotion", "--max-t", "9", "--trials", "4", "--workers", "1")


@pytest.fixture(autouse=True)
def _example(tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / "shell_script.sh", tmp_path)


def test_a_shell_script_for_real_resumed_and_simulated(call, tmp_path, monkeypatch):
    real = call("run", *STUDY, "--progress", "none", "--json")
    assert (real.code, real.err) == (0, "")
    content = printed(real.out)
    assert shlex.split(content["command"])[2:8] == list(SCRIPT)
    assert content["summary"]["train"] == SHELL
    result = load("exp")
    assert result.best.config["speed"] == max(result.configurations["speed"])
    # The script does not wait: its state may be of a later epoch than its report.
    assert int((result.best.load() / "epoch").read_text()) >= result.best.resource
    assert SHELL in call("show", "exp").out
    assert "speed" in call("best", "exp").out
    words = ("run", *STUDY, "--executor", "sim", "--surrogate", "synthetic", "--json")
    assert printed(call(*words).out)["summary"]["trials"] == 4
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")  # the command runs in its own folder again
    with (tmp_path / "shell_script.sh").open("a") as script:
        script.write("# changed\n")
    more = call("run", "--resume", "--folder", "../exp", "--trials", "5", "--progress", "none", "--json")
    assert printed(more.out)["summary"]["trials"] == 5
    assert "hbsim: warning: shell_script.sh has changed since the study began" in more.err
    assert load("../exp").failures.is_empty()


def test_curves_of_a_script_are_recorded(call):
    words = ("record", *SCRIPT, "--trials", "2", "--max-t", "3", "--workers", "1", "--progress", "none")
    done = call(*words, "--out", "curves.parquet", "--json")
    assert (done.code, printed(done.out)["trials"]) == (0, 2)
    simulate = ("simulate", "--surrogate", "curves.parquet", "--scheduler", "stopping", "--trials", "2")
    assert call(*simulate, "--json").code == 0
    script = ("run", *SCRIPT, "--executor", "sim", "--surrogate", "curves.parquet")
    assert call(*script, "--scheduler", "stopping", "--max-t", "3", "--trials", "2").code == 0


def test_a_script_in_a_study_file(call, tmp_path, monkeypatch):
    (tmp_path / "d").mkdir()
    assert call("run", *STUDY, "--write-toml", "d/study.toml").code == 0
    text = (tmp_path / "d/study.toml").read_text()
    assert '[space]\nspeed = "int:1:9"\n' in text
    assert 'cwd = ".."\n' in text
    (tmp_path / "study.toml").write_text(text.replace('cwd = ".."\n', ""))
    monkeypatch.chdir(tmp_path / "d")
    done = call("run", "../study.toml", "--param", "speed=int:3:4", "--progress", "none", "--folder", "exp")
    assert done.code == 0
    assert set(load("exp").configurations["speed"]) <= {3, 4}
    (tmp_path / "study.toml").write_text(text.replace('"int:1:9"', '"whole:1:9"'))
    wrong = call("run", "../study.toml")
    assert wrong.code == 2
    assert wrong.err.startswith("hbsim: error: --param speed=whole:1:9: must be NAME=real:LOW:HIGH, ")


def test_the_argparse_example(call, tmp_path):
    shutil.copy(EXAMPLES / "argparse_script.py", tmp_path)
    command = f"{sys.executable} argparse_script.py --lr {{lr}} --momentum {{momentum}} --epochs {{max_t}}"
    params = ("--param", "lr=real:1e-3:1:log", "--param", "momentum=real:0:0.95")
    how = ("--metric", "loss", "--mode", "min", "--scheduler", "promotion", "--max-t", "9", "--trials", "4")
    done = call("run", "--command", command, *params, *how, "--workers", "2", "--progress", "none", "--json")
    assert (done.code, done.err) == (0, "")
    best = load(tmp_path / "exp").best
    assert json.loads((best.load() / "state.json").read_text())[0] == best.resource


def test_the_hydra_example(call, tmp_path):
    pytest.importorskip("hydra", reason="the example is a Hydra script")
    shutil.copy(EXAMPLES / "hydra_script.py", tmp_path)
    shutil.copytree(EXAMPLES / "hydra_config", tmp_path / "hydra_config")
    before = {path.name for path in tmp_path.iterdir()}
    command = f"{sys.executable} hydra_script.py lr={{lr}} model.width={{model.width}} epochs={{max_t}}"
    params = ("--param", "lr=choice:0.1,fast", "--param", "model.width=int:1:64")
    how = ("--metric", "loss", "--mode", "min", "--scheduler", "fifo", "--max-t", "3", "--trials", "3")
    done = call("run", "--command", command, *params, *how, "--workers", "2", "--progress", "none", "--json")
    assert done.code == 0
    assert {path.name for path in tmp_path.iterdir()} == {*before, "exp"}  # Hydra leaves no folder
    result = load(tmp_path / "exp")
    values = dict(result.configurations.select("trial", "lr").rows())
    fast = [trial for trial, value in values.items() if value == "fast"]
    assert 0 < len(fast) < 3
    assert [row["trial"] for row in result.failures.to_dicts()] == fast
    assert "multiply" in result.failures["reason"][0]  # the error, and not Hydra's hint
    best = result.best
    assert best.config["lr"] == 0.1
    assert (
        best.value
        == 1 / best.config["model.width"] + json.loads((best.load() / "state.json").read_text())[1] ** 2
    )
    log = tmp_path / "exp" / "trials" / f"{best.trial:06}" / "log.txt"
    assert (
        f"from epoch 0 with {{'lr': 0.1, 'epochs': 3, 'model': {{'width': {best.config['model.width']}}}}}"
        in log.read_text()
    )


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("--command", "x {lr}", "a.py:f"), "--command 'x {lr}': goes without a.py:f: one of both trains"),
        (("--param", "a=bool"), "--param a=bool: is for a script: it needs --command"),
        (("--command", "sh x {a}", "--param", "a"), "--param a: must be NAME=real:LOW:HIGH,"),
        (
            ("--command", "sh x {a}", "--param", "a=reel:1:2"),
            "--param a=reel:1:2: must be NAME=real:LOW:HIGH,",
        ),
        (
            ("--command", "sh x {a}", "--param", "a=real:2:1"),
            "--param a=real:2:1: low=2.0: must be below high",
        ),
        (
            ("--command", "sh x {a}", "--param", "b=bool"),
            "--command 'sh x {a}': {a} is no parameter ('b', 'max_t',",
        ),
        (
            ("--command", "no-such {b}", "--param", "b=bool"),
            "--command 'no-such {b}': there is no executable",
        ),
        (
            ("--command", "sh shell_script.sh {b} {max_t}", "--param", "b=bool", "--report-pattern", "x"),
            "--report-pattern x: must have a named group",
        ),
    ],
)
def test_wrong_options_of_a_script(call, tmp_path, words, error):
    done = call("run", *words, "--scheduler", "stopping", "--max-t", "3", "--trials", "1")
    assert done.code == 2
    assert done.err.startswith(f"hbsim: error: {error}")
    assert not (tmp_path / "exp").exists()


def test_parameters_as_texts():
    texts = ("lr=real:1e-4:0.1:log", "width=int:16:256", "opt=choice:adam,1,0.5,true,01", "nesterov=bool")
    assert parse_space([*texts, "optimizer.lr=int:1:8:log", "width=int:1:2"]) == {
        "lr": Real(1e-4, 0.1, log=True),
        "width": Int(1, 2),
        "opt": Choice("adam", 1, 0.5, "true", "01"),
        "nesterov": Bool(),
        "optimizer.lr": Int(1, 8, log=True),
    }
    for text in ("a=real:1", "a=real:1:2:lin", "a=int:1:x", "a=bool:1", "a=choice:b,b", "=bool"):
        with pytest.raises(ParameterError):
            parse_space([text])
