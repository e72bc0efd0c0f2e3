"""How files of curves are written: never over what they are made from, and whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from hbsim.errors import OutputError, ParameterError
from hbsim.surrogates.notes import beside
from hbsim.surrogates.recorded import SAID

if TYPE_CHECKING:
    import polars

__all__ = ["check_out", "free_name", "write_curves"]

_SUFFIXES: Final = (".parquet", ".csv")
_TOOLS: Final = ("results.csv", "progress.csv")  # what tools leave under such a suffix


def check_out(
    out: str | os.PathLike[str], *, force: bool, sources: Sequence[str | os.PathLike[str]] = ()
) -> Path:
    """Return where to write, or raise a ParameterError that says why it cannot be.

    Parameters
    ----------
    out : path
        The file.
    force : bool
        Whether it may be there already.
    sources : sequence of path
        What is read, which is never replaced.

    Raises
    ------
    ParameterError
        `out` ends in neither .parquet nor .csv, is a folder or one of the sources, or is there and `force`
        is not given.
    """
    path = Path(out)
    if path.suffix not in _SUFFIXES:
        raise ParameterError("out", str(path), f"must end in {' or '.join(_SUFFIXES)}")
    if os.path.isdir(path):
        raise ParameterError("out", str(path), "is a folder")
    if any(_is_of(path, Path(source)) for source in sources):
        raise ParameterError("out", str(path), "is what is read: give another name")
    for written in (path, beside(path)):
        if written is not None and os.path.exists(written) and not force:
            raise ParameterError("out", str(written), "is there already; force=True replaces it")
    return path


def _is_of(path: Path, source: Path) -> bool:
    """Return whether a file is a source, or one that a tool left in the folder which is the source."""
    if not path.is_file() or not source.exists():
        return False
    if not source.is_dir():
        return path.samefile(source)
    return path.name in _TOOLS and source.resolve() in path.resolve().parents


def free_name(name: str, prefix: str, taken: set[str], renamed: dict[str, str]) -> str:
    """Return what a column is called, which is taken from then on: with the prefix where it was before.

    Parameters
    ----------
    name : str
        What it was reported as.
    prefix : str
        ``"metric_"`` or ``"hp_"``.
    taken : set of str
        The names of other columns; gets this one.
    renamed : dict
        Gets what is to be said of a name that was taken.
    """
    new = name
    while new in taken:
        new = prefix + new
    taken.add(new)
    if new != name:
        renamed[f"{'hyperparameter' if prefix == 'hp_' else 'metric'} {name}"] = new
    return new


def write_curves(path: Path, frame: polars.DataFrame, said: Mapping[str, object]) -> None:
    """Write a table in long form: Parquet that says of itself what is in it, or CSV with that beside it.

    Parameters
    ----------
    path : Path
        The file, as `check_out` returned it.
    frame : polars.DataFrame
        The table.
    said : mapping
        What `docs/how-to/record.md` describes.

    Raises
    ------
    OutputError
        It cannot be written; what was there still is.
    """
    from hbsim.surrogates.parquet import parquet

    notes = beside(path)
    if notes is None:
        decides = {f"hbsim.{name}": str(said[name]) for name in SAID if name != "time" and said.get(name)}
        content = parquet(frame, {"hbsim": json.dumps(said), **decides}, level=19)
        _write(path, lambda file: file.write(content))
        return
    _write(path, frame.write_csv)
    _write(notes, lambda file: file.write(f"{json.dumps(said, indent=2)}\n".encode()))


def _write(path: Path, put: Callable[[BinaryIO], object]) -> None:
    """Write a file, all of it or nothing."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            put(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise OutputError(str(path), f"cannot be written: {error.strerror or error}") from error
    finally:
        if temporary.is_file():
            temporary.unlink()
