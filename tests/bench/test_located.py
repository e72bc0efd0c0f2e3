"""Files of learning curves, found from anywhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hbsim.bench.sweep.curves import absolute_surrogate, files_of
from hbsim.surrogates import load
from tests.doubles.dask_processes import ROOT

DIGITS = ROOT / "hbsim" / "surrogates" / "digits.parquet"


@pytest.mark.parametrize(
    ("text", "whole", "files"),
    [
        ("a/b.csv", "/data/a/b.csv", ["/data/a/b.csv"]),
        ("/else/b.npz", "/else/b.npz", ["/else/b.npz"]),
        ("../b.parquet", "/b.parquet", ["/b.parquet"]),
        ("own.py:Own", "/data/own.py:Own", ["/data/own.py"]),
        ("fit:b,c.csv,seed=3", "fit:/data/b,c.csv,seed=3", ["/data/b,c.csv"]),
        ("fit:digits", "fit:digits", []),
        ("fit:digits,seed=1", "fit:digits,seed=1", []),
        ("digits", "digits", []),
        ("synthetic:mode=min", "synthetic:mode=min", []),
        ("yahpo:lcbench/3945", "yahpo:lcbench/3945", []),
    ],
)
def test_a_file_gets_its_whole_path(text: str, whole: str, files: list[str]):
    assert absolute_surrogate(text, "/data") == whole
    assert files_of({"surrogate": whole}) == tuple(files)
    assert files_of({"surrogate": whole, "yahpo_data": "/y"}) == (*files, "/y")


def test_from_another_folder_the_same_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    os.symlink(DIGITS, tmp_path / "curves.parquet")
    text = absolute_surrogate("curves.parquet", tmp_path)
    monkeypatch.chdir("/")
    assert load(text, metric="val_error", mode="min", time="seconds").rows == 1000
