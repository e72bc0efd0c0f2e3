"""Leases, seen by every process that has the file; and the system's count of kills for lack of memory."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbsim.executors import processes
from hbsim.executors.processes import Lease, OomWatch, lease_clock
from tests.profile import examples

TIMES = st.floats(-1e6, 1e12)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "lease"


def at(monkeypatch, time):
    monkeypatch.setattr(processes, "lease_clock", lambda: time)


@settings(max_examples=examples(100), deadline=None)
@given(times=st.lists(TIMES, max_size=8), revoked=st.booleans())
def test_it_is_renewed_forwards_only_and_not_when_revoked(times, revoked):
    with tempfile.TemporaryDirectory() as folder:
        lease = Lease.create(Path(folder, "lease"), 5.0)
    first = lease.until
    for time in times:
        lease.renew(time)
    assert lease.until == max([first, *times])
    if revoked:
        lease.revoke()
        lease.renew(1e15)
        assert lease.expired()


def test_it_begins_now(path):
    before = lease_clock()
    lease = Lease.create(path, 50.0)
    assert before + 50 <= lease.until <= lease_clock() + 50
    assert not lease.expired()
    assert Lease.create(path.with_name("other"), 0.0).expired()


def test_it_is_over_from_its_end_on(path, monkeypatch):
    at(monkeypatch, 100.0)
    lease = Lease.create(path, 2.5)
    for time, over in ((102.4999, False), (102.5, True), (1e9, True)):
        at(monkeypatch, time)
        assert lease.expired() is over
    lease.renew(1e10)
    assert lease.expired()


def test_every_process_that_has_the_file_sees_it(path):
    lease, other = Lease.create(path, 1.0), Lease(path)
    lease.renew(lease.until + 7.25)
    assert other.until == lease.until
    code = "import sys; from hbsim.executors.processes import Lease; print(repr(Lease(sys.argv[1]).until))"
    said = subprocess.run([sys.executable, "-c", code, path], capture_output=True, check=True, text=True)
    assert float(said.stdout) == lease.until
    path.unlink()
    lease.revoke()
    assert other.expired()


def test_its_file_is_new_and_of_nobody_else(path):
    with pytest.raises(FileNotFoundError):
        Lease(path)
    Lease.create(path, 1.0)
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        Lease.create(path, 1.0)


def test_a_rise_of_the_count_explains_all_kills_within_a_second(tmp_path, monkeypatch):
    file = tmp_path / "memory.events"
    file.write_text("low 0\noom 9\noom_kill 4\n")
    clock = [50.0]
    monkeypatch.setattr(processes.time, "monotonic", lambda: clock[0])
    watch = OomWatch((str(tmp_path / "missing"), str(file)))
    assert not watch.happened()
    file.write_text("low 0\noom 9\noom_kill 6\n")
    assert watch.happened()
    clock[0] += 0.9
    assert watch.happened()  # of another process that was killed at the same time
    clock[0] += 0.2
    assert not watch.happened()
