"""A sweep on a Dask cluster: other processes, started elsewhere, and the same bytes."""

from __future__ import annotations

import json

from tests.bench.sweep.made import left, read, run
from tests.bench.sweep.test_outcome import OWN
from tests.doubles.dask_processes import dask_processes

STUDY = """\
seeds = 6
workers = [1, 4]
defaults = {trials = 12}
variants = [{type = "stopping"}, {type = "promotion"}]
surrogates = [{surrogate = "own.py:Own", name = "own"}, {surrogate = "synthetic:mode=min", name = "syn"}]
"""


def test_dask_gives_the_same_bytes(inside, tmp_path):
    study = tmp_path / "study"
    study.mkdir()
    (study / "own.py").write_text(OWN.format(shift=0))
    sweep = read(study, STUDY)
    cluster = tmp_path / "cluster"  # its workers run in another folder
    cluster.mkdir()
    with dask_processes(cluster, workers=2) as there:
        address = ("--scheduler-address", there.address)
        ran = inside("sweep", "study/study.toml", "--out", "out", "--json", *address)
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["done"] == 48
    run(sweep, tmp_path / "here")
    there, here = left(tmp_path / "out"), left(tmp_path / "here")
    del there["sweep.json"], here["sweep.json"]  # they hold the command
    assert there == here


def test_no_scheduler_is_one_line_and_loses_nothing(inside, tmp_path, monkeypatch):
    from hbsim.bench import pool_dask

    monkeypatch.setattr(pool_dask, "PATIENCE", 0.1)
    read(tmp_path, STUDY.replace('{surrogate = "own.py:Own", name = "own"}, ', ""))
    ran = inside("sweep", "study.toml", "--out", "out", "--scheduler-address", "tcp://127.0.0.1:1")
    assert ran.code == 2
    assert ran.out == ""
    assert ran.err.count("\n") == 1
    assert ran.err.startswith(
        "hbsim: error: --scheduler-address tcp://127.0.0.1:1: no Dask scheduler answers"
    )
