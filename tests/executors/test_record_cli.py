"""``hbsim record``: streams, exit codes, interruption."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from hbsim.cli.command import Command
from hbsim.cli.main import app as everything
from hbsim.cli.record import record
from hbsim.executors.record_part import part_path

from .test_record_resume import WAITING, wait_for


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    app.command(cls=Command)(record)
    return app


def test_says_where_the_file_is(app, train, tmp_path):
    out = tmp_path / "c.parquet"
    result = CliRunner().invoke(app, [train(), "--trials", "2", "--out", str(out)])
    assert result.exit_code == 0
    assert result.stdout == f"{out}: 2 trials\n"
    assert result.stderr == (
        f"hbsim: note: {out} does not say what decides: to read it takes --metric and --mode\n"
    )
    assert out.exists()


def test_what_is_recorded_is_simulated_without_options(train, tmp_path):
    out = str(tmp_path / "c.parquet")
    words = ["record", train(), "--trials", "6", "--metric", "loss", "--mode", "min", "--out", out]
    assert CliRunner().invoke(everything, words).stderr == ""
    simulate = ["simulate", "--scheduler", "stopping", "--surrogate", out, "--max-t", "4", "--trials", "6"]
    told = json.loads(CliRunner().invoke(everything, [*simulate, "--json"]).stdout)
    assert (told["summary"]["metric"], told["summary"]["mode"]) == ("loss", "min")
    other = ["--metric", "seed_seen", "--mode", "max", "--json"]
    told = json.loads(CliRunner().invoke(everything, [*simulate, *other]).stdout)
    assert (told["summary"]["metric"], told["summary"]["mode"]) == ("seed_seen", "max")


def test_json_and_failures(app, train, tmp_path):
    body = "    reporter(epoch=1, loss=0.0)\n    assert args.trial\n"
    command = [train(body), "--trials", "2", "--json", "--out"]
    result = CliRunner().invoke(app, [*command, str(tmp_path / "c.parquet")])
    told = {"schema": 1, "out": str(tmp_path / "c.parquet"), "trials": 2, "failed": 1}
    assert json.loads(result.stdout) == told
    assert "hbsim: warning: 1 of 2 trials failed" in result.stderr
    assert "Trial 0: AssertionError" in result.stderr


@pytest.mark.parametrize(
    ("options", "code", "line"),
    [
        ([], 1, "c.parquet: exists; choose another file, or --force, which replaces it"),
        (["--workers", "0"], 2, "--workers 0: must be a whole number, 1 or more"),
        (["--max-t", "-1"], 2, "--max-t -1.0: must be above 0 and finite"),
    ],
)
def test_errors_are_one_line(app, train, tmp_path, options, code, line):
    (tmp_path / "c.parquet").touch()
    command = [train(), "--trials", "2", "--out", str(tmp_path / "c.parquet"), *options]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == code
    assert result.stdout == ""
    assert result.stderr.splitlines()[0].endswith(line)
    assert len(result.stderr.splitlines()) == 1


def test_help_has_examples(app):
    assert "hbsim record examples/digits_mlp.py:train_fn" in CliRunner().invoke(app, ["--help"]).stdout


def test_ctrl_c_says_how_to_go_on(train, tmp_path):
    out: Path = tmp_path / "c.parquet"
    code = "from hbsim.cli.main import main; main()"
    command = [sys.executable, "-c", code, "record", train(WAITING), "--trials", "5", "--out", str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_for(lambda: part_path(out).exists() and part_path(out).read_bytes().count(b"\n") == 4)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert stdout == ""
    kept = f"3 of 5 trials are kept in {part_path(out)}; the same command goes on from there"
    assert stderr == f"hbsim: error: interrupted: {kept}\n"
    assert part_path(out).exists()
