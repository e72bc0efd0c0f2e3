"""A runner that is held up, by its searcher or its disk: hosts are heard, and their trials train on."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hbsim
from hbsim.core.space import space_of
from hbsim.history.journal import Journal
from hbsim.live.run import Interrupted
from hbsim.searchers import RandomSearcher

from . import training
from .studies import records, study

LEASE = 2.0
LONG = LEASE + 3.5  # seconds: until then a host that is not heard ends its trials, and they count as lost


class Thinks(RandomSearcher):
    """Does something else before it suggests its third point."""

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        super().__init__(space_of(training.saving), 5)
        self._meanwhile, self._calls = meanwhile, 0

    def suggest(self, n: int) -> Any:
        self._calls += 1
        if self._calls == 3:
            self._meanwhile()
        return super().suggest(n)


def one_by_one(folder: Path, **options: Any) -> Any:
    """Run trials, one of which is under way while the next is thought of."""
    core = hbsim.make_scheduler("stopping", max_t=9, num_trials=4, seed=3)
    options = {"executor": hbsim.Dask(lease=LEASE), "workers": 2, **options}
    return study(folder, core=core, name="saving", args={"seconds": 0.3}, **options)


def no_loss(folder: Path) -> bool:
    return not [record for record in records(folder) if record["e"] in ("fail", "shut", "missing")]


def test_a_searcher_that_thinks_for_longer_than_a_lease(tmp_path: Path) -> None:
    result = one_by_one(tmp_path / "exp", searcher=Thinks(lambda: time.sleep(LONG)))
    assert len(result.trials) == 4
    assert no_loss(tmp_path / "exp")


def test_a_disk_that_hangs_for_longer_than_a_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync, times = os.fsync, iter((0.0, LONG))

    def slow(descriptor: int) -> None:
        if threading.current_thread() is threading.main_thread():
            time.sleep(next(times, 0.0))
        fsync(descriptor)

    append = Journal.append

    def late(self: Journal, record: Any) -> int:
        if record["e"] == "start":
            monkeypatch.setattr(os, "fsync", slow)
        return append(self, record)

    monkeypatch.setattr(Journal, "append", late)
    one_by_one(tmp_path / "exp", fsync="always")
    assert next(times, None) is None
    assert no_loss(tmp_path / "exp")


def test_ctrl_c_while_a_searcher_thinks(tmp_path: Path) -> None:
    """Once: the study ends in good order, and goes on to the same end."""

    def interrupted() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(LONG)

    with pytest.raises(Interrupted):
        one_by_one(tmp_path / "exp", searcher=Thinks(interrupted))
    assert no_loss(tmp_path / "exp")
    assert records(tmp_path / "exp")[-1]["why"] == "interrupted"


def test_ctrl_c_twice_while_a_searcher_thinks(tmp_path: Path) -> None:
    """All ends at once, in the middle of a thought."""
    begun = time.monotonic()

    def interrupted() -> None:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(600)

    with pytest.raises(KeyboardInterrupt):
        one_by_one(tmp_path / "exp", searcher=Thinks(interrupted))
    assert time.monotonic() - begun < 300
