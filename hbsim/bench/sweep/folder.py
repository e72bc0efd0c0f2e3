"""The folder of a sweep: what may be in it, and what is there already."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Final

import polars as pl

from hbsim.bench.sweep.disk import recover, writing
from hbsim.bench.sweep.manifest import MANIFEST, PLAN, SPEC, digest, read_manifest, written
from hbsim.bench.sweep.parquet import move, parquet, write
from hbsim.bench.sweep.store import OURS, Store
from hbsim.bench.sweep.sweep import Sweep
from hbsim.errors import HbsimWarning, OutputError, ParameterError
from hbsim.history.lock import StudyLock

__all__ = ["ANYTIME", "is_own", "look_into", "open_folder", "write_down"]

ANYTIME: Final = "anytime"
LOCK: Final = "lock"
_WRITTEN: Final = (MANIFEST, SPEC, PLAN)
_ALL: Final = OURS | {*_WRITTEN, *(f".{name}" for name in _WRITTEN), f"{ANYTIME}.parquet"}


@contextmanager
def open_folder(out: Path, plan: pl.DataFrame, force: bool) -> Iterator[Store]:
    """Give what is finished in a folder, which is made if it is not there, to this process alone.

    Parameters
    ----------
    out : path
        Does not exist, is empty, or is a sweep's.
    plan : polars.DataFrame
        The cells that are wanted.
    force : bool
        Whether what a sweep left there may be replaced. Other files stay.

    Warns
    -----
    HbsimWarning
        Finished studies are thrown away.

    Raises
    ------
    ParameterError
        The folder holds something else, another sweep, or one of another version (field ``out``).
    OutputError
        It cannot be read or made, or another process is at it.
    """
    _look(out)  # before a lock is put into somebody's folder
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    with StudyLock(out):
        there = _look(out)
        if there and force:
            _say_lost(out)
            _clear(out, there)
        elif there:
            _check_version(out)
            recover(out)
        store = Store(out)
        _check_same(out, store, plan)
        yield store


def look_into(out: Path, plan: pl.DataFrame, force: bool) -> Store | None:
    """Return what is finished in a folder, None if nothing is or it is to be replaced; nothing is made.

    Raises
    ------
    ParameterError, OutputError
        As `open_folder`.
    """
    if not _look(out) or force:
        return None
    _check_version(out)
    store = Store(out)
    _check_same(out, store, plan)
    return store


def write_down(sweep: Sweep, out: Path, command: str) -> None:
    """Write what is wanted: the file, the cells, and what a reader needs beside the results.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    plan = parquet(sweep.plan)
    manifest = written({**sweep.manifest(), "plan": digest(plan)}, command)
    with writing(out):  # first what makes the folder a sweep's
        for name, content in ((MANIFEST, manifest), (PLAN, plan), (SPEC, sweep.source.text.encode())):
            temporary = out / f".{name}"
            write(temporary, content)
            move(temporary, out / name)


def is_own(folder: Path, path: Path) -> bool:
    """Return whether a path is a sweep's folder, or in it under one of the names that the sweep uses."""
    folder, path = folder.resolve(), path.resolve()
    if path == folder or folder not in path.parents:
        return path == folder
    return path.relative_to(folder).parts[0] in {*_ALL, LOCK}


def _look(out: Path) -> set[str]:
    """Return the names of what is in a folder, the lock aside; empty if it is not there."""
    try:
        there = {path.name for path in out.iterdir()} - {LOCK}
    except FileNotFoundError:
        return set()
    except NotADirectoryError:
        raise ParameterError("out", str(out), "is a file; give a folder") from None
    except OSError as error:
        raise OutputError(str(out), f"cannot be read: {error.strerror or error}") from error
    there -= {f".{MANIFEST}"}  # all that there is where a sweep was ended as it began
    if there and MANIFEST not in there:
        raise ParameterError("out", str(out), "is a folder with files that hbsim sweep did not write")
    return there


def _say_lost(out: Path) -> None:
    """Warn of finished cells that are about to go."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HbsimWarning)
        try:
            count = len(Store(out).status)
        except OutputError:  # damaged: nobody knows
            return
    if count:
        text = f"{count:,} finished {'study' if count == 1 else 'studies'} in {out} are thrown away"
        warnings.warn(HbsimWarning(text), stacklevel=4)


def _clear(out: Path, there: set[str]) -> None:
    """Remove what a sweep left, last what makes the folder a sweep's."""
    with writing(out):
        for name in sorted(there & _ALL, key=lambda name: (name == MANIFEST, name)):
            path = out / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def _check_version(out: Path) -> None:
    by, now = read_manifest(out)["versions"]["hbsim"], version("hbsim")
    if by != now:
        rule = (
            f"is of hbsim {by}, and this is {now}: studies of two versions do not mix; --force runs all again"
        )
        raise ParameterError("out", str(out), rule)


def _check_same(out: Path, store: Store, plan: pl.DataFrame) -> None:
    if store.status and not store.status.keys() & set(plan["key"]):
        rule = f"holds another sweep, with {len(store.status):,} studies; --force replaces it"
        raise ParameterError("out", str(out), rule)
