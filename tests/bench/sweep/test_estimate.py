"""How long a sweep takes, from a few cells or from those that were run."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hbsim.bench.sweep import SweepStore, estimate
from hbsim.bench.sweep.run import Estimate, _places
from tests.bench.sweep.made import SMALL, read, run


@given(st.integers(1, 300))
def test_what_is_tried_is_spread(count):
    places = _places(count)
    assert len(places) == len(set(places)) <= 12
    assert all(0 <= place < count for place in places)
    if count >= 60:
        assert len(places) == 12
        assert {place * 4 // count for place in places} == {0, 1, 2, 3}


def test_cells_that_were_run_tell_where_there_are_enough(tmp_path):
    small = read(tmp_path, SMALL)
    tried = estimate(small)
    assert (tried.studies, tried.known) == (18, 12)
    assert 0 < tried.least <= tried.seconds / 18 <= tried.most
    run(read(tmp_path, SMALL.replace("seeds = 3", "seeds = 4")), tmp_path / "out")
    grown = read(tmp_path, SMALL.replace("seeds = 3", "seeds = 6"))
    store = SweepStore(tmp_path / "out")
    found = estimate(grown, store)
    seconds = store.tables(store.status)["timings"]["seconds"]
    assert (found.studies, found.known) == (12, 24)
    assert found.seconds == 12 * sum(seconds) / 24
    done = estimate(small, store)
    assert (done.studies, done.seconds) == (0, 0.0)


def test_more_processes_than_studies_are_of_no_use():
    assert Estimate(3, 12.0, 3, 4.0, 4.0).on(2) == 6.0
    assert Estimate(3, 12.0, 3, 4.0, 4.0).on(8) == 4.0
    assert Estimate(0, 0.0, 0, 0.0, 0.0).on(8) == 0.0
