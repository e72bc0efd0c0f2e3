"""A host's folder among temporary files: touched, so that it stays, and missed when it was removed."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from hbsim.executors.dask import upkeep as module
from hbsim.executors.dask.upkeep import Upkeep

OLD = 1e9  # seconds: a time long ago


@pytest.fixture
def work(tmp_path: Path) -> Path:
    work = tmp_path / "hbsim-1" / "study"
    (work / "trials" / "000003" / "checkpoint").mkdir(parents=True)
    for number in range(100):
        (work / "trials" / "000003" / "checkpoint" / f"{number}").write_text("x")
    (work / ".lease-1").write_text("x")
    (work / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").write_text("x")
    grow_old(tmp_path)
    return work


def grow_old(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (OLD, OLD), follow_symlinks=False)


def old(folder: Path) -> list[str]:
    """Return what anybody would take for old, by either of its times."""
    found = [path for path in (folder, *folder.rglob("*")) if min(path.lstat()[7:9]) < OLD + 1]
    return [path.name for path in found]


def turn(upkeep: Upkeep, times: int = 20) -> None:
    for _ in range(times):
        assert upkeep.turn() == ""


def test_all_that_is_there_is_touched_and_nothing_beside_it(work: Path, tmp_path: Path) -> None:
    upkeep = Upkeep(work, work / ".lease-1")
    assert len(old(work.parent)) > 100
    assert upkeep.turn() == ""
    assert len(old(work.parent)) > 50  # not all at once
    turn(upkeep)
    assert old(work.parent) == []
    assert "elsewhere" in old(tmp_path)


def test_it_is_touched_again_and_again(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    upkeep = Upkeep(work, work / ".lease-1")
    turn(upkeep)
    grow_old(work)
    turn(upkeep)
    assert len(old(work)) > 100  # it was done a moment ago
    now = time.monotonic()
    monkeypatch.setattr(module.time, "monotonic", lambda: now + module.LOOK)
    turn(upkeep)
    assert ".lease-1" not in old(work)
    monkeypatch.setattr(module.time, "monotonic", lambda: now + module.ROUND)
    turn(upkeep)
    assert old(work) == []


def test_a_folder_that_takes_longer_is_gone_through_to_its_end(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROUND", 0.0)
    turn(Upkeep(work, work / ".lease-1"))
    assert old(work) == []


def test_what_goes_meanwhile_is_no_matter(work: Path) -> None:
    upkeep = Upkeep(work, work / ".lease-1")
    turn(upkeep, 2)
    shutil.rmtree(work / "trials")
    turn(upkeep)
    assert old(work.parent) == []


def test_a_lease_that_is_gone_is_missed(work: Path) -> None:
    upkeep = Upkeep(work, work / ".lease-1")
    turn(upkeep)
    (work / ".lease-1").unlink()
    assert upkeep.look().startswith(f"{work / '.lease-1'} was removed")
    shutil.rmtree(work)
    assert upkeep.look().startswith(f"{work} was removed")
    assert "HBSIM_WORK" in upkeep.look()
