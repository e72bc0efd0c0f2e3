"""What tells machines, containers and quotas apart."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from hbsim.executors.dask import hello
from hbsim.executors.dask.machine import Machine, Pool, find_pool
from hbsim.executors.dask.pools import Pools

NODE = Machine("node", "one", tuple(range(8)), None, (), None)


def find(there: Machine, comes: Machine, gone: bool = False) -> bool:
    """Return whether an agent that comes belongs to the pool of one that is there, or has gone."""
    pool = Pool(there)
    pool.enter("first", there)
    if gone:
        del pool.agents["first"]
    return find_pool([pool], comes) is pool


@pytest.mark.parametrize("host", ["one", "two"])
@pytest.mark.parametrize("group", ["1:7", "1:8"])
def test_containers_without_a_quota_are_one_pool(host: str, group: str) -> None:
    """They can use the same cores at any time; a quota of as much as there is, is none."""
    for limit in (None, 8.0, 9.5):
        assert find(replace(NODE, cpu_limit=limit, group="1:7"), replace(NODE, host=host, group=group))


@pytest.mark.parametrize(
    ("host", "group", "same"),
    [
        ("one", "1:7", True),  # two Dask workers in a container
        ("one", "1:8", False),  # two pods with hostNetwork: both have the name of the node
        ("two", "1:8", False),  # two pods
        ("two", "", False),  # groups are unknown
    ],
)
def test_each_quota_is_a_pool(host: str, group: str, same: bool) -> None:
    there = replace(NODE, cpu_limit=2.0, group="1:7")
    comes = replace(there, host=host, group=group)
    assert find(there, comes) is same
    assert find(there, comes, gone=True)  # the container was started anew
    assert not find(there, replace(comes, boot="another"))


def test_a_container_that_was_started_anew_takes_its_own_place_first() -> None:
    pools = [Pool(replace(NODE, host=host, cpu_limit=2.0, group=host)) for host in ("one", "two")]
    assert find_pool(pools, replace(NODE, host="two", cpu_limit=2.0, group="new")) is pools[1]


def test_two_pods_of_a_node_have_as_many_workers_as_their_quotas_leave() -> None:
    pods = {name: replace(NODE, cpu_limit=2.0, group=name) for name in ("1:7", "1:8")}
    assert Pools(None, None).join(pods) == [0, 1, 2, 3]
    assert Pools(None, None).join({name: replace(pod, group="1:7") for name, pod in pods.items()}) == [0, 1]


@pytest.mark.parametrize(
    ("boot", "image", "said"),
    [
        ("b0\n", "m0\n", "b0"),  # what the image holds makes no difference
        ("b0\n", None, "b0"),
        (None, "m0\n", "m0 HOST"),  # pods of one image may be anywhere
        ("", "", "HOST"),
        (None, None, "HOST"),
    ],
)
def test_a_machine_is_known_by_its_boot(
    boot: str | None, image: str | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in (("_BOOT", boot), ("_MACHINE", image)):
        monkeypatch.setattr(hello, name, str(tmp_path / name))
        if text is not None:
            (tmp_path / name).write_text(text)
    assert hello._boot() == said.replace("HOST", socket.gethostname())
