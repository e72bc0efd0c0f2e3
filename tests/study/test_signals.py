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
from hbsim.executors import local
from hbsim.executors.slots import Slot
from hbsim.executors.training_function import make_target
from hbsim.runner.workers import Assignment, JobEnded, Reported
from tests.executors.serving import alive, wait_until
from tests.profile import thorough
from tests.study.test_killed import CODE, LIMIT, lines, others, wait_for

# Long enough that the signals find it running.
LONGER = CODE.replace("num_trials=9", "num_trials=30").replace("0.01", "0.05")


def start(
    folder: Path, resume: bool = False, stderr: int | None = None, code: str = LONGER
) -> subprocess.Popen:
    words = [sys.executable, "-c", code, "promotion", "2", str(folder), str(resume)]
    environment = {**os.environ, "HBSIM_TEST": str(folder.parent)}
    return subprocess.Popen(words, cwd=folder.parent, env=environment, stderr=stderr)


def begin(folder: Path, stderr: int | None = None, code: str = LONGER) -> subprocess.Popen:
    """Start a study, and wait until it has done something."""
    process = start(folder, stderr=stderr, code=code)
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


@pytest.mark.parametrize("controller_first", [pytest.param(True, marks=thorough), False])
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


class Stopped:
    """In place of the module `time`: stands still until a test moves it."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


WAITS = """
import hbsim, time

@hbsim.args(lr=hbsim.Real(0.1, 1.0))
def train_fn(args, reporter):
    reporter(epoch=1, accuracy=0.5)
    time.sleep(600)
"""


def test_a_trial_that_sigterm_ends_is_not_lost_before_the_signal_can_have_come_to_the_study(
    tmp_path, monkeypatch
):
    """It may go to all processes of a study, and to those of trials first."""
    clock = Stopped()
    monkeypatch.setattr(local, "time", clock)
    (tmp_path / "train.py").write_text(WAITS)
    setup = {"time_attr": "epoch", "metric": "accuracy", "constants": {}, "counts": False}
    target = make_target(f"{tmp_path / 'train.py'}:train_fn", by_value=False)
    workers = local.LocalWorkers(target, [Slot(0, None, 1, (), {})], tmp_path / "trials", setup, "fork", 5.0)
    said = []

    def has_come(kind) -> bool:
        said.extend(workers.wait(0.02))
        return any(isinstance(message, kind) for message in said)

    try:
        workers.prepare()
        workers.start(0, Assignment(0, 0, 0, 0.0, 9.0, [0.5], 1, "5" * 16))
        wait_until(lambda: has_come(Reported))
        (trial,) = psutil.Process(workers.server.pid).children()
        trial.terminate()
        wait_until(lambda: has_come(JobEnded) or not alive(trial.pid))
        assert not any(has_come(JobEnded) for _ in range(10))
        clock.now += 1.0
        wait_until(lambda: has_come(JobEnded))
    finally:
        workers.close()


def server_of(process: subprocess.Popen) -> psutil.Process:
    (server,) = psutil.Process(process.pid).children()
    return server


@thorough
def test_a_server_that_is_stopped_is_replaced_and_its_trials_are_lost(tmp_path):
    folder = tmp_path / "exp"
    code = CODE.replace("num_trials=9", "num_trials=4")
    code = code.replace('"seconds": 0.01', '"how": "waits", "only": 0')
    words = [sys.executable, "-c", code, "stopping", "1", str(folder), "False"]
    process = subprocess.Popen(words, cwd=tmp_path, env={**os.environ, "HBSIM_TEST": str(tmp_path)})
    trained = tmp_path / "trained.txt"
    wait_for(lambda: trained.exists() and "0 3\n" in trained.read_text(), "the first trial waits")
    server_of(process).send_signal(signal.SIGSTOP)
    assert process.wait(LIMIT) == 0
    assert not others(tmp_path)
    result = hbsim.load(folder)
    assert result.why == "done"
    assert result.trials["status"].to_list()[0] == "failed"
    (failure,) = result.failures.to_dicts()
    assert failure["kind"] == "lost"
    assert "was stopped by a signal, and did not go on" in failure["reason"]


# The graces are short, and no trial ends by itself.
HELD = LONGER.replace('"seconds": 0.05', '"seconds": 600.0').replace("workers=", "grace=0.3, workers=")


@pytest.mark.parametrize(
    "what", ["nothing", pytest.param("server", marks=thorough), pytest.param("trial", marks=thorough), "both"]
)
def test_sigterm_ends_a_study_whatever_its_processes_do(what, tmp_path):
    folder = tmp_path / "exp"
    process = start(folder, code=HELD)
    wait_for(lambda: lines(folder / "journal.jsonl") and server_of(process).children(), "a trial runs")
    server = server_of(process)
    trials = server.children()
    for stopped in {"server": [server], "trial": trials, "both": [server, *trials], "nothing": []}[what]:
        stopped.send_signal(signal.SIGSTOP)
    process.send_signal(signal.SIGTERM)
    assert process.wait(LIMIT) != 0
    assert not others(tmp_path)
    result = hbsim.load(folder)
    assert (result.why, result.summary()["failed"]) == ("interrupted", 0)


def test_ctrl_c_waits_for_the_next_report(tmp_path):
    """Who presses it can do so again; the grace is for who kills afterwards."""
    folder = tmp_path / "exp"
    process = start(folder, code=HELD.replace("600.0", "1.5"))
    wait_for(lambda: lines(folder / "journal.jsonl") and server_of(process).children(), "a trial runs")
    process.send_signal(signal.SIGINT)
    assert process.wait(LIMIT) != 0
    assert (folder.parent / "trained.txt").exists(), "it has come to its next report"
