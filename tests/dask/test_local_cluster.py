"""A cluster on this machine: the same study as with the local executor, decision for decision."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

import hbsim
from hbsim.executors import checkpoint
from hbsim.executors.local import trial_folder
from hbsim.history.journal import Journal
from hbsim.live.run import Interrupted

from .studies import never_twice_at_once, records, scheduler, study, told, traces


def test_it_decides_as_the_local_executor_does(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    one = study(here, "local", workers=1, keep="completed")
    other = study(there, workers=1, keep="completed")
    assert told(here) == told(there)
    assert one.summary()["best"] == other.summary()["best"]
    assert [record["worker"] for record in records(there) if record["e"] == "open"] == [0]
    done = [row["trial"] for row in other.trials.to_dicts() if row["status"] == "completed"]
    assert done
    for trial in done:
        assert checkpoint.load(trial_folder(there / "trials", trial) / checkpoint.NAME) == {"epoch": 9}
    assert not list(there.glob("**/.probe*"))


def test_it_runs_in_a_notebook(tmp_path: Path) -> None:
    """There a loop runs already, which goes on afterwards."""

    async def cell() -> None:
        me = asyncio.current_task()
        assert len(study(tmp_path / "exp", core=scheduler(num_trials=3)).trials) == 3
        assert asyncio.current_task() is me
        async with asyncio.timeout(10):
            await asyncio.sleep(0.01)
        assert asyncio.get_event_loop() is asyncio.get_running_loop()

    asyncio.run(cell())


def interrupted(folder: Path, executor: Any, after: int, monkeypatch: pytest.MonkeyPatch, **how: Any) -> None:
    """Run a study until so many milestones were reached."""
    append, count = Journal.append, 0

    def counted(self: Journal, record: Any) -> int:
        nonlocal count
        count += record["e"] == "reach"
        if count == after:
            count += 1
            os.kill(os.getpid(), signal.SIGINT)
        return append(self, record)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "append", counted)
        with pytest.raises(Interrupted):
            study(folder, executor, **how)


@pytest.mark.parametrize(
    ("first", "second", "storage"),
    [
        ("dask", "local", "pull"),  # checkpoints come home at the end,
        ("dask", "local", "url"),  # or when the study goes on,
        ("local", "dask", "pull"),  # or go to hosts as they are needed,
        ("dask", "dask", "url"),  # or are where they were
    ],
)
def test_a_study_goes_on_with_another_executor(
    first: str, second: str, storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HBSIM_WORK", str(tmp_path / "work"))
    where = hbsim.Dask(storage=(tmp_path / "store").as_uri() if storage == "url" else storage)
    executors: dict[str, Any] = {"dask": where, "local": "local"}
    undisturbed = tmp_path / "undisturbed"
    study(undisturbed, "local", workers=1)
    folder, seen = tmp_path / "exp", tmp_path / "traces"
    seen.mkdir()
    how: dict[str, Any] = {"workers": 1, "args": {"traces": str(seen)}}
    interrupted(folder, executors[first], 9, monkeypatch, **how)
    result = study(folder, executors[second], core=scheduler(), resume=True, **how)
    assert told(folder) == told(undisturbed)
    assert result.summary()["trained_resource"] == sum(1 for line in traces(seen) if line["what"] == "trains")
    begun = [line["epoch"] for line in traces(seen) if line["what"] == "begins"]
    assert begun.count(0) == 12  # what was paused went on from its checkpoint
    never_twice_at_once(seen)
