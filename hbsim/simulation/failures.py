"""The jobs of a study that were lost, a row a failure."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

__all__ = ["LOST", "PREEMPTED", "Failures"]

ROW: Final = struct.Struct("<iddB")
FIELDS: Final = [("job", "<i4"), ("time", "<f8"), ("kept", "<f8"), ("kind", "u1")]
LOST, PREEMPTED = 0, 1
KINDS: Final = ("lost", "preempted")


class Failures:
    """Rows packed one after the other as jobs are lost, 21 bytes each."""

    def __init__(self) -> None:
        self._rows = bytearray()

    def __len__(self) -> int:
        return len(self._rows) // ROW.size

    def add(self, job: int, time: float, kind: int, kept: float) -> None:
        """Append a failure; the trial can go on from the resource `kept`."""
        self._rows += ROW.pack(job, time, kept, kind)

    def count(self, kind: int) -> int:
        """Return how many failures were of a kind."""
        return int((self._array()["kind"] == kind).sum())

    def _array(self) -> NDArray[np.void]:
        import numpy as np

        return np.frombuffer(self._rows, dtype=FIELDS)

    def frame(self, jobs: NDArray[np.void]) -> pl.DataFrame:
        """Return time, trial, attempt, job, worker, resource, kind and kept, in the order of time.

        `jobs` are the study's, ordered by their numbers.
        """
        import numpy as np
        import polars as pl

        rows = self._array()
        lost = jobs[rows["job"]]
        return pl.DataFrame(
            {
                "time": rows["time"],
                "trial": lost["trial"].astype(np.int64),
                "attempt": lost["attempt"].astype(np.int64),
                "job": rows["job"].astype(np.int64),
                "worker": lost["worker"].astype(np.int64),
                "resource": lost["stop_resource"],
                "kind": pl.Series(KINDS, dtype=pl.String).gather(rows["kind"].astype(np.uint32)),
                "kept": rows["kept"],
            }
        )
