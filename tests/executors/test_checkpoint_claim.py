"""Claims: whatever an overtaken job does, and whenever it goes on, the later job's checkpoint stays."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbsim.executors import checkpoint
from hbsim.executors.checkpoint import Origin, is_overtaken
from tests.profile import examples


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "trial" / "checkpoint"


def save(folder, job, *events):
    """Save as a job whose process is stopped each time that it has been told that it may go on.

    Parameters
    ----------
    *events : callable or None
        What happens while it is stopped.
    """
    waiting = list(events)

    def allowed():
        answer = not is_overtaken(folder, job)
        if waiting and (event := waiting.pop(0)) is not None:
            event()
        return answer

    checkpoint.save(folder, {"by": job}, origin=origin(job), resource=1.0, allowed=allowed)


def origin(job):
    """Return that of a job which knows all those before it."""
    return Origin("5e1d", 0, job, job, "", job, {(before, before): 0 for before in range(job)})


def state(folder):
    """Return what is in the trial's folder, but for the content of checkpoints."""
    names = os.listdir(folder) if folder.exists() else []
    return sorted(names), checkpoint.describe(folder), sorted(os.listdir(folder.parent))


@given(jobs=st.lists(st.integers(0, 12), max_size=12))
@settings(max_examples=examples(40), deadline=None)
def test_the_highest_job_may_run(tmp_path_factory, jobs):
    folder = tmp_path_factory.mktemp("trial") / "checkpoint"
    for number, job in enumerate(jobs):
        highest = max(jobs[: number + 1])
        assert checkpoint.claim(folder, job) is (job == highest)
        assert [other for other in range(14) if is_overtaken(folder, other)] == list(range(highest))
    assert len(os.listdir(folder.parent)) <= len(jobs)


def test_a_job_that_has_claimed_saves_as_any(folder):
    assert checkpoint.claim(folder, 3)
    for _ in range(3):
        save(folder, 3)
    assert checkpoint.load(folder) == {"by": 3}
    assert state(folder)[0] == ["1", "3"]
    checkpoint.save(folder, "another", origin=origin(9))  # where nobody has to claim
    assert (checkpoint.load(folder), state(folder)[0][-1]) == ("another", "4")


def test_an_overtaken_job_writes_nothing(folder):
    checkpoint.claim(folder, 3)
    save(folder, 3)
    checkpoint.claim(folder, 4)
    before = state(folder)
    with pytest.raises(checkpoint.Overtaken):
        save(folder, 3)
    assert state(folder) == before
    assert checkpoint.load(folder) == {"by": 3}


@pytest.mark.parametrize("saved_before", [0, 1, 2])
@pytest.mark.parametrize("saves", [0, 1, 2])
@pytest.mark.parametrize("stopped", [0, 1])
def test_a_job_that_is_overtaken_while_it_saves(folder, saved_before, saves, stopped):
    checkpoint.claim(folder, 3)
    for _ in range(saved_before):
        save(folder, 3)
    there = []

    def overtake():
        assert checkpoint.claim(folder, 4)
        for _ in range(saves):
            save(folder, 4)
        there.append(state(folder))

    with pytest.raises(checkpoint.Overtaken):
        save(folder, 3, *[None] * stopped, overtake)
    assert [state(folder)] == there
    assert checkpoint.load(folder) == ({"by": 4} if saves else {"by": 3} if saved_before else None)


@pytest.mark.parametrize("saved_before", [0, 1, 2])
def test_a_job_that_goes_on_while_the_later_one_saves(folder, saved_before):
    checkpoint.claim(folder, 3)
    for _ in range(saved_before):
        save(folder, 3)
    told = iter([True, False])  # the first time before it was stopped

    def goes_on():
        with pytest.raises(checkpoint.Overtaken):
            checkpoint.save(folder, {"by": 3}, origin=origin(3), allowed=lambda: next(told))

    checkpoint.claim(folder, 4)
    save(folder, 4, None, goes_on)
    assert checkpoint.load(folder) == {"by": 4}
    assert len(state(folder)[0]) == 1 + (saved_before > 0)
