"""The runner of a study of AutoTorch's classes, and the study's folder."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from hbsim.autotorch.searchers import SearcherOfConfigs
from hbsim.errors import HbsimError, HbsimWarning, OutputError, ParameterError
from hbsim.executors.local import LOG, trial_folder
from hbsim.runner.lock import StudyLock
from hbsim.study.folder import StudyFolder
from hbsim.study.run import warn_if_all_failed
from hbsim.terminal import print_err

if TYPE_CHECKING:
    from hbsim.autotorch.studies import AutoTorchStudy, Queue
    from hbsim.study.result import RunResult
    from hbsim.study.simulated_run import SimulatedResult


class StudyRunner:
    """Runs a study in its folder, and keeps its result.

    Parameters
    ----------
    study : AutoTorchStudy
        Runs it.
    place : CheckpointFolder
        Its folder.
    resume : bool
        Whether to go on with what is in the folder.

    Attributes
    ----------
    result : RunResult or SimulatedResult, or None
        The result of the study so far; None before it ran.
    goals : list of (int or None)
        How many trials the study was to start, and then each higher number to which it was extended; empty
        before it ran.
    begun : bool
        Whether the folder holds this study.
    over : bool
        Whether there is nothing left to run.
    """

    def __init__(self, study: AutoTorchStudy, place: CheckpointFolder, resume: bool) -> None:
        self.place = place
        self.result: RunResult | SimulatedResult | None = None
        self.goals: list[int | None] = []
        self.begun = False
        self.over = False
        self._study, self._resume = study, resume
        self._runs = 0

    @property
    def goal(self) -> int | None:
        """How many trials the study starts so far; None if there is no limit, or it has not run."""
        return self.goals[-1] if self.goals else None

    def run(
        self, queue: Queue, goal: int | None, time_out: float | None = None, timeout: float | None = None
    ) -> RunResult | SimulatedResult:
        """Run the study, or go on with it.

        Parameters
        ----------
        queue : list of (int, list of float)
            Queued configurations: the trial that has each, and its point.
        goal : int or None
            How many trials it starts in all; fewer than before change nothing.
        time_out : float, optional
            Seconds from now after which the study is over; by default that of its parameters.
        timeout : float, optional
            Seconds from now after which this call is over.
        """
        if self.goals and goal is not None and self.goal is not None:
            goal = max(goal, self.goal)
        why = getattr(self.result, "why", None)
        has_more_time = time_out is not None and why == "max_time"
        if self.result is not None and self.over and goal == self.goal and not has_more_time:
            return self.result
        self._check_searcher()
        resume = self._open()
        self._set_goal(goal, is_extension=why == "done")
        self._runs += 1
        limit, until = self._limits(time_out, timeout)
        try:
            self.result = self._study.run(queue, self.place, resume, self.goals, until)
        except KeyboardInterrupt as error:
            self.result = getattr(error, "result", self.result)
            self.place.keep()
            raise
        except HbsimError:
            if self.place.folder.holds_study:
                self.place.keep()
            raise
        why = getattr(self.result, "why", "done")
        self.over = why != "interrupted" and (why != "max_time" or until == limit)
        self._note_early_returns()
        assert self.result is not None
        if self._study.surrogate is None:
            self.place.failed.update(self.result.failures["trial"])
            warn_if_all_failed(cast("RunResult", self.result), stacklevel=4)
        return self.result

    def adopt(self, place: CheckpointFolder, result: RunResult | None) -> None:
        """Use the study in another folder, or in this one, from now on."""
        self.place, self.result = place, result
        self.begun = True
        self.over = getattr(result, "why", None) in ("done", "max_reward")
        if result is not None:
            self.goals = [result.scheduler.options.num_trials]

    def _set_goal(self, goal: int | None, is_extension: bool) -> None:
        if goal == self.goal and self.goals:
            return
        if self.goals and self.goal is None:
            rule = "the study began without it: it starts any number of trials, until its time is over"
            raise ParameterError("num_trials", goal, rule)
        self.goals = [*(self.goals if is_extension else self.goals[:-1]), goal]

    def _open(self) -> bool:
        if self._study.surrogate is not None:
            return False
        if self.begun:
            return self.place.folder.holds_study
        resume = self.place.open(self._resume)
        self.begun = True
        return resume

    def _check_searcher(self) -> None:
        """Refuse to resume with a searcher object: it has seen the study, and a replay would repeat it."""
        if self._runs and not isinstance(self._study.setting.run.searcher, str | SearcherOfConfigs | None):
            text = "the searcher object has been used: go on in a new scheduler, with resume=True and "
            raise HbsimError(f"{text}a new searcher")

    def _limits(self, time_out: float | None, timeout: float | None) -> tuple[float | None, float | None]:
        """Return the study seconds at which the study is over, and at which this call is over."""
        so_far = 0.0 if self.result is None else self.result.end_time
        limit = self._study.setting.run.max_time if time_out is None else so_far + time_out
        if timeout is None or self._study.surrogate is not None:
            return limit, limit
        until = so_far + timeout
        return limit, until if limit is None else min(limit, until)

    def _note_early_returns(self) -> None:
        """Write a line if no trial came to max_t: rungs may lie at resources that are never trained."""
        setting = self._study.setting
        if setting.type == "fifo" or setting.run.progress == "none" or self.result is None:
            return
        summary = self.result.summary()
        if not summary.get("returned") or summary["returned"] != summary["completed"]:
            return
        last = max(self.result.trials["reached"].drop_nulls().to_list())
        max_t = setting.rungs["max_t"]
        text = f"all {summary['completed']} complete trials returned before max_t={max_t}, "
        text += f"at {setting.run.time_attr}={last:g} at most: set max_t to what train_fn trains"
        print_err(f"hbsim: {text}")


STATE: Final = "scheduler.json"
CURVES: Final = "curves.png"
# Files that may exist without a journal: of `save`, a plot, a failed start, or AutoTorch's own.
_LEFT: Final = {"lock", "trials", "study.json", "remote.json", "dask.json", "checkpoint.ag", STATE, CURVES}


class CheckpointFolder:
    """The folder that `checkpoint` names; a temporary one for None, removed when Python ends.

    The logs of failed trials are kept, since messages have named them.

    Parameters
    ----------
    checkpoint : path or None
        The folder, which may not exist yet.

    Attributes
    ----------
    failed : set of int
        Trials that have failed at least once.
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
        """Check that the folder can hold a study.

        Raises
        ------
        ParameterError
            The path is a file, or a folder with other content.
        """
        if not self._is_ours():
            self.folder.check(resume=False, field="checkpoint")

    def open(self, resume: bool) -> bool:
        """Prepare the folder for a new study, or find the one to resume; return whether there is one.

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
        """Keep a temporary folder, as its study can be resumed."""
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
    """Warn at the beginning of a study."""
    warnings.warn(HbsimWarning(text), stacklevel=level)
