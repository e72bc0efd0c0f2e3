"""Which checkpoint a job may go on from, and which ones stay on the disk."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbsim.executors import checkpoint
from hbsim.executors.checkpoint import SETTLED, Origin
from tests.doubles.checkpoints import describe_newest
from tests.profile import examples

FIRST = Origin("5e1d", 3, 0, 7, "c0", 2.5, {})


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "checkpoint"


def later(reports, **changes):
    """Return a job after FIRST, of which the journal has so many reports."""
    return replace(FIRST, job=9, started=6.0, earlier={(7, 2.5): reports}, **changes)


def loaded(folder, origin):
    """Return what a job loads, and what it is told."""
    said: list[str] = []
    return checkpoint.load_own(folder, origin, said.append).value, said


def gone_on_from(folder, origin):
    """Return what a job loads, and whether it made no report after that."""
    found = checkpoint.load_own(folder, origin)
    return found.value, found.is_last


def save(folder, value, reports, origin=FIRST):
    checkpoint.save(folder, value, origin=origin, reports=reports, resource=float(reports))


@pytest.mark.parametrize(
    ("change", "what"),
    [({"study": "0ther"}, "study"), ({"trial": 4}, "trial"), ({"configuration": "c1"}, "configuration")],
)
def test_of_another_study_trial_or_configuration_it_is_refused(folder, change, what):
    save(folder, "theirs", 4)
    value, said = loaded(folder, later(5, **change))
    assert value is None
    assert said == [f"checkpoint 1 is not used: it is of another {what}"]
    save(folder, "mine", 1, origin=later(5, **change))
    assert loaded(folder, later(5, **change))[0] == "mine"
    assert sorted(os.listdir(folder)) == ["2"]  # and what it must not use is gone


@pytest.mark.parametrize("earlier", [{}, {(7, 2.25): 5}, {(6, 2.5): 5}])
def test_of_a_job_that_the_journal_lost_it_is_refused(folder, earlier):
    save(folder, "lost", 4)
    value, said = loaded(folder, replace(FIRST, job=9, started=6.0, earlier=earlier))
    assert value is None
    assert said == ["checkpoint 1 is not used: the journal does not know the job that made it"]
    same_number = replace(FIRST, started=6.0, earlier=earlier)
    assert loaded(folder, same_number)[0] is None


def test_ahead_of_the_journal_it_is_refused_and_the_one_before_is_used(folder):
    save(folder, "after 4", 4)
    save(folder, "after 5", 5)
    assert loaded(folder, later(5)) == ("after 5", [])
    reason = "it was made after report 5 of a job of which the journal has 4"
    assert loaded(folder, later(4)) == ("after 4", [f"checkpoint 2 is not used: {reason}"])


def test_it_is_known_whether_a_report_followed(folder):
    save(folder, "after 7", 7)
    save(folder, "after 8", 8)
    assert gone_on_from(folder, later(8)) == ("after 8", True)
    assert gone_on_from(folder, later(9)) == ("after 8", False)
    assert gone_on_from(folder, FIRST) == ("after 8", False)
    assert gone_on_from(folder, None) == ("after 8", False)
    checkpoint.discard(folder, 2)
    assert gone_on_from(folder, later(8)) == ("after 7", False)
    assert os.listdir(folder) == ["1"]


def test_a_job_loads_what_it_saved_itself(folder):
    save(folder, "mine", 8)
    assert loaded(folder, FIRST) == ("mine", [])


def test_a_torn_one_is_said_and_the_one_before_is_used(folder):
    save(folder, "old", 3)
    save(folder, "new", 4)
    value = next(path for path in (folder / "2").iterdir() if path.name != "meta.json")
    size = value.stat().st_size
    os.truncate(value, size - 1)
    reason = f"it is damaged: {value.name} has {size - 1} bytes, where {size} were written"
    assert loaded(folder, later(9)) == ("old", [f"checkpoint 2 is not used: {reason}"])
    value.unlink()
    assert loaded(folder, later(9)) == ("old", ["checkpoint 2 is not used: it is damaged: a file is missing"])
    (folder / "2" / "meta.json").write_bytes(b"")
    assert loaded(folder, later(9))[0] == "old"
    assert describe_newest(folder)["reports"] == 3


@settings(max_examples=examples(60), deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from([0.0, 1.0, 20.0, 45.0, 70.0])), min_size=1, max_size=14
    )
)
def test_after_a_power_cut_there_is_one_that_is_not_much_older(tmp_path_factory, steps):
    """Each step: so many reports, then a save, then so many seconds pass."""
    folder = tmp_path_factory.mktemp("trial") / "checkpoint"
    saves: dict[str, tuple[int, int]] = {}  # by folder: its step, its reports
    reports = 0
    ages = [0.0] * len(steps)
    for step, (more, seconds) in enumerate(steps):
        reports += more
        save(folder, step, reports)
        saves[max(os.listdir(folder), key=int)] = (step, reports)
        there = {name: saves[name] for name in os.listdir(folder)}
        assert len(there) <= 4
        assert step in {saved for saved, _ in there.values()}
        # Where the first one is on the disk by now, one is there that is, and not much older than need be;
        # and so is the newest that a report followed.
        kept = [ages[saved] for saved, _ in there.values() if ages[saved] >= SETTLED]
        assert ages[0] < SETTLED or min(kept) < 2 * SETTLED + max(seconds for _, seconds in steps)
        before = [saved for saved in range(step) if at(steps, saved) < reports]
        assert not before or max(before) in {saved for saved, _ in there.values()}
        for name, (saved, _) in there.items():
            path = folder / name
            stamp = path.stat().st_mtime - seconds
            os.utime(path, (stamp, stamp))
            assert json.loads((path / "meta.json").read_text())["reports"] == at(steps, saved)
        ages = [age + seconds if saved <= step else 0.0 for saved, age in enumerate(ages)]


def at(steps, step):
    """Return how many reports there were when a step saved."""
    return sum(more for more, _ in steps[: step + 1])


def test_a_trial_that_has_paused_for_a_while_keeps_one(folder):
    for reports in (7, 8, 9):
        save(folder, reports, reports)
    assert len(os.listdir(folder)) == 3
    checkpoint.thin_out(folder)
    assert len(os.listdir(folder)) == 3
    for path in folder.iterdir():
        os.utime(path, (1e9, 1e9))
    checkpoint.thin_out(folder)
    assert os.listdir(folder) == ["3"]
