"""Reports read as columns, and what they add up to, against the plain way."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbsim.runner.journal import encode
from hbsim.runner.reports import IncumbentHistory, ReportColumns, from_rows, from_text, joined
from tests.profile import examples

NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**60), 2**60),
    st.sampled_from([0, -0.0, 1e-320, 5e-324, 1e22, 1.7976931348623157e308, 1e16, 0.1]),
)
NAMES = st.one_of(
    st.sampled_from(
        ["accuracy", "loss", 'a"b', "a,b", "}],[", '"},{', "null", "\x80", "\\", "1e5", "é", "\ud800", ""]
    ),
    st.text(max_size=5),
)


@st.composite
def records(draw, names=None):
    """Return the rows of some records, all with the same metrics."""
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True)) if names is None else names
    metrics = st.tuples(*(st.none() | NUMBERS for _ in names)).map(
        lambda values: dict(zip(names, values, strict=True))
    )
    row = st.tuples(NUMBERS, NUMBERS, NUMBERS, metrics).map(list)
    return draw(st.lists(st.lists(row, min_size=1, max_size=4), min_size=1, max_size=4))


def texts(rows_of_records):
    """Return what stands between ``[[`` and ``}]]`` in the lines of these records."""
    lines = [encode(0, {"e": "rows", "rows": rows}) for rows in rows_of_records]
    return [line[line.index(b"[[") + 2 : line.rindex(b"}]]")] for line in lines]


def same(ours: ReportColumns, theirs: ReportColumns) -> None:
    assert list(ours.counts) == list(theirs.counts)
    assert list(ours.metrics) == list(theirs.metrics)
    pairs = [(getattr(ours, name), getattr(theirs, name)) for name in ("at", "trained", "resource")]
    for one, other in [*pairs, *((ours.metrics[name], theirs.metrics[name]) for name in ours.metrics)]:
        np.testing.assert_array_equal(one, other)  # bit by bit, but for -0.0
        assert (np.signbit(one) == np.signbit(other)).all()


@settings(max_examples=examples(150), deadline=None)
@given(records())
def test_columns_are_those_of_the_json(rows):
    found = from_text(texts(rows))
    plain = all(name.isprintable() for row in rows for name in row[0][3])
    if found is None:
        assert not plain or any("}" in name or "\\" in name or '"' in name for name in rows[0][0][3])
    else:
        same(found, from_rows(rows))


@settings(max_examples=examples(150), deadline=None)
@given(records(["a", "b"]), st.data())
def test_a_text_that_was_changed_is_read_as_json_has_it_or_not_at_all(rows, data):
    found = b"\n".join(texts(rows))
    at = data.draw(st.integers(0, len(found) - 1))
    put = data.draw(
        st.sampled_from([b"", b",", b"-", b".", b"e", b"null", b"\n", b"}", b"[", b'"', b"\x80", b"+", b"1"])
    )
    changed = found[:at] + put + found[at + data.draw(st.integers(0, 2)) :]
    columns = from_text(changed.split(b"\n"))
    if columns is None:
        return
    read = [json.loads(_lenient(b"[[" + text + b"}]]")) for text in changed.split(b"\n")]
    same(columns, from_rows(read))


def _lenient(text: bytes) -> bytes:
    """Return a text in which numbers are written as JSON has them: 1. and +1 and 01 are numbers here."""
    import re

    number = re.compile(rb"(?<=[\[,:])[-+.\de]+(?=[,}\]])")
    return number.sub(lambda match: repr(float(match[0])).encode(), text)


def test_other_metrics_in_some_rows_are_not_read_so():
    one, two = [1.0, 0.5, 1, {"a": 1.0, "b": 2.0}], [2.0, 1.5, 2, {"b": 1.0, "a": 2.0}]
    for rows in ([one, two], [two, one], [one, [*two[:3], {"a": 1.0}]], [one, [*two[:3], {}]]):
        assert from_text(texts([rows])) is None
        assert from_text(texts([[one], rows])) is None
    assert from_text(texts([[[1.0, 1.0, 1, {}]]])) is None
    mixed = from_rows([[one, two], [[3.0, 2.5, 3, {"c": None}]]])
    np.testing.assert_array_equal(mixed.metrics["a"], [1.0, 2.0, math.nan])
    assert list(mixed.metrics) == ["a", "b", "c"]


def test_parts_are_joined():
    one, other = from_rows([[[1, 2, 3, {"a": 1}]]]), from_rows([[[4, 5, 6, {"b": 2}], [7, 8, 9, {"a": 3}]]])
    both = joined([one, other])
    assert both.counts == [1, 2]
    np.testing.assert_array_equal(both.at, [1, 4, 7])
    np.testing.assert_array_equal(both.metrics["a"], [1, math.nan, 3])
    np.testing.assert_array_equal(both.metrics["b"], [math.nan, 2, math.nan])
    assert joined([]).frame("value").schema["metrics"].fields[0].name == "value"


ENTRY = st.tuples(
    st.integers(0, 6).map(float),
    st.integers(0, 3),
    st.sampled_from([0.0, 0.1, 0.2, 0.3, math.nan, math.inf, -math.inf]),
)


@settings(max_examples=examples(200), deadline=None)
@given(
    st.lists(st.lists(ENTRY, min_size=1, max_size=5), max_size=6), st.sampled_from([1.0, -1.0]), st.booleans()
)
def test_improvements(groups, sign, at_once):
    """Sorted by time, in the order of hearing where times are the same, each better than all before."""
    improvements = IncumbentHistory(sign)
    heard = [(at, trial, 10 * at, value) for group in groups for at, trial, value in group]
    for group in groups:
        at, value = np.array([e[0] for e in group]), np.array([e[2] for e in group])
        if at_once:
            improvements.add_all(at, np.array([e[1] for e in group]), 10 * at, value)
            continue
        for time, trial, one in group:
            improvements.add(time, trial, 10 * time, one)
    best, expected = -math.inf, []
    for entry in sorted(heard, key=lambda entry: entry[0]):
        if math.isfinite(entry[3]) and sign * entry[3] > best:
            best = sign * entry[3]
            expected.append(entry)
    assert improvements.frame().rows() == expected


@pytest.mark.parametrize("rows", [[], [[[1.0, 1.0, 1.0, {"a": None}]]]])
def test_values_that_are_no_numbers(rows):
    improvements = IncumbentHistory(1.0)
    for row in rows:
        reports = from_rows([row])
        improvements.add_all(reports.at, np.zeros(1), reports.resource, reports.values("a"))
    assert improvements.frame().is_empty()
