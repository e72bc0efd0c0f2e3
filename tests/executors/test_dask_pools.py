"""Workers over hosts: what each has, and what happens when hosts come and go."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hbsim.errors import ParameterError
from hbsim.executors.dask.pools import Machine, Pools
from hbsim.executors.devices import Gpu
from hbsim.executors.slots import make_slots
from hbsim.executors.threads import THREAD_VARIABLES

VISIBLE = "CUDA_VISIBLE_DEVICES"


def gpu(uuid: str, visible: str | None = None) -> Gpu:
    return Gpu(visible or uuid, "NVIDIA A100", 80 << 30, uuid)


def machine(host, cpus, *gpus, limit=None, threads=None, boot=None) -> Machine:
    seen = tuple(one if isinstance(one, Gpu) else gpu(one) for one in gpus)
    cores = tuple(range(cpus)) if isinstance(cpus, int) else tuple(cpus)
    return Machine(boot or f"boot of {host}", host, cores, limit, seen, threads)


def shares(pools: Pools) -> list[tuple[object, ...]]:
    """What each worker has: host, cores, GPUs."""
    return [(pools.host(n), pools.slots[n].cpus, *names(pools, n)) for n in range(len(pools.slots))]


def names(pools: Pools, worker: int) -> list[str]:
    return [one.uuid for one in pools.slots[worker].gpus]


def test_two_agents_on_a_host_are_one_pool():
    pools = Pools(None, None)
    assert pools.join({"one": machine("a", 4, "g0", "g1"), "two": machine("a", 4, "g0", "g1")}) == [0, 1]
    assert shares(pools) == [("a", (0, 1), "g0"), ("a", (2, 3), "g1")]
    assert [set(pools.agents(worker)) for worker in pools.open] == [{"one", "two"}] * 2
    assert pools.leave("one") == []
    assert pools.agents(1) == ("two",)
    assert pools.leave("two") == [0, 1]
    assert pools.open == pools.agents(0) == ()


def test_agents_that_see_the_gpus_in_turned_order_are_one_pool_and_each_is_told_by_its_own_names():
    by_index = [gpu(f"g{index}", str(index)) for index in range(3)]
    agents = {str(turn): machine("a", 3, *by_index[turn:], *by_index[:turn]) for turn in range(3)}
    agents["other"] = machine("a", 3, "g2", "g0", "g1")
    pools = Pools(None, {"num_gpus": 1})
    assert pools.join(agents) == [0, 1, 2]
    assert shares(pools) == [("a", (0,), "g0"), ("a", (1,), "g1"), ("a", (2,), "g2")]
    assert [pools.slot(1, agent).env[VISIBLE] for agent in sorted(agents)] == ["1", "1", "1", "g1"]
    assert pools.slot(1, "other").gpus == (gpu("g1"),)
    assert pools.slot(1, "2") == pools.slot(1) == pools.slots[1]


def test_agents_that_are_bound_to_cores_of_their_own():
    pools = Pools(None, {"num_cpus": 2})
    agents = {f"job {first}": machine("a", range(first, first + 4)) for first in (0, 8, 4)}
    assert pools.join(agents) == list(range(6))
    assert [slot.cpus for slot in pools.slots] == [(n, n + 1) for n in range(0, 12, 2)]
    assert pools.agents(0) == ("job 0",)


def test_an_agent_a_gpu_in_one_join_divides_the_cores_in_runs():
    agents = {str(index): machine("a", 8, gpu(f"g{index}", str(index))) for index in range(4)}
    pools = Pools(None, None)
    assert pools.join(agents) == [0, 1, 2, 3]
    assert shares(pools) == [("a", (2 * n, 2 * n + 1), f"g{n}") for n in range(4)]


def test_an_agent_a_gpu_that_come_one_after_the_other():
    pools = Pools(None, None)
    for index in range(3):
        assert pools.join({str(index): machine("a", 8, gpu(f"g{index}", str(index)))}) == [index]
    assert shares(pools) == [("a", tuple(range(8)), "g0"), ("a", None, "g1"), ("a", None, "g2")]
    assert [slot.threads for slot in pools.slots] == [8, 1, 1]
    wanting = Pools(None, {"num_cpus": 5, "num_gpus": 1})
    assert wanting.join({"0": machine("a", 8, "g0")}) == [0]
    assert wanting.join({"1": machine("a", 8, "g1")}) == []  # three cores are free
    assert wanting.join({"2": machine("a", 8, "g2", boot="another")}) == [1]


def test_workers_are_dealt_in_turns_and_stay_within_what_fits():
    agents = {"s": machine("small", 2, "s0"), "b": machine("big", 8, "b0", "b1", "b2", "b3")}
    pools = Pools(4, {"num_gpus": 1})
    assert pools.join(agents) == [0, 1, 2, 3]
    assert [pools.host(worker) for worker in range(4)] == ["big", "big", "big", "small"]
    assert len(Pools(3, {"num_gpus": 1}).join(agents)) == 3
    assert len(Pools(9, {"num_gpus": 1}).join(agents)) == 5
    assert Pools(2, {"num_gpus": 4}).join(agents) == [0]


def test_more_workers_than_fit_share_in_proportion():
    agents = {"s": machine("small", 2, "s0"), "b": machine("big", 8, "b0", "b1", "b2", "b3")}
    pools = Pools(10, None)
    assert len(pools.join(agents)) == 10
    assert [pools.host(worker) for worker in pools.open].count("big") == 8
    assert {(pools.host(n), slot.sharing) for n, slot in enumerate(pools.slots)} == {("big", 2), ("small", 2)}
    assert [slot.cpus for slot in pools.slots[8:]] == [(0,), (1,)]
    only = Pools(3, None)
    assert only.join({"a": machine("a", 2)}) == [0, 1, 2]
    assert [(slot.cpus, slot.threads) for slot in only.slots] == [(None, 1)] * 3


def test_turns_go_to_all_hosts_before_a_host_has_a_second():
    agents = {str(index): machine("a", 4, f"g{index}") for index in range(4)} | {"b": machine("b", 4, "h")}
    pools = Pools(2, None)
    pools.join(agents)
    assert [pools.host(worker) for worker in pools.open] == ["a", "b"]
    assert [slot.threads for slot in pools.slots] == [4, 4]


def test_gpus_shared_by_halves():
    pools = Pools(None, {"num_gpus": 0.5, "num_cpus": 1})
    assert pools.join({"a": machine("a", 8, "g0", "g1"), "b": machine("b", 1, "h0", "h1")}) == [0, 1, 2, 3, 4]
    assert [names(pools, worker) for worker in pools.open] == [["g0"], ["g1"], ["g0"], ["g1"], ["h0"]]
    few = Pools(2, {"num_gpus": 0.5})
    few.join({"a": machine("a", 8, "g0", "g1")})
    assert [names(few, worker) for worker in few.open] == [["g0"], ["g1"]]


def test_a_gpu_that_two_pools_see_goes_to_one_of_them():
    pools = Pools(None, {"num_gpus": 0.5, "num_cpus": 1})
    pools.join({"one": machine("a", (0, 1), "g0"), "two": machine("a", (2, 3), "g0", "g1")})
    assert {(pools.agents(worker), *names(pools, worker)) for worker in pools.open} == {
        (("one",), "g0"),
        (("two",), "g1"),
    }
    elsewhere = machine("pod", (4, 5), "g0", boot="of the pod")
    assert pools.join({"pod": elsewhere}) == []  # rather than a trial without a GPU


def test_what_others_do_not_see_is_taken_first():
    pools = Pools(None, {"num_cpus": 4, "num_gpus": 1})
    agents = {"much": machine("a", 8, "g0", "g1"), "some": machine("a", 4, "g0")}
    assert pools.join(agents) == [0, 1]
    assert shares(pools) == [("a", (0, 1, 2, 3), "g0"), ("a", (4, 5, 6, 7), "g1")]


def test_a_quota_counts_instead_of_the_cores_and_binds_nobody():
    pools = Pools(None, {"num_cpus": 2})
    agents = {"a": machine("a", 16, limit=5.5, boot="node"), "b": machine("b", 16, limit=2, boot="node")}
    pools.join(agents)
    assert shares(pools) == [("a", None), ("a", None), ("b", None)]
    assert [slot.threads for slot in pools.slots] == [2, 2, 2]
    assert len(Pools(None, None).join({"a": machine("a", 16, limit=0.5)})) == 1


def test_what_the_user_said_of_threads_holds_unless_cores_were_asked_for():
    for resource, threads in ((None, 3), ({"num_cpus": 2}, 2)):
        pools = Pools(1, resource)
        pools.join({"a": machine("a", 8, threads=3)})
        assert pools.slot(0).threads == threads
        assert {pools.slot(0).env[name] for name in THREAD_VARIABLES} == {str(threads)}


@pytest.mark.parametrize(
    "back",
    [
        machine("a", 2, "g0", "g1"),
        machine("a", 2, "g1", "g0", boot="after a reboot"),
        machine("another pod", 2, "g1", "g0"),
        machine("another pod", 2, "g1", "g0", boot="of the pod"),
    ],
)
def test_a_host_that_is_lost_and_comes_back_has_its_workers_again(back):
    pools = Pools(None, None)
    pools.join({"a": machine("a", 2, "g0", "g1"), "b": machine("b", 1)})
    before = pools.slots
    assert pools.leave("a") == [0, 1]
    assert pools.leave("a") == []
    assert pools.open == (2,)
    assert pools.join({"again": back}) == [0, 1]
    assert pools.slots == before
    assert (pools.host(0), pools.agents(0)) == (back.host, ("again",))


def test_containers_that_see_the_same_are_one_pool_unless_each_has_its_own_quota():
    for limit, workers in ((None, 4), (2, 2)):
        pools = Pools(None, None)
        new = {pod: machine(pod, 4, limit=limit, boot="node") for pod in ("one", "two")}
        assert pools.join(new) == [0, 1, 2, 3]
        assert len([worker for worker in pools.open if "one" in pools.agents(worker)]) == workers
        assert pools.leave("one") == ([] if limit is None else [0, 1])


def test_machines_of_the_same_name_are_two_while_both_are_there():
    pools = Pools(None, None)
    assert pools.join({name: machine("node", 1, boot=name) for name in ("one", "two")}) == [0, 1]
    assert pools.leave("one") == [0]
    assert pools.join({"three": machine("node", 1, boot="three")}) == [0]
    assert pools.join({"one": machine("node", 1, boot="one")}) == [2]


def test_what_two_pools_had_before_reboots_goes_to_the_one_that_comes_first():
    pools = Pools(None, None)
    assert pools.join({"q": machine("a", 2, boot="first")}) == [0, 1]
    pools.leave("q")
    assert pools.join({"p": machine("a", 3, boot="second")}) == [2, 3, 4]
    pools.leave("p")
    assert pools.join({"q": machine("a", 2, boot="third")}) == [0, 1]
    assert pools.join({"p": machine("a", 3, boot="third")}) == [4]
    pools.leave("q")
    pools.leave("p")
    both = {"p": machine("a", 3, boot="fourth"), "q": machine("a", 2, boot="fourth")}
    assert pools.join(both, busy=[]) == [0, 1, 4]


def test_another_machine_does_not_take_the_place_of_one_that_is_gone():
    pools = Pools(None, None)
    pools.join({"a": machine("a", 1)})
    pools.leave("a")
    assert pools.join({"b": machine("b", 1)}) == [1]
    assert pools.join({"c": machine("a", 2)}) == [2]  # one core of it is not of the pool that is gone
    assert pools.slots[2].cpus == (1,)


def test_others_take_over_and_a_host_that_comes_back_gets_what_is_left():
    pools = Pools(2, None)
    assert pools.join({"a": machine("a", 2)}) == [0, 1]
    assert pools.join({"b": machine("b", 1), "c": machine("c", 4)}) == []
    assert pools.leave("a") == [0, 1]
    assert pools.join({}) == [2, 3]
    assert [pools.host(worker) for worker in (2, 3)] == ["b", "c"]
    assert pools.join({"a": machine("a", 2)}) == []
    assert pools.leave("b") == [2]
    assert pools.join({}) == [0]
    assert pools.open == (0, 3)


def test_a_host_that_is_gone_for_a_moment_leaves_no_crowd_on_a_small_one():
    pools = Pools(8, None)
    assert len(pools.join({"a": machine("a", 8)})) == 8
    pools.join({"b": machine("b", 2)})
    pools.leave("a")
    assert pools.join({}) == [8, 9]
    assert pools.join({"a": machine("a", 8)}) == list(range(6))


def test_what_is_shut_keeps_what_it_has_as_long_as_jobs_may_run():
    def lost() -> Pools:
        pools = Pools(None, {"num_gpus": 1, "num_cpus": 1})
        pools.join({"a": machine("a", (0, 1), "g0", "g1")})
        pools.leave("a")
        return pools

    new = {"new": machine("a", (0, 1, 2), "g0", "g1")}
    assert lost().join(new) == []
    pools = lost()
    assert pools.join(new, busy=[0]) == [2]
    assert shares(pools)[2] == ("a", (1,), "g1")
    assert pools.join({"a": machine("a", (0, 1), "g0", "g1")}, busy=[]) == [0]
    pools.leave("new")
    assert pools.join({}, busy=[2]) == []
    assert pools.join({}, busy=[]) == [1]


def test_what_no_host_has_is_an_error_that_names_the_largest():
    for resource, rule in (
        ({"num_gpus": 3}, "a trial needs 3 GPUs; big has 2 GPUs (2 x NVIDIA A100)"),
        ({"num_cpus": 9}, "a trial needs 9 CPU cores; big has 4 CPU cores (a quota allows 3)"),
    ):
        pools = Pools(None, resource)
        with pytest.raises(ParameterError) as caught:
            pools.join({"s": machine("small", 8, "s0"), "b": machine("big", 4, "g0", "g1", limit=3)})
        assert str(caught.value) == f"resource={resource!r}: {rule}"


def test_what_some_hosts_do_not_have_leaves_them_without_workers():
    pools = Pools(None, {"num_gpus": 2})
    assert pools.join({"s": machine("small", 8, "s0"), "b": machine("big", 1, "g0", "g1")}) == [0]
    assert pools.host(0) == "big"
    assert pools.join({"t": machine("tiny", 1)}) == []
    assert pools.leave("t") == []
    assert pools.leave("s") == []


def test_bad_values_are_refused_before_any_host_is_there():
    with pytest.raises(ParameterError, match="workers=0"):
        Pools(0, None)
    with pytest.raises(ParameterError, match="num_gpu"):
        Pools(None, {"num_gpu": 1})


@given(
    st.none() | st.integers(1, 12),
    st.fixed_dictionaries(
        {},
        optional={
            "num_cpus": st.integers(1, 3),
            "num_gpus": st.sampled_from([0, 1, 2, 0.5, 0.3]),
        },
    ),
    st.integers(1, 6),
    st.integers(0, 3),
    st.none() | st.floats(0.3, 8),
)
def test_a_single_host_is_divided_as_this_machine_would_be(workers, resource, cores, count, limit):
    one = machine("this machine", cores, *(f"g{index}" for index in range(count)), limit=limit)
    pools = Pools(workers, resource)

    def local(number):
        return make_slots(number, resource, one.cpus, one.gpus, limit, "this machine")

    if not _fits(local, None):
        with pytest.raises(ParameterError, match=r"a trial needs .*; this machine has "):
            pools.join({"a": one})
        return
    most = len(local(None))
    while workers is not None and most < workers and _fits(local, most + 1):
        most += 1
    pools.join({"a": one})
    assert list(pools.slots) == local(min(most, workers or most))


def _fits(local, number) -> bool:
    try:
        local(number)
    except ParameterError:
        return False
    return True


@pytest.mark.parametrize(
    ("workers", "hosts", "said"),
    [
        (6, 1, "workers=6: 2 fit on the host that there is now; more start as hosts come"),
        (6, 2, "workers=6: 4 fit on the 2 hosts that there are now; more start as hosts come"),
        (6, 3, ""),
        (2, 1, ""),
        (None, 1, ""),
    ],
)
def test_what_is_said_of_workers_that_do_not_fit(workers, hosts, said):
    pools = Pools(workers, {"num_cpus": 1})
    pools.join({f"agent {n}": machine(f"h{n}", 2) for n in range(hosts)})
    assert pools.wanting == said
