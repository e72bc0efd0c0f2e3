"""What the controller and the agents say to each other: numbered, each heard exactly once and in order.

Both directions are streams of bodies, plain JSON objects, each in an envelope ``{"n": 7, "b": {...}}``. What
is lost on the way is sent again until the other side has acknowledged it; what comes twice is dropped.

Beats, their answers and acknowledgements have no number: they are said aside, ahead of what is numbered and
waits to be sent, and are worth nothing later. So a host that reports more than can be carried away is heard
of all the same. It reads no reports of its trials while more than ``room`` bytes of what it has said are not
acknowledged: trials wait then.

Orders, from the controller (``"o"`` names the kind):

======== =====================================================================================
beat     ``id``: to be said again; ``until``: the lease, by the agent's lease clock; ``ack``:
         the last number that the controller has heard; ``room``: as above
heard    ``ack``, ``room``
start    ``task``: a Task; ``slot``: cpus, threads, env of the worker
go       ``job``, ``stop``
leave    ``job``, ``save``
kill     ``job``, ``reason``
prune    ``trials``: their checkpoints and files are of no more use
close    kill everything and end
======== =====================================================================================

Messages, from an agent (``"m"`` names the kind):

======== =====================================================================================
hello    what the host is: of `hbsim.executors.dask.hello`
ready    ``seconds``: the training function is loaded
fatal    ``field``, ``value``, ``rule``: the study has to end with a ParameterError; with ``trial``
         only one trial is at fault, by its ``"report"`` or its ``"checkpoint"``, and others may have
         done better
beat     ``id``; ``clock``: the agent's lease clock; ``time``: its monotonic clock; ``ack``
said     ``job``, ``rows``, ``first``, ``waits``: as in `Said`, with the agent's clock in rows
ended    ``job``, ``rows``, ``first``, ``kind``, ``reason``, ``begun``, ``seconds``, ``left``: as in
         `Ended`; ``saved``: the job that made the trial's checkpoint, null if there is none;
         ``log``: what the trial printed last, where the controller cannot see it, else null
note     ``text``: a warning for people
======== =====================================================================================
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any, Final, TypeAlias

from hbsim.runner.workers import NEVER, Ended, Row, Said, Task

__all__ = [
    "Body",
    "Inbox",
    "Outbox",
    "aside",
    "ended_from",
    "said_from",
    "task_from",
    "task_of",
    "to_ended",
    "to_said",
]

Body: TypeAlias = dict[str, Any]  # JSON has no narrower type
AGAIN: Final = 2.0  # seconds until what is not acknowledged is sent again,
LONGEST: Final = 16.0  # doubled each time up to this
SOME: Final = 4 << 20  # bytes that are sent again at once


class Outbox:
    """Numbers what is sent, and keeps it until it is acknowledged.

    Attributes
    ----------
    size : int
        Bytes of what is not acknowledged.
    """

    def __init__(self) -> None:
        self.size = 0
        self._last = 0
        self._kept: dict[int, tuple[float, str]] = {}  # when it was sent, and the line; in order
        self._heard, self._pause = -math.inf, AGAIN  # when something was acknowledged last

    def put(self, body: Mapping[str, Any], now: float) -> str:
        """Return a body's line, to be sent now."""
        line = _line({"n": self._last + 1, "b": body})
        self._last += 1  # not before: the other side would wait for ever for what cannot be written
        self._kept[self._last] = (now, line)
        self.size += len(line)
        return line

    def acknowledge(self, number: int, now: float) -> None:
        """Forget what the other side has heard: everything up to `number`."""
        while self._kept and (first := next(iter(self._kept))) <= number:
            self.size -= len(self._kept.pop(first)[1])
            self._heard, self._pause = now, AGAIN

    def again(self, now: float) -> list[str]:
        """Return the lines that are to be sent again, in order: the first ones, if nothing was acknowledged.

        As long as there are acknowledgements, however late, nothing is lost.
        """
        if not self._kept or max(next(iter(self._kept.values()))[0], self._heard) > now - self._pause:
            return []
        self._pause = min(2 * self._pause, LONGEST)
        lines, size = [], 0
        for number, (_, line) in self._kept.items():
            self._kept[number] = (now, line)
            lines.append(line)
            size += len(line)
            if size >= SOME:
                break
        return lines

    def __len__(self) -> int:
        """Count what is not acknowledged."""
        return len(self._kept)


class Inbox:
    """Gives what has come in order, once.

    Attributes
    ----------
    heard : int
        The last number up to which nothing is missing: what is to be acknowledged.
    """

    def __init__(self) -> None:
        self.heard = 0
        self._early: dict[int, Body] = {}

    def take(self, lines: Iterable[str | bytes]) -> list[Body]:
        """Return the bodies that can be acted on by now."""
        bodies: list[Body] = []
        for line in lines:
            envelope = json.loads(line)
            if "n" not in envelope:
                bodies.append(envelope["b"])
            elif envelope["n"] > self.heard:
                self._early[envelope["n"]] = envelope["b"]
        while self.heard + 1 in self._early:
            self.heard += 1
            bodies.append(self._early.pop(self.heard))
        return bodies


def aside(body: Mapping[str, Any]) -> str:
    """Return the line of a body without a number: it is heard at once, or lost."""
    return _line({"b": body})


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


def ended_from(ended: Ended, saved: int | None, log: str | None) -> Body:
    """Return an end's body."""
    fields = {name: getattr(ended, name) for name in ("rows", "first", "kind", "reason", "begun", "left")}
    return {
        "m": "ended",
        "job": ended.job,
        **fields,
        "seconds": dict(ended.seconds),
        "saved": saved,
        "log": log,
    }


def to_ended(body: Body, ahead: float) -> Ended:
    """Return an end; `ahead` as in `to_said`."""
    begun = None if body["begun"] is None else body["begun"] + ahead
    rows = _rows(body["rows"], ahead)
    more = (body["kind"], body["reason"], begun, body["seconds"], body["left"])
    return Ended(body["job"], rows, body["first"], *more)


def _rows(rows: Iterable[Any], ahead: float) -> list[Row]:
    return [Row(at + ahead, trained, resource, metrics) for at, trained, resource, metrics in rows]


def _line(envelope: Mapping[str, Any]) -> str:
    return json.dumps(envelope, separators=(",", ":"), allow_nan=False)
