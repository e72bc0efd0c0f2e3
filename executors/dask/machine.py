"""What an agent sees of its machine, and the agents that see the same: a pool."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import floor
from typing import TypeAlias

from hbsim.executors.dask.shares import Share, View
from hbsim.executors.devices import Gpu
from hbsim.executors.slots import Slot, make_slots, with_threads

__all__ = ["Machine", "Pool", "Thing", "find_pool"]

Thing: TypeAlias = tuple[str, int] | str  # a core of a machine, or the UUID of a GPU


@dataclass(frozen=True, slots=True)
class Machine:
    """What an agent sees of the machine that it runs on.

    Attributes
    ----------
    boot : str
        Which machine it is, since when it runs. Containers of one machine have the same.
    host : str
        Its name, or that of the container.
    cpus : tuple of int
        The ids of the CPU cores that the agent may use, at least one.
    cpu_limit : float or None
        How many cores' worth of time a quota leaves it, as of `hbsim.executors.devices.cpu_limit`.
    gpus : tuple of Gpu
        The GPUs that it sees, in its order and by its names.
    threads : int or None
        How many threads its user wants trials to compute with, if anything was said.
    group : str
        Which control group has the quota, as of `hbsim.executors.devices.cpu_group`.
    """

    boot: str
    host: str
    cpus: tuple[int, ...]
    cpu_limit: float | None
    gpus: tuple[Gpu, ...]
    threads: int | None
    group: str = ""

    @property
    def quota(self) -> tuple[str, str] | None:
        """Whose time it is, where a quota leaves less than the cores; None where it is the machine's."""
        return None if self.most == len(self.cpus) else (self.host, self.group)

    @property
    def sight(self) -> tuple[frozenset[int], int, frozenset[str]]:
        """The cores, how many of them there is time for, and the GPUs, whatever their order."""
        return frozenset(self.cpus), self.most, frozenset(gpu.uuid for gpu in self.gpus)

    @property
    def most(self) -> int:
        """How many cores there is time for, at least one."""
        quota = len(self.cpus) if self.cpu_limit is None else floor(self.cpu_limit)
        return max(1, min(len(self.cpus), quota))


@dataclass(slots=True)
class Pool:
    """The agents of one machine that see the same of it, and the workers that any of them can run.

    Attributes
    ----------
    machine : Machine
        As the agent that came first sees it, or came back first.
    agents : dict of str to Machine
        Those that are there.
    numbers : list of int
        Of its workers.
    cores : tuple of int
        What its workers have, all together.
    sight : tuple
        What all its agents see alike, of `Machine.sight`.
    gpus : frozenset of str
        The UUIDs of those that its agents see.
    """

    machine: Machine
    agents: dict[str, Machine] = field(default_factory=dict)
    numbers: list[int] = field(default_factory=list)
    cores: tuple[int, ...] = ()
    sight: tuple[object, ...] = field(init=False)
    gpus: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self.sight = self.machine.sight
        self.gpus = self.machine.sight[-1]

    def enter(self, agent: str, machine: Machine) -> None:
        """Take an agent in."""
        if not self.agents:
            self.machine = machine
        self.agents[agent] = machine

    def view(self, taken: Mapping[Thing, object]) -> View:
        """Return what is free of what the agents see."""
        one = self.machine
        cores = tuple(core for core in sorted(one.cpus) if (one.boot, core) not in taken)
        gpus = tuple(gpu.uuid for gpu in one.gpus if gpu.uuid not in taken)
        return View(one.boot, cores, one.most, gpus, not one.gpus)

    def make(self, share: Share, resource: Mapping[str, object] | None, first: int) -> list[Slot]:
        """Make the pool's workers of what it was dealt, numbered from `first`."""
        one, self.cores = self.machine, share.cores
        gpus = [gpu for gpu in one.gpus if gpu.uuid in share.gpus]
        slots = make_slots(share.count, resource, share.cores or one.cpus[:1], gpus)
        self.numbers = list(range(first, first + share.count))
        # Under a quota the cores that these would be bound to are also those of others; see make_slots.
        if not share.cores or one.most < len(one.cpus):
            slots = [replace(slot, cpus=None) for slot in slots]
        if one.threads and "num_cpus" not in (resource or {}):
            slots = [with_threads(slot, one.threads) for slot in slots]
        return [replace(slot, worker=first + slot.worker) for slot in slots]

    def holds(self, slot: Slot) -> list[Thing]:
        """Return what no other pool's worker may have while one of this pool has `slot`."""
        cores = self.cores if slot.cpus is None else slot.cpus
        return [*((self.machine.boot, core) for core in cores), *(gpu.uuid for gpu in slot.gpus)]


def find_pool(pools: Iterable[Pool], machine: Machine) -> Pool | None:
    """Return the pool that an agent there belongs to: its machine's, or one that waits for such an agent.

    Containers, pods and jobs of one machine that see the same cores are one pool if nothing limits their
    time: then any of them can run a trial on any of these cores, and two pools would have to halve them. If
    they have quotas, each quota is a pool: the time of one is nothing to the other, though the cores are the
    same. A quota is known by its control group, for pods with ``hostNetwork`` and containers with the host's
    network have the machine's name; and by that name, where groups are unknown. Agents in one group share
    its quota, and are one pool.
    """
    sight = machine.sight
    alike = [pool for pool in pools if pool.sight == sight]
    there = [pool for pool in alike if pool.machine.boot == machine.boot]
    same = [pool for pool in there if pool.machine.host == machine.host]
    for pool in same:
        if pool.machine.quota == machine.quota:
            return pool
    for pool in (*same, *there):
        if not pool.agents or machine.quota is None:  # it was started anew; or it has no quota
            return pool
    for pool in alike:
        if not pool.agents and (pool.machine.host == machine.host or machine.gpus):  # it was started anew
            return pool
    return None
