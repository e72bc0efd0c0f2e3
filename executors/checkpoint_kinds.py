"""What a checkpoint can hold: plain JSON values, what PyTorch reads safely, or a folder."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import IO, Any, Final

from hbsim.errors import ParameterError
from hbsim.executors import checkpoint_torch

__all__ = ["Unreadable", "check", "read", "sync", "write", "write_file"]

Unreadable = checkpoint_torch.Unreadable

_JSON: Final = "value.json"
_TORCH: Final = "value.pt"
_FOLDER: Final = "files"
_SCALARS: Final = (type(None), bool, int, float, str)


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
    """Write `obj` into an empty folder, down to the disk; return its kind: folder, json or torch.

    Raises
    ------
    ParameterError
        It could not be read again.
    OSError
        It cannot be written.
    """
    if isinstance(obj, os.PathLike):
        _copy(Path(obj), folder / _FOLDER)
        return "folder"
    text = _as_json(obj)
    if text is not None:
        write_file(folder / _JSON, text)
        return "json"
    with open(folder / _TORCH, "wb") as file:
        checkpoint_torch.write(file, obj)
        _sync_file(file)
    checkpoint_torch.verify(folder / _TORCH, obj)
    return "torch"


def read(folder: Path, kind: str) -> Any:
    """Read what `write` wrote."""
    if kind == "folder":
        return folder / _FOLDER
    if kind == "json":
        return json.loads((folder / _JSON).read_bytes())
    if kind == "torch":
        return checkpoint_torch.read(folder / _TORCH)
    raise ValueError(f"there is no kind {kind!r}")


def write_file(path: Path, data: bytes) -> None:
    """Write a file down to the disk."""
    with open(path, "wb") as file:
        file.write(data)
        _sync_file(file)


def sync(folder: Path) -> None:
    """Bring a folder's list of names to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_file(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _copy(source: Path, target: Path) -> None:
    """Copy a folder; links become what they lead to, since that may not be there any more later."""
    shutil.copytree(source, target)
    for folder, _, names in os.walk(target):
        for name in names:
            with open(Path(folder, name), "rb") as file:
                os.fsync(file.fileno())
        sync(Path(folder))


def _as_json(obj: object) -> bytes | None:
    """Write `obj` as JSON if reading gives back the same, types and all."""
    try:
        if not _is_plain(obj):
            return None
        text = json.dumps(obj, allow_nan=False)
        return text.encode("ascii") if json.loads(text) == obj else None
    except (ValueError, RecursionError):  # NaN; a list in itself; an integer of thousands of digits
        return None


def _is_plain(obj: object) -> bool:
    if type(obj) is list:
        return all(map(_is_plain, obj))
    if type(obj) is dict:
        return all(type(key) is str for key in obj) and all(map(_is_plain, obj.values()))
    return type(obj) in _SCALARS
