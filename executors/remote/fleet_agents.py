"""The controller's records of agents: their clocks and leases, and their hosts."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Final

from hbsim.errors import ParameterError
from hbsim.executors.remote.allocation import Machine
from hbsim.executors.remote.protocol import Body

BEAT: Final = 1.0  # seconds between two beats,
SHARE: Final = 1 / 8  # or this share of the lease, if that is shorter
SILENT: Final = 3.0  # seconds without an answer, or a third of the lease, after which an agent is silent
MARGIN: Final = 2.5  # seconds for an agent's processes to notice the end of the lease, and end
_MANY: Final = 100  # beats without an answer that are remembered
_WORSE: Final = 1.05  # factor by which a round trip may be longer and still replace an old estimate


@dataclass(slots=True)
class Clocks:
    """An agent's clocks and its lease.

    Times are on the controller's monotonic clock, except `clock` and `until`.

    Attributes
    ----------
    lease : float
        The length of a lease in seconds.
    due : float
        The time of the next beat.
    clock, answered : float or None, float
        The agent's lease clock in its last answer, None before the first one, and the time of that answer.
    until : float
        The end of the lease on the agent's lease clock.
    ahead : float
        Seconds by which the controller's clock is ahead of the agent's monotonic clock.
    number : int
        The number of the last beat.
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
        """Extend the lease as far as the last answer allows, and return the next beat."""
        if self.clock is not None:
            # Without answers the lease ends a fixed time after the agent's last one.
            self.until = max(self.until, self.clock + self.lease)
        self.number += 1
        self.due = now + self.pause
        self._sent[self.number] = now
        self._sent.pop(self.number - _MANY, None)
        return {"o": "beat", "id": self.number, "until": round(self.until, 6)}

    def answer(self, number: int, clock: float, time: float, now: float) -> None:
        """Record the answer to a beat."""
        if self.clock is None:  # the agent's initial lease ends no later than this
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
        """Return whether the agent has answered before, but not lately enough to get new jobs."""
        return self.clock is not None and now - self.answered > min(SILENT, self.lease / 3)

    def is_answering(self, now: float) -> bool:
        """Return whether the agent has answered lately."""
        return self.clock is not None and not self.silent(now)

    def rest(self, now: float) -> float:
        """Return the seconds after which all processes of the agent must have ended."""
        if self.clock is None:  # no job runs there yet
            return 0.0
        # Its clock read `clock` before the answer came, so it has advanced at least as much since then.
        return self.until + MARGIN - (self.clock + (now - self.answered))


@dataclass(slots=True, eq=False)
class FleetHost:
    """A place where agents are started, with its failures.

    Attributes
    ----------
    name : str
        The name that the user gave it.
    failures : int
        The number of failures in a row to start an agent or make it ready.
    problem : str
        The cause of the last failure; empty if an agent is ready.
    error : ParameterError or None
        The same as an error, if an agent has reported it.
    final : bool
        Whether it can run no trials before a user has repaired it.
    warning : str
        The warning on its versions that was shown.
    """

    name: str
    failures: int = 0
    problem: str = ""
    error: ParameterError | None = None
    final: bool = False
    warning: str = ""


@dataclass(slots=True, eq=False)
class FleetAgent:
    """An agent, from its start until none of its processes can run any more.

    Attributes
    ----------
    name : str
        The agent's id.
    machine, incoming : Machine, str
        The host's devices and versions, and its folder for copies of checkpoints.
    ready : bool
        Whether the agent has loaded the training function.
    divided : bool
        Whether its host was divided among workers.
    shut : str
        Why its workers take no jobs now; empty if they do.
    over : str
        Why it gets no new jobs any more; empty if it may get some.
    ends : bool
        Whether to close it when its jobs and copies are done.
    gone : bool
        Whether no messages can come from it any more.
    reported_missing : bool
        Whether a note has said that it does not answer, or is gone.
    jobs : set of int
        Jobs that were sent to it and may still run.
    taken, acknowledged : int
        The number of characters of its lines that the runner has processed, and that were acknowledged to it.
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
        """Return whether the agent can get jobs now."""
        return self.ready and self.machine is not None and not self.over and self.clocks.is_answering(now)
