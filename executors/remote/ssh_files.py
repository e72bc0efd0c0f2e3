"""Copies of folders by SFTP: files and folders, and nothing outside of the folder that is copied into."""

from __future__ import annotations

import asyncio
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from hbsim.executors.remote.carrier import CopyError

__all__ = ["get", "put"]

PART: Final = 8 << 20  # bytes of a file at a time; asyncssh asks for the blocks of a part at once
DEEPEST: Final = 64  # folders in folders
ANSWER: Final = 60.0  # seconds for a part: disks may be slow


async def get(client: Any, source: str, target: Path) -> None:
    """Copy a host's folder into a new folder of this machine, which is removed if that fails.

    Parameters
    ----------
    client : asyncssh.SFTPClient
        Of the host.
    source : str
        Where it is there.
    target : path
        Where it is to be on this machine.

    Raises
    ------
    CopyError, OSError, asyncssh.Error
        It cannot be copied.
    """
    await asyncio.to_thread(os.makedirs, target)
    try:
        await _get_folder(client, os.fsencode(source), os.fsencode(target))
    except BaseException:
        await asyncio.to_thread(shutil.rmtree, target, True)
        raise


async def put(client: Any, source: Path, target: str) -> None:
    """Copy a folder of this machine into a new folder on a host; arguments and errors as of `get`."""
    found = await asyncio.to_thread(_list, source)
    await client.makedirs(os.path.dirname(target), exist_ok=True)
    await client.mkdir(target)
    try:
        for path, is_folder in found:
            copy = os.path.join(os.fsencode(target), os.fsencode(path.relative_to(source)))
            await (client.mkdir(copy) if is_folder else _put_file(client, path, copy))
    except Exception:
        with suppress(Exception):  # the first error counts
            async with asyncio.timeout(ANSWER):
                await client.rmtree(target, ignore_errors=True)
        raise


async def _get_folder(client: Any, source: bytes, target: bytes, depth: int = 0) -> None:
    import asyncssh

    if depth > DEEPEST:
        raise CopyError(f"there are folders in more than {DEEPEST} folders")
    async for entry in client.scandir(source):
        name, attrs = entry.filename, entry.attrs
        if name in (b".", b".."):
            continue
        if not name or b"/" in name or b"\0" in name:
            raise CopyError(f"there is something with the name {os.fsdecode(name)!r}")
        original, copy = os.path.join(source, name), os.path.join(target, name)
        if attrs.type == asyncssh.FILEXFER_TYPE_DIRECTORY:
            await asyncio.to_thread(os.mkdir, copy)
            await _get_folder(client, original, copy, depth + 1)
            continue
        if attrs.type == asyncssh.FILEXFER_TYPE_SYMLINK:
            with suppress(asyncssh.SFTPError):  # it leads nowhere
                attrs = await client.stat(original)
        if attrs.type == asyncssh.FILEXFER_TYPE_REGULAR:
            await _get_file(client, original, copy, 0o777 if attrs.permissions & 0o100 else 0o666)


async def _get_file(client: Any, source: bytes, target: bytes, mode: int) -> None:
    async with client.open(source, "rb") as original:
        with open(target, "xb", opener=lambda path, flags: os.open(path, flags, mode)) as copy:
            size = PART
            while size == PART:
                async with asyncio.timeout(ANSWER):
                    data = await original.read(PART)
                size = await asyncio.to_thread(copy.write, data)
            await asyncio.to_thread(copy.flush)
            await asyncio.to_thread(os.fsync, copy.fileno())


async def _put_file(client: Any, source: Path, target: bytes) -> None:
    import asyncssh

    with open(source, "rb") as original:
        mode = 0o777 if os.fstat(original.fileno()).st_mode & 0o100 else 0o666
        async with client.open(target, "xb", asyncssh.SFTPAttrs(permissions=mode)) as copy:
            while data := await asyncio.to_thread(original.read, PART):
                async with asyncio.timeout(ANSWER):
                    await copy.write(data)


def _list(source: Path) -> list[tuple[Path, bool]]:
    """Return the folders and files in a folder, and which of them are folders."""
    os.stat(source)  # an error if it is not there
    found = [(path, path.is_dir()) for path in sorted(source.rglob("*"))]
    return [
        (path, is_folder)
        for path, is_folder in found
        if (not path.is_symlink() if is_folder else path.is_file())
    ]
