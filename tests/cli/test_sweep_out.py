"""Where a sweep's results may go, and what the command says of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import polars as pl
import pytest

from hbsim.bench.pool import open_pool
from hbsim.bench.sweep import run as run_module
from hbsim.bench.sweep.folder import SEAL, _seal
from tests.cli.conftest import Ran

STUDY = """\
title = "A try"
seeds = 2
workers = [1, 2]
defaults = {num_trials = 9}
variants = [{type = "stopping"}, {type = "fifo"}]
surrogates = [{surrogate = "synthetic:mode=min,max_resource=9", name = "syn"}]
"""
RUN = ("sweep", "study.toml", "--out", "out", "--jobs", "1")
TABLES = ("anytime", "brackets", "cells", "incumbents", "plan", "rungs", "timelines", "timings")
Call = Callable[..., Ran]


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch):
    """Save the time in which the one process starts."""
    monkeypatch.setattr(run_module, "open_pool", lambda jobs, remote, isolated: open_pool(jobs, remote))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a sweep's file."""
    (tmp_path / "study.toml").write_text(STUDY)
    return tmp_path


def content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def refused(ran: Ran, words: str, code: int = 2) -> None:
    assert ran.code == code, ran.err
    assert ran.out == ""
    assert ran.err.startswith("hbsim: error: ")
    assert words in ran.err
    assert ran.err.count("\n") == 1


def test_help_has_all_options(call: Call):
    ran = call("sweep", "--help")
    assert ran.code == 0
    for option in ("--out", "--data", "--jobs", "--scheduler-address", "--retry-failed", "--force", "--json"):
        assert option in ran.out


def test_what_is_there_afterwards(call: Call, folder: Path):
    ran = call(*RUN)
    assert (ran.code, ran.err) == (0, "")
    done = "A try: 8 of 8 cells are done; 8 were run now\n"
    assert ran.out == f"{done}As a page: hbsim report out --out report.html\n"
    names = {f"{table}.parquet" for table in TABLES}
    assert {path.name for path in (folder / "out").iterdir()} == {*names, "sweep.json", "sweep.toml"}
    assert (folder / "out" / "sweep.toml").read_text() == STUDY
    manifest = json.loads((folder / "out" / "sweep.json").read_text(), parse_constant=pytest.fail)
    assert (manifest["schema"], manifest["title"], manifest["cells"]) == (1, "A try", 8)
    assert manifest["command"] == "hbsim sweep study.toml"
    cells = pl.read_parquet(folder / "out" / "cells.parquet")
    assert cells.height == 8
    assert cells["seed"].to_list() == [0, 0, 0, 0, 1, 1, 1, 1]


def test_json_is_one_object(call: Call, folder: Path):
    ran = call(*RUN, "--json")
    assert (ran.code, ran.err) == (0, "")
    found = json.loads(ran.out)
    assert found.pop("files") == sorted(
        [*(f"{table}.parquet" for table in TABLES), "sweep.json", "sweep.toml"]
    )
    report = found.pop("report")
    assert (report["title"], report["cells"], len(report["tasks"])) == ("A try", 8, 2)
    assert found.pop("command") == "hbsim sweep study.toml"
    assert found.pop("complete") is True
    assert found == {"schema": 1, "cells": 8, "done": 8, "failed": 0, "before": 0, "out": "out"}


def test_a_dry_run_says_how_much_and_writes_nothing(call: Call, folder: Path):
    ran = call("sweep", "study.toml", "--dry-run", "--out", "out")
    assert (ran.code, ran.err) == (0, "")
    first, second, last = ran.out.splitlines()
    assert last == "hbsim sweep study.toml --out out"
    assert first == "A try: 8 cells: 2 variants on 2 tasks"
    assert second.startswith("8 are to be run: about ")
    found = json.loads(call("sweep", "study.toml", "--dry-run", "--json", "--jobs", "3").out)
    assert found.pop("seconds") > 0
    assert found == {
        "schema": 1, "cells": 8, "finished": 0, "failed": 0, "left": 8, "variants": 2, "tasks": 2, "jobs": 3,
        "tried": 8, "problems": [], "command": "hbsim sweep study.toml --jobs 3 --folder study",
    }  # fmt: skip
    assert [path.name for path in folder.iterdir()] == ["study.toml"]


