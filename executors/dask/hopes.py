"""Which Dask workers are not going to run trials: they say so, or their agents die."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

__all__ = ["DEATHS", "Hopes"]

DEATHS: Final = 3  # ends of a Dask worker's agents in a row, none of which was ready, that say enough


class Hopes:
    """Dask workers, by address, that cannot run trials, and why."""

    def __init__(self) -> None:
        self._unfit: dict[str, str] = {}
        self._deaths: dict[str, list[str]] = {}

    def unfit(self, address: str, reason: str) -> None:
        """Take note that a worker has said that it cannot, nor could another agent there."""
        self._unfit[address] = reason

    def is_unfit(self, address: str) -> bool:
        """Whether that was said."""
        return address in self._unfit

    def died(self, address: str, reason: str) -> bool:
        """Take note that a worker's agent has ended before it was ready; whether that is the first."""
        deaths = self._deaths.setdefault(address, [])
        deaths.append(reason)
        return len(deaths) == 1

    def ready(self, address: str) -> None:
        """Take note that a worker's agent is ready: what was before does not count."""
        self._deaths.pop(address, None)

    def forget(self, address: str) -> None:
        """Take note that a worker is gone."""
        self._unfit.pop(address, None)
        self._deaths.pop(address, None)

    def none(self, workers: Iterable[str]) -> str | None:
        """Return why none of these workers and of those that said so can run trials; None if one may."""
        there = {*workers, *self._unfit}
        reason = None
        for address in sorted(there):
            deaths = self._deaths.get(address, [])
            if address in self._unfit:
                reason = self._unfit[address]
            elif len(deaths) >= DEATHS:
                reason = reason or f"{address}: its agent ended: {deaths[-1]}"
            else:
                return None
        return reason
