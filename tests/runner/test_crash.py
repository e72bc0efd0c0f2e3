"""A study whose process dies at any record goes on as if nothing had happened."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbsim.errors import HbsimWarning
from hbsim.runner.journal import Journal
from tests.doubles.fake_trials import Fault
from tests.doubles.journal_lines import read_journal
from tests.doubles.pair import round_trip
from tests.profile import examples, thorough

from .checks import check_end, check_reports, tell_again
from .studies import Run, Study, picture, replayed, small, studies

TYPES = ("stopping", "promotion", "sha", "hyperband", "pasha", "median", "fifo")
CUTS = st.lists(st.floats(0, 1), min_size=1, max_size=3)


def cut(records: list[dict[str, Any]], where: float) -> list[dict[str, Any]]:
    """Return the records up to a place between the first and the last."""
    return records[: 1 + round(where * (len(records) - 1))]


def check_replay(run: Run, count: int) -> None:
    """The first `count` records say where everything stood after them."""
    standing = replayed(run.study, run.records[:count])
    assert round_trip(standing.scheduler) == run.notes.states[count - 1]
    assert picture(standing.journal_state) == run.pictures.taken[count - 1]
    rows = standing.decisions.rows()
    assert rows.tobytes() == run.decisions.rows()[: len(rows)].tobytes()


@settings(max_examples=examples(80, 15))
@given(studies(), CUTS)
def test_a_replay_is_exact(study: Study, cuts: list[float]) -> None:
    run = Run(study, states=True).go()
    for where in cuts:
        count = len(cut(run.records, where))
        if count > 1:
            check_replay(run, count)
    check_replay(run, len(run.records))


@settings(max_examples=examples(120))
@given(studies(), CUTS, st.lists(st.integers(1, 5), min_size=3, max_size=3))
def test_crashes_whatever_goes_wrong(study: Study, cuts: list[float], workers: list[int]) -> None:
    """Each time fewer or more workers go on; nothing that was written is told again."""
    run = study.run()
    for number, where in enumerate(cuts):
        before = cut(run.records, where)
        run = study.run(before, workers=workers[number], now=1000.0 * number)
        assert run.records[: len(before)] == before
        standing = replayed(study, run.records)
        assert round_trip(standing.scheduler) == round_trip(run.scheduler)
        assert picture(standing.journal_state) == picture(run.journal_state)
        check_end(run)
        check_reports(run)
        tell_again(run)


@settings(max_examples=examples(120))
@given(studies(faulty=False, workers=1), CUTS)
def test_one_worker_decides_the_same(study: Study, cuts: list[float]) -> None:
    run = undisturbed = study.run()
    for where in cuts:
        run = study.run(cut(run.records, where))
        check_end(run)
        assert run.decided() == undisturbed.decided()
        assert run.journal_state.points == undisturbed.journal_state.points
        assert run.journal_state.failures == undisturbed.journal_state.failures
        assert run.journal_state.returned == undisturbed.journal_state.returned


@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize("type", TYPES)
def test_at_every_record(type: str, resume: bool) -> None:
    study = small(type, trials=5, curve={"resume": resume, "breaks": ((1, 0, 2), (3, 0, 1))}, retries=1)
    run = Run(study, states=True).go()
    for count in range(2, len(run.records) + 1):
        check_replay(run, count)
        resumed = study.run(run.records[:count])
        check_end(resumed)
        assert resumed.decided() == run.decided()
        assert resumed.journal_state.failures == run.journal_state.failures


@pytest.mark.parametrize("workers", [2, 5, *(pytest.param(count, marks=thorough) for count in (1, 3))])
@pytest.mark.parametrize("type", TYPES)
def test_at_every_record_with_other_workers(type: str, workers: int) -> None:
    faults = [Fault(0, "slow save", seconds=4), Fault(1, "twice", 0), Fault(2, "error", 1), Fault(3, "deaf")]
    study = small(type, trials=5, workers=3, retries=1, faults=faults)
    records = study.run().records
    for count in range(2, len(records) + 1, 3):
        run = study.run(records[:count], workers=workers)
        check_end(run)
        check_reports(run)
        tell_again(run)


def test_what_ran_starts_again_where_it_stood() -> None:
    """The trial has passed 3, and had reported 5 when the process died."""
    study = small("stopping", trials=1)
    records = study.run().records
    place = next(n for n, r in enumerate(records) if r["e"] == "rows" and r["rows"][-1][2] == 5)
    run = study.run(records[: place + 1])
    restart = run.records[place + 2]
    assert {name: restart[name] for name in ("e", "was", "trial", "start", "stop", "attempt")} == {
        "e": "restart", "was": 0, "trial": 0, "start": 3, "stop": 9, "attempt": 0
    }  # fmt: skip
    jobs = run.jobs().rows(named=True)
    assert [job["verdict"] for job in jobs] == ["censored", "complete"]
    assert [job["stop_resource"] for job in jobs] == [5, 9]
    assert [job["start_resource"] for job in jobs] == [0, 3]


def test_the_time_between_does_not_count() -> None:
    study = small("fifo", trials=1)
    run = study.run(study.run().records[:6], now=1e6)
    assert run.jobs()["end_time"].to_list() == [4.0, 13.0]


def test_fewer_workers_start_again_one_after_the_other() -> None:
    """What nobody works on any more is over in the table of jobs when the process died, not later."""
    study = small("fifo", trials=3, workers=3)
    records = study.run().records
    later = next(n for n, record in enumerate(records) if record.get("t", 0) > 4)
    run = study.run(records[:later], workers=1)
    check_end(run)
    jobs = run.jobs().rows(named=True)
    assert [job["end_time"] for job in jobs] == [4, 4, 4, 13, 22, 31]
    assert [job["worker"] for job in jobs] == [0, 1, 2, 0, 0, 0]


def test_what_had_been_decided_is_not_run_again() -> None:
    """The process dies while a paused trial saves: it stays paused, and goes on when it is promoted."""
    study = small(trials=3, faults=[Fault(0, "slow save", seconds=30)])
    records = study.run().records
    place = next(n for n, r in enumerate(records) if r["e"] == "reach")
    run = study.run(records[: place + 1])
    check_end(run)
    assert run.jobs().row(0, named=True)["verdict"] == "pause"
    assert "restart" not in {record["e"] for record in run.records}


def test_a_function_that_had_nothing_left_to_do() -> None:
    """It ends at 3, a milestone where it may go on; the process died before its end was written."""
    study = small("stopping", trials=1, curve={"ends": ((0, 3),)})
    undisturbed = study.run()
    kinds = [record["e"] for record in undisturbed.records]
    run = study.run(undisturbed.records[: kinds.index("return")])
    check_end(run)
    assert run.journal_state.failures == []
    assert run.journal_state.returned == undisturbed.journal_state.returned == {0: 3}


def test_a_function_that_had_nothing_left_to_do_between_milestones() -> None:
    """Its checkpoint is that of the fifth epoch, its last."""
    study = small("fifo", trials=1, curve={"ends": ((0, 5),)})
    run = study.run(study.run().records[:7], saved={0: 5})
    check_end(run)
    assert run.journal_state.failures == []
    assert run.journal_state.returned == {0: 5}


def test_a_function_that_had_returned_without_milestones() -> None:
    """The value that counts is the last that was reported, though another job did."""
    study = small("fifo", trials=1, until_return=True, curve={"ends": ((0, 5),)})
    undisturbed = study.run()
    run = study.run(undisturbed.records[:7], saved={0: 5})
    check_end(run)
    assert run.decided() == undisturbed.decided()
    assert run.decided()[0][3] == study.curve.value(0, 5)


def test_a_study_that_is_over() -> None:
    study = small(trials=3)
    records = study.run().records
    run = study.run(records)
    assert [record["e"] for record in run.records[len(records) :]] == ["resume", "none", "close"]
    assert run.crew.begun == []


def test_a_study_that_had_only_begun() -> None:
    study = small(trials=3)
    records = study.run().records
    assert study.run(records[:1]).records == records


class Killed(BaseException):
    """The process has been killed."""


def live(study: Study, path: Path, most: int) -> Run:
    """Go on with a journal on the disk; die before record `most` + 1 is written."""
    run = Run(study, list(read_journal(path)))
    journal = Journal.open(path, "never")
    written = 0

    def append(record: Any) -> None:
        nonlocal written
        if written == most:
            raise Killed
        written += 1
        journal.append(record)

    run.notes.first = append
    with journal:
        return run.go()


@pytest.mark.parametrize("torn", [0, 3])
@pytest.mark.parametrize("type", ["stopping", "promotion"])
def test_with_a_real_journal(tmp_path: Path, type: str, torn: int) -> None:
    """A study that dies again and again, its last line torn or not, comes to the same end."""
    study, path, lives = small(type), tmp_path / "journal.jsonl", 0
    Journal.create(path, {}, "never").close()
    run = None
    while run is None:
        lives += 1
        try:
            run = live(study, path, 10 + lives % 3)
        except Killed:
            path.write_bytes(path.read_bytes()[: -torn or None])
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", HbsimWarning)  # of the torn line
                Journal.open(path, "never").close()
    assert lives > 3
    check_end(run)
    assert run.decided() == study.run().decided()
    kept = [{**record, "crc": None} for record in read_journal(path)]
    assert kept[1:] == [{**record, "crc": None} for record in run.records][1:]
