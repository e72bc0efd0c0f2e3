"""Parquet files: the same bytes for the same rows, and one line for a file that cannot be read."""

from __future__ import annotations

import io
import os
from pathlib import Path

import polars as pl

from hbsim.errors import OutputError

__all__ = ["parquet", "read_table", "write_table"]


def parquet(frame: pl.DataFrame) -> bytes:
    """Return a table as the content of a file."""
    buffer = io.BytesIO()
    frame.rechunk().write_parquet(buffer)  # or its bytes would tell of how it came together
    return buffer.getvalue()


def write_table(path: Path, frame: pl.DataFrame) -> None:
    """Write a table, and wait until it is on the disk."""
    with path.open("wb") as file:
        file.write(parquet(frame))
        file.flush()
        os.fsync(file.fileno())


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
