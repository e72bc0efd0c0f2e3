"""Files that are on the disk when they are said to be, and tables in them."""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl

from hbsim.errors import OutputError
from hbsim.surrogates.parquet import Damaged, parquet, read_sealed

__all__ = ["move", "parquet", "read_table", "write"]


def write(path: Path, content: bytes) -> None:
    """Write a file, and wait until it is on the disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def move(source: Path, target: Path) -> None:
    """Rename a file or folder in place of another, and wait until that is on the disk."""
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
        It cannot be read, or was cut short.
    """
    try:
        return read_sealed(path)
    except OSError as error:
        raise OutputError(str(path), f"cannot be read: {error.strerror or error}") from error
    except Damaged:
        problem = (
            "is not as hbsim sweep wrote it, cut short perhaps: hbsim sweep --force runs all cells again"
        )
        raise OutputError(str(path), problem) from None
