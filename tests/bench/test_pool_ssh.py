"""Work on hosts that are reached by SSH: processes there, and the same results."""

from __future__ import annotations

import base64
import json
import math
import os
import pickle  # noqa: TID251 (what a hostile host sends)
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import hbsim
from hbsim.bench import pool_ssh
from hbsim.bench.pool import open_pool
from hbsim.bench.remote import Remote, versions
from hbsim.errors import ParameterError
from hbsim.executors.remote import ssh
from hbsim.executors.remote.options import Hosts
from tests.bench import pool_work
from tests.doubles.sshd import Host, sshd
from tests.profile import thorough

ROOT = Path(__file__).parents[2]
PATIENCE = 30.0


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Host]]:
    environment = {"PYTHONPATH": str(ROOT)}
    with (
        sshd(tmp_path_factory.mktemp("one"), environment) as one,
        sshd(tmp_path_factory.mktemp("other"), environment, key=one.key) as other,
    ):
        yield [one, other]


@pytest.fixture
def hosts(servers: list[Host], monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Host]]:
    """Give the hosts; a test leaves nothing running there."""
    monkeypatch.setattr(ssh, "SOONEST", 0.05)
    yield servers
    for host in servers:
        assert not host.wait_until_empty(PATIENCE)


def at(hosts: list[Host], python: str | None = None, **more: Any) -> Remote:
    names = [f"{name}:{host.port}" for name, host in zip(("127.0.0.1", "localhost"), hosts, strict=False)]
    return Remote(Hosts(names, ssh_key=hosts[0].key, ssh_python=python), **{"processes": 1, **more})


def outcomes(function, items, remote: Remote) -> dict:
    with open_pool(2, remote) as pool:
        return dict(pool.imap(function, items))


def test_hosts_give_the_same(hosts: list[Host]) -> None:
    said: list[str] = []
    remote = at(hosts, say=said.append)
    with open_pool(2, remote) as pool:
        found = dict(pool.imap(pool_work.picky, pool_work.ITEMS))
        assert isinstance(found[-1], RuntimeError)
        assert str(found[-1]) == "ValueError: no square of -1"
        pool_work.check({**found, -1: ValueError()}, "signal 9, SIGKILL")
        places = dict(pool.imap(pool_work.process_of, range(20)))
    assert {threads for _, threads in places.values()} == {"1"}
    assert len({pid for pid, _ in places.values()} - {os.getpid()}) == 2
    names = remote.options.hosts
    assert said[0] == f"connecting to {', '.join(names)} by SSH"
    assert sorted(said[1:]) == [f"{name} is ready: 1 process" for name in names]


def test_a_host_that_dies_costs_only_time(hosts: list[Host], tmp_path: Path) -> None:
    def items() -> Iterator[int]:
        yield from range(4)
        pool_work.wait_for(tmp_path / "notes")
        hosts[0].kill()
        yield from range(4, 40)
        hosts[0].start()
        yield from range(40, 80)

    said: list[str] = []
    found = outcomes(partial(pool_work.note, tmp_path), items(), at(hosts, say=said.append))
    assert found == {number: number for number in range(80)}
    name = at(hosts).options.hosts[0]
    assert any(line.startswith(f"{name} is lost: ") for line in said)


def test_hosts_that_are_all_lost_are_one_error(hosts: list[Host], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_ssh, "EMPTY", 0.5)

    def items() -> Iterator[int]:
        yield 1
        for host in hosts:
            host.kill()
        yield 2

    with pytest.raises(ParameterError, match=r"none of them can be used any more: .*no SSH server") as caught:
        outcomes(pool_work.picky, items(), at(hosts))
    assert caught.value.field == "hosts"
    for host in hosts:
        host.start()


