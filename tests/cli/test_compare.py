"""``hbsim compare``: a sweep of one task, whose specification is the command's options."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from hbsim.bench.sweep import run as run_module
from hbsim.bench.sweep.folder import read_results
from tests.bench.sweep.made import left
from tests.cli.conftest import Ran

SMALL = ["--surrogate", "synthetic:mode=min,max_resource=9", "--workers", "4", "--seeds", "3", "--jobs", "1"]
STUDY = ["compare", "--variant", "stopping", "--variant", "fifo", "--trials", "30", *SMALL]
Call = Callable[..., Ran]

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


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of the studies that were run, in their order."""
    keys: list[str] = []
    runs = run_module.run_studies

    def counted(items):
        keys.extend(study.key for study, _ in items)
        return runs(items)

    monkeypatch.setattr(run_module, "run_studies", counted)
    return keys


def test_a_ranking_and_what_it_says(call: Call, tmp_path: Path):
    made = call(*STUDY)
    assert (made.code, made.err) == (0, "")
    assert "stopping" in made.out
    assert "fifo" in made.out
    assert "3 seeds" in made.out
    assert list(tmp_path.iterdir()) == []  # nothing is left without --out


def test_what_matters_adds_probabilities_and_changes_no_file(call: Call, tmp_path: Path):
    plain = call(*STUDY, "--out", "plain")
    made = call(*STUDY, "--matters", "10%", "--out", "out")
    assert made.code == 0
    assert "P better, same, worse" in made.out
    assert "P better" not in plain.out
    assert left(tmp_path / "plain") == left(tmp_path / "out")


def test_more_seeds_run_only_the_new_ones(call: Call, tmp_path: Path, ran: list[str]):
    assert call(*STUDY, "--out", "out").code == 0
    assert len(ran) == 6
    grown = [*STUDY[:-4], "--seeds", "5", "--jobs", "1"]
    made = call(*grown, "--out", "out")
    assert made.code == 0
    assert "10 of 10 cells are done; 4 were run now" in made.out
    assert len(ran) == len(set(ran)) == 10
    assert call(*grown, "--out", "fresh").code == 0
    assert left(tmp_path / "out") == left(tmp_path / "fresh")


def test_sweep_and_report_go_on_with_the_folder(call: Call, tmp_path: Path, ran: list[str]):
    lines = [f"{row},{level},{row % 7 / level},{level}" for row in range(99) for level in range(1, 10)]
    (tmp_path / "c.csv").write_text("\n".join(["config,epoch,loss,seconds", *lines]))
    words = ["compare", "--variant", "stopping", "--variant", "promotion,straight_on=false", "--vary"]
    words += ["brackets=1,2", "--surrogate", "c.csv", "--metric", "loss", "--mode", "min", "--trials", "9"]
    words += ["--startup", "lognormal:mean=2,std=1", "--seeds", "2", "--jobs", "1", "--wrap", "noise:std=0.1"]
    made = call(*words, "--out", "out")
    assert (made.code, made.err) == (0, "")
    count, before = len(ran), read_results(tmp_path / "out").cells
    again = call("sweep", "out/sweep.toml", "--out", "out", "--jobs", "1")
    assert (again.code, again.err) == (0, "")
    assert "8 of 8 cells are done; 0 were run now" in again.out
    assert len(ran) == count
    assert read_results(tmp_path / "out").cells.equals(before)
    printed = call("report", "out")
    assert (printed.code, printed.err) == (0, "")
    assert all(name in printed.out for name in ("stopping,brackets=1", "c.csv"))


def test_json_is_one_document_whoever_prints_it(call: Call, tmp_path: Path):
    documents = [json.loads(call(*STUDY, "--out", "out", "--json").out, parse_constant=pytest.fail)]
    documents += [json.loads(call("sweep", "out/sweep.toml", "--out", "out", "--json").out)]
    documents += [json.loads(call("report", "out", "--json").out)]
    assert [one["schema"] for one in documents] == [1, 1, 1]
    assert documents[0]["report"].keys() == documents[1]["report"].keys() == documents[2]["report"].keys()
    assert documents[0]["command"].startswith("hbsim compare --variant stopping --variant fifo")
    assert (documents[0]["cells"], documents[0]["complete"]) == (6, True)


def test_any_number_of_processes_gives_the_same_bytes(call: Call, tmp_path: Path):
    for name, jobs in (("one", "1"), ("two", "2")):
        assert call(*STUDY, "--out", name, "--jobs", jobs).code == 0
    assert left(tmp_path / "one") == left(tmp_path / "two")


