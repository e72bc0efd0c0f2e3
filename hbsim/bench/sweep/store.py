"""The store of a sweep: tables of finished studies on disk."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeAlias

import polars as pl

from hbsim.errors import HbsimWarning, OutputError
from hbsim.surrogates.parquet import Damaged, parquet, read_sealed

KEY: Final = "key"  # the column that identifies the study of a row
MAIN: Final = "cells"
DONE: Final = "done"
FAILED: Final = "failed"
# The numbers of `Result.summary` that are stored.
SUMMARY: Final = (
    "trials", "jobs", "completed", "stopped", "paused", "failed", "running",
    "simulated_seconds", "busy_share", "trained_resource", "wasted_resource", "cost",
)  # fmt: skip
COUNTS: Final = SUMMARY[:7]  # the integer columns among them
SHARES: Final = ("training", "retrained", "overhead", "idle", "absent", "saved")
PARTS: Final = ("sampling", "decisions", "unfinished", "choice", "best_started")

Schema: TypeAlias = dict[str, pl.DataType]
Frames: TypeAlias = Mapping[str, pl.DataFrame]  # frames by the names of `TABLES`

_TEXT: Final = pl.String()
_WHOLE: Final = pl.Int64()
_NUMBER: Final = pl.Float64()

# The names of a cell, and the half of the rows it was run on: null for all rows.
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

# The first and the last table have one row a study, the others several.
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
        # `picked` is the reported value that decided; the others are values at R.
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


PARTS_FOLDER: Final = "parts"
KEPT: Final = "kept"
CLOSED: Final = "closed"  # complete, but not yet moved to its place
# Tables that results can do without, and the consequence of their loss.
DISPENSABLE: Final = {
    "timelines": "hbsim sweep draws timelines again, and a report has none until then",
    "timings": "it is not known how long these studies took",
}
AGAIN: Final = "hbsim sweep --force runs all cells again"
# All names that the store may leave in a folder.
OURS: Final = frozenset({PARTS_FOLDER, KEPT, CLOSED, f".{CLOSED}", *(f"{name}.parquet" for name in TABLES)})


class SweepStore:
    """The outcomes in a folder: those found when the store is opened, and those added later.

    Parameters
    ----------
    folder : path
        The folder of the sweep, which exists.

    Attributes
    ----------
    status : dict
        "done" or "failed", by the key of each stored study.
    without_timelines : set of str
        The keys of the studies whose timelines were in a file that is missing or damaged.

    Warns
    -----
    HbsimWarning
        A file of timelines or timings is missing or damaged; results can do without it.

    Raises
    ------
    OutputError
        Another file is missing, or cannot be read: cut short, or none of hbsim's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.status: dict[str, str] = {}
        self.without_timelines: set[str] = set()
        self._frames: dict[str, list[pl.DataFrame]] = {name: [] for name in TABLES}
        for source in sources(folder):
            frames, lost = _read(source)
            self._take(frames)
            if "timelines" in lost:
                self.without_timelines.update(frames[MAIN][KEY])
        self._next = max((int(path.name) + 1 for path in _parts(folder)), default=0)

    def add(self, frames: Frames) -> None:
        """Add outcomes, all of them or none.

        Raises
        ------
        OutputError
            The outcomes cannot be written.
        """
        target = self.folder / PARTS_FOLDER / f"{self._next:06d}"
        temporary = target.with_name(f".{target.name}")
        with writing(target):
            _write_new(temporary, frames)
            move(temporary, target)
        self._next += 1
        self._take(frames)

    def _take(self, frames: Frames) -> None:
        """Replace earlier outcomes of the same studies."""
        main = frames[MAIN]
        self.without_timelines.difference_update(main[KEY])
        if again := [key for key in main[KEY] if key in self.status]:
            for name, earlier in self._frames.items():
                self._frames[name] = [frame.filter(~pl.col(KEY).is_in(again)) for frame in earlier]
        for name, frame in frames.items():
            self._frames[name].append(frame)
        self.status.update(zip(main[KEY], main["status"], strict=True))

    def tables(self, keys: Iterable[str]) -> dict[str, pl.DataFrame]:
        """Return the rows of these studies, in this order."""
        order = pl.DataFrame({KEY: list(dict.fromkeys(keys))}, schema={KEY: pl.String})
        return {
            name: order.join(self._whole(name), on=KEY, how="inner", maintain_order="left_right")
            for name in TABLES
        }

    def close(self, frames: Frames, keys: Iterable[str]) -> None:
        """Write one file a table, store other studies separately, and delete the parts.

        Parameters
        ----------
        frames : mapping
            Tables by name, each for one file in the folder.
        keys : iterable of str
            The studies in these tables.

        Raises
        ------
        OutputError
            The files cannot be written; nothing is lost.
        """
        known = list(set(keys))
        others = {name: self._whole(name).filter(~pl.col(KEY).is_in(known)).sort(KEY) for name in TABLES}
        temporary = self.folder / f".{CLOSED}"
        with writing(self.folder):
            _write_new(temporary, frames)
            _write_new(temporary / KEPT, others)
            move(temporary, self.folder / CLOSED)
        recover(self.folder)

    def _whole(self, name: str) -> pl.DataFrame:
        self._frames[name] = [pl.concat([empty(name), *self._frames[name]])]
        return self._frames[name][0]


