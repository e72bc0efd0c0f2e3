"""The division of hosts among workers: which worker has which CPU cores and GPUs of which host."""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, count
from math import ceil, floor, inf
from typing import Any, Final, TypeAlias

from hbsim.errors import ParameterError
from hbsim.executors.devices import Gpu
from hbsim.executors.resource import read_resource
from hbsim.executors.slots import Slot, check_workers, make_slots, models, with_threads

__all__ = ["Machine", "Machines", "differences_of", "named"]

Thing: TypeAlias = tuple[str, int] | str  # a core of a machine, or the UUID of a GPU

SHOWN: Final = 5  # hosts that are named in a line
_WITHOUT: Final = "--num-gpus 0 has trials train without GPUs, there too"


@dataclass(frozen=True, slots=True)
class Machine:
    """What an agent sees of its host.

    Attributes
    ----------
    host : str
        The host as the user calls it.
    boot : str
        Which machine it is, since when it runs. Containers of one machine have the same.
    cpus : tuple of int
        The ids of the CPU cores that the agent may use, at least one.
    cpu_limit : float or None
        How many cores' worth of time a quota leaves it, as of `hbsim.executors.devices.cpu_limit`.
    quota : str
        What tells one quota of a machine from another: the control group, or the container's name.
    gpus : tuple of Gpu
        The GPUs that it sees, in its order and by its names.
    gpu_problem : str or None
        Why there may be GPUs that it does not see.
    threads : int or None
        How many threads its user wants trials to compute with, if anything was said.
    versions : mapping
        Of the packages there.
    """

    host: str
    boot: str
    cpus: tuple[int, ...]
    cpu_limit: float | None = None
    quota: str = ""
    gpus: tuple[Gpu, ...] = ()
    gpu_problem: str | None = None
    threads: int | None = None
    versions: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_hello(cls, host: str, hello: Mapping[str, Any]) -> Machine:
        """Read what an agent said of its host; KeyError, TypeError or ValueError if it makes no sense."""
        cpus = tuple(int(core) for core in hello["cpus"])
        if not cpus:
            raise ValueError("no CPU cores")
        limit = None if hello["cpu_limit"] is None else float(hello["cpu_limit"])
        gpus = tuple(Gpu(**gpu) for gpu in hello["gpus"])
        quota = str(hello.get("group") or hello["name"])
        more = (hello.get("gpu_problem"), hello["threads"], dict(hello["versions"]))
        return cls(host, str(hello["boot"]), cpus, limit, quota, gpus, *more)

    @property
    def most(self) -> int:
        """How many cores there is time for, at least one."""
        limit = len(self.cpus) if self.cpu_limit is None else floor(self.cpu_limit)
        return max(1, min(len(self.cpus), limit))

    @property
    def bound(self) -> bool:
        """Whether trials can be bound to cores: not under a quota, for others are bound to the same ones."""
        return self.most == len(self.cpus)


