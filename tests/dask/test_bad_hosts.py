"""Hosts that are there and cannot do what they are to, or lose what they have."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.doubles.dask_processes import ROOT, eventually

from .checks import check, check_goes_on
from .processes import left, send, studying
from .studies import traces

# Runs in each Python of a host before anything else.
MUTE = """
import os, sys

if "hbsim.executors.dask.agent" in sys.orig_argv:
    print("cannot allocate memory in static TLS block", file=sys.stderr, flush=True)
    os._exit(127)
"""


def test_agents_that_cannot_start(tmp_path: Path) -> None:
    """What they print at their end is the only word of it."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(MUTE)
    with studying(tmp_path, 2, PYTHONPATH=f"{tmp_path / 'site'}:{ROOT}") as study:
        study.start()
        assert study.wait() == 2, study.log
        lines = [line for line in study.log.splitlines() if "error" in line]
        assert len(lines) == 1
        assert "no Dask worker can take part" in lines[0]
        assert "its agent ended: exit code 127: cannot allocate memory in static TLS block" in lines[0]
        assert not study.exp.exists()
        eventually(lambda: not left(tmp_path), f"an end of {left(tmp_path)}")


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """No other trial suffers; where none could be started any more, the study ends and can go on."""
    with studying(tmp_path, 1, lease=2.0) as study:
        study.start(type_="fifo", trials=6, seconds=0.1, options=["--workers", "1"])
        study.until(lambda: study.records("rows"), "a report")
        folder = study.exp / "trials" / "000002"
        folder.write_text("no folder")
        assert study.wait() == 1
        last = study.log.strip().splitlines()[-1]
        assert "none of its workers can run trials any more" in last
        assert "trial 2 cannot be started" in last
        assert "hbsim run --resume" in last
        failed = [(record["job"], record["kind"]) for record in study.records("fail")]
        assert failed == [*((job, "error") for job in range(2, 6)), (6, "lost")]
        eventually(lambda: not left(tmp_path), f"an end of {left(tmp_path)}")
        folder.unlink()
        study.resume()
        study.done()
        check_goes_on(study)
        assert len(study.records("fail")) == 5


def test_a_study_that_is_interrupted_as_its_agent_ends(tmp_path: Path) -> None:
    """As when a machine is shut down: nobody has said what the trial has saved."""
    with studying(tmp_path, 1, lease=5.0) as study:
        options = ["--storage", "pull", "--workers", "1"]
        study.start(type_="fifo", trials=2, seconds=0.3, options=options)
        study.until(
            lambda: [line for line in traces(study.traces) if line["what"] == "saved"], "a checkpoint"
        )
        agent = study.agent_of(0)
        send(signal.SIGINT, study.controller())
        send(signal.SIGTERM, agent)
        assert study.wait() == 1
        assert list((study.exp / "trials" / "000000").rglob("meta.json"))
        assert not list((tmp_path / "work").rglob("meta.json"))
        study.resume_here()
        study.finish()
        check(study)


def test_a_lease_that_somebody_has_tidied_away(tmp_path: Path) -> None:
    """Its host takes no trials to let them fail: it begins anew, and they go on."""
    with studying(tmp_path, 1, lease=20.0) as study:
        study.start(type_="fifo", trials=4, seconds=0.3, options=["--workers", "1"])
        study.until(lambda: study.records("rows"), "a report")
        agent = study.agent_of(0)
        for lease in (tmp_path / "work").rglob(".lease-*"):
            lease.unlink()
        study.until(lambda: study.agent_of(0) != agent, "another agent")
        study.finish()
        (failed,) = study.records("fail")
        assert failed["kind"] == "lost"
        assert "was removed" in failed["reason"]
        check(study)
