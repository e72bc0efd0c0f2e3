"""Hosts that come and go in any order, against a checker that knows what must hold and not how it is done."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from math import ceil, floor

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hbsim.errors import ParameterError
from hbsim.executors.dask.pools import Machine, Pools
from hbsim.executors.devices import Gpu

HARDWARE = {"a": (8, ["a0", "a1", "a2", "a3"]), "b": (4, []), "c": (2, ["c0"]), "d": (3, ["d0", "d1"])}
NEEDS = st.none() | st.fixed_dictionaries(
    {}, optional={"num_cpus": st.integers(1, 4), "num_gpus": st.sampled_from([0, 1, 2, 0.5, 0.3])}
)
PARTS = ("all", "all", "first half", "second half", "few")


def some(part: str, things: list) -> list:
    half = len(things) // 2
    return {
        "all": things,
        "first half": things[:half] or things,
        "second half": things[half:],
        "few": things[:3],
    }[part]


class Cluster(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.agents: dict[str, Machine] = {}
        self.joined = 0
        self.starts = Counter()  # of hosts
        self.open: set[int] = set()
        self.busy: set[int] = set()  # shut, and not known to have ended
        self.slots = ()
        self.where: dict[int, Machine] = {}  # of workers, as seen last
        self.crowded = frozenset()

    # What happens

    @initialize(
        workers=st.none() | st.integers(1, 12),
        resource=NEEDS,
        forgets=st.booleans(),
        data=st.data(),
    )
    def begin(self, workers, resource, forgets, data):
        self.workers, self.resource, self.forgets = workers, resource or {}, forgets
        self.pools = Pools(workers, resource)
        assert self.pools.join({}) == []
        new = self.some_agents(data)
        if not any(self.fits_alone(machine) for machine in new.values()):
            with pytest.raises(ParameterError):
                self.pools.join(new)
            self.pools = Pools(workers, resource)
            new = {"whole": self.machine("a", range(8), HARDWARE["a"][1], None)}
            if not self.fits_alone(new["whole"]):
                return
        self.take(new)
        users = Counter(gpu.uuid for worker in self.open for gpu in self.slots[worker].gpus)
        if workers is not None and "num_gpus" not in self.resource and max(users.values(), default=1) > 1:
            self.crowded = frozenset(self.open)  # only where nothing else was left
        if self.crowded or len(self.open) != workers:
            self.nothing_idle()

    @rule(data=st.data())
    def join(self, data):
        self.take(self.some_agents(data))

    @rule()
    def look_again(self):
        self.take({})

    @precondition(lambda self: self.agents)
    @rule(data=st.data())
    def leave(self, data):
        self.lose(data.draw(st.sampled_from(sorted(self.agents))))

    @precondition(lambda self: self.busy)
    @rule(data=st.data())
    def jobs_end(self, data):
        self.busy.discard(data.draw(st.sampled_from(sorted(self.busy))))

    @rule(host=st.sampled_from(sorted(HARDWARE)))
    def reboot(self, host):
        for agent, machine in list(self.agents.items()):
            if machine.boot.startswith(host):
                self.lose(agent)
        gone = {worker for worker in self.busy if self.where[worker].boot.startswith(host)}
        self.busy -= gone if self.forgets else set()
        self.starts[host] += 1

    # How it is done

    def some_agents(self, data) -> dict[str, Machine]:
        new = {}
        for _ in range(data.draw(st.integers(1, 4))):
            self.joined += 1
            host = data.draw(st.sampled_from(sorted(HARDWARE)))
            cores, uuids = HARDWARE[host]
            cpus = some(data.draw(st.sampled_from(PARTS)), list(range(cores)))
            turn = data.draw(st.integers(0, max(0, len(uuids) - 1)))
            seen = uuids[turn:] + uuids[:turn]
            seen = seen[: data.draw(st.sampled_from([len(uuids), len(uuids), 1, 2, 0]))]
            limit = data.draw(st.sampled_from([None, None, 2.5]))
            pod = data.draw(st.sampled_from(["", "", "-pod"]))
            group = data.draw(st.sampled_from(["", "", "another"]))
            new[f"agent {self.joined}"] = self.machine(host, cpus, seen, limit, pod, group)
        return new

    def machine(self, host, cpus, uuids, limit, pod="", group="") -> Machine:
        gpus = tuple(Gpu(f"{uuid}{pod}", "A100", None, uuid) for uuid in uuids)
        start = f"{host} start {self.starts[host]}"
        return Machine(start, host + pod, tuple(cpus), limit, gpus, None, group)

    def take(self, new: dict[str, Machine]) -> None:
        made, held = len(self.slots), self.held()
        opened = self.pools.join(new, self.busy if self.forgets else None)
        assert opened == sorted(set(opened))
        assert not self.open.intersection(opened)
        self.agents |= new
        self.open.update(opened)
        self.busy.difference_update(opened)
        assert self.pools.slots[:made] == self.slots
        self.slots = self.pools.slots
        assert set(range(made, len(self.slots))) <= set(opened)
        self.look_where()
        for worker in range(made, len(self.slots)):
            assert not self.things(worker) & {thing for other in held for thing in self.things(other)}

    def lose(self, agent: str) -> None:
        del self.agents[agent]
        ran = {worker for worker in self.open if agent in self.pools.agents(worker)}
        shut = self.pools.leave(agent)
        assert set(shut) == {worker for worker in ran if not self.pools.agents(worker)}
        self.open.difference_update(shut)
        self.busy.update(shut)

    def held(self) -> set[int]:
        """Workers whose cores and GPUs nobody else may be given."""
        return self.open | self.busy if self.forgets else set(range(len(self.slots)))

    def look_where(self) -> None:
        for worker in range(len(self.slots)):
            agents = self.pools.agents(worker)
            assert set(agents) <= set(self.agents)
            if agents:
                self.where[worker] = self.agents[agents[0]]

    def things(self, worker: int) -> set:
        slot, boot = self.slots[worker], self.where[worker].boot
        return {(boot, core) for core in slot.cpus or ()} | {gpu.uuid for gpu in slot.gpus}

    def need(self, machine: Machine) -> tuple[int, int]:
        """Cores and GPUs that a trial must have."""
        gpus = self.resource.get("num_gpus", 1 if machine.gpus else 0)
        return self.resource.get("num_cpus", 0), ceil(gpus)

    def time_for(self, machine: Machine) -> int:
        return (
            len(machine.cpus)
            if machine.cpu_limit is None
            else min(len(machine.cpus), floor(machine.cpu_limit))
        )

    def fits_alone(self, machine: Machine) -> bool:
        cores, gpus = self.need(machine)
        return cores <= self.time_for(machine) and gpus <= len(machine.gpus)

    def nothing_idle(self) -> None:
        """After the first join: what is free is less than a trial needs, wherever one could be."""
        used = {thing for worker in self.open for thing in self.things(worker)}
        for machine in self.agents.values():
            there = [worker for worker in self.open if self.where[worker].boot == machine.boot]
            if any(self.slots[worker].cpus is None for worker in there):
                continue  # who has which core cannot be seen
            cores, gpus = self.need(machine)
            free = [core for core in machine.cpus if (machine.boot, core) not in used]
            free_gpus = [gpu for gpu in machine.gpus if gpu.uuid not in used]
            idle = len(free_gpus) >= gpus if gpus else bool(free)
            assert not (idle and min(len(free), self.time_for(machine)) >= cores) or not self.fits_alone(
                machine
            )

    # What always holds

    @invariant()
    def what_is_open_is_what_was_said(self):
        if self.slots:
            assert self.pools.open == tuple(sorted(self.open))
            assert len(self.open) <= (self.workers or len(self.open))
            assert all(self.pools.agents(worker) for worker in self.open)

    @invariant()
    def no_core_is_given_twice(self):
        cores = Counter()
        asked = Counter()
        for worker in self.open:
            slot, machine = self.slots[worker], self.where[worker]
            cores.update((machine.boot, core) for core in slot.cpus or ())
            asked[machine.boot, HARDWARE[machine.boot[0]][0]] += self.resource.get("num_cpus", 0)
            asked[self.pools.agents(worker), self.time_for(machine)] += self.resource.get("num_cpus", 0)
            if "num_cpus" in self.resource:
                assert slot.threads == self.resource["num_cpus"] == len(slot.cpus or range(slot.threads))
                assert slot.cpus is not None or machine.cpu_limit is not None
        assert max(cores.values(), default=1) == 1
        assert all(number <= most for (_, most), number in asked.items())

    @invariant()
    def no_gpu_is_given_beyond_its_part(self):
        users: dict[str, list[int]] = {}
        for worker in self.open:
            for gpu in self.slots[worker].gpus:
                users.setdefault(gpu.uuid, []).append(worker)
        part = self.resource.get("num_gpus")
        for numbers in users.values():
            assert len({self.pools.agents(worker) for worker in numbers}) == 1
            if part is None and self.crowded.issuperset(numbers):
                continue
            assert len(numbers) <= (floor(1 / Fraction(str(part))) if part and part < 1 else 1)

    @invariant()
    def trials_see_what_they_are_given_and_nothing_else(self):
        for worker in self.open:
            slot = self.slots[worker]
            for agent in self.pools.agents(worker):
                machine, told = self.agents[agent], self.pools.slot(worker, agent)
                assert machine.boot == self.where[worker].boot
                assert set(slot.cpus or ()) <= set(machine.cpus)
                assert len(set(slot.gpus)) == self.need(machine)[1]
                assert [gpu.uuid for gpu in told.gpus] == [gpu.uuid for gpu in slot.gpus]
                assert set(told.gpus) <= set(machine.gpus)
                visible = ",".join(gpu.visible for gpu in told.gpus)
                unset = "" if machine.gpus or "num_gpus" in self.resource else None
                assert told.env.get("CUDA_VISIBLE_DEVICES") == (visible or unset)
                assert (told.worker, told.cpus, told.threads) == (worker, slot.cpus, slot.threads)


TestCluster = Cluster.TestCase
TestCluster.settings = settings(max_examples=150, stateful_step_count=15)
