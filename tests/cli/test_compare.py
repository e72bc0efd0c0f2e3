from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner, Result

from hbsim.cli.main import app

SMALL = ["--surrogate", "synthetic:mode=min,max_resource=9", "--workers", "4", "--seeds", "3", "--jobs", "1"]
STUDY = ["--variant", "stopping", "--variant", "fifo", "--trials", "30", *SMALL]

SLOW = """
from pathlib import Path
import numpy as np
from hbsim import Real, Space

class Slow:
    metric, mode, max_resource = "accuracy", "max", 9.0
    space = Space({"x": Real(0, 1)})

    def evaluate(self, points, levels):
        with (Path(__file__).parent / "calls").open("a") as file:
            file.write(".")
        return np.repeat(points, len(levels), 1), np.repeat(levels[None, :], len(points), 0)

class Broken(Slow):
    def evaluate(self, points, levels):
        raise ValueError("no such curve")
"""


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["compare", *arguments])


def test_a_table_and_what_it_says():
    result = invoke(*STUDY)
    assert result.exit_code == 0
    assert "Equal time:" in result.stdout
    assert "seeds 0 to 2" in result.stdout
    assert [line.split()[1] for line in result.stdout.splitlines()[3:5]] == ["stopping", "fifo"]
    assert result.stderr == ""


def test_a_study_by_time_on_a_table_tries_each_row_once(tmp_path):
    lines = [f"{row},{level},{row % 7 / level},{level}" for row in range(20) for level in range(1, 10)]
    table = tmp_path / "c.csv"
    table.write_text("\n".join(["config,epoch,loss,seconds", *lines]))
    words = ["--variant", "stopping", "--variant", "fifo", "--surrogate", str(table), "--metric", "loss"]
    words += ["--mode", "min", "--workers", "4", "--seeds", "10", "--jobs", "1", "--json"]
    result = invoke(*words, "--max-time", "1000")
    assert (result.exit_code, result.stderr) == (0, "")
    told = json.loads(result.stdout)
    assert {row["trials"] for row in told["variants"]} == {20}
    assert any(
        "all 20 rows of c.csv were tried, one for each trial: give --replace" in n for n in told["notes"]
    )
    assert json.loads(invoke(*words, "--max-time", "1000", "--trials", "20").stdout)["notes"] == told["notes"]
    result = invoke(*words, "--max-time", "1000", "--trials", "21")
    assert result.exit_code == 2
    assert "--trials 21: the table c.csv has 20 rows, one for each trial" in result.stderr
    fewer = json.loads(invoke(*words, "--max-time", "1000", "--trials", "19").stdout)
    assert any("idle; give more trials" in note for note in fewer["notes"])


def test_json_is_one_object_and_nothing_else():
    result = invoke(*STUDY, "--json", "--seed", "5", "--max-time", "1")
    assert result.exit_code == 0
    document = json.loads(result.stdout, parse_constant=pytest.fail)
    assert document["schema"] == 1
    assert document["seeds"] == [5, 6, 7]
    assert document["equal_time"] == {"value": 1, "least_of": None}
    assert {row["variant"] for row in document["variants"]} == {"stopping", "fifo"}
    last = document["variants"][-1]
    assert last["variant"] == "fifo"  # nothing is complete after a second
    assert last["time_regret"] is None
    assert document["command"].startswith("hbsim compare --variant stopping --variant fifo")
    assert document["files"] == []


def test_files_are_the_same_for_any_number_of_processes(tmp_path: Path):
    for name, jobs in (("one", "1"), ("two", "2")):
        assert invoke(*STUDY, "--out", str(tmp_path / name), "--jobs", jobs).exit_code == 0
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    expected = {"anytime.parquet", "anytime.png", "cells.parquet", "compare.csv", "compare.json"}
    assert {*expected, "incumbents.parquet", "table.md"} < set(names)
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    cells = pl.read_parquet(tmp_path / "one" / "cells.parquet")
    assert cells.height == 6
    assert json.loads((tmp_path / "one" / "compare.json").read_text())["schema"] == 1


