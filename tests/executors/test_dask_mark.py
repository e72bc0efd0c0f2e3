"""What an earlier run of a study has left on hosts is waited for, and it is said until when."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from hbsim.executors.dask import mark
from hbsim.executors.dask.mark import Mark, outlast


def test_a_run_that_was_killed_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    said: list[str] = []
    monkeypatch.setattr(mark.time, "sleep", slept.append)
    Mark(tmp_path, "a", 30.0).make()
    before = time.time()
    outlast(tmp_path, said.append)
    assert slept == [pytest.approx(34.5, abs=1.0)]
    (line,) = said
    found = re.fullmatch(
        r"waiting 3[45] s, until (\d\d:\d\d:\d\d): the study's process was killed, and hosts may .*", line
    )
    assert found
    shown = {time.strftime("%H:%M:%S", time.localtime(before + seconds)) for seconds in (33, 34, 35, 36)}
    assert found[1] in shown
    assert not list(tmp_path.iterdir())


def test_nobody_waits_for_a_run_that_ended(tmp_path: Path) -> None:
    said: list[str] = []
    earlier = Mark(tmp_path, "a", 30.0)
    earlier.make()
    earlier.remove()
    outlast(tmp_path, said.append)
    assert said == []
