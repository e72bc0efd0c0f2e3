"""Work on Dask clusters: a scheduler and workers in processes of their own."""

from __future__ import annotations

import math
import os
import platform
import re
import socket
import sys
import warnings
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest

import hbsim
from hbsim.bench import pool_dask
from hbsim.bench.pool import open_pool
from hbsim.bench.remote import Remote
from hbsim.errors import HbsimWarning, ParameterError
from hbsim.executors.remote.options import Dask
from tests.bench import pool_work
from tests.doubles.dask_processes import ROOT, DaskProcesses, dask_processes
from tests.profile import thorough

LETHAL = {
    "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "3s",  # how long a dead worker's results are asked for
}


@pytest.fixture(autouse=True)
def _dask(request: pytest.FixtureRequest):
    pytest.importorskip("distributed")


def at(address: str, **more) -> Remote:
    return Remote(Dask(scheduler_address=address), **more)


def outcomes(function, items, remote: Remote) -> dict:
    with open_pool(2, remote) as pool:
        return dict(pool.imap(function, items))


def test_dask_gives_the_same(tmp_path: Path):
    # Nobody starts a worker in place of one that died; two do, the second of an item alone.
    with dask_processes(tmp_path, workers=3, environment=LETHAL) as cluster:
        found = outcomes(pool_work.picky, pool_work.ITEMS, at(cluster.address))
        pool_work.check(found, "workers that Dask tried: 1")
        several = outcomes(pool_work.process_of, range(20), at(cluster.address))
    assert os.getpid() not in {pid for pid, _ in several.values()}


def test_a_scheduler_that_goes_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pool_dask, "PATIENCE", 1.5)
    with dask_processes(tmp_path, workers=0) as cluster, open_pool(1, at(cluster.address)) as pool:
        turn = pool.imap(pool_work.picky, gone(cluster))
        with (
            pytest.warns(match="has no workers yet"),
            pytest.raises(ParameterError, match="no Dask scheduler answers there"),
        ):
            next(turn)


def gone(cluster: DaskProcesses):
    yield 1
    cluster.kill_scheduler()
    yield 2


def test_that_no_worker_comes_is_said_once_and_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pool_dask, "EMPTY", 0.5)
    monkeypatch.setattr(pool_dask, "LOOK", 0.05)
    with dask_processes(tmp_path, workers=1) as cluster, open_pool(1, at(cluster.address)) as pool:
        said = []

        def show(message: Warning, *rest: object) -> None:
            said.append(str(message))
            cluster.start_worker()

        with warnings.catch_warnings():
            warnings.simplefilter("always", HbsimWarning)
            warnings.showwarning = show
            found = dict(pool.imap(pool_work.picky, goes(cluster), ahead=1))
    assert found == {1: 1, 2: 4}
    assert said == [
        f"no worker has been at the Dask scheduler {cluster.address} for 0.5 s; all waits for one"
    ]


def goes(cluster: DaskProcesses):
    yield 1
    cluster.kill_worker(0)
    yield 2


# How another installation is made of this one: what its Python runs as it starts.
OLDER = "import hbsim; hbsim.__version__ = '0.0.9'"
WITHOUT = """
import sys
class Gone:
    def find_spec(name, *rest):
        if name.partition(".")[0] == "hbsim":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Gone)
"""
NUMPY = """
import importlib.metadata as metadata
real = metadata.version
metadata.version = lambda name: "1.2.3" if name == "numpy" else real(name)
"""
PYTHON = "import platform; platform.python_version = lambda: '3.99.1'"


