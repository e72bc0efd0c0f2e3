"""``hbsim report``: what it prints, what it writes, and what it refuses."""

import json
import shutil
from dataclasses import fields
from importlib.util import find_spec

import pytest

from hbsim.bench.report.model import SweepReport, TaskReport
from tests.bench.report.studies import sweep

# Not loaded where tests are collected, which takes a second in each of their processes.
pytestmark = pytest.mark.skipif(find_spec("scikit_posthocs") is None, reason="needs scikit-posthocs")


SPEC = """
title = "Small"
seeds = 3
workers = 2
[defaults]
num_trials = 12
max_t = 9
[[variants]]
type = "stopping"
[[variants]]
type = "fifo"
[[surrogates]]
surrogate = "synthetic:max_resource=9"
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    sweep(folder, SPEC)
    return folder / "out"


def test_it_prints_the_answer_and_one_table_and_writes_nothing(call, study, tmp_path):
    done = call("report", str(study))
    assert done.code == 0
    text = " ".join(done.out.split())
    assert "has the least regret after" in text
    assert text.count("normalised regret") == 1
    assert "who leads over the budget" not in text
    assert "who leads over the budget" in " ".join(call("report", str(study), "--full").out.split())
    assert not list(tmp_path.iterdir())


def test_what_matters_is_said_and_checked(call, study):
    assert "P better" in call("report", str(study), "--matters", "10%").out
    done = call("report", str(study), "--matters", "much")
    assert done.code == 2
    assert done.err == ("hbsim: error: --matters much: must be a number above 0, or a percentage as 10%\n")


def test_it_writes_the_page_and_tables_the_same_bytes_each_time(call, study, tmp_path):
    options = ("--out", "page.html", "--tables", "tables")
    assert call("report", str(study), *options).code == 0
    page = (tmp_path / "page.html").read_bytes()
    files = {path.name: path.read_bytes() for path in (tmp_path / "tables").iterdir()}
    assert page.startswith((b"<!DOCTYPE html>", b"<!doctype html>"))
    assert {"tables.md", "hbsim.json"} <= files.keys()
    assert call("report", str(study), *options, "--force").code == 0
    assert (tmp_path / "page.html").read_bytes() == page
    assert {path.name: path.read_bytes() for path in (tmp_path / "tables").iterdir()} == files


def test_it_writes_figures(call, study, tmp_path):
    done = call("report", str(study), "--figures", "figures")
    files = [path.name for path in (tmp_path / "figures").iterdir()]
    assert {name.rpartition(".")[2] for name in files} == {"png", "svg", "json"}
    assert f"figures ({len(files) - 1} files)" in done.out


def test_json_is_the_model_of_the_report(call, study):
    content = json.loads(call("report", str(study), "--json").out)
    assert content["schema"] == 1
    report = content["report"]
    assert set(report) == {field.name for field in fields(SweepReport)}
    [task] = report["tasks"]
    assert set(task) == {field.name for field in fields(TaskReport)}
    assert [row["rank"] for row in task["rows"]] == sorted(row["rank"] for row in task["rows"])
    assert task["rows"][0]["curves"]["p"] is None  # of the best


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--out", "there.html"], "--out there.html: is there already; --force replaces it"),
        (["--out", "."], "--out .: must end in .html or .htm: it is a page"),
        (["--out", "mine.html"], "--out mine.html: is a folder; give a file"),
        (["--out", "page.pdf"], "--out page.pdf: must end in .html or .htm: it is a page"),
        (["--out", "page"], "--out page: must end in .html or .htm"),
        (["--out", "no/page.html"], "--out no/page.html: there is no folder no"),
        (["--tables", "mine"], "--tables mine: is a folder with files that hbsim did not write"),
        (["--figures", "there.html"], "--figures there.html: is a file; give a folder"),
    ],
)
def test_what_is_there_is_not_overwritten(call, study, tmp_path, options, line):
    (tmp_path / "there.html").write_text("mine")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine.html").mkdir()
    (tmp_path / "mine" / "file").write_text("mine")
    done = call("report", str(study), *options)
    assert done.code == 2
    assert line in done.err
    assert done.err.count("\n") == 1
    assert (tmp_path / "there.html").read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--out", "S/cells.parquet", "--force"], "--out S/cells.parquet: is where hbsim sweep keeps"),
        (["--out", "S/kept/page.html"], "--out S/kept/page.html: is where hbsim sweep keeps"),
        (["--out", "link/sweep.json", "--force"], "--out link/sweep.json: is where hbsim sweep keeps"),
        (["--figures", "S/parts"], "--figures S/parts: is where hbsim sweep keeps"),
        (["--tables", "S", "--force"], "--tables S: is where hbsim sweep keeps"),
    ],
)
def test_results_are_never_overwritten(call, study, tmp_path, options, line):
    shutil.copytree(study, tmp_path / "S")
    (tmp_path / "link").symlink_to("S")
    before = {path: path.read_bytes() for path in (tmp_path / "S").iterdir()}
    done = call("report", "S", *options)
    assert (done.code, done.out) == (2, "")
    assert line in done.err
    assert {path: path.read_bytes() for path in (tmp_path / "S").iterdir()} == before


def test_a_page_may_be_among_the_results(call, study, tmp_path):
    shutil.copytree(study, tmp_path / "S")
    assert call("report", "S", "--out", "S/page.HTM").code == 0
    assert (tmp_path / "S" / "page.HTM").stat().st_size


def test_no_folder_of_a_sweep_is_a_wrong_request(call, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    for name, rule in (
        ("none", "there is no such folder"),
        ("file", "is a file; give the folder of a sweep"),
        ("empty", "has no sweep.json: it is no folder of hbsim sweep"),
    ):
        assert call("report", name) == (2, "", f"hbsim: error: {name}: {rule}\n")


@pytest.mark.parametrize("damage", ["empty", "compare", "cut", "version", "gone"])
def test_results_that_cannot_be_read_are_one_line(call, study, tmp_path, damage):
    folder = tmp_path / "study"
    if damage in ("empty", "compare"):
        folder.mkdir()
        if damage == "compare":
            (folder / "compare.json").write_text("{}")
    elif damage != "gone":
        shutil.copytree(study, folder)
    if damage == "cut":
        content = (folder / "cells.parquet").read_bytes()
        (folder / "cells.parquet").write_bytes(content[: len(content) // 2])
    if damage == "version":
        manifest = json.loads((folder / "sweep.json").read_text())
        (folder / "sweep.json").write_text(json.dumps({**manifest, "format": 99}))
    done = call("report", str(folder), "--out", "page.html")
    assert done.code in (1, 2)
    assert done.err.startswith("hbsim: error: ")
    assert done.err.count("\n") == 1
    assert not (tmp_path / "page.html").exists()
