"""Checkpoints that were copied: put in place whole or not at all, whatever interrupts it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from hbsim.errors import OutputError
from hbsim.executors import checkpoint
from hbsim.executors.remote.store import install, newest, recover
from tests.doubles.checkpoints import describe_newest, load_newest
from tests.doubles.trial import of_job


def make(folder: Path, obj: object, job: int | None, resource: float | None = 3.0, **files: str) -> Path:
    """Make a trial's folder, with a checkpoint and files."""
    checkpoint.save(folder / "checkpoint", obj, origin=of_job(job), resource=resource)
    for name, text in (files or {"own.txt": "own"}).items():
        (folder / "files").mkdir(exist_ok=True)
        (folder / "files" / name).write_text(text)
    (folder / "log.txt").write_text("a log")
    return folder


def copied(trial: Path, stage: Path) -> Path:
    """Copy a trial's newest checkpoint and files, as they are copied between hosts."""
    found = newest(trial)
    assert found is not None
    shutil.copytree(found[1], stage / "checkpoint")
    if (trial / "files").exists():
        shutil.copytree(trial / "files", stage / "files")
    return stage


def content(folder: Path) -> dict[str, bytes | None]:
    """All below a folder by its path; None for a folder."""
    found: dict[str, bytes | None] = {}
    for path in sorted(folder.rglob("*")):
        found[str(path.relative_to(folder))] = None if path.is_dir() else path.read_bytes()
    return found


def state(folder: Path) -> tuple[object, dict | None, dict]:
    """What of a trial's folder counts."""
    described = describe_newest(folder / "checkpoint")
    return load_newest(folder / "checkpoint"), described, content(folder / "files")


@pytest.fixture
def trial(tmp_path):
    return make(tmp_path / "trial", {"weights": [1, 2]}, job=4)


def test_a_checkpoint_and_files_come_to_a_new_folder_and_in_place_of_older_ones(trial, tmp_path):
    source = tmp_path / "source"
    (source / "inner").mkdir(parents=True)
    (source / "inner" / "x").write_text("x")
    folders = make(tmp_path / "folders", source, job=5)
    (folders / "files" / "run.sh").write_text("#!")
    (folders / "files" / "run.sh").chmod(0o700)
    for number, one in enumerate((trial, folders)):
        assert install(copied(one, tmp_path / f"stage{number}"), tmp_path / "there") is True
        assert newest(tmp_path / "there")[0] == 4 + number
        assert state(tmp_path / "there")[1:] == state(one)[1:]
        assert not (tmp_path / f"stage{number}").exists()
    loaded = load_newest(tmp_path / "there" / "checkpoint")
    assert content(loaded) == content(source)
    assert loaded.is_relative_to(tmp_path / "there")
    assert (tmp_path / "there/files/run.sh").stat().st_mode & 0o100
    assert sorted(os.listdir(tmp_path / "there")) == ["checkpoint", "files"]


def test_of_a_trial_without_files_those_that_were_there_go(trial, tmp_path):
    shutil.rmtree(trial / "files")
    folder = make(tmp_path / "there", 1, job=1)
    assert install(copied(trial, tmp_path / "stage"), folder)
    assert state(folder) == state(trial)


def test_the_newest_sound_checkpoint(trial, tmp_path):
    assert newest(trial) == (4, trial / "checkpoint" / "1")
    checkpoint.save(trial / "checkpoint", 2, origin=of_job(4), reports=1)
    (trial / "checkpoint" / "2" / "meta.json").write_text("{")
    assert newest(trial) == (4, trial / "checkpoint" / "1")
    (trial / "checkpoint" / "1" / "values").write_text("")
    assert newest(trial) is None
    assert newest(tmp_path / "none") is None
    assert newest(make(tmp_path / "unknown", 1, job=None)) == (0, tmp_path / "unknown" / "checkpoint" / "1")