def installed(folder: Path, text: str) -> dict[str, str]:
    """Return the environment of a process that has another installation."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(text)
    return {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory):
    """A scheduler and a worker that are like this process."""
    pytest.importorskip("distributed")
    with dask_processes(tmp_path_factory.mktemp("cluster"), workers=1) as found:
        yield found


@contextmanager
def a_worker_with(cluster: DaskProcesses, **environment: str):
    number = cluster.start_worker(**environment)
    try:
        yield cluster.worker_address(number)
    finally:
        cluster.workers[number].terminate()
        cluster.workers[number].wait()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (OLDER, f"has hbsim 0.0.9 instead of {hbsim.__version__}"),
        pytest.param(PYTHON, f"has python 3.99.1 instead of {platform.python_version()}", marks=thorough),
        (WITHOUT, "cannot run hbsim (ModuleNotFoundError(\"No module named 'hbsim"),
    ],
)
def test_a_worker_of_another_installation_is_one_error_before_any_work(
    text: str, message: str, cluster: DaskProcesses, tmp_path: Path
):
    with a_worker_with(cluster, **installed(tmp_path / "other", text)) as worker:
        with pytest.raises(ParameterError, match=re.escape(message)) as caught:
            outcomes(partial(pool_work.note, tmp_path), range(5), at(cluster.address))
        assert worker in caught.value.rule
    assert "the same version of hbsim and Python must be there as here" in caught.value.rule
    assert (caught.value.field, caught.value.value) == ("scheduler_address", cluster.address)
    assert not (tmp_path / "notes").exists()


def test_a_worker_that_comes_later_is_given_nothing_to_do(
    cluster: DaskProcesses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def items():
        yield from range(3)
        later.enter_context(a_worker_with(cluster, **installed(tmp_path / "other", OLDER)))
        yield from range(3, 99)

    monkeypatch.setattr(pool_dask, "LOOK", math.inf)  # it is the worker that says so
    with (
        ExitStack() as later,
        pytest.raises(ParameterError, match=r"a worker on .* has hbsim 0\.0\.9 instead of"),
        open_pool(2, at(cluster.address)) as pool,
    ):
        list(pool.imap(partial(pool_work.note, tmp_path), items()))
    notes = (tmp_path / "notes").read_text().split()
    assert set(notes) == {str(cluster.workers[0].pid)}


def test_other_numbers_perhaps_are_a_warning(cluster: DaskProcesses, tmp_path: Path):
    with (
        a_worker_with(cluster, **installed(tmp_path / "other", NUMPY)) as worker,
        pytest.warns(match=rf"{worker} on .* has numpy 1\.2\.3, and here it is") as said,
    ):
        assert outcomes(pool_work.picky, [3, 4], at(cluster.address)) == {3: 9, 4: 16}
    assert len(said) == 1


def test_a_scheduler_of_another_installation_is_one_error(tmp_path: Path):
    environment = installed(tmp_path / "other", WITHOUT)
    with (
        dask_processes(tmp_path, workers=0, environment=environment) as cluster,
        pytest.raises(ParameterError, match="the scheduler cannot run hbsim"),
    ):
        outcomes(pool_work.picky, [1], at(cluster.address))


def test_a_file_that_a_host_lacks_is_one_error(cluster: DaskProcesses, tmp_path: Path):
    lacking = str(tmp_path / "curves.csv")
    with pytest.raises(ParameterError) as caught:
        outcomes(pool_work.picky, [1], at(cluster.address, files=(__file__, lacking)))
    assert f"there is no {lacking} on the worker tcp://" in caught.value.rule
    assert f" on {socket.gethostname()}: workers read curves" in caught.value.rule


# Trust


@pytest.mark.parametrize(
    "address", ["tcp://10.0.0.1:8786", "tcp://host:8786", "tcp://[fe80::1]:1", "tcp://128.0.0.1:1"]
)
def test_pickles_from_a_network_are_refused(address: str):
    with pytest.raises(ParameterError, match="can run anything here: results come as pickles") as caught:
        at(address)
    assert caught.value.field == "scheduler_address"
    assert "tls://" in caught.value.rule
    at(address, insecure=True)


@pytest.mark.parametrize(
    "address",
    ["tcp://127.0.0.1:8786", "tcp://localhost:1", "tcp://[::1]:1", "tls://host:8786", "tcp://127.1.2.3:1"],
)
def test_what_comes_from_this_machine_or_by_tls_is_trusted(address: str):
    assert at(address).options.scheduler_address == address


def test_a_cluster_has_to_be_named():
    with pytest.raises(ParameterError, match="or hosts is needed"):
        Remote(Dask())


# Without a scheduler


def test_without_dask_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ParameterError, match=r"scheduler_address=.*: needs distributed: .*\[remote\]"):
        outcomes(pool_work.picky, [1], at("tcp://127.0.0.1:1"))


def test_an_address_without_a_scheduler_is_one_error(monkeypatch: pytest.MonkeyPatch):
    address = "tcp://127.0.0.1:1"
    monkeypatch.setattr(pool_dask, "PATIENCE", 0.1)
    with pytest.raises(ParameterError, match=r"no Dask scheduler answers there within 0\.1 s") as caught:
        outcomes(pool_work.picky, [1], at(address))
    assert (caught.value.field, caught.value.value) == ("scheduler_address", address)
    assert len(str(caught.value)) < 220


def test_tls_needs_certificates():
    with pytest.raises(
        ParameterError, match="tls_ca=None: is needed for a tls:// address, with tls_cert and tls_key"
    ):
        outcomes(pool_work.picky, [1], at("tls://127.0.0.1:1"))
