"""Results in a folder, whole or not at all; and one JSON object on stdout."""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hbsim.errors import OutputError, ParameterError
from hbsim.terminal import print_out

if TYPE_CHECKING:
    import polars as pl

__all__ = ["MARKER", "output_folder", "plain", "print_json", "versions", "write_frame", "write_json"]

MARKER: Final = "hbsim.json"  # in every folder of results: what hbsim wrote there


@contextmanager
def output_folder(out: Path, force: bool = False, field: str = "out") -> Iterator[Path]:
    """Give a temporary folder beside `out`, which becomes `out` at the end, or is removed on any error.

    Parameters
    ----------
    out : path
        Does not exist, or is an empty folder; folders above it are made.
    force : bool
        Whether `out` may be a folder that hbsim wrote, which is replaced, as long as nothing else is in it.
    field : str
        The option that names it, for errors.

    Yields
    ------
    path
        Where to write the files.

    Raises
    ------
    ParameterError
        `out` is a file, or holds something that is not to be replaced; before anything is done.
    OutputError
        The files cannot be written, such as on a full disk.
    """
    check = partial(_check, str(out), force, field)
    out = Path(os.path.realpath(out))
    check(out)
    made = _make_parents(out.parent)
    try:
        with _as_output_error(out):
            temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}.hbsim-", dir=out.parent))
        try:
            with _as_output_error(out):
                yield temporary
                _seal(temporary)
                check(out)
                _move(temporary, out)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except BaseException:
        for folder in reversed(made):
            with suppress(OSError):
                folder.rmdir()
        raise


def _check(name: str, force: bool, field: str, out: Path) -> None:
    if not out.exists():
        return
    if not out.is_dir():
        raise ParameterError(field, name, "is a file; give a folder")
    with _as_output_error(out):
        there = {path.name for path in out.iterdir()}
    if not there:
        return
    ours = _written(out)
    if ours is None:
        rule = "is a folder with files that hbsim did not write; choose another name"
        raise ParameterError(field, name, rule)
    if not force:
        raise ParameterError(field, name, "holds results already; --force replaces them")
    if others := sorted(there - ours):
        rule = f"holds {others[0]}, which hbsim did not write; move it away first"
        raise ParameterError(field, name, rule)


def _written(folder: Path) -> set[str] | None:
    """Return the names of the files that hbsim wrote into a folder; None if it is none of its folders."""
    try:
        marker = json.loads((folder / MARKER).read_text("utf-8"))
        return {MARKER, *map(str, marker["files"])} if marker["schema"] == 1 else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _make_parents(folder: Path) -> list[Path]:
    """Make a folder and those above it; return the new ones, from the top."""
    new = [path for path in (folder, *folder.parents) if not path.exists()][::-1]
    with _as_output_error(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return new


@contextmanager
def _as_output_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OutputError:
        raise
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(str(path), f"cannot be written: {error.strerror or error}") from error


def _seal(folder: Path) -> None:
    """Write the marker, and have everything on the disk."""
    names = sorted(path.name for path in folder.iterdir())
    write_json(folder / MARKER, {"schema": 1, "files": names})
    for path in (*folder.iterdir(), folder):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    mask = os.umask(0)
    os.umask(mask)
    folder.chmod(0o777 & ~mask)


def _move(temporary: Path, out: Path) -> None:
    """Put the folder in its place; what was there goes only once the new one stands."""
    aside = None
    if out.exists() and any(out.iterdir()):
        aside = Path(tempfile.mkdtemp(prefix=f".{out.name}.hbsim-old-", dir=out.parent))
        os.replace(out, aside)
    try:
        os.replace(temporary, out)
    except OSError:
        if aside is not None:
            os.replace(aside, out)
        raise
    if aside is not None:
        shutil.rmtree(aside, ignore_errors=True)


# Files


def write_frame(frame: pl.DataFrame, path: Path) -> None:
    """Write a frame as Parquet; the same frame gives the same bytes."""
    from polars.exceptions import ComputeError

    try:
        with path.open("wb") as file:
            frame.write_parquet(file)
    except ComputeError as error:  # how Polars says that a disk is full
        raise OSError(str(error).rpartition("error: ")[2]) from error


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write an object as JSON; numbers that are not finite become null."""
    path.write_text(json.dumps(plain(content), indent=2, allow_nan=False) + "\n", "utf-8")


def print_json(content: Mapping[str, object]) -> None:
    """Print one JSON object, with ``"schema": 1`` first, on stdout."""
    print_out(json.dumps(plain({"schema": 1, **content}), allow_nan=False))


def plain(content: object) -> object:
    """Return the same with null for numbers that are not finite, and lists for other sequences."""
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, Mapping):
        return {str(key): plain(value) for key, value in content.items()}
    if isinstance(content, Sequence) and not isinstance(content, str):
        return [plain(value) for value in content]
    return content


def versions() -> dict[str, str]:
    """Return the versions of what decides about the bytes of results."""
    import platform
    from importlib.metadata import version

    libraries = ("hbsim", "numpy", "polars", "simpy")
    return {"python": platform.python_version(), **{name: version(name) for name in libraries}}
