"""Parquet: damaged files are refused, whatever polars does with them; hbsim's own are known by their seal."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from hbsim.errors import SurrogateError
from hbsim.surrogates import load
from hbsim.surrogates import parquet as module
from hbsim.surrogates.parquet import Damaged, parquet, read_parquet, read_sealed

TABLE = pl.DataFrame({"config": [0, 0, 1, 1], "epoch": [1, 2, 1, 2], "loss": [0.5, None, 0.25, 0.125]})


@pytest.fixture
def no_child(monkeypatch):
    monkeypatch.setattr(module, "_by_child", lambda content: pytest.fail("was read by a child"))


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_own_files_are_read_here(tmp_path, no_child):
    path = written(tmp_path / "own.parquet", parquet(TABLE, {"hbsim.metric": "loss"}, level=19))
    table, notes = read_parquet(path)
    assert table.equals(TABLE)
    assert notes["hbsim.metric"] == "loss"
    assert pl.read_parquet(path).equals(TABLE)  # by anybody else, too


def test_the_shipped_curves_are_sealed(no_child):
    assert load("digits").rows == 1000


def test_the_same_rows_are_the_same_bytes():
    apart = pl.concat([TABLE[:1], TABLE[1:]], rechunk=False)
    assert parquet(apart) == parquet(TABLE)


def test_a_seal_breaks_with_any_bit(tmp_path):
    content = parquet(TABLE)
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        with pytest.raises(Damaged, match="not as hbsim wrote it"):
            read_sealed(written(tmp_path / "x.parquet", bytes(damaged)))
    for length in range(0, len(content), 7):
        with pytest.raises(Damaged):
            read_sealed(written(tmp_path / "x.parquet", content[:length]))


def test_files_of_others_are_read_by_a_child(tmp_path):
    path = tmp_path / "other.parquet"
    TABLE.write_parquet(path, metadata={"hbsim.metric": "loss"})
    table, notes = read_parquet(path)
    assert table.equals(TABLE)
    assert notes["hbsim.metric"] == "loss"
    with pytest.raises(Damaged, match="not as hbsim wrote it"):
        read_sealed(path)


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ("import os; os.abort()", "the file is damaged: a process that reads it fails"),
        ("raise BaseException('a panic')", "the file is damaged: a process that reads it fails"),
        ("raise ValueError('out of\\nspecification')", "out of"),
    ],
)
def test_what_ends_a_reading_process_is_one_line(tmp_path, monkeypatch, fault, problem):
    reads = "frame = polars.read_parquet(content)"
    assert reads in module._CHILD
    monkeypatch.setattr(module, "_CHILD", module._CHILD.replace(reads, fault))
    path = written(tmp_path / "x.parquet", b"PAR1 nothing PAR1")
    with pytest.raises(SurrogateError) as caught:
        load(path, metric="loss", mode="min")
    assert str(caught.value) == f"{path}: cannot be read as .parquet: {problem}"
