from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from hbsim.bench.pool import open_pool
from tests.bench import pool_work

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _processes_find_the_tests(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(ROOT)


def outcomes(function, items, jobs: int = 2, ahead: int | None = None, isolated: bool = False) -> dict:
    with open_pool(jobs, isolated=isolated) as pool:
        return dict(pool.imap(function, items, ahead))


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_item_that_kills_its_process_costs_the_others_nothing(jobs: int):
    pool_work.check(outcomes(pool_work.picky, pool_work.ITEMS, jobs, isolated=True), "signal 9, SIGKILL")


@pytest.mark.parametrize(
    ("item", "how"),
    [
        (-3, r"\(exit code 3\)"),
        (-15, r"\(signal 15, SIGTERM\)"),
        (-2, r"\(TypeError: Unreadable.* argument: 'two'\)"),
    ],
)
def test_how_a_process_ended_is_said(item: int, how: str):
    found = outcomes(pool_work.picky, [item, 2])
    assert found[2] == 4
    with pytest.raises(BrokenProcessPool, match=f"^its process ended without a result {how}$"):
        raise found[item]


def test_what_was_handed_out_when_a_process_died_runs_again_one_at_a_time(tmp_path: Path):
    found = outcomes(partial(pool_work.once, tmp_path), range(8), jobs=3, ahead=3)
    assert found == {n: n for n in range(8)}
    notes = (tmp_path / "notes").read_text().splitlines()
    alone = [line.split() for line in notes[:6]]
    assert {number for number, _ in alone} == {"0", "1", "2"}
    for (one, begins), (two, ends) in zip(alone[::2], alone[1::2], strict=True):
        assert (one, begins, ends) == (two, "begins", "ends")
    assert len(notes) == 2 * 8


def test_they_come_in_the_order_in_which_they_are_finished(tmp_path: Path):
    found = []
    work = partial(pool_work.after, tmp_path)
    with open_pool(2) as pool:
        for item, _ in pool.imap(work, ["later", "first", "second"]):
            found.append(item)
            if item == "second":
                (tmp_path / "now").touch()
    assert found == ["first", "second", "later"]


@pytest.mark.parametrize(("jobs", "ahead", "most"), [(2, 3, 3), (2, None, 6), (1, 3, 1)])
def test_no_more_are_handed_out_than_are_wanted(jobs: int, ahead: int | None, most: int):
    read = []
    items = (read.append(n) or n for n in range(9))
    with open_pool(jobs) as pool:
        beyond = [len(read) - done for done, _ in enumerate(pool.imap(pool_work.picky, items, ahead))]
    assert max(beyond) == most


def test_one_job_is_done_in_this_process():
    found = outcomes(pool_work.process_of, range(2), jobs=1)
    assert [pid for pid, _ in found.values()] == [os.getpid()] * 2
    assert isinstance(outcomes(pool_work.picky, [-1], jobs=1)[-1], ValueError)
    with pytest.raises(KeyboardInterrupt):
        outcomes(pool_work.interrupt, [1], jobs=1)


def test_processes_have_one_thread_each_and_this_one_keeps_its_own(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    ((pid, threads),) = outcomes(pool_work.process_of, [1]).values()
    assert pid != os.getpid()
    assert threads == "1"
    assert os.environ["OMP_NUM_THREADS"] == "7"


def test_an_end_before_the_end_ends_the_processes(tmp_path: Path):
    with open_pool(2) as pool, pytest.raises(LookupError, match="no more"):
        next(pool.imap(partial(pool_work.wait_long, tmp_path), iter(stayers(tmp_path))))
    assert not any(is_alive(pid) for pid in pids(tmp_path))


def stayers(folder: Path):
    yield 0
    yield 1
    wait_for_both(folder)
    raise LookupError("no more")


def wait_for_both(folder: Path) -> None:
    for _ in range(1000):
        if len(pids(folder)) == 2:
            return
        time.sleep(0.02)
    raise TimeoutError("no two processes have begun")


def pids(folder: Path) -> list[int]:
    return [int(path.name.partition("-")[2]) for path in folder.glob("*-*")]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@contextmanager
def two_stay(folder: Path):
    """Run a script whose two processes stay, in a process group of its own; give it once both have begun."""
    code = f"""
from functools import partial
from pathlib import Path
from hbsim.bench.pool import open_pool
from tests.bench import pool_work
if __name__ == "__main__":
    with open_pool(2) as pool:
        list(pool.imap(partial(pool_work.wait_long, Path({str(folder)!r})), range(9)))
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as parent:
        try:
            wait_for_both(folder)
            yield parent
        finally:
            parent.kill()


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="Ctrl-C reaches a whole process group: POSIX only")
def test_an_interrupt_is_for_this_process_and_leaves_no_other(tmp_path: Path):
    with two_stay(tmp_path) as parent:
        os.killpg(parent.pid, signal.SIGINT)
        _, said = parent.communicate()
    assert "SpawnProcess" not in said  # which begins what a process says of an error
    assert said.rstrip().endswith("KeyboardInterrupt")
    assert not any(is_alive(pid) for pid in pids(tmp_path))


def test_processes_do_not_outlive_one_that_was_killed(tmp_path: Path):
    with two_stay(tmp_path) as parent:
        parent.kill()
        parent.communicate()  # which ends when nobody can write there
    for _ in range(100):  # whoever adopted them has not seen their end yet, perhaps
        if not any(is_alive(pid) for pid in pids(tmp_path)):
            return
        time.sleep(0.02)
    raise AssertionError(f"{pids(tmp_path)} are alive")
