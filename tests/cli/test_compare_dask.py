"""``hbsim compare`` on Dask clusters: the same files, whoever runs the studies."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bench.sweep.made import left
from tests.cli.conftest import Ran
from tests.doubles.dask_processes import ROOT, DaskProcesses, dask_processes

STUDY = ("compare", "--variant", "stopping", "--variant", "fifo", "--trials", "9", "--seeds", "4")
TABLE = ("--surrogate", "table.parquet", "--metric", "val_error", "--mode", "min", "--time", "seconds")
Call = Callable[..., Ran]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory):
    """A scheduler and two workers, in a folder of their own."""
    with dask_processes(tmp_path_factory.mktemp("cluster"), workers=2) as found:
        yield found


def test_a_cluster_writes_the_same_bytes(call: Call, cluster: DaskProcesses, tmp_path: Path):
    shutil.copy(ROOT / "hbsim" / "surrogates" / "digits.parquet", tmp_path / "table.parquet")
    here = call(*STUDY, *TABLE, "--out", "out-here", "--jobs", "1")
    there = call(*STUDY, *TABLE, "--out", "out-there", "--scheduler-address", cluster.address)
    assert (there.code, there.err) == (here.code, here.err) == (0, here.err)
    assert there.out.replace("out-there", "out-here") == here.out
    assert len(left(tmp_path / "out-here")) > 6
    assert left(tmp_path / "out-there") == left(tmp_path / "out-here")


OWN = """
import os
from hbsim.surrogates import Ideal

class Own(Ideal):
    def evaluate(self, configurations, levels):
        values, seconds = super().evaluate(configurations, levels)
        return values + SHIFT, seconds
"""


def test_curves_that_are_others_on_a_host_fail_the_cells(call: Call, cluster: DaskProcesses, tmp_path: Path):
    """The file changes itself on the workers, which are in another folder."""
    shift = OWN.replace("SHIFT", f"float(os.getcwd() != {str(tmp_path)!r})")
    (tmp_path / "own.py").write_text(shift)
    ran = call(*STUDY, "--surrogate", "own.py:Own", "--scheduler-address", cluster.address)
    assert ran.code == 1
    where = f"{tmp_path / 'own.py'}:Own on {socket.gethostname()}"
    assert ran.err.startswith("hbsim: error: 8 of 8 cells failed: stopping on own.py:Own, seed 0: ")
    assert f"{where}: are not the curves that were checked" in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("--scheduler-address", "tcp://10.0.0.9:8786"),
            "--scheduler-address tcp://10.0.0.9:8786: whoever answers",
        ),
        (("--scheduler-address", "10.0.0.9:8786"), "must be the address of a Dask scheduler"),
        (("--hosts", "one,two", "--insecure"), "--insecure: is for --scheduler-address"),
        (("--insecure",), "--insecure: is for --scheduler-address"),
        (("--ssh-user", "me"), "--ssh-user me: needs --hosts"),
    ],
)
def test_a_wrong_cluster_is_one_line_before_any_work(
    words: tuple[str, ...], said: str, call: Call, tmp_path: Path
):
    ran = call(*STUDY, "--surrogate", "synthetic:mode=min", "--out", "out", *words)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("hbsim: error: ")
    assert said in ran.err
    assert "insecure=True" not in ran.err
    assert ran.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
