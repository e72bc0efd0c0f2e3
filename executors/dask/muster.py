"""The beginning of a study on Dask: waits for the hosts that there are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from hbsim.errors import ParameterError
from hbsim.executors.dask.fleet import Fleet

__all__ = ["muster"]

PATIENCE: Final = 60.0  # seconds that the study waits for the last hosts once the first is ready
SAID: Final = 10.0  # seconds between two lines that say what is waited for
LOOK: Final = 0.02  # seconds between two looks at who is ready


async def muster(
    fleet: Fleet,
    expected: int | None,
    where: str,
    say: Callable[[str], None],
    check: Callable[[], None],
    note: Callable[[], str],
) -> None:
    """Wait for those hosts that there are, so that they are divided among workers all at once.

    Parameters
    ----------
    fleet : Fleet
        Knows who is there.
    expected : int or None
        How many Dask workers there have to be; None if anybody may come.
    where : str
        What lines for people call the cluster.
    say : callable
        Given these lines.
    check : callable
        Raises what has gone wrong meanwhile.
    note : callable
        Returns the last warning, for people who wait.

    Raises
    ------
    ParameterError
        No host has what a trial needs; or no agent gets ready, for a reason that is known.
    """
    begun = said = time.monotonic()
    first: float | None = None
    while True:
        check()
        now = time.monotonic()
        ready = [agent for agent in fleet.agents.values() if fleet.able(agent, now)]
        wanted = max(expected or 0, len(fleet.workers))
        if ready and first is None:
            first = now
        if not ready and len(fleet.workers) >= (expected or 0):
            _check_hope(fleet)
        if (wanted and len(ready) >= wanted) or (first is not None and now - first > PATIENCE):
            return fleet.open(ready, now)
        if not wanted and now - begun > SAID:
            say(f"{where} has no workers yet: waiting for the first one")
            return fleet.begin()
        if now - said > SAID:
            said = now
            say(f"{len(ready)} of {wanted} Dask workers are ready" + (f"; {note()}" if note() else ""))
        await asyncio.sleep(LOOK)


def _check_hope(fleet: Fleet) -> None:
    """Say why none of the Dask workers can take part, if it is known by now that none can."""
    reason = fleet.hopeless()
    if reason is not None:
        raise ParameterError("executor", "dask", f"no Dask worker can take part: {reason}")
