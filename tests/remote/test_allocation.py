"""Hosts divided among workers: examples, and hosts that come and go, held against what must hold."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from math import ceil, floor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition
from hypothesis.stateful import rule as step

from hbsim.errors import ParameterError
from hbsim.executors.devices import Gpu
from hbsim.executors.remote.allocation import Machine, WorkerAllocator, differences_of
from hbsim.executors.slots import THREAD_VARIABLES, Slot, make_slots
from tests.profile import examples

VISIBLE = "CUDA_VISIBLE_DEVICES"


def gpu(uuid: str, visible: str | None = None, name: str = "A100") -> Gpu:
    return Gpu(visible or uuid, name, 80 << 30, uuid)


def machine(host: str, cpus: int | tuple[int, ...], *gpus: Gpu | str, **more: Any) -> Machine:
    seen = tuple(one if isinstance(one, Gpu) else gpu(one) for one in gpus)
    cores = tuple(range(cpus)) if isinstance(cpus, int) else cpus
    limit = more.pop("limit", None)
    return Machine(host, more.pop("boot", f"boot of {host}"), cores, limit, host, seen, **more)


def divided(workers: int | None, resource: Any, *machines: Machine) -> WorkerAllocator:
    """Divide machines for the first time; the agents are named 0, 1, 2 in this order."""
    found = WorkerAllocator(workers, resource)
    found.begin(machines)
    for number, one in enumerate(machines):
        if found.refusal(one) is None:
            found.add(str(number), one)
    found.divide(set(found.candidates))
    return found


def later(machines: WorkerAllocator, agent: str, one: Machine) -> list[int]:
    machines.add(agent, one)
    return machines.divide(set(machines.candidates))


def slots(machines: WorkerAllocator) -> list[Slot]:
    """What all workers have, by number."""
    return [machines.slot(worker) for worker in machines.workers()]


def shares(machines: WorkerAllocator) -> list[tuple[object, ...]]:
    """What each worker has: agent, cores, GPUs."""
    return [
        (machines.agent(one.worker), one.cpus, *(gpu.uuid for gpu in one.gpus)) for one in slots(machines)
    ]


def test_agents_that_see_the_same_machine_share_it() -> None:
    found = divided(None, None, machine("a", 4, "g0", "g1"), machine("a", 4, "g0", "g1"))
    assert shares(found) == [("0", (0, 1), "g0"), ("1", (2, 3), "g1")]
    assert later(found, "late", machine("a", 4, "g0", "g1")) == []  # nothing is left,
    found.remove("0")
    assert found.divide(set(found.candidates)) == [0]  # until another one is gone
    assert found.slot(0).cpus == (0, 1)


def test_what_is_gone_is_free_for_others_only_once_it_is_removed() -> None:
    found = divided(None, {"num_gpus": 1}, machine("a", 4, "g0", "g1"))
    assert later(found, "new", machine("a", 4, "g0", "g1")) == []
    found.remove("0")
    found.remove("0")
    assert found.divide({"new"}) == [0, 1]  # the lowest numbers that are free


def test_every_agent_sees_its_gpus_by_its_own_names() -> None:
    one = machine("a", 2, gpu("g0", "0"), gpu("g1", "1"))
    other = machine("a", 2, gpu("g1", "0"), gpu("g0", "GPU-g0"))
    found = divided(None, {"num_gpus": 1, "num_cpus": 1}, one, other)
    names = {found.agent(slot.worker): slot.env[VISIBLE] for slot in slots(found)}
    assert names in ({"0": "0", "1": "0"}, {"0": "1", "1": "GPU-g0"})


def test_agents_that_are_bound_to_cores_of_their_own() -> None:
    jobs = [machine("a", tuple(range(first, first + 4))) for first in (0, 8, 4)]
    found = divided(None, {"num_cpus": 2}, *jobs)
    assert [slot.cpus for slot in slots(found)] == [(n, n + 1) for n in range(0, 12, 2)]


def test_an_agent_a_gpu_divides_the_cores_in_runs() -> None:
    agents = [machine("a", 8, gpu(f"g{index}", str(index))) for index in range(4)]
    found = divided(None, None, *agents)
    assert shares(found) == [(str(n), (2 * n, 2 * n + 1), f"g{n}") for n in range(4)]
    late = divided(None, None, agents[0])
    for number, one in enumerate(agents[1:], 1):
        assert later(late, str(number), one) == [number]
    # A GPU is worth a trial on cores that are shared.
    assert [(slot.cpus, slot.threads) for slot in slots(late)] == [(tuple(range(8)), 8), *[(None, 1)] * 3]
    wanting = divided(None, {"num_cpus": 5, "num_gpus": 1}, agents[0])
    assert later(wanting, "1", agents[1]) == []  # three cores are free


def test_workers_are_dealt_in_turns() -> None:
    small, big = machine("small", 2, "s0"), machine("big", 8, "b0", "b1", "b2", "b3")
    hosts = {0: "small", 1: "big"}

    def of(workers: int, resource: Any = None) -> list[str]:
        found = divided(workers, resource or {"num_gpus": 1}, small, big)
        return [hosts[int(found.agent(slot.worker) or 0)] for slot in slots(found)]

    assert of(4) == ["big", "big", "big", "small"]
    assert of(2) == ["big", "small"]
    assert len(of(9)) == 5
    assert of(2, {"num_gpus": 4}) == ["big"]
    same = [machine("a", 4, f"g{index}") for index in range(3)]
    found = divided(2, None, *same, machine("b", 4, "h"))
    assert [found.agent(worker) for worker in (0, 1)] == ["0", "3"]  # each machine before any has two


def test_more_workers_than_fit_share_in_proportion_at_the_first_division_and_when_a_host_is_back() -> None:
    small, big = machine("small", 2, "s0"), machine("big", 8, "b0", "b1", "b2", "b3")
    found = divided(10, None, small, big)
    assert Counter(found.agent(slot.worker) for slot in slots(found)) == {"1": 8, "0": 2}
    assert {slot.sharing for slot in slots(found)} == {2}
    found.remove("0")
    assert len(later(found, "back", small)) == 2
    only = divided(3, None, machine("a", 2))
    assert [(slot.cpus, slot.threads) for slot in slots(only)] == [(None, 1)] * 3
    assert len(slots(divided(3, {"num_cpus": 1}, machine("a", 2)))) == 2
    assert len(slots(divided(3, {"num_gpus": 1}, machine("a", 2, "g0")))) == 1
    assert len(slots(divided(3, {"num_cpus": 1}, machine("a", 2, "g0")))) == 2


def test_a_host_that_is_gone_for_a_moment_leaves_no_crowd_on_a_small_one() -> None:
    found = divided(8, None, machine("a", 8))
    assert later(found, "b", machine("b", 2)) == []
    found.remove("0")
    assert found.divide({"b"}) == [0, 1]
    assert later(found, "a", machine("a", 8)) == list(range(2, 8))


def test_gpus_shared_by_halves() -> None:
    found = divided(
        None, {"num_gpus": 0.5, "num_cpus": 1}, machine("a", 8, "g0", "g1"), machine("b", 1, "h0")
    )
    assert [share[2] for share in shares(found)] == ["g0", "g1", "g0", "g1", "h0"]
    few = divided(2, {"num_gpus": 0.5}, machine("a", 8, "g0", "g1"))
    assert [share[2] for share in shares(few)] == ["g0", "g1"]


def test_a_gpu_that_is_seen_on_two_machines_is_one() -> None:
    found = divided(None, None, machine("pod1", 4, "g0"))
    assert later(found, "pod2", machine("pod2", 4, "g0")) == []


def test_a_quota_counts_instead_of_the_cores_and_binds_nobody() -> None:
    one, two = machine("a", 16, limit=5.5, boot="node"), machine("b", 16, limit=2, boot="node")
    found = divided(None, {"num_cpus": 2}, one, two)
    assert shares(found) == [("0", None), ("0", None), ("1", None)]
    assert [slot.threads for slot in slots(found)] == [2, 2, 2]
    assert len(slots(divided(None, None, machine("a", 16, limit=0.5)))) == 1
    # Two agents in one control group share its quota.
    assert len(slots(divided(None, None, one, one))) == 5


def test_what_the_user_said_of_threads_holds_unless_cores_were_asked_for() -> None:
    for resource, threads in ((None, 3), ({"num_cpus": 2}, 2)):
        (slot,) = slots(divided(1, resource, machine("a", 8, threads=3)))
        assert slot.threads == threads
        assert {slot.env[name] for name in THREAD_VARIABLES} == {str(threads)}


# Which hosts get trials


def refused(machines: WorkerAllocator, one: Machine) -> str:
    error = machines.refusal(one)
    return "" if error is None else error.rule


def test_whether_trials_use_gpus_is_decided_when_the_study_begins() -> None:
    with_gpu, without = machine("a", 4, "g0"), machine("b", 16)
    found = divided(None, None, with_gpu, without)
    assert [share[0] for share in shares(found)] == ["0"]
    assert refused(found, machine("late", 2)) == (
        "it has no GPU, and other hosts have; --num-gpus 0 has trials train without GPUs, there too"
    )
    begun = divided(None, None, without)
    assert refused(begun, with_gpu) == ""
    later(begun, "late", with_gpu)
    assert {slot.env.get(VISIBLE) for slot in slots(begun)} == {None, ""}  # no trial has one
    assert not any(slot.gpus for slot in slots(begun))


def test_a_driver_that_does_not_answer_counts_as_gpus_that_cannot_be_used() -> None:
    broken = machine("a", 4, gpu_problem="the driver does not answer")
    found = divided(None, None, broken, machine("b", 4, "g0"))
    assert [share[0] for share in shares(found)] == ["1"]
    assert refused(found, broken).startswith("the driver does not answer; --num-gpus 0 ")
    assert len(slots(divided(None, {"num_gpus": 0}, broken))) == 4
    for resource in (None, {"num_gpus": 1}):
        with pytest.raises(ParameterError, match="a: the driver does not answer; --num-gpus 0 "):
            divided(None, resource, broken, machine("c", 16))


def test_several_gpus_a_trial_are_refused_where_cuda_shows_one_instance_only() -> None:
    instances = [gpu(f"MIG-{number}") for number in range(4)]
    rule = "a has GPUs in MIG mode, of which CUDA shows a process one instance only: num_gpus is 1 at most"
    with pytest.raises(ParameterError, match=rule) as caught:
        divided(None, {"num_gpus": 2}, machine("a", 8, *instances))
    assert caught.value.field == "resource"
    found = divided(None, {"num_gpus": 2}, machine("a", 8, *instances), machine("b", 8, "g0", "g1"))
    assert [share[0] for share in shares(found)] == ["1"]
    assert len(slots(divided(None, {"num_gpus": 0.5}, machine("a", 8, *instances)))) == 8


def test_what_no_host_has_is_an_error_that_names_the_largest() -> None:
    for resource, rule in (
        ({"num_gpus": 3}, "a trial needs 3 GPUs; big has 2 GPUs (2 x A100)"),
        ({"num_cpus": 9}, "a trial needs 9 CPU cores; big has 4 CPU cores (a quota allows 3)"),
    ):
        with pytest.raises(ParameterError) as caught:
            divided(None, resource, machine("small", 8, "s0"), machine("big", 4, "g0", "g1", limit=3))
        assert str(caught.value) == f"resource={resource!r}: {rule}"
    with pytest.raises(ParameterError, match="workers=0"):
        WorkerAllocator(0, None)
    with pytest.raises(ParameterError, match="num_gpu"):
        WorkerAllocator(None, {"num_gpu": 1})


def test_how_hosts_differ_is_said_in_a_line() -> None:
    one = machine("a", 4, "g0", versions={"python": "3.11.7", "torch": "2.9.0"})
    same = machine("b", 4, "h0", versions={"python": "3.11.7", "torch": "2.9.0"})
    assert differences_of([one, same]) == ""
    other = machine("c", 8, gpu("c0", name="T4"), gpu("c1", name="T4"), versions={"python": "3.11.9"})
    assert differences_of([other, same, one]) == (
        "the hosts differ in GPUs: A100 (a, b), 2 x T4 (c); CPU cores: 4 (a, b), 8 (c); "
        "Python: 3.11.7 (a, b), 3.11.9 (c); PyTorch: 2.9.0 (a, b), none (c)"
    )
    many = [machine(f"h{number}", 4) for number in range(9)]
    assert differences_of([*many, machine("z", 2)]) == (
        "the hosts differ in CPU cores: 4 (h0, h1, h2, h3, h4 and 4 more), 2 (z)"
    )


@given(
    st.none() | st.integers(1, 12),
    st.fixed_dictionaries(
        {}, optional={"num_cpus": st.integers(1, 3), "num_gpus": st.sampled_from([0, 1, 2, 0.5, 0.3])}
    ),
    st.integers(1, 6),
    st.integers(0, 3),
    st.none() | st.floats(0.3, 8),
)
@settings(max_examples=examples(60))
def test_a_single_host_is_divided_as_this_machine_would_be(
    workers: int | None, resource: dict[str, Any], cores: int, count: int, limit: float | None
) -> None:
    one = machine("this machine", cores, *(f"g{index}" for index in range(count)), limit=limit)

    def local(number: int | None) -> list[Slot]:
        return make_slots(number, resource, one.cpus, one.gpus, limit, "this machine")

    def fits(number: int | None) -> bool:
        try:
            return bool(local(number))
        except ParameterError:
            return False

    if not fits(None):
        with pytest.raises(ParameterError, match=r"a trial needs .*; this machine has "):
            divided(workers, resource, one)
        return
    most = len(local(None))
    while workers is not None and most < workers and fits(most + 1):
        most += 1
    assert list(slots(divided(workers, resource, one))) == local(min(most, workers or most))


# Whatever comes and goes

HARDWARE: dict[str, tuple[int, list[str]]] = {
    "a": (8, ["a0", "a1", "a2", "a3"]),
    "b": (4, []),
    "c": (2, ["c0"]),
    "d": (3, ["d0", "d1"]),
}
NEEDS = st.fixed_dictionaries(
    {}, optional={"num_cpus": st.integers(1, 4), "num_gpus": st.sampled_from([0, 1, 2, 0.5, 0.3])}
)


class Comings(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.agents: dict[str, Machine] = {}
        self.joined = 0
        self.crowd = 1  # how many share a GPU since more were wanted than there are

    @initialize(workers=st.none() | st.integers(1, 12), resource=NEEDS, data=st.data())
    def begin(self, workers: int | None, resource: dict[str, Any], data: st.DataObject) -> None:
        self.workers, self.resource = workers, resource
        self.machines = WorkerAllocator(workers, resource)
        new = self.some(data)
        asked = resource.get("num_gpus", 1 if any(one.gpus for one in new.values()) else 0)
        self.need = (resource.get("num_cpus", 0), ceil(asked))
        self.part = resource.get("num_gpus")
        if not any(self.fits_alone(one) for one in new.values()):
            with pytest.raises(ParameterError):
                self.machines.begin(list(new.values()))
            self.need = (0, 0)
            self.resource, self.part, self.machines = (
                {"num_gpus": 0},
                0,
                WorkerAllocator(workers, {"num_gpus": 0}),
            )
        self.machines.begin(list(new.values()))
        self.take(new)
        users = Counter(gpu.uuid for slot in slots(self.machines) for gpu in slot.gpus)
        if workers is not None and "num_gpus" not in self.resource:
            self.crowd = max(users.values(), default=1)

    @step(data=st.data())
    def join(self, data: st.DataObject) -> None:
        self.take(self.some(data))

    @precondition(lambda self: self.agents)
    @step(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        agent = data.draw(st.sampled_from(sorted(self.agents)))
        self.machines.remove(agent)
        assert not self.machines.workers(agent)
        del self.agents[agent]
        self.take({})

    @precondition(lambda self: len(slots(self.machines)) > 1)
    @step(data=st.data())
    def swap(self, data: st.DataObject) -> None:
        numbers = [slot.worker for slot in slots(self.machines)]
        one = data.draw(st.sampled_from(numbers))
        other = data.draw(st.sampled_from([*numbers, 99]).filter(lambda number: number != one))
        before = {slot.worker: (slot.cpus, slot.gpus) for slot in slots(self.machines)}
        self.machines.swap(one, other)
        after = {slot.worker: (slot.cpus, slot.gpus) for slot in slots(self.machines)}
        expected = {{one: other, other: one}.get(number, number): share for number, share in before.items()}
        assert after == expected

    def some(self, data: st.DataObject) -> dict[str, Machine]:
        new = {}
        for _ in range(data.draw(st.integers(1, 4))):
            self.joined += 1
            host = data.draw(st.sampled_from(sorted(HARDWARE)))
            cores, uuids = HARDWARE[host]
            half = cores // 2
            parts = (range(cores), range(cores), range(half or 1), range(half, cores))
            cpus = tuple(data.draw(st.sampled_from(parts)))
            turn = data.draw(st.integers(0, max(0, len(uuids) - 1)))
            seen = (uuids[turn:] + uuids[:turn])[: data.draw(st.sampled_from([4, 4, 1, 2, 0]))]
            more = {"limit": data.draw(st.sampled_from([None, None, 2.5])), "boot": host}
            pod = data.draw(st.sampled_from(["", "", "-pod"]))
            gpus = [gpu(uuid, f"{uuid}{pod}") for uuid in seen]
            new[f"agent {self.joined}"] = machine(host + pod, cpus, *gpus, **more)
        return new

    def take(self, new: dict[str, Machine]) -> None:
        before = {slot.worker: slot for slot in slots(self.machines)}
        for agent, one in new.items():
            fits = self.fits_alone(one)
            assert (self.machines.refusal(one) is None) is fits
            if fits:
                self.agents[agent] = one
                self.machines.add(agent, one)
        opened = self.machines.divide(set(self.machines.candidates))
        after = {slot.worker: slot for slot in slots(self.machines)}
        assert opened == sorted(after.keys() - before.keys())
        assert all(after[worker] == slot for worker, slot in before.items())
        lowest = [number for number in range(len(after) + 100) if number not in before][: len(opened)]
        assert opened == lowest
        self.nothing_idle()

    def of(self, slot: Slot) -> Machine:
        return self.agents[self.machines.agent(slot.worker) or ""]

    def time_for(self, one: Machine) -> int:
        return min(len(one.cpus), floor(one.cpu_limit or len(one.cpus)))

    def fits_alone(self, one: Machine) -> bool:
        return bool(self.need[0] <= self.time_for(one) and self.need[1] <= len(one.gpus))

    def held(self) -> set[object]:
        """What workers are known to have: of those that are not bound, only the GPUs."""
        found: set[object] = set()
        for slot in slots(self.machines):
            found |= {(self.of(slot).boot, core) for core in slot.cpus or ()} | {
                gpu.uuid for gpu in slot.gpus
            }
        return found

    def nothing_idle(self) -> None:
        """What is free is less than a trial needs, wherever one could be, unless there are enough workers."""
        if self.workers is not None and len(slots(self.machines)) >= self.workers:
            return
        held = self.held()
        for one in self.agents.values():
            if any(slot.cpus is None for slot in slots(self.machines) if self.of(slot).boot == one.boot):
                continue  # who has which core cannot be seen
            free = [core for core in one.cpus if (one.boot, core) not in held]
            free_gpus = [gpu for gpu in one.gpus if gpu.uuid not in held]
            cores, gpus = self.need
            idle = len(free_gpus) >= gpus if gpus else bool(free)
            assert not (idle and min(len(free), self.time_for(one)) >= cores)

    @invariant()
    def no_core_is_given_twice(self) -> None:
        cores: Counter[object] = Counter()
        asked: Counter[tuple[Any, ...]] = Counter()
        for slot in slots(self.machines) if self.agents else ():
            one = self.of(slot)
            cores.update((one.boot, core) for core in slot.cpus or ())
            asked[one.boot, HARDWARE[one.boot][0]] += self.need[0]
            if self.time_for(one) < len(one.cpus):
                asked[one.boot, one.quota, self.time_for(one)] += self.need[0]
                assert slot.cpus is None
            if self.need[0]:
                assert slot.threads == self.need[0] == len(slot.cpus or range(slot.threads))
            assert set(slot.cpus or ()) <= set(one.cpus)
        assert max(cores.values(), default=1) == 1
        assert all(number <= about[-1] for about, number in asked.items())

    @invariant()
    def no_gpu_is_given_beyond_its_part(self) -> None:
        users: dict[str, list[str | None]] = {}
        for slot in slots(self.machines) if self.agents else ():
            assert len(set(slot.gpus)) == self.need[1]
            assert set(slot.gpus) <= set(self.of(slot).gpus)
            visible = ",".join(gpu.visible for gpu in slot.gpus)
            assert (slot.env.get(VISIBLE) or "") == visible
            assert VISIBLE in slot.env or not self.of(slot).gpus
            for one in slot.gpus:
                users.setdefault(one.uuid, []).append(self.machines.agent(slot.worker))
        for agents in users.values():
            assert len(set(agents)) == 1
            most = floor(1 / Fraction(str(self.part))) if self.part and self.part < 1 else self.crowd
            assert len(agents) <= most

    @invariant()
    def there_are_no_more_than_were_asked_for(self) -> None:
        if self.agents:
            assert len(slots(self.machines)) <= (self.workers or 1000)


TestComings = Comings.TestCase
TestComings.settings = settings(max_examples=examples(30), stateful_step_count=12, deadline=None)
