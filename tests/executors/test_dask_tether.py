"""The tether: what it has started ends with its input, however that ends and whatever was started."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from hbsim.executors.dask.tether import FOLDER, KEEPS

PATIENCE = 10.0
MARK = "HBSIM_TEST_TETHER"

# Says that it is there by a file, and sleeps.
SLEEPER = """
import os, pathlib, signal, sys, time
{before}
pathlib.Path(sys.argv[1], "{name}").write_text(str(os.getpid()))
time.sleep(1000)
"""
DEAF = "for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT): signal.signal(number, signal.SIG_IGN)"
# Leaves its parent, its session and its group, as a daemon does.
DAEMON = "\nif os.fork(): os._exit(0)\nos.setsid()\nif os.fork(): os._exit(0)\n"


class Place:
    """Tethers, and whatever they have started, known by a mark in the environment."""

    def __init__(self, temporary: Path) -> None:
        self.temporary = temporary
        self.mark = uuid.uuid4().hex
        self.started: list[subprocess.Popen[str]] = []

    def start(self, *words: str, **more: object) -> subprocess.Popen[str]:
        """Start a tether."""
        environment = {**os.environ, MARK: self.mark, "TMPDIR": str(self.temporary)}
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "hbsim.executors.dask.tether", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,
            **more,
        )
        self.started.append(process)
        return process

    def keep(self, **files: str) -> tuple[subprocess.Popen[str], Path]:
        """Start one that keeps a folder."""
        keeper = self.start("keep")
        keeper.stdin.write(json.dumps(files) + "\n")
        keeper.stdin.flush()
        line = keeper.stdout.readline()
        assert line.startswith(KEEPS)
        return keeper, Path(line.removeprefix(KEEPS).rstrip())

    def processes(self) -> set[int]:
        """Return what runs."""
        wanted = f"{MARK}={self.mark}".encode()
        found = set()
        for folder in Path("/proc").iterdir():
            if folder.name.isdecimal():
                with suppress(OSError):
                    if wanted in (folder / "environ").read_bytes().split(b"\0"):
                        found.add(int(folder.name))
        return found


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Give a place; nothing is left of it."""
    place = Place(tmp_path)
    yield place
    for pid in place.processes():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for process in place.started:
        for stream in (process.stdin, process.stdout, process.stderr):
            stream.close()
        process.wait(PATIENCE)


def _until(condition: Callable[[], object]) -> object:
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def _pid(file: Path) -> int:
    """Return the process id that a process has written."""
    return int(str(_until(lambda: file.exists() and file.read_text())))


def _sleeper(name: str, before: str = "") -> str:
    return SLEEPER.format(name=name, before=before)


# A folder


def test_a_folder_for_its_user_only_that_ends_with_the_input(place):
    before = os.umask(0)
    try:
        keeper, folder = place.keep(**{"key.pem": "secret", "ca.pem": "ä"})
    finally:
        os.umask(before)
    assert folder.parent == place.temporary
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert (folder / "key.pem").read_text() == "secret"
    assert (folder / "ca.pem").read_text() == "ä"
    keeper.stdin.close()
    assert keeper.wait(PATIENCE) == 0
    assert not folder.exists()


def test_the_folder_waits_for_what_runs_in_it(place):
    keeper, folder = place.keep()
    tether = place.start("run", str(folder), "here", "-c", _sleeper("up"), str(folder))
    _pid(folder / "up")
    keeper.stdin.close()
    with pytest.raises(subprocess.TimeoutExpired):
        keeper.wait(0.3)
    assert folder.exists()
    tether.stdin.close()
    assert keeper.wait(PATIENCE) == 0
    assert not folder.exists()
    assert place.processes() == set()


def test_signals_do_not_end_what_keeps_the_folder(place):
    keeper, folder = place.keep()
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
        keeper.send_signal(number)
    with pytest.raises(subprocess.TimeoutExpired):
        keeper.wait(0.2)
    assert folder.exists()


# A process


def _parent_of(before: str, folder: Path) -> str:
    """Return a program that starts a sleeper, and waits until it is there."""
    return f"""
import pathlib, subprocess, sys, time
subprocess.Popen([sys.executable, "-c", {_sleeper("below", before)!r}, {str(folder)!r}])
while not pathlib.Path({str(folder)!r}, "below").exists():
    time.sleep(0.01)
"""


def test_all_ends_with_the_input_or_with_the_process(place):
    """Whatever it does against that; all cases at once, for each takes the time of grace."""
    cases = [(before, ends) for before in ("", DEAF, DAEMON, DAEMON + DEAF) for ends in (False, True)]
    tethers, pids = [], set()
    for before, ends in cases:
        _, folder = place.keep()
        child = _parent_of(before, folder) + ("" if ends else _sleeper("up"))
        tethers.append(place.start("run", str(folder), "here", "-c", child, str(folder)))
        pids.add(_pid(folder / "below"))
        if not ends:
            pids.add(_pid(folder / "up"))
    assert len(pids) == 12
    for tether, (_, ends) in zip(tethers, cases, strict=True):
        if not ends:
            tether.stdin.close()
    assert {tether.wait(PATIENCE) for tether in tethers} == {0}
    assert not pids & place.processes()


