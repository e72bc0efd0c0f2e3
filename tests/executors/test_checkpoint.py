"""Checkpoints: what they give back, and that at any instant one is whole."""

from __future__ import annotations

import os
import resource as limits
import shutil
import signal
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbsim.errors import OutputError, ParameterError
from hbsim.executors import checkpoint
from hbsim.executors.checkpoint import Origin, is_overtaken
from tests.doubles.checkpoints import describe_newest, load_newest
from tests.doubles.trial import of_job
from tests.profile import examples


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "trial" / "checkpoint"


def test_without_a_checkpoint_there_is_none(folder):
    assert load_newest(folder) is None
    assert describe_newest(folder) is None
    assert describe_newest(folder) is None
    checkpoint.remove(folder)


def test_the_last_one_counts_and_few_are_kept(folder):
    for epoch in range(12):
        checkpoint.save(folder, {"epoch": epoch}, origin=of_job(2), reports=epoch, resource=epoch)
        assert load_newest(folder) == {"epoch": epoch}
        assert len(list(folder.iterdir())) <= 3
    about = describe_newest(folder)
    assert (about["kind"], about["resource"], about["job"]) == ("values", 11, 2)
    checkpoint.remove(folder)
    assert not folder.exists()


# Folders


@pytest.fixture
def source(tmp_path):
    source = tmp_path / "model"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "weights").write_bytes(b"123")
    (source / "last").symlink_to("deep/weights")
    return source


def test_the_content_of_a_folder_is_copied(folder, source):
    checkpoint.save(folder, source)
    shutil.rmtree(source)
    back = load_newest(folder)
    assert (back / "deep" / "weights").read_bytes() == b"123"
    assert (back / "last").read_bytes() == b"123"
    checkpoint.save(folder, back)  # the copy itself
    assert (load_newest(folder) / "last").read_bytes() == b"123"


def test_what_cannot_be_a_checkpoint(folder, source):
    checkpoint.save(folder, 1)
    for bad, rule in [
        (None, "means that there is none"),
        (source / "last", "must be a folder that exists"),
        (source / "missing", "must be a folder that exists"),
        (folder.parent, "is where checkpoints lie"),
        (folder, "is where checkpoints lie"),
    ]:
        with pytest.raises(ParameterError, match=rule):
            checkpoint.save(folder, bad)
    (source / "broken").symlink_to("nowhere")
    with pytest.raises(OutputError, match="the one before stays"):
        checkpoint.save(folder, source)
    assert load_newest(folder) == 1


# Damage


@pytest.mark.parametrize(
    ("meta", "problem"),
    [
        (b"{", "it is damaged: "),
        (b"[]", "it is damaged: "),
        (b'{"version": 2}', "it is damaged: "),
        (b'{"version": 2, "kind": "odd", "files": {}}', "it is damaged: there is no kind 'odd'"),
        (b'{"version": 1, "kind": "values"}', "of version 1; this hbsim reads version 2"),
    ],
)
def test_damage_is_said_and_the_one_before_is_used(folder, meta, problem):
    checkpoint.save(folder, [1])
    checkpoint.save(folder, [2])
    (folder / "2" / "meta.json").write_bytes(meta)
    said = []
    assert checkpoint.load_own(folder, None, said.append).value == [1]
    assert len(said) == 1
    assert said[0].startswith("checkpoint 2 is not used: ")
    assert problem in said[0]


# Killed at any point

POINTS = [(os, "rename"), (os, "mkdir"), (os, "open"), (os, "rmdir"), (os, "unlink")]


def killed_at(point, work):
    """Do `work` in a process that is killed at this call of the file system; return whether it was."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        try:
            seen = 0

            def watched(real):
                def call(*args, **options):
                    nonlocal seen
                    seen += 1
                    if seen == point:
                        os.kill(os.getpid(), signal.SIGKILL)
                    return real(*args, **options)

                return call

            for module, name in POINTS:
                setattr(module, name, watched(getattr(module, name)))
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status) == -signal.SIGKILL


def test_killed_at_any_point_of_a_save_the_old_or_the_new_one_is_whole(folder, source):
    seen, point = set(), 0
    while True:
        checkpoint.remove(folder)
        checkpoint.save(folder, "older")
        checkpoint.save(folder, "old")
        point += 1
        if not killed_at(point, lambda: checkpoint.save(folder, source)):
            break
        back = load_newest(folder)
        assert back == "old" or (back / "deep" / "weights").read_bytes() == b"123"
        seen.add("old" if back == "old" else "new")
        checkpoint.save(folder, "next")  # and what was left behind is gone
        assert load_newest(folder) == "next"
        assert all(path.name.isdigit() for path in folder.iterdir())
    assert seen == {"old", "new"}
    assert point > 8


def test_killed_at_any_point_of_a_removal_no_torn_one_is_left(folder, source):
    point = 0
    while True:
        checkpoint.save(folder, source)
        point += 1
        if not killed_at(point, lambda: checkpoint.remove(folder)):
            break
        assert load_newest(folder) is None or (load_newest(folder) / "deep" / "weights").exists()
    assert point > 3
    assert not folder.exists()


# A full disk


@pytest.mark.parametrize("kind", ["values", "tensors", "folder"])
def test_on_a_full_disk_the_one_before_stays(folder, source, kind):
    if kind == "tensors":
        torch = pytest.importorskip("torch")
        obj = {"weights": torch.ones(100_000)}
    elif kind == "values":
        obj = list(range(100_000))
    else:
        obj = source
        (source / "large").write_bytes(bytes(100_000))
    checkpoint.save(folder, "old")
    before = limits.getrlimit(limits.RLIMIT_FSIZE)
    limits.setrlimit(limits.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(OutputError, match=r"cannot be written, the one before stays: .*File too large"):
            checkpoint.save(folder, obj)
    finally:
        limits.setrlimit(limits.RLIMIT_FSIZE, before)
    assert load_newest(folder) == "old"
    assert len(list(folder.iterdir())) == 1  # and nothing is half written
    checkpoint.save(folder, obj)
    assert describe_newest(folder)["kind"] == ("folder" if kind == "folder" else "values")


def test_kinds_that_are_unknown_are_an_error(tmp_path):
    with pytest.raises(ValueError, match="no kind 'odd'"):
        checkpoint._read_content(tmp_path, "odd")


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
    return sorted(names), describe_newest(folder), sorted(os.listdir(folder.parent))


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
    assert load_newest(folder) == {"by": 3}
    assert state(folder)[0] == ["1", "3"]
    checkpoint.save(folder, "another", origin=origin(9))  # where nobody has to claim
    assert (load_newest(folder), state(folder)[0][-1]) == ("another", "4")


def test_an_overtaken_job_writes_nothing(folder):
    checkpoint.claim(folder, 3)
    save(folder, 3)
    checkpoint.claim(folder, 4)
    before = state(folder)
    with pytest.raises(checkpoint.Overtaken):
        save(folder, 3)
    assert state(folder) == before
    assert load_newest(folder) == {"by": 3}


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
    assert load_newest(folder) == ({"by": 4} if saves else {"by": 3} if saved_before else None)


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
    assert load_newest(folder) == {"by": 4}
    assert len(state(folder)[0]) == 1 + (saved_before > 0)
