"""Agents as the controller knows them: their clocks and leases, and the hosts that they are on."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Final

from hbsim.errors import ParameterError
from hbsim.executors.remote.allocation import Machine
from hbsim.executors.remote.protocol import Body

__all__ = ["MARGIN", "Clocks", "FleetAgent", "FleetHost"]

BEAT: Final = 1.0  # seconds between two beats,
SHARE: Final = 1 / 8  # or this share of the lease, if that is shorter
SILENT: Final = 3.0  # seconds without an answer, or a third of the lease, after which an agent is silent
MARGIN: Final = 2.5  # seconds in which an agent's processes notice that the lease is over, and are gone
_MANY: Final = 100  # beats whose answers are still waited for
_WORSE: Final = 1.05  # an estimate of clocks ages: so much longer may the next round trip be


@dataclass(slots=True)
class Clocks:
    """An agent's clocks and its lease.

    Times are of the controller's monotonic clock, but for `clock` and `until`.

    Attributes
    ----------
    lease : float
        Seconds that a lease lasts.
    due : float
        When the next beat is.
    clock, answered : float or None, float
        Its lease clock in its last answer, None before the first one, and when that came.
    until : float
        The end of its lease, by its lease clock.
    ahead : float
        How far the controller's clock is ahead of the agent's monotonic clock.
    number : int
        The last beat.
    """

    lease: float
    due: float
    clock: float | None = None
    answered: float = 0.0
    until: float = 0.0
    ahead: float = 0.0
    number: int = 0
    _round: float = inf  # seconds of the round trip that `ahead` was estimated in
    _sent: dict[int, float] = field(default_factory=dict)

    def beat(self, now: float) -> Body:
        """Renew the lease as far as it can be, and return what the beat says of it."""
        if self.clock is not None:
            # No answer, no new lease: it ends a fixed time after what the agent itself said last.
            self.until = max(self.until, self.clock + self.lease)
        self.number += 1
        self.due = now + self.pause
        self._sent[self.number] = now
        self._sent.pop(self.number - _MANY, None)
        return {"o": "beat", "id": self.number, "until": round(self.until, 6)}

    def answer(self, number: int, clock: float, time: float, now: float) -> None:
        """Take the answer to a beat."""
        if self.clock is None:  # it began with a lease of its own, which cannot be over later than this
            self.until = clock + self.lease
        if self.clock is None or clock > self.clock:
            self.clock, self.answered = clock, now
        sent = self._sent.get(number)
        if sent is None:
            return
        self._sent = {one: at for one, at in self._sent.items() if one > number}
        if now - sent <= self._round * _WORSE:
            self._round, self.ahead = now - sent, (sent + now) / 2 - time
        else:
            self._round *= _WORSE

    @property
    def pause(self) -> float:
        """The seconds between two beats."""
        return min(BEAT, self.lease * SHARE)

    def silent(self, now: float) -> bool:
        """Whether the agent has answered, but not for too long to be given new jobs."""
        return self.clock is not None and now - self.answered > min(SILENT, self.lease / 3)

    def is_answering(self, now: float) -> bool:
        """Whether the agent has answered lately."""
        return self.clock is not None and not self.silent(now)

    def rest(self, now: float) -> float:
        """Return the seconds until everything that the agent runs must have ended, at most."""
        if self.clock is None:  # nothing runs there yet
            return 0.0
        # Its clock was at `clock` before the answer came: by now it is at least at this.
        return self.until + MARGIN - (self.clock + (now - self.answered))


@dataclass(slots=True, eq=False)
class FleetHost:
    """A place where agents are started, and why it can run no trials.

    Attributes
    ----------
    name : str
        As the user calls it.
    failures : int
        How often in a row no agent could be started, or be made ready.
    problem : str
        What the last of these failed by; empty if an agent is ready.
    error : ParameterError or None
        The same, if an agent has found it.
    final : bool
        Whether it can run no trials before somebody has mended it.
    warning : str
        What people were told of other versions there.
    """

    name: str
    failures: int = 0
    problem: str = ""
    error: ParameterError | None = None
    final: bool = False
    warning: str = ""


@dataclass(slots=True, eq=False)
class FleetAgent:
    """An agent, from when it is started until nothing of it can run any more.

    Attributes
    ----------
    name : str
        Its id.
    machine, incoming : Machine, str
        What it said of its host, and the folder there for what is copied to it.
    ready : bool
        Whether it has loaded the training function.
    divided : bool
        Whether its host was divided among workers.
    shut : str
        Why its workers take no jobs now; empty if they do.
    over : str
        Why it gets no new jobs any more; empty if it may.
    ends : bool
        Whether it is to be closed when nothing is left to be done there.
    gone : bool
        Whether nothing is heard of it any more.
    reported_missing : bool
        Whether people were told that it does not answer, or is gone.
    jobs : set of int
        Jobs that were sent to it, and may run there.
    taken, acknowledged : int
        How many characters of its lines the runner has taken, and how many it was told of.
    """

    name: str
    host: FleetHost
    clocks: Clocks
    machine: Machine | None = None
    incoming: str = ""
    ready: bool = False
    divided: bool = False
    shut: str = ""
    over: str = ""
    ends: bool = False
    gone: bool = False
    reported_missing: bool = False
    jobs: set[int] = field(default_factory=set)
    taken: int = 0
    acknowledged: int = 0

    def is_ready(self, now: float) -> bool:
        """Whether it can be given jobs now."""
        return self.ready and self.machine is not None and not self.over and self.clocks.is_answering(now)
