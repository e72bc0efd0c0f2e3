"""What a host is: its own folder, whether it sees the study's, its GPUs, its versions."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
import time
from pathlib import Path

import pytest

import hbsim
from hbsim.errors import ParameterError
from hbsim.executors.remote import host as module
from hbsim.executors.remote.allocation import differences, versions
from hbsim.executors.remote.host import find_folders, gpu_problem, hello, touch_all, work_folder
from tests.doubles.nvml import FakeGpu, FakeNvml

STUDY = "0123456789abcdef"
OLD = 1e9  # seconds: a time long ago


@pytest.fixture
def base(tmp_path, monkeypatch):
    monkeypatch.setenv("HBSIM_WORK", str(tmp_path / "base"))
    return tmp_path / "base"


# The host's folder


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
    with pytest.raises(ParameterError, match=r"with mode 700; it is drwxrwxrwx"):
        work_folder(STUDY)


def test_what_others_can_use_is_refused(base, tmp_path, monkeypatch):
    work = work_folder(STUDY)
    work.chmod(0o750)
    with pytest.raises(ParameterError, match=r"with mode 700; it is drwxr-x---"):
        work_folder(STUDY)
    work.chmod(0o700)
    monkeypatch.setattr(os, "getuid", lambda: work.stat().st_uid + 1)
    with pytest.raises(
        ParameterError, match=r"HBSIM_WORK=.* must be a folder, no link, that belongs to this user"
    ):
        work_folder(STUDY)
    monkeypatch.undo()
    monkeypatch.setenv("HBSIM_WORK", str(base))
    work.rename(tmp_path / "elsewhere")
    work.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ParameterError, match="no link"):
        work_folder(STUDY)


def test_what_cannot_be_made_is_said(base):
    base.write_text("a file")
    with pytest.raises(ParameterError, match="cannot be made"):
        work_folder(STUDY)


@pytest.mark.parametrize("probe", [None, "another study", "seen"])
@pytest.mark.parametrize("storage", ["auto", "shared", "pull", "s3://bucket"])
def test_the_folder_of_the_trials(base, tmp_path, storage, probe):
    trials = tmp_path / "study"
    trials.mkdir()
    if probe is not None:
        (trials / ".probe-aa").write_text(probe)
    config = {"study": STUDY, "session": "aa", "trials": str(trials), "probe": "seen", "storage": storage}
    if storage == "shared" and probe != "seen":
        with pytest.raises(ParameterError, match="does not see"):
            find_folders(config)
        return
    place = find_folders(config)
    sees = probe == "seen" and storage in ("auto", "shared")
    assert (place.shared, place.trials) == (sees, trials if sees else base / STUDY / "trials")


def test_hello(base, tmp_path):
    config = {"session": "aa", "trials": str(tmp_path), "probe": "seen", "storage": "pull"}
    one, again, other = (hello(find_folders({**config, "study": study})) for study in (STUDY, STUDY, "ff"))
    assert one["store"] == again["store"] != other["store"]  # who says the same sees the same folder
    assert one["boot"] == other["boot"]
    assert one["cpus"] == sorted(os.sched_getaffinity(0))
    assert one["versions"] == versions()
    assert Path(one["incoming"]).stat().st_dev == (base / STUDY).stat().st_dev
    assert (one["shared"], one["holds"]) == (False, {})


# GPUs


def machine(root: Path, listed: int, devices: int) -> Path:
    for number in range(listed):
        (root / "proc/driver/nvidia/gpus" / f"0000:{number}:00.0").mkdir(parents=True)
    (root / "dev").mkdir()
    for number in range(devices):
        (root / "dev" / f"nvidia{number}").touch()
    (root / "dev" / "nvidiactl").touch()
    return root


@pytest.mark.parametrize(
    ("listed", "devices", "nvml", "words"),
    [
        (0, 0, FakeNvml(fails=["init"]), None),
        (2, 2, FakeNvml([FakeGpu("GPU-a"), FakeGpu("GPU-b")]), None),  # hidden by CUDA_VISIBLE_DEVICES
        (2, 2, FakeNvml(fails=["init"]), "it has 2 NVIDIA GPUs, and the driver does not answer"),
        (1, 1, FakeNvml(), "it has 1 NVIDIA GPU, and the driver does not answer"),
        (1, 1, FakeNvml([FakeGpu("GPU-a", fails=["handle"])]), "the driver does not answer"),
        (2, 0, FakeNvml(fails=["init"]), None),  # a container that was given none of them
    ],
)
def test_a_driver_that_does_not_answer(tmp_path, listed, devices, nvml, words):
    found = gpu_problem([], machine(tmp_path, listed, devices), nvml)
    assert (found is None) is (words is None)
    assert words is None or words in found


def test_gpus_that_are_found_are_no_problem(tmp_path):
    gpu = module.Gpu("0", "NVIDIA A100", None, "GPU-a")
    assert gpu_problem([gpu], machine(tmp_path, 2, 2), FakeNvml(fails=["init"])) is None


def test_a_device_that_may_not_be_opened_was_given_to_somebody_else(tmp_path, monkeypatch):
    """As in a job of a queue that confines its jobs to the GPUs that they asked for."""
    root = machine(tmp_path, 1, 1)

    def refuse(path, flags, *more):
        raise PermissionError(1, "Operation not permitted")

    assert gpu_problem([], root, FakeNvml()) is not None
    monkeypatch.setattr(os, "open", refuse)
    assert gpu_problem([], root, FakeNvml()) is None


# Versions

OURS = {"hbsim": "0.2.0", "python": "3.11.7", "torch": "2.9.0+cu128"}


@pytest.mark.parametrize(
    ("changed", "error", "warning"),
    [
        ({}, "", ""),
        ({"python": "3.11.12"}, "", ""),
        ({"python": "3.12.7"}, "python 3.12.7 instead of 3.11.7", ""),
        ({"python": "3.1.7"}, "python 3.1.7 instead of 3.11.7", ""),
        ({"hbsim": "0.2.1"}, "hbsim 0.2.1 instead of 0.2.0", ""),
        ({"hbsim": None}, "no hbsim instead of 0.2.0", ""),
        ({"torch": "2.9.0+cpu"}, "", ""),
        ({"torch": "2.9.0"}, "", ""),
        ({"torch": "2.9.1+cu128"}, "", "torch 2.9.1+cu128 instead of 2.9.0+cu128"),
        ({"torch": None}, "", "no torch instead of 2.9.0+cu128"),
        ({"hbsim": "1", "python": "2"}, "hbsim 1 instead of 0.2.0, python 2 instead of 3.11.7", ""),
    ],
)
def test_what_goes_together(changed, error, warning):
    theirs = {name: value for name, value in {**OURS, **changed}.items() if value is not None}
    assert differences(OURS, theirs) == (error, warning)


def test_this_process_and_a_torch_that_only_a_host_has():
    found = versions()
    assert found["hbsim"] == hbsim.__version__
    assert found["python"] == platform.python_version()
    assert differences(found, found) == ("", "")
    assert differences({"hbsim": "0.2.0", "python": "3.11.7"}, OURS) == ("", "")


# Temporary files, which somebody tidies


@pytest.fixture
def work(tmp_path):
    work = tmp_path / "hbsim-1" / "study"
    (work / "trials" / "000003" / "checkpoint").mkdir(parents=True)
    for number in range(100):
        (work / "trials" / "000003" / "checkpoint" / f"{number}").write_text("x")
    (work / ".lease-1").write_text("x")
    (work / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").write_text("x")
    grow_old(tmp_path)
    return work


def grow_old(folder):
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (OLD, OLD), follow_symlinks=False)


def old(folder):
    """Return what anybody would take for old, by either of its times."""
    found = [path for path in (folder, *folder.rglob("*")) if min(path.lstat()[7:9]) < OLD + 1]
    return [path.name for path in found]


def step(touching, times=20):
    for _ in range(times):
        next(touching)


def test_all_that_is_there_is_touched_again_and_again_and_nothing_beside_it(work, tmp_path, monkeypatch):
    touching = touch_all(work)
    assert len(old(work.parent)) > 100
    next(touching)
    assert len(old(work.parent)) > 50  # not all at once
    step(touching)
    assert old(work.parent) == []
    assert "elsewhere" in old(tmp_path)
    grow_old(work)
    step(touching)
    assert len(old(work)) > 100  # it was done a moment ago
    now = time.monotonic()
    monkeypatch.setattr(module.time, "monotonic", lambda: now + module.HOUR)
    step(touching, 2)
    shutil.rmtree(work / "trials")  # what goes meanwhile is no matter
    step(touching)
    assert old(work) == []
