"""The division of hosts among workers: which worker has which CPU cores and GPUs of which host."""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
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
    hungry : set of str
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
        self.hungry: set[str] = set()
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
            about = "" if largest.host in error.rule else f"{largest.host}: "
            raise ParameterError(error.field, error.value, f"{about}{error.rule}")

    def refusal(self, machine: Machine) -> ParameterError | None:
        """Return why a host gets no trials at all; None if it may get some. Only after `begin`."""
        given, rule = self._given, ""
        asked = "num_gpus" in (given or {})
        if machine.gpu_problem and not (asked and not self._need.gpus):
            rule = f"{machine.gpu_problem}; {_WITHOUT}"
        elif self._need.gpus and not machine.gpus and not asked:
            rule = f"it has no GPU, and other hosts have; {_WITHOUT}"
        if rule:
            return ParameterError("resource", given, rule)
        try:
            self._make(None, machine, machine.cpus, machine.gpus)
        except ParameterError as error:
            return error
        return None

    def add(self, agent: str, machine: Machine) -> None:
        """Take an agent in; `divide` gives it workers."""
        self._machines[agent] = machine
        self.hungry.add(agent)
        for thing in chain(*_things(machine)):
            self._seen_by.setdefault(thing, set()).add(agent)

    def remove(self, agent: str) -> list[int]:
        """Let an agent go, on which nothing runs any more; return the workers that it had."""
        machine = self._machines.pop(agent, None)
        if machine is None:
            return []
        self.hungry.discard(agent)
        for thing in chain(*_things(machine)):
            viewers = self._seen_by[thing]
            viewers.discard(agent)
            if not viewers:
                del self._seen_by[thing]
            if self._held.get(thing) == agent:
                del self._held[thing]
                if not (machine.bound or isinstance(thing, str)):
                    self._quotas[machine.boot, machine.quota] -= 1
                self.hungry |= viewers
        workers = self._workers_of.pop(agent, [])
        for worker in workers:
            del self._slots[worker], self._agents[worker]
        if workers and self._most != inf:
            self.hungry |= self._machines.keys()
        return workers

    def divide(self, able: Iterable[str]) -> list[int]:
        """Give workers to those of the agents `able` that may have more; return the new workers, in order.

        A turn gives a trial the cores and GPUs that it needs; where nothing was said of cores one, while
        there are any. So as many trials as fit come before any two share a core or GPU.
        """
        room = self._most - len(self._slots)
        agents = list(able) if room > 0 else []
        hands = self._hands(agents)
        self.hungry.difference_update(agents)
        turns, left = deque(hands), room
        while turns and left:
            hand = turns.popleft()
            if self._serve(hand):
                left -= 1
                turns.append(hand)
        fits = sum(hand.count for hand in hands)
        crowd, self._crowd = self._crowd, self._crowd or 1.0
        if fits and crowd is None and room != inf:
            self._fill(hands, left, inf)
            self._crowd = ceil(sum(hand.count for hand in hands) / fits)
        elif fits and self._crowd > 1:
            self._fill([hand for hand in hands if not self._workers_of.get(hand.agent)], left, self._crowd)
        if self._need.cpus is None:
            self._deal_rest(hands)
        return sorted(
            worker for hand in sorted(hands, key=lambda one: one.rank) for worker in self._enter(hand)
        )

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

    def _hands(self, agents: Iterable[str]) -> list[_Hand]:
        """Return agents in the order of their turns: second ones of a machine after the first of others."""
        hands: list[_Hand] = []
        nth: Counter[str] = Counter()
        for agent in sorted(agents, key=lambda one: _rank(one, self._machines[one])):
            machine = self._machines[agent]
            hands.append(_Hand(agent, machine, (nth[machine.boot], len(hands))))
            nth[machine.boot] += 1
        for hand in hands:
            # Each begins at a place of its own, so that those that see the same get cores side by side.
            turn = hand.rank[0] / nth[hand.machine.boot]
            for kind, things in enumerate(_things(hand.machine)):
                begin = int(len(things) * turn)
                free = [thing for thing in (*things[begin:], *things[:begin]) if thing not in self._held]
                hand.free[kind] = deque(sorted(free, key=lambda thing: len(self._seen_by[thing])))
        return sorted(hands, key=lambda hand: hand.rank)

    def _serve(self, hand: _Hand) -> bool:
        """Give an agent a worker with what a trial needs, if that is there for it alone; whether it is."""
        gpus, cores = self._need.gpus or 0, self._need.cpus or 1
        new = bool(gpus) and self._has(hand, _GPUS, gpus)
        if gpus and not new and not self._has_part(hand):
            return False
        alone = self._has(hand, _CORES, cores)
        if not alone and (self._need.cpus or not new):  # a GPU is worth a trial on cores that are shared
            return False
        if alone:
            self._take(hand, _CORES, cores)
        if new:
            self._take(hand, _GPUS, gpus)
        hand.count += 1
        return True

    def _fill(self, hands: Iterable[_Hand], more: float, crowd: float) -> None:
        """Have workers share what nobody said how many of it they need; those with most room take most."""
        fits = {hand.agent: hand.count for hand in hands if hand.count}
        loads = [((1 + one.count) / fits[one.agent], one.rank, one) for one in hands if one.count]
        heapq.heapify(loads)
        while more > 0 and loads:
            load, rank, hand = heapq.heappop(loads)
            if load > crowd or (self._need.cpus and not self._has(hand, _CORES, self._need.cpus)):
                continue
            if self._need.gpus and not (self._shares_gpus or self._has_part(hand)):
                continue
            if self._need.cpus:
                self._take(hand, _CORES, self._need.cpus)
            hand.count += 1
            more -= 1
            heapq.heappush(loads, ((1 + hand.count) / fits[hand.agent], rank, hand))

    def _deal_rest(self, hands: Iterable[_Hand]) -> None:
        """Deal out the cores that are left, to those whose workers have the fewest."""

        def load(hand: _Hand) -> tuple[float, tuple[int, int], _Hand]:
            return len(hand.taken[_CORES]) / hand.count, hand.rank, hand

        least = [load(hand) for hand in hands if hand.count]
        heapq.heapify(least)
        while least:
            hand = heapq.heappop(least)[-1]
            if self._has(hand, _CORES, 1):
                self._take(hand, _CORES, 1)
                heapq.heappush(least, load(hand))

    def _has(self, hand: _Hand, kind: int, number: int) -> bool:
        """Whether so many things are free for an agent."""
        free, machine = hand.free[kind], hand.machine
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

    def _has_part(self, hand: _Hand) -> bool:
        """Whether a part of a GPU that an agent has is free."""
        sharing = self._need.sharing
        return sharing > 1 and hand.count < sharing * len(hand.taken[_GPUS])

    def _take(self, hand: _Hand, kind: int, number: int) -> None:
        """Take so many things; they must be there."""
        for _ in range(number):
            thing = hand.free[kind].popleft()
            self._held[thing] = hand.agent
            hand.taken[kind].append(thing)
        if kind == _CORES and not hand.machine.bound:
            self._quotas[hand.machine.boot, hand.machine.quota] += number

    def _enter(self, hand: _Hand) -> list[int]:
        """Make the workers of what an agent was given, by the lowest numbers that are free."""
        if not hand.count:
            return []
        machine = hand.machine
        cores = sorted(thing[1] for thing in hand.taken[_CORES] if not isinstance(thing, str))
        gpus = [gpu for gpu in machine.gpus if gpu.uuid in hand.taken[_GPUS]]
        slots = self._make(hand.count, replace(machine, cpu_limit=None), cores or machine.cpus[:1], gpus)
        free = (number for number in count() if number not in self._slots)
        numbers = [next(free) for _ in slots]
        for number, slot in zip(numbers, slots, strict=True):
            unbound = not cores or not machine.bound
            one = replace(slot, worker=number, cpus=None if unbound else slot.cpus)
            threads = machine.threads if self._need.cpus is None else None
            self._slots[number] = with_threads(one, threads) if threads else one
            self._agents[number] = hand.agent
        self._workers_of.setdefault(hand.agent, []).extend(numbers)
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
class _Hand:
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
