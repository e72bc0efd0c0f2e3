"""Small journals for the tests."""

from hbsim.runner.journal import Journal
from tests.doubles.journal_lines import read_journal

SPEC = {"type": "promotion", "max_t": 81, "seed": 0}
RECORDS = [
    {"e": "start", "t": 0.0, "worker": 0, "job": 0, "trial": 0, "stop": 1.0, "point": [0.25, 1e-300]},
    {"e": "none", "worker": 1},
    {"e": "rows", "t": 12.3, "job": 0, "rows": [[12.3, 4.5, 3, {"accuracy": 0.9, "loss": None}]]},
    {"e": "reach", "job": 0, "rows": [], "at": 1.0, "value": -0.0, "verdict": "pause"},
    {"e": "fail", "job": 1, "kind": "error", "reason": 'J*: "Zürich"\n\u2028\x00 \\ 数', "resource": 0},
    {"e": "return", "job": 10**20},
    {"e": "late", "job": 1, "rows": [[1.5, 2.5, 3.5, {}]], "count": 2},
    {"e": "restart", "worker": 1, "job": 2, "was": True},
    {"e": "close", "why": "J*"},
]
ALL = [{"n": n, **record} for n, record in enumerate([{"e": "study", "version": 1, "spec": SPEC}, *RECORDS])]


def write(path, records=RECORDS):
    """Write a journal and return its bytes."""
    with Journal.create(path, SPEC, fsync="never") as journal:
        for record in records:
            journal.append(record)
    return path.read_bytes()


def resumed(path, **options):
    """Open a journal, close it, and return what was in it."""
    with Journal.open(path, fsync="never", **options):
        return read(path)


def read(path):
    return list(read_journal(path))