def test_another_comparison_is_replaced_only_with_force(call: Call, tmp_path: Path):
    assert call(*STUDY, "--out", "out").code == 0
    before = left(tmp_path / "out")
    refused = call(*STUDY, "--seed", "9", "--out", "out")
    assert refused.code == 2
    assert "--out out: holds another sweep, with 6 studies; --force replaces it" in refused.err
    assert refused.err.count("\n") == 1
    assert left(tmp_path / "out") == before
    assert call(*STUDY, "--seed", "9", "--out", "out", "--force").code == 0
    assert read_results(tmp_path / "out").cells["seed"].unique().to_list() == [9, 10, 11]


def test_variants_with_the_same_schedule_are_one_row(call: Call, ran: list[str]):
    words = ["compare", "--variant", "stopping", "--vary", "brackets=3,9", "--variant", "fifo"]
    made = call(*words, "--trials", "9", *SMALL, "--json")
    assert made.code == 0
    assert made.err.count("\n") == 1
    assert "stopping,brackets=9: --vary brackets" in made.err or "brackets=9 is clipped to 3" in made.err
    rows = json.loads(made.out)["report"]["tasks"][0]["rows"]
    assert {row["variant"] for row in rows} == {"stopping,brackets=3 (= brackets=9)", "fifo"}
    assert len(ran) == 6


def test_studies_see_halves_of_a_table_unless_they_need_more(call: Call, tmp_path: Path):
    words = ["compare", "--variant", "stopping", "--variant", "fifo", "--jobs", "1", "--workers", "4"]
    words += ["--seeds", "3", "--max-time", "1"]
    for name, own in (("halves", ["500"]), ("all", ["501"]), ("off", ["9", "--no-halves"])):
        assert call(*words, "--trials", *own, "--out", name).code == 0
    found = {name: pl.read_parquet(tmp_path / name / "cells.parquet") for name in ("halves", "all", "off")}
    halves = found["halves"].select("seed", "split", "part").unique(maintain_order=True).rows()
    assert halves == [(0, 0, 0), (1, 0, 1), (2, 1, 0)]
    assert found["all"]["split"].null_count() == found["off"]["part"].null_count() == 6


def test_what_leads_is_confirmed_on_fresh_seeds(call: Call, tmp_path: Path):
    made = call(*STUDY, "--out", "out", "--confirm", "4")
    assert (made.code, made.err) == (0, "")
    confirm = read_results(tmp_path / "out").confirm
    assert confirm is not None
    assert confirm.cells["seed"].unique().to_list() == [3, 4, 5, 6]
    again = call("sweep", "out/confirm/sweep.toml", "--out", "out/confirm", "--jobs", "1")
    assert "0 were run now" in again.out
    # With more seeds it was another choice: what confirmed the old one is not printed any more.
    assert call(*STUDY, "--seeds", "4", "--out", "out").code == 0
    assert read_results(tmp_path / "out").confirm is None
    assert call(*STUDY, "--seeds", "4", "--out", "out", "--confirm", "2").code == 0
    confirm = read_results(tmp_path / "out").confirm
    assert confirm is not None
    assert confirm.cells["seed"].unique().to_list() == [4, 5]


def test_studies_go_on_beyond_the_budget_and_scores_do_not(call: Call, tmp_path: Path):
    words = ["compare", "--variant", "promotion", "--variant", "fifo", *SMALL, "--max-time", "20"]
    assert call(*words, "--out", "short").code == 0
    assert call(*words, "--out", "long", "--beyond", "2").code == 0
    short, long = (read_results(tmp_path / name) for name in ("short", "long"))
    assert short.cells["simulated_seconds"].max() == 20
    assert long.cells["simulated_seconds"].max() == 40
    within = long.rows("incumbents").filter(pl.col("time") <= 20).drop("key")
    assert within.equals(short.rows("incumbents").drop("key"))
    assert [budget.value for budget in long.budgets.values()] == [20]
    refused = call("compare", "--variant", "fifo", "--trials", "9", *SMALL, "--beyond", "2")
    assert "--beyond 2: needs a budget of time" in refused.err