def test_a_dry_run_knows_what_is_finished(call: Call, folder: Path):
    assert call(*RUN).code == 0
    before = content(folder)
    (folder / "study.toml").write_text(STUDY.replace("seeds = 2", "seeds = 3"))
    found = json.loads(call("sweep", "study.toml", "--dry-run", "--out", "out", "--json").out)
    assert (found["cells"], found["finished"], found["left"]) == (12, 8, 4)
    lines = call("sweep", "study.toml", "--dry-run", "--out", "out").out.splitlines()
    assert lines[1] == "8 are finished"
    found = json.loads(call("sweep", "study.toml", "--dry-run", "--out", "out", "--json", "--force").out)
    assert (found["finished"], found["left"]) == (0, 12)
    (folder / "study.toml").write_text(STUDY)
    assert json.loads(call(*RUN, "--dry-run", "--json").out)["left"] == 0
    assert content(folder) == before


def test_cells_that_share_a_study_are_said_to(call: Call, folder: Path):
    other = '"syn"}, {surrogate = "synthetic:mode=min,max_resource=9", name = "syn2"}]'
    (folder / "study.toml").write_text(STUDY.replace('"syn"}]', other))
    ran = call("sweep", "study.toml", "--dry-run")
    assert "8 have the same inputs as others, and share their studies" in ran.out
    ran = call(*RUN)
    assert ran.out.startswith("A try: 16 of 16 cells are done; 16 were run now\n")


def test_warnings_are_a_line_each(call: Call, folder: Path):
    (folder / "study.toml").write_text(
        STUDY.replace('"stopping"}', '"stopping", brackets = 9}, {type = "sha"}')
    )
    ran = call(*RUN)
    assert ran.code == 0
    assert ran.err.splitlines() == [
        "hbsim: warning: stopping,brackets=9: brackets=9 is clipped to 3: that many fit between grace_period "
        "and max_t",
        "hbsim: warning: sha: no n was given; n=9, the reduction factor to the power of 2",
    ]
    warned = json.loads((folder / "out" / "sweep.json").read_text())["warnings"]
    assert [f"hbsim: warning: {line}" for line in warned] == ran.err.splitlines()


def test_what_is_wrong_with_out_is_said_before_any_warning(call: Call, folder: Path):
    (folder / "study.toml").write_text(STUDY.replace('"stopping"}', '"stopping", brackets = 9}'))
    (folder / "out").write_text("mine")
    refused(call(*RUN), "--out out: is a file; give a folder")
    refused(call(*RUN, "--dry-run"), "--out out: is a file; give a folder")


# Cells that fail

ROWS = """\
title = "Rows"
seeds = 2
variants = [{type = "stopping"}, {type = "fifo"}]
defaults = {max_full_runs = 20}
workers = 32
surrogates = [{surrogate = "digits"}]
"""
NEEDS = (
    "digits has 1,000 rows, one for each trial: studies that need more end; set num_trials, or replace = true"
)
FRAIL = """
import numpy as np
from hbsim import Real, Space

class Frail:
    metric, mode, max_resource = "accuracy", "max", 9.0
    space = Space({"x": Real(0, 1)})

    def evaluate(self, points, levels):
        if len(levels) == 3:  # those of the stopping type
            raise ValueError("no such curve")
        return np.repeat(points, len(levels), 1), np.repeat(levels[None, :], len(points), 0)
"""
BROKEN = "Frail: evaluate raised ValueError: no such curve"


