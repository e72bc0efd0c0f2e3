"""How a sweep's folder changes: each step can be the last one, and nothing finished is lost.

A part is written beside the others under another name, and renamed. To close, all tables are written into a
folder that is renamed to ``closed``: from then on they count, and no part. Its files are then moved to their
places, one by one; whoever opens the folder next goes on with that.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from hbsim.bench.sweep.parquet import move, parquet, read_table, write
from hbsim.bench.sweep.tables import MAIN, TABLES, Frames
from hbsim.errors import OutputError

__all__ = ["CLOSED", "KEPT", "PARTS", "add_folder", "close_folder", "parts", "recover", "sources", "writing"]

PARTS: Final = "parts"
KEPT: Final = "kept"  # what an earlier file asked for, and this one does not
CLOSED: Final = "closed"  # all of it, on its way to its place


def parts(folder: Path) -> list[Path]:
    """Return the parts, the earliest first."""
    try:
        names = [name for name in os.listdir(folder / PARTS) if name.isdigit()]
    except FileNotFoundError:
        return []
    return [folder / PARTS / name for name in sorted(names, key=int)]


def sources(folder: Path) -> list[tuple[Path, ...]]:
    """Return where tables are, the later ones of a study behind the earlier.

    Each is some folders: of a table the file in the first that has it.
    """
    closed = folder / CLOSED
    places: list[tuple[Path, ...]]
    if closed.is_dir():
        places = [(closed, folder), (closed / KEPT, folder / KEPT)]
    else:
        places = [(folder,), (folder / KEPT,), *((path,) for path in parts(folder))]
    return [place for place in places if _has_any(place)]


def add_folder(folder: Path, number: int, frames: Frames) -> None:
    """Add a part, all of it or nothing.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    target = folder / PARTS / f"{number:06d}"
    temporary = target.with_name(f".{target.name}")
    with writing(target):
        _write_new(temporary, frames)
        move(temporary, target)


def close_folder(folder: Path, frames: Frames, others: Frames) -> None:
    """Let tables be all that there is; `others` are those that are kept.

    Raises
    ------
    OutputError
        They cannot be written; what there was is still there then.
    """
    temporary = folder / f".{CLOSED}"
    with writing(folder):
        _write_new(temporary, frames)
        _write_new(temporary / KEPT, others)
        move(temporary, folder / CLOSED)
    recover(folder)


def recover(folder: Path) -> None:
    """Go on with what `close_folder` has begun, if it has; nobody else may be at the folder.

    Raises
    ------
    OutputError
        Files cannot be moved.
    """
    closed = folder / CLOSED
    with writing(folder):
        if closed.is_dir():
            _remove(folder / PARTS)
            for path in sorted(closed.glob("*.parquet")):
                move(path, folder / path.name)
            if (closed / KEPT).is_dir():
                _remove(folder / KEPT)
                move(closed / KEPT, folder / KEPT)
            closed.rmdir()
        if _is_empty(folder / KEPT):
            _remove(folder / KEPT)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say what cannot be written, as an `OutputError`."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(str(path), f"cannot be written: {error.strerror or error}") from error


def _write_new(folder: Path, frames: Frames) -> None:
    _remove(folder)
    folder.mkdir(parents=True)
    for name, frame in frames.items():
        write(folder / f"{name}.parquet", parquet(frame))


def _has_any(place: tuple[Path, ...]) -> bool:
    return any((folder / f"{name}.parquet").is_file() for folder in place for name in TABLES)


def _is_empty(kept: Path) -> bool:
    path = kept / f"{MAIN}.parquet"
    return path.is_file() and read_table(path).is_empty()


def _remove(folder: Path) -> None:
    if folder.is_dir():
        shutil.rmtree(folder)
