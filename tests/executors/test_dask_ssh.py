"""Clusters on hosts that are reached by SSH: this machine, by a server of the tests' own."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import asyncssh
import dask
import distributed
import pytest
from distributed.comm import connect as dask_connect

from hbsim.errors import HbsimWarning, ParameterError
from hbsim.executors import proc
from hbsim.executors.dask.certificates import security_of, temporary
from hbsim.executors.dask.connect import start_cluster
from hbsim.executors.dask.options import Dask
from hbsim.executors.dask.ssh import Host, Hosts
from hbsim.executors.dask.ssh_cluster import _Cluster
from hbsim.executors.dask.ssh_connect import connect_options, python_word
from tests.doubles.sshd import Host as Sshd
from tests.doubles.sshd import sshd

PATIENCE = 20.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """Give a host; its temporary files are in `temporary` beside its log."""
    folder = tmp_path_factory.mktemp("host")
    (folder / "temporary").mkdir()
    with sshd(folder, {"TMPDIR": str(folder / "temporary")}) as host:
        yield host


@pytest.fixture
def host(server: Sshd) -> Iterator[Sshd]:
    """Give the host; a test leaves nothing running and no files there."""
    yield server
    assert server.wait_until_empty(PATIENCE) == {}
    assert os.listdir(server.log.parent / "temporary") == []


def _options(host: Sshd, **more: Any) -> Dask:
    given = {"ssh_user": host.user, "ssh_port": host.port, "ssh_key": host.key}
    names = {"hosts": ["127.0.0.1", "127.0.0.1"], "ssh_known_hosts": host.known_hosts}
    return Dask(**{**given, **names, **more})


def _refusal(options: Dask) -> ParameterError:
    """Start a cluster that cannot be started; return what is said."""

    async def start() -> None:
        try:
            async with AsyncExitStack() as stack:
                await start_cluster(options, stack, print)
        finally:
            assert len(asyncio.all_tasks()) == 1

    with pytest.raises(ParameterError) as caught:
        asyncio.run(start())
    return caught.value


def _stub(folder: Path, *lines: str) -> str:
    """Write a program that goes on as this Python."""
    file = folder / "python"
    file.write_text("\n".join(["#!/bin/sh", *lines, f'exec {sys.executable} "$@"', ""]))
    file.chmod(0o755)
    return str(file)


def test_two_workers_that_nobody_else_gets_at(host, capfd):
    said: list[str] = []

    async def use() -> None:
        async with AsyncExitStack() as stack:
            started = await start_cluster(_options(host), stack, said.append)
            assert started.address.startswith("tls://127.0.0.1:")
            assert (started.trusted, started.expected) == (True, 2)
            with pytest.raises(OSError, match=r"TLS|closed|timed out"):
                await dask_connect(started.address.replace("tls:", "tcp:"), timeout=2)
            strange = security_of(temporary()).get_connection_args("client")
            with pytest.raises(OSError, match=r"certificate|closed|timed out"):
                await dask_connect(started.address, timeout=2, **strange)
            given = {"security": started.security, "asynchronous": True, "set_as_default": False}
            async with distributed.Client(started.address, **given) as client:
                await client.wait_for_workers(2, timeout=PATIENCE)
                threads = await client.run(os.getenv, "OMP_NUM_THREADS")
                pids = await client.run(os.getpid)
            assert len(threads) == 2
            assert set(threads.values()) == {None}
            assert set(pids.values()) < set(host.processes())
            _check_private_ports(host)
        assert len(asyncio.all_tasks()) == 1
        assert host.processes() == {}  # by now, not some time later

    asyncio.run(use())
    cores = len(os.sched_getaffinity(0))
    assert said == [
        "connecting to 127.0.0.1 by SSH",
        f"127.0.0.1 is ready: {cores} CPU core{'s' * (cores != 1)}",
        "starting a Dask scheduler on 127.0.0.1",
        "the Dask scheduler on 127.0.0.1 has started: now its workers",
        "2 Dask workers have started",
    ]
    assert capfd.readouterr() == ("", "")


def _check_private_ports(host: Sshd) -> None:
    """Nothing that listens there can be reached from another machine."""
    import psutil

    listening = [
        connection.laddr.ip
        for pid in host.processes()
        for connection in psutil.Process(pid).net_connections()
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 3
    assert set(listening) == {"127.0.0.1"}


def test_workers_for_every_core_without_tls(host, monkeypatch):
    monkeypatch.setitem(dask.config.config["distributed"]["scheduler"], "idle-timeout", "1 hour")

    async def use() -> None:
        async with AsyncExitStack() as stack:
            with warnings.catch_warnings():
                warnings.simplefilter("error", HbsimWarning)  # all stays on this machine
                started = await start_cluster(
                    _options(host, hosts=["localhost"], tls=False), stack, print, None, threads=1
                )
            assert started.address.startswith("tcp://127.0.0.1:")
            assert started.trusted
            assert started.expected == len(os.sched_getaffinity(0))
            await (await dask_connect(started.address, timeout=5)).close()
            given = {"asynchronous": True, "set_as_default": False}
            async with distributed.Client(started.address, **given) as client:
                await client.wait_for_workers(started.expected, timeout=PATIENCE)
                patience = await client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.idle_timeout)
                assert patience is None  # a study has no tasks
                for name in ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
                    assert set((await client.run(os.getenv, name)).values()) == {"1"}

    asyncio.run(use())


SCRIPT = """
import asyncio
from contextlib import AsyncExitStack
import hbsim
from hbsim.executors.dask.connect import start_cluster

