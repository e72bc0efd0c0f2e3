"""Where a study of the classes is kept: an earlier one there is moved aside, never written over."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Final

from hbsim.errors import HbsimWarning, OutputError, ParameterError
from hbsim.executors.local import LOG, trial_folder
from hbsim.runner.lock import StudyLock
from hbsim.study.folder import StudyFolder

__all__ = ["CURVES", "STATE", "Place"]

STATE: Final = "scheduler.json"
CURVES: Final = "curves.png"
# What there may be without a journal: written by `save` or a picture, or left by a start that failed.
_LEFT: Final = {"lock", "trials", "study.json", "remote.json", "dask.json", STATE, CURVES}


class Place:
    """The folder that `checkpoint` names; a temporary one for None, removed when Python ends.

    The logs of trials that failed stay: where they are has been said.

    Parameters
    ----------
    checkpoint : path or None
        The folder; it need not exist yet.

    Attributes
    ----------
    failed : set of int
        Trials that have failed at some time.
    """

    def __init__(self, checkpoint: str | os.PathLike[str] | None) -> None:
        self.lasting = checkpoint is not None
        self.failed: set[int] = set()
        if checkpoint is None:
            checkpoint = tempfile.mkdtemp(prefix="hbsim-")
            atexit.register(self._remove)
        elif not isinstance(checkpoint, str | os.PathLike) or not os.fspath(checkpoint):
            raise ParameterError("checkpoint", checkpoint, "must be a folder, or None for a temporary one")
        self.folder = StudyFolder(Path(os.fspath(checkpoint)))
        self.path = self.folder.path

    def check(self) -> None:
        """Check that a study could be here.

        Raises
        ------
        ParameterError
            It is a file, or a folder of something else.
        """
        if not self._is_ours():
            self.folder.check(resume=False, field="checkpoint")

    def open(self, resume: bool) -> bool:
        """Make room for a study, or find the one to go on with: whether there is one.

        Raises
        ------
        OutputError
            Another process runs the study that is there, or it cannot be moved.
        """
        if resume and self.folder.holds_study:
            return True
        if resume:
            warn(f"there is no study to resume in {self.path}: a new one begins", 6)
        self.check()
        if self._is_ours():
            self._move_aside()
        return False

    def keep(self) -> None:
        """Let a temporary folder last: its study can be resumed."""
        self.lasting = True

    def _is_ours(self) -> bool:
        if self.folder.holds_study:
            return True
        names = {entry.name for entry in self.path.iterdir()} if self.path.is_dir() else set()
        return bool(names - {"lock"}) and names <= _LEFT

    def _move_aside(self) -> None:
        with StudyLock(self.path):  # nobody runs it
            aside = self._free_name()
            try:
                os.rename(self.path, aside)
            except OSError as error:
                problem = f"cannot be moved to {aside}: {error.strerror}"
                raise OutputError(str(self.path), problem) from error
        warn(f"the earlier study in {self.path} is in {aside} now; resume=True would have gone on with it", 7)

    def _free_name(self) -> Path:
        number = 1
        while True:
            aside = self.path.with_name(f"{self.path.name}.{number}")
            if not os.path.lexists(aside):
                return aside
            number += 1

    def _remove(self) -> None:
        if self.lasting:
            return
        logs = {trial_folder(self.folder.trials, trial) / LOG for trial in self.failed}
        kept = {path for log in logs if log.is_file() for path in (log, *log.parents)}
        for path in sorted(self.path.rglob("*"), reverse=True):  # what a folder holds comes before it
            with suppress(OSError):
                if path not in kept:
                    path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        if self.path not in kept:
            shutil.rmtree(self.path, ignore_errors=True)


def warn(text: str, level: int) -> None:
    """Warn of something that happens when a study begins."""
    warnings.warn(HbsimWarning(text), stacklevel=level)
