"""A journal whose records do not fit each other, or the scheduler, is an error that names the line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hbsim.errors import JournalError
from tests.doubles.fake_trials import Fault
from tests.profile import examples

from .studies import Study, replayed, small, studies

TYPES = ("stopping", "promotion", "sha", "hyperband", "pasha", "median", "fifo")
VERDICTS = ("continue", "pause", "stop", "complete", "retry", "perhaps")

Record = dict[str, Any]


def changes(record: Record) -> Iterator[Record]:
    """Return the record with another job, another answer, or another meaning."""
    kind = record["e"]
    if "job" in record and kind != "late":  # whose reports came late is a note
        yield {**record, "job": record["job"] + 77}
    if kind in ("start", "restart"):
        for name in ("bracket", "start", "attempt"):
            yield {**record, name: record[name] + 1}
        yield {**record, "stop": 77}
    if kind == "start":
        yield {**record, "trial": record["trial"] + 1}
        yield {"n": record["n"], "e": "none", "t": record["t"], "worker": record["worker"]}
    if kind in ("reach", "fail"):
        yield from ({**record, "verdict": other} for other in VERDICTS if other != record["verdict"])
        yield {name: value for name, value in record.items() if name != "verdict"}
    if kind == "reach":
        yield {**record, "at": record["at"] + 1}
        yield {**record, "at": record["at"] - 1}
    if kind in ("reach", "fail", "return"):
        yield {"n": record["n"], "e": "start", "t": record["t"], "worker": 0, "job": 99, "trial": 99,
               "bracket": 0, "start": 0, "stop": 1, "attempt": 0, "point": [0.5]}  # fmt: skip
    yield {**record, "e": "whatever"}


def check_refused(study: Study, records: list[Record], line: int) -> str:
    """The study cannot be read, because of a line counted from 1."""
    with pytest.raises(JournalError) as caught:
        replayed(study, records)
    assert (caught.value.path, caught.value.line) == ("journal", line)
    return caught.value.problem


@pytest.mark.parametrize("type", TYPES)
def test_every_change_of_every_record(type: str) -> None:
    faults = [Fault(1, "error", 0), Fault(3, "return", 0), Fault(2, "twice", 0), Fault(0, "drop", 0)]
    study = small(type, trials=5, workers=2, retries=1, faults=faults, curve={"paces": (0.5,)})
    records = study.run().records
    last = next(record["n"] for record in reversed(records) if record["e"] == "start")
    records = study.run(records[: last + 1]).records
    assert {"restart", "late", "missing"} <= {record["e"] for record in records}
    for place in range(1, len(records)):
        for changed in changes(records[place]):
            check_refused(study, [*records[:place], changed, *records[place + 1 :]], place + 1)


@settings(max_examples=examples(100))
@given(studies(), st.data())
def test_another_verdict(study: Study, data: Any) -> None:
    records = study.run().records
    decided = [record["n"] for record in records if "verdict" in record]
    assume(decided)
    place = data.draw(st.sampled_from(decided))
    others = [verdict for verdict in VERDICTS if verdict != records[place]["verdict"]]
    changed = {**records[place], "verdict": data.draw(st.sampled_from(others))}
    check_refused(study, [*records[:place], changed, *records[place + 1 :]], place + 1)


@pytest.mark.parametrize("kind", ["start", "reach", "gone", "restart"])
def test_a_line_that_comes_twice(kind: str) -> None:
    study = small("stopping", trials=3)
    records = study.run(study.run().records[:3]).records
    place = next(record["n"] for record in records if record["e"] == kind)
    renumbered = [*records[: place + 1], *({**r, "n": r["n"] + 1} for r in records[place:])]
    check_refused(study, renumbered, place + 2)


def test_what_it_says() -> None:
    """Readable without a look into the file."""
    study = small("stopping", trials=3)
    records = study.run().records
    place = next(record["n"] for record in records if record["e"] == "reach")
    problem = check_refused(study, [*records[:place], {**records[place], "verdict": "stop"}], place + 1)
    assert problem.startswith(
        "the scheduler answers continue for trial 0, where it answered stop for trial 0"
    )
    problem = check_refused(study, [records[0], {**records[1], "trial": 1}], 2)
    assert "answers trial 0 from 0 to 1, where it answered trial 1 from 0 to 1" in problem
    problem = check_refused(study, [*records[:place], {**records[place], "job": 5}], place + 1)
    assert "job 5 is not running" in problem


def test_a_scheduler_of_other_options() -> None:
    """As if the options had been changed in the file."""
    study = small("promotion")
    records = study.run().records
    study.options["reduction_factor"] = 2
    with pytest.raises(JournalError, match=r"from 0 to 1|pause|continue|other options"):
        replayed(study, records)
