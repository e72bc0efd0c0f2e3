"""The seed's classes on other machines, which a stand-in plays."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import hbsim
from hbsim.errors import ExecutorError, ParameterError
from tests.doubles.fake_remote import FakeRemote, standing_in

from .functions import climb


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[type[FakeRemote]]:
    with standing_in(monkeypatch, tmp_path / "away") as made:
        yield made


def hyperband(folder: Path | None, **options: Any) -> hbsim.HyperbandScheduler:
    options = {"num_trials": 4, "max_t": 4, "grace_period": 1, "reduction_factor": 2, **options}
    return hbsim.HyperbandScheduler(climb, checkpoint=folder, progress="none", type="promotion", **options)


def test_addresses_of_the_seed_are_hosts(cluster: type[FakeRemote], tmp_path: Path) -> None:
    scheduler = hyperband(tmp_path / "exp", dist_ip_addrs=["a", "b"], workers=2, resource={"num_cpus": 1})
    assert not cluster.made
    scheduler.join_jobs()
    [made] = cluster.made
    assert made.options == hbsim.Hosts(("a", "b"))
    assert made.asked == (2, {"num_cpus": 1})
    assert scheduler.get_best_reward() > 0
    assert (tmp_path / "exp" / "remote.json").is_file()


def test_hosts_are_added_between_calls(cluster: type[FakeRemote], tmp_path: Path) -> None:
    scheduler = hyperband(tmp_path / "exp", workers=1)
    scheduler.add_remote("a")
    scheduler.add_remote(["b"])
    assert scheduler.executor == "hosts"
    scheduler.run(num_trials=1)
    scheduler.add_remote(["c", "a"])
    scheduler.run()
    assert [made.options for made in cluster.made] == [hbsim.Hosts(("a", "b")), hbsim.Hosts(("a", "b", "c"))]
    assert scheduler.num_finished_tasks == 4
    for addresses in (3, [3], ["me @a"]):
        with pytest.raises(ParameterError) as caught:
            scheduler.add_remote(addresses)  # type: ignore[arg-type]
        assert caught.value.field == "ip_addrs"
    with pytest.raises(ParameterError, match=r"hbsim\.Dask"):
        hyperband(None, executor="dask").add_remote("a")


def test_hosts_that_are_lost_keep_the_study_and_the_next_call_goes_on(cluster: type[FakeRemote]) -> None:
    scheduler = hyperband(None, executor="dask")
    cluster.lose = 2
    with pytest.raises(ExecutorError):
        scheduler.run()
    cluster.lose = None
    assert scheduler._running.place.lasting
    result = scheduler.run()
    assert result.summary()["why"] == "done"
    assert cluster.made[1].study == cluster.made[0].study
    shutil.rmtree(scheduler.folder)


def test_a_state_loads_wherever_trials_run(cluster: type[FakeRemote], tmp_path: Path) -> None:
    there = hyperband(tmp_path / "exp", executor=hbsim.Dask(scheduler_address="tcp://a:1"))
    there.join_jobs()
    here = hyperband(tmp_path / "other")
    here.load_state_dict(there.state_dict())
    assert here.folder == tmp_path / "exp"
    assert here.run() is here.result
    assert here.result.summary() == there.result.summary()
    assert len(cluster.made) == 1
