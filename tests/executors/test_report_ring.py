"""The ring of reports: everything comes once, whole and in order, whatever ends the writer."""

import os
import signal
from argparse import Namespace
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbsim.executors import report_ring
from hbsim.executors.local import LocalWorkers
from hbsim.executors.report_ring import ReportRing
from hbsim.runner.workers import ReportRow
from tests.profile import examples


@pytest.fixture
def ends():
    """Return the two ends of a ring."""
    reader, descriptor = ReportRing.create()
    writer = ReportRing(descriptor)
    os.close(descriptor)
    yield writer, reader
    writer.close()
    reader.close()


def as_read(reports):
    """Return what `read` makes of reports, and whether the last one waits."""
    return [ReportRow(*report[:4]) for report in reports], bool(reports) and reports[-1][4]


METRICS = st.dictionaries(
    st.sampled_from(["a", "b", "ü"]), st.none() | st.floats(allow_nan=False), max_size=3
)


@settings(max_examples=examples(80), deadline=None)
@given(size=st.integers(100, 400), steps=st.lists(st.sampled_from(["read", "some"]) | METRICS, max_size=60))
def test_as_a_queue_of_limited_room(size, steps):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report_ring, "SIZE", size)
        reader, descriptor = ReportRing.create()
        writer = ReportRing(descriptor)
        os.close(descriptor)
        waiting: deque[tuple] = deque()
        for number, step in enumerate(steps):
            if step == "read":
                assert reader.read() == as_read(waiting)
                waiting.clear()
                continue
            if step == "some":
                some = reader.read(70)
                assert some[0] or not waiting
                assert some == as_read([waiting.popleft() for _ in some[0]])
                continue
            report = (number / 7, 0.5, float(number), step, number % 3 == 0)
            if writer.write(*report):
                waiting.append(report)
            else:
                assert waiting  # there is room for any one
        assert reader.read() == as_read(waiting)
        assert reader.read() == ([], False)
        writer.close()
        reader.close()


def make(number):
    return float(number), 0.5, 1.0, {"accuracy": number / 3}, False


def test_what_is_not_there_yet_is_read_later(ends):
    writer, reader = ends
    writer.write(*make(1))
    position = writer._counters[report_ring._WRITTEN]
    writer.write(*make(2))
    held = writer._bytes[report_ring._HEAD + position + 12]
    writer._bytes[report_ring._HEAD + position + 12] = held ^ 1  # the counter came before the bytes
    assert reader.read() == as_read([make(1)])
    assert reader.read() == ([], False)
    writer._bytes[report_ring._HEAD + position + 12] = held
    assert reader.read() == as_read([make(2)])


def test_a_report_that_was_written_outlives_its_writer(ends):
    writer, reader = ends
    for number in range(0, 100, 10):
        out, into = os.pipe()
        pid = os.fork()
        if pid == 0:
            for count in range(1000):
                writer.write(*make(count))
                os.write(into, b".")
                if count == number:
                    os.kill(os.getpid(), signal.SIGKILL)
            os._exit(0)
        os.waitpid(pid, 0)
        os.close(into)
        with open(out, "rb") as pipe:
            returned = len(pipe.read())
        assert reader.read() == as_read([make(count) for count in range(returned)])
        assert returned == number + 1


def test_a_report_with_changed_values_is_the_first_of_those_that_are_read(ends):
    writer, reader = ends
    for number, changed in enumerate(({"a": [1, 2]}, None, {"b": [3, 4], "ü": ["x", "y"]}, {"b": [3, 5]})):
        assert writer.write(0.0, 0.0, number, {}, number == 3, changed)
    read = []
    while rows := reader.read()[0]:
        read.append(([row.resource for row in rows], reader.changed))
    assert read == [([0, 1], {"a": [1, 2]}), ([2], {"b": [3, 4], "ü": ["x", "y"]}), ([3], {"b": [3, 5]})]


def test_a_trial_that_reports_faster_than_it_is_read_does_not_hold_up_the_study(ends):
    """What it writes while it is read comes later; else nothing else would ever happen."""
    writer, reader = ends
    taken = []

    class Workers(LocalWorkers):
        def __init__(self):
            self._messages = taken

        def _take_reports(self, child):
            assert writer.write(0.0, 0.0, len(taken) + 2.0, {}, False, {"a": [1, len(taken)]})
            assert len(taken) < 10
            return super()._take_reports(child)

    for number in (0.0, 1.0):
        assert writer.write(0.0, 0.0, number, {}, False, {"a": [1, number]})
    child = Namespace(ring=reader, said=0, task=Namespace(job=0))
    Workers()._take_reports_until(child, reader.written)
    assert [[row.resource for row in message.rows] for message in taken] == [[0.0], [1.0]]
    assert reader.read()[0]
