"""kill -9 of the process that runs a study on a Dask cluster, or of the scheduler."""

from __future__ import annotations

import time
from pathlib import Path

from tests.doubles.dask_processes import eventually

from .checks import check
from .processes import kill, left, studying


def test_a_study_goes_on_at_once(tmp_path: Path) -> None:
    """What the killed one has left may run on for as long as the lease: not beside what starts again."""
    with studying(tmp_path, lease=8.0) as study:
        study.start(type_="fifo", seconds=0.7, trials=2)
        study.until(lambda: study.records("rows"), "a report")
        kill(study.controller())
        study.resume()
        study.done()
        print(study.log)
        check(study)


def test_nothing_is_left_of_a_study_that_nobody_goes_on_with(tmp_path: Path) -> None:
    with studying(tmp_path, lease=2.0) as study:
        study.start(seconds=0.5, trials=4)
        study.reach(3)
        begun = time.monotonic()
        kill(study.controller())
        eventually(lambda: not left(tmp_path), "an end of its processes")
        print("ended after", time.monotonic() - begun)
        study.resume()
        study.done()
        check(study)
        print(study.log)


def test_a_scheduler_that_is_back_in_time(tmp_path: Path) -> None:
    with studying(tmp_path, lease=4.0) as study:
        study.start(seconds=0.1, trials=20)
        study.reach(4)
        port = int(study.cluster.address.rpartition(":")[2])
        study.cluster.kill_scheduler()
        study.cluster.start_scheduler(port)
        study.cluster.start_worker()
        study.done()
        print(study.log)
        for r in study.records("fail", "open", "shut", "late"):
            print(r)
        check(study)


def test_a_scheduler_that_is_lost(tmp_path: Path) -> None:
    with studying(tmp_path, lease=2.0) as study:
        study.start(seconds=0.1, trials=20)
        study.reach(4)
        study.cluster.kill_scheduler()
        begun = time.monotonic()
        assert study.wait() == 1
        print("after", time.monotonic() - begun, study.log)
        study.cluster.start_scheduler()
        study.cluster.start_worker()
        study.resume()
        study.done()
        print(study.log)
        for r in study.records("fail", "open", "shut", "late"):
            print(r)
        check(study)
