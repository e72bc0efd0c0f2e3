"""What the controller knows of one agent: its connection, its clocks, its lease."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any, Final

from hbsim.executors.dask.wire import Body, Inbox, Outbox, aside

__all__ = ["BEAT", "MARGIN", "ROOM", "AgentState"]

BEAT: Final = 1.0  # seconds between two beats,
SHARE: Final = 1 / 8  # or this share of the lease, if that is shorter
MARGIN: Final = 2.5  # seconds in which an agent's processes notice that the lease is over, and are gone
SILENT: Final = 5.0  # seconds without an answer after which an agent gets no new jobs
ROOM: Final = 64 << 10  # bytes that an agent may say, at least, before any of it is acknowledged
_SOME: Final = 16 << 10  # bytes at least that are acknowledged before a beat does that,
_PART: Final = 4  # or this part of what it may say
_MANY: Final = 100  # beats whose answers are still waited for
_WORSE: Final = 1.05  # an estimate of clocks ages: so much longer may the next round trip be


@dataclass(slots=True)
class AgentState:
    """An agent as the controller sees it.

    All times are seconds of the controller's monotonic clock, if nothing else is said.

    Attributes
    ----------
    name, address : str
        The agent's id, and the address of its Dask worker.
    born : float
        When it was first heard of.
    outgoing : list of str
        Lines to be sent.
    hello : dict or None
        What it said of its host.
    ready : bool
        Whether it has loaded the training function.
    jobs : set of int
        What runs on it.
    joined : bool
        Whether it takes new jobs.
    gone : str or None
        Why nothing is sent to it any more; its jobs may run until its lease is over.
    guessed : bool
        Whether that is a guess, and its Dask worker may still say how it ended.
    told : bool
        Whether people were told that its trials may be lost.
    ahead : float
        How far the controller's clock is ahead of the agent's monotonic clock.
    room : int
        Bytes that it was told it may say before any of it is acknowledged.
    """

    name: str
    address: str
    born: float
    outbox: Outbox = field(default_factory=Outbox)
    inbox: Inbox = field(default_factory=Inbox)
    outgoing: list[str] = field(default_factory=list)
    hello: Mapping[str, Any] | None = None
    ready: bool = False
    jobs: set[int] = field(default_factory=set)
    joined: bool = False
    gone: str | None = None
    guessed: bool = False
    told: bool = False
    ahead: float = 0.0
    room: int = ROOM
    _taken: int = 0  # bytes that it has said since it was told what was heard
    _round: float = inf  # seconds of the round trip that `ahead` was estimated in
    _clock: float | None = None  # its lease clock, in its last answer
    _heard: float = 0.0  # when that came
    _until: float = 0.0  # the last lease, by its lease clock; 0 while that is unknown
    _beats: dict[int, float] = field(default_factory=dict)
    _next: float = -inf
    _number: int = 0
    _last: str = ""  # the last beat's line

    @property
    def host(self) -> str:
        """The name of its machine; that of its Dask worker as long as it is unknown."""
        return self.address if self.hello is None else str(self.hello["host"])

    def send(self, body: Mapping[str, Any], now: float) -> None:
        """Put an order into the line."""
        if self.gone is None:
            self.outgoing.append(self.outbox.put(body, now))

    def take(self, line: str, room: int) -> list[Body]:
        """Take what it says, and tell it so if it was much; `room` is what it may say from now on."""
        bodies = self.inbox.take([line])
        self._taken += len(line)
        if self._taken >= max(_SOME, self.room // _PART):
            self.tell(room)
        return bodies

    def tell(self, room: int) -> None:
        """Tell it what was heard, and how much it may say."""
        if self.gone is None:
            self.outgoing.append(aside({"o": "heard", **self._told(room)}))

    def _told(self, room: int) -> Body:
        self._taken, self.room = 0, room
        return {"ack": self.inbox.heard, "room": room}

    def beat(self, lease: float, now: float, room: int = ROOM) -> None:
        """Renew the lease, if it is time; what nobody has acknowledged is sent again."""
        if self.gone is not None or now < self._next:
            return
        self._next = now + min(BEAT, lease * SHARE) * (1.0 if self._number else self._phase())
        if self._last in self.outgoing:
            return  # the last beat has not gone yet
        self.outgoing += self.outbox.again(now)
        if self._clock is not None:
            # No answer, no new lease: it ends a fixed time after what the agent itself said last.
            self._until = max(self._until, self._clock + lease)
        self._number += 1
        self._beats[self._number] = now
        self._beats.pop(self._number - _MANY, None)
        until = round(self._until, 6)
        self._last = aside({"o": "beat", "id": self._number, "until": until, **self._told(room)})
        self.outgoing.append(self._last)

    def _phase(self) -> float:
        """Return a part of 1: agents that came at the same time are not to be beaten all at once."""
        return zlib.crc32(self.name.encode()) / 2**32

    def answered(self, body: Body, lease: float, now: float) -> None:
        """Take the answer to a beat."""
        if self._clock is None:  # it began with a lease of its own, which cannot be over later than this
            self._until = body["clock"] + lease
        self.outbox.acknowledge(body["ack"], now)
        sent = self._beats.get(body["id"])
        self._beats = {number: at for number, at in self._beats.items() if number > body["id"]}
        if sent is None:
            return
        if self._clock is None or body["clock"] > self._clock:
            self._clock, self._heard = body["clock"], now
        trip = now - sent
        if trip <= self._round * _WORSE:
            self._round, self.ahead = trip, (sent + now) / 2 - body["time"]
        else:
            self._round *= _WORSE

    @property
    def known(self) -> bool:
        """Whether it has answered a beat: from then on its lease is known."""
        return self._clock is not None

    def silent(self, now: float, lease: float) -> bool:
        """Whether it has not answered for too long to be given new jobs."""
        return self._clock is not None and now - self._heard > min(SILENT, lease / 3)

    def over(self, now: float, lease: float) -> bool:
        """Whether everything that ran on it must have ended by now, by its lease."""
        return self._rest(now, lease) < 0

    def _rest(self, now: float, lease: float) -> float:
        """Return the seconds until then, at most."""
        if self._clock is None:  # the lease that an agent begins with; it ran nothing
            return lease + MARGIN - (now - self.born)
        # Its clock was at `_clock` before the answer came: by now it is at least at this.
        return self._until + MARGIN - (self._clock + (now - self._heard))

    def loss(self, now: float, lease: float) -> str:
        """Say what becomes of what ran on it, now that it is gone."""
        count, seconds = len(self.jobs), f"{max(0.0, self._rest(now, lease)):.0f} s"
        if count == 1:
            fate = f"its trial counts as lost in {seconds} unless it is heard of"
        else:
            fate = f"its {count} trials count as lost in {seconds} unless they are heard of"
        return f"{self.host} is gone ({self.gone}); {fate}"
