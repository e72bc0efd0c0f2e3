"""A searcher that listens is told the same when a study is read again as when it ran."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbsim.runner.loop import SearcherNotifier
from hbsim.study.spec import replay
from tests.doubles.fake_trials import Fault
from tests.doubles.journal_lines import typed_records
from tests.doubles.pair import make_real
from tests.profile import examples

from .studies import MANY_TRIALS, Listener, Run, Study, new_state, small, studies

TYPES = ("stopping", "promotion", "sha", "hyperband", "pasha", "median", "fifo")


class Silent(Listener):
    """One that must not be asked: what it suggested is known."""

    def suggest(self, n: int) -> Any:
        raise AssertionError("it was asked for a trial that has a configuration")


def tell(study: Study, records: list[dict[str, Any]], searcher: Listener) -> None:
    """Tell a searcher of the records."""
    state = new_state(make_real(study.type, study.options))
    replay(state, typed_records(records), "journal", SearcherNotifier(searcher, state.scheduler))


def read(study: Study, records: list[dict[str, Any]]) -> Silent:
    """Return a searcher that was told of the records."""
    searcher = Silent()
    tell(study, records, searcher)
    return searcher


def pending(records: list[dict[str, Any]]) -> set[int]:
    """Return the trials that train, or will be tried again, by the records alone."""
    trials: dict[int, int] = {}
    found: set[int] = set()
    for record in records:
        if record["e"] in ("start", "restart"):
            trials[record["job"]] = record["trial"]
            found.add(record["trial"])
        elif record["e"] == "return" or record.get("verdict") in ("pause", "stop", "complete"):
            found.discard(trials[record["job"]])
    return found


@settings(max_examples=examples(100))
@given(studies(), st.lists(st.floats(0, 1), min_size=1, max_size=4))
def test_the_same_is_told(study: Study, cuts: list[float]) -> None:
    run = study.run()
    assert read(study, run.records).calls == run.searcher.calls
    for where in cuts:
        records = run.records[: 1 + round(where * (len(run.records) - 1))]
        searcher = read(study, records)
        assert searcher.calls == run.searcher.calls[: len(searcher.calls)]
        assert set(searcher.pending) == pending(records)
        assert searcher.asked == sum("point" in record for record in records)


@settings(max_examples=examples(60))
@given(studies(), st.floats(0, 1))
def test_the_same_is_told_after_a_crash(study: Study, where: float) -> None:
    records = study.run().records
    run = study.run(records[: 1 + round(where * (len(records) - 1))])
    assert read(study, run.records).calls == run.searcher.calls
    assert run.journal_state.points == [[trial / MANY_TRIALS] for trial in range(run.scheduler.started)]


@pytest.mark.parametrize("type", TYPES)
def test_at_every_record(type: str) -> None:
    """Also what starts again is pending once."""
    study = small(type, trials=4, workers=2, retries=1, faults=[Fault(1, "error", 0)])
    run = study.run()
    for count in range(2, len(run.records)):
        assert set(read(study, run.records[:count]).pending) == pending(run.records[:count])
        again = study.run(run.records[:count])
        assert read(study, again.records).calls == again.searcher.calls
        assert again.searcher.asked == 4


def test_what_it_is_told() -> None:
    """Trial 0 fails once and is tried again, pending all the time; trial 1 is stopped at 1."""
    study = small("stopping", trials=2, retries=1, faults=[Fault(0, "error", 2)])
    values = [study.curve.value(0, level) for level in (1, 3, 9)]
    assert (study.curve.value(1, 1) or 1.0) < (values[0] or 0.0)
    assert study.run().searcher.calls == [
        ("start", 0, 1),
        ("report", 0, 1, values[0]),
        ("start", 0, 3),
        ("report", 0, 3, values[1]),
        ("start", 0, 9),
        ("report", 0, 9, values[2]),
        ("end", 0),
        ("start", 1, 1),
        ("report", 1, 1, study.curve.value(1, 1)),
        ("end", 1),
    ]


def test_what_starts_again_is_not_told_twice() -> None:
    study = small("fifo", trials=1)
    run = Run(study, study.run().records[:4]).go()
    assert [record["e"] for record in run.records].count("restart") == 1
    assert [call[0] for call in run.searcher.calls] == ["start", "report", "end"]


def test_a_searcher_that_does_not_listen() -> None:
    """It is only given its configurations."""
    study = small("fifo", trials=3)
    searcher = Silent()
    searcher.listens = False
    tell(study, study.run().records, searcher)
    assert searcher.calls == []
    assert searcher.asked == 3
