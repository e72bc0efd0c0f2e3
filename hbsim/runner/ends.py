"""When a real study is over, and why."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Final

from hbsim.errors import HbsimWarning
from hbsim.runner.ledger import Ledger, value_of
from hbsim.runner.workers import Row

__all__ = ["Ends", "Limits"]

BARREN: Final = 10  # failures in a row without a report


@dataclass(frozen=True, slots=True)
class Limits:
    """When a study ends, and how long a trial may be silent; in seconds of the study.

    Attributes
    ----------
    max_time : float
        Study seconds after which everything is cut.
    max_reward : float or None
        The study ends at a report at least as good.
    hang_timeout : float
        A trial that says nothing for so long has hung, and is killed.
    grace : float
        A trial that was told to end at a milestone and has not is killed after this.
    """

    max_time: float = inf
    max_reward: float | None = None
    hang_timeout: float = inf
    grace: float = 5.0


class Ends:
    """What may end a study before its scheduler is done.

    Attributes
    ----------
    interrupted : bool
        Somebody asked for it.
    enough : bool
        A report was as good as `max_reward`.
    failing : bool
        One trial after the other failed, and nothing was reported: a broken GPU would use up all trials.
    """

    def __init__(self, limits: Limits, mode: str, ledger: Ledger) -> None:
        self.interrupted = self.enough = self.failing = False
        self._limits, self._ledger = limits, ledger
        self._sign = 1.0 if mode == "max" else -1.0
        self._barren, self._reports = 0, ledger.reports  # failures in a row, and the reports before them
        self._known = 0  # jobs below this had started when the last job that was lost with its host counted
        if ledger.best is not None:
            self._look_at(ledger.best.value)

    @property
    def closing(self) -> bool:
        """Whether it ends: what is under way has been told to leave."""
        return self._ledger.closing

    def over(self, time: float) -> bool:
        """Return whether the study is over at `time`, in study seconds."""
        return self.interrupted or self.enough or self.failing or time >= self._limits.max_time

    def why(self, done: bool) -> str:
        """Return why it is over: done, interrupted, failures, max_reward or max_time."""
        if done:
            return "done"
        if self.interrupted:
            return "interrupted"
        if self.failing:
            return "failures"
        return "max_reward" if self.enough else "max_time"

    def reported(self, rows: Sequence[Row]) -> None:
        """Take note of reports."""
        if self._limits.max_reward is not None:
            for row in rows:
                self._look_at(value_of(row.metrics, self._ledger.metric))

    def failed(self, reason: str, lost: int | None = None) -> None:
        """Take note of a failure.

        `lost` is the job, if it was lost with its host. What is lost at once counts once: all that runs on
        a large host says no more about the training function than one trial.
        """
        if self._reports != self._ledger.reports:
            self._barren, self._reports = 0, self._ledger.reports
        if lost is not None:
            if lost < self._known:
                return
            self._known = self._ledger.jobs.started
        self._barren += 1
        if self._barren == BARREN:
            self.failing = True
            text = f"{BARREN} failures in a row and no report between: the study ends here; "
            warnings.warn(HbsimWarning(f"{text}the last: {reason}"), stacklevel=2)

    def _look_at(self, value: float) -> None:
        target = self._limits.max_reward
        if target is not None and self._sign * target <= self._sign * value < inf:
            self.enough = True