def test_a_table_may_have_too_few_rows(call: Call, folder: Path):
    (folder / "study.toml").write_text(ROWS)
    ran = call(*RUN, "--dry-run")
    assert ran.code == 0
    assert ran.err.startswith(f"hbsim: warning: line 6: {NEEDS}")
    ran = call(*RUN)
    assert (ran.code, ran.out.splitlines()[0]) == (0, "Rows: 4 of 4 cells are done; 4 were run now")


def test_cells_that_fail(call: Call, folder: Path):
    (folder / "frail.py").write_text(FRAIL)
    (folder / "study.toml").write_text(ROWS.replace("digits", "frail.py:Frail"))
    ran = call(*RUN, "--dry-run")
    assert ran.code == 1
    (error,) = ran.err.splitlines()
    assert error.startswith(
        "hbsim: error: 2 of 4 cells that were tried failed: stopping on frail.py:Frail, seed "
    )
    assert BROKEN in error
    assert "hbsim sweep" not in ran.out
    assert not (folder / "out").exists()
    printed = json.loads(call(*RUN, "--dry-run", "--json").out)
    assert (printed["tried"], len(printed["problems"])) == (4, 2)
    assert all(BROKEN in problem for problem in printed["problems"])

    ran = call(*RUN)
    assert (ran.code, ran.out.splitlines()[0]) == (1, "Rows: 2 of 4 cells are done; 4 were run now")
    assert f"2 of 4 cells failed: stopping on frail.py:Frail, seed 0: {BROKEN}" in ran.err
    for words, failed, left in (((), 2, 0), (("--retry-failed",), 2, 2)):
        printed = json.loads(call(*RUN, "--dry-run", "--json", *words).out)
        assert (printed["finished"], printed["failed"], printed["left"]) == (2, failed, left)
    lines = call(*RUN, "--dry-run").out.splitlines()
    assert lines[1:] == [
        "2 are finished",
        "2 failed before: --retry-failed runs them again",
        "nothing is left to be run",
    ]
    lines = call(*RUN, "--dry-run", "--retry-failed").out.splitlines()
    assert lines[1:3] == ["2 are finished", "2 failed before: to be run again"]


@pytest.mark.parametrize("words", ["num_trials = 9", "replace = true"])
def test_a_table_with_enough_rows_is_no_warning(words, call: Call, folder: Path):
    text = ROWS.replace('"digits"', f'"digits", {words}')
    (folder / "study.toml").write_text(text)
    ran = call(*RUN, "--dry-run")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[-1] == "hbsim sweep study.toml --out out --jobs 1"


# What stands where the results are to be


@pytest.mark.parametrize("words", [(), ("--force",), ("--dry-run",)], ids=str)
def test_a_folder_of_something_else_stays(words, call: Call, folder: Path):
    (folder / "out").mkdir()
    (folder / "out" / "thesis.tex").write_text("years of work")
    before = content(folder)
    refused(call(*RUN, *words), "is a folder with files that hbsim sweep did not write")
    assert content(folder) == before


def test_a_file_stays(call: Call, folder: Path):
    (folder / "out").write_text("mine")
    before = content(folder)
    refused(call(*RUN), "--out out: is a file; give a folder")
    refused(call(*RUN, "--force"), "--out out: is a file; give a folder")
    assert content(folder) == before


def test_an_empty_folder_will_do(call: Call, folder: Path):
    (folder / "out").mkdir()
    assert call(*RUN).code == 0


def test_another_sweep_is_replaced_only_with_force(call: Call, folder: Path):
    assert call(*RUN).code == 0
    (folder / "out" / "report.html").write_text("<p>a page of mine</p>")
    (folder / "study.toml").write_text(STUDY.replace("num_trials = 9", "num_trials = 10"))
    before = content(folder)
    refused(call(*RUN), "holds another sweep, with 8 studies; --force replaces it")
    refused(call(*RUN, "--dry-run"), "holds another sweep")
    assert content(folder) == before
    ran = call(*RUN, "--force")
    assert (ran.code, ran.err) == (0, "hbsim: warning: 8 finished studies in out are thrown away\n")
    assert "8 were run now" in ran.out
    after = content(folder)
    assert after[str(folder / "out" / "report.html")] == b"<p>a page of mine</p>"
    assert after[str(folder / "out" / "cells.parquet")] != before[str(folder / "out" / "cells.parquet")]


