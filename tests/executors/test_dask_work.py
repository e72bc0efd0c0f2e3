"""A host's own folder for a study, and whether it sees the study's."""

from __future__ import annotations

import os
import tempfile

import pytest

from hbsim.errors import ParameterError
from hbsim.executors.dask.hello import find_place
from hbsim.executors.dask.work import depot_of, trials_of, work_folder

STUDY = "0123456789abcdef"


@pytest.fixture
def base(tmp_path, monkeypatch):
    monkeypatch.setenv("HBSIM_WORK", str(tmp_path / "base"))
    return tmp_path / "base"


def test_it_is_private_and_there_to_stay(base):
    work = work_folder(STUDY)
    assert work == base / STUDY == work_folder(STUDY)
    assert work.stat().st_mode & 0o777 == 0o700


def test_without_the_variable_it_is_among_temporary_files(tmp_path, monkeypatch):
    monkeypatch.delenv("HBSIM_WORK", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    work = work_folder(STUDY)
    assert work == tmp_path / f"hbsim-{os.getuid()}" / STUDY
    work.parent.chmod(0o777)  # somebody else may put another folder there
    with pytest.raises(ParameterError, match="mode must be 700, and is 777"):
        work_folder(STUDY)


def test_what_others_have_a_hand_in_is_refused(base, tmp_path, monkeypatch):
    work = work_folder(STUDY)
    work.chmod(0o750)
    with pytest.raises(ParameterError, match="mode must be 700, and is 750"):
        work_folder(STUDY)
    work.chmod(0o700)
    monkeypatch.setattr(os, "getuid", lambda: work.stat().st_uid + 1)
    with pytest.raises(ParameterError, match=r"HBSIM_WORK=.* belongs to user"):
        work_folder(STUDY)
    monkeypatch.undo()
    monkeypatch.setenv("HBSIM_WORK", str(base))
    work.rename(tmp_path / "elsewhere")
    work.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ParameterError, match="no link"):
        work_folder(STUDY)


def test_what_cannot_be_made_is_said(base, tmp_path):
    base.write_text("a file")
    with pytest.raises(ParameterError, match="cannot be made"):
        work_folder(STUDY)
    with pytest.raises(ParameterError, match="letters and digits"):
        work_folder("../x")


def test_a_depot_is_known_by_its_folder(base):
    one, other = work_folder(STUDY), work_folder("f" * 16)
    assert depot_of(one) == depot_of(one) != depot_of(other)
    assert sorted(os.listdir(one)) == ["depot"]


@pytest.mark.parametrize("probe", [None, "another study", "here"])
@pytest.mark.parametrize("storage", ["auto", "shared", "pull", "s3://bucket"])
def test_where_trials_go(base, tmp_path, storage, probe):
    trials = tmp_path / "study"
    trials.mkdir()
    if probe is not None:
        (trials / ".probe-aa").write_text(probe)
    config = {"study": STUDY, "session": "aa", "trials": str(trials), "probe": "here", "storage": storage}
    if storage == "shared" and probe != "here":
        with pytest.raises(ParameterError, match="does not see"):
            find_place(config)
        return
    place = find_place(config)
    sees = probe == "here" and storage in ("auto", "shared")
    assert (place.shared, place.trials) == (sees, trials if sees else trials_of(base / STUDY))
