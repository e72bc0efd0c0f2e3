"""The agent's end of the line while the other end does not read."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest

from hbsim.executors.dask.agent_lines import Line
from hbsim.executors.dask.agents import ROOM


class Ends:
    """A line, and what comes out at its other end."""

    def __init__(self) -> None:
        ours, self.theirs = socket.socketpair()
        ours.setblocking(False)
        self.theirs.settimeout(0.1)
        self.line = Line(ours)

    def read(self) -> list[dict]:
        """Return all that is said, in order; it is sent as there is room."""
        data = b""
        while True:
            self.line.send()
            try:
                data += self.theirs.recv(1 << 16)
            except TimeoutError:
                break
        return [json.loads(line) for line in data.splitlines()]

    def close(self) -> None:
        self.line.connection.close()
        self.theirs.close()


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends()
    yield made
    made.close()


def report(number: int, size: int = 10_000) -> dict[str, object]:
    return {"m": "said", "number": number, "text": "x" * size}


def test_what_is_said_aside_overtakes_what_waits_and_tears_no_line(ends: Ends) -> None:
    for number in range(200):
        ends.line.say(report(number))
    assert ends.line.pending
    ends.line.answer({"m": "beat", "id": 1})
    said = ends.read()
    assert [envelope["n"] for envelope in said if "n" in envelope] == list(range(1, 201))
    (at,) = (at for at, envelope in enumerate(said) if "n" not in envelope)
    assert said[at] == {"b": {"m": "beat", "id": 1}}
    assert at < 100
    assert not ends.line.pending


def test_it_is_full_until_enough_has_been_heard(ends: Ends) -> None:
    count = 0
    while not ends.line.full:
        ends.line.say(report(count))
        count += 1
    assert 0 <= count * 10_000 - ROOM < 20_000
    assert len(ends.read()) == count
    assert ends.line.full  # it is gone, but not heard of
    ends.line.acknowledge(1, ROOM)
    assert not ends.line.full
    ends.line.acknowledge(count, 0)
    assert ends.line.full  # the controller takes nothing
    ends.line.acknowledge(count, 1)
    assert not ends.line.full