class Machines:
    """Divides hosts that come and go among workers.

    No two workers have the same core or GPU, whichever agents they belong to. Exceptions are parts of a GPU
    that were asked for, and what nobody asked for a number of and is less than the workers. Agents that see
    the same machine share it: those that come at the same time in turns, a later one gets what is left. What
    an agent had is free for others once it is removed; whoever sees it gets it then.

    Whether trials use GPUs is decided at the first division, for the whole study: they do if `num_gpus` asks
    for some, or if it says nothing and a host has one. Then a host without GPUs gets no trials.

    Parameters
    ----------
    workers : int or None
        The most workers over all hosts, dealt to them in turns. None: as many as fit. If more are wanted than
        fit at the first division, and `resource` does not forbid it, they share what there is.
    resource : mapping or None
        What a trial needs: see `hbsim.executors.slots.make_slots`.

    Attributes
    ----------
    candidates : set of str
        Agents that may get more than they have: what `divide` looks at.

    Raises
    ------
    ParameterError
        A value that cannot be.
    """

    def __init__(self, workers: int | None, resource: Mapping[str, object] | None) -> None:
        check_workers(workers)
        self._most = inf if workers is None else workers
        self._given, self._need = resource, read_resource(resource)
        self._shares_gpus = self._need.gpus is None  # more workers than GPUs may share them
        self._crowd: float | None = None  # how many workers a host gets for each that fits; None: not begun
        self._machines: dict[str, Machine] = {}
        self.candidates: set[str] = set()
        self._seen_by: dict[Thing, set[str]] = {}
        self._held: dict[Thing, str] = {}
        self._quotas: Counter[tuple[str, str]] = Counter()  # cores in use of each
        self._workers_of: dict[str, list[int]] = {}
        self._agents: dict[int, str] = {}
        self._slots: dict[int, Slot] = {}

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The shares of all workers that there are now, by number."""
        return tuple(self._slots[worker] for worker in sorted(self._slots))

    @property
    def begun(self) -> bool:
        """Whether the first division is over."""
        return self._crowd is not None

    def slot(self, worker: int) -> Slot:
        """Return what a worker has."""
        return self._slots[worker]

    def agent(self, worker: int) -> str | None:
        """Return the agent that a worker belongs to; None if there is no such worker now."""
        return self._agents.get(worker)

    def workers(self, agent: str) -> Sequence[int]:
        """Return the workers that belong to an agent."""
        return self._workers_of.get(agent, ())

    def wanting(self) -> str:
        """Say that there are fewer workers than were asked for; empty if that is not so."""
        if self._most in (inf, len(self._slots)):
            return ""
        hosts = len({machine.host for machine in self._machines.values()})
        those = "the host that there is" if hosts == 1 else f"the {hosts} hosts that there are"
        return f"workers={self._most}: {len(self._slots)} fit on {those} now; more start as hosts come"

    # Agents

    def begin(self, machines: Sequence[Machine]) -> None:
        """Decide whether trials use GPUs, by the hosts that there are when the study begins.

        Raises
        ------
        ParameterError
            No host has what a trial needs.
        """
        if self._need.gpus is None:
            found = any(machine.gpus or machine.gpu_problem for machine in machines)
            self._need = replace(self._need, gpus=1 if found else 0)
        largest = max(machines, key=lambda one: (len(one.gpus), bool(one.gpu_problem), one.most))
        if all(self.refusal(machine) for machine in machines) and (error := self.refusal(largest)):
            if rule := self._gpu_problem(largest):
                error = ParameterError("resource", self._given, f"{largest.host}: {rule}")
            raise error

    def refusal(self, machine: Machine) -> ParameterError | None:
        """Return why a host gets no trials at all; None if it may get some. Only after `begin`."""
        if rule := self._gpu_problem(machine):
            return ParameterError("resource", self._given, rule)
        try:
            self._make(None, machine, machine.cpus, machine.gpus)
        except ParameterError as error:
            return error
        return None

    def _gpu_problem(self, machine: Machine) -> str:
        """Say what is wrong with the GPUs of a host; empty if nothing is."""
        asked = "num_gpus" in (self._given or {})
        if machine.gpu_problem and (self._need.gpus or not asked):
            return f"{machine.gpu_problem}; {_WITHOUT}"
        if self._need.gpus and not machine.gpus and not asked:
            return f"it has no GPU, and other hosts have; {_WITHOUT}"
        return ""

    def add(self, agent: str, machine: Machine) -> None:
        """Take an agent in; `divide` gives it workers."""
        self._machines[agent] = machine
        self.candidates.add(agent)
        for thing in chain(*_things(machine)):
            self._seen_by.setdefault(thing, set()).add(agent)

    def remove(self, agent: str) -> list[int]:
        """Let an agent go, on which nothing runs any more; return the workers that it had."""
        machine = self._machines.pop(agent, None)
        if machine is None:
            return []
        self.candidates.discard(agent)
        for thing in chain(*_things(machine)):
            viewers = self._seen_by[thing]
            viewers.discard(agent)
            if not viewers:
                del self._seen_by[thing]
            if self._held.get(thing) == agent:
                del self._held[thing]
                if not (machine.bound or isinstance(thing, str)):
                    self._quotas[machine.boot, machine.quota] -= 1
                self.candidates |= viewers
        workers = self._workers_of.pop(agent, [])
        for worker in workers:
            del self._slots[worker], self._agents[worker]
        if workers and self._most != inf:
            self.candidates |= self._machines.keys()
        return sorted(workers)

    def divide(self, able: Iterable[str]) -> list[int]:
        """Give workers to those of the agents `able` that may have more; return the new workers, in order.

        A turn gives a trial the cores and GPUs that it needs; where nothing was said of cores one, while
        there are any. So as many trials as fit come before any two share a core or GPU.
        """
        room = self._most - len(self._slots)
        agents = list(able) if room > 0 else []
        shares = self._shares(agents)
        self.candidates.difference_update(agents)
        turns, left = deque(shares), room
        while turns and left:
            share = turns.popleft()
            if self._serve(share):
                left -= 1
                turns.append(share)
        fits = sum(share.count for share in shares)
        crowd, self._crowd = self._crowd, self._crowd or 1.0
        if fits and crowd is None and room != inf:
            self._fill(shares, left, inf)
            self._crowd = ceil(sum(share.count for share in shares) / fits)
        elif fits and self._crowd > 1:
            self._fill(
                [share for share in shares if not self._workers_of.get(share.agent)], left, self._crowd
            )
        if self._need.cpus is None:
            self._deal_rest(shares)
        free = (number for number in count() if number not in self._slots)
        return [
            worker
            for share in sorted(shares, key=lambda one: one.rank)
            for worker in self._enter(share, free)
        ]

    def swap(self, worker: int, other: int) -> None:
        """Exchange the numbers of two workers, of which the second need not be there."""
        agents = [self._agents.pop(number, None) for number in (worker, other)]
        slots = [self._slots.pop(number, None) for number in (worker, other)]
        for agent, slot, number, name in zip(agents, slots, (worker, other), (other, worker), strict=True):
            if agent is not None and slot is not None:
                self._agents[name], self._slots[name] = agent, replace(slot, worker=name)
                workers = self._workers_of[agent]
                workers[workers.index(number)] = name

    # How it is done

    def _shares(self, agents: Iterable[str]) -> list[_Share]:
        """Return agents in the order of their turns: second ones of a machine after the first of others."""
        shares: list[_Share] = []
        nth: Counter[str] = Counter()
        for agent in sorted(agents, key=lambda one: _rank(one, self._machines[one])):
            machine = self._machines[agent]
            shares.append(_Share(agent, machine, (nth[machine.boot], len(shares))))
            nth[machine.boot] += 1
        for share in shares:
            # Each begins at a place of its own, so that those that see the same get cores side by side.
            turn = share.rank[0] / nth[share.machine.boot]
            for kind, things in enumerate(_things(share.machine)):
                begin = int(len(things) * turn)
                free = [thing for thing in (*things[begin:], *things[:begin]) if thing not in self._held]
                share.free[kind] = deque(sorted(free, key=lambda thing: len(self._seen_by[thing])))
        return sorted(shares, key=lambda share: share.rank)

    def _serve(self, share: _Share) -> bool:
        """Give an agent a worker with what a trial needs, if that is there for it alone; whether it is."""
        gpus, cores = self._need.gpus or 0, self._need.cpus or 1
        new = bool(gpus) and self._has(share, _GPUS, gpus)
        if gpus and not (new or self._has_part(share)):
            return False
        alone = self._has(share, _CORES, cores)
        if not alone and (self._need.cpus or not new):  # a GPU is worth a trial on cores that are shared
            return False
        if alone:
            self._take(share, _CORES, cores)
        if new:
            self._take(share, _GPUS, gpus)
        share.count += 1
        return True

    def _fill(self, shares: Iterable[_Share], more: float, crowd: float) -> None:
        """Have workers share what nobody said how many of it they need; those with most room take most."""
        fits = {share.agent: share.count for share in shares if share.count}
        loads = [((1 + one.count) / fits[one.agent], one.rank, one) for one in shares if one.count]
        heapq.heapify(loads)
        while more > 0 and loads:
            load, rank, share = heapq.heappop(loads)
            alone = self._need.gpus and not self._shares_gpus and not self._has_part(share)
            if load > crowd or alone or not self._has(share, _CORES, self._need.cpus or 0):
                continue
            if self._need.cpus:
                self._take(share, _CORES, self._need.cpus)
            share.count += 1
            more -= 1
            heapq.heappush(loads, ((1 + share.count) / fits[share.agent], rank, share))

    def _deal_rest(self, shares: Iterable[_Share]) -> None:
        """Deal out the cores that are left, to those whose workers have the fewest."""

        def load(share: _Share) -> tuple[float, tuple[int, int], _Share]:
            return len(share.taken[_CORES]) / share.count, share.rank, share

        least = [load(share) for share in shares if share.count]
        heapq.heapify(least)
        while least:
            share = heapq.heappop(least)[-1]
            if self._has(share, _CORES, 1):
                self._take(share, _CORES, 1)
                heapq.heappush(least, load(share))

    def _has_part(self, share: _Share) -> bool:
        """Whether a part of a GPU is left, of those that an agent was given."""
        sharing = self._need.sharing
        return sharing > 1 and share.count < sharing * len(share.taken[_GPUS])

    def _has(self, share: _Share, kind: int, number: int) -> bool:
        """Whether so many things are free for an agent."""
        free, machine = share.free[kind], share.machine
        used = 0 if machine.bound or kind == _GPUS else self._quotas[machine.boot, machine.quota]
        if used + number > machine.most and kind == _CORES:
            return False
        found: list[Thing] = []
        while free and len(found) < number:
            thing = free.popleft()
            if thing not in self._held:
                found.append(thing)
        free.extendleft(reversed(found))
        return len(found) == number

    def _take(self, share: _Share, kind: int, number: int) -> None:
        """Take so many things; they must be there."""
        for _ in range(number):
            thing = share.free[kind].popleft()
            self._held[thing] = share.agent
            share.taken[kind].append(thing)
        if kind == _CORES and not share.machine.bound:
            self._quotas[share.machine.boot, share.machine.quota] += number

    def _enter(self, share: _Share, free: Iterator[int]) -> list[int]:
        """Make the workers of what an agent was given, by the next numbers that are `free`."""
        if not share.count:
            return []
        machine = share.machine
        cores = sorted(thing[1] for thing in share.taken[_CORES] if not isinstance(thing, str))
        gpus = [gpu for gpu in machine.gpus if gpu.uuid in share.taken[_GPUS]]
        slots = self._make(share.count, replace(machine, cpu_limit=None), cores or machine.cpus[:1], gpus)
        numbers = [next(free) for _ in slots]
        for number, slot in zip(numbers, slots, strict=True):
            unbound = not cores or not machine.bound
            one = replace(slot, worker=number, cpus=None if unbound else slot.cpus)
            threads = machine.threads if self._need.cpus is None else None
            self._slots[number] = with_threads(one, threads) if threads else one
            self._agents[number] = share.agent
        self._workers_of.setdefault(share.agent, []).extend(numbers)
        return numbers

    def _make(
        self, workers: int | None, machine: Machine, cores: Sequence[int], gpus: Sequence[Gpu]
    ) -> list[Slot]:
        resource = self._given
        if not self._need.gpus and machine.gpus:  # the study began without: trials see none
            resource = {**(resource or {}), "num_gpus": 0}
        return make_slots(workers, resource, cores, gpus, machine.cpu_limit, machine.host)


_CORES: Final = 0
_GPUS: Final = 1


@dataclass(slots=True, eq=False)
class _Share:
    """What an agent is given in one division: ``free`` and ``taken`` are of cores and of GPUs."""

    agent: str
    machine: Machine
    rank: tuple[int, int]
    count: int = 0
    free: list[deque[Thing]] = field(default_factory=lambda: [deque(), deque()])
    taken: list[list[Thing]] = field(default_factory=lambda: [[], []])


def differences_of(machines: Sequence[Machine]) -> str:
    """Say in a line how hosts differ: in GPUs, cores and versions. Empty if they do not."""
    looks: dict[str, Callable[[Machine], str]] = {
        "GPUs": lambda one: models(one.gpus) or "none",
        "CPU cores": lambda one: str(one.most),
        "Python": lambda one: one.versions.get("python", "unknown"),
        "PyTorch": lambda one: one.versions.get("torch", "none"),
    }
    parts = []
    for name, look in looks.items():
        hosts: dict[str, list[str]] = {}
        for machine in sorted(machines, key=lambda one: one.host):
            hosts.setdefault(look(machine), []).append(machine.host)
        if len(hosts) > 1:
            parts.append(f"{name}: " + ", ".join(f"{value} ({named(who)})" for value, who in hosts.items()))
    return f"the hosts differ in {'; '.join(parts)}" if parts else ""


def named(hosts: Iterable[str]) -> str:
    """Name hosts, each once: ``"a, b, c, d, e and 59 more"``."""
    names = list(dict.fromkeys(hosts))
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _things(machine: Machine) -> tuple[list[Thing], list[Thing]]:
    """Return the cores and the GPUs of a machine."""
    return [(machine.boot, core) for core in sorted(machine.cpus)], [gpu.uuid for gpu in machine.gpus]


def _rank(agent: str, machine: Machine) -> tuple[object, ...]:
    """Order agents by their hosts and what they see, so that numbers do not hang on who came first."""
    return machine.host, machine.boot, [gpu.visible for gpu in machine.gpus], machine.cpus, agent
