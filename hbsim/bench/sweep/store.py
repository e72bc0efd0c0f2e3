"""What is finished of a sweep, on disk: nothing that was is lost, whenever it ends.

While a sweep runs, outcomes are added as *parts*: folders that appear whole, by a rename. At the end they
become one Parquet file a table, in the order of the sweep's cells, and the parts go.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, TypeAlias

import polars as pl

from hbsim.errors import OutputError

__all__ = ["KEPT", "MAIN", "NAMES", "PARTS", "TABLES", "Frames", "Store", "read_table"]

# A row a study in the first and the last, several in the others; `key` says whose. In the end the first has
# the names of the cells as well, and a study that two cells share twice.
TABLES: Final = ("cells", "incumbents", "rungs", "brackets", "timelines", "timings")
MAIN: Final = "cells"
PARTS: Final = "parts"
KEPT: Final = "kept"  # among the parts: what an earlier file asked for, and this one does not
KEY: Final = "key"
NAMES: Final = ("variant", "surrogate", "cluster", "workers", "seed")

Frames: TypeAlias = Mapping[str, pl.DataFrame]


class Store:
    """The outcomes in a folder.

    Parameters
    ----------
    folder : path
        The sweep's; it exists.

    Attributes
    ----------
    status : dict
        From the key of each study that is there to "done" or "failed".

    Raises
    ------
    OutputError
        A file cannot be read: cut short, or none of hbsim's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._parts = folder / PARTS
        self._next = 0
        self._tables = {name: self._read(name) for name in TABLES}
        main = self._tables[MAIN]
        self.status: dict[str, str] = (
            {} if main.is_empty() else dict(zip(main[KEY], main["status"], strict=True))
        )

    def _folders(self) -> list[Path]:
        """Return where tables are, what counts first."""
        if not self._parts.is_dir():
            return [self.folder]
        parts = sorted((path for path in self._parts.iterdir() if path.name.isdigit()), reverse=True)
        self._next = max((int(path.name) + 1 for path in parts), default=0)
        return [*parts, self.folder, self._parts / KEPT]

    def _read(self, name: str) -> pl.DataFrame:
        """Return a table: of a study that is there twice, the later rows."""
        frames: list[pl.DataFrame] = []
        seen: set[str] = set()
        for folder in self._folders():
            path = folder / f"{name}.parquet"
            if not path.is_file():
                continue
            frame = read_table(path)
            if name == MAIN:
                frame = frame.drop(NAMES, strict=False).unique(KEY, maintain_order=True)
            fresh = frame.filter(~pl.col(KEY).is_in(list(seen))) if seen else frame
            frames.append(fresh)
            # A study without rows in this table is none the less there; its later outcome counts.
            main = folder / f"{MAIN}.parquet"
            seen.update(read_table(main)[KEY] if main.is_file() else frame[KEY])
        return pl.concat(frames, how="vertical_relaxed") if frames else pl.DataFrame()

    def add(self, frames: Frames) -> None:
        """Add outcomes, all of them or none.

        Raises
        ------
        OutputError
            They cannot be written.
        """
        target = self._parts / f"{self._next:06d}"
        temporary = self._parts / f".{target.name}"
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            _write_all(frames, temporary)
            os.replace(temporary, target)
        except OSError as error:
            raise OutputError(str(target), f"cannot be written: {error.strerror or error}") from error
        self._next += 1
        for name, frame in frames.items():
            kept = self._tables[name]
            keys = frames[MAIN][KEY].to_list()
            kept = kept.filter(~pl.col(KEY).is_in(keys)) if not kept.is_empty() else kept
            self._tables[name] = (
                frame if kept.is_empty() else pl.concat([kept, frame], how="vertical_relaxed")
            )
        self.status.update(zip(frames[MAIN][KEY], frames[MAIN]["status"], strict=True))

    def tables(self, keys: Iterable[str]) -> dict[str, pl.DataFrame]:
        """Return the rows of these studies, in this order."""
        order = pl.DataFrame({KEY: list(dict.fromkeys(keys))}, schema={KEY: pl.String})
        return {
            name: table
            if table.is_empty()
            else order.join(table, on=KEY, how="inner", maintain_order="left_right")
            for name, table in self._tables.items()
        }

    def others(self, keys: Iterable[str]) -> dict[str, pl.DataFrame]:
        """Return the rows of all other studies."""
        known = list(set(keys))
        return {
            name: table if table.is_empty() else table.filter(~pl.col(KEY).is_in(known))
            for name, table in self._tables.items()
        }

    def close(self, frames: Frames, others: Frames) -> None:
        """Write one file a table, keep others apart, and let the parts go.

        Parameters
        ----------
        frames : mapping
            Tables by name, each for one file in the folder.
        others : mapping
            What is kept for a later file.

        Raises
        ------
        OutputError
            They cannot be written; the parts are still there then.
        """
        try:
            temporary = self.folder / ".closing"
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()
            _write_all(frames, temporary)
            kept = self._parts / KEPT
            if not others[MAIN].is_empty():
                (temporary / KEPT).mkdir()
                _write_all(others, temporary / KEPT)
                shutil.rmtree(kept, ignore_errors=True)
                self._parts.mkdir(exist_ok=True)
                os.replace(temporary / KEPT, kept)
            for name in frames:
                os.replace(temporary / f"{name}.parquet", self.folder / f"{name}.parquet")
            temporary.rmdir()
            self._drop_parts(keep=not others[MAIN].is_empty())
        except OSError as error:
            raise OutputError(str(self.folder), f"cannot be written: {error.strerror or error}") from error

    def _drop_parts(self, keep: bool) -> None:
        if not self._parts.is_dir():
            return
        for path in self._parts.iterdir():
            if path.name != KEPT or not keep:
                shutil.rmtree(path)
        if not keep:
            self._parts.rmdir()


def read_table(path: Path) -> pl.DataFrame:
    """Read a table.

    Raises
    ------
    OutputError
        It cannot be read, or was cut short.
    """
    from polars.exceptions import PolarsError

    try:
        return pl.read_parquet(path.read_bytes())
    except OSError as error:
        raise OutputError(str(path), f"cannot be read: {error.strerror or error}") from error
    except PolarsError:
        rule = "is no whole Parquet file, cut short perhaps: remove it, and run the sweep again"
        raise OutputError(str(path), rule) from None


def _write_all(frames: Frames, folder: Path) -> None:
    for name, frame in frames.items():
        path = folder / f"{name}.parquet"
        with path.open("wb") as file:
            frame.write_parquet(file)
            file.flush()
            os.fsync(file.fileno())
