"""The lines that the controller and the agents exchange: JSON objects, one a line.

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
said     ``job``, ``rows``, ``first``, ``waits``: as in `Said`, with the agent's clock in rows
ended    ``job``, ``rows``, ``first``, ``kind``, ``reason``, ``begun``, ``seconds``, ``left``: as in
         `Ended`; ``saved``: the job that made the trial's newest checkpoint, null if there is none;
         ``folder``: that checkpoint's folder, ``files``: that of the trial's files, null if there is
         none; both are null where the controller sees the study's folder; ``log``: what the trial
         printed last, where the controller does not see it, else null
stored   ``job``, ``trial``, ``problem``: the job's checkpoint is in the store behind the URL, or why not
leaving  ``reason``: the host is taken away (SIGTERM); trials save and are handed back as preempted,
         and no new one can start
======== =====================================================================================
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any, Final, TypeAlias

from hbsim.runner.workers import NEVER, Ended, Row, Said, Task

__all__ = ["ROOM", "Body", "dump", "ended_from", "said_from", "task_from", "task_of", "to_ended", "to_said"]

Body: TypeAlias = dict[str, Any]  # JSON has no narrower type

# Bytes of reports and ends that an agent may send beyond what the runner has taken; then trials wait.
ROOM: Final = 1 << 20


def dump(body: Mapping[str, Any]) -> str:
    """Return the line of a body."""
    return json.dumps(body, separators=(",", ":"), allow_nan=False)


def task_of(task: Task) -> Body:
    """Return a task in JSON types."""
    return {**asdict(task), "stop": task.stop if math.isfinite(task.stop) else None}


def task_from(body: Body) -> Task:
    """Return the task that `task_of` has written."""
    return Task(**{**body, "stop": NEVER if body["stop"] is None else body["stop"]})


def said_from(said: Said) -> Body:
    """Return a report's body."""
    return {"m": "said", "job": said.job, "rows": said.rows, "first": said.first, "waits": said.waits}


def to_said(body: Body, ahead: float) -> Said:
    """Return a report; `ahead` is how many seconds the controller's clock is ahead of the agent's."""
    return Said(body["job"], _rows(body["rows"], ahead), body["first"], body["waits"])


def ended_from(
    ended: Ended, saved: int | None, folder: str | None, files: str | None, log: str | None
) -> Body:
    """Return an end's body."""
    names = ("job", "rows", "first", "kind", "reason", "begun", "left")
    fields = {name: getattr(ended, name) for name in names}
    checkpoint = {"saved": saved, "folder": folder, "files": files}
    return {"m": "ended", **fields, "seconds": dict(ended.seconds), **checkpoint, "log": log}


def to_ended(body: Body, ahead: float) -> Ended:
    """Return an end; `ahead` as in `to_said`."""
    begun = None if body["begun"] is None else body["begun"] + ahead
    rows = _rows(body["rows"], ahead)
    more = (body["kind"], body["reason"], begun, body["seconds"], body["left"])
    return Ended(body["job"], rows, body["first"], *more)


def _rows(rows: Iterable[Any], ahead: float) -> list[Row]:
    return [Row(at + ahead, trained, resource, metrics) for at, trained, resource, metrics in rows]
