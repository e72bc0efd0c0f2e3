"""Clusters on this machine, schedulers by address, and what is said about connections without TLS."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import time
import warnings
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import dask
import distributed
import pytest
from distributed.comm import connect

from hbsim.errors import HbsimWarning, ParameterError
from hbsim.executors.dask import connect as module
from hbsim.executors.dask.certificates import make_certificates, security_of, temporary
from hbsim.executors.dask.connect import Started, is_trusted, start_cluster
from hbsim.executors.dask.options import Dask
from hbsim.executors.dask.quiet import quiet
from hbsim.executors.dask.where import host_of, is_loopback, reachable

PATIENCE = 20.0


def _started(options: Dask) -> Started:
    async def start() -> Started:
        async with AsyncExitStack() as stack:
            return await start_cluster(options, stack, print)

    return asyncio.run(start())


def _marked(mark: str) -> dict[int, str]:
    """Return the processes in whose environment a text is."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with suppress(OSError):
                if mark.encode() in (folder / "environ").read_bytes():
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().decode()
    return found


# On this machine


def test_a_cluster_here_that_nobody_else_gets_into(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setitem(dask.config.config["distributed"]["scheduler"], "idle-timeout", "1 hour")
    for name in ("MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
        monkeypatch.delenv(name, raising=False)

    async def use() -> None:
        async with AsyncExitStack() as stack:
            started = await start_cluster(Dask(), stack, print)
            assert started.address.startswith("tls://127.0.0.1:")
            assert (started.trusted, started.expected) == (True, 1)
            with pytest.raises(OSError, match=r"TLS|closed|timed out"):
                await connect(started.address.replace("tls:", "tcp:"), timeout=2)
            strange = security_of(temporary()).get_connection_args("client")
            with pytest.raises(OSError, match=r"certificate|closed|timed out"):
                await connect(started.address, timeout=2, **strange)
            given = {"security": started.security, "asynchronous": True, "set_as_default": False}
            async with distributed.Client(started.address, **given) as client:
                await client.wait_for_workers(1, timeout=PATIENCE)
                names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS", "TMPDIR")
                found = [list((await client.run(os.getenv, name)).values()) for name in names]
                patience = await client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.idle_timeout)
            assert found == [["3"], [None], [None], [str(tmp_path)]]
            assert patience is None  # a study has no tasks
            assert _marked(f"TMPDIR={tmp_path}") != {}
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(use())
    assert _marked(f"TMPDIR={tmp_path}") == {}
    assert os.listdir(tmp_path) == []
    assert capfd.readouterr() == ("starting a Dask cluster on this machine\n", "")


SCRIPT = """
import asyncio, sys, time
from contextlib import AsyncExitStack
import hbsim
from hbsim.executors.dask.connect import start_cluster

async def main():
    async with AsyncExitStack() as stack:
        await start_cluster(hbsim.Dask(), stack, lambda text: None, processes=2)
        print("up", flush=True)
        {then}

asyncio.run(main())
"""


def test_a_script_is_not_run_again_in_workers(tmp_path):
    """It needs no ``if __name__ == "__main__"``."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(then="pass"))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "up\n", "")


def test_all_ends_when_the_process_is_killed(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(then="await asyncio.sleep(1000)"))
    mark = f"TMPDIR={tmp_path}"
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout.readline() == b"up\n"
        assert sum("spawn_main" in command for command in _marked(mark).values()) == 2  # workers
        process.send_signal(signal.SIGKILL)
    until = time.monotonic() + PATIENCE
    while (left := _marked(mark)) and time.monotonic() < until:
        time.sleep(0.05)
    assert left == {}
    assert os.listdir(tmp_path) == ["script.py"]


def test_a_start_that_is_cancelled_or_fails_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)

    async def cancelled() -> None:
        for seconds in (0.1, 0.5):
            async with AsyncExitStack() as stack:
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(start_cluster(Dask(), stack, print), seconds)
            assert len(asyncio.all_tasks()) == 1
            assert _marked(f"TMPDIR={tmp_path}") == {}

    asyncio.run(cancelled())
    monkeypatch.setenv("DASK_DISTRIBUTED__NANNY__PRELOAD", "nowhere_to_be_found")
    with pytest.raises(ParameterError, match=r"here: .*No module named 'nowhere_to_be_found'"):
        _started(Dask())
    assert _marked(f"TMPDIR={tmp_path}") == {}
    assert os.listdir(tmp_path) == []


# By address


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.3.2.1"])
def test_an_address_of_this_machine(host):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        started = _started(Dask(scheduler_address=f"tcp://{host}:8786"))
    assert started == Started(f"tcp://{host}:8786", None, True, None)


def test_an_address_elsewhere_without_tls():
    with pytest.warns(HbsimWarning) as caught:
        started = _started(Dask(scheduler_address="tcp://gpu1:8786"))
    (text,) = (str(one.message) for one in caught)
    for part in (
        "tcp://gpu1:8786",
        "neither encrypted nor authenticated",
        "run code",
        "tls://",
        "certificates",
    ):
        assert part in text
    assert started == Started("tcp://gpu1:8786", None, False, None)


def test_hosts_elsewhere_without_tls(monkeypatch):
    async def no_start(options, stack, say, processes, threads):
        return "tcp://10.0.0.1:1", None, 2

    monkeypatch.setattr("hbsim.executors.dask.ssh_cluster.start_ssh_cluster", no_start)
    with pytest.warns(HbsimWarning, match=r"on a, b is neither .*: whoever can reach .*; leave TLS on"):
        started = _started(Dask(hosts=["a", "b", "a"], tls=False))
    assert not started.trusted
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert _started(Dask(hosts=["a", "b"])).trusted
        assert _started(Dask(hosts=["localhost"], tls=False)).trusted


def test_an_address_with_tls(tmp_path):
    made = make_certificates(tmp_path)
    ca, cert, key = (str(tmp_path / name) for name in made.files())
    options = Dask(scheduler_address="tls://gpu1:8786", tls_ca=ca, tls_cert=cert, tls_key=key)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        started = _started(options)
    assert started.trusted
    assert started.security.require_encryption
    assert started.security.get_tls_config_for_role("client") | {"ciphers": None} == {
        "ca_file": ca,
        "cert": cert,
        "key": key,
        "ciphers": None,
    }


def test_certificates_that_are_missing():
    with pytest.raises(ParameterError, match="is needed for a tls:// address") as caught:
        _started(Dask(scheduler_address="tls://gpu1:8786"))
    assert caught.value.field == "tls_ca"


@pytest.mark.parametrize("broken", ["ca", "cert", "key"])
@pytest.mark.parametrize("text", ["nothing of the kind", ""])
def test_the_file_that_cannot_be_used_is_named(broken, text, tmp_path):
    make_certificates(tmp_path)
    (tmp_path / f"{broken}.pem").write_text(text)
    error = _refusal_of(tmp_path, tmp_path)
    assert (error.field, error.value) == (f"tls_{broken}", str(tmp_path / f"{broken}.pem"))
    assert error.rule.startswith(("must be a file with certificates, PEM: ", "must be the private key of"))


def test_a_key_of_another_certificate(tmp_path):
    for name in ("one", "other"):
        make_certificates(tmp_path / name)
    error = _refusal_of(tmp_path / "one", tmp_path / "other")
    assert (error.field, error.value) == ("tls_key", str(tmp_path / "other" / "key.pem"))
    assert error.rule.startswith("must be the private key of tls_cert, PEM, without a passphrase: ")


def _refusal_of(folder: Path, keys: Path) -> ParameterError:
    files = {"tls_ca": folder / "ca.pem", "tls_cert": folder / "cert.pem", "tls_key": keys / "key.pem"}
    with pytest.raises(ParameterError) as caught:
        _started(Dask(scheduler_address="tls://gpu1:8786", **files))
    return caught.value


@pytest.mark.parametrize(
    ("options", "missing", "field"),
    [
        (Dask(), "distributed", "executor"),
        (Dask(scheduler_address="tcp://localhost:1"), "distributed", "scheduler_address"),
        (Dask(hosts=["localhost"]), "asyncssh", "hosts"),
    ],
)
@pytest.mark.parametrize("raises", [False, True])
def test_packages_that_are_not_installed(options, missing, field, raises, monkeypatch):
    def find(name: str) -> object:
        if name == missing and raises:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None if name == missing else name

    monkeypatch.setattr(module.importlib.util, "find_spec", find)
    with pytest.raises(
        ParameterError, match=rf'needs the package {missing}: pip install "hbsim\[dask\]"'
    ) as got:
        _started(options)
    assert got.value.field == field


@pytest.mark.parametrize(
    ("address", "host", "local"),
    [
        ("tcp://127.0.0.1:8786", "127.0.0.1", True),
        ("tcp://127.1.2.3:1", "127.1.2.3", True),
        ("tls://LOCALHOST.:1", "localhost.", True),
        ("tcp://[::1]:8786", "::1", True),
        ("tcp://[fe80::1%lo]:8786", "fe80::1%lo", False),
        ("tcp://128.0.0.1:8786", "128.0.0.1", False),
        ("tcp://localhost.example:1", "localhost.example", False),
        ("tcp://gpu1:8786", "gpu1", False),
        ("tcp://0.0.0.0:1", "0.0.0.0", False),
    ],
)
def test_which_addresses_are_of_this_machine(address, host, local):
    assert (host_of(address), is_loopback(host)) == (host, local)
    assert is_trusted(Dask(scheduler_address=address)) is (local or address.startswith("tls"))


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.0.0.7", "10.0.0.7"),
        ("2001:0db8::7", "2001:db8::7"),
        ("100.64.1.2", "100.64.1.2"),
        ("127.0.0.1", ""),
        ("::1", ""),
        ("fe80::1%eth0", ""),
        ("169.254.1.1", ""),
        ("0.0.0.0", ""),
        ("", ""),
    ],
)
def test_which_addresses_others_may_reach(address, expected):
    assert reachable(address) == expected


def test_a_cluster_that_is_only_partly_here_is_not_trusted_without_tls():
    assert not is_trusted(Dask(hosts=["localhost", "gpu1"], tls=False))
    assert is_trusted(Dask(hosts=["localhost", "127.0.0.1"], tls=False))
    assert is_trusted(Dask())


# The log


def test_the_log_is_off_the_terminal_and_at_hand(capfd, tmp_path):
    logger = logging.getLogger("distributed.core")
    file = logging.FileHandler(tmp_path / "log")
    parent = logging.getLogger("distributed")
    parent.addHandler(file)
    before = parent.handlers[:]
    try:
        with quiet() as kept:
            logger.warning("lost %s", "something")
            logger.info("chatter")
            logging.getLogger("distributed.deploy.ssh").info("said there")
        assert list(kept.lines) == ["lost something", "said there"]
        assert parent.handlers == before
    finally:
        parent.removeHandler(file)
        file.close()
    assert "lost something" in (tmp_path / "log").read_text()
    assert capfd.readouterr().err == ""
