"""What is kept of a study: the tables of a sweep and their columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

import polars as pl

__all__ = [
    "COUNTS",
    "DONE",
    "FAILED",
    "KEY",
    "MAIN",
    "NAMES",
    "PARTS",
    "PLANNED",
    "SHARES",
    "SUMMARY",
    "TABLES",
    "Frames",
    "empty",
]

KEY: Final = "key"  # says of which study a row is
MAIN: Final = "cells"
DONE: Final = "done"
FAILED: Final = "failed"
# The numbers of `Result.summary` that are kept.
SUMMARY: Final = (
    "trials", "jobs", "completed", "stopped", "paused", "failed", "running",
    "simulated_seconds", "busy_share", "trained_resource", "wasted_resource", "cost",
)  # fmt: skip
COUNTS: Final = SUMMARY[:7]  # the whole numbers among them
SHARES: Final = ("training", "retrained", "overhead", "idle", "absent", "saved")
PARTS: Final = ("sampling", "decisions", "unfinished", "choice", "best_started")

Schema: TypeAlias = dict[str, pl.DataType]
Frames: TypeAlias = Mapping[str, pl.DataFrame]  # by the names of `TABLES`

_TEXT: Final = pl.String()
_WHOLE: Final = pl.Int64()
_NUMBER: Final = pl.Float64()

# What a cell is called, and on which half of the rows it was run: null where on all.
NAMES: Final[Schema] = {
    "variant": _TEXT,
    "surrogate": _TEXT,
    "cluster": _TEXT,
    "workers": _WHOLE,
    "seed": _WHOLE,
    "split": _WHOLE,
    "part": _WHOLE,
}
PLANNED: Final[Schema] = {KEY: _TEXT, **NAMES}

# A row a study in the first and the last, several in the others.
TABLES: Final[dict[str, Schema]] = {
    MAIN: {
        KEY: _TEXT,
        "status": _TEXT,
        "error": _TEXT,
        **{name: _WHOLE if name in COUNTS else _NUMBER for name in SUMMARY},
        "is_deserted": pl.Boolean(),
        **dict.fromkeys(("value", "regret", "test"), _NUMBER),
        **{f"{name}_share": _NUMBER for name in SHARES},
        **{f"{name}_part": _NUMBER for name in PARTS},
    },
    "incumbents": {
        KEY: _TEXT,
        "time": _NUMBER,
        "resource": _NUMBER,
        "trial": _WHOLE,
        # Picked by the value that it had reported; the others are what it shows at R.
        **dict.fromkeys(("picked", "value", "regret", "test"), _NUMBER),
    },
    "rungs": {
        KEY: _TEXT,
        "bracket": _WHOLE,
        "level": _NUMBER,
        **dict.fromkeys(("recorded", "went_on", "stopped", "better", "false_promotions"), _WHOLE),
        **dict.fromkeys(("best_recorded", "best_went_on", "loss"), _NUMBER),
    },
    "brackets": {
        KEY: _TEXT,
        "bracket": _WHOLE,
        "trials": _WHOLE,
        "trained_resource": _NUMBER,
        "best": _NUMBER,
        "completed": _WHOLE,
        "is_winner": pl.Boolean(),
    },
    "timelines": {
        KEY: _TEXT,
        "worker": _WHOLE,
        **dict.fromkeys(("start", "end", "level", "cut"), _NUMBER),
    },
    "timings": {KEY: _TEXT, "seconds": _NUMBER},
}


def empty(table: str) -> pl.DataFrame:
    """Return a table without rows."""
    return pl.DataFrame(schema=TABLES[table])
