"""The lock of a study's folder, against real second processes."""

import errno
import fcntl
import os
import signal
import stat
import subprocess
import sys

import pytest

from hbsim.errors import OutputError
from hbsim.runner import lock as lock_module
from hbsim.runner.journal import Journal
from hbsim.runner.lock import StudyLock, writer

HOLD = """
import os, signal, subprocess, sys
from hbsim.runner.lock import StudyLock

lock = StudyLock(sys.argv[1])
forked = 0
if sys.argv[2] == "fork":
    out, into = os.pipe()
    if (forked := os.fork()) == 0:
        os.write(into, b".")
        signal.pause()  # until the test ends it
    os.read(out, 1)
if sys.argv[2] == "child":
    subprocess.Popen(["cat"], close_fds=False)  # a program that goes on when its parent is gone
print(f"held {forked}", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def hold(tmp_path):
    """Start processes that hold the lock until their standard input ends."""
    started = []

    def start(child="none"):
        command = [sys.executable, "-c", HOLD, str(tmp_path), child]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        held, process.forked = process.stdout.readline().split()
        assert held == "held"
        return process

    yield start
    for process in started:
        if int(process.forked):
            os.kill(int(process.forked), signal.SIGKILL)
        process.stdin.close()
        process.wait(60)
        process.stdout.close()


def test_a_second_process_is_told_who_holds_it(tmp_path, hold):
    holder = hold()
    with pytest.raises(OutputError) as caught:
        StudyLock(tmp_path)
    assert f"process {holder.pid};" in str(caught.value)
    assert caught.value.path == str(tmp_path)


def test_it_is_free_when_its_holder_has_ended(tmp_path, hold):
    holder = hold()
    holder.stdin.close()
    assert holder.wait(60) == 0
    with StudyLock(tmp_path):
        pass


@pytest.mark.parametrize("child", ["none", "child"])
def test_it_is_free_when_its_holder_was_killed(tmp_path, hold, child):
    holder = hold(child)
    holder.send_signal(signal.SIGKILL)
    assert holder.wait(60) == -signal.SIGKILL
    with StudyLock(tmp_path), pytest.raises(OutputError, match=f"process {os.getpid()};"):
        StudyLock(tmp_path)


def test_one_process_holds_it_once(tmp_path):
    first = StudyLock(tmp_path)
    with pytest.raises(OutputError, match=f"process {os.getpid()};"):
        StudyLock(tmp_path)
    first.close()
    first.close()
    with StudyLock(tmp_path):
        pass


def test_closing_it_frees_it_from_forked_copies_too(tmp_path):
    lock = StudyLock(tmp_path)
    copy = os.dup(lock._held.fd)  # what a forked process has
    try:
        lock.close()
        with StudyLock(tmp_path):
            pass
    finally:
        os.close(copy)


def test_nothing_in_the_folder_lets_a_second_one_in(tmp_path, hold):
    holder = hold()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "lock").write_text("", encoding="utf-8")  # an earlier version's
    (tmp_path / "lock").unlink()
    with pytest.raises(OutputError, match=f"process {holder.pid};"):
        StudyLock(tmp_path)


@pytest.mark.parametrize("end", ["kill", "close"])
def test_a_forked_process_does_not_keep_it(tmp_path, hold, end):
    holder = hold("fork")
    if end == "kill":
        holder.kill()
        holder.wait(60)
    else:
        holder.stdin.close()
        assert holder.wait(60) == 0
    with StudyLock(tmp_path):  # while the forked process lives
        pass


def test_a_forked_process_does_not_release_it(tmp_path):
    with StudyLock(tmp_path) as lock:
        if (child := os.fork()) == 0:
            lock.close()
            os._exit(lock._held.fd == -1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
        with pytest.raises(OutputError, match="is being run by"):
            StudyLock(tmp_path)


def test_a_folder_that_is_moved_while_it_is_locked(tmp_path, monkeypatch):
    """Whoever opened the old one gets the lock of the new one."""
    (tmp_path / "exp").mkdir()
    flock, moved = fcntl.flock, []

    def move_first(fd, how):
        if not moved:
            moved.append((tmp_path / "exp").rename(tmp_path / "moved"))
            (tmp_path / "exp").mkdir()
        flock(fd, how)

    monkeypatch.setattr(fcntl, "flock", move_first)
    with StudyLock(tmp_path / "exp"), StudyLock(tmp_path / "moved"):
        pass


class TestWhereFoldersHaveNoLocks:
    """As on NFS: a file in the folder has it."""

    @pytest.fixture(autouse=True)
    def files_only(self, monkeypatch):
        flock = fcntl.flock

        def refuse(fd, how):
            if stat.S_ISDIR(os.fstat(fd).st_mode):
                raise OSError(errno.EBADF, "Bad file descriptor")
            flock(fd, how)

        monkeypatch.setattr(fcntl, "flock", refuse)

    def test_a_second_one_is_told_who_holds_it(self, tmp_path):
        who = f"process {os.getpid()} on {os.uname().nodename};"
        with StudyLock(tmp_path), pytest.raises(OutputError, match=who):
            StudyLock(tmp_path)
        with StudyLock(tmp_path):
            pass

    def test_a_holder_that_has_not_written_its_name_yet(self, tmp_path):
        with StudyLock(tmp_path):
            (tmp_path / "lock").write_text("", encoding="utf-8")
            with pytest.raises(OutputError, match="run by another process"):
                StudyLock(tmp_path)

    def test_the_journal_has_a_lock_of_its_own(self, tmp_path):
        path = tmp_path / "journal.jsonl"
        with StudyLock(tmp_path), Journal.create(path, {}):
            (tmp_path / "lock").unlink()
            with StudyLock(tmp_path), pytest.raises(OutputError, match="is being run by"):
                Journal.open(path)
        Journal.open(path).close()

    def test_no_locks_at_all(self, tmp_path, monkeypatch):
        def refuse(fd, how):
            raise OSError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr(fcntl, "flock", refuse)
        with pytest.raises(OutputError, match="use a folder on a local disk"):
            StudyLock(tmp_path)


def test_folders_do_not_share_a_lock(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with StudyLock(tmp_path / "a"), StudyLock(tmp_path / "b"):
        pass


def test_no_folder(tmp_path):
    with pytest.raises(OutputError, match="No such file or directory"):
        StudyLock(tmp_path / "missing")


def test_readers_know_the_holder_without_a_lock_of_their_own(tmp_path, hold, monkeypatch):
    def never(fd, operation):
        raise AssertionError("a reader takes no lock")

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", never)
        assert writer(tmp_path, True) == ""
        assert writer(tmp_path / "nothing", True) == ""
        holder = hold()
        assert writer(tmp_path, True) == f"process {holder.pid}"
    monkeypatch.setattr(lock_module, "LOCKS", str(tmp_path / "nothing"))  # another system than Linux
    assert writer(tmp_path, True) == "another process"
    holder.stdin.close()
    assert holder.wait(60) == 0
    assert writer(tmp_path, True) == ""
    StudyLock(tmp_path).close()
