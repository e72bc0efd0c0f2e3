"""What a searcher knows of a study, held against a list of all that happened."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbsim.searchers.model_based import Observed, filled
from tests.doubles.naive_observed import NaiveObserved
from tests.profile import examples

LEVELS = st.sampled_from([1.0, 3.0, 9.0])
TRIALS = st.integers(0, 4)
VALUES = st.one_of(st.none(), st.integers(-3, 3).map(float), st.sampled_from([float("nan"), float("inf")]))
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("pending"), TRIALS, LEVELS),
        st.tuples(st.just("observed"), TRIALS, LEVELS, VALUES),
        st.tuples(st.just("forgot"), TRIALS),
        st.tuples(st.just("suggested")),
    ),
    max_size=40,
)


def happen(real: Observed, naive: NaiveObserved, events: list[Any]) -> None:
    """Tell both; nothing is told of trials that were not suggested."""
    for event in events:
        what, *rest = event
        if what != "suggested" and rest[0] >= len(real.points):
            continue
        naive.events.append(event)
        if what == "suggested":
            real.suggested(np.array([float(len(real.points))]))
        elif what == "pending":
            real.register_pending(*rest)
        elif what == "observed":
            real.observe(*rest)
        else:
            real.forget(*rest)


@settings(max_examples=examples(300), deadline=None)
@given(mode=st.sampled_from(["max", "min"]), head=st.integers(0, 4), events=EVENTS)
def test_observed_is_what_a_naive_list_says(mode: Any, head: int, events: list[Any]) -> None:
    real, naive = Observed(mode), NaiveObserved(mode)
    happen(real, naive, [("suggested",)] * head + events)
    assert {trial: levels for trial, levels in real.pending.items() if levels} == naive.pending()
    assert {(t, level): v for t, vs in real.values.items() for level, v in vs.items()} == naive.values()
    for level in (1.0, 3.0, 9.0):
        trials, values = real.at(level)
        assert dict(zip(trials, values.tolist(), strict=True)) == naive.at(level)
    trials, values = real.latest()
    assert dict(zip(trials, values.tolist(), strict=True)) == naive.latest()
    assert [point[0] for point in real.points] == list(range(len(real.points)))


def test_a_trial_with_nothing_pending_is_not_pending() -> None:
    known = Observed("max")
    known.suggested(np.zeros(1))
    known.register_pending(0, 1.0)
    known.observe(0, 1.0, 0.5)
    assert known.pending == {}


@pytest.mark.parametrize(("mode", "filled"), [("max", 1.0), ("min", -2.0)])
def test_no_number_is_as_bad_as_the_worst(mode: Any, filled: float) -> None:
    known = Observed(mode)
    for trial, value in enumerate([1.0, 2.0, None]):
        known.suggested(np.zeros(1))
        known.observe(trial, 3.0, value)
    assert known.at(3.0)[1].tolist()[2] == filled
    assert known.latest()[1].tolist()[2] == filled


def test_what_is_no_number_is_the_worst_at_its_level_or_of_all() -> None:
    found = filled([1.0, 1.0, 3.0, 3.0, 9.0], [5.0, None, 1.0, 2.0, None])
    assert found.tolist() == [5.0, 5.0, 1.0, 2.0, 1.0]
