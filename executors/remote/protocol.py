"""The protocol of controller and agents: lines of JSON, and the carrier that brings lines and files.

A line is a JSON object.

Orders, from the controller (``"o"`` names the kind):

======== =====================================================================================
beat     ``id``: to be said again; ``until``: the lease, by the agent's lease clock; ``taken``: how
         many bytes of the agent's lines the runner has taken
taken    ``taken``: as in a beat
start    ``task``: a Task; ``slot``: cpus, threads, env of the worker; ``checkpoint``: null, or where
         the trial's checkpoint comes from: ``{"folder": PATH}``, a folder that was copied to this
         host, or ``{"job": N}``, of the store behind a URL
go       ``job``, ``stop``
leave    ``job``, ``save``
kill     ``job``, ``reason``
prune    ``trials``: their checkpoints and files are of no more use
close    ``clean``: kill everything and end; with clean remove the host's own folder for the study
======== =====================================================================================

Messages, from an agent (``"m"`` names the kind):

======== =====================================================================================
hello    what the host is: of `hbsim.executors.remote.host`
ready    ``seconds``: the training function is loaded
fatal    ``field``, ``value``, ``rule``: this host can run no trials, and its agent ends; but with
         ``trial`` (``"report"`` or ``"checkpoint"``) only one does not do what it has to
beat     ``id``; ``clock``: the agent's lease clock; ``time``: its monotonic clock
said     ``job``, ``rows``, ``first``, ``waits``: as in `Reported`, with the agent's clock in rows
ended    ``job``, ``rows``, ``first``, ``kind``, ``reason``, ``begun``, ``seconds``, ``left``: as in
         `JobEnded`; ``saved``: the job that made the trial's newest checkpoint, null if there is none;
         ``folder``: that checkpoint's folder, ``files``: that of the trial's files, null if there is
         none; both are null where the controller sees the study's folder; ``log``: what the trial
         printed last, where the controller does not see it, else null
stored   ``job``, ``trial``, ``problem``: the job's checkpoint is in the store behind the URL, or why not
leaving  ``reason``: the host is taken away (SIGTERM); trials save and are handed back as preempted,
         and no new one can start
======== =====================================================================================
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

from hbsim.runner.workers import NEVER, Assignment, JobEnded, Reported, ReportRow

__all__ = [
    "ROOM",
    "AgentEnded",
    "AgentLine",
    "Body",
    "Carrier",
    "CarrierEvent",
    "CopyError",
    "HostFailed",
    "Joined",
    "Lost",
    "dump",
    "ended_from",
    "said_from",
    "task_from",
    "task_of",
    "to_ended",
    "to_said",
]

Body: TypeAlias = dict[str, Any]  # JSON has no narrower type
# Bytes of reports and ends that an agent may send beyond what the runner has taken; then trials wait.
ROOM: Final = 1 << 20


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
class AgentLine:
    """An agent has sent a line, a JSON object of `hbsim.executors.remote.protocol`."""

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


CarrierEvent: TypeAlias = Joined | AgentLine | AgentEnded | HostFailed | Lost


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
    events : asyncio.Queue of CarrierEvent
        What happened, in order.
    trusted : bool
        Whether nobody else can change what is carried: by SSH, by TLS, or since it stays on this machine.
    """

    events: asyncio.Queue[CarrierEvent]
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


def dump(body: Mapping[str, Any]) -> str:
    """Return the line of a body."""
    return json.dumps(body, separators=(",", ":"), allow_nan=False)


def task_of(task: Assignment) -> Body:
    """Return a task in JSON types."""
    return {**asdict(task), "stop": task.stop if math.isfinite(task.stop) else None}


def task_from(body: Body) -> Assignment:
    """Return the task that `task_of` has written."""
    return Assignment(**{**body, "stop": NEVER if body["stop"] is None else body["stop"]})


def said_from(said: Reported) -> Body:
    """Return a report's body."""
    return {"m": "said", "job": said.job, "rows": said.rows, "first": said.first, "waits": said.waits}


def to_said(body: Body, ahead: float) -> Reported:
    """Return a report; `ahead` is how many seconds the controller's clock is ahead of the agent's."""
    return Reported(body["job"], _rows(body["rows"], ahead), body["first"], body["waits"])


def ended_from(
    ended: JobEnded, saved: int | None, folder: str | None, files: str | None, log: str | None
) -> Body:
    """Return an end's body."""
    names = ("job", "rows", "first", "kind", "reason", "begun", "left")
    fields = {name: getattr(ended, name) for name in names}
    checkpoint = {"saved": saved, "folder": folder, "files": files}
    return {"m": "ended", **fields, "seconds": dict(ended.seconds), **checkpoint, "log": log}


def to_ended(body: Body, ahead: float) -> JobEnded:
    """Return an end; `ahead` as in `to_said`."""
    begun = None if body["begun"] is None else body["begun"] + ahead
    rows = _rows(body["rows"], ahead)
    more = (body["kind"], body["reason"], begun, body["seconds"], body["left"])
    return JobEnded(body["job"], rows, body["first"], *more)


def _rows(rows: Iterable[Any], ahead: float) -> list[ReportRow]:
    return [ReportRow(at + ahead, trained, resource, metrics) for at, trained, resource, metrics in rows]
