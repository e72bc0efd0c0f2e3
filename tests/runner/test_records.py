"""A study's journal read in two ways: one record after the other, and reports as columns."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import polars as pl
import pytest

import hbsim.runner.journal_reader
import hbsim.study.result
from hbsim.errors import JournalError
from hbsim.runner.journal import encode
from hbsim.runner.journal_reader import read_records, read_reports
from hbsim.runner.journal_state import JournalState
from hbsim.runner.records import KINDS, line_fields
from hbsim.runner.tables import DecisionTable
from hbsim.study.result import load
from hbsim.study.spec import StudyState, replay
from tests.doubles.fake_hosts import Absence, Host
from tests.doubles.fake_trials import Fault
from tests.doubles.journal_lines import typed
from tests.study.made import Made

from .studies import small


@pytest.fixture(params=[1, 5, 400], ids=lambda most: f"up to {most} rows a record")
def made(request, tmp_path):
    """A study whose jobs report much between milestones, not always the same, and are heard late."""
    rng = random.Random(request.param)
    made = Made(
        tmp_path / "exp", kind="promotion", max_t=900, grace_period=100, reduction_factor=3, num_trials=7
    )
    t = 0.0
    while not made.scheduler.done:
        t += 1.0
        for worker in {0, 1, 2} - set(made.journal_state.workers):
            made.start(worker, t)
        for stay in list(made.journal_state.runs.values()):
            _report(made, stay, rng, request.param, t)
    made.close("done")
    return made


def _report(made, stay, rng, most, t):
    first = stay.resource + 1
    count = int(min(rng.randint(1, most), stay.stop - first))
    rows: list[Any] = []
    for resource in range(int(first), int(first) + count):
        value = None if rng.random() < 0.1 else rng.choice([min(0.95, rng.random()), 0.5])
        extra = {"loss": rng.gauss(0, 1)} if stay.trial != 3 else {}
        at = round(t - rng.random() / 2, 6)
        rows.append([at, resource / 7, resource, {"accuracy": value, **extra}])
    rows.sort(key=lambda row: row[0])
    if rows:
        made.write("rows", t, job=stay.job, rows=rows)
    elif made.reach(stay.job, rng.random(), t) != "continue":
        made.gone(stay.job, t)


def naive_reports(records):
    trials = {record["job"]: record["trial"] for record in records if "trial" in record}
    return [(r["job"], trials[r["job"]], *row) for r in records for row in r.get("rows", ())]


def test_reports_are_those_of_the_records(made):
    result = made.result()
    expected = naive_reports(made.records)
    frame = result.reports
    assert frame.drop("value", "metrics").rows() == [row[:5] for row in expected]
    assert frame["value"].to_list() == [row[5]["accuracy"] for row in expected]
    assert frame["metrics"].to_list() == [{"accuracy": None, "loss": None, **row[5]} for row in expected]


def test_what_they_add_up_to(made):
    """Trials and incumbents, of the study that ran and of one that was read: as from all reports."""
    result = made.result(workers=3)
    reports, trials = result.reports, result.scheduler.started
    for one in (result, load(result.folder)):
        of = [reports.filter(pl.col("trial") == trial) for trial in range(trials)]
        assert one.trials["best"].to_list() == [frame["value"].max() for frame in of]
        assert one.trials["final"].to_list() == [frame["value"][-1] for frame in of]
        assert one.trials["reached"].to_list() == [frame["resource"][-1] for frame in of]
        expected, best = [], -1.0
        for row in reports.sort("time", maintain_order=True).iter_rows(named=True):
            if row["value"] is not None and row["value"] > best:
                best = row["value"]
                expected.append((row["time"], row["trial"], row["resource"], best))
        assert one.incumbent().rows() == expected
        assert one.summary() == result.summary()
        assert one.jobs.equals(result.jobs)


def test_columns_and_rows_leave_a_study_at_the_same_place(made):
    """At the end, and where its process was killed after a record with reports."""
    made.result()
    lines = made.study_folder.journal.read_bytes().splitlines(keepends=True)
    sizes = [0]  # of the records with reports before each line that nothing else comes between
    for line in lines:
        sizes.append(sizes[-1] + len(line) if b'"e":"rows"' in line else 0)
    for count in (len(lines), sizes.index(max(sizes))):
        made.study_folder.journal.write_bytes(b"".join(lines[:count]))
        _check_same_place(made)


def _check_same_place(made):
    pictures = []
    for together in (False, True):
        scheduler = Made(made.study_folder.path, kind="promotion", **_options(made)).scheduler
        journal_state = JournalState(scheduler.levels, scheduler.mode, "accuracy")
        records = list(read_records(made.study_folder.journal, together=together))
        replay(StudyState(scheduler, journal_state, DecisionTable()), iter(records), "journal")
        pictures.append(_picture(journal_state))
    assert pictures[0] == pictures[1]


def _options(made):
    options = dict(made.spec.scheduler)
    options.pop("type")
    return options


def _picture(journal_state):
    names = (
        "now",
        "best",
        "reached",
        "values",
        "bests",
        "highest",
        "reports",
        "failures",
        "why",
        "workers_seen",
    )
    frames = (journal_state.jobs.frame([0] * 100), journal_state.improvements.frame())
    return repr([getattr(journal_state, name) for name in names]), [frame.rows() for frame in frames]


def test_the_end_of_a_study_reads_no_reports(made, monkeypatch):
    result = made.result()

    def fail(*arguments, **options):
        raise AssertionError("the journal was read")

    monkeypatch.setattr(hbsim.study.result, "read_reports", fail)
    result.hosts  # noqa: B018 (reads the few records of hosts)
    result.write()
    assert pl.read_parquet(result.folder / "trials.parquet").equals(result.trials)
    assert not (result.folder / "reports.parquet").exists()


def test_many_reports_are_not_read_one_by_one(made, monkeypatch):
    """What is read as JSON is what is no plain report, a little at the ends of blocks, and mixed metrics."""
    made.result()
    read, reader = [], hbsim.runner.journal_reader.parse_record
    monkeypatch.setattr(
        hbsim.runner.journal_reader,
        "parse_record",
        lambda lines, body: read.append(body) or reader(lines, body),
    )
    list(read_records(made.study_folder.journal, together=True))
    size = made.study_folder.journal.stat().st_size
    if size > 200_000:
        assert sum(map(len, read)) < size / 2
    read.clear()
    read_reports(made.study_folder.journal)
    others = sum(record["e"] not in ("rows", "reach") for record in made.records)
    assert len(read) <= 1 + others + len(made.records) / 2


def test_the_line_of_a_report_of_nobody(made):
    """Among many that are read at once."""
    made.result()
    lines = made.study_folder.journal.read_bytes().splitlines(keepends=True)
    has_rows = [b'"e":"rows"' in line for line in lines]
    second = [place for place in range(1, len(lines)) if has_rows[place - 1] and has_rows[place]]
    number = max(second, key=lambda place: len(lines[place - 1]) + len(lines[place]))
    record = copy.deepcopy(made.records[number - 1])
    record["job"] = 99_999
    made.study_folder.journal.write_bytes(
        b"".join([*lines[:number], encode(number, record), *lines[number + 1 :]])
    )
    with pytest.raises(JournalError, match="job 99999 is on no worker") as caught:
        load(made.study_folder.path)
    assert caught.value.line == number + 1


def test_a_line_is_written_as_it_was_read():
    """With all fields in their order, for each kind of record."""
    faults = [Fault(1, "error", 0), Fault(3, "return", 0), Fault(2, "twice", 0), Fault(0, "drop", 0)]
    study = small("stopping", trials=5, workers=2, retries=1, faults=faults, curve={"paces": (0.5,)})
    records = study.run(study.run().records[:6]).records
    hosts = [Host(1, 0.5, (Absence(3.0, 12.0, 5.0, 0.0, True, False),))]
    records += small("promotion", trials=3, hosts=hosts).run().records
    records.append({"n": 0, "e": "resume", "t": 1.0, "trials": 9})
    records.append({"n": 0, "e": "change", "t": 1.0, "job": 0, "resource": 3, "values": {"size": [64, 16]}})
    for number, record in enumerate(records):
        fields = {name: value for name, value in record.items() if name != "n"}
        read = typed(fields)
        written = json.loads(encode(number, line_fields(read)))
        assert [(name, written[name]) for name in written if name not in ("n", "crc")] == [*fields.items()]
    assert {record["e"] for record in records} == set(KINDS)