def sources(folder: Path) -> list[tuple[Path, ...]]:
    """Return the places of tables; later outcomes of a study come after earlier ones.

    Each place is a sequence of folders: a table is read from the first folder that has its file.
    """
    closed = folder / CLOSED
    places: list[tuple[Path, ...]]
    if closed.is_dir():
        places = [(closed, folder), (closed / KEPT, folder / KEPT)]
    else:
        places = [(folder,), (folder / KEPT,), *((path,) for path in _parts(folder))]
    return [place for place in places if any(_has(one, name) for one in place for name in TABLES)]


def recover(folder: Path) -> None:
    """Finish an interrupted `SweepStore.close`, if there is one; no other process may use the folder.

    Raises
    ------
    OutputError
        Files cannot be moved.
    """
    closed, kept = folder / CLOSED, folder / KEPT
    with writing(folder):
        if closed.is_dir():
            _remove(folder / PARTS_FOLDER)
            for path in sorted(closed.glob("*.parquet")):
                move(path, folder / path.name)
            if (closed / KEPT).is_dir():
                _remove(kept)
                move(closed / KEPT, kept)
            closed.rmdir()
        if _has(kept, MAIN) and read_table(kept / f"{MAIN}.parquet").is_empty():
            _remove(kept)


def _parts(folder: Path) -> list[Path]:
    """Return the parts, the earliest first."""
    try:
        names = [name for name in os.listdir(folder / PARTS_FOLDER) if name.isdigit()]
    except FileNotFoundError:
        return []
    return [folder / PARTS_FOLDER / name for name in sorted(names, key=int)]


def _read(source: tuple[Path, ...]) -> tuple[Frames, set[str]]:
    """Read all tables of a place; return them, and the names of those that are lost."""
    found: dict[str, pl.DataFrame] = {}
    lost: set[str] = set()
    for name in TABLES:
        try:
            found[name] = _read_one(source, name)
        except OutputError as error:
            if name not in DISPENSABLE:
                raise
            found[name] = empty(name)
            lost.add(name)
            text = str(error).removesuffix(f": {AGAIN}")
            warnings.warn(HbsimWarning(f"{text}: {DISPENSABLE[name]}"), stacklevel=3)
    return found, lost


def _read_one(source: tuple[Path, ...], name: str) -> pl.DataFrame:
    """Read a table from the first of the folders that has it."""
    path = next((folder / f"{name}.parquet" for folder in source if _has(folder, name)), None)
    if path is None:
        there = next(folder for folder in source if any(_has(folder, other) for other in TABLES))
        raise OutputError(
            str(there / f"{name}.parquet"), f"is missing beside the sweep's other tables: {AGAIN}"
        )
    frame = read_table(path)
    if name == MAIN and NAMES.keys() <= set(frame.columns):
        frame = frame.drop(NAMES).unique(KEY, maintain_order=True)
    if dict(frame.schema) != TABLES[name]:
        raise OutputError(str(path), f"has other columns than hbsim sweep writes: {AGAIN}")
    return frame


def _has(folder: Path, name: str) -> bool:
    return (folder / f"{name}.parquet").is_file()


def _write_new(folder: Path, frames: Frames) -> None:
    _remove(folder)
    folder.mkdir(parents=True)
    for name, frame in frames.items():
        write(folder / f"{name}.parquet", parquet(frame))


def _remove(folder: Path) -> None:
    if folder.is_dir():
        shutil.rmtree(folder)


# Files that are flushed to the disk


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Convert an error in the block to an `OutputError` that names the path."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(str(path), f"cannot be written: {error.strerror or error}") from error


def write(path: Path, content: bytes) -> None:
    """Write a file, and wait until it is on the disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def move(source: Path, target: Path) -> None:
    """Move a file or folder over another, and wait until that is on the disk."""
    os.replace(source, target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_table(path: Path) -> pl.DataFrame:
    """Read a table.

    Raises
    ------
    OutputError
        The file cannot be read, or was cut short.
    """
    try:
        return read_sealed(path)
    except OSError as error:
        raise OutputError(str(path), f"cannot be read: {error.strerror or error}") from error
    except Damaged:
        problem = f"is not as hbsim sweep wrote it, cut short perhaps: {AGAIN}"
        raise OutputError(str(path), problem) from None
