"""Where an import may write: never over what it reads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from hbsim.errors import ParameterError
from hbsim.surrogates.notes import beside

__all__ = ["check_out"]

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
