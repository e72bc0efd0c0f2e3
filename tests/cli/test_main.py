"""Streams, exit codes, near names, interruption: what holds for every command."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
import typer

import hbsim as package
from hbsim.cli import surrogates

SYNTHETIC = ("simulate", "--surrogate", "synthetic", "--scheduler")


def test_version(call):
    assert call("--version") == (0, f"hbsim {package.__version__}\n", "")


def test_help_has_a_line_for_each_command(call):
    code, out, err = call()
    assert (code, err) == (0, "")
    path = "plan simulate compare run show best record validate sweep report surrogates clusters"
    assert re.findall(r"^  (\w+) .*\.$", out.partition("Commands:")[2], flags=re.MULTILINE) == path.split()


def test_shells_complete_commands_and_options(hbsim):
    asked = f"{shlex.quote(sys.executable)} -m hbsim --show-completion; true"  # a shell that is the parent
    shown = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, check=True)
    assert "_HBSIM_COMPLETE=complete_bash" in shown.stdout

    def completed(*words):
        where = {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
        return hbsim(_HBSIM_COMPLETE="complete_bash", **where).out.split()

    assert completed("hbsim", "sh") == ["show"]
    assert "--watch" in completed("hbsim", "show", "exp", "--w")


def test_no_heavy_imports_for_help():
    code = "import sys; sys.argv = ['hbsim', '--help']\nimport hbsim.cli.main as m\n"
    code += "try: m.main()\nexcept SystemExit: print([name for name in sys.modules if name in HEAVY])"
    heavy = ["numpy", "polars", "scipy", "altair", "simpy", "pydantic", "rich", "torch", "rich.console"]
    command = [sys.executable, "-c", f"HEAVY = {heavy}\n{code}"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stdout.endswith("\n[]\n")
    assert "  simulate " in ran.stdout


def test_results_go_to_stdout_and_warnings_to_stderr(call):
    code, out, err = call(*SYNTHETIC, "promotion", "--trials", "5", "--brackets", "9")
    assert code == 0
    assert "5 paused" in out
    assert err.splitlines() == [
        "hbsim: warning: --brackets 9 is clipped to 5: that many fit between --grace-period and --max-t"
    ]


def test_json_is_one_object_on_stdout(call):
    code, out, err = call(*SYNTHETIC, "stopping", "--trials", "20", "--json", "--explain", "3")
    assert (code, err) == (0, "")
    assert out.count("\n") == 1
    printed = json.loads(out, parse_constant=pytest.fail)
    assert printed["schema"] == 1
    assert printed["summary"]["trials"] == 20
    assert sum(row["recorded"] for row in printed["rungs"] if row["level"] == 1) == 20
    assert printed["explain"][0]["trial"] == 3


WRONG = {
    ("simulat",): "No such command 'simulat'. Did you mean 'simulate'?",
    ("compare", "--variant", "stopping", "--executor", "dask"): (
        "No such option: --executor: hbsim run has it; compare and sweep use other machines by --hosts or"
    ),
    (*SYNTHETIC, "promotion", "--trils", "3"): "No such option: --trils. Did you mean '--trials'?",
    (*SYNTHETIC, "promotoin", "--trials", "3"): "--scheduler promotoin: must be one of",
    (
        *SYNTHETIC,
        "fifo",
    ): "--num-trials: without it the study has no end: give --num-trials, --max-time or --max-reward",
    (*SYNTHETIC, "fifo", "--eta", "3", "--trials", "3"): "--eta 3: is not an option of type 'fifo', but of",
    (*SYNTHETIC, "stopping", "--eta", "1", "--trials", "3"): "--eta 1: must be greater than 1",
    (*SYNTHETIC, "stopping", "--eta", "x", "--trials", "3"): "'x' is not a number.",
    (*SYNTHETIC, "stopping", "--trials", "1.5"): "'1.5' is not a whole number.",
    (*SYNTHETIC, "stopping", "--trials", "3", "--workers", "0"): "--workers 0: must be",
    (*SYNTHETIC, "stopping", "--trials", "3", "--speed", "1,2"): "--speed 1,2: must be one number, or 32",
    (
        *SYNTHETIC,
        "stopping",
        "--trials",
        "3",
        "--max-t",
        "100",
    ): "--max-t 100: the curves of synthetic end at 81",
    (
        *SYNTHETIC,
        "stopping",
        "--trials",
        "3",
        "--explain",
        "3",
    ): "--explain 3: must be one of the trials 0 ... 2",
    (
        *SYNTHETIC,
        "stopping",
        "--max-time",
        "1",
        "--explain",
        "99",
    ): "--explain 99: must be one of the trials 0",
    ("simulate", "--scheduler", "fifo", "--trials", "2000"): "set --replace (rows again, in a seeded order)",
    ("surrogates", "syntetic"): "syntetic: is no surrogate",
    ("surrogates", "no.csv"): "no.csv: no such file",
    ("simulate",): "Missing option '--scheduler'. See hbsim simulate --help.",
}


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_wrong_requests_are_one_line_and_exit_2(call, words):
    code, out, err = call(*words)
    assert (code, out) == (2, "")
    assert err.startswith("hbsim: error: ")
    assert err.count("\n") == 1
    assert WRONG[words] in err


def test_wrong_requests_in_a_process_of_their_own(hbsim):
    code, out, err = hbsim(*SYNTHETIC, "promotoin", "--trials", "3")
    assert (code, out) == (2, "")
    assert err.endswith("Did you mean 'promotion'?\n")
    assert err.count("\n") == 1


def test_a_surrogate_that_raises_is_one_line(call, tmp_path):
    (tmp_path / "mine.py").write_text("raise OSError('boom')")
    code, out, err = call("simulate", "--scheduler", "fifo", "--trials", "2", "--surrogate", "mine.py:Mine")
    assert (code, out) == (2, "")
    assert err == "hbsim: error: mine.py: raised OSError: boom (mine.py, line 1)\n"


def test_unexpected_errors_keep_their_traceback(call, monkeypatch):
    monkeypatch.setattr(surrogates, "_shipped", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        call("surrogates")


def test_a_command_that_was_stopped_itself_exits_1_too(call, monkeypatch):
    def stop(*_):
        raise typer.Exit(130)

    monkeypatch.setattr(surrogates, "_shipped", stop)
    assert call("surrogates") == (1, "", "")


SLOW = """
from pathlib import Path
import numpy as np
import hbsim

