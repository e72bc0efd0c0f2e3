"""The retention of checkpoints: which trials' checkpoints are kept, and which are removed."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from hbsim.core.scheduler import Scheduler
from hbsim.errors import OutputError
from hbsim.executors import checkpoint
from hbsim.executors.local import trial_folder
from hbsim.executors.remote.store import newest_of_all
from hbsim.runner.journal_state import JournalState
from hbsim.runner.records import JobBegun, JobFailed, ProcessEnded, Record

AT_ONCE: Final = 2  # trials whose files are removed at the end of one process: some 10 ms each


class CheckpointRetention:
    """Removes checkpoints and files that are no longer needed; an `Observer` of the runner.

    A trial's files are removed when it has stopped, completed or failed for good, or is paused and returned
    by ``scheduler.dropped()``, and its process has ended. Logs are kept. Of a trial that is paused for long
    only the newest checkpoint is kept, once it and the journal's records of it are synced to disk.

    Parameters
    ----------
    keep : str
        Whose files are kept all the same: ``"best"``, those of the incumbent; ``"completed"``, also those
        of completed trials; ``"all"``; ``"none"``.
    trials : Path
        The folder of the trials' folders.
    scheduler, journal_state
        Of the study.
    prune : callable, optional
        Called with each trial whose files are removed, to remove its files on other machines.
    clock : callable
        Seconds.
    """

    def __init__(
        self,
        keep: str,
        trials: Path,
        scheduler: Scheduler,
        journal_state: JournalState,
        prune: Callable[[int], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keep, self._trials = keep, trials
        self._scheduler, self._journal_state = scheduler, journal_state
        self._prune = prune
        self._over: set[int] = set()  # trials whose files are to be removed
        self._removed: set[int] = set()
        self._clock = clock
        self._paused: dict[int, float] = {}  # since when each trial is paused, in order

    def catch_up(self) -> None:
        """Check all trials, after a study was restored from its journal."""
        statuses = self._scheduler.trial_statuses()
        self._paused = dict.fromkeys((t for t, s in enumerate(statuses) if s == "paused"), self._clock())
        if self._keep == "all":
            return
        self._over = {trial for trial, status in enumerate(statuses) if status not in ("running", "paused")}
        self._sweep()

    def missing(self) -> str:
        """Return a text on the paused trials without a checkpoint; empty if each has one."""
        folders = (trial_folder(self._trials, trial) / checkpoint.NAME for trial in self._paused)
        count = sum(checkpoint.newest(folder) is None for folder in folders)
        if not count:
            return ""
        how = ""
        if self._keep != "none" and not newest_of_all(self._trials):
            how = " (no trial has one: the training function seems to save none)"
        elif self._keep != "all":
            how = " (keep=all, on the command line --keep all, keeps checkpoints)"
        trials = "1 paused trial has" if count == 1 else f"{count:,} paused trials have"
        return f"{trials} no checkpoint: if promoted they train from zero{how}"

    def record(self, record: Record) -> None:
        """Handle a record.

        Nothing is removed at a milestone, where a trial waits for its decision, and few files at the end of
        a job: once no more trials are started, all paused trials are dropped at the same time.
        """
        has_ended = isinstance(record, ProcessEnded)
        trial = self._journal_state.gone
        if isinstance(record, JobBegun):
            self._paused.pop(record.trial, None)
        elif has_ended and self._scheduler.status(trial) == "paused":
            self._paused[trial] = self._clock()
        if self._keep == "all":
            return
        if has_ended and self._scheduler.status(trial) not in ("running", "paused"):
            self._over.add(trial)
        if has_ended or isinstance(record, JobFailed):
            self._sweep(AT_ONCE)

    def finish(self) -> list[int]:
        """Remove the remaining files, once no trial runs any more.

        Returns
        -------
        trials : list of int
            Trials whose checkpoints are kept: they can go on, or `keep` says so.
        """
        if self._keep != "all":
            self._sweep()
        return [trial for trial in range(self._scheduler.started) if trial not in self._removed]

    def tick(self) -> None:
        """Remove older checkpoints of trials that have been paused for long enough."""
        now = self._clock()
        while self._paused:
            trial, since = next(iter(self._paused.items()))
            if now < since + 2 * checkpoint.SETTLED:
                return
            del self._paused[trial]
            with suppress(OSError):  # there are no checkpoints
                checkpoint.thin_out(trial_folder(self._trials, trial) / checkpoint.NAME)

    def _sweep(self, most: int | None = None) -> None:
        self._over.update(self._scheduler.dropped())
        if not self._over:
            return
        busy = {run.trial for run in self._journal_state.runs.values()}
        best = self._journal_state.best
        kept = busy if best is None or self._keep == "none" else {*busy, best.trial}
        for trial in sorted(self._over - kept)[:most]:
            self._over.remove(trial)
            if self._keep != "completed" or self._scheduler.status(trial) != "completed":
                self._remove(trial)

    def _remove(self, trial: int) -> None:
        self._removed.add(trial)
        folder = trial_folder(self._trials, trial)
        with suppress(OutputError):  # a failed removal must not end the study
            checkpoint.remove(folder / checkpoint.NAME)
        shutil.rmtree(folder / "files", ignore_errors=True)
        if self._prune is not None:
            self._prune(trial)