def test_a_study_by_time_on_a_table_tries_each_row_once(call: Call, tmp_path: Path):
    lines = [f"{row},{level},{row % 7 / level},{level}" for row in range(20) for level in range(1, 10)]
    (tmp_path / "c.csv").write_text("\n".join(["config,epoch,loss,seconds", *lines]))
    words = ["compare", "--variant", "stopping", "--variant", "fifo", "--surrogate", "c.csv"]
    words += ["--metric", "loss", "--mode", "min", "--workers", "4", "--seeds", "2", "--jobs", "1", "--json"]
    made = call(*words, "--max-time", "1000")
    assert made.code == 0
    assert "c.csv has 20 rows, one for each trial: studies that need more end" in made.err
    assert {row["trials"] for row in json.loads(made.out)["report"]["tasks"][0]["rows"]} == {20}
    refused = call(*words, "--max-time", "1000", "--trials", "21")
    assert refused.code == 2
    assert "--trials 21: the table c.csv has 20 rows, one for each trial" in refused.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--variant stoping --trials 9", "Did you mean 'stopping'?"),
        ("--variant stopping,bracket=3 --trials 9", "Did you mean 'brackets'?"),
        ("--variant stopping,brackets=0 --trials 9", "--variant stopping,brackets=0: brackets must be"),
        ("--variant stopping --vary brackets=1,0 --trials 9", "--vary brackets=1,0: brackets must"),
        ("--variant stopping --vary bracket=3 --trials 9", "Did you mean 'brackets'?"),
        ("--variant stopping", "--num-trials: studies on synthetic"),
        ("--variant stopping --variant stopping --trials 9", "--variant stopping: must not be given twice"),
        ("--variant stopping,num_trials=3 --trials 9", "--variant stopping,num_trials=3: --trials is the"),
        ("--variant stopping,mode=max --trials 9", "--variant stopping,mode=max: mode is the surrogate's"),
        ("--variant stopping,seed=3 --trials 9", "--variant stopping,seed=3: seed is the study's"),
        ("--variant stopping,max_t=9 --trials 9", "--variant stopping,max_t=9: --max-t is the same for all"),
        ("--variant stopping --vary seed=1,2 --trials 9", "--vary seed=1,2: seed is the study's"),
        ("--variant fifo --vary searcher=girid --trials 9", "--vary searcher=girid: searcher must be one of"),
        ("--trials 9", "--variant"),
        ("--variant stopping --trials 9 --eta 1", "--eta 1: must be greater than 1"),
        ("--variant stopping --trials 9 --max-t 99", "--max-t 99: the curves"),
        ("--variant stopping --trials 9 --workers 0", "--workers 0"),
        ("--variant stopping --trials 9 --speed 1,2", "--speed 1,2: must be"),
        ("--variant stopping --trials 9 --startup gama:mean=3", "--startup gama:mean=3: "),
        ("--variant stopping --trials 9 --seeds 0", "--seeds 0"),
        ("--variant stopping --trials 9 --seed -1", "--seed -1"),
        ("--variant stopping --trials 9 --jobs 0", "--jobs 0"),
        ("--variant stopping --trials 9 --confirm 0", "--confirm 0"),
        ("--variant stopping --trials 9 --matters much", "--matters much: must be a number above 0"),
        ("--variant stopping --trials 9 --beyond 0.5", "--beyond 0.5: must be a number of at"),
        ("--variant stopping --trials 0", "--trials 0: must be a whole number of at least 1"),
        ("--variant stopping --trials 9 --max-time 0", "--max-time 0"),
        ("--variant stopping --max-full-runs -1", "--max-full-runs -1: must be a number above 0"),
        ("--variant stopping --trials 9 --surrogate syntetic", "Did you mean 'synthetic'?"),
        ("--variant stopping --trials 9 --metric loss", "--metric loss: is for recorded curves"),
        ("--variant stopping --trials 9 --searcher randon", "--searcher randon: must be one of"),
        ("--variant fifo,searcher=gpp --trials 9", "--variant fifo,searcher=gpp: searcher must be"),
        ("--variant fifo --trials 9 --search-option sise=3", "--search-option sise=3: is no"),
    ],
)  # fmt: skip
def test_a_wrong_request_is_one_line_and_exit_2(arguments: str, words: str, call: Call, tmp_path: Path):
    made = call("compare", *SMALL, *arguments.split(), "--out", "out")
    assert made.code == 2, made.err
    assert words in made.err
    assert "Traceback" not in made.err
    assert made.err.count("\n") == 1
    assert made.out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_surrogate_that_raises_is_one_line(call: Call, tmp_path: Path):
    (tmp_path / "own.py").write_text(SLOW)
    made = call(*STUDY, "--surrogate", "own.py:Broken")
    assert made.code == 2
    assert "no such curve" in made.err
    assert made.err.count("\n") == 1


def test_help_has_an_example(call: Call):
    made = call("compare", "--help")
    assert made.code == 0
    assert "hbsim compare --variant" in made.out


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
    command += ["--seeds", "1000", "--trials", "5", "--surrogate", f"{own}:Slow", "--jobs", "2"]
    command += ["--out", str(tmp_path / "out")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        while process.poll() is None and (not calls.exists() or calls.stat().st_size < 40):
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGINT)
        stdout, stderr = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 75, stderr
    assert "interrupted" in stderr
    assert "Traceback" not in stderr
    document = json.loads(stdout)
    assert document["complete"] is False
    assert 0 < document["done"] < 2000
    assert read_results(tmp_path / "out").done.height == document["done"]
