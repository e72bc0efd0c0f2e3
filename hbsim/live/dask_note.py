"""What a study's folder knows about its runs on Dask: the study's number, and whether all has come home."""

from __future__ import annotations

import json
import secrets
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from hbsim.core.scheduler import Scheduler
from hbsim.errors import HbsimWarning, OutputError
from hbsim.executors import checkpoint
from hbsim.executors.local import trial_folder
from hbsim.live.folder import DASK, StudyFolder
from hbsim.runner.records import read_records

__all__ = ["DaskNote"]

SCHEMA: Final = 1
BYTES: Final = 8  # of the study's number


class DaskNote:
    """The file ``dask.json`` in a study's folder.

    Attributes
    ----------
    study : str or None
        The study's number, 16 hex digits, by which hosts know what they keep of it; None before it has run
        on Dask.
    """

    def __init__(self, place: StudyFolder) -> None:
        self._place = place
        self._content = _read(place)
        self.study: str | None = None if self._content is None else self._content["study"]

    def number(self) -> str:
        """Return the study's number; it gets one if it has none."""
        if self.study is None:
            self.study = secrets.token_hex(BYTES)
            self._write("auto", gathered=True)
        return self.study

    def bring_home(self, storage: str | None, say: Callable[[str], None]) -> None:
        """Bring checkpoints home from the store of an earlier run, unless this one uses the same.

        Parameters
        ----------
        storage : str or None
            Of this run: on Dask, or None here.
        say : callable
            Given lines for people.

        Raises
        ------
        ParameterError, OutputError
            The store cannot be read.
        """
        was = None if self._content is None else self._content["storage"]
        if was is None or "://" not in was or was == storage:
            return
        from hbsim.executors.dask.home import bring_home

        assert self.study is not None
        say(f"looking for checkpoints in {was}")
        count = bring_home(was, self.study, self._place.trials)
        if count:
            say(f"brought {count} checkpoint{'' if count == 1 else 's'} from there")

    def begin(self, storage: str | None, scheduler: Scheduler) -> None:
        """Take note that trials are about to run: on Dask with this storage, or here with None.

        Warns where they cannot go on from checkpoints that are elsewhere.
        """
        if storage is None:
            self._warn_if_away(scheduler)
            return
        self._write(storage, gathered=False)

    def end(self) -> None:
        """Take note that every checkpoint that is of use is in the study's folder, or in its store."""
        if self._content is not None:
            self._write(self._content["storage"], gathered=True)

    def _warn_if_away(self, scheduler: Scheduler) -> None:
        if self._content is None or self._content["gathered"]:
            return
        statuses = enumerate(scheduler.trial_statuses())
        open_ = [trial for trial, status in statuses if status in ("running", "paused")]
        away = [trial for trial in open_ if not self._is_here(trial)]
        if away:
            saved = _savers(read_records(self._place.journal))
            away = [trial for trial in away if trial in saved]
        if away:
            text = f"{len(away)} of {len(open_)} trials that can go on have no checkpoint in this folder: "
            text += "if the hosts that ran them have it, executor='dask' goes on from there, else from zero"
            warnings.warn(HbsimWarning(text), stacklevel=6)

    def _is_here(self, trial: int) -> bool:
        folder = trial_folder(self._place.trials, trial) / checkpoint.NAME
        try:
            return checkpoint.describe(folder) is not None
        except OutputError:
            return True  # it is said when the trial loads it

    def _write(self, storage: str, gathered: bool) -> None:
        content = {"schema": SCHEMA, "study": self.study, "storage": storage, "gathered": gathered}
        self._place.write(DASK, content)
        self._content = content


def _savers(records: Iterable[Mapping[str, Any]]) -> set[int]:
    """Return the trials that have made a checkpoint, as far as a journal knows.

    A job says at its end how long it saved. One that was killed, or whose end was not heard, may have saved
    if it had reported; unless all that could say so have saved nothing, for then the function never does.
    """
    trials: dict[int, int] = {}
    reported, told, saved = set(), set(), set()
    for record in records:
        job = record.get("job")
        if record["e"] in ("start", "restart"):
            trials[record["job"]] = record["trial"]
        elif record.get("rows"):
            reported.add(job)
        elif record["e"] == "gone" and "save" in record["seconds"]:
            told.add(job)
            if record["seconds"]["save"] > 0:
                saved.add(job)
    unknown = reported - told if saved or not told else set()
    return {trial for job, trial in trials.items() if job in saved or job in unknown}


def _read(place: StudyFolder) -> Mapping[str, Any] | None:
    try:
        content = json.loads((place.path / DASK).read_text("utf-8"))
        int(content["study"], 16)
        return {"gathered": False, "storage": "auto", **content}
    except (OSError, ValueError, KeyError, TypeError):
        return None
