"""Lines between the controller and its agents: over a bad line, and there and back."""

from __future__ import annotations

from dataclasses import replace
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hbsim.executors.dask.wire import (
    AGAIN,
    LONGEST,
    SOME,
    Inbox,
    Outbox,
    aside,
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
        self.lines: list[str] = []
        self.heard: list[dict] = []

    def put(self, _: int) -> None:
        self.sent.append({"o": "beat", "id": len(self.sent)})
        self.lines.append(self.outbox.put(self.sent[-1], self.now))
        self.under_way.append(self.lines[-1])

    def kept(self) -> range:
        """Return the numbers of the lines, from 0, that are not known to have been heard."""
        return range(len(self.sent) - len(self.outbox), len(self.sent))

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
        self.outbox.acknowledge(self.acks[-1 - which % min(3, len(self.acks))], self.now)

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
        assert line.outbox.size == sum(len(line.lines[number]) for number in line.kept())
    line.under_way = []  # even if all that is on its way is lost
    line.outbox.acknowledge(line.inbox.heard, line.now)
    line.take(line.outbox.again(line.now + LONGEST + 1))
    assert line.heard == line.sent
    line.outbox.acknowledge(line.inbox.heard, line.now)
    assert len(line.outbox) == line.outbox.size == 0
    assert line.outbox.again(line.now + 10 * LONGEST) == []


def test_what_waits_for_its_acknowledgement_is_not_sent_again_too_soon():
    outbox = Outbox()
    lines = [outbox.put({"n": number}, number / 10) for number in range(3)]
    assert outbox.again(AGAIN - 0.01) == []
    assert outbox.again(AGAIN) == lines
    assert outbox.again(2 * AGAIN - 0.01) == []
    outbox.acknowledge(2, AGAIN)
    assert outbox.again(2 * AGAIN - 0.01) == []
    assert outbox.again(2 * AGAIN) == lines[2:]


def test_what_nobody_acknowledges_is_sent_again_after_ever_longer_pauses():
    outbox = Outbox()
    outbox.put({}, 0.0)
    times = [tenth / 10 for tenth in range(1000) if outbox.again(tenth / 10)]
    assert times == [2.0, 6.0, 14.0, 30.0, 46.0, 62.0, 78.0, 94.0]
    outbox.put({}, 100.0)
    outbox.acknowledge(1, 100.0)
    assert [tenth / 10 for tenth in range(1000, 1070) if outbox.again(tenth / 10)] == [102.0, 106.0]


def test_a_slow_way_on_which_nothing_is_lost_is_not_made_slower():
    """A line a second goes, and is acknowledged ten seconds later."""
    outbox = Outbox()
    for second in range(100):
        outbox.put({}, second)
        outbox.acknowledge(second - 10, second)
        assert second <= 10 or outbox.again(second) == []


def test_only_some_is_sent_again_at_once():
    outbox = Outbox()
    lines = [outbox.put({"text": "x" * (SOME // 4)}, 0.0) for _ in range(10)]
    assert outbox.again(AGAIN) == lines[:4]
    outbox.acknowledge(3, AGAIN)
    assert outbox.again(2 * AGAIN) == lines[3:7]


def test_what_is_said_aside_waits_for_nothing():
    outbox, inbox = Outbox(), Inbox()
    outbox.put({"number": 1}, 0.0)
    late = outbox.put({"number": 2}, 0.0)
    assert inbox.take([late, aside({"beat": 1})]) == [{"beat": 1}]
    assert inbox.take([aside({"beat": 2}).encode()] * 2) == [{"beat": 2}] * 2
    assert inbox.heard == 0
    assert inbox.take(outbox.again(AGAIN)) == [{"number": 1}, {"number": 2}]


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
