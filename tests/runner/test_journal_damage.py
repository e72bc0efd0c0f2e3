"""Journals that were cut short or damaged: an error or a notice with the line, never a wrong record."""

import contextlib
import pickle  # noqa: TID251  (what a process pool does to an error)
import re
import warnings
from zlib import crc32

import pytest

from hbsim.errors import HbsimWarning, JournalError
from hbsim.runner.journal import Journal, encode
from tests.runner.journals import ALL, RECORDS, read, resumed, write


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.jsonl"


@contextlib.contextmanager
def notice(line):
    """Expect one notice about a line that was cut short, or none if `line` is None."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    assert [warning.category for warning in caught] == [HbsimWarning] * (line is not None)
    if line is not None:
        assert f"journal.jsonl, line {line}: cut short" in str(caught[0].message)


def test_cut_at_every_byte(path):
    whole = write(path)
    assert whole.count(b"\n") == len(ALL) == 10
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        left = whole[:size].count(b"\n")
        if left == 0:
            for reader in (read, resumed):
                with pytest.raises(JournalError, match="the study never began") as caught:
                    reader(path)
                assert caught.value.line == 1
            continue
        line = None if whole[:size].endswith(b"\n") else left + 1
        with notice(line):
            assert read(path) == ALL[:left]
        assert path.read_bytes() == whole[:size]
        with notice(line):
            assert resumed(path) == ALL[:left]
        assert path.read_bytes() == whole[: whole[:size].rfind(b"\n") + 1]


@pytest.mark.parametrize(
    "rest", [b"x", b"\0" * 5000, b'{"n":5,"e":"close"', RECORDS[4]["reason"].encode()[:-1]]
)
def test_a_cut_line_gives_way_to_the_next_record(path, rest):
    write(path, RECORDS[:4])
    with open(path, "ab") as file:
        file.write(rest.replace(b"\n", b""))
    with pytest.warns(HbsimWarning, match="line 6: cut short"):
        journal = Journal.open(path)
    assert read(path) == ALL[:5]
    with journal:
        for record in RECORDS[4:]:
            journal.append(record)
    assert read(path) == ALL


def test_every_flipped_bit(path):
    """Each bit of each byte: the error names its line, or the last line has lost its end and is dropped."""
    records = [RECORDS[1], RECORDS[4], RECORDS[8]]
    whole = write(path, records)
    assert whole.splitlines()[-1].count(b"J") == 1  # a flip makes an end of line of it
    right = read(path)
    for at in range(len(whole)):
        line = whole[:at].count(b"\n") + 1
        for bit in range(8):
            damaged = bytearray(whole)
            damaged[at] ^= 1 << bit
            path.write_bytes(damaged)
            for reader in (read, resumed):
                if at == len(whole) - 1:
                    with notice(line):
                        assert reader(path) == right[:-1]
                    continue
                with pytest.raises(JournalError) as caught:
                    reader(path)
                assert caught.value.line == line
                assert path.read_bytes() == damaged


def _line(body):
    return b'%b,"crc":"%08x"}\n' % (body, crc32(body))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"\n", "does not end in a checksum"),
        (b"\0" * 40 + b"\n", "NUL bytes"),
        (b'{"n":2,"e":"close"}\n', "does not end in a checksum"),
        (b'{"n":2,"e":"close","crc":"00000000"}\n', r"its checksum is 00000000, that of its bytes \w{8}"),
        (_line(b'{"n":2,"e":"close"').upper(), "does not end in a checksum"),
        (_line(b'{"n":3,"e":"close"'), "has to be number 2"),
        (_line(b'{"n":1,"e":"close"'), "has to be number 2"),
        (_line(b'{"e":"close","n":2'), "has to be number 2"),
        (_line(b'{"n":2,"e":"close"}'), "no JSON object"),
        (_line(b'{"n":2,"e":"close'), "no JSON object"),
        (_line(b'{"n":2,"e":"close","x":NaN'), "NaN is not JSON"),
        (_line(b'{"n":2,"x":' + b"[" * 100_000), "no JSON object"),
        (_line(b'{"n":2,"e":"caf\xe9"'), "no JSON object"),
        (_line(b'{"n":2,"t":1.5'), "no field 'e'"),
    ],
)
def test_a_line_that_is_not_whole(path, line, problem):
    path.write_bytes(write(path, RECORDS[:1]) + line + encode(3, RECORDS[1]))
    for reader in (read, resumed):
        with pytest.raises(JournalError, match=problem) as caught:
            reader(path)
        assert (caught.value.path, caught.value.line) == (str(path), 3)


def test_the_error_says_how_to_go_on_and_that_works(path):
    whole = bytearray(write(path))
    at = whole.index(b'"reach"')
    whole[at + 2] += 1
    path.write_bytes(whole)
    with pytest.raises(JournalError, match=r"journal\.jsonl, line 5: damaged at byte \d+") as caught:
        resumed(path)
    size = int(re.search(r"truncate -s (\d+) ", str(caught.value))[1])
    assert whole[size:].startswith(b'{"n":4,')
    path.write_bytes(whole[:size])
    assert resumed(path) == ALL[:4]


def test_another_file_is_not_taken_for_a_journal(path):
    path.write_text("trial,value\n0,0.5\n", encoding="utf-8")
    with pytest.raises(JournalError, match=r"line 1: .*is this the journal of a study") as caught:
        resumed(path)
    assert "truncate" not in str(caught.value)


def test_the_error_travels_between_processes():
    error = pickle.loads(pickle.dumps(JournalError("journal.jsonl", 7, "damaged")))
    assert (error.path, error.line, error.problem) == ("journal.jsonl", 7, "damaged")
    assert str(error) == "journal.jsonl, line 7: damaged"
    assert isinstance(error, ValueError)
