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
said     ``job``, ``rows``, ``first``, ``waits``, ``begun``, ``changed``: as in `Reported`, with the agent's
         clock in rows and ``begun``
ended    ``job``, ``rows``, ``first``, ``kind``, ``reason``, ``begun``, ``seconds``, ``left``: as in
         `JobEnded`; ``saved``: the job that made the trial's newest checkpoint, null if there is none;
         ``folder``: that checkpoint's folder; ``best``: that of the checkpoint with the state of the
         trial's best report, if it is another; ``files``: that of the trial's files, null if there is
         none; all are null where the controller sees the study's folder; ``log``: what the trial
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
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

from hbsim.runner.workers import NEVER, Assignment, JobEnded, Reported, ReportRow

Body: TypeAlias = dict[str, Any]  # JSON has no narrower type
# Bytes of reports and ends that an agent may send beyond what the runner has taken; then trials wait.
ROOM: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Joined:
    """The event that an agent was started and has got its configuration.

    Attributes
    ----------
    agent : str
        The agent's id, a new one at each start.
    host : str
        The host's name: as in ``--hosts``, or the name of a Dask worker.
    place : str
        The id of the place, the same when an agent is started again: the host, or a Dask worker's address.
    """

    agent: str
    host: str
    place: str


@dataclass(frozen=True, slots=True)
class AgentLine:
    """The event that an agent has sent a line, which is a message of the protocol."""

    agent: str
    text: str


@dataclass(frozen=True, slots=True)
class AgentEnded:
    """The event that an agent has ended, or that the connection to it is lost.

    It may come again for an agent, once it is known that none of its processes is left.

    Attributes
    ----------
    agent : str
        The agent's id.
    reason : str
        How it ended, in one line.
    clean : bool
        Whether it is known that none of its processes is left. Else its jobs may run until the lease is
        over.
    """

    agent: str
    reason: str
    clean: bool


@dataclass(frozen=True, slots=True)
class HostFailed:
    """The event that no agent could be started on a host.

    Attributes
    ----------
    host, place : str
        See `Joined`.
    reason : str
        The reason in one line, with a remedy.
    final : bool
        Whether it is not tried again, for example since hbsim is not installed. Else it is, with back-off.
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
    """The event that no host can be reached any more, as without a Dask scheduler for more than the lease."""

    reason: str


CarrierEvent: TypeAlias = Joined | AgentLine | AgentEnded | HostFailed | Lost


class CopyError(Exception):
    """Raised when a folder could not be copied, with the reason as its text.

    Attributes
    ----------
    away : bool
        Whether the host could not be reached; then the copy may be tried again.
    """

    def __init__(self, problem: str, away: bool = False) -> None:
        super().__init__(problem)
        self.away = away


class Carrier(Protocol):
    """A carrier: it keeps an agent running on each host, and carries lines and files.

    Each line comes complete, in order and once, until `AgentEnded`.

    Attributes
    ----------
    events : asyncio.Queue of CarrierEvent
        The events, in order.
    trusted : bool
        Whether lines and files cannot be forged: by SSH, by TLS, or since they stay on this machine.
    """

    events: asyncio.Queue[CarrierEvent]
    trusted: bool

    async def open(self, config: str) -> int | None:
        """Connect, and begin to start agents.

        Parameters
        ----------
        config : str
            The first line of each agent, in JSON.

        Returns
        -------
        expected : int or None
            The number of hosts; None if any number may come.

        Raises
        ------
        ParameterError
            A package is missing, or no host can be reached; with a remedy.
        """
        ...

    def send(self, agent: str, line: str) -> None:
        """Send a line to an agent, without waiting. It is dropped if the agent has ended."""
        ...

    async def get(self, agent: str, source: str, target: Path) -> None:
        """Copy a folder from an agent's host into a new folder of this machine.

        It also works after the agent has ended, while its host can be reached. Only files and folders are
        copied, links to files as files; nothing is written outside of `target`.

        Raises
        ------
        CopyError
            The folder cannot be copied. `target` is removed.
        """
        ...

    async def put(self, agent: str, source: Path, target: str) -> None:
        """Copy a folder of this machine into a new folder on an agent's host.

        Raises
        ------
        CopyError
            The folder cannot be copied.
        """
        ...

    async def close(self) -> None:
        """End all agents that are left, and disconnect from the hosts. May be called twice."""
        ...


def dump(body: Mapping[str, Any]) -> str:
    """Return a message's body as a line."""
    return json.dumps(body, separators=(",", ":"), allow_nan=False)


def task_of(task: Assignment) -> Body:
    """Return a task in JSON types."""
    return {**asdict(task), "stop": task.stop if math.isfinite(task.stop) else None}


def task_from(body: Body) -> Assignment:
    """Return the task that `task_of` has written."""
    return Assignment(**{**body, "stop": NEVER if body["stop"] is None else body["stop"]})


def body_of(message: Reported | JobEnded, **more: object) -> Body:
    """Return the body of a message ``said`` or ``ended``: the fields of the message, and more."""
    kind = "said" if isinstance(message, Reported) else "ended"
    return {"m": kind, **{each.name: getattr(message, each.name) for each in fields(message)}, **more}


def message_of(body: Body, ahead: float) -> Reported | JobEnded:
    """Return the message in a body; the controller's clock is `ahead` seconds ahead of the agent's."""
    kind = Reported if body["m"] == "said" else JobEnded
    given = {each.name: body[each.name] for each in fields(kind) if each.name in body}
    given["rows"] = [
        ReportRow(at + ahead, trained, resource, metrics) for at, trained, resource, metrics in given["rows"]
    ]
    if given.get("begun") is not None:
        given["begun"] += ahead
    return kind(**given)


async def cancel_tasks(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait until all have ended.

    A task may go on after it was cancelled: `asyncio.wait_for` of Python 3.11 returns a result that comes
    at the same moment. Such a task is cancelled again.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=1.0)
