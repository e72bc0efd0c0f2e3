"""Files that are on the disk when they are said to be, and Parquet: the same bytes for the same rows."""

from __future__ import annotations

import io
import os
from pathlib import Path

import polars as pl

from hbsim.errors import OutputError

__all__ = ["move", "parquet", "read_table", "write"]


def parquet(frame: pl.DataFrame) -> bytes:
    """Return a table as the content of a file."""
    buffer = io.BytesIO()
    frame.rechunk().write_parquet(buffer)  # or its bytes would tell of how it came together
    return buffer.getvalue()


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
    from polars.exceptions import PolarsError

    try:
        return pl.read_parquet(path.read_bytes())
    except OSError as error:
        raise OutputError(str(path), f"cannot be read: {error.strerror or error}") from error
    except PolarsError:
        problem = "is no whole Parquet file, cut short perhaps: hbsim sweep --force runs all cells again"
        raise OutputError(str(path), problem) from None
