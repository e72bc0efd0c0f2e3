"""Copies of folders by SFTP: files and folders, and nothing outside of the folder that is copied into."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from hbsim.executors.remote.carrier import CopyError

__all__ = ["get", "put"]

T = TypeVar("T")
_Item = tuple[Any, ...]

BLOCK: Final = 255 << 10  # bytes: the most that OpenSSH gives at a time
FILES: Final = 4  # at once
BLOCKS: Final = 8  # of a file at once
DEEPEST: Final = 64  # folders in folders
ANSWER: Final = 60.0  # seconds for one block: disks may be slow
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


async def get(client: Any, source: str, target: Path) -> None:
    """Copy a host's folder into a new folder of this machine, which is removed if that fails.

    Parameters
    ----------
    client : asyncssh.SFTPClient
        Of the host.
    source : str
        Where it is there.
    target : path
        Where it is to be here.

    Raises
    ------
    CopyError, OSError, asyncssh.Error
        It cannot be copied.
    """
    await _in_thread(os.makedirs, target)
    try:
        files = [item async for item in _list(client, os.fsencode(source), os.fsencode(target))]
        await _at_once(FILES, _get_file, files)
    except BaseException:
        await _in_thread(shutil.rmtree, target, True)
        raise


async def put(client: Any, source: Path, target: str) -> None:
    """Copy a folder of this machine into a new folder on a host; arguments and errors as of `get`."""
    import asyncssh

    folders, files = await _in_thread(_scan, os.fsencode(source), os.fsencode(target))
    try:
        await client.mkdir(target)
    except asyncssh.SFTPNoSuchFile:
        await client.makedirs(os.path.dirname(target), exist_ok=True)
        await client.mkdir(target)
    try:
        for folder in folders:
            await client.mkdir(folder)
        await _at_once(FILES, _put_file, [(client, *item) for item in files])
    except Exception:
        with suppress(Exception):  # the first error counts
            async with asyncio.timeout(ANSWER):
                await client.rmtree(target, ignore_errors=True)
        raise


async def _list(client: Any, source: bytes, target: bytes, depth: int = 0) -> AsyncIterator[_Item]:
    """Make the folders that are below a host's folder; give the arguments of `_get_file` for each file."""
    import asyncssh

    if depth > DEEPEST:
        raise CopyError(f"there are folders in more than {DEEPEST} folders")
    async for entry in client.scandir(source):
        name, attrs = entry.filename, entry.attrs
        if name in (b".", b".."):
            continue
        if not name or b"/" in name or b"\0" in name:
            raise CopyError(f"there is something with the name {os.fsdecode(name)!r}")
        inner, path = os.path.join(source, name), os.path.join(target, name)
        if attrs.type == asyncssh.FILEXFER_TYPE_DIRECTORY:
            await _in_thread(os.mkdir, path)
            async for item in _list(client, inner, path, depth + 1):
                yield item
            continue
        if attrs.type != asyncssh.FILEXFER_TYPE_REGULAR:
            with suppress(asyncssh.SFTPError):  # a link that leads nowhere
                attrs = await client.stat(inner)
        if attrs.type == asyncssh.FILEXFER_TYPE_REGULAR:
            yield client, inner, path, attrs.size or 0, 0o777 if attrs.permissions & 0o100 else 0o666


async def _get_file(client: Any, source: bytes, target: bytes, size: int, mode: int) -> None:
    async with client.open(source, "rb") as there:
        file = await _in_thread(os.open, target, _NEW, mode)
        try:

            async def copy(offset: int) -> None:
                length = min(BLOCK, size - offset)
                async with asyncio.timeout(ANSWER):
                    data = await there.read(length, offset)
                _check_size(source, len(data), length)
                _check_size(target, await _in_thread(os.pwrite, file, data, offset), length)

            await _at_once(BLOCKS, copy, ((offset,) for offset in range(0, size, BLOCK)))
            await _in_thread(os.fsync, file)
        finally:
            os.close(file)


async def _put_file(client: Any, source: bytes, target: bytes) -> None:
    import asyncssh

    file = await _in_thread(os.open, source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        found = os.fstat(file)
        size, mode = found.st_size, 0o777 if found.st_mode & 0o100 else 0o666
        async with client.open(target, "xb", asyncssh.SFTPAttrs(permissions=mode)) as there:

            async def copy(offset: int) -> None:
                length = min(BLOCK, size - offset)
                data = await _in_thread(os.pread, file, length, offset)
                _check_size(source, len(data), length)
                async with asyncio.timeout(ANSWER):
                    await there.write(data, offset)

            await _at_once(BLOCKS, copy, ((offset,) for offset in range(0, size, BLOCK)))
    finally:
        os.close(file)


def _scan(source: bytes, target: bytes) -> tuple[list[bytes], list[tuple[bytes, bytes]]]:
    """Return the folders to make on a host, and the files to copy there with their places."""
    folders: list[bytes] = []
    files: list[tuple[bytes, bytes]] = []
    with os.scandir(source) as entries:
        for entry in entries:
            path = os.path.join(target, entry.name)
            if entry.is_dir(follow_symlinks=False):
                folders.append(path)
                more = _scan(entry.path, path)
                folders += more[0]
                files += more[1]
            elif entry.is_file():
                files.append((entry.path, path))
    return folders, files


def _check_size(file: bytes, found: int, expected: int) -> None:
    if found != expected:
        raise CopyError(f"{os.fsdecode(os.path.basename(file))} has changed while it was copied")


async def _at_once(most: int, function: Callable[..., Awaitable[None]], items: Iterable[_Item]) -> None:
    """Call a function with the arguments in items, for so many of them at the same time."""
    left = iter(items)

    async def work() -> None:
        for arguments in left:
            await function(*arguments)

    tasks = [asyncio.create_task(work()) for _ in range(most)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _in_thread(function: Callable[..., T], *arguments: Any) -> T:
    """Call a function that a slow disk may hold up; being cancelled waits for its end."""
    work = asyncio.ensure_future(asyncio.to_thread(function, *arguments))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        raise
