"""Learning curves of a sweep: their files, groups of the same ones, and what the manifest says of them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import polars as pl
import pytest

from hbsim.bench.sweep.curves import absolute_surrogate, files_of
from hbsim.bench.sweep.plan import SweepPlan
from hbsim.surrogates import load
from tests.bench.sweep.made import read

DIGITS = Path(__file__).parents[3] / "hbsim" / "surrogates" / "digits.parquet"
TOP = 'seeds = 1\nworkers = 2\ndefaults = {num_trials = 5}\nvariants = [{type = "fifo"}]\n'
EARLY = pl.DataFrame(
    {
        "config": [0, 0, 0, 1, 1, 2, 2, 2],
        "epoch": [1, 2, 3, 1, 2, 1, 2, 3],
        "loss": [3.0, 2.0, 1.0, 5.0, 4.0, 2.0, 1.5, 0.5],
        "seconds": [1.0, 2.0, 3.0, 1.0, 2.0, 1.0, 2.0, 3.0],
    }
)


def sweep(folder: Path, *tables: str, top: str = TOP) -> SweepPlan:
    return read(folder, top + "".join(f"[[surrogates]]\n{table}\n" for table in tables))


def groups(made: SweepPlan) -> dict[str, str]:
    return {task.surrogate: task.group for task in made.tasks}


@pytest.mark.parametrize(
    "second",
    [
        'surrogate = "digits"\nmax_t = 3',
        'surrogate = "digits"\nwrap = ["noise:std=0.01"]',
        'surrogate = "digits"\nwrap = ["noise:std=0.01", "negate"]',
        'surrogate = "digits"\nmetric = "val_cross_entropy"\nmode = "min"',
        'surrogate = "copy.parquet"\nmetric = "val_error"\nmode = "min"',
        'surrogate = "own.py:Same"',
    ],
)
def test_the_same_curves_are_one_group(second, tmp_path):
    shutil.copyfile(DIGITS, tmp_path / "copy.parquet")
    (tmp_path / "own.py").write_text(
        'from hbsim.surrogates import load\nSame = load("digits", wrap=["cost:factor=2"])\n'
    )
    other = 'surrogate = "synthetic:mode=min"\nname = "other"'
    made = sweep(tmp_path, other, 'surrogate = "digits"', f'{second}\nname = "second"')
    assert groups(made) == {"other": "other", "digits": "digits", "second": "digits"}
    assert not [line for line in made.warnings if "group" in line]


def test_other_curves_are_another_group(tmp_path):
    made = sweep(
        tmp_path,
        'surrogate = "synthetic:mode=min"\nname = "a"',
        'surrogate = "synthetic:mode=min,seed=1"\nname = "b"',
        'surrogate = "synthetic:mode=min"\nname = "c"\nwrap = ["cost:factor=3"]',
    )
    assert groups(made) == {"a": "a", "b": "b", "c": "a"}


def test_a_group_of_the_file_decides(tmp_path):
    plain, named = 'surrogate = "digits"\nname = "a"', 'surrogate = "digits"\nname = "b"\ngroup = "g"'
    made = sweep(tmp_path, plain, named)
    assert groups(made) == {"a": "g", "b": "g"}
    assert made.warnings == ()
    made = sweep(tmp_path, plain, named, 'surrogate = "digits"\nname = "c"\ngroup = "h"\nmax_t = 3')
    assert groups(made) == {"a": "g", "b": "g", "c": "h"}
    (line,) = made.warnings
    assert line.startswith("b and c are of the same curves, and their groups are not the same (g, h)")


def test_files_with_the_same_curves_hang_together(tmp_path):
    EARLY.write_csv(tmp_path / "a.csv")
    EARLY.write_parquet(tmp_path / "b.parquet")
    options = 'metric = "loss"\nmode = "min"\nnum_trials = 2\n'
    extra, kept = 'censored = "exclude"', 'censored = "extrapolate"'
    made = sweep(
        tmp_path,
        f'surrogate = "a.csv"\nname = "a"\n{options}{kept}',
        f'surrogate = "b.parquet"\nname = "c"\n{options}{extra}',
        f'surrogate = "b.parquet"\nname = "b"\n{options}{kept}',
    )
    assert groups(made) == {"a": "a", "c": "a", "b": "a"}


@pytest.mark.parametrize(
    ("censored", "rows", "said"),
    [
        ("fail", 3, "the run failed there, and its metric is NaN from then on"),
        ("extrapolate", 3, "the last value is carried on"),
        ("final", 3, "the run was to end there; the last value is carried on, and no more time passes"),
        ("exclude", 2, "they are left out"),
    ],
)
def test_the_manifest_says_what_became_of_curves_that_end_early(censored, rows, said, tmp_path):
    EARLY.write_csv(tmp_path / "a.csv")
    table = f'surrogate = "a.csv"\nmetric = "loss"\nmode = "min"\ncensored = "{censored}"\nnum_trials = 2'
    (task,) = sweep(tmp_path, table).manifest()["tasks"]
    assert task["rows"] == rows
    assert task["notes"] == [f'1 of 3 curves end early; censored = "{censored}": {said}']


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ("num_trials = 1000", []),
        ("num_trials = 2000", ["up to 2,000 trials from 1,000 rows: rows come more than once"]),
        ("max_time = 1.0", ["any number of trials from 1,000 rows: rows may come more than once"]),
    ],
)
def test_the_manifest_says_if_rows_come_more_than_once(limits, said, tmp_path):
    top = TOP.replace("num_trials = 5", "replace = true")
    tables = (f'surrogate = "digits"\n{limits}', 'surrogate = "synthetic"\nnum_trials = 9')
    made = sweep(tmp_path, *tables, top=top)
    digits, synthetic = made.manifest()["tasks"]
    assert (digits["rows"], digits["notes"]) == (1000, said)
    assert (synthetic["rows"], synthetic["notes"]) == (None, [])


def test_the_manifest_has_the_brackets_that_there_are(tmp_path):
    kinds = ['type = "stopping", brackets = 9', 'type = "promotion", brackets = 2, reduction_factor = 4']
    kinds += ['type = "sha", n = 3', 'type = "hyperband"', 'type = "fifo"']
    top = TOP.replace(
        '{type = "fifo"}', ", ".join(f'{{{kind}, name = "{at}"}}' for at, kind in enumerate(kinds))
    )
    made = sweep(tmp_path, 'surrogate = "synthetic:max_resource=9"', top=top)
    (task,) = made.manifest()["tasks"]
    assert task["geometry"] == {"0": [3, 3], "1": [2, 4], "2": None, "3": None, "4": None}


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