@pytest.mark.parametrize("words", [(), ("--dry-run",)], ids=str)
def test_results_of_another_version_do_not_mix(words, call: Call, folder: Path):
    assert call(*RUN).code == 0
    path = folder / "out" / "sweep.json"
    manifest = json.loads(path.read_text())
    manifest["versions"]["hbsim"] = "0.0.1"
    del manifest[SEAL]
    path.write_text(json.dumps({**manifest, SEAL: _seal(manifest)}))
    before = content(folder)
    refused(call(*RUN, *words), f"is of hbsim 0.0.1, and this is {version('hbsim')}: studies of two versions")
    assert content(folder) == before
    assert "8 were run now" in call(*RUN, "--force").out


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("sweep.json", lambda text: text[: len(text) // 2]),
        ("sweep.json", lambda text: b"[]"),
        ("sweep.json", lambda text: b'{"format": 2, "versions": {"hbsim": "0.1.0"}}'),
        ("sweep.json", lambda text: b"\xff"),
        ("cells.parquet", lambda text: text[: len(text) // 2]),
    ],
)
def test_what_is_damaged_is_one_line_and_force_mends_it(name, damage, call: Call, folder: Path):
    assert call(*RUN).code == 0
    path = folder / "out" / name
    path.write_bytes(damage(path.read_bytes()))
    before = content(folder)
    ran = call(*RUN)
    refused(ran, name, code=1)
    assert "--force" in ran.err
    assert content(folder) == before
    assert "8 were run now" in call(*RUN, "--force").out


def test_results_of_a_later_format_are_not_read(call: Call, folder: Path):
    assert call(*RUN).code == 0
    path = folder / "out" / "sweep.json"
    path.write_text(path.read_text().replace('"format": 2', '"format": 99'))
    refused(call(*RUN), "whose results have format 99, and this one has 2", code=1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("study.toml",), "--folder: is needed: a folder for the results (or --dry-run)"),
        (("none.toml", "--out", "out"), "none.toml: cannot be read: No such file or directory"),
        ((".", "--out", "out"), "cannot be read: Is a directory"),
        (("study.toml", "--out", "out", "--jobs", "0"), "--jobs 0: must be a whole number of at least 1"),
        (("study.toml", "--out", "out", "--jobs", "x"), "'x' is not a whole number"),
        (("--out", "out"), "FILE.toml"),
        (("study.toml", "--ouf", "out"), "--out"),
        (("study.toml", "--out", ""), "--out '': must name a folder"),
        (("study.toml", "--dry-run", "--out", ""), "--out '': must name a folder"),
        (("study.toml", "--out", "out", "--data", ""), "--data '': must name a folder"),
        (("study.toml", "--out", "out", "--data", "none"), "--data none: there is no such folder"),
        (
            ("study.toml", "--out", "out", "--data", "study.toml"),
            "--data study.toml: there is no such folder",
        ),
        (("study.toml", "--out", "study.toml/out"), "is a file; give a folder"),
    ],
    ids=str,
)
def test_a_wrong_request_is_one_line(words, said, call: Call, folder: Path):
    refused(call("sweep", *words), said)
    assert [path.name for path in folder.iterdir()] == ["study.toml"]


def test_a_folder_that_cannot_be_made_is_one_line(call: Call, folder: Path, monkeypatch):
    def full(*arguments: object, **named: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", full)
    refused(call(*RUN), "out: cannot be written: No space left on device", code=1)
