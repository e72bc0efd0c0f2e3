"""A trial's checkpoint and files that were copied from another host: put in place whole, or not at all.

The copy lies in a staging folder of the same file system. `install` moves that into the trial's folder, and
then renames: the trial's files first, the checkpoint last, which is the moment from which it counts. What an
interruption leaves half done is undone by whoever comes next.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from hbsim.errors import OutputError
from hbsim.executors import checkpoint

__all__ = ["FILES", "install", "newest", "newest_of_all", "recover"]

FILES: Final = "files"  # the folder of a trial's own files, in the trial's folder
_STAGE: Final = ".install"
_OLD: Final = "old"  # the files that were there before, in the stage


def newest(folder: Path) -> tuple[int, Path] | None:
    """Return the job that made a trial's newest sound checkpoint, and the checkpoint's folder.

    Parameters
    ----------
    folder : Path
        The trial's.

    Returns
    -------
    (int, Path) or None
        The job is 0 if it is not known. None if there is no sound checkpoint.

    Raises
    ------
    OutputError
        The folder cannot be read.
    """
    found = checkpoint.newest(folder / checkpoint.NAME)
    return None if found is None else (found[1]["job"] or 0, found[0])


def newest_of_all(trials: Path) -> dict[int, tuple[int, Path]]:
    """Return of each trial with a sound checkpoint in a folder of trials the same as `newest`."""
    found: dict[int, tuple[int, Path]] = {}
    for folder in trials.glob("[0-9]*"):
        with suppress(OutputError, ValueError):  # a damaged one cannot be used: its trial says so
            recover(folder)
            if (made := newest(folder)) is not None:
                found[int(folder.name)] = made
    return found


def install(stage: Path, folder: Path) -> bool:
    """Put a copied checkpoint and files in place of a trial's newest checkpoint and files.

    Parameters
    ----------
    stage : Path
        Holds ``checkpoint``, one checkpoint's folder, and ``files``, which may be absent. It is gone
        afterwards if True is returned.
    folder : Path
        The trial's, of the same file system; made if it is not there. No job of it may be running.

    Returns
    -------
    done : bool
        False if the checkpoint that is there is of a later job, or a later one of the same job; then nothing
        is changed.

    Raises
    ------
    OutputError
        The copy is damaged, or the folder cannot be written. What was there is still there.
    """
    described = checkpoint.describe_one(stage / checkpoint.NAME)
    with _alone(folder):
        _settle(folder)
        if _age(described) < _age(checkpoint.describe(folder / checkpoint.NAME)):
            return False
        (stage / FILES).mkdir(exist_ok=True)
        os.rename(stage, folder / _STAGE)
        try:
            _put_in_place(folder)
        finally:
            _settle(folder)
    return True


def recover(folder: Path) -> None:
    """Bring a trial's folder back to what it was, if an `install` was interrupted in it.

    To be called before a trial goes on from what is there; `install` does so by itself.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    if (folder / _STAGE).exists():
        with _alone(folder):
            _settle(folder)


def _put_in_place(folder: Path) -> None:
    stage, files, checkpoints = folder / _STAGE, folder / FILES, folder / checkpoint.NAME
    if os.path.lexists(files):
        os.rename(files, stage / _OLD)
    os.rename(stage / FILES, files)
    checkpoints.mkdir(exist_ok=True)
    number = 1 + max((int(name) for name in os.listdir(checkpoints) if name.isdecimal()), default=0)
    os.rename(stage / checkpoint.NAME, checkpoints / str(number))  # from now on it counts
    checkpoint.thin_out(checkpoints)


def _settle(folder: Path) -> None:
    """Undo a stage that does not count yet, and clear away one that does; each step can be interrupted."""
    stage, files = folder / _STAGE, folder / FILES
    if (stage / checkpoint.NAME).is_dir():  # it does not count
        if not (stage / FILES).is_dir():
            os.rename(files, stage / FILES)
        if os.path.lexists(stage / _OLD):
            os.rename(stage / _OLD, files)
        shutil.rmtree(stage / checkpoint.NAME)
    shutil.rmtree(stage, ignore_errors=True)


def _age(described: checkpoint.Meta | None) -> tuple[float, float]:
    if described is None:
        return (float("-inf"), 0.0)
    resource = described["resource"]
    return (described["job"] or 0, float("-inf") if resource is None else resource)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes that install out of a trial's folder, which is made if it is not there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            with suppress(OSError):  # some network file systems cannot
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(str(folder), f"the checkpoint cannot be put in place: {error}") from error
