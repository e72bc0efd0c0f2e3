"""What is left out of a huge page, and the packing of curves, against plain loops."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pytest
from hbsim.bench.report.page import render
from hbsim.bench.report.page_data import ALPHABET, pack
from hbsim.bench.report.page_thin import LADDER, Limits, on_grid, thinned
from hypothesis import given
from hypothesis import strategies as st

from hbsim.bench.report.model import Line
from tests.bench.report.example import example

FINITE = st.floats(-1e6, 1e6)


def _unpack(low, high, text):
    values = []
    for i in range(0, len(text), 3):
        a, b, c = (ALPHABET.index(letter) for letter in text[i : i + 3])
        step = a * 4096 + b * 64 + c
        values.append(math.nan if step == 262143 else low + (high - low) * step / 262142)
    return values


@given(st.lists(FINITE | st.just(math.nan), max_size=30))
def test_packed_curves_can_be_read_again(values):
    low, high, text = pack(values)
    finite = [value for value in values if not math.isnan(value)]
    step = (max(finite) - min(finite)) / 262142 if finite else 0.0
    largest = max(map(abs, finite), default=0.0)
    np.testing.assert_allclose(_unpack(low, high, text), values, atol=step + 2e-5 * largest)


@given(
    st.lists(st.tuples(st.integers(0, 50), FINITE), min_size=1, unique_by=lambda point: point[0]).map(sorted),
    st.lists(st.integers(-5, 60), min_size=1),
)
def test_a_curve_in_steps_on_another_grid(points, grid):
    x, y = zip(*points, strict=True)
    found = on_grid(Line("v", x, y), np.array(grid, dtype=float))
    expected = [next((b for a, b in reversed(points) if a <= time), math.nan) for time in grid]
    np.testing.assert_array_equal(found.mean, expected)
    assert found.low == ()


def test_everything_is_kept_where_there_is_room():
    report = example(segments=100)
    small, notes = thinned(report, LADDER[0])
    assert small == report
    assert notes == ()


def test_what_is_left_out_is_said():
    report = example(1, (8,), variants=6)
    small, notes = thinned(report, Limits(points=30, bands=2, timelines=1, segments=50))
    (task,) = small.tasks
    assert all(len(line.x) <= 30 for line in (*task.anytime, *task.reached))
    assert len({line.x for line in task.anytime}) == 1
    best = {row.variant for row in task.rows if row.rank <= 2}
    assert {line.variant for line in task.anytime if line.low} == best
    (timeline,) = task.timelines
    full = next(one for one in report.tasks[0].timelines if one.variant == timeline.variant)
    assert len(timeline.segments) == 50
    assert set(timeline.segments) == set(sorted(full.segments, key=lambda one: (one.start, one.worker))[:50])
    assert timeline.cut == max(one.end for one in timeline.segments)
    assert [re.findall(r"\d+", note) for note in notes] == [["30"], ["2"], ["50", "1"]]
    before = {line.variant: line for line in report.tasks[0].anytime}
    for line in task.anytime:
        final = before[line.variant].mean[-1]
        assert line.mean[-1] == final
        assert line.mean[0] == before[line.variant].mean[0]


def test_a_page_keeps_to_its_limit():
    pytest.importorskip("plotly")
    report = example(4, (8,), variants=8)
    most, least = (len(render(report, limit=limit).encode()) for limit in (10**8, 1))
    assert least < most - 100_000
    for share in (0.2, 0.5, 0.9):
        room = round(least + share * (most - least))
        page = render(report, limit=room)
        assert least < len(page.encode()) <= room
        assert "To keep this page small" in page
        data = json.loads(re.findall(r'id="data">(.*?)</script>', page, re.S)[0])
        assert len(data["tasks"]) == 4
