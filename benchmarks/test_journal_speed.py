"""Suites for pytest-benchmark: `make bench`. Nothing here asserts on a time.

A record is a report of one metric, some 120 bytes.
"""

from __future__ import annotations

import pytest

from benchmarks.test_simulator_speed import note
from hbsim.runner.journal import FSYNC, Journal
from hbsim.runner.journal_reader import read_records, read_reports

LINES = 100_000
SYNCED = 200  # where each append waits for the disk


@pytest.mark.benchmark(group="journal: append a report")
@pytest.mark.parametrize("fsync", FSYNC)
def test_append(benchmark, tmp_path, fsync):
    records = reports(SYNCED if fsync == "always" else LINES // 5)
    path = tmp_path / "journal.jsonl"

    def start():
        path.unlink(missing_ok=True)
        return (Journal.create(path, {}, fsync=fsync), records), {}

    benchmark.pedantic(append_all, setup=start, rounds=5)
    note(benchmark, "append", len(records))
    assert sum(1 for _ in read_records(path)) == 1 + len(records)


@pytest.mark.benchmark(group="journal: read and verify 100,000 reports")
@pytest.mark.parametrize("how", ["read", "open"])
def test_read(benchmark, tmp_path, how):
    path = tmp_path / "journal.jsonl"
    append_all(Journal.create(path, {}, fsync="never"), reports(LINES))
    count = benchmark.pedantic(read_all if how == "read" else open_all, (path,), rounds=5, warmup_rounds=1)
    note(benchmark, "line", LINES)
    assert count == 1 + LINES


@pytest.mark.benchmark(group="journal: 100,000 reports as columns")
@pytest.mark.parametrize("together", [1, 8, 500])
def test_reports(benchmark, tmp_path, together):
    path = tmp_path / "journal.jsonl"
    rows = [record["rows"][0] for record in reports(LINES)]
    records = [
        {"e": "rows", "t": rows[begin][0], "job": 0, "rows": rows[begin : begin + together]}
        for begin in range(0, LINES, together)
    ]
    begun = {"worker": 0, "job": 0, "trial": 0, "bracket": 0, "attempt": 0, "start": 0, "stop": 9}
    append_all(Journal.create(path, {}, fsync="never"), [{"e": "start", "t": 0.0, **begun}, *records])
    found, _, _ = benchmark.pedantic(read_reports, (path,), rounds=5, warmup_rounds=1)
    note(benchmark, "report", LINES)
    assert len(found.frame("accuracy")) == LINES


def reports(count):
    """Return records of reports, no two alike."""
    return [
        {
            "e": "rows",
            "t": 12.3 + 0.37 * i,
            "job": i // 9,
            "rows": [[12.3 + 0.37 * i, 4.5 + 0.11 * i, i % 81, {"accuracy": i / count}]],
        }
        for i in range(count)
    ]


def append_all(journal, records):
    with journal:
        for record in records:
            journal.append(record)


def read_all(path):
    return sum(1 for _ in read_records(path))


def open_all(path):
    """Verify the whole file, then read it again, as a study that is resumed does."""
    with Journal.open(path, fsync="never"):
        return sum(1 for _ in read_records(path))
