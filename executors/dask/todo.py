"""What `Fleet` wants said and done: it does nothing itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from hbsim.executors.dask.depots import Source
from hbsim.runner.workers import Message

__all__ = ["Action", "Fetch", "Log", "Store", "ToDo", "Unstore", "Wake"]


@dataclass(frozen=True, slots=True)
class Fetch:
    """A trial's checkpoint is to be brought to an agent's host; then `Fleet.fetched`."""

    address: str
    job: int
    trial: int
    source: Source


@dataclass(frozen=True, slots=True)
class Store:
    """A trial's checkpoint is to be brought from an agent's host to the store; then `Fleet.stored`."""

    address: str
    job: int
    trial: int


@dataclass(frozen=True, slots=True)
class Wake:
    """A Dask worker is to start an agent, if it has none."""

    address: str


@dataclass(frozen=True, slots=True)
class Log:
    """What a trial printed is to be added to its log in the study's folder."""

    trial: int
    text: str


@dataclass(frozen=True, slots=True)
class Unstore:
    """A trial's checkpoints are to be removed from the store."""

    trial: int


Action: TypeAlias = Fetch | Store | Unstore | Wake | Log


@dataclass(slots=True)
class ToDo:
    """Lists to be emptied by whoever acts on them.

    Attributes
    ----------
    messages : list of Message
        For the runner.
    actions : list of Action
        To be done, and then reported to the fleet.
    notes : list of str
        Warnings for people.
    size : int
        Bytes that `messages` were made of.
    """

    messages: list[Message] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    size: int = 0
