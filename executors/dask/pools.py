"""The workers that a cluster's hosts make up: which of them has which cores and GPUs."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from hbsim.executors.dask.machine import Machine, Pool, Thing, find_pool
from hbsim.executors.dask.shares import deal
from hbsim.executors.resource import read_resource
from hbsim.executors.slots import Slot, check_workers, make_slots, seen_as

__all__ = ["Machine", "Pools"]


class Pools:
    """Divides hosts that come and go among workers.

    A pool is the agents that see the same cores and GPUs of the same machine, under the same quota; each of
    its workers can run on any of them. Its workers are made once, and numbered over the whole cluster; what a
    number has never changes. When its agents are all gone they are shut, and opened again when an agent comes
    that sees the same: of this machine, also under another name; or of one of this name or with these GPUs,
    which was started anew.

    No two workers have the same core or GPU, whichever pools they are in. Exceptions are parts of a GPU that
    were asked for, and what nobody asked for a number of and is less than the workers. What several pools
    see is divided among those that join at the same time; those that come later get what is free. A pool
    that sees GPUs of which none is free gets no workers, unless ``num_gpus`` is 0. One that gets GPUs but
    sees no free core has its workers share the cores of others, unless ``num_cpus`` was asked for.

    Hosts may differ. Without ``num_gpus``, those without GPUs get workers, too.

    Parameters
    ----------
    workers : int or None
        The most workers that are open at once, over all pools; dealt to them in turns. None: as many as fit.
        If more are wanted than fit the hosts of the first join, and `resource` does not forbid it, they share
        what there is there, as with `make_slots`.
    resource : mapping or None
        What a trial needs: see `make_slots`.

    Raises
    ------
    ParameterError
        A value that cannot be.
    """

    def __init__(self, workers: int | None, resource: Mapping[str, object] | None) -> None:
        check_workers(workers)
        self._workers, self._resource, self._need = workers, resource, read_resource(resource)
        self._pools: list[Pool] = []
        self._by_agent: dict[str, Pool] = {}
        self._slots: list[Slot] = []
        self._by_worker: list[Pool] = []
        self._open: set[int] = set()
        self._begun = False

    @property
    def open(self) -> tuple[int, ...]:
        """The numbers of the workers that can be given jobs."""
        return tuple(sorted(self._open))

    @property
    def wanting(self) -> str:
        """Say that fewer workers are open than were asked for; empty if that is not so."""
        if not self._left():
            return ""
        hosts = len({pool.machine.host for pool in self._pools})
        where = "the host that there is" if hosts == 1 else f"the {hosts} hosts that there are"
        return f"workers={self._workers}: {len(self._open)} fit on {where} now; more start as hosts come"

    @property
    def slots(self) -> tuple[Slot, ...]:
        """All workers that were ever made, by number."""
        return tuple(self._slots)

    def slot(self, worker: int, agent: str | None = None) -> Slot:
        """Return what a worker has, with its GPUs by the names that `agent`, one of its agents, sees."""
        slot = self._slots[worker]
        return slot if agent is None else seen_as(slot, self._by_worker[worker].agents[agent].gpus)

    def host(self, worker: int) -> str:
        """Return the name of a worker's machine."""
        return self._by_worker[worker].machine.host

    def agents(self, worker: int) -> tuple[str, ...]:
        """Return the agents that can run a worker's jobs now."""
        return tuple(self._by_worker[worker].agents)

    def join(self, agents: Mapping[str, Machine], busy: Collection[int] | None = None) -> list[int]:
        """Take agents in; without any, see what those that are there can have since others have left.

        Parameters
        ----------
        agents : mapping of str to Machine
            By their names. Those that are in already stay as they are.
        busy : collection of int, optional
            Workers whose jobs may still run, though they are shut: what these have is not given to others,
            what other shut ones have is. None: all that are shut keep it for when their machine is back.

        Returns
        -------
        list of int
            The workers that are open now and were not before, in order.

        Raises
        ------
        ParameterError
            At the first join: no host has what a trial needs.
        """
        before = set(self._open)
        for agent, machine in sorted(agents.items(), key=_rank):
            if agent not in self._by_agent:
                self._enter(agent, machine)
        if self._pools and self._left() != 0:
            self._reopen(busy)
            self._make(busy)
            self._begun = True
        return sorted(self._open - before)

    def leave(self, agent: str) -> list[int]:
        """Let an agent go.

        Returns
        -------
        list of int
            The workers that were open and are shut by it, in order.
        """
        pool = self._by_agent.pop(agent, None)
        if pool is None:
            return []
        del pool.agents[agent]
        if pool.agents:
            return []
        if not pool.numbers:
            self._pools.remove(pool)
        shut = sorted(self._open.intersection(pool.numbers))
        self._open.difference_update(shut)
        return shut

    def _enter(self, agent: str, machine: Machine) -> None:
        pool = find_pool(self._pools, machine)
        if pool is None:
            pool = Pool(machine)
            self._pools.append(pool)
        pool.enter(agent, machine)
        self._by_agent[agent] = pool

    def _left(self) -> int | None:
        """Return how many workers more may be open; None: any number."""
        return None if self._workers is None else self._workers - len(self._open)

    def _reopen(self, busy: Collection[int] | None) -> None:
        """Open workers that were shut and have agents, while there may be more."""
        shut = [n for n, pool in enumerate(self._by_worker) if pool.agents and n not in self._open]
        owners = self._owners([self._by_worker[worker] for worker in shut], busy)
        for worker in shut:
            pool = self._by_worker[worker]
            things = pool.holds(self._slots[worker])
            if self._left() != 0 and all(owners.get(thing, pool) is pool for thing in things):
                self._open.add(worker)
                owners.update(dict.fromkeys(things, pool))

    def _make(self, busy: Collection[int] | None) -> None:
        """Make workers for pools that have none.

        Only the first ones are more than fit. Later a host may be gone for a moment, and one that is small
        would be given all of its workers.
        """
        pools = [pool for pool in self._pools if pool.agents and not pool.numbers]
        if not pools:
            return
        taken = self._owners(pools, busy)
        views = [pool.view(taken) for pool in pools]
        shares = deal(views, self._need, self._left(), crowd=not self._begun)
        if not (self._begun or any(share.count for share in shares)):
            self._refuse()
        for pool, share in zip(pools, shares, strict=True):
            if share.count:
                slots = pool.make(share, self._resource, len(self._slots))
                self._slots += slots
                self._by_worker += [pool] * len(slots)
                self._open.update(pool.numbers)

    def _refuse(self) -> None:
        """Say what the largest host lacks."""
        machines = (pool.machine for pool in self._pools)
        largest = max(machines, key=lambda one: (len(one.gpus), one.most))
        make_slots(None, self._resource, largest.cpus, largest.gpus, largest.cpu_limit, largest.host)

    def _owners(self, seen_by: Collection[Pool], busy: Collection[int] | None) -> dict[Thing, Pool]:
        """Return whose the cores and GPUs are that are not to be given away, of those that pools see."""
        boots = {pool.machine.boot for pool in seen_by}
        gpus = set().union(*(pool.gpus for pool in seen_by))
        near = [pool for pool in self._pools if pool.machine.boot in boots or not gpus.isdisjoint(pool.gpus)]
        numbers = [worker for pool in near for worker in pool.numbers]
        held = numbers if busy is None else [worker for worker in numbers if worker in busy]
        owners: dict[Thing, Pool] = {}
        for worker in [*held, *self._open.intersection(numbers)]:  # what is open counts most
            pool = self._by_worker[worker]
            owners.update(dict.fromkeys(pool.holds(self._slots[worker]), pool))
        return owners


def _rank(entry: tuple[str, Machine]) -> tuple[object, ...]:
    """Order agents by their hosts and what they see, so that numbers do not hang on who came first."""
    agent, machine = entry
    return machine.host, machine.boot, [gpu.visible for gpu in machine.gpus], machine.cpus, agent
