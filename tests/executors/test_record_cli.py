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

from hbsim.cli.record import record
from hbsim.errors import OutputError
from hbsim.executors.record_part import part_path

from .test_record_resume import WAITING, wait_for


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    app.command()(record)
    return app


def test_says_where_the_file_is(app, train, tmp_path):
    out = tmp_path / "c.parquet"
    result = CliRunner().invoke(app, [train(), "--trials", "2", "--out", str(out)])
    assert result.exit_code == 0
    assert result.stdout == f"{out}: 2 trials\n"
    assert out.exists()


def test_json_and_failures(app, train, tmp_path):
    body = "    reporter(epoch=1, loss=0.0)\n    assert args.trial\n"
    command = [train(body), "--trials", "2", "--json", "--out"]
    result = CliRunner().invoke(app, [*command, str(tmp_path / "c.parquet")])
    told = {"schema": 1, "out": str(tmp_path / "c.parquet"), "trials": 2, "failed": 1}
    assert json.loads(result.stdout) == told


def test_errors_go_up_to_the_main_function(app, train, tmp_path):
    (tmp_path / "c.parquet").touch()
    result = CliRunner().invoke(app, [train(), "--trials", "2", "--out", str(tmp_path / "c.parquet")])
    assert isinstance(result.exception, OutputError)


def test_help_has_an_example(app):
    assert "Example: hbsim record" in CliRunner().invoke(app, ["--help"]).stdout


def test_ctrl_c_says_how_to_go_on(train, tmp_path):
    out: Path = tmp_path / "c.parquet"
    code = "import typer; from hbsim.cli.record import record; typer.run(record)"
    command = [sys.executable, "-c", code, train(WAITING), "--trials", "5", "--out", str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_for(lambda: part_path(out).exists() and part_path(out).read_bytes().count(b"\n") == 4)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stdout == ""
    assert f"3 of 5 trials are kept in {part_path(out)}. The same command goes on" in stderr.splitlines()[-1]
    assert part_path(out).exists()
