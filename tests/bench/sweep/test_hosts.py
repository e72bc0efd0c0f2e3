"""A sweep on hosts that are reached by SSH: other processes, started elsewhere, and the same bytes."""

from __future__ import annotations

from pathlib import Path

from hbsim.bench.remote import Remote
from hbsim.bench.sweep import run_plan
from hbsim.executors.remote.options import Hosts
from tests.bench.sweep.made import left, read, run
from tests.bench.sweep.test_dask import STUDY
from tests.bench.sweep.test_outcome import OWN
from tests.doubles.sshd import sshd


def test_hosts_give_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "own.py").write_text(OWN.format(shift=0))
    sweep = read(tmp_path / "study", STUDY)
    with sshd(tmp_path / "host") as host:
        names = [f"127.0.0.1:{host.port}", f"localhost:{host.port}"]
        remote = Remote(Hosts(names, ssh_key=host.key), processes=1)
        ran = run_plan(sweep, tmp_path / "there", "hbsim sweep study.toml", 1, remote)
        assert not host.wait_until_empty(30)
    assert (ran.done, ran.failed) == (48, 0)
    run(sweep, tmp_path / "here")
    there, here = left(tmp_path / "there"), left(tmp_path / "here")
    del there["sweep.json"], here["sweep.json"]  # they hold the command
    assert there == here
