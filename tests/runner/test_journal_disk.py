"""The journal and the disk: when it is synced, and what is left when it is full or fails."""

import errno
import os
import stat
import subprocess
import sys

import pytest

from hbsim.errors import OutputError, ParameterError
from hbsim.runner.journal import Journal
from tests.runner.journals import ALL, RECORDS, SPEC, read, resumed, write


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.jsonl"


@pytest.fixture
def synced(monkeypatch):
    """What was synced, in order: files and folders."""
    calls = []

    def fsync(fd):
        calls.append("folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file")

    monkeypatch.setattr(os, "fsync", fsync)
    return calls


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.mark.parametrize(
    ("fsync", "counts"),
    [("always", [1, 2, 3, 4, 5, 5]), ("second", [0, 0, 1, 1, 1, 2]), ("never", [0, 0, 0, 0, 0, 0])],
)
def test_how_often_it_is_synced(path, synced, fsync, counts):
    clock = Clock()
    journal = Journal.create(path, SPEC, fsync=fsync, clock=clock)
    assert sorted(set(synced)) == ([] if fsync == "never" else ["file", "folder"])
    synced.clear()
    found = []
    for wait in (0.25, 0.5, 0.25, 0.5, 0.25):  # the third comes after a full second
        clock.now += wait
        journal.append(RECORDS[0])
        found.append(len(synced))
    journal.close()
    assert [*found, len(synced)] == counts
    assert "folder" not in synced


def test_it_is_synced_at_the_end_only_if_something_is_new(path, synced):
    clock = Clock()
    with Journal.create(path, SPEC, clock=clock) as journal:
        synced.clear()
        journal.append(RECORDS[0])
    assert synced == ["file"]


@pytest.mark.parametrize(("fsync", "times"), [("second", 1), ("never", 0), ("always", 1)])
def test_the_disk_has_everything_a_second_later_though_nothing_more_is_appended(path, synced, fsync, times):
    clock = Clock()
    with Journal.create(path, SPEC, fsync=fsync, clock=clock) as journal:
        synced.clear()
        journal.append(RECORDS[0])
        journal.tick()
        assert len(synced) == (fsync == "always")
        clock.now += 1
        journal.tick()
        journal.tick()
        assert len(synced) == times


def test_what_an_earlier_process_wrote_is_synced_too(path, synced):
    write(path)
    with Journal.open(path):
        assert synced == []
    assert synced == ["file"]


@pytest.mark.parametrize("fsync", ["Always", "", None, 1])
def test_no_other_policies(path, fsync):
    with pytest.raises(ParameterError, match="has to be one of always, second, never"):
        Journal.create(path, SPEC, fsync=fsync)
    assert not path.exists()
    before = write(path)
    with pytest.raises(ParameterError, match=r"^fsync="):
        Journal.open(path, fsync=fsync)
    assert path.read_bytes() == before


def test_short_writes_are_finished(path, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:7]))
    write(path)
    assert read(path) == ALL


class Failing:
    """Writes some bytes of the second line, then fails."""

    def __init__(self, monkeypatch, error):
        self.left = 1
        self.error = error
        self.real = os.write
        monkeypatch.setattr(os, "write", self)

    def __call__(self, fd, data):
        if self.left:
            self.left -= 1
            return self.real(fd, data[:10])
        raise self.error


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (errno.ENOSPC, "free space on this disk, then resume"),
        (errno.EDQUOT, "quota"),
        (errno.EFBIG, "limit on file sizes"),
        (errno.EIO, "the disk is failing"),
    ],
)
def test_a_failed_write_leaves_whole_lines(path, monkeypatch, code, advice):
    with Journal.create(path, SPEC) as journal:
        journal.append(RECORDS[0])
        with monkeypatch.context() as patched:
            Failing(patched, OSError(code, os.strerror(code)))
            with pytest.raises(OutputError, match=advice) as caught:
                journal.append(RECORDS[4])
        assert caught.value.path == str(path)
        assert read(path) == ALL[:2]
        assert journal.append(RECORDS[1]) == 2
    assert read(path) == ALL[:3]