def test_earlier_results_are_replaced_only_with_force(tmp_path: Path):
    out = str(tmp_path / "out")
    assert invoke(*STUDY, "--out", out).exit_code == 0
    before = (tmp_path / "out" / "compare.json").read_bytes()
    refused = invoke(*STUDY, "--seed", "9", "--out", out)
    assert refused.exit_code in (1, 2)
    assert "--force" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert (tmp_path / "out" / "compare.json").read_bytes() == before
    assert invoke(*STUDY, "--seed", "9", "--out", out, "--force").exit_code == 0
    assert (tmp_path / "out" / "compare.json").read_bytes() != before


def test_clipping_is_said_once_in_one_line():
    result = invoke(
        "--variant", "stopping", "--variant", "promotion", "--vary", "brackets=9", "--trials", "9", *SMALL
    )
    assert result.exit_code == 0
    assert result.stderr.count("\n") == 1
    assert "stopping,brackets=9; promotion,brackets=9: brackets=9 is clipped to 3" in result.stderr


def test_max_t_is_where_curves_end_unless_given():
    assert json.loads(invoke(*STUDY, "--json").stdout)["max_t"] == 9
    assert json.loads(invoke(*STUDY, "--json", "--max-t", "3").stdout)["max_t"] == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--variant", "stoping", "--trials", "9"], "Did you mean 'stopping'?"),
        (["--variant", "stopping,bracket=3", "--trials", "9"], "Did you mean 'brackets'?"),
        (["--variant", "stopping", "--vary", "bracket=3", "--trials", "9"], "Did you mean 'brackets'?"),
        (["--variant", "stopping"], "--trials: is needed, or --max-time"),
        (["--trials", "9"], "--variant"),
        (["--variant", "stopping", "--trials", "9", "--eta", "1"], "--eta 1: must be greater than 1"),
        (["--variant", "stopping", "--trials", "9", "--max-t", "99"], "--max-t 99: the curves"),
        (["--variant", "stopping", "--trials", "9", "--workers", "0"], "--workers 0"),
        (["--variant", "stopping", "--trials", "9", "--seeds", "0"], "--seeds 0"),
        (["--variant", "stopping", "--trials", "9", "--seed", "-1"], "--seed -1"),
        (["--variant", "stopping", "--trials", "9", "--jobs", "0"], "--jobs 0"),
        (["--variant", "stopping", "--trials", "9", "--max-time", "0"], "--max-time 0"),
        (["--variant", "stopping", "--trials", "9", "--surrogate", "syntetic"], "Did you mean 'synthetic'?"),
    ],
)
def test_a_wrong_request_is_one_line_and_exit_2(arguments: list[str], words: str, tmp_path: Path):
    result = invoke(*SMALL, *arguments, "--out", str(tmp_path / "out"))
    assert result.exit_code == 2
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_a_surrogate_that_raises_is_one_line(tmp_path: Path):
    (tmp_path / "own.py").write_text(SLOW)
    result = invoke(*STUDY, "--surrogate", f"{tmp_path / 'own.py'}:Broken")
    assert result.exit_code in (1, 2)
    assert "no such curve" in result.stderr
    assert result.stderr.count("\n") == 1


def test_help_has_an_example():
    result = invoke("--help")
    assert result.exit_code == 0
    assert "hbsim compare --variant" in result.stdout


def test_what_is_finished_at_ctrl_c_is_kept(tmp_path: Path):
    own, calls = tmp_path / "own.py", tmp_path / "calls"
    own.write_text(SLOW)
    command = [
        sys.executable,
        "-m",
        "hbsim",
        "compare",
        "--variant",
        "stopping",
        "--variant",
        "fifo",
        "--json",
    ]
    command += ["--seeds", "100000", "--trials", "5", "--surrogate", f"{own}:Slow", "--jobs", "2"]
    command += ["--out", str(tmp_path / "out")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        while process.poll() is None and (not calls.exists() or calls.stat().st_size < 200):
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 1, stderr
    assert "interrupted" in stderr
    assert "Traceback" not in stderr
    document = json.loads(stdout)
    assert document["complete"] is False
    assert 0 < len(document["seeds"]) < 100000
    kept = pl.read_parquet(tmp_path / "out" / "cells.parquet")
    assert kept.height == 2 * len(document["seeds"])
