"""Lines between the controller and its agents: over a bad line, and there and back."""

from __future__ import annotations

from dataclasses import replace
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hbsim.executors.dask.wire import (
    AGAIN,
    Inbox,
    Outbox,
    ended_from,
    said_from,
    task_from,
    task_of,
    to_ended,
    to_said,
)
from hbsim.runner.workers import Ended, Row, Said, Task

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
ESCAPED = st.sampled_from("\udc80\udcff")  # bytes of a file's name that are no UTF-8
TEXTS = st.text(st.characters() | ESCAPED, max_size=20)
COUNTS = st.integers(0, 2**62)
METRICS = st.dictionaries(TEXTS, st.none() | NUMBERS, max_size=4)
ROWS = st.lists(st.builds(Row, NUMBERS, NUMBERS, NUMBERS, METRICS), max_size=4)
SAID = st.builds(Said, COUNTS, ROWS, COUNTS, st.booleans())
ENDED = st.builds(
    Ended,
    COUNTS,
    ROWS,
    COUNTS,
    st.sampled_from([None, "lost", "oom", "error"]),
    TEXTS,
    st.none() | NUMBERS,
    st.dictionaries(st.sampled_from(["load", "save", "start"]), NUMBERS),
    st.booleans(),
)
TASKS = st.builds(
    Task, COUNTS, COUNTS, COUNTS, NUMBERS, NUMBERS | st.just(inf), st.lists(st.floats(0, 1)), COUNTS
)


class BadLine:
    """What is sent lies about until it is delivered, in any order, as often as it comes, or never."""

    def __init__(self) -> None:
        self.outbox, self.inbox = Outbox(), Inbox()
        self.now = 0.0
        self.under_way: list[str] = []
        self.acks = [0]
        self.sent: list[dict] = []
        self.heard: list[dict] = []

    def put(self, _: int) -> None:
        self.sent.append({"o": "beat", "id": len(self.sent)})
        self.under_way.append(self.outbox.put(self.sent[-1], self.now))

    def deliver(self, which: int) -> None:
        if self.under_way:
            self.take([self.under_way.pop(which % len(self.under_way))])

    def deliver_and_keep(self, which: int) -> None:
        if self.under_way:
            self.take([self.under_way[which % len(self.under_way)].encode()])

    def deliver_all(self, turn: int) -> None:
        cut = turn % (len(self.under_way) + 1)
        self.take(self.under_way[cut:] + self.under_way[:cut])
        self.under_way = []

    def lose(self, which: int) -> None:
        if self.under_way:
            self.under_way.pop(which % len(self.under_way))

    def acknowledge(self, which: int) -> None:
        """One of the last acknowledgements arrives: they may come in any order, too."""
        self.outbox.acknowledge(self.acks[-1 - which % min(3, len(self.acks))])

    def wait(self, tenths: int) -> None:
        self.now += tenths / 10
        self.under_way += self.outbox.again(self.now)

    def take(self, lines: list) -> None:
        self.heard += self.inbox.take(lines)
        self.acks.append(self.inbox.heard)
        assert self.heard == self.sent[: self.inbox.heard]


STEPS = ("put", "put", "deliver", "deliver_and_keep", "deliver_all", "lose", "acknowledge", "wait")


@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 50)), max_size=60))
def test_whatever_is_lost_doubled_or_late_all_is_heard_once_and_in_order(steps):
    line = BadLine()
    for step, number in steps:
        getattr(line, step)(number)
        assert len(line.sent) - line.acks[-1] <= len(line.outbox) <= len(line.sent)
    line.under_way = []  # even if all that is on its way is lost
    line.outbox.acknowledge(line.inbox.heard)
    line.take(line.outbox.again(line.now + AGAIN + 1))
    assert line.heard == line.sent
    line.outbox.acknowledge(line.inbox.heard)
    assert len(line.outbox) == 0
    assert line.outbox.again(line.now + 10 * AGAIN) == []


def test_what_waits_for_its_acknowledgement_is_not_sent_again_too_soon():
    outbox = Outbox()
    lines = [outbox.put({"n": number}, number / 10) for number in range(3)]
    assert outbox.again(AGAIN - 0.01) == []
    assert outbox.again(AGAIN) == lines
    assert outbox.again(2 * AGAIN - 0.01) == []
    outbox.acknowledge(2)
    assert outbox.again(2 * AGAIN) == lines[2:]


def test_what_is_no_json_takes_no_number():
    outbox, inbox = Outbox(), Inbox()
    with pytest.raises(ValueError, match="JSON"):
        outbox.put({"at": nan}, 0.0)
    assert len(outbox) == 0
    assert inbox.take([outbox.put({"at": 1}, 0.0)]) == [{"at": 1}]


def over_the_line(body: dict) -> dict:
    line = Outbox().put(body, 0.0)
    assert line.isascii()
    assert "\n" not in line
    (heard,) = Inbox().take([line])
    return heard


@given(TASKS)
def test_tasks_survive(task):
    assert task_from(over_the_line(task_of(task))) == task


@given(SAID, NUMBERS)
def test_reports_survive(said, ahead):
    body = over_the_line(said_from(said))
    assert body["m"] == "said"
    there = to_said(body, 0.0)
    assert there == said
    assert all(isinstance(row, Row) for row in there.rows)
    later = [row._replace(at=row.at + ahead) for row in said.rows]
    assert to_said(body, ahead) == replace(said, rows=later)


@given(ENDED, st.none() | COUNTS, st.none() | TEXTS, NUMBERS)
def test_ends_survive(ended, saved, log, ahead):
    body = over_the_line(ended_from(ended, saved, log))
    assert (body["m"], body["saved"], body["log"]) == ("ended", saved, log)
    there = to_ended(body, 0.0)
    assert there == ended
    assert all(isinstance(row, Row) for row in there.rows)
    later = [row._replace(at=row.at + ahead) for row in ended.rows]
    begun = None if ended.begun is None else ended.begun + ahead
    assert to_ended(body, ahead) == replace(ended, rows=later, begun=begun)
