"""Whether a host runs the same versions, and what a study makes of it if not."""

from __future__ import annotations

import platform
from random import Random

import pytest

import hbsim
from hbsim.executors.dask import fleet as module
from hbsim.executors.dask.depots import Depots
from hbsim.executors.dask.fleet import Fleet
from hbsim.executors.dask.pools import Pools
from hbsim.executors.dask.versions import differences, versions
from tests.doubles import fake_agents
from tests.doubles.fake_agents import FakeCluster

LEASE = 6.0
OURS = {"hbsim": "0.2.0", "python": "3.11.7", "torch": "2.9.0+cu128"}


@pytest.mark.parametrize(
    ("changed", "error", "warning"),
    [
        ({}, "", ""),
        ({"python": "3.11.12"}, "", ""),
        ({"python": "3.12.7"}, "python 3.12.7 instead of 3.11.7", ""),
        ({"python": "3.1.7"}, "python 3.1.7 instead of 3.11.7", ""),
        ({"hbsim": "0.2.1"}, "hbsim 0.2.1 instead of 0.2.0", ""),
        ({"hbsim": None}, "no hbsim instead of 0.2.0", ""),
        ({"torch": "2.9.0+cpu"}, "", ""),
        ({"torch": "2.9.0"}, "", ""),
        ({"torch": "2.9.1+cu128"}, "", "torch 2.9.1+cu128 instead of 2.9.0+cu128"),
        ({"torch": None}, "", "no torch instead of 2.9.0+cu128"),
        ({"hbsim": "1", "python": "2"}, "hbsim 1 instead of 0.2.0, python 2 instead of 3.11.7", ""),
    ],
)
def test_what_goes_together(changed: dict[str, str | None], error: str, warning: str) -> None:
    theirs = {name: value for name, value in {**OURS, **changed}.items() if value is not None}
    assert differences(OURS, theirs) == (error, warning)


def test_a_torch_that_only_a_host_has_is_nobodys_business() -> None:
    ours = {"hbsim": "0.2.0", "python": "3.11.7"}
    assert differences(ours, OURS) == ("", "")


def test_this_process() -> None:
    found = versions()
    assert found["hbsim"] == hbsim.__version__
    assert found["python"] == platform.python_version()
    assert differences(found, found) == ("", "")


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    monkeypatch.setattr(module, "versions", lambda: OURS)
    fleet = Fleet(Pools(None, None), Depots(False, {}, {}), LEASE)
    fleet.begin()
    return FakeCluster(fleet, Random(1), LEASE, 0.01, 0.0)


def join(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch, **changed: str) -> None:
    """Have a host join."""
    monkeypatch.setattr(fake_agents, "versions", lambda: {**OURS, **changed})
    cluster.add(f"h{len(cluster.agents)}", 1)
    cluster.step(3)


@pytest.mark.parametrize(
    ("name", "there", "ours"), [("hbsim", "0.1.9", "0.2.0"), ("python", "3.12.1", "3.11.7")]
)
def test_a_first_host_of_another_version_ends_the_study(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch, name: str, there: str, ours: str
) -> None:
    join(cluster, monkeypatch, **{name: there})
    assert cluster.fleet.fatal is not None
    assert cluster.fleet.fatal.rule == f"h0 runs {name} {there} instead of {ours}: install the same there"


def test_a_later_host_of_another_version_gets_no_trials(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    join(cluster, monkeypatch)
    join(cluster, monkeypatch, python="3.10.2")
    assert cluster.fleet.fatal is None
    (note,) = cluster.fleet.todo.notes
    assert "h1 gets no trials" in note
    assert "python 3.10.2 instead of 3.11.7" in note
    assert [message.worker for _, message in cluster.messages] == [0]


def test_another_torch_is_a_warning(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    join(cluster, monkeypatch, torch="2.8.0+cpu")
    assert cluster.fleet.fatal is None
    said = "h0 runs torch 2.8.0+cpu instead of 2.9.0+cu128: its trials may come out differently"
    assert cluster.fleet.todo.notes == [said]
    assert [message.worker for _, message in cluster.messages] == [0]  # it takes part
