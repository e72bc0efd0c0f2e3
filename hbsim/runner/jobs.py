"""The jobs of a study, a row an uninterrupted stay on a worker."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from math import inf, nan
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

__all__ = ["JobRow", "Jobs"]

ROW: Final = struct.Struct("<iiHidddddddddB")
NAMES: Final = (
    "job", "trial", "attempt", "worker", "stood", "start_resource", "stop_resource", "milestone",
    "start_time", "train_start", "trained", "end_time", "value", "verdict",
)  # fmt: skip
TYPES: Final = ("<i4", "<i4", "<u2", "<i4", *["<f8"] * 9, "u1")


class JobRow:
    """A job under way.

    Attributes
    ----------
    job, trial, attempt, worker : int
        Its number, and who trains where.
    stood, milestone : float
        The milestones where the trial stood at the start, and where it stands now.
    start_resource : float
        From where it trains: 0 if it trains again what it had.
    start_time, train_start : float
        When the stay started, and when training did.
    trained : float
        Seconds of training so far.
    value : float
        The last value reported; NaN before.
    """

    __slots__ = (
        "attempt", "job", "milestone", "start_resource", "start_time", "stood", "train_start",
        "trained", "trial", "value", "worker",
    )  # fmt: skip

    job: int
    trial: int
    attempt: int
    worker: int
    stood: float
    milestone: float
    start_resource: float
    start_time: float
    train_start: float
    trained: float
    value: float


class Jobs:
    """Rows packed one after the other as jobs end, 87 bytes each.

    Attributes
    ----------
    started : int
        How many jobs have started: the number of the next one.
    cut : float
        When the study was cut: no stay lasts longer.
    """

    def __init__(self) -> None:
        self.started = 0
        self.cut = inf
        self._rows = bytearray()
        self._ended: NDArray[np.void] | None = None
        self._sorted: NDArray[np.void] | None = None

    def end(self, row: JobRow, resource: float, time: float, verdict: int) -> None:
        """Append a job that ended at `time`, having reached `resource`."""
        self._rows += ROW.pack(
            row.job,
            row.trial,
            row.attempt,
            row.worker,
            row.stood,
            row.start_resource,
            resource,
            row.milestone,
            row.start_time,
            row.train_start,
            row.trained,
            time,
            row.value,
            verdict,
        )

    def __len__(self) -> int:
        return len(self._rows) // ROW.size if self._sorted is None else len(self._sorted)

    def ended(self) -> NDArray[np.void]:
        """Return the jobs in the order of their ends, a structured array with the fields of `NAMES`.

        The study is over then: no more rows are taken.
        """
        import numpy as np

        if self._ended is None:
            rows = np.frombuffer(self._rows, dtype=list(zip(NAMES, TYPES, strict=True)))
            rows["end_time"] = np.minimum(rows["end_time"], self.cut)
            self._ended = rows
        return self._ended

    def rows(self) -> NDArray[np.void]:
        """Return the same in the order of their starts."""
        import numpy as np

        if self._sorted is None:
            rows = self.ended()
            self._sorted = rows[np.argsort(rows["job"], kind="stable")]
            self._ended = self._sorted
            self._rows = bytearray()
        return self._sorted

    def frame(self, brackets: Sequence[int]) -> pl.DataFrame:
        """Return the rows in the order of their starts.

        The columns are job, trial, attempt, bracket, worker, start_resource, stop_resource (reached),
        start_time, train_start, end_time, value and verdict. `brackets` holds each trial's.
        """
        import numpy as np
        import polars as pl

        from hbsim.runner.columns import numbers, verdicts

        rows = self.rows()
        never_trained = rows["train_start"] > rows["end_time"]
        whole = {name: rows[name].astype(np.int64) for name in ("job", "trial", "attempt")}
        return pl.DataFrame(
            {
                **whole,
                "bracket": np.array(brackets, dtype=np.int64)[rows["trial"]],
                "worker": rows["worker"].astype(np.int64),
                "start_resource": rows["start_resource"],
                "stop_resource": rows["stop_resource"],
                "start_time": rows["start_time"],
                "train_start": numbers(np.where(never_trained, nan, rows["train_start"])),
                "end_time": rows["end_time"],
                "value": numbers(rows["value"]),
                "verdict": verdicts(rows["verdict"]),
            }
        )
