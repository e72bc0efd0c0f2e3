"""What is in a pack: a head, the checkpoint, the trial's files, and an end with the digest of it all."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Final, TypeAlias

from hbsim.executors import checkpoint_kinds as kinds

__all__ = ["CHECKPOINT", "DAMAGED", "FILES", "read_head", "read_rest", "write"]

CHECKPOINT: Final = "checkpoint"
FILES: Final = "files"  # as in `Reporter.folder`
DAMAGED: Final = (tarfile.TarError, ValueError, KeyError, TypeError, EOFError, RecursionError)
_VERSION: Final = 1
_HEAD: Final = "pack.json"
_END: Final = "end.json"
_SHORT: Final = 4096  # bytes
_CHUNK: Final = 1 << 20
Update: TypeAlias = Callable[[bytes], None]  # of a digest


def write(out: Path, checkpoint: Path, files: Path, head: dict[str, Any]) -> None:
    """Write a new tar file: one checkpoint's folder and that of the trial's files, if it is there."""
    with tarfile.open(out, "x", format=tarfile.PAX_FORMAT) as tar:
        _add_text(tar, _HEAD, {"version": _VERSION, "job": head["job"], "resource": head["resource"]})
        digest = hashlib.sha256()
        for top, name in ((checkpoint, CHECKPOINT), (files, FILES)):
            for path, inner in _tree(top, name, ()):
                _add(tar, path, inner, digest.update)
        _add_text(tar, _END, {"sha256": digest.hexdigest()})


def read_head(tar: tarfile.TarFile) -> dict[str, Any]:
    """Read ``job`` and ``resource`` of the checkpoint in a pack; both may be None.

    Raises
    ------
    ValueError and its like, of `DAMAGED`
        It is no pack, or of a later version.
    """
    first = tar.next()
    if first is None or first.name != _HEAD:
        raise ValueError(f"it does not begin with {_HEAD}")
    head: dict[str, Any] = _text(tar, first)
    if head["version"] != _VERSION:
        raise ValueError(f"it is of version {head['version']}; this hbsim reads version {_VERSION}")
    if not isinstance(head["job"], int | None) or not isinstance(head["resource"], int | float | None):
        raise ValueError(f"{_HEAD} holds values of other types")
    return head


def read_rest(tar: tarfile.TarFile, tops: dict[str, Path]) -> None:
    """Write what comes after the head into new folders, down to the disk.

    Parameters
    ----------
    tar : TarFile
        After `read_head`.
    tops : dict
        Where what is under a first name goes. Nothing is in these folders, and they are no links, so nothing
        that is written there leads out.

    Raises
    ------
    ValueError and its like, of `DAMAGED`
        It is not whole, or holds anything else than folders and files below `tops`.
    """
    digest = hashlib.sha256()
    while (member := tar.next()) is not None:
        if member.name == _END:
            if _text(tar, member)["sha256"] != digest.hexdigest():
                raise ValueError("its content is not what was written")
            for top in tops.values():
                _sync(top)
            return
        _extract(tar, member, _place(member.name, tops), digest.update)
    raise ValueError("its end is missing")


# Writing


def _tree(path: Path, name: str, above: tuple[str, ...]) -> Iterator[tuple[Path, str]]:
    """Give a folder and all that is in it, in order; `above` are the folders that it is in."""
    if not path.is_dir():
        return
    yield path, name
    above = (*above, os.path.realpath(path))
    for entry in sorted(path.iterdir()):
        inner = f"{name}/{entry.name}"
        if entry.is_dir() and _goes_along(entry, above):
            yield from _tree(entry, inner, above)
        elif entry.is_file():
            yield entry, inner


def _goes_along(folder: Path, above: tuple[str, ...]) -> bool:
    """Whether a folder is one of the trial's, and no link that leads round."""
    if not folder.is_symlink():
        return True
    real = os.path.realpath(folder)
    return real.startswith(above[0] + os.sep) and real not in above


def _add(tar: tarfile.TarFile, path: Path, name: str, update: Update) -> None:
    info = tarfile.TarInfo(name)
    if path.is_dir():
        info.type, info.mode = tarfile.DIRTYPE, 0o755
        update(_line(info))
        tar.addfile(info)
        return
    with open(path, "rb") as source:
        state = os.fstat(source.fileno())
        info.size, info.mode = state.st_size, 0o755 if state.st_mode & 0o100 else 0o644
        update(_line(info))
        tar.addfile(info, _Hashed(source, update))


class _Hashed:
    """A file that adds what is read from it to a digest."""

    def __init__(self, source: IO[bytes], update: Update) -> None:
        self._source = source
        self._update = update

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(size)
        self._update(data)
        return data


def _add_text(tar: tarfile.TarFile, name: str, value: dict[str, Any]) -> None:
    data = json.dumps(value, sort_keys=True).encode()
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


# Reading


def _text(tar: tarfile.TarFile, member: tarfile.TarInfo) -> dict[str, Any]:
    source = tar.extractfile(member) if member.isreg() and member.size < _SHORT else None
    if source is None:
        raise ValueError(f"{member.name} is no short file")
    value: dict[str, Any] = json.loads(source.read())
    return value


def _place(name: str, tops: dict[str, Path]) -> Path:
    top, *parts = name.split("/")
    if top not in tops or any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise ValueError(f"{name!r} is no path below {' or '.join(tops)}")
    return tops[top].joinpath(*parts)


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path, update: Update) -> None:
    update(_line(member))
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
        return
    source = tar.extractfile(member) if member.isreg() else None
    if source is None:
        raise ValueError(f"{member.name!r} is neither a file nor a folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "xb") as target:
        while data := source.read(_CHUNK):
            update(data)
            target.write(data)
        target.flush()
        os.fsync(target.fileno())
    if member.mode & 0o100:
        path.chmod(path.stat().st_mode | 0o100)


def _line(member: tarfile.TarInfo) -> bytes:
    kind = "/" if member.isdir() else ""
    return f"{member.name}{kind}\0{member.size}\0".encode("utf-8", "surrogateescape")


def _sync(top: Path) -> None:
    for folder, _, _ in os.walk(top):
        kinds.sync(Path(folder))
