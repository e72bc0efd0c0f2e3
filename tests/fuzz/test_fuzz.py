"""A little of what ``python -m tests.fuzz`` does; and that it finds what it is there to find."""

from __future__ import annotations

import os
import time
from collections import Counter

import pytest

from tests.fuzz import run as suite
from tests.fuzz.readers import READERS
from tests.fuzz.run import ABORT, HANG, REFUSED, TAKEN, TRACEBACK, UNCLEAR, outcome, seeded
from tests.profile import THOROUGH

COUNT = 60 if THOROUGH else 25
SLOW = {"parquet": 20, "sweep-folder": 60} if THOROUGH else {"parquet": 6, "sweep-folder": 10}


@pytest.mark.parametrize("reader", READERS)
def test_bad_input_is_one_clear_line(reader, tmp_path, monkeypatch):
    if reader == "yahpo":
        pytest.importorskip("onnx")
        pytest.importorskip("onnxruntime")
    count = SLOW.get(reader, COUNT)
    monkeypatch.chdir(tmp_path)
    if THOROUGH:
        tally = suite.run(reader, 0, count, seed=0, limit=300.0)
    else:
        tally = suite.run_in_process(reader, count, tmp_path)
    assert tally.bad == []
    assert tally.counts.total() == count
    assert tally.counts[TAKEN] > 0
    assert tally.counts[REFUSED] > 0


class Faulty:
    """A reader with a fault of every kind."""

    def __init__(self, folder):
        pass

    def case(self, rng):
        return rng.choice(list(FAULTS))

    def read(self, fault):
        FAULTS[fault]()


FAULTS = {
    TAKEN: lambda: None,
    TRACEBACK: lambda: 1 / 0,
    ABORT: os.abort,
    HANG: lambda: time.sleep(600),
}


def test_every_fault_is_found_and_what_follows_it_is_read():
    name, seed, count = "tests.fuzz.test_fuzz:Faulty", 67, 5  # each fault once, and two that are none
    expected = [Faulty(None).case(seeded(name, seed, number)) for number in range(count)]
    assert set(expected) == set(FAULTS)
    tally = suite.run(name, 0, count, seed=seed, limit=5.0)
    assert tally.counts == Counter(expected)
    assert [(number, kind) for number, kind, _ in tally.bad] == [
        (number, kind) for number, kind in enumerate(expected) if kind != TAKEN
    ]


class TwoLines(suite.HbsimError):
    def __str__(self):
        return "one\ntwo"


class Raising:
    def __init__(self, error):
        self.error = error

    def read(self, given):
        raise self.error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("no"), TRACEBACK),
        (SystemExit(3), TRACEBACK),
        (RuntimeWarning("overflow"), TRACEBACK),
        (TwoLines(), UNCLEAR),
        (suite.HbsimError("one\ntwo"), REFUSED),  # which errors escape
        (suite.HbsimError("one line"), REFUSED),
    ],
)
def test_only_one_line_of_our_own_is_a_refusal(error, kind):
    assert outcome(Raising(error), None)[0] == kind
