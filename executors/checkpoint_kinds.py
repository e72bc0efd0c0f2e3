"""What a checkpoint can hold: values, or a folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, Final

from hbsim.errors import OutputError, ParameterError
from hbsim.executors import checkpoint_values
from hbsim.executors.checkpoint_values import Unreadable

__all__ = ["Unreadable", "check", "read", "sync", "write"]

_VALUES: Final = "values"  # the kind, and its file
_FOLDER: Final = "folder"
_FILES: Final = "files"


def check(obj: object, folder: Path) -> None:
    """Check what can be checked before anything is written to `folder`.

    Raises
    ------
    ParameterError
        It is None, or the path of something else than a folder.
    """
    if obj is None:
        raise ParameterError("checkpoint", obj, "None means that there is none; save something else")
    if isinstance(obj, os.PathLike):
        path = Path(obj)
        if not path.is_dir():
            raise ParameterError("checkpoint", str(path), "must be a folder that exists, to save its content")
        if path.resolve() in (folder.resolve(), *folder.resolve().parents):
            raise ParameterError("checkpoint", str(path), "is where checkpoints lie; save a folder beside it")


def write(folder: Path, obj: object) -> str:
    """Write `obj` into an empty folder; return its kind: folder or values.

    Raises
    ------
    ParameterError
        Something in it cannot be kept.
    OSError
        It cannot be written.
    """
    if isinstance(obj, os.PathLike):
        # Links become what they lead to, since that may not be there any more later.
        shutil.copytree(obj, folder / _FILES)
        return _FOLDER
    with open(folder / _VALUES, "wb") as file:
        checkpoint_values.write(file, obj)
    return _VALUES


def read(folder: Path, kind: str) -> Any:
    """Read what `write` wrote.

    Raises
    ------
    Unreadable
        It is damaged.
    OutputError
        It cannot be read by this hbsim, or without PyTorch.
    """
    if kind == _FOLDER:
        return folder / _FILES
    if kind != _VALUES:
        raise ValueError(f"there is no kind {kind!r}")
    try:
        return checkpoint_values.read(folder / _VALUES)
    except ModuleNotFoundError as error:
        raise OutputError(str(folder), f"the checkpoint holds tensors: {error}") from error


def sync(folder: Path) -> None:
    """Bring a folder's list of names to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
