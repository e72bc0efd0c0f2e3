"""Kills and power cuts: no report that has returned is lost, and no trial goes on from what is not its own.

``HBSIM_TEST_CUTS`` says how many kills of the controller and power cuts there are: a few, 100 by hand.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import hbsim
from tests.profile import THOROUGH
from tests.study.saving import value

FILE = Path(__file__).parent / "saving.py"
TRAIN = f"{FILE}:train_fn"
CUTS = int(os.environ.get("HBSIM_TEST_CUTS", "5" if THOROUGH else "2"))
LIMIT = 60.0  # seconds
LATE = 0.1  # seconds that a report may take to the journal


class Fresh:
    """A searcher that never suggests a configuration twice, whatever was lost."""

    model_based, listens = False, False

    def suggest(self, n):
        return np.array([[random.SystemRandom().random()] for _ in range(n)])

    def resume(self, configurations):
        pass


def scheduler(kind, trials, retries):
    return hbsim.make_scheduler(kind, max_t=27, num_trials=trials, retries=retries)


def run(folder, notes, trials=20, resume=False, **options):
    kind, retries = options.pop("kind", "promotion"), options.pop("retries", 0)
    constants = {"notes": str(notes), **options.pop("args", {})}
    return hbsim.run(
        TRAIN, scheduler(kind, trials, retries), workers=2, folder=folder, resume=resume, searcher=Fresh(),
        args=constants, progress="none", **options
    )  # fmt: skip


def returned(notes, before=float("inf")):
    """Return the tokens of the reports that had returned by a time."""
    words = [line.split() for line in notes.read_text().splitlines()]
    assert "wrong" not in {word[0] for word in words}, "a trial loaded what another configuration saved"
    return {float(word[3]) for word in words if word[0] == "returned" and float(word[2]) < before}


def journaled(folder):
    """Return the tokens of the reports in the journal."""
    records = map(json.loads, (folder / "journal.jsonl").read_text().splitlines())
    return {row[3]["token"] for record in records for row in record.get("rows", ())}


def check_decisions(result):
    """Each value that was judged is that of its trial's configuration at the milestone."""
    lr = dict(zip(result.configurations["trial"], result.configurations["lr"], strict=True))
    for trial, level, judged in result.decisions.select("trial", "level", "value").iter_rows():
        assert judged == value(lr[trial], level), (trial, level)


def test_when_trials_are_killed_no_report_that_has_returned_is_lost(tmp_path):
    notes = tmp_path / "notes"
    killed = {"killed": 0.05, "seconds": 0.004}
    result = run(tmp_path / "exp", notes, trials=12, kind="fifo", retries=4, args=killed)
    assert not returned(notes) - journaled(tmp_path / "exp")
    assert len(result.failures) >= 5
    check_decisions(result)


CODE = """
import sys
sys.path[:0] = sys.argv[1].split(":")
from pathlib import Path
from tests.study.test_saved import CUTS, run
run(Path(sys.argv[2]), Path(sys.argv[3]), trials=15 + 10 * CUTS, resume=sys.argv[4] == "True")
"""


def test_when_the_controller_is_killed_only_the_last_moment_is_lost(tmp_path):
    folder, notes = tmp_path / "exp", tmp_path / "notes"
    path = ":".join([str(Path(__file__).parents[2]), *sys.path])
    kills, lost = 0, set()
    while True:
        there = (folder / "journal.jsonl").exists()
        words = [sys.executable, "-c", CODE, path, str(folder), str(notes), str(there)]
        process = subprocess.Popen(words)
        known = len(returned(notes)) if notes.exists() else 0
        end = time.monotonic() + LIMIT
        while process.poll() is None and (not notes.exists() or len(returned(notes)) <= known):
            assert time.monotonic() < end
            time.sleep(0.005)
        if kills >= CUTS or process.poll() is not None:
            break
        time.sleep(random.SystemRandom().random() * 0.3)
        killed_at = time.monotonic()
        process.send_signal(signal.SIGKILL)
        process.wait(LIMIT)
        kills += 1
        missing = returned(notes) - journaled(folder) - lost
        assert not missing & returned(notes, killed_at - LATE)
        lost |= missing
    assert process.wait(LIMIT) == 0
    assert kills >= min(CUTS, 2)
    check_decisions(hbsim.load(folder))


def cut_power(folder, chance):
    """Leave what may be on the disk: part of the journal, and any of the checkpoints, torn or not."""
    journal = folder / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    kept = chance.randrange(max(1, len(lines) - 60), len(lines) + 1)
    journal.write_bytes(b"".join(lines[:kept]))
    for path in sorted((folder / "trials").glob("*/checkpoint/*")):
        fate = chance.random()
        if fate < 0.2:
            shutil.rmtree(path)
        elif fate < 0.4:
            file = chance.choice([file for file in sorted(path.iterdir()) if file.is_file()])
            os.truncate(file, chance.randrange(file.stat().st_size))


def test_after_power_cuts_nobody_goes_on_from_what_is_not_its_own(tmp_path):
    folder, notes = tmp_path / "exp", tmp_path / "notes"
    chance = random.Random(5)
    for cut in range(CUTS):
        begun = cut > 0
        now = hbsim.load(folder).end_time if begun else 0.0
        result = run(folder, notes, resume=begun, max_time=now + chance.uniform(0.1, 0.5))
        check_decisions(result)
        cut_power(folder, chance)
        returned(notes)
    result = run(folder, notes, resume=True)
    assert result.why == "done"
    returned(notes)
    check_decisions(result)


def test_a_study_in_the_place_of_one_that_was_lost_starts_from_zero(tmp_path):
    """A damaged journal is removed, as its error advises; the checkpoints are still there."""
    folder, notes = tmp_path / "exp", tmp_path / "notes"
    run(folder, notes, trials=9)
    left = len(list((folder / "trials").iterdir()))
    (folder / "journal.jsonl").unlink()
    for path in folder.glob("*.parquet"):
        path.unlink()
    (folder / "summary.json").unlink()
    result = run(folder, notes, trials=9)
    assert len(list((folder / "earlier-1" / "trials").iterdir())) == left
    check_decisions(result)
    returned(notes)
