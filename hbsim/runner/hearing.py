"""What workers say of their jobs: written down, and turned into what the loop is told next."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hbsim.core.levels import Levels
from hbsim.runner.ends import Ends
from hbsim.runner.ledger import Stay
from hbsim.runner.loop import END, FAILURE, FREE, MILESTONE, Event
from hbsim.runner.places import Places
from hbsim.runner.watch import Watch
from hbsim.runner.workers import Ended, Message, Opened, Row, Said
from hbsim.runner.writer import Writer

__all__ = ["NOBODY", "Due", "Hearing"]

NOBODY = Stay()


@dataclass(slots=True)
class Due:
    """What the loop is told next."""

    event: Event
    stay: Stay
    at: int = -1
    rows: Sequence[Row] = ()
    ended: Ended | None = None


class Hearing:
    """Takes in messages.

    Parameters
    ----------
    writer : Writer
        Writes reports down.
    places : Places
        Told of workers, and of jobs that are gone after they were decided about.
    watch : Watch
        Knows who is under way.
    ends : Ends
        Told of reports; knows whether the study ends.
    geometry : Levels
        The scheduler's.
    until_return : bool
        Whether a trial is complete when its function returns.

    Attributes
    ----------
    due : deque of Due
        What the loop has not been told yet.
    """

    def __init__(
        self,
        writer: Writer,
        places: Places,
        watch: Watch,
        ends: Ends,
        geometry: Levels,
        until_return: bool,
    ) -> None:
        self.due: deque[Due] = deque()
        self._writer, self._places, self._watch, self._ends = writer, places, watch, ends
        self._ledger = writer.ledger
        self._index = {level: at for at, level in enumerate(geometry.levels)}
        self._last = len(geometry.levels) - 1
        self._until_return = until_return

    def hear(self, message: Message) -> None:
        """Take in a message."""
        if isinstance(message, Said):
            self._said(message)
        elif isinstance(message, Ended):
            self._ended(message)
        elif isinstance(message, Opened):
            if self._places.open(message):
                self.due.append(Due(FREE, NOBODY))
        else:
            self._places.shut(message)

    def _said(self, message: Said) -> None:
        stay = self._stay(message)
        if stay is None:
            return
        rows = self._new(stay, message)
        if not rows or stay.ended is not None:
            return
        if message.waits:
            self.due.append(Due(MILESTONE, stay, self._index[stay.stop], rows))
        else:
            self._note(stay, rows)

    def _ended(self, message: Ended) -> None:
        stay = self._stay(message)
        if stay is None:
            return
        rows = self._new(stay, message)
        if rows and stay.ended is None:
            self._note(stay, rows)
        self._end(stay, message)

    def _stay(self, message: Said | Ended) -> Stay | None:
        """Return whom a message is about; None if that one is gone."""
        job = message.job
        if job not in self._watch.heard:
            self._drop(job, len(message.rows))
            return None
        self._watch.hear(job)
        return self._ledger.stays[job]

    def _note(self, stay: Stay, rows: Sequence[Row]) -> None:
        self._writer.write({"e": "rows", "job": stay.job, "rows": self._writer.packed(rows)})
        self._ends.reported(rows)

    def _new(self, stay: Stay, message: Said | Ended) -> Sequence[Row]:
        """Return the reports of a message that are new; write down what came late and what never came."""
        if stay.ended is not None or self._is_due(stay):  # nobody trains on before the answer
            late = len(message.rows)
        else:
            late = min(len(message.rows), max(0, stay.heard - message.first))
            if message.first > stay.heard:
                missing = message.first - stay.heard
                self._writer.write({"e": "missing", "job": stay.job, "count": missing})
        self._drop(stay.job, late)
        return message.rows[late:]

    def _is_due(self, stay: Stay) -> bool:
        return any(due.stay is stay for due in self.due)

    def _drop(self, job: int, count: int) -> None:
        if count:
            self._writer.write({"e": "late", "job": job, "count": count})

    def _end(self, stay: Stay, ended: Ended) -> None:
        """Have a job's end told, unless it was decided before, or leaves since the study ends."""
        del self._watch.heard[stay.job]
        pending = self._is_due(stay)
        left = self._left(stay, ended)
        closing = self._ends.closing or self._ends.interrupted
        if stay.ended is not None or (left and closing and not pending):
            self._places.gone(ended)
            self.due.append(Due(FREE, stay))
        elif left and closing:
            self.due.append(Due(FREE, stay, ended=ended))  # after what is still to be decided
        else:
            self.due.append(self._fate(stay, ended, left, pending))

    def _left(self, stay: Stay, ended: Ended) -> bool:
        """Whether the job left, by an order or a signal, and has not failed by itself."""
        # Whoever ends a study by a signal to all its processes may end trials before they are told to leave.
        signalled = self._ends.interrupted and ended.kind == "lost"
        return stay.job in self._watch.cut or (ended.left and ended.kind is None) or signalled

    def _fate(self, stay: Stay, ended: Ended, left: bool, pending: bool) -> Due:
        # A function that goes on from its last checkpoint may have nothing left to do.
        reported = stay.heard or pending or self._ledger.reached.get(stay.trial, 0.0)
        if ended.kind is not None:
            return Due(FAILURE, stay, ended=ended)
        if left:
            lost = replace(ended, kind="lost", reason="something else ended it by SIGTERM")
            return Due(FAILURE, stay, ended=lost)
        if not reported:
            failed = replace(ended, kind="error", reason="the function returned without a report")
            return Due(FAILURE, stay, ended=failed)
        if self._until_return:
            return Due(MILESTONE, stay, self._last, ended=ended)
        return Due(END, stay, ended=ended)
