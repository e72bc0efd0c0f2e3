"""The ring of reports: everything comes once, whole and in order, whatever ends the writer."""

import os
import signal
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbsim.executors import report_ring
from hbsim.executors.report_ring import ReportRing


@pytest.fixture
def ends():
    """Return the two ends of a ring."""
    reader, descriptor = ReportRing.create()
    writer = ReportRing(descriptor)
    os.close(descriptor)
    yield writer, reader
    writer.close()
    reader.close()


@settings(max_examples=60, deadline=None)
@given(
    size=st.integers(60, 300),
    steps=st.lists(st.just("read") | st.text(max_size=12) | st.lists(st.integers(), max_size=3), max_size=60),
)
def test_as_a_queue_of_limited_room(size, steps):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report_ring, "SIZE", size)
        reader, descriptor = ReportRing.create()
        writer = ReportRing(descriptor)
        os.close(descriptor)
        waiting: deque[object] = deque()
        room = size
        for step in steps:
            if step == "read":
                assert reader.read() == list(waiting)
                waiting.clear()
                room = size
                continue
            length = len(report_ring._ENCODE(step)) + 9
            if length > size:
                with pytest.raises(ValueError, match="a report takes"):
                    writer.write(step)
            elif writer.write(step):
                waiting.append(step)
                room -= length
                assert room >= 0
            else:
                assert length > room
        assert reader.read() == list(waiting)
        assert reader.read() == []
        writer.close()
        reader.close()


def test_what_is_not_there_yet_is_read_later(ends):
    writer, reader = ends
    writer.write("one")
    position = writer._counters[report_ring._WRITTEN]
    writer.write("two")
    held = writer._bytes[report_ring._HEAD + position + 2]
    writer._bytes[report_ring._HEAD + position + 2] = 0  # the counter came before the bytes
    assert reader.read() == ["one"]
    assert reader.read() == []
    writer._bytes[report_ring._HEAD + position + 2] = held
    assert reader.read() == ["two"]


def test_a_row_that_was_written_outlives_its_writer(ends):
    writer, reader = ends
    for number in range(100):
        out, into = os.pipe()
        pid = os.fork()
        if pid == 0:
            for count in range(1000):
                writer.write([number, count])
                os.write(into, b".")
                if count == number:
                    os.kill(os.getpid(), signal.SIGKILL)
            os._exit(0)
        os.waitpid(pid, 0)
        os.close(into)
        with open(out, "rb") as pipe:
            returned = len(pipe.read())
        assert reader.read() == [[number, count] for count in range(returned)]
        assert returned == number + 1
