"""A study whose journal or folder is taken away, moved or changed while it runs: it ends, and says so."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import hbsim
from tests.study.test_killed import CODE, LIMIT, lines, others, wait_for

# Long enough that what happens to it finds it running.
LONG = CODE.replace("num_trials=9", "num_trials=3000").replace("0.01", "0.05")


def start(folder: Path, resume: bool = False) -> subprocess.Popen:
    words = [sys.executable, "-c", LONG, "promotion", "2", str(folder), str(resume)]
    environment = {**os.environ, "HBSIM_TEST": str(folder.parent)}
    return subprocess.Popen(words, cwd=folder.parent, env=environment, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def begun(tmp_path):
    """A study that has done something."""
    process = start(tmp_path / "exp")
    wait_for(lambda: lines(tmp_path / "exp" / "journal.jsonl") > 8, "the study begins")
    yield process
    process.kill()
    process.communicate()


def again(path: Path) -> None:
    """Put a copy in the place of a file."""
    shutil.copy(path, path.with_name("copy"))
    path.with_name("copy").replace(path)


def moved(folder: Path) -> None:
    folder.rename(folder.with_name("moved"))


def another(folder: Path) -> None:
    moved(folder)
    shutil.copytree(folder.with_name("moved"), folder)


CHANGES = {
    "journal removed": (lambda folder: (folder / "journal.jsonl").unlink(), "was removed, moved or replaced"),
    "journal replaced": (lambda folder: again(folder / "journal.jsonl"), "was removed, moved or replaced"),
    "journal cut": (
        lambda folder: os.truncate(folder / "journal.jsonl", 100),
        "was changed by another program",
    ),
    "folder moved": (moved, "was removed, moved or replaced"),
    "folder replaced": (another, "was removed, moved or replaced"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_it_ends_with_an_error(begun, tmp_path, change):
    do, says = CHANGES[change]
    do(tmp_path / "exp")
    _, told = begun.communicate(timeout=LIMIT)
    assert begun.returncode == 1
    assert f"OutputError: {tmp_path / 'exp' / 'journal.jsonl'}: {says}" in told
    wait_for(lambda: not others(tmp_path), "processes were left behind")
    if change == "folder moved":
        assert hbsim.load(tmp_path / "moved").trials.height
        assert not (tmp_path / "exp" / "journal.jsonl").exists()
    else:
        assert (tmp_path / "exp" / "environment.json").exists()  # nothing of it is tidied up


def test_nobody_gets_in_however_much_is_removed(begun, tmp_path):
    begun.send_signal(signal.SIGSTOP)  # it cannot notice
    for path in list((tmp_path / "exp").iterdir()):
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    for resume in (False, True):
        second = start(tmp_path / "exp", resume)
        _, told = second.communicate(timeout=LIMIT)
        assert second.returncode == 1
        assert resume or f"the study is being run by process {begun.pid};" in told
    begun.send_signal(signal.SIGCONT)
    _, told = begun.communicate(timeout=LIMIT)
    assert "was removed, moved or replaced while the study ran" in told


def test_a_second_one_does_not_write_into_a_journal_that_is_written(begun, tmp_path):
    """Even where it has another folder, and a link to the same journal in it."""
    begun.send_signal(signal.SIGSTOP)
    shutil.copytree(tmp_path / "exp", tmp_path / "other", ignore=shutil.ignore_patterns("journal.jsonl"))
    os.link(tmp_path / "exp" / "journal.jsonl", tmp_path / "other" / "journal.jsonl")
    second = start(tmp_path / "other", resume=True)
    _, told = second.communicate(timeout=LIMIT)
    assert second.returncode == 1
    assert f"the study is being run by process {begun.pid};" in told
