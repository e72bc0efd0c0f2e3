"""The trials of a scheduler, in columns: where each stands, and what became of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from math import inf, nan
from operator import index
from typing import Final

from hbsim.core.levels import Levels
from hbsim.core.types import Mode, Verdict
from hbsim.errors import ProtocolError

__all__ = ["STATUSES", "VERDICTS", "Trials"]

# RETURNED: its training came to an end of its own below R.
RUNNING, WAITING, PAUSED, STOPPED, COMPLETED, FAILED, RETURNED = range(7)
STATUSES: Final = ("running", "running", "paused", "stopped", "completed", "failed", "completed")

CONTINUE, PAUSE, STOP, COMPLETE, RETRY = range(5)
VERDICTS: Final = (Verdict.CONTINUE, Verdict.PAUSE, Verdict.STOP, Verdict.COMPLETE, Verdict.RETRY)
ROOM: Final = 4096  # trials


class Trials(ABC):
    """Columns, an entry a trial.

    Attributes
    ----------
    geometry : Levels
        The rung levels of all brackets.
    levels : tuple of float
        Those of bracket 0, ascending; the last is R.
    started, running : int
        How many trials have started, and how many run now.
    """

    def __init__(self, geometry: Levels, mode: Mode) -> None:
        self.geometry = geometry
        self.levels = geometry.levels
        self.mode: Mode = mode
        self.started = 0
        self.running = 0
        self._sign = 1.0 if mode == "max" else -1.0
        # There is room for more than have started. `_at` is the index in `levels` of the next milestone,
        # `_position` the place among the values of the rung that recorded the trial last.
        self._bracket = array("H")
        self._status = bytearray()
        self._at = array("H")
        self._position = array("q")
        self._code = bytearray()  # the verdict at its last milestone
        self._cutoff = array("d")  # what its value was held against there; NaN for nothing

    def _start(self, bracket: int) -> int:
        """Enter a new trial that starts in `bracket`."""
        trial = self.started
        if trial == len(self._status):
            self._make_room()
        self._bracket[trial] = bracket
        self._at[trial] = self.geometry.first[bracket]
        self.started = trial + 1
        return trial

    def _make_room(self) -> None:
        """Lengthen the columns: quicker than to append a trial at a time."""
        self._bracket.frombytes(bytes(ROOM * self._bracket.itemsize))
        self._at.frombytes(bytes(ROOM * self._at.itemsize))
        self._status.extend(bytes(ROOM))
        self._code.extend(bytes(ROOM))
        self._position.extend(array("q", [-1]) * ROOM)
        self._cutoff.extend(array("d", [nan]) * ROOM)

    def _known(self, trial: int) -> int:
        """Return the number of a trial that has started, as a plain integer."""
        try:
            number = -1 if isinstance(trial, bool) else index(trial)
        except TypeError:
            number = -1
        if not 0 <= number < self.started:
            known = f"0 ... {self.started - 1}" if self.started else "none yet"
            raise ProtocolError(trial, "an unknown trial", f"one of the trials started: {known}")
        return number

    def status(self, trial: int) -> str:
        """Return ``"running"``, ``"paused"``, ``"stopped"``, ``"completed"`` or ``"failed"``.

        Raises
        ------
        ProtocolError
            If there is no such trial.
        """
        return STATUSES[self._status[self._known(trial)]]

    def bracket_of(self, trial: int) -> int:
        """Return the bracket in which a trial started."""
        return self._bracket[self._known(trial)]

    def trial_brackets(self) -> array[int]:
        """Return the brackets in which the trials started, in the order of trials."""
        return self._bracket[: self.started]

    def trial_statuses(self) -> list[str]:
        """Return what `status` says of every trial, in the order of trials."""
        return [STATUSES[status] for status in self._status[: self.started]]

    def status_counts(self) -> dict[str, int]:
        """Return how many trials are running, paused, stopped, completed, failed."""
        statuses = self._status[: self.started]
        counts = dict.fromkeys(STATUSES, 0)
        for status, name in enumerate(STATUSES):
            counts[name] += statuses.count(status)
        return counts

    def trial_levels(self) -> list[float]:
        """Return the milestone at which each trial stands, 0 before the first, in the order of trials."""
        stands = (0.0, *self.levels)
        first = self.geometry.first
        columns = zip(self._at[: self.started], self._bracket, strict=False)
        return [stands[at] if at > first[b] else 0.0 for at, b in columns]

    # What `explain` asks

    def last_verdict(self, trial: int) -> Verdict | None:
        """Return what was decided at a trial's last milestone, None before the first."""
        return VERDICTS[self._code[trial]] if self._position[trial] >= 0 else None

    def last_level(self, trial: int) -> float:
        """Return a trial's last milestone."""
        return self.levels[self._at[trial] - 1]

    def standing(self, trial: int) -> tuple[float | None, int, int, float | None]:
        """Return a trial's last value, n, its rank and the cutoff, as they were when it was decided."""
        order = self._position[trial]
        values = self._rung_values(trial)
        value = values[order]
        rank = 1 + sum(other >= value for other in values[:order])
        cutoff = self._cutoff[trial]
        return self._shown(value), order + 1, rank, None if cutoff != cutoff else cutoff

    def standing_since(self, trial: int) -> str:
        """Return what became of a trial since its last milestone, in a sentence; empty if nothing did."""
        status = self._status[trial]
        if status == FAILED:
            return "It has failed for good since."
        if status == RETURNED:
            return "Its training came to an end of its own since."
        if status == WAITING:
            return "It has failed since and waits for a retry."
        return self._since(trial) if self._code[trial] == PAUSE else ""

    def _since(self, trial: int) -> str:
        """Return the same for a trial that paused at its last milestone."""
        return ""

    def _shown(self, value: float) -> float | None:
        return None if value == -inf else value * self._sign + 0.0

    @abstractmethod
    def _rung_values(self, trial: int) -> list[float]:
        """Return the signed values of the rung that recorded `trial` last."""