def test_what_was_started_may_end_in_good_order(place):
    _, folder = place.keep()
    child = """
import os, sys, time
if os.fork() == 0:
    parent = os.getppid()
    open(sys.argv[1] + "/up", "w").write(str(os.getpid()))
    while os.getppid() == parent:
        time.sleep(0.01)
    time.sleep(0.5)
    open(sys.argv[1] + "/../orderly", "w").close()
else:
    time.sleep(1000)
"""
    tether = place.start("run", str(folder), "here", "-c", child, str(folder))
    _pid(folder / "up")
    tether.stdin.close()
    tether.wait(PATIENCE)
    assert (folder.parent / "orderly").exists()


def test_it_ends_all_even_if_its_own_group_is_killed(place):
    """So does sshd when its client sends SIGKILL."""
    _, folder = place.keep()
    tether = place.start("run", str(folder), "here", "-c", _sleeper("up"), str(folder))
    pid = _pid(folder / "up")
    os.killpg(tether.pid, signal.SIGKILL)
    assert tether.wait(PATIENCE) == -signal.SIGKILL
    assert pid in place.processes()
    tether.stdin.close()
    _until(lambda: pid not in place.processes())


def test_the_process_dies_with_the_tether(place):
    _, folder = place.keep()
    tether = place.start("run", str(folder), "here", "-c", _sleeper("up"), str(folder))
    pid = _pid(folder / "up")
    (guard,) = Path(f"/proc/{tether.pid}/task/{tether.pid}/children").read_text().split()
    os.kill(int(guard), signal.SIGKILL)
    assert tether.wait(PATIENCE) == 128 + signal.SIGKILL
    _until(lambda: pid not in place.processes())


def test_it_ends_all_at_sigterm(place):
    _, folder = place.keep()
    tether = place.start("run", str(folder), "here", "-c", _sleeper("up"), str(folder))
    pid = _pid(folder / "up")
    (guard,) = Path(f"/proc/{tether.pid}/task/{tether.pid}/children").read_text().split()
    os.kill(int(guard), signal.SIGTERM)
    tether.wait(PATIENCE)
    assert pid not in place.processes()


def test_addresses_are_passed_on_and_else_nothing(place):
    _, folder = place.keep()
    child = """
import sys, time
print("noise", end="\\n\\n")
print("  Scheduler at:   tls://1.2.3.4:5", file=sys.stderr, flush=True)
print("Start Nanny at: x")
print("Start work", end="", flush=True)
time.sleep(0.1)
print("er at: tls://1.2.3.4:6", flush=True)
time.sleep(1000)
"""
    tether = place.start("run", str(folder), "here", "-u", "-c", child)
    assert tether.stderr.readline() == "  Scheduler at:   tls://1.2.3.4:5\n"
    assert tether.stderr.readline() == "Start worker at: tls://1.2.3.4:6\n"
    out, err = tether.communicate()
    assert (out, err) == ("", "")


def test_much_output_is_no_burden(place):
    _, folder = place.keep()
    child = """
import sys
for number in range(20000):
    print("x" * 100)
print("worker at: done", flush=True)
input()
"""
    tether = place.start("run", str(folder), "here", "-c", child)
    assert tether.stderr.readline() == "worker at: done\n"
    assert tether.wait(PATIENCE) == 1  # its own input is empty, and it fails
    assert "here: EOFError: EOF when reading a line" in tether.stderr.read()


@pytest.mark.parametrize(
    ("child", "code", "said"),
    [
        ("import sys; print('one\\n\\n two'); sys.exit(7)", 7, "here: one\nhere:  two\n"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 137, ""),
        ("for i in range(100): print(i)", 0, "".join(f"here: {i}\n" for i in range(60, 100))),
        ("print('no end of line', end='')", 0, "here: no end of line\n"),
    ],
    ids=["fails", "killed", "much", "half a line"],
)
def test_the_last_lines_of_what_ends_by_itself(place, child, code, said):
    _, folder = place.keep()
    tether = place.start("run", str(folder), "here", "-c", child)
    assert tether.wait(PATIENCE) == code
    assert tether.stderr.read() == said


def test_words_name_the_folder(place):
    _, folder = place.keep()
    child = "import sys; print(sys.argv[1:])"
    tether = place.start("run", str(folder), "here", "-c", child, f"a={FOLDER}/b,{FOLDER}", "c")
    tether.wait(PATIENCE)
    assert tether.stderr.read() == f"here: ['a={folder}/b,{folder}', 'c']\n"


def test_a_folder_that_is_gone(place, tmp_path):
    tether = place.start("run", str(tmp_path / "gone"), "here", "-c", "print(1)")
    assert tether.wait(PATIENCE) == 1
    assert tether.stderr.read() == f"here: {tmp_path / 'gone'}: No such file or directory\n"


def test_modules_are_not_taken_from_the_folder_that_it_starts_in(place, tmp_path):
    _, folder = place.keep()
    (tmp_path / "json.py").write_text("raise SystemExit('mine')")
    tether = place.start("run", str(folder), "here", "-c", "import json; print('fine')", cwd=tmp_path)
    tether.wait(PATIENCE)
    assert tether.stderr.read() == "here: fine\n"
