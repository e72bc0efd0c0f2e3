"""Checkpoints on their way between the study's folder, hosts and a store: only their trial waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from hbsim.errors import HbsimError
from hbsim.executors.dask import packs
from hbsim.executors.dask.depots import VAULT, Source
from hbsim.executors.dask.home import append_log, temporary
from hbsim.executors.dask.todo import Fetch, Log, Store, Unstore
from hbsim.executors.local import trial_folder

if TYPE_CHECKING:
    from hbsim.executors.dask.vault import Vault

__all__ = ["Transfers"]

TRIES: Final = 3
PAUSE: Final = 0.5  # seconds between two tries; longer each time
TIMEOUT: Final = 3600.0  # seconds for a checkpoint, or a part of one, whose worker is there
CHUNK: Final = 4 << 20  # bytes that travel at once
MANY: Final = 4  # checkpoints that are brought home at once

Answer: TypeAlias = Mapping[str, Any]


class Ask(Protocol):
    """Asks the plugin of the Dask worker at an address for something; raises LinkError."""

    def __call__(self, address: str, op: str, **what: Any) -> Awaitable[Answer]:
        """Return the answer: ``error`` in it says what went wrong."""
        ...


class Transfers:
    """Brings checkpoints from where they are to where they are needed.

    Parameters
    ----------
    ask : callable
        Asks a host's plugin.
    trials : Path
        The study's folder of trials.
    vault : Vault or None
        The store, if there is one.
    """

    def __init__(self, ask: Ask, trials: Path, vault: Vault | None) -> None:
        self._ask, self._trials, self._vault = ask, trials, vault

    async def do(self, action: Fetch | Store | Unstore | Log) -> str | None:
        """Do what the fleet wants done; return the problem, if there is one."""
        if isinstance(action, Fetch):
            return await _tried(lambda: self._fetch(action.address, action.trial, action.source))
        if isinstance(action, Store):
            return await _tried(lambda: self._by_url(action.address, "store", action.trial))
        if isinstance(action, Log):
            await asyncio.to_thread(append_log, self._trials, action.trial, action.text)
        elif self._vault is not None:
            with suppress(HbsimError):  # no reason to end a study
                await asyncio.to_thread(self._vault.remove, action.trial)
        return None

    async def bring(self, away: Sequence[tuple[int, Source]]) -> dict[int, str]:
        """Bring trials' checkpoints from hosts into the study's folder; return problems by trial."""
        limit = asyncio.Semaphore(MANY)

        async def one(trial: int, address: str) -> str | None:
            async with limit:
                return await _tried(lambda: self._pull(address, trial))

        found = await asyncio.gather(*(one(trial, str(source.address)) for trial, source in away))
        pairs = zip(away, found, strict=True)
        return {trial: problem for (trial, _), problem in pairs if problem is not None}

    async def _fetch(self, address: str, trial: int, source: Source) -> Answer:
        if source.depot == VAULT:
            return await self._by_url(address, "load", trial)
        if source.address is None:
            return await self._push(address, trial)
        what = {"trial": trial, "job": source.job, "holder": source.address}
        return await self._ask(address, "fetch", **what, timeout=TIMEOUT)

    async def _by_url(self, address: str, op: str, trial: int) -> Answer:
        assert self._vault is not None
        return await self._ask(address, op, trial=trial, url=self._vault.url, timeout=TIMEOUT)

    async def _push(self, address: str, trial: int) -> Answer:
        """Send a checkpoint of the study's folder to a host."""
        with temporary(self._trials) as file:
            job = await asyncio.to_thread(packs.pack, trial_folder(self._trials, trial), file)
            if job is None:
                return {"error": "it is not in the study's folder any more"}
            size, offset = file.stat().st_size, 0
            while True:
                data = await asyncio.to_thread(_read, file, offset)
                last = offset + len(data) >= size
                what = {"trial": trial, "job": job, "offset": offset, "data": data, "last": last}
                reply = await self._ask(address, "write", **what, timeout=TIMEOUT)
                offset += len(data)
                if last or "error" in reply:
                    return reply

    async def _pull(self, address: str, trial: int) -> Answer:
        """Get a checkpoint from a host into the study's folder."""
        packed = await self._ask(address, "pack", trial=trial, timeout=TIMEOUT)
        if "error" in packed:
            return packed
        with temporary(self._trials) as file:
            offset = 0
            while offset < packed["size"]:
                what = {"trial": trial, "job": packed["job"], "offset": offset, "length": CHUNK}
                reply = await self._ask(address, "read", **what, timeout=TIMEOUT)
                if "error" in reply:
                    return reply
                data = bytes(reply["data"])
                await asyncio.to_thread(_append, file, data)
                offset += len(data)
            await asyncio.to_thread(packs.unpack, file, trial_folder(self._trials, trial))
        return {"ok": True}


async def _tried(ask: Callable[[], Coroutine[Any, Any, Answer]]) -> str | None:
    """Try a transfer a few times; return the last problem."""
    from hbsim.executors.dask.link import LinkError

    problem = ""
    for number in range(TRIES):
        if number:
            await asyncio.sleep(PAUSE * number)
        try:
            reply = await ask()
        except (LinkError, HbsimError, OSError) as error:
            problem = str(error)
            continue
        if "error" not in reply:
            return None
        problem = str(reply["error"])
    return problem


def _read(file: Path, offset: int) -> bytes:
    with open(file, "rb") as stream:
        stream.seek(offset)
        return stream.read(CHUNK)


def _append(file: Path, data: bytes) -> None:
    with open(file, "ab") as stream:
        stream.write(data)
