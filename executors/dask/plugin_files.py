"""Checkpoints on their way between hosts, on a host: packed, read and written in parts, fetched, stored."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from hbsim.errors import HbsimError
from hbsim.executors import checkpoint

if TYPE_CHECKING:
    from hbsim.executors.dask.hello import Place
    from hbsim.executors.dask.vault import Vault

__all__ = ["Files"]

Answer: TypeAlias = dict[str, Any]
Ask: TypeAlias = Callable[[str, Answer], Awaitable[Answer]]

KEPT: Final = 600.0  # seconds that a pack is kept which nobody reads
CHUNK: Final = 4 << 20  # bytes that travel at once
_MOST: Final = 64 << 20
_PACKS: Final = "packs"


@dataclass(slots=True)
class _Pack:
    file: Path
    size: int
    readers: int
    used: float


class Files:
    """What a Dask worker's plugin does with checkpoints. All of it is in threads: nothing holds up the loop.

    Parameters
    ----------
    config : mapping
        The plugin's.
    ask : callable
        Asks the plugin of another worker: given its address, and the question.
    """

    def __init__(self, config: Mapping[str, Any], ask: Ask) -> None:
        self._config, self._ask = config, ask
        self._token = secrets.token_hex(4)  # several workers of a host share a folder
        self._place: Place | None = None
        self._packs: dict[tuple[int, int], _Pack] = {}
        self._vaults: dict[str, Vault] = {}
        self._writing: dict[int, asyncio.Lock] = {}
        self._running: dict[tuple[object, ...], asyncio.Task[Answer]] = {}

    async def fetch(self, trial: int, job: int, holder: str) -> Answer:
        """Get the checkpoint of a job from another worker, unless this or a later one is here."""
        return await self._once(("fetch", trial, job, holder), self._fetch(trial, job, holder))

    async def store(self, trial: int, url: str) -> Answer:
        """Put a trial's checkpoint into a store."""
        return await self._once(("store", trial, url), asyncio.to_thread(self._store, trial, url))

    async def load(self, trial: int, url: str) -> Answer:
        """Get a trial's checkpoint from a store."""
        return await self._once(("load", trial, url), asyncio.to_thread(self._load, trial, url))

    async def pack(self, trial: int) -> Answer:
        """Make a trial's checkpoint ready to be read: return its ``job``, and its ``size`` in bytes."""
        packed = await self._once(("pack", trial), asyncio.to_thread(self._pack, trial))
        pack = self._packs.get((trial, packed["job"]))
        if pack is None:  # somebody has read it to its end this moment
            return {"error": f"trial {trial} has to be packed again"}
        pack.readers += 1
        return packed

    async def read(self, trial: int, job: int, offset: int, length: int) -> Answer:
        """Return a part of it as ``data``; with the last part it goes."""
        pack = self._packs.get((trial, job))
        if pack is None:
            return {"error": f"trial {trial} is not packed"}
        pack.used = time.monotonic()
        data = await asyncio.to_thread(_read, pack.file, offset, min(length, _MOST))
        if offset + len(data) >= pack.size:
            pack.readers -= 1
            if pack.readers <= 0:
                self._drop((trial, job))
        return {"ok": True, "data": data}

    async def write(self, trial: int, job: int, offset: int, data: bytes, last: bool) -> Answer:
        """Take a part of a checkpoint, in order; the last one puts it in place."""
        async with self._writing.setdefault(trial, asyncio.Lock()):
            return await asyncio.to_thread(self._write, trial, job, offset, bytes(data), last)

    async def holds(self) -> Answer:
        """Return ``holds``: pairs of a trial whose checkpoint is in this host's own folder, and its job."""
        return {"ok": True, "holds": await asyncio.to_thread(self._holds)}

    async def settle(self) -> None:
        """Find this host's folders, as long as the controller shows which they are."""
        with suppress(HbsimError):  # the agent says so
            await asyncio.to_thread(self._settle)

    def sweep(self) -> None:
        """Remove packs that nobody reads any more."""
        for key, pack in list(self._packs.items()):
            if time.monotonic() - pack.used > KEPT:
                self._drop(key)

    async def close(self) -> None:
        """End what is under way."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for key in list(self._packs):
            self._drop(key)

    async def clean(self) -> None:
        """Remove this host's folder for the study."""
        from hbsim.executors.dask.work import work_folder

        work = await asyncio.to_thread(work_folder, self._config["study"])
        await asyncio.to_thread(shutil.rmtree, work, ignore_errors=True)

    async def _once(self, key: tuple[object, ...], work: Coroutine[Any, Any, Answer]) -> Answer:
        """Do something, or wait for it if it is being done already: who asks may have given up before."""
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = asyncio.get_running_loop().create_task(work)
            task.add_done_callback(lambda done: self._forget(key, done))
        else:
            work.close()
        return dict(await asyncio.shield(task))

    def _forget(self, key: tuple[object, ...], task: asyncio.Task[Answer]) -> None:
        del self._running[key]
        if not task.cancelled():
            task.exception()  # whoever asked may have given up

    async def _fetch(self, trial: int, job: int, holder: str) -> Answer:
        have = await asyncio.to_thread(self._have, trial)
        if have is not None and have >= job:
            return {"ok": True, "job": have}
        packed = await self._ask(holder, {"op_": "pack", "trial": trial})
        if "error" in packed:
            return packed
        offset, size = 0, packed["size"]
        while True:
            about = {"trial": trial, "job": packed["job"], "offset": offset, "length": CHUNK}
            part = await self._ask(holder, {"op_": "read", **about})
            if "error" in part:
                return part
            last = offset + len(part["data"]) >= size
            if not part["data"] and not last:
                return {"error": f"the pack of trial {trial} has become shorter"}
            done = await self.write(trial, packed["job"], offset, part["data"], last)
            if last or "error" in done:
                return done
            offset += len(part["data"])

    # In threads

    def _settle(self) -> Place:
        if self._place is None:
            from hbsim.executors.dask.hello import find_place

            self._place = find_place(self._config)
        return self._place

    def _holds(self) -> list[tuple[int, int]]:
        from hbsim.executors.dask.hello import holds

        return sorted(holds(self._settle()).items())

    def _folder(self, trial: int) -> Path:
        from hbsim.executors.local import trial_folder

        return trial_folder(self._settle().trials, trial)

    def _have(self, trial: int) -> int | None:
        from hbsim.executors.dask import packs

        folder = self._folder(trial)
        packs.recover(folder)
        about = checkpoint.describe(folder / checkpoint.NAME)
        return None if about is None else about["job"] or 0

    def _file(self, trial: int, what: str) -> Path:
        folder = self._settle().work / _PACKS
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder / f"{trial:06d}-{what}-{self._token}.tar"

    def _pack(self, trial: int) -> Answer:
        from hbsim.executors.dask import packs

        have = self._have(trial)
        known = None if have is None else self._packs.get((trial, have))
        if known is not None and have is not None:
            known.used = time.monotonic()
            return {"ok": True, "job": have, "size": known.size}
        file = self._file(trial, "new")
        job = packs.pack(self._folder(trial), file)
        if job is None:
            raise FileNotFoundError(f"trial {trial} has no checkpoint here")
        file = file.rename(self._file(trial, str(job)))
        size = file.stat().st_size
        self._packs[trial, job] = _Pack(file, size, 0, time.monotonic())
        return {"ok": True, "job": job, "size": size}

    def _drop(self, key: tuple[int, int]) -> None:
        self._packs.pop(key).file.unlink(missing_ok=True)

    def _write(self, trial: int, job: int, offset: int, data: bytes, last: bool) -> Answer:
        from hbsim.executors.dask import packs

        file = self._file(trial, f"{job}-in")
        with open(file, "wb" if offset == 0 else "r+b") as stream:
            if stream.seek(0, 2) != offset:
                return {"error": f"a part of trial {trial} that does not follow the last one"}
            stream.write(data)
        if not last:
            return {"ok": True}
        try:
            done = packs.unpack(file, self._folder(trial))
        finally:
            file.unlink(missing_ok=True)
        return {"ok": True, "job": job, "done": done}

    def _store(self, trial: int, url: str) -> Answer:
        from hbsim.executors.dask import packs

        file = self._file(trial, "out")
        try:
            job = packs.pack(self._folder(trial), file)
            if job is None:
                return {"error": f"trial {trial} has no checkpoint here"}
            self._vault(url).put(trial, job, file)
        finally:
            file.unlink(missing_ok=True)
        return {"ok": True, "job": job}

    def _load(self, trial: int, url: str) -> Answer:
        from hbsim.executors.dask import packs

        file = self._file(trial, "load")
        try:
            job = self._vault(url).get(trial, file)
            if job is None:
                return {"error": f"the store has no checkpoint of trial {trial}"}
            done = packs.unpack(file, self._folder(trial))
        finally:
            file.unlink(missing_ok=True)
        return {"ok": True, "job": job, "done": done}

    def _vault(self, url: str) -> Vault:
        from hbsim.executors.dask.vault import Vault

        if url not in self._vaults:
            self._vaults[url] = Vault(url, self._config["study"])
        return self._vaults[url]


def _read(file: Path, offset: int, length: int) -> bytes:
    with open(file, "rb") as stream:
        stream.seek(offset)
        return stream.read(length)
