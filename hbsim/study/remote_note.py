"""What a study's folder knows about its runs on other machines."""

from __future__ import annotations

import json
import secrets
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Final

from hbsim.core.scheduler import Scheduler
from hbsim.errors import HbsimWarning
from hbsim.executors.remote.store import download, newest_of_all
from hbsim.study.folder import EARLIER_REMOTE, REMOTE, StudyFolder

__all__ = ["RemoteNote"]

SCHEMA: Final = 1
BYTES: Final = 8  # of the study's number


class RemoteNote:
    """The file ``remote.json`` in a study's folder.

    Attributes
    ----------
    study : str or None
        The study's number, 16 hex digits, by which hosts and stores know what they keep of it; None before
        it has run on other machines.
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

    def bring_back(self, storage: str | None, say: Callable[[str], None]) -> None:
        """Copy checkpoints out of the store of an earlier run, unless this one uses the same.

        Parameters
        ----------
        storage : str or None
            Of this run; None on this machine.
        say : callable
            Given lines for people.

        Raises
        ------
        ParameterError, OutputError
            The store cannot be read.
        """
        was = None if self._content is None else self._content["storage"]
        if was is None or "://" not in was or was == storage or was.startswith("memory://"):
            return
        assert self.study is not None
        say(f"looking for checkpoints in {was}")
        count = download(was, self.study, self._place.trials)
        if count:
            say(f"copied {count} checkpoint{'' if count == 1 else 's'} from there")

    def begin(self, storage: str | None, scheduler: Scheduler) -> None:
        """Take note that trials are about to run: with this storage, or with None on this machine.

        Warns of trials that go on from zero there, since only hosts have their checkpoints.
        """
        if storage is not None:
            self._write(storage, gathered=False)
        elif self._content is not None and not self._content["gathered"]:
            self._warn_of_absent(scheduler)

    def end(self) -> None:
        """Take note that every checkpoint that is of use is in the study's folder, or in its store."""
        if self._content is not None:
            self._write(self._content["storage"], gathered=True)

    def _warn_of_absent(self, scheduler: Scheduler) -> None:
        statuses = enumerate(scheduler.trial_statuses())
        paused = [trial for trial, status in statuses if status == "paused"]
        saved = newest_of_all(self._place.trials)
        absent = len([trial for trial in paused if trial not in saved])
        if absent and saved:  # without any, the function saves nothing
            text = f"{absent} of {len(paused)} paused trials have no checkpoint in this folder: "
            text += "if a host has it, they go on from there on the same hosts, and else from zero"
            warnings.warn(HbsimWarning(text), stacklevel=6)

    def _write(self, storage: str, gathered: bool) -> None:
        content = {"schema": SCHEMA, "study": self.study, "storage": storage, "gathered": gathered}
        self._place.write(REMOTE, content)
        self._content = content


def _read(place: StudyFolder) -> Mapping[str, Any] | None:
    for name in (REMOTE, EARLIER_REMOTE):
        try:
            content = json.loads((place.path / name).read_text("utf-8"))
            int(content["study"], 16)
            return {"gathered": False, "storage": "auto", **content}
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None