@pytest.mark.parametrize(
    ("before", "after", "done"),
    [
        ((4, 3.0), (5, 1.0), True),
        ((4, 3.0), (4, 3.0), True),
        ((4, 3.0), (4, 6.0), True),
        ((4, 3.0), (4, 1.0), False),
        ((4, 3.0), (4, None), False),
        ((4, 3.0), (3, 9.0), False),
        ((4, 3.0), (None, 9.0), False),
        ((None, None), (1, None), True),
    ],
)
def test_a_later_checkpoint_stays(tmp_path, before, after, done):
    folder = make(tmp_path / "folder", "before", before[0], before[1], **{"before.txt": "b"})
    source = make(tmp_path / "source", "after", after[0], after[1], **{"after.txt": "a"})
    stage = copied(source, tmp_path / "stage")
    was = content(folder)
    assert install(stage, folder) is done
    if done:
        assert state(folder) == state(source)
    else:
        assert content(folder) == was
    assert (folder / "log.txt").read_text() == "a log"
    assert sorted(os.listdir(folder)) == ["checkpoint", "files", "log.txt"]


def test_a_damaged_checkpoint_is_replaced_and_is_not_put_in_place(trial, tmp_path):
    stage = copied(trial, tmp_path / "stage")
    folder = make(tmp_path / "there", 1, job=9)
    (folder / "checkpoint" / "1" / "meta.json").write_text("{")
    damaged = copied(trial, tmp_path / "damaged")
    (damaged / "checkpoint" / "values").write_bytes(b"")
    before = content(folder)
    for wrong in (damaged, tmp_path / "none"):
        with pytest.raises(OutputError, match="the checkpoint is damaged: "):
            install(wrong, folder)
        assert content(folder) == before
    assert install(stage, folder)
    assert state(folder) == state(trial)


# Interruptions


def fork_dies(call, after: int) -> bool:
    """Call in a fork of this process, which dies at a change of the disk; return whether it did."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    left = after

    def dying(function):
        def do(*args, **options):
            nonlocal left
            if left == 0:
                os._exit(9)
            left -= 1
            return function(*args, **options)

        return do

    for name in ("rename", "replace", "mkdir", "rmdir", "unlink"):
        setattr(os, name, dying(getattr(os, name)))
    try:
        call()
        os._exit(0)
    finally:
        os._exit(1)


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # of forks, from Python 3.12 on
@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize("twice", [False, True])
def test_an_interruption_at_any_point_leaves_the_old_one_or_the_new(trial, tmp_path, old, twice):
    """A kill -9 there does not even run `finally` blocks."""
    new, seen = state(trial), set()
    for after in range(200):
        folder, outside = tmp_path / f"there{after}", content(trial)
        before = state(make(folder, "old", job=1, **{"old.txt": "o"}) if old else folder)
        stage = copied(trial, tmp_path / f"stage{after}")
        died = fork_dies(lambda folder=folder, stage=stage: install(stage, folder), after)
        if twice:  # and again while it is put in order
            fork_dies(lambda folder=folder: recover(folder), after % 5)
        counts = describe_newest(folder / "checkpoint")
        recover(folder)
        assert describe_newest(folder / "checkpoint") == counts
        left = state(folder)
        assert left in (before, new)
        seen.add(left == new)
        assert not list(folder.glob(".*"))
        assert content(trial) == outside
        assert install(copied(trial, tmp_path / f"again{after}"), folder)
        assert state(folder) == new
        if not died:
            break
    assert not died
    assert seen == {False, True}
    assert after > 5


def test_a_failure_to_put_in_place_is_undone(trial, tmp_path, monkeypatch):
    stage = copied(trial, tmp_path / "stage")
    folder = make(tmp_path / "there", "old", job=1)
    before = content(folder)
    rename = os.rename

    def failing(source, target):
        if Path(target).parent.name == "checkpoint":
            raise OSError(28, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(os, "rename", failing)
    with pytest.raises(OutputError, match=r"cannot be put in place: .*No space left on device"):
        install(stage, folder)
    assert content(folder) == before
