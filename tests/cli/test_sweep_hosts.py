"""Sweeps on hosts by SSH, and over TLS: the same bytes, and nothing is left behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.bench.sweep.made import left, read, run
from tests.bench.sweep.test_cell import OWN
from tests.cli.conftest import Ran
from tests.doubles.certificate import make_certificate
from tests.doubles.dask_processes import ROOT, dask_processes
from tests.doubles.sshd import Host, sshd

STUDY = """\
seeds = 4
workers = 2
defaults = {num_trials = 9}
variants = [{type = "stopping"}, {type = "promotion"}]
surrogates = [{surrogate = "synthetic:mode=min,max_resource=9", name = "syn"}]
"""
# Each evaluation takes a while, and says where it is.
SLOW = """
import os, pathlib, time
from hbsim.surrogates import Ideal

class Slow(Ideal):
    def evaluate(self, configurations, levels):
        time.sleep(0.05)
        (pathlib.Path(__file__).parent / f"ran-{os.getpid()}").touch()
        return super().evaluate(configurations, levels)
"""
PATIENCE = 60.0
Call = Callable[..., Ran]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """This machine, as a host that is reached by SSH."""
    pytest.importorskip("asyncssh")
    # With a home of its own no shell's start-up file runs there, which a test's end might break off.
    variables = {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path_factory.mktemp("home"))}
    with sshd(tmp_path_factory.mktemp("sshd"), variables) as found:
        yield found


def reached(host: Host, *hosts: str) -> tuple[str, ...]:
    where = ("--hosts", ",".join(hosts), "--ssh-port", str(host.port), "--ssh-key", str(host.key))
    return (*where, "--ssh-known-hosts", str(host.known_hosts), "--jobs", "1")


def same_as_here(out: Path, folder: Path, text: str = STUDY) -> None:
    run(read(folder, text), folder / "here")
    there, here = left(out), left(folder / "here")
    del there["sweep.json"], here["sweep.json"]  # they hold the command
    assert there == here


def test_hosts_give_the_same_bytes_and_are_left_as_they_were(call: Call, host: Host, tmp_path: Path):
    (tmp_path / "own.py").write_text(OWN.format(shift=0))
    text = STUDY.replace("surrogates = [", 'surrogates = [{surrogate = "own.py:Own", name = "own"}, ')
    (tmp_path / "study.toml").write_text(text)
    command = ("sweep", "study.toml", "--out", "out", "--json")
    ran = call(*command, *reached(host, "127.0.0.1", "localhost"))
    assert ran.code == 0, ran.err
    notes = ran.err.splitlines()
    assert all(note.startswith("hbsim: note: ") for note in notes)
    assert notes[0] == "hbsim: note: connecting to 127.0.0.1, localhost by SSH"
    assert sorted(note.rpartition("note: ")[2] for note in notes[1:]) == [
        "127.0.0.1 is ready: 1 process",
        "localhost is ready: 1 process",
    ]
    assert json.loads(ran.out)["done"] == 16
    assert not host.wait_until_empty(10)
    same_as_here(tmp_path / "out", tmp_path, text)


def test_ctrl_c_ends_the_processes_on_hosts(host: Host, tmp_path: Path):
    (tmp_path / "slow.py").write_text(SLOW)
    text = STUDY.replace("synthetic:mode=min,max_resource=9", "slow.py:Slow").replace(
        "seeds = 4", "seeds = 999"
    )
    (tmp_path / "study.toml").write_text(text)
    command = [
        sys.executable,
        "-m",
        "hbsim",
        "sweep",
        "study.toml",
        "--out",
        "out",
        *reached(host, "localhost"),
    ]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + PATIENCE
        while not works(tmp_path, host) and process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        assert works(tmp_path, host)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
    assert not host.wait_until_empty(20)
    assert process.returncode == 75
    assert err.splitlines()[-1].startswith("hbsim: error: interrupted: ")
    assert "of 1,998 cells are finished; the same command goes on" in err


def test_ctrl_c_while_hosts_are_connected(host: Host, tmp_path: Path):
    (tmp_path / "study.toml").write_text(STUDY)
    command = [
        sys.executable,
        "-m",
        "hbsim",
        "sweep",
        "study.toml",
        "--out",
        "out",
        *reached(host, "localhost"),
    ]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("hbsim: note: connecting to ")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 75
    last = err.splitlines()[-1]
    assert last == "hbsim: error: interrupted: 0 of 8 cells are finished; the same command goes on"
    assert not host.wait_until_empty(20)


def works(folder: Path, host: Host) -> bool:
    """Return whether a process on the host has run something."""
    return any(folder.glob(f"ran-{pid}") and (folder / f"ran-{pid}").exists() for pid in host.processes())


def test_a_host_without_hbsim_is_one_line(call: Call, host: Host, tmp_path: Path):
    (tmp_path / "study.toml").write_text(STUDY)
    command = ("sweep", "study.toml", "--out", "out", "--ssh-python", "/no/python")
    ran = call(*command, *reached(host, "localhost"))
    assert (ran.code, ran.out) == (2, "")
    assert "/no/python" in ran.err
    assert "Traceback" not in ran.err


def test_tls_gives_the_same_bytes_and_lets_nobody_else_in(call: Call, tmp_path: Path):
    certificates = {name: make_certificate(tmp_path / name) for name in ("ours", "others")}
    names = {"tls_ca": "--tls-ca-file", "tls_cert": "--tls-cert", "tls_key": "--tls-key"}
    options = [word for name, file in certificates["ours"].items() for word in (names[name], str(file))]
    (tmp_path / "study.toml").write_text(STUDY)
    (tmp_path / "cluster").mkdir()
    tls = ["--protocol", "tls", *options]
    with dask_processes(tmp_path / "cluster", 2, scheduler_options=tls, worker_options=options) as cluster:
        assert cluster.address.startswith("tls://")

        def sweep(whose: str, out: str) -> Ran:
            files = ((name.replace("_", "-"), str(file)) for name, file in certificates[whose].items())
            given = [word for name, file in files for word in (f"--{name}", file)]
            return call("sweep", "study.toml", "--out", out, "--scheduler-address", cluster.address, *given)

        ran = sweep("ours", "out")
        refused = sweep("others", "refused")
    assert (ran.code, ran.err) == (0, "")
    same_as_here(tmp_path / "out", tmp_path)
    assert (refused.code, refused.out) == (2, "")
    assert "answers, but not with TLS that both sides accept" in refused.err
    assert refused.err.count("\n") == 1


def test_no_scheduler_is_one_line_and_loses_nothing(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from hbsim.bench import pool_dask

    monkeypatch.setattr(pool_dask, "PATIENCE", 0.1)
    (tmp_path / "study.toml").write_text(STUDY)
    ran = call("sweep", "study.toml", "--out", "out", "--scheduler-address", "tcp://127.0.0.1:1")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.count("\n") == 1
    assert ran.err.startswith(
        "hbsim: error: --scheduler-address tcp://127.0.0.1:1: no Dask scheduler answers"
    )
