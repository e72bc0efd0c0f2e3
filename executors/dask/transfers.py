"""Checkpoints on their way between the study's folder, hosts and a store: only their trial waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from hbsim.errors import HbsimError
from hbsim.executors.dask import packs
from hbsim.executors.dask.depots import VAULT, Source
from hbsim.executors.dask.home import append_log, temporary
from hbsim.executors.dask.options import LEASE
from hbsim.executors.dask.todo import Fetch, Log, Store, Unstore
from hbsim.executors.local import trial_folder

if TYPE_CHECKING:
    from hbsim.executors.dask.vault import Vault

__all__ = ["Transfers"]

TRIES: Final = 3
PAUSE: Final = 0.5  # seconds between two tries; longer after each that counts
BEYOND: Final = 5.0  # seconds after a lease, by which a host that is gone is known to be
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

    What fails is tried a few times. While somebody cannot be reached it is tried for as long as a lease, and
    that does not count: a disturbance that is shorter costs no trial, however many retries it has.

    Parameters
    ----------
    ask : callable
        Asks a host's plugin.
    trials : Path
        The study's folder of trials.
    vault : Vault or None
        The store, if there is one.
    lease : float
        Seconds after which a host that cannot be reached is lost.
    """

    def __init__(self, ask: Ask, trials: Path, vault: Vault | None, lease: float = LEASE) -> None:
        self._ask, self._trials, self._vault = ask, trials, vault
        self._patience = lease + BEYOND

    async def do(self, action: Fetch | Store | Unstore | Log) -> str | None:
        """Do what the fleet wants done; return the problem, if there is one."""
        if isinstance(action, Fetch):
            return await self._tried(lambda: self._fetch(action.address, action.trial, action.source))
        if isinstance(action, Store):
            return await self._tried(lambda: self._by_url(action.address, "store", action.trial))
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
                return await self._tried(lambda: self._pull(address, trial))

        found = await asyncio.gather(*(one(trial, str(source.address)) for trial, source in away))
        pairs = zip(away, found, strict=True)
        return {trial: problem for (trial, _), problem in pairs if problem is not None}

    async def _tried(self, ask: Callable[[], Coroutine[Any, Any, Answer]]) -> str | None:
        """Try a transfer a few times, or for as long as a lease; return the last problem."""
        clock = asyncio.get_running_loop().time
        count, since = 0, inf  # since when somebody cannot be reached
        while True:
            begun = clock()
            problem, away = await _attempt(ask)
            now = clock()
            if problem is None:
                return None
            if not away or now - begun > self._patience:  # after so long it is another disturbance
                count, since = count + 1, now
            since = min(since, now)
            if count >= TRIES or now - since > self._patience:
                return problem
            await asyncio.sleep(PAUSE * max(1, count))

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


async def _attempt(ask: Callable[[], Coroutine[Any, Any, Answer]]) -> tuple[str | None, bool]:
    """Try a transfer; return the problem, and whether somebody could not be reached."""
    from hbsim.executors.dask.link import LinkError

    try:
        reply = await ask()
    except LinkError as error:
        return str(error), True
    except (HbsimError, OSError) as error:
        return str(error), False
    return (str(reply["error"]), bool(reply.get("away"))) if "error" in reply else (None, False)


def _read(file: Path, offset: int) -> bytes:
    with open(file, "rb") as stream:
        stream.seek(offset)
        return stream.read(CHUNK)


def _append(file: Path, data: bytes) -> None:
    with open(file, "ab") as stream:
        stream.write(data)
