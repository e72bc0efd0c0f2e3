"""A carrier: brings lines and files from the controller to the agents on other machines, and back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

__all__ = ["AgentEnded", "Carrier", "CopyError", "Event", "HostFailed", "Joined", "Line", "Lost"]


@dataclass(frozen=True, slots=True)
class Joined:
    """An agent has been started and given the configuration.

    Attributes
    ----------
    agent : str
        Its id, another one at each start.
    host : str
        Its host as the user calls it: as in ``--hosts``, or the name of a Dask worker.
    place : str
        What stays the same when an agent is started again: the host, or the address of a Dask worker.
    """

    agent: str
    host: str
    place: str


@dataclass(frozen=True, slots=True)
class Line:
    """An agent has sent a line, a JSON object of `hbsim.executors.remote.lines`."""

    agent: str
    text: str


@dataclass(frozen=True, slots=True)
class AgentEnded:
    """An agent has ended, or nothing can be sent to it or heard of it any more.

    It may be said once more of an agent, when it is known that nothing is left.

    Attributes
    ----------
    agent : str
        Its id.
    reason : str
        How it ended, in one line.
    clean : bool
        Whether it is known that nothing that it started is left. Else its jobs may run until the
        lease is over.
    """

    agent: str
    reason: str
    clean: bool


@dataclass(frozen=True, slots=True)
class HostFailed:
    """No agent could be started on a host.

    Attributes
    ----------
    host, place : str
        As in `Joined`.
    reason : str
        Why, in one line, with what can be done.
    final : bool
        Whether it is not tried again: there is no hbsim, say. Else it is tried again with back-off.
    gone : bool
        Whether the host has left for good, as a Dask worker does.
    """

    host: str
    place: str
    reason: str
    final: bool = False
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Lost:
    """No host can be reached any more, as when there is no Dask scheduler for longer than the lease."""

    reason: str


Event: TypeAlias = Joined | Line | AgentEnded | HostFailed | Lost


class CopyError(Exception):
    """A folder could not be copied; the text says why.

    Attributes
    ----------
    away : bool
        Whether the host could not be reached: it may be tried again.
    """

    def __init__(self, problem: str, away: bool = False) -> None:
        super().__init__(problem)
        self.away = away


class Carrier(Protocol):
    """Starts an agent on each host, again and again when it ends, and carries lines and files.

    Lines come whole, in order and once, until `AgentEnded`.

    Attributes
    ----------
    events : asyncio.Queue of Event
        What happened, in order.
    trusted : bool
        Whether nobody else can change what is carried: by SSH, by TLS, or since it stays on this machine.
    """

    events: asyncio.Queue[Event]
    trusted: bool

    async def open(self, config: str) -> int | None:
        """Connect, and begin to start agents.

        Parameters
        ----------
        config : str
            One line of JSON, the first that each agent gets.

        Returns
        -------
        expected : int or None
            How many hosts there are to be; None if any number may come.

        Raises
        ------
        ParameterError
            A package is missing, or nothing can be reached: with what can be done.
        """
        ...

    def send(self, agent: str, line: str) -> None:
        """Send a line to an agent, without waiting. It is dropped if the agent has ended."""
        ...

    async def get(self, agent: str, source: str, target: Path) -> None:
        """Copy a folder from an agent's host into a new folder of this machine.

        It works after the agent has ended, too, while its host can be reached. Only files and folders are
        copied, links to files as files; nothing is written outside of `target`.

        Raises
        ------
        CopyError
            It cannot be copied. `target` is removed.
        """
        ...

    async def put(self, agent: str, source: Path, target: str) -> None:
        """Copy a folder of this machine into a new folder on an agent's host.

        Raises
        ------
        CopyError
            It cannot be copied.
        """
        ...

    async def close(self) -> None:
        """End all agents that are left, and part from the hosts. May be called twice."""
        ...
