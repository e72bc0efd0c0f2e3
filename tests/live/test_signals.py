"""Signals that come to more than the process that runs a study, or find its terminal gone."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

import hbsim
from tests.live.test_killed import CODE, LIMIT, lines, others, wait_for

# Long enough that the signals find it running.
LONGER = CODE.replace("num_trials=9", "num_trials=30").replace("0.01", "0.05")


def start(folder: Path, resume: bool = False, stderr: int | None = None) -> subprocess.Popen:
    words = [sys.executable, "-c", LONGER, "promotion", "2", str(folder), str(resume)]
    environment = {**os.environ, "HBSIM_TEST": str(folder.parent)}
    return subprocess.Popen(words, cwd=folder.parent, env=environment, stderr=stderr)


def begin(folder: Path, stderr: int | None = None) -> subprocess.Popen:
    """Start a study, and wait until it has done something."""
    process = start(folder, stderr=stderr)
    wait_for(lambda: lines(folder / "journal.jsonl") > 8, "the study begins")
    return process


def test_a_hangup_ends_it_cleanly_though_nobody_reads_what_it_says(tmp_path):
    out, into = os.pipe()
    process = begin(tmp_path / "exp", stderr=into)
    os.close(into)
    os.close(out)
    process.send_signal(signal.SIGHUP)
    assert process.wait(LIMIT) != 0
    assert not others(tmp_path)
    assert hbsim.load(tmp_path / "exp").why == "interrupted"


@pytest.mark.parametrize("controller_first", [True, False])
def test_sigterm_to_all_processes_is_an_interruption(controller_first, tmp_path):
    """As a batch system does it: no trial has failed."""
    folder = tmp_path / "exp"
    process = begin(folder)
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for member in family if controller_first else family[::-1]:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.send_signal(signal.SIGTERM)
    assert process.wait(LIMIT) != 0
    assert not others(tmp_path)
    result = hbsim.load(folder)
    assert (result.why, result.summary()["failed"]) == ("interrupted", 0)
    assert start(folder, resume=True).wait(LIMIT) == 0
    assert hbsim.load(folder).why == "done"
