"""What a study's folder says about where it ran."""

import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

import hbsim
from hbsim.study import folder as module
from hbsim.study.folder import environment
from tests.doubles.nvml import GIB, FakeGpu, FakeNvml

NOTHING = FakeNvml(fails=["init"])


def git(folder: Path, *command: str) -> str:
    settings = ("-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", *settings, *command], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path, monkeypatch) -> Path:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    git(tmp_path, "init", "-q")
    (tmp_path / "train.py").write_text("one\n")
    git(tmp_path, "add", "train.py")
    git(tmp_path, "commit", "-q", "-m", "one")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_is_plain_json_with_all_there_is_to_say():
    found = environment(FakeNvml([FakeGpu("GPU-aa", "NVIDIA H100", 80 * GIB)]))
    assert json.loads(json.dumps(found)) == found
    assert datetime.fromisoformat(found["time"]).tzinfo == UTC
    assert found["versions"]["hbsim"] == hbsim.__version__
    assert found["versions"]["python"] == platform.python_version()
    assert {"numpy", "polars"} <= set(found["versions"])
    assert found["cpu"]["count"] >= 1
    assert found["cpu"]["model"]
    assert found["memory"] > 1 << 20
    assert found["argv"] == sys.argv
    assert found["cwd"] == os.getcwd()
    assert {"platform", "host"} <= set(found)


def test_gpus_are_those_that_trials_could_have(monkeypatch):
    nvml = FakeNvml([FakeGpu("GPU-aa", "NVIDIA H100", 80 * GIB), FakeGpu("GPU-bb")])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    found = environment(nvml)
    assert found["gpus"] == [{"name": "NVIDIA H100", "memory": 80 * GIB, "uuid": "GPU-aa"}]
    assert found["driver"] == "570.1"


def test_without_a_driver_there_are_no_gpus():
    found = environment(NOTHING)
    assert found["gpus"] == []
    assert "driver" not in found


def test_a_clean_working_folder(repository):
    (repository / "new.txt").write_text("not tracked\n")
    assert environment(NOTHING)["git"] == {"revision": git(repository, "rev-parse", "HEAD"), "dirty": False}


def test_a_changed_file_makes_it_dirty(repository):
    (repository / "train.py").write_text("two\n")
    assert environment(NOTHING)["git"]["dirty"] is True


def test_no_repository_no_commit_or_no_git_says_nothing(repository, tmp_path_factory, monkeypatch):
    outside = tmp_path_factory.mktemp("outside")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(outside.parent))
    monkeypatch.chdir(outside)
    assert "git" not in environment(NOTHING)
    git(outside, "init", "-q")
    assert "git" not in environment(NOTHING)
    monkeypatch.chdir(repository)
    monkeypatch.setenv("PATH", str(outside))
    assert "git" not in environment(NOTHING)


def test_a_git_that_hangs_says_nothing(tmp_path, monkeypatch):
    slow = tmp_path / "git"
    slow.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(600)\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(module, "_GIT_SECONDS", 0.2)
    assert "git" not in environment(NOTHING)


def test_what_fails_is_absent_and_the_rest_is_there(monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(platform, "platform", fail)
    monkeypatch.setattr(module, "cpus", fail)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,0")  # an error where GPUs are chosen
    found = environment(FakeNvml([FakeGpu("GPU-aa")]))
    assert not {"platform", "cpu", "gpus"} & set(found)
    assert {"time", "versions", "host", "memory", "argv"} <= set(found)


def test_a_folder_that_is_gone_is_no_reason_to_fail(tmp_path, monkeypatch):
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    assert "cwd" not in environment(NOTHING)


def test_torch_is_not_imported():
    asked = "import sys\nfrom hbsim.study.folder import environment\nenvironment()"
    code = f"{asked}\nprint('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
