"""What cannot be: one clear error before any trial, and nothing is left of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import hbsim
from tests.doubles.dask_processes import ROOT, eventually

from .checks import check, check_nothing_is_left
from .processes import Study, left, studying
from .studies import traces

# Runs in each Python of a host before anything else.
SITE = """
import os, sys

if os.environ.get("HBSIM_TEST_HOST") == "blind":
    from hbsim.executors.dask import hello
    hello._sees = lambda probe, text: False
elif os.environ.get("HBSIM_TEST_HOST", "").startswith("full:"):
    from hbsim.executors import oom
    oom.OomWatch.__init__.__defaults__ = ((os.environ["HBSIM_TEST_HOST"][5:],),)
"""
BROKEN = """
import os

if os.environ.get("HBSIM_TEST_HOST") == "broken":
    import a_package_that_is_not_there

from tests.dask.training import saving
"""


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Study]:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(SITE)
    with studying(tmp_path, workers=0, lease=2.0) as made:
        yield made


def host(study: Study, kind: str = "", path: str = "") -> int:
    """Start a worker on a host of a kind."""
    found = f"{path}{study.folder / 'site'}:{ROOT}"
    number = study.cluster.start_worker(HBSIM_TEST_HOST=kind, PYTHONPATH=found)
    study.cluster.worker_address(number)
    return number


def refused(study: Study, *words: str) -> None:
    """The study ends at once, with one line that holds these words."""
    assert study.wait() == 2, study.log
    lines = [line for line in study.log.splitlines() if "error" in line]
    assert len(lines) == 1
    assert "Traceback" not in study.log
    for word in words:
        assert word in lines[0]
    assert not list(traces(study.traces))
    assert not study.exp.exists()
    assert not list((study.folder / "work").glob("*"))
    eventually(lambda: not left(study.folder), f"an end of {left(study.folder)}")


def test_another_version_on_a_host(study: Study) -> None:
    other = study.folder / "other" / "hbsim"
    other.mkdir(parents=True)
    for path in Path(hbsim.__file__).parent.iterdir():
        (other / path.name).symlink_to(path.resolve())
    (other / "__init__.py").unlink()
    text = Path(hbsim.__file__).read_text().replace(f'"{hbsim.__version__}"', '"0.0.7"')
    (other / "__init__.py").write_text(text)
    host(study)
    host(study, path=f"{other.parent}:")
    study.start()
    refused(study, "runs hbsim 0.0.7 instead of")


def test_a_file_that_does_not_load_there(study: Study) -> None:
    (study.folder / "train.py").write_text(BROKEN)
    host(study, "broken")
    study.start(f"{study.folder / 'train.py'}:saving")
    refused(study, "a_package_that_is_not_there", "train.py:", "(line 5)")


def test_a_host_that_comes_later_and_cannot_load_it(study: Study) -> None:
    (study.folder / "train.py").write_text(BROKEN)
    host(study)
    study.start(f"{study.folder / 'train.py'}:saving", seconds=0.5, trials=40)
    study.reach(1)
    host(study, "broken")
    study.until(lambda: "gets no trials" in study.log, "a warning")
    study.finish()
    assert not study.records("fail")
    assert study.log.count("a_package_that_is_not_there") == 1
    check(study)


def test_a_folder_that_a_host_does_not_see(study: Study) -> None:
    host(study, "blind")
    study.start(options=["--storage", "shared"])
    refused(study, "--storage shared", "does not see", 'use "auto" or "pull"')


def test_a_share_that_no_host_has(study: Study) -> None:
    host(study)
    study.start(options=["--num-gpus", "1"])
    refused(study, "--num-gpus 1", "GPU")
    study.start(options=["--num-cpus", "1000"])
    refused(study, "--num-cpus 1000")


def test_trials_that_end_badly(study: Study) -> None:
    """Each has failed, in the way that it would have here; the host and the others go on."""
    events = study.folder / "events"
    host(study, f"full:{events}")
    study.start("ends_badly", trials=5, options=["--retries", "0", "--workers", "1"], killed=events)
    assert study.wait() == 1
    reasons = [(record["kind"], record["reason"]) for record in study.records("fail")]
    killed = "its process was killed by the system, which ran out of memory"
    for (kind, reason), (expected, words) in zip(
        reasons,
        [
            ("oom", killed),
            ("oom", "no more"),
            ("error", "status 3"),
            ("error", "SIGSEGV"),
            ("lost", "SIGKILL"),
        ],
        strict=True,
    ):
        assert kind == expected
        assert words in reason
    assert not study.records("shut")
    check_nothing_is_left(study)


def test_a_study_that_was_resumed_keeps_what_its_hosts_have(study: Study) -> None:
    """What is refused then may be asked for in another way: there are checkpoints of trials that paused."""
    host(study, "blind")
    study.start(seconds=0.3)
    study.reach(3)
    study.processes[-1].kill()
    study.wait()
    before = sorted(path.name for path in (study.folder / "work").glob("*/trials/*"))
    assert before
    study.resume("--num-gpus", "1")
    assert study.wait() == 2
    assert "GPU" in study.log
    assert sorted(path.name for path in (study.folder / "work").glob("*/trials/*")) == before
