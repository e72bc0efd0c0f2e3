"""Agents as the controller knows them: their clocks and leases, their hosts, what they run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any, Final

from hbsim.errors import ParameterError
from hbsim.executors.remote.lines import Body
from hbsim.executors.remote.machines import Machine

__all__ = ["MARGIN", "Agent", "Clocks", "Host", "pause", "silence"]

BEAT: Final = 1.0  # seconds between two beats,
SHARE: Final = 1 / 8  # or this share of the lease, if that is shorter
SILENT: Final = 3.0  # seconds without an answer (or a third of the lease) after which an agent is silent
MARGIN: Final = 2.5  # seconds in which an agent's processes notice that the lease is over, and are gone
DEATHS: Final = 3  # agents of a host in a row that were never ready: it can run no trials
_MANY: Final = 100  # beats whose answers are still waited for
_WORSE: Final = 1.05  # an estimate of clocks ages: so much longer may the next round trip be


def pause(lease: float) -> float:
    """Return the seconds between two beats."""
    return min(BEAT, lease * SHARE)


def silence(lease: float) -> float:
    """Return the seconds without an answer after which an agent gets no new jobs."""
    return min(SILENT, lease / 3)


@dataclass(slots=True)
class Clocks:
    """An agent's clocks and its lease.

    Times are of the controller's monotonic clock, but for `clock` and `until`.

    Attributes
    ----------
    born : float
        When the agent was heard of first.
    clock, heard : float or None, float
        Its lease clock in its last answer, None before the first one, and when that came.
    until : float
        Its lease, by its lease clock.
    ahead : float
        How far the controller's clock is ahead of the agent's monotonic clock.
    due : float
        When the next beat is.
    number, fresh : int
        The last beat's id; the first one's whose answer shows that the agent is there.
    """

    born: float
    due: float
    clock: float | None = None
    heard: float = 0.0
    until: float = 0.0
    ahead: float = 0.0
    number: int = 0
    fresh: int = 0
    answered: int = -1  # the last beat that was
    _round: float = inf  # seconds of the round trip that `ahead` was estimated in
    _sent: dict[int, float] = field(default_factory=dict)

    def beat(self, lease: float, now: float) -> Body:
        """Renew the lease as far as it can be, and return what the beat says of it."""
        if self.clock is not None:
            # No answer, no new lease: it ends a fixed time after what the agent itself said last.
            self.until = max(self.until, self.clock + lease)
        self.number += 1
        self.due = now + pause(lease)
        self._sent[self.number] = now
        self._sent.pop(self.number - _MANY, None)
        return {"o": "beat", "id": self.number, "until": round(self.until, 6)}

    def answer(self, number: int, clock: float, time: float, lease: float, now: float) -> None:
        """Take the answer to a beat."""
        if self.clock is None:  # it began with a lease of its own, which cannot be over later than this
            self.until = clock + lease
        if self.clock is None or clock > self.clock:
            self.clock, self.heard = clock, now
        sent = self._sent.get(number)
        self._sent = {one: at for one, at in self._sent.items() if one > number}
        if sent is None:
            return
        self.answered = number
        if now - sent <= self._round * _WORSE:
            self._round, self.ahead = now - sent, (sent + now) / 2 - time
        else:
            self._round *= _WORSE

    def rest(self, lease: float, now: float) -> float:
        """Return the seconds until everything that ran there must have ended, at most."""
        if self.clock is None:  # the lease that an agent begins with
            return lease + MARGIN - (now - self.born)
        # Its clock was at `clock` before the answer came: by now it is at least at this.
        return self.until + MARGIN - (self.clock + (now - self.heard))


@dataclass(slots=True, eq=False)
class Host:
    """A place where agents are started, and why there may be no hope for it."""

    name: str
    final: bool = False  # whether no agent is started there any more
    error: ParameterError | None = None  # why its last agent can run no trials
    deaths: int = 0  # agents in a row that were never ready
    failures: int = 0  # how often no agent could be started since there was one
    reason: str = ""  # for the last of these
    warning: str = ""  # what people were told of its versions

    def problem(self, begun: bool) -> str:
        """Say why it can run no trials; empty if it may."""
        if self.error is not None:
            return str(self.error)
        hopeless = self.final or self.deaths >= DEATHS or (self.failures >= DEATHS and not begun)
        return f"{self.name}: {self.reason}" if hopeless else ""


@dataclass(slots=True, eq=False)
class Agent:
    """An agent, from when it is started until nothing of it can run any more.

    Attributes
    ----------
    hello, machine
        What it said of its host; None before.
    ready : bool
        Whether it has loaded the training function.
    inside : bool
        Whether its host was divided among workers, or gets none.
    shut : str
        Why its workers take no jobs now; empty if they do.
    leaving, unfit, gone : str
        Why it gets no new jobs any more: its host is taken away, it can run no trials, it is not heard.
    """

    name: str
    host: Host
    clocks: Clocks
    hello: Mapping[str, Any] | None = None
    machine: Machine | None = None
    warning: str = ""  # what other versions it has
    ready: bool = False
    inside: bool = False
    shut: str = ""
    leaving: str = ""
    unfit: str = ""
    gone: str = ""
    ends: bool = False  # whether it is to be closed when nothing is left to be done there,
    closed: bool = False  # and was
    named: bool = False  # whether people were told that it is silent or gone
    jobs: set[int] = field(default_factory=set)  # that it was given; they may run there
    waiting: set[int] = field(default_factory=set)  # that it is to be given
    taken: int = 0  # characters of its lines that the runner has taken
    told: int = 0  # of these, what it was told