class Slow:
    name, metric, mode, max_resource, resources, rows = "slow", "m", "max", 81, None, None
    space = hbsim.Space({"x": hbsim.Real(0.0, 1.0)})
    def evaluate(self, configurations, levels):
        Path("running").touch()
        values = np.ones((len(configurations), len(levels)))
        return values, np.cumsum(values, axis=1)
    def optimum(self, level): return None
    def test_values(self, configurations, level): return None
"""


def test_ctrl_c_is_one_line_and_exit_1(tmp_path):
    (tmp_path / "slow.py").write_text(SLOW)
    words = "simulate --scheduler promotion --trials 100000000 --out study --surrogate slow.py:Slow"
    command = [sys.executable, "-m", "hbsim", *words.split()]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=tmp_path, text=True, **streams) as process:
        while not (tmp_path / "running").exists():
            if process.poll() is not None:
                pytest.fail(process.communicate()[1])
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.startswith("hbsim: error: interrupted after ")
    assert err.endswith(" simulated seconds: what came until then is in study\n")
    assert err.count("\n") == 1
    assert "\nstudy: " in out
    summary = json.loads((tmp_path / "study" / "summary.json").read_text())["summary"]
    assert summary["interrupted"] is True
    assert summary["running"] > 0
    jobs = pl.read_parquet(tmp_path / "study" / "jobs.parquet")
    assert jobs.height == summary["jobs"]
    assert jobs.filter(jobs["verdict"] == "censored").height == summary["running"]


def test_a_reader_that_goes_away_is_no_error(tmp_path):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "hbsim", *SYNTHETIC, "stopping", "--trials", "3", "--json"]
    with os.fdopen(write, "w") as stdout:
        ran = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False)
    assert ran.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_stdout_that_takes_nothing_is_one_line():
    with open("/dev/full", "w") as stdout:
        command = [sys.executable, "-m", "hbsim", "surrogates", "ideal"]
        ran = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False)
    assert ran.returncode == 1
    assert ran.stderr == "hbsim: error: standard output: No space left on device\n"
