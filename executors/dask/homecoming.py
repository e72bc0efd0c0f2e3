"""The end of a study on Dask: what only hosts have comes home, and then they may remove it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from hbsim.executors.dask.depots import HOME, Depots
from hbsim.executors.dask.transfers import Ask, Transfers

__all__ = ["Homecoming"]

PATIENCE: Final = 60.0  # seconds for a host to say what it has


class Homecoming:
    """Brings checkpoints into the study's folder.

    Parameters
    ----------
    depots : Depots
        Knows where they are.
    transfers : Transfers
        Fetches them.
    ask : callable
        Asks a host's plugin.
    """

    def __init__(self, depots: Depots, transfers: Transfers, ask: Ask) -> None:
        self._depots, self._transfers, self._ask = depots, transfers, ask
        self._kept: Sequence[int] | None = None

    @property
    def begun(self) -> bool:
        """Whether anything was to be brought: else the study has not ended in order."""
        return self._kept is not None

    async def bring(self, trials: Sequence[int]) -> dict[int, str]:
        """Bring these trials' checkpoints, where only hosts have them; return what could not be, and why."""
        depots = self._depots
        doubts = depots.doubts(trials)
        await asyncio.gather(*(self._look_into(depot, address) for depot, address in doubts.items()))
        away, lost = depots.away(trials)
        failed = await self._transfers.bring(away)
        for trial, source in away:
            if trial not in failed:
                depots.brought(trial, source.job, HOME)
        self._kept = trials
        return {**failed, **{trial: f"{hosts} cannot be reached" for trial, hosts in lost.items()}}

    def leaves_nothing(self, address: str) -> bool:
        """Whether a Dask worker's host has nothing any more that is of use."""
        return self._kept is not None and self._depots.spent(address, self._kept)

    async def _look_into(self, depot: str, address: str) -> None:
        """Find out what a host has: jobs that were lost may have made checkpoints."""
        from hbsim.executors.dask.link import LinkError

        with suppress(LinkError):  # then it is said that it cannot be reached
            reply = await self._ask(address, "holds", timeout=PATIENCE)
            if "error" not in reply:
                self._depots.told(depot, dict(reply["holds"]))
