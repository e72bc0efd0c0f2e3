"""A trial that reports faster than it can be written down: it waits, and nothing piles up anywhere."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

import hbsim
from hbsim.executors.dask import fleet as module
from hbsim.executors.dask.fleet import Fleet
from hbsim.history.journal import Journal

from .studies import records, study

COUNT = 60_000  # reports: several times what may be on its way
ROOM = 256 << 10


@pytest.fixture
def most(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Have little be on its way at once; give the most that the runner had not taken."""
    found = {"bytes": 0}
    given = Fleet.given

    def noted(self: Fleet, size: int) -> None:
        given(self, size)
        found["bytes"] = max(found["bytes"], self._behind)

    monkeypatch.setattr(module, "ALL_ROOM", ROOM)
    monkeypatch.setattr(Fleet, "given", noted)
    return found


def test_a_runner_that_is_slow_makes_trials_wait(
    tmp_path: Path, most: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    append, times = Journal.append, iter([3.0, 3.0])

    def slow(self: Journal, record: Any) -> int:
        if record["e"] == "rows":
            time.sleep(next(times, 0.0))
        return append(self, record)

    monkeypatch.setattr(Journal, "append", slow)
    core = hbsim.make_scheduler("fifo", max_t=COUNT, num_trials=1)
    study(tmp_path / "exp", core=core, name="flood", workers=1, args={"count": COUNT})
    rows = [row for record in records(tmp_path / "exp") for row in record.get("rows", ())]
    assert [row[2] for row in rows] == list(range(1, COUNT + 1))
    assert not [record for record in records(tmp_path / "exp") if record["e"] in ("shut", "missing", "late")]
    # What was on its way when it was told to wait, and what it had read by then of its trial.
    assert most["bytes"] < 3 * ROOM + (1 << 20)
