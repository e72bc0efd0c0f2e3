"""A journal as the loop sees it: the core must answer the same again."""

from __future__ import annotations

from collections.abc import Iterable
from math import nan
from typing import Final, NoReturn

import numpy as np

from hbsim.core.trials import VERDICTS
from hbsim.core.types import Job
from hbsim.errors import JournalError
from hbsim.runner.ledger import Ledger, Record, Stay
from hbsim.runner.loop import END, FAILURE, MILESTONE, NOTHING, Event
from hbsim.searchers import Searcher

__all__ = ["Replay"]

ASKED: Final = ("start", "none")
TOLD: Final = {"reach": MILESTONE, "fail": FAILURE, "return": END}
ANSWERED: Final = (*ASKED, *TOLD)  # the others only add to the ledger


class Replay:
    """The `Executor` of the runner's loop that says again what a journal holds.

    When the loop has ended, scheduler, searcher and ledger stand where they stood when the last record
    was written.

    Parameters
    ----------
    records : iterable of dict
        The journal's, in order; read one ahead.
    ledger : Ledger
        A new one.
    path : str
        The journal's file, for errors.
    searcher : Searcher, optional
        Given each configuration as its trial starts.

    Raises
    ------
    JournalError
        From the loop, where the scheduler does not answer as it did, or a record does not fit what came
        before; names the line.
    """

    def __init__(
        self, records: Iterable[Record], ledger: Ledger, path: str, searcher: Searcher | None = None
    ) -> None:
        self.now, self.trial, self.at, self.value = 0.0, -1, 0, 0.0
        self.ledger = ledger
        self._records = iter(records)
        self._ahead = next(self._records, None)
        self._path = path
        self._searcher = searcher

    def idle(self) -> int:
        """Return the worker that was idle where the scheduler was asked next, else -1."""
        while (record := self._peek()) is not None and record["e"] not in ANSWERED:
            self._apply(self._take())
        return record["worker"] if record is not None and record["e"] in ASKED else -1

    def start(self, worker: int, job: Job) -> None:
        """Hold a job against the one that was started."""
        record = self._take()
        names = ("trial", "bracket", "start", "attempt")
        same = record["e"] == "start" and all(record[name] == getattr(job, name) for name in names)
        if not same or record["stop"] not in (job.stop, None):
            self._differs(record, f"trial {job.trial} from {job.start:g} to {job.stop:g}")
        if self._searcher is not None and "point" in record:
            self._searcher.resume(np.array([record["point"]], dtype=np.float64))
        self._apply(record)

    def no_job(self, worker: int) -> None:
        """Hold the answer that there is no job against the one then."""
        record = self._take()
        if record["e"] != "none":
            self._differs(record, "no job")
        self._apply(record)

    def wait(self) -> Event:
        """Return the next event; NOTHING at the end of the journal."""
        while (record := self._peek()) is not None:
            event = TOLD.get(record["e"])
            if event is None:
                if record["e"] == "start":
                    self._differs(self._take(), "no job")
                self._apply(self._take())
                continue
            stay = self._running(record)
            self.now, self.trial = record["t"], stay.trial
            if event is MILESTONE:
                self.at = self._milestone(record, stay)
                self.value = nan if record["value"] is None else record["value"]
            return event
        return NOTHING

    def answer(self, code: int) -> None:
        """Hold a decision against the one then."""
        record = self._take()
        verdict = VERDICTS[code].value
        if record["e"] != "return" and record.get("verdict") != verdict:
            self._differs(record, f"{verdict} for trial {self.trial}")
        self._apply(record)

    def _peek(self) -> Record | None:
        return self._ahead

    def _take(self) -> Record:
        record = self._ahead
        assert record is not None  # the loop calls only what the next record allows
        self._ahead = next(self._records, None)
        return record

    def _running(self, record: Record) -> Stay:
        stay = self.ledger.stays.get(record["job"])
        if stay is None or stay.ended is not None:
            self._wrong(self._take(), f"job {record['job']} is not running")
        return stay

    def _milestone(self, record: Record, stay: Stay) -> int:
        at: int = record["at"]
        if self.ledger.milestone(stay) != at:
            self._wrong(self._take(), f"job {record['job']} is not at milestone number {at}")
        return at

    def _apply(self, record: Record) -> None:
        """Let the ledger have a record, if it fits what came before."""
        expected = self.ledger.jobs.started
        if record["e"] in ("start", "restart") and record["job"] != expected:
            self._wrong(record, f"job {record['job']} starts, where job {expected} is the next")
        try:
            self.ledger.apply(record)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            self._wrong(record, f"{record['e']} does not fit what came before: {error!r}")

    def _wrong(self, record: Record, problem: str) -> NoReturn:
        problem += "; the journal was made with another version, or changed by hand"
        raise JournalError(self._path, int(record["n"]) + 1, problem)

    def _differs(self, record: Record, now: str) -> NoReturn:
        if record["e"] == "none":
            then = "no job"
        elif record["e"] == "start":
            stop = "its return" if record["stop"] is None else f"{record['stop']:g}"
            then = f"trial {record['trial']} from {record['start']:g} to {stop}"
        else:
            then = f"{record.get('verdict')} for trial {self.trial}"
        self._wrong(record, f"the scheduler answers {now}, where it answered {then}")
