"""kill -9 of the process that runs a study, at many points: what is resumed is the same study."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

import hbsim
from tests.profile import THOROUGH, thorough

TRAIN = f"{Path(__file__).parent / 'training.py'}:train_fn"
LIMIT = 60.0  # seconds
KILLS = 10
CODE = f"""
import sys, hbsim
kind, workers, folder, resume = sys.argv[1:]
scheduler = hbsim.make_scheduler(kind, max_t=9, num_trials=9)
hbsim.run({TRAIN!r}, scheduler, workers=int(workers), folder=folder, resume=resume == "True", progress="none",
          args={{"seconds": 0.01}})
"""


def start(kind: str, workers: int, folder: Path, resume: bool, seconds: str = "0.01") -> subprocess.Popen:
    words = [
        sys.executable,
        "-c",
        CODE.replace("0.01", seconds),
        kind,
        str(workers),
        str(folder),
        str(resume),
    ]
    return subprocess.Popen(words, cwd=folder.parent, env={**os.environ, "HBSIM_TEST": str(folder.parent)})


def lines(journal: Path) -> int:
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def wait_for(condition, what: str) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.002)


def others(folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("HBSIM_TEST") == str(folder) and process.status() != "zombie":
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.mark.parametrize("kind", [pytest.param("stopping", marks=thorough), "promotion"])
def test_killed_again_and_again_it_comes_to_the_same_decisions(kind, tmp_path, monkeypatch):
    (tmp_path / "plain").mkdir()
    monkeypatch.chdir(tmp_path / "plain")
    chance = random.Random(kind)
    folder = tmp_path / "exp"
    journal = folder / "journal.jsonl"
    kills, most_kills = 0, KILLS if THOROUGH else 3
    while True:
        already = lines(journal)
        process = start(kind, 1, folder, journal.exists())
        after = already + chance.randrange(1, 9)
        wait_for(lambda n=after, p=process: lines(journal) >= n or p.poll() is not None, "the study goes on")
        if kills < most_kills and process.poll() is None:
            time.sleep(chance.random() * 0.01)
            process.send_signal(signal.SIGKILL)
            kills += 1
        if process.wait(LIMIT) == 0:
            break
        wait_for(lambda: not others(tmp_path), "processes were left behind")
    resumed = hbsim.load(folder)
    plain = hbsim.run(
        TRAIN,
        hbsim.make_scheduler(kind, max_t=9, num_trials=9),
        workers=1,
        folder=tmp_path / "other",
        progress="none",
    )
    assert kills >= min(5, most_kills)
    assert resumed.decisions.drop("time").rows() == plain.decisions.drop("time").rows()
    assert resumed.trials["status"].to_list() == plain.trials["status"].to_list()
    trained = Counter((tmp_path / "trained.txt").read_text().split("\n"))
    again = sum(count - 1 for key, count in trained.items() if key)
    most = 4 * kills  # what came after the last checkpoint, until the trial saw that it was alone
    assert again <= most
    told = [json.loads(line) for line in journal.read_text().splitlines()]
    assert len(resumed.reports) == sum(len(record.get("rows", ())) for record in told)


def test_workers_killed_with_their_trials_leave_nothing_behind_and_a_second_process_is_kept_out(tmp_path):
    folder = tmp_path / "exp"
    process = start(
        "promotion", 2, folder, resume=False, seconds="1.0"
    )  # an epoch: it outlasts the second one
    wait_for(lambda: lines(folder / "journal.jsonl") > 2, "the study begins")
    second = subprocess.run(
        [sys.executable, "-c", CODE, "promotion", "2", str(folder), "True"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert second.returncode == 1
    assert f"process {process.pid}" in second.stderr
    process.send_signal(signal.SIGKILL)
    process.wait(LIMIT)
    wait_for(lambda: not others(tmp_path), "processes were left behind")


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=thorough)])
def test_an_interruption_ends_it_cleanly_and_it_goes_on(number, tmp_path):
    folder = tmp_path / "exp"
    process = start("stopping", 2, folder, resume=False)
    wait_for(lambda: lines(folder / "journal.jsonl") > 8, "the study begins")
    process.send_signal(number)
    assert process.wait(LIMIT) != 0
    assert not others(tmp_path)
    result = hbsim.load(folder)
    assert result.why == "interrupted"
    assert result.summary()["failed"] == 0
    assert start("stopping", 2, folder, resume=True).wait(LIMIT) == 0
    assert hbsim.load(folder).why == "done"