async def main():
    options = hbsim.Dask(
        hosts=["127.0.0.1"], ssh_user={user!r}, ssh_port={port}, ssh_key={key!r}, ssh_known_hosts={known!r}
    )
    async with AsyncExitStack() as stack:
        await start_cluster(options, stack, lambda text: None)
        print("up", flush=True)
        await asyncio.sleep(1000)

asyncio.run(main())
"""


def test_all_ends_when_the_process_that_is_connected_is_killed(host, tmp_path):
    script = tmp_path / "script.py"
    more = {"key": str(host.key), "known": str(host.known_hosts)}
    script.write_text(SCRIPT.format(user=host.user, port=host.port, **more))
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"up\n"
        commands = " ".join(host.processes().values())
        assert "Nanny" in commands
        assert "distributed.Scheduler" in commands
        process.send_signal(signal.SIGKILL)
    assert host.wait_until_empty(PATIENCE) == {}


def test_a_host_that_is_lost(host, capfd):
    """Closing is no error then, and nothing is left open here."""

    async def use() -> None:
        async with AsyncExitStack() as stack:
            await start_cluster(_options(host, hosts=["127.0.0.1"]), stack, lambda text: None)
            for pid in host.processes():
                proc.kill(pid)  # with one others may end
            assert host.wait_until_empty(PATIENCE) == {}
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(use())
    assert capfd.readouterr() == ("", "")
    for folder in (host.log.parent / "temporary").iterdir():  # nobody was left to remove it
        subprocess.run(["rm", "-r", folder], check=True)


@pytest.mark.parametrize("seconds", [0.2, 0.8, 1.6])
def test_a_start_that_is_cancelled(host, seconds, capfd):
    async def use() -> None:
        async with AsyncExitStack() as stack:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(
                    start_cluster(_options(host), stack, lambda text: None), timeout=seconds
                )
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(use())
    assert host.wait_until_empty(PATIENCE) == {}
    assert capfd.readouterr() == ("", "")


def test_a_worker_that_does_not_start(host, tmp_path, capfd):
    """The scheduler runs by then, and the other worker never comes up."""
    counter = tmp_path / "first"
    python = _stub(
        tmp_path,
        'case "$*" in *"dask.tether run"*Nanny*)',
        f"  mkdir {counter} 2> /dev/null || exec sleep 1000",
        "  export DASK_DISTRIBUTED__NANNY__PRELOAD=nowhere_to_be_found;;",
        "esac",
    )
    error = _refusal(_options(host, ssh_python=python))
    assert (error.field, error.value) == ("hosts", "127.0.0.1,127.0.0.1")
    assert error.rule.startswith("the Dask cluster cannot be started there: Worker failed to start; ")
    assert "127.0.0.1: ModuleNotFoundError: No module named 'nowhere_to_be_found'" in error.rule
    assert capfd.readouterr().err == ""
    for pid, command in host.processes().items():
        assert command == "sleep 1000"  # sshd lets it be, for it has no tether
        proc.kill(pid)


def test_a_scheduler_that_does_not_start(host, tmp_path):
    python = _stub(
        tmp_path,
        'case "$*" in *"dask.tether run"*Scheduler*)',
        "  export DASK_DISTRIBUTED__SCHEDULER__PRELOAD=nowhere_to_be_found;;",
        "esac",
    )
    error = _refusal(_options(host, ssh_python=python))
    assert "127.0.0.1: ModuleNotFoundError: No module named 'nowhere_to_be_found'" in error.rule


# What is looked at first


def test_a_key_that_is_not_let_in(host, tmp_path):
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(tmp_path / "key")
    error = _refusal(_options(host, ssh_key=tmp_path / "key"))
    assert (error.field, error.value) == ("hosts", "127.0.0.1")
    command = f"`ssh -p {host.port} {host.user}@127.0.0.1`"
    assert error.rule.startswith(f"does not let {host.user} in: {command} has to work without a password")
    assert "ssh_key" in error.rule


def test_a_file_that_is_no_key(host, tmp_path):
    (tmp_path / "key").write_text("nothing of the kind")
    error = _refusal(_options(host, ssh_key=tmp_path / "key"))
    assert (error.field, error.value) == ("ssh_key", str(tmp_path / "key"))


def test_a_port_at_which_nobody_answers(host):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        error = _refusal(_options(host, ssh_port=port))
    assert (error.field, error.value) == ("hosts", "127.0.0.1")
    assert f"no SSH server answers on port {port}" in error.rule
    assert "ssh_port" in error.rule


def test_a_name_that_nobody_knows(host):
    error = _refusal(_options(host, hosts=["nowhere.invalid"]))
    assert (error.field, error.value) == ("hosts", "nowhere.invalid")
    assert "has no address" in error.rule


def test_the_first_host_that_is_wrong_is_named(host):
    error = _refusal(_options(host, hosts=["127.0.0.1", "one.invalid", "two.invalid"]))
    assert error.value == "one.invalid"


def test_a_host_whose_key_is_not_known(host, tmp_path):
    (tmp_path / "none").write_text("")
    error = _refusal(_options(host, ssh_known_hosts=tmp_path / "none"))
    assert (error.field, error.value) == ("hosts", "127.0.0.1")
    assert f"connect once by `ssh -p {host.port} {host.user}@127.0.0.1`" in error.rule


def test_a_host_whose_key_has_changed(host, tmp_path):
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().split()[1]
    known = tmp_path / "known hosts"
    known.write_text(f"[127.0.0.1]:{host.port} ssh-ed25519 {other}\n")
    error = _refusal(_options(host, ssh_known_hosts=known))
    assert (error.field, error.value) == ("hosts", "127.0.0.1")
    assert error.rule.startswith(f"its key is not the one in {known}: it was installed anew, or somebody ")
    assert f"`ssh-keygen -f '{known}' -R '[127.0.0.1]:{host.port}'`" in error.rule
    assert f"connect once by `ssh -p {host.port} {host.user}@127.0.0.1`" in error.rule


def test_what_breaks_off_is_told_with_its_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def hang_up() -> None:
            server.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        error = _refusal(Dask(hosts=["127.0.0.1"], ssh_port=port, ssh_user="me"))
        thread.join()
    assert (error.field, error.value) == ("hosts", "127.0.0.1")
    assert f"port {port} " in error.rule
    assert f"`ssh -p {port} me@127.0.0.1`" in error.rule


def test_any_key_will_do_on_the_loopback_and_nowhere_else(tmp_path):
    (tmp_path / "known").write_text("")
    options = Dask(hosts=["a"])
    assert connect_options(options, "localhost")["known_hosts"] is None
    assert connect_options(options, "127.0.0.1")["known_hosts"] is None
    assert "known_hosts" not in connect_options(options, "gpu1")
    given = Dask(hosts=["a"], ssh_known_hosts=tmp_path / "known")
    assert connect_options(given, "localhost")["known_hosts"] == str(tmp_path / "known")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (['exec 2>&1; set -- -S "$@"'], "has no hbsim on 127.0.0.1 (No module named 'hbsim')"),
        (["export PYTHONPATH={folder}"], "has hbsim 0.0.7 instead of "),
        (["echo out of order >&2; exit 3"], "cannot be run on 127.0.0.1 (out of order)"),
        (["exit 3"], "cannot be run on 127.0.0.1 (exit code 3)"),
    ],
    ids=["none", "another version", "says why", "says nothing"],
)
def test_a_python_that_will_not_do(host, tmp_path, lines, said):
    (tmp_path / "hbsim").mkdir()
    (tmp_path / "hbsim" / "__init__.py").write_text('__version__ = "0.0.7"\n')
    python = _stub(tmp_path, *(line.format(folder=tmp_path) for line in lines))
    error = _refusal(_options(host, ssh_python=python))
    assert (error.field, error.value) == ("ssh_python", python)
    assert error.rule.startswith(said)
    assert "give ssh_python" in error.rule


def test_a_python_that_is_not_there(host):
    error = _refusal(_options(host, ssh_python="/nowhere/python"))
    assert error.value == "/nowhere/python"
    assert "/nowhere/python" in error.rule.partition(": give")[0]


def _found(**more: Any) -> dict[str, Any]:
    """Return what a host says that has all it needs."""
    python = ".".join(map(str, sys.version_info[:3]))
    facts = {"hbsim": sys.modules["hbsim"].__version__, "python": python, "distributed": "1", "cores": 2}
    return {**facts, "address": "10.0.0.7", **more}


def test_a_host_without_dask():
    found = _found()
    del found["distributed"]
    with pytest.raises(ParameterError, match=r"has no Dask on gpu1: pip install \"hbsim\[dask\]=="):
        Host("gpu1", Dask(hosts=["gpu1"]))._check(found)


def test_another_python():
    with pytest.raises(
        ParameterError, match=r"has python 3\.10\.1 instead of 3\.\d+\.\d+ on gpu1: pip install"
    ):
        Host("gpu1", Dask(hosts=["gpu1"]))._check(_found(python="3.10.1"))


def test_where_the_processes_of_each_host_listen():
    """Where this machine has reached it, unless that is of no use to the others."""
    names = ["gpu1", "localhost", "gpu1"]

    async def look(names: list[str], encrypted: bool) -> tuple[Any, list[Any]]:
        options = Dask(hosts=names)
        hosts = Hosts(names, options)
        for name in names:
            address = "127.0.0.1" if name == "localhost" else "10.0.0.7"
            hosts[name]._check(_found(address=address))
        cluster = _Cluster(options, hosts, distributed.Security(require_encryption=encrypted), None)
        dasks = cluster._cluster
        workers = [dasks.worker_spec[number]["options"] for number in range(len(names))]
        await cluster.close()
        assert cluster.expected == 2 * len(names)
        assert [worker["address"] for worker in workers] == names
        return dasks.scheduler_spec["options"]["kwargs"], [worker["kwargs"] for worker in workers]

    scheduler, workers = asyncio.run(look(names, True))
    assert scheduler["host"] == "10.0.0.7"
    assert [worker.get("host") for worker in workers] == ["10.0.0.7", None, "10.0.0.7"]
    for options in (scheduler, *workers):
        assert options["dashboard_address"].startswith("127.0.0.1:")
        assert options["protocol"] == "tls://"
        assert options["security"]["require_encryption"]
    scheduler, workers = asyncio.run(look(["localhost", "127.0.0.1"], False))
    assert [options["host"] for options in (scheduler, *workers)] == ["127.0.0.1"] * 3
    assert {options["protocol"] for options in (scheduler, *workers)} == {"tcp://"}


def test_the_configuration_of_openssh_holds(host, tmp_path, monkeypatch):
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text(
        f"Host gpu1\nHostName 127.0.0.1\nUser {host.user}\nPort {host.port}\n"
        f"IdentityFile {host.key}\nUserKnownHostsFile {host.known_hosts}\n"
    )
    monkeypatch.setenv("HOME", str(tmp_path))

    async def use() -> None:
        reached = Host("gpu1", Dask(hosts=["gpu1"]))
        await reached.open({"a": "text"})
        assert (Path(reached.folder) / "a").read_text() == "text"
        assert reached.cores == len(os.sched_getaffinity(0))
        await reached.close()
        assert not Path(reached.folder).exists()

    asyncio.run(use())


@pytest.mark.parametrize(
    ("python", "word"),
    [
        ("/opt/my env/bin/python", "'/opt/my env/bin/python'"),
        ("~/env/bin/python", "~/env/bin/python"),
        ("~/my env/bin/python", "~/'my env/bin/python'"),
        ("python3; rm -r /", "'python3; rm -r /'"),
    ],
)
def test_python_is_one_word_of_a_shell(python, word):
    assert python_word(Dask(hosts=["a"], ssh_python=python)) == word


# What takes too long


def test_a_host_that_says_nothing():
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        error = _refusal(Dask(hosts=["127.0.0.1"], ssh_user="me", ssh_port=port, ssh_timeout=0.3))
    assert (error.field, error.value) == ("hosts", "127.0.0.1")
    late = "within 0.3 s; more time is ssh_timeout"
    assert error.rule == f"there is no connection by SSH on port {port} {late}"


@pytest.mark.parametrize(
    ("words", "seconds", "step"),
    [
        ("-c *", 1, "Python there has not looked for hbsim"),
        ("*dask.tether keep*", 4, "the tether there has not started"),
        ("*dask.tether run*Scheduler*", 4, "the Dask scheduler there has not started"),
        ("*dask.tether run*Nanny*", 8, "the Dask worker there has not started"),
    ],
    ids=["look", "tether", "scheduler", "worker"],
)
def test_a_step_that_takes_too_long_is_named(host, tmp_path, words, seconds, step):
    """With the host, how long it may take, and which option gives it longer."""
    pattern = words.replace(" ", "\\ ")
    python = _stub(tmp_path, f'case "$*" in {pattern}) exec sleep {seconds + 4};; esac')
    error = _refusal(_options(host, hosts=["127.0.0.1"], ssh_python=python, ssh_timeout=seconds))
    assert (error.field, error.value) == ("hosts", "127.0.0.1")
    assert error.rule.startswith(f"{step} within {seconds} s; more time is ssh_timeout")
