"""Folders of results: whole or not at all, and never over anything else."""

from __future__ import annotations

import json
import math
import re
import stat
import subprocess
import sys

import pytest

from hbsim.cli.output import output_folder, plain
from hbsim.errors import OutputError, ParameterError


def write(out, text="new", force=False):
    with output_folder(out, force) as folder:
        (folder / "a.txt").write_text(text)


def test_all_files_or_none(tmp_path):
    out = tmp_path / "x" / "y"
    with output_folder(out) as folder:
        (folder / "a.txt").touch()
        assert folder.parent == out.parent
        assert not out.exists()
    assert {path.name for path in out.iterdir()} == {"a.txt", "hbsim.json"}
    assert json.loads((out / "hbsim.json").read_text()) == {"schema": 1, "files": ["a.txt"]}
    assert [path.name for path in out.parent.iterdir()] == ["y"]


def test_errors_leave_nothing_and_no_new_folders(tmp_path):
    with pytest.raises(TypeError):
        write(tmp_path / "x" / "y", text=object())
    assert not list(tmp_path.iterdir())


def test_an_empty_folder_and_a_link_to_one_may_be_named(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "link").symlink_to("x")
    write(tmp_path / "link")
    assert (tmp_path / "x" / "a.txt").exists()
    assert (tmp_path / "link").is_symlink()


def test_permissions_are_those_of_new_folders(tmp_path):
    (tmp_path / "usual").mkdir()
    write(tmp_path / "x")
    usual, ours = ((tmp_path / name).stat().st_mode for name in ("usual", "x"))
    assert stat.S_IMODE(ours) == stat.S_IMODE(usual)


def test_earlier_results_are_replaced_only_when_forced(tmp_path):
    write(tmp_path / "x", "old")
    with pytest.raises(ParameterError, match="--force replaces them"):
        write(tmp_path / "x")
    assert (tmp_path / "x" / "a.txt").read_text() == "old"
    write(tmp_path / "x", force=True)
    assert (tmp_path / "x" / "a.txt").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_earlier_results_stay_when_the_new_ones_fail(tmp_path):
    write(tmp_path / "x", "old")
    with pytest.raises(TypeError):
        write(tmp_path / "x", text=object(), force=True)
    assert (tmp_path / "x" / "a.txt").read_text() == "old"


@pytest.mark.parametrize(
    "marker", [None, "{}", "[]", '{"schema": 1}', "no json", '{"schema": 2, "files": []}']
)
def test_folders_of_others_are_never_replaced(tmp_path, marker):
    (tmp_path / "thesis.tex").touch()
    if marker is not None:
        (tmp_path / "hbsim.json").write_text(marker)
    with pytest.raises(ParameterError, match="did not write"):
        write(tmp_path, force=True)
    assert (tmp_path / "thesis.tex").exists()


def test_files_of_others_in_a_folder_of_ours_are_never_lost(tmp_path):
    write(tmp_path / "x")
    (tmp_path / "x" / "notes.txt").touch()
    with pytest.raises(ParameterError, match=r"holds notes.txt"):
        write(tmp_path / "x", force=True)
    assert (tmp_path / "x" / "notes.txt").exists()


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "x").touch()
    with pytest.raises(ParameterError, match="is a file"):
        write(tmp_path / "x", force=True)
    with pytest.raises(OutputError, match="cannot be written"):
        write(tmp_path / "x" / "y")


def test_what_comes_meanwhile_is_not_replaced(tmp_path):
    def late() -> None:
        with output_folder(tmp_path / "x"):
            (tmp_path / "x").mkdir()
            (tmp_path / "x" / "other").touch()

    with pytest.raises(ParameterError, match="did not write"):
        late()
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["other"]


def test_a_full_disk_is_one_line(tmp_path):
    """A limit on the size of files shows as a full disk does, and needs no disk."""
    code = "import resource as r; r.setrlimit(r.RLIMIT_FSIZE, (20_000, 20_000))\n"
    code += "from hbsim.cli.main import main; main()"
    words = [
        "simulate",
        "--scheduler",
        "stopping",
        "--surrogate",
        "synthetic",
        "--trials",
        "5000",
        "--out",
        "x",
    ]
    command = [sys.executable, "-c", code, *words]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert re.fullmatch(r"hbsim: error: \S+/x: cannot be written: File too large.*\n", ran.stderr)
    assert not list(tmp_path.iterdir())


def test_plain_has_no_number_that_json_has_not():
    assert plain({1: (math.nan, math.inf, 2.5), "a": {"b": None, "c": "nan"}}) == {
        "1": [None, None, 2.5],
        "a": {"b": None, "c": "nan"},
    }