def test_an_item_that_ends_its_hosts_is_given_up(hosts: list[Host], monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that needs more memory than there is."""
    monkeypatch.setattr(pool_ssh, "LOSSES", 2)
    found = outcomes(pool_work.end_host, [1, 0, 2], at(hosts))
    assert (found[1], found[2]) == (1, 2)
    assert str(found[0]) == "its process ended without a result (hosts that were lost with it: 2)"


def test_nothing_is_left_when_it_is_left_or_killed(hosts: list[Host], tmp_path: Path) -> None:
    def interrupted() -> None:
        with open_pool(2, at(hosts, processes=2)) as pool:
            for item in pool.imap(partial(pool_work.left_alone, tmp_path), range(8)):
                assert item[1] == 0
                pool_work.wait_for(tmp_path / "1")
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    for host in hosts:
        assert not host.wait_until_empty(PATIENCE)
    (tmp_path / "1").unlink()
    names, key = at(hosts).options.hosts, hosts[0].key
    script = tmp_path / "script.py"
    script.write_text(KILLED.format(names=names, key=str(key), folder=str(tmp_path)))
    with subprocess.Popen([sys.executable, script], env={**os.environ, "PYTHONPATH": str(ROOT)}) as process:
        pool_work.wait_for(tmp_path / "1")
        process.kill()
    for host in hosts:
        assert not host.wait_until_empty(15)


KILLED = """
from functools import partial
from pathlib import Path
from hbsim.bench.pool import open_pool
from hbsim.bench.remote import Remote, versions
from hbsim.executors.remote.options import Hosts
from tests.bench import pool_work

with open_pool(2, Remote(Hosts({names!r}, ssh_key={key!r}), processes=2)) as pool:
    list(pool.imap(partial(pool_work.left_alone, Path({folder!r})), range(8)))
"""


# How another installation is made of this one: what its Python runs as it starts.
OLDER = "import hbsim; hbsim.__version__ = '0.0.9'"
PYTHON = "import platform; platform.python_version = lambda: '3.99.1'"
NUMPY = """
import importlib.metadata as metadata
real = metadata.version
metadata.version = lambda name: "1.2.3" if name == "numpy" else real(name)
"""


def installed(folder: Path, text: str) -> str:
    """Return a Python that runs this first."""
    (folder / "sitecustomize.py").write_text(text)
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexport PYTHONPATH={folder}:{ROOT}\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return str(python)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (OLDER, f"has hbsim 0.0.9 instead of {hbsim.__version__}"),
        pytest.param(PYTHON, f"has python 3.99.1 instead of {platform.python_version()}", marks=thorough),
    ],
)
def test_a_host_of_another_installation_is_one_error_before_any_work(
    text: str, message: str, hosts: list[Host], tmp_path: Path
) -> None:
    remote = at(hosts[:1], installed(tmp_path, text))
    with pytest.raises(ParameterError, match=re.escape(message)) as caught:
        outcomes(partial(pool_work.note, tmp_path), range(5), remote)
    assert "the same version of hbsim and Python must be there as here" in caught.value.rule
    assert (caught.value.field, caught.value.value) == ("hosts", remote.options.hosts[0])
    assert not (tmp_path / "notes").exists()


def test_other_numbers_perhaps_are_a_warning(hosts: list[Host], tmp_path: Path) -> None:
    remote = at(hosts, installed(tmp_path, NUMPY))
    with pytest.warns(match=r"^(127|localhost).* has numpy 1\.2\.3, and here it is") as said:
        assert outcomes(pool_work.picky, [3, 4], remote) == {3: 9, 4: 16}
    assert len(said) == 1


def test_a_file_that_a_host_lacks_is_one_error(hosts: list[Host], tmp_path: Path) -> None:
    lacking = str(tmp_path / "curves.csv")
    remote = at(hosts[:1], files=(__file__, lacking))
    with pytest.raises(ParameterError) as caught:
        outcomes(pool_work.picky, [1], remote)
    assert f"there is no {lacking} on {remote.options.hosts[0]}" in caught.value.rule


# Trust

HOSTILE = """
import json, sys
config = sys.stdin.readline()
print(json.dumps({"m": "hello", "places": 1, "versions": VERSIONS, "absent": []}), flush=True)
for line in sys.stdin:
    print(ANSWER.replace("CALL", str(json.loads(line)["call"])), flush=True)
"""


class Planted:
    """What runs when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (f"{os.environ['PLANTED']}", "w")


@pytest.mark.parametrize(
    "answer",
    [
        {"found": json.dumps({"frame": "PICKLE"})},
        {"found": json.dumps({"frame": ["PICKLE"]})},
        {"found": "PICKLE"},
        {"found": "[" * 100_000},
        {"call": 99, "found": "1"},
        {"call": None},
        {},
    ],
)
def test_what_a_host_sends_is_not_run(
    answer: dict[str, Any], hosts: list[Host], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = tmp_path / "planted"
    monkeypatch.setenv("PLANTED", str(planted))
    sent = json.dumps({"m": "found", "call": "CALL", **answer})
    sent = sent.replace("PICKLE", base64.b64encode(pickle.dumps(Planted())).decode())
    program = HOSTILE.replace("VERSIONS", repr(versions())).replace("ANSWER", repr(sent))
    (tmp_path / "agent.py").write_text(program)
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\nexec {sys.executable} {tmp_path}/agent.py\n")
    python.chmod(0o755)
    with pytest.raises(ParameterError, match="has sent what is no answer"):
        outcomes(pool_work.picky, [1], at(hosts[:1], str(python)))
    assert not planted.exists()


def test_frames_come_back_as_they_were() -> None:
    frame = pl.DataFrame({"a": [1, None], "b": [math.nan, -0.0], "c": ["é", None]}, strict=False)
    found = pool_ssh.decode(pool_ssh.encode({"cells": frame, "empty": frame.clear()}))
    assert found["cells"].equals(frame, null_equal=True)
    assert found["empty"].schema == frame.schema
    assert math.copysign(1, found["cells"]["b"][1]) == -1
