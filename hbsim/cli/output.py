"""Output of commands: a folder that is written atomically, one JSON object on stdout, progress on stderr."""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hbsim import terminal
from hbsim.errors import OutputError, ParameterError
from hbsim.terminal import print_out

if TYPE_CHECKING:
    import polars as pl
    from rich.console import Console, RenderableType
    from rich.table import Table

MARKER: Final = "hbsim.json"  # in every folder of results: the names of the files that hbsim wrote
SILENT: Final = 1.0  # seconds before progress is shown
SURE: Final = 5.0  # seconds before the remaining time is estimated
FEW: Final = 5  # items before the remaining time is estimated


@contextmanager
def output_folder(out: Path, force: bool = False, field: str = "folder") -> Iterator[Path]:
    """Yield a temporary folder beside `out`, which becomes `out` at the end, or is removed on any error.

    Parameters
    ----------
    out : path
        A path that does not exist, or an empty folder; parent folders are made.
    force : bool
        Whether to replace `out` if it is a folder that hbsim wrote, without other files in it.
    field : str
        The option for `out`, for errors.

    Yields
    ------
    path
        The folder for the files.

    Raises
    ------
    ParameterError
        `out` is a file, or a folder that may not be replaced; raised before any work.
    OutputError
        The files cannot be written, for example on a full disk.
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
    """Return the names of the files that hbsim wrote into a folder; None if it is no folder of hbsim's."""
    try:
        marker = json.loads((folder / MARKER).read_text("utf-8"))
        return {MARKER, *map(str, marker["files"])} if marker["schema"] == 1 else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _make_parents(folder: Path) -> list[Path]:
    """Make a folder and its parents; return the new ones, from the top."""
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
    """Write the marker, and flush all files to the disk."""
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
    """Move the folder to its place; an earlier one is removed only after that."""
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
    """Write a frame as Parquet; equal frames give equal bytes."""
    from polars.exceptions import ComputeError

    try:
        with path.open("wb") as file:
            frame.write_parquet(file)
    except ComputeError as error:  # Polars raises this for a full disk
        raise OSError(str(error).rpartition("error: ")[2]) from error


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write an object as JSON; numbers that are not finite become null."""
    path.write_text(json.dumps(plain(content), indent=2, allow_nan=False) + "\n", "utf-8")


def print_json(content: Mapping[str, object]) -> None:
    """Print one JSON object, with ``"schema": 1`` first, on stdout."""
    print_out(json.dumps(plain({"schema": 1, **content}), allow_nan=False))


def plain(content: object) -> object:
    """Return the content with null for numbers that are not finite, and lists for other sequences."""
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, Mapping):
        return {str(key): plain(value) for key, value in content.items()}
    if isinstance(content, Sequence) and not isinstance(content, str):
        return [plain(value) for value in content]
    return content


def versions() -> dict[str, str]:
    """Return the versions of the packages that affect the bytes of results."""
    import platform
    from importlib.metadata import version

    libraries = ("hbsim", "numpy", "polars", "simpy")
    return {"python": platform.python_version(), **{name: version(name) for name in libraries}}


# For people


def wide_console(width: int) -> Console:
    """Return the console of stdout; if stdout is no terminal, this width keeps lines from being broken."""
    console = terminal.console()
    if not console.is_terminal:
        console.width = width
    return console


def facts(lines: Iterable[tuple[str, str]]) -> Table:
    """Return a table of names and facts, in two columns."""
    from rich.table import Table
    from rich.text import Text

    made = Table.grid(padding=(0, 2))
    made.add_column(style="dim")
    made.add_column(overflow="fold")
    for name, text in lines:
        made.add_row(name, Text(text))
    return made


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], left: Collection[str] = ()) -> Table:
    """Return a table without rules; columns are aligned to the right, except those in `left`."""
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for heading in headings:
        made.add_column(heading, overflow="fold", justify="left" if heading in left else "right")
    for row in rows:
        made.add_row(*map(Text, row))
    return made


def duration(seconds: float) -> str:
    """Return seconds as text for people: ``5,432 s (1.5 h)``."""
    for unit, length in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds:,.0f} s ({seconds / length:.1f} {unit})"
    return f"{seconds:.4g} s"


# Progress


@contextmanager
def progress(count: Callable[[], int], total: int | None, what: str) -> Iterator[None]:
    """Show progress and the estimated remaining time, only on a terminal, after the first second.

    Items that exist at the beginning do not count for the estimate. Rich calls `count` a few times a second,
    so the work itself reports nothing.

    Parameters
    ----------
    count : callable
        Returns the number of finished items.
    total : int, optional
        The number of all items; None if it is unknown.
    what : str
        The name of the items: "trials started".
    """
    if not sys.stderr.isatty():
        yield
        return
    from rich.live import Live

    begin, first = time.monotonic(), count()

    def line() -> RenderableType:
        seconds = time.monotonic() - begin
        return "" if seconds < SILENT else _progress_line(count(), total, what, seconds, first)

    console = terminal.console(stderr=True)
    with Live(console=console, get_renderable=line, refresh_per_second=4, transient=True):
        yield


def _progress_line(done: int, total: int | None, what: str, seconds: float, first: int = 0) -> RenderableType:
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    columns = Table.grid(padding=(0, 1))
    known = total is not None
    bar = ProgressBar(total=total, completed=done, width=40, pulse=not known)
    left = "" if total is None else _left(done - first, total - done, seconds)
    columns.add_row(bar, f"{done:,}{f' of {total:,}' if known else ''} {what}, {seconds:.0f} s{left}")
    return columns


def _left(new: int, rest: int, seconds: float) -> str:
    """Return the estimated remaining time as text, once enough new items are finished."""
    if seconds < SURE or new < FEW or rest <= 0:
        return ""
    return f", about {duration(float(f'{rest * seconds / new:.2g}'))} left"
