"""The lock of a study's folder, against real second processes."""

import os
import signal
import subprocess
import sys

import pytest

from hbsim.errors import OutputError
from hbsim.history.lock import StudyLock

HOLD = """
import subprocess, sys
from hbsim.history.lock import StudyLock

lock = StudyLock(sys.argv[1])
if sys.argv[2] == "child":
    subprocess.Popen(["cat"], close_fds=False)  # a program that goes on when its parent is gone
print("held", flush=True)
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
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.stdin.close()
        process.wait(60)
        process.stdout.close()


def test_a_second_process_is_told_who_holds_it(tmp_path, hold):
    holder = hold()
    with pytest.raises(OutputError) as caught:
        StudyLock(tmp_path)
    assert f"process {holder.pid} on {os.uname().nodename}" in str(caught.value)
    assert caught.value.path == str(tmp_path / "lock")


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
    with StudyLock(tmp_path), pytest.raises(OutputError, match=f"process {os.getpid()} on"):
        StudyLock(tmp_path)


def test_one_process_holds_it_once(tmp_path):
    first = StudyLock(tmp_path)
    with pytest.raises(OutputError, match=f"process {os.getpid()} on"):
        StudyLock(tmp_path)
    first.close()
    first.close()
    with StudyLock(tmp_path):
        pass


def test_closing_it_frees_it_from_forked_copies_too(tmp_path):
    lock = StudyLock(tmp_path)
    copy = os.dup(lock._fd)  # what a forked process has
    try:
        lock.close()
        with StudyLock(tmp_path):
            pass
    finally:
        os.close(copy)


def test_a_holder_that_has_not_written_its_name_yet(tmp_path):
    with StudyLock(tmp_path) as lock:
        for text in ("", "{", "[]", "{}"):
            (tmp_path / "lock").write_text(text, encoding="utf-8")
            with pytest.raises(OutputError, match="run by another process"):
                StudyLock(tmp_path)
        assert lock.path == str(tmp_path / "lock")


def test_what_a_killed_holder_wrote_is_replaced(tmp_path):
    (tmp_path / "lock").write_text('{"pid": 1, "host": "' + 200 * "x" + '"}', encoding="utf-8")
    with StudyLock(tmp_path), pytest.raises(OutputError, match=f"process {os.getpid()} on"):
        StudyLock(tmp_path)
    assert (tmp_path / "lock").read_text(encoding="utf-8") == ""


def test_folders_do_not_share_a_lock(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with StudyLock(tmp_path / "a"), StudyLock(tmp_path / "b"):
        pass


def test_no_folder(tmp_path):
    with pytest.raises(OutputError, match="No such file or directory"):
        StudyLock(tmp_path / "missing")
