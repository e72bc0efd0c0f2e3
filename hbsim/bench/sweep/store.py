"""What is finished of a sweep, on disk: nothing that was is lost, whenever it ends.

While a sweep runs, outcomes are added as *parts*: folders that appear whole, by a rename. At the end they
become one Parquet file a table, in the order of the sweep's cells, and the parts go. What an earlier file
asked for and this one does not is *kept*, in a folder of its own.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import polars as pl

from hbsim.bench.sweep.disk import CLOSED, KEPT, PARTS, add_folder, close_folder, parts, sources
from hbsim.bench.sweep.parquet import read_table
from hbsim.bench.sweep.tables import KEY, MAIN, NAMES, TABLES, Frames, empty
from hbsim.errors import HbsimWarning, OutputError

__all__ = ["OURS", "Store"]

# What results do without, and what becomes of it.
DISPENSABLE: Final = {
    "timelines": "hbsim sweep draws timelines again, and a report has none until then",
    "timings": "it is not known how long these studies took",
}
# All that it may leave in a folder.
OURS = frozenset({PARTS, KEPT, CLOSED, f".{CLOSED}", *(f"{name}.parquet" for name in TABLES)})


class Store:
    """The outcomes in a folder, as they are when it is made and as they are added.

    Parameters
    ----------
    folder : path
        The sweep's; it exists.

    Attributes
    ----------
    status : dict
        From the key of each study that is there to "done" or "failed".
    untold : set of str
        The keys of the studies whose timelines were in a file that is missing or damaged.

    Warns
    -----
    HbsimWarning
        A file of timelines or timings is missing or damaged; results do without.

    Raises
    ------
    OutputError
        Another file is missing, or cannot be read: cut short, or none of hbsim's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.status: dict[str, str] = {}
        self.untold: set[str] = set()
        self._frames: dict[str, list[pl.DataFrame]] = {name: [] for name in TABLES}
        for source in sources(folder):
            frames, lost = _read(source)
            self._take(frames)
            if "timelines" in lost:
                self.untold.update(frames[MAIN][KEY])
        self._next = max((int(path.name) + 1 for path in parts(folder)), default=0)

    def add(self, frames: Frames) -> None:
        """Add outcomes, all of them or none.

        Raises
        ------
        OutputError
            They cannot be written.
        """
        add_folder(self.folder, self._next, frames)
        self._next += 1
        self._take(frames)

    def _take(self, frames: Frames) -> None:
        """Take outcomes in place of earlier ones of the same studies."""
        main = frames[MAIN]
        self.untold.difference_update(main[KEY])
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
        """Write one file a table, keep other studies apart, and let the parts go.

        Parameters
        ----------
        frames : mapping
            Tables by name, each for one file in the folder.
        keys : iterable of str
            The studies that are in them.

        Raises
        ------
        OutputError
            They cannot be written; nothing is lost.
        """
        known = list(set(keys))
        others = {name: self._whole(name).filter(~pl.col(KEY).is_in(known)).sort(KEY) for name in TABLES}
        close_folder(self.folder, frames, others)

    def _whole(self, name: str) -> pl.DataFrame:
        self._frames[name] = [pl.concat([empty(name), *self._frames[name]])]
        return self._frames[name][0]


def _read(source: tuple[Path, ...]) -> tuple[Frames, set[str]]:
    """Read all tables from where they are, and return the names of those that are lost."""
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
            text = str(error).partition(": hbsim sweep --force")[0].partition(": --force")[0]
            warnings.warn(HbsimWarning(f"{text}: {DISPENSABLE[name]}"), stacklevel=3)
    return found, lost


def _read_one(source: tuple[Path, ...], name: str) -> pl.DataFrame:
    """Read a table from the first of the folders that has it."""
    path = next((folder / f"{name}.parquet" for folder in source if _has(folder, name)), None)
    if path is None:
        there = next(folder for folder in source if any(_has(folder, other) for other in TABLES))
        problem = "is missing beside the sweep's other tables: hbsim sweep --force runs all cells again"
        raise OutputError(str(there / f"{name}.parquet"), problem)
    frame = read_table(path)
    if name == MAIN and NAMES.keys() <= set(frame.columns):
        frame = frame.drop(NAMES).unique(KEY, maintain_order=True)
    if dict(frame.schema) != TABLES[name]:
        problem = "has other columns than hbsim sweep writes: --force runs all cells again"
        raise OutputError(str(path), problem)
    return frame


def _has(folder: Path, name: str) -> bool:
    return (folder / f"{name}.parquet").is_file()
