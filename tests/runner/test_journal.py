"""The journal: what is appended comes back, and nothing else."""

import json
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbsim.errors import JournalError, OutputError, ParameterError
from hbsim.runner.journal import Journal, JournalLines, encode
from tests.profile import examples
from tests.runner.journals import ALL, RECORDS, SPEC, read, resumed, write

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.text() | st.sampled_from(["N", "crc32", "\u2028", "\x85", "\n", '","crc":"00000000"}'])
ANY = st.builds(
    lambda fields, kind: {**fields, "e": kind},
    st.dictionaries(FIELDS.filter(lambda name: name not in ("n", "crc")), VALUES, max_size=5),
    st.text(),
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.jsonl"


def test_records_come_back_with_their_line_numbers(path):
    write(path)
    assert read(path) == ALL
    assert resumed(path) == ALL


def test_append_returns_the_number_of_the_line(path):
    with Journal.create(path, SPEC) as journal:
        assert [journal.append(record) for record in RECORDS] == list(range(1, len(ALL)))
        assert journal.count == len(ALL)


def test_each_line_is_json_for_any_reader(path):
    text = write(path).decode("utf-8")
    found = [json.loads(line) for line in text.splitlines()]
    for line, record in zip(found, ALL, strict=True):
        assert next(iter(line)) == "n"
        assert list(line)[-1] == "crc"
        assert len(line.pop("crc")) == 8
        assert line == record


@settings(max_examples=examples(150))
@given(st.lists(ANY, max_size=6))
def test_any_json_comes_back(records):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.jsonl"
        text = write(path, records).decode("utf-8")
        found = read(path)
        expected = [ALL[0], *({"n": n, **record} for n, record in enumerate(records, 1))]
        assert json.dumps(found) == json.dumps(expected)  # tells 1 from 1.0 and True, 0.0 from -0.0
        assert resumed(path) == found
        assert len(text.splitlines()) == len(found)


def test_what_is_no_unicode_comes_back(path):
    record = {"e": "fail", "reason": os.fsdecode(b"caf\xe9")}
    write(path, [record])
    assert read(path)[1] == {"n": 1, **record}


def test_an_opened_journal_goes_on_where_it_ended(path):
    write(path, RECORDS[:4])
    with Journal.open(path) as journal:
        assert read(path) == ALL[:5]
        for record in RECORDS[4:]:
            journal.append(record)
    assert read(path) == ALL


def test_a_reader_sees_what_the_writer_has_appended(path):
    with Journal.create(path, SPEC) as journal:
        for n, record in enumerate(RECORDS, 1):
            journal.append(record)
            assert read(path) == ALL[: n + 1]


def test_a_reader_stops_at_a_line_that_is_being_written(path):
    """The rest of the line, which may come while the file is read, is not taken for a line."""
    first, second, *_ = write(path).splitlines(keepends=True)
    lines = JournalLines([first, second[:20], second[20:]], str(path))
    assert list(lines) == [first[:-19]]
    assert (lines.count, lines.end, lines.cut) == (1, len(first), 20)


@pytest.mark.parametrize("field", ["n", "crc"])
def test_the_journals_own_fields_are_reserved(path, field):
    with Journal.create(path, SPEC) as journal:
        with pytest.raises(ParameterError, match="own field") as caught:
            journal.append({"e": "close", field: 3})
        assert (caught.value.field, caught.value.value) == (field, 3)
        assert journal.append(RECORDS[0]) == 1
    assert read(path) == ALL[:2]


def _endless():
    value = []
    value.append(value)
    return value


@pytest.mark.parametrize("record", [{}, {"e": 3}, {"why": "no kind"}])
def test_a_record_has_a_kind(path, record):
    with Journal.create(path, SPEC) as journal, pytest.raises(ParameterError, match=r"^e="):
        journal.append(record)
    assert read(path) == ALL[:1]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, b"x", [1j], _endless(), {(1, 2): 3}])
def test_what_json_does_not_have_leaves_nothing_behind(path, value):
    with Journal.create(path, SPEC) as journal:
        with pytest.raises(ParameterError, match="plain JSON") as caught:
            journal.append({"e": "rows", "job": 1, "rows": value})
        assert caught.value.field == "rows"
        journal.append(RECORDS[0])
    assert read(path) == ALL[:2]


def test_a_spec_that_is_no_json_leaves_no_file(path):
    with pytest.raises(ParameterError, match=r"^spec="):
        Journal.create(path, {"max_t": float("nan")})
    assert not path.exists()


def test_a_study_is_not_overwritten(path):
    before = write(path)
    with pytest.raises(OutputError, match="resume that study"):
        Journal.create(path, SPEC)
    assert path.read_bytes() == before


def test_no_journal_is_an_output_error(path):
    with pytest.raises(OutputError, match="start the study first"):
        Journal.open(path)
    with pytest.raises(OutputError, match="start the study first"):
        read(path)
    with pytest.raises(OutputError, match="No such file"):
        Journal.create(path / "deeper", SPEC)
    with pytest.raises(OutputError, match="directory"):
        Journal.open(path.parent)


def test_a_closed_journal_takes_nothing(path):
    journal = Journal.create(path, SPEC)
    journal.close()
    journal.close()
    with pytest.raises(OutputError, match="closed"):
        journal.append(RECORDS[0])


def test_a_newer_version_says_so(path):
    path.write_bytes(encode(0, {"e": "study", "version": 2, "spec": {}}) + b"a line of tomorrow\n")
    for reader in (read, resumed):
        with pytest.raises(JournalError, match=r"version 2.*reads up to 1.*newer hbsim") as caught:
            reader(path)
        assert caught.value.line == 1


@pytest.mark.parametrize(
    "header", [{"e": "start"}, {"e": "study"}, {"e": "study", "version": True}, {"e": "study", "version": 0}]
)
def test_the_first_line_is_the_studys(path, header):
    path.write_bytes(encode(0, header))
    with pytest.raises(JournalError, match="first line has to be of kind 'study'"):
        resumed(path)