def test_a_failed_write_to_an_opened_journal_leaves_whole_lines(path, monkeypatch):
    write(path, RECORDS[:3])
    with Journal.open(path) as journal:
        with monkeypatch.context() as patched:
            Failing(patched, OSError(errno.ENOSPC, "No space left on device"))
            with pytest.raises(OutputError, match="free space"):
                journal.append(RECORDS[3])
        journal.append(RECORDS[3])
    assert read(path) == ALL[:5]


def test_an_interrupt_leaves_whole_lines(path, monkeypatch):
    with Journal.create(path, SPEC) as journal:
        with monkeypatch.context() as patched:
            Failing(patched, KeyboardInterrupt())
            with pytest.raises(KeyboardInterrupt):
                journal.append(RECORDS[4])
        journal.append(RECORDS[0])
    assert read(path) == ALL[:2]


def test_an_interrupted_sync_takes_the_record_back(path, monkeypatch):
    def interrupt(fd):
        raise KeyboardInterrupt

    with Journal.create(path, SPEC, fsync="always") as journal:
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", interrupt)
            with pytest.raises(KeyboardInterrupt):
                journal.append(RECORDS[4])
        assert journal.append(RECORDS[0]) == 1
    assert read(path) == ALL[:2]


def test_a_failed_create_leaves_no_file(path, monkeypatch):
    Failing(monkeypatch, OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(OutputError, match="free space"):
        Journal.create(path, SPEC)
    assert not path.exists()


def test_a_line_that_cannot_be_taken_back_is_dropped_on_resume(path, monkeypatch):
    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    journal = Journal.create(path, SPEC)
    with monkeypatch.context() as patched:
        patched.setattr(os, "ftruncate", fail)
        Failing(patched, OSError(errno.EIO, "Input/output error"))
        with pytest.raises(OutputError, match="the disk is failing"):
            journal.append(RECORDS[4])
    with pytest.raises(OutputError, match="the disk failed before"):
        journal.append(RECORDS[0])
    journal.close()
    with pytest.warns(match="line 2: cut short after 10 bytes"):
        assert resumed(path) == ALL[:1]


def test_after_a_failed_sync_nothing_is_taken(path, monkeypatch):
    """The system forgets what it could not write: a second sync that succeeds would say nothing."""

    def fail(fd):
        raise OSError(errno.EIO, "Input/output error")

    journal = Journal.create(path, SPEC, fsync="always")
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        with pytest.raises(OutputError, match="the disk is failing"):
            journal.append(RECORDS[0])
    with pytest.raises(OutputError, match="the disk failed before"):
        journal.append(RECORDS[0])
    journal.close()
    assert read(path) == ALL[:1]


FULL = """
import resource, sys
from hbsim.errors import OutputError
from hbsim.runner.journal import Journal

resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
journal = Journal.create(sys.argv[1], {})
try:
    while True:
        journal.append({"e": "rows", "rows": [0.5] * 250})
except OutputError as error:
    print(journal.count, error)
journal.append({"e": "x"})
journal.close()
"""


def test_a_file_that_may_not_grow_stays_whole(path):
    """The limit cuts a line in two, as a full disk does; a shorter record still fits."""
    done = subprocess.run([sys.executable, "-c", FULL, path], capture_output=True, text=True, check=True)
    count, _, message = done.stdout.partition(" ")
    assert message.startswith(str(path))
    assert "raise the limit on file sizes" in message
    found = read(path)
    assert len(found) == int(count) + 1 > 4
    assert {record["e"] for record in found[1:-1]} == {"rows"}
    assert found[-1] == {"n": int(count), "e": "x"}
    with Journal.open(path) as journal:
        assert journal.append(RECORDS[0]) == int(count) + 1
