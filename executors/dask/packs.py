"""A trial's checkpoint and files as one tar file, to be carried to another host.

`unpack` stages a pack beside what it replaces, and then renames: the trial's files first, the checkpoint
last. What an interruption leaves half done is undone by whoever comes next.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from hbsim.errors import HbsimError, OutputError
from hbsim.executors import checkpoint
from hbsim.executors import checkpoint_kinds as kinds
from hbsim.executors.dask import pack_tar

__all__ = ["job_of", "pack", "recover", "unpack"]

_PART: Final = ".unpack.part"  # not whole yet, or not needed any more
_STAGE: Final = ".unpack"
_OLD: Final = "old"  # the files that were there
_ONLY: Final = "1"  # the number of a staged checkpoint


def pack(folder: Path, out: Path) -> int | None:
    """Write a trial's newest checkpoint and its own files into a tar file.

    Links in the trial's files become what they lead to; those to folders elsewhere are left out, as is what
    is neither file nor folder.

    Parameters
    ----------
    folder : Path
        The trial's; no job of it may be running.
    out : Path
        The tar file; whole or not at all.

    Returns
    -------
    job : int or None
        The number of the job that made the checkpoint, 0 if that is not known; None if the trial has no
        checkpoint, and then nothing is written.

    Raises
    ------
    OutputError
        The checkpoint is damaged, or the file cannot be written.
    """
    if not folder.is_dir():
        return None
    with _failing_clearly(folder, "cannot be packed"), _alone(folder):
        _settle(folder)
        checkpoints = folder / checkpoint.NAME
        meta = checkpoint.describe(checkpoints)
        if meta is None:
            return None
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = out.with_name(f".{out.name}.{secrets.token_hex(4)}")
        try:
            newest = checkpoints / str(max(_numbers(checkpoints)))
            pack_tar.write(temporary, newest, folder / pack_tar.FILES, meta)
            os.replace(temporary, out)
        finally:
            temporary.unlink(missing_ok=True)
        return meta["job"] or 0


def unpack(file: Path, folder: Path) -> bool:
    """Put what `pack` wrote in place of a trial's checkpoint and files, whole or not at all.

    Parameters
    ----------
    file : Path
        The tar file. Nothing in it can get out of `folder`; all but files and folders is refused.
    folder : Path
        The trial's; made if it is not there. No job of it may be running.

    Returns
    -------
    done : bool
        False if the checkpoint that is there is of a later job, or a later one of the same job; then nothing
        is changed. One that is damaged is replaced.

    Raises
    ------
    OutputError
        The file is damaged or was not written by `pack`, or the folder cannot be written. What was there is
        still there.
    """
    with _failing_clearly(file, "cannot be unpacked"), tarfile.open(file, "r:") as tar:
        head = pack_tar.read_head(tar)
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            _settle(folder)
            if _age(head) < _age(_meta(folder)):
                return False
            try:
                _stage(tar, folder / _PART, head)
                os.rename(folder / _PART, folder / _STAGE)
                _put_in_place(folder)
            finally:
                _settle(folder)
    return True


def job_of(file: Path) -> int:
    """Return the number of the job that made a tar file's checkpoint, 0 if that is not known.

    Raises
    ------
    OutputError
        The file was not written by `pack`.
    """
    with _failing_clearly(file, "cannot be read"), tarfile.open(file, "r:") as tar:
        return pack_tar.read_head(tar)["job"] or 0


def recover(folder: Path) -> None:
    """Bring a trial's folder back to what it was, if an `unpack` was interrupted in it.

    `pack` and `unpack` do so by themselves. To be called before a trial goes on from what is there.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    if (folder / _STAGE).exists() or (folder / _PART).exists():
        with _failing_clearly(folder, "cannot be put in order"), _alone(folder):
            _settle(folder)


def _stage(tar: tarfile.TarFile, stage: Path, head: dict[str, Any]) -> None:
    """Write what is in a pack into a new folder, and check that it holds what its head says."""
    tops = {
        pack_tar.CHECKPOINT: stage / checkpoint.NAME / _ONLY,
        pack_tar.FILES: stage / pack_tar.FILES,
    }
    for top in tops.values():
        top.mkdir(parents=True)
    pack_tar.read_rest(tar, tops)
    meta = checkpoint.describe(stage / checkpoint.NAME) or {}
    if any(meta[key] != head[key] for key in ("job", "resource")):
        raise ValueError("its head is not that of its checkpoint")


def _put_in_place(folder: Path) -> None:
    """Take a stage's files and checkpoint over; it counts from the last rename on."""
    stage, files, checkpoints = folder / _STAGE, folder / pack_tar.FILES, folder / checkpoint.NAME
    if os.path.lexists(files):
        os.rename(files, stage / _OLD)
    os.rename(stage / pack_tar.FILES, files)
    checkpoints.mkdir(exist_ok=True)
    before = _numbers(checkpoints)
    number = 1 + max(before, default=0)
    os.rename(stage / checkpoint.NAME / _ONLY, checkpoints / str(number))
    kinds.sync(checkpoints)
    kinds.sync(folder)
    for older in before:
        shutil.rmtree(checkpoints / str(older), ignore_errors=True)


def _settle(folder: Path) -> None:
    """Undo a stage that does not count yet, clear away one that does; each step can be interrupted."""
    part, stage, files = folder / _PART, folder / _STAGE, folder / pack_tar.FILES
    if stage.is_dir():
        if (stage / checkpoint.NAME / _ONLY).is_dir():
            if not (stage / pack_tar.FILES).is_dir():
                os.rename(files, stage / pack_tar.FILES)
            if os.path.lexists(stage / _OLD):
                os.rename(stage / _OLD, files)
        shutil.rmtree(part, ignore_errors=True)
        os.rename(stage, part)
    shutil.rmtree(part, ignore_errors=True)


def _numbers(checkpoints: Path) -> list[int]:
    return [int(name) for name in os.listdir(checkpoints) if name.isascii() and name.isdigit()]


def _meta(folder: Path) -> dict[str, Any] | None:
    try:
        return checkpoint.describe(folder / checkpoint.NAME)
    except OutputError:  # damaged
        return None


def _age(meta: dict[str, Any] | None) -> tuple[float, float]:
    if meta is None:
        return (float("-inf"), 0.0)
    resource = meta["resource"]
    return (meta["job"] or 0, float("-inf") if resource is None else resource)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes that pack or unpack out of a trial's folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems cannot
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _failing_clearly(path: Path, problem: str) -> Iterator[None]:
    try:
        yield
    except HbsimError:
        raise
    except (OSError, *pack_tar.DAMAGED) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise OutputError(str(path), f"{problem}: {reason}") from error
