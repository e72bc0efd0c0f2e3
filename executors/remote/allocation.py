"""The division of hosts among workers, and the differences of hosts in devices and versions."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain, count, islice
from math import ceil, floor, inf
from typing import Any, Final, TypeAlias

from hbsim.errors import ParameterError
from hbsim.executors.devices import Gpu
from hbsim.executors.slots import Slot, check_workers, make_slots, models, read_resource, with_threads

Core: TypeAlias = tuple[str, int]  # a machine's id and a core, or a part of a quota
Thing: TypeAlias = Core | str  # a core or the UUID of a GPU
SHOWN: Final = 5  # hosts that are named in a line
_WITHOUT: Final = "--num-gpus 0 has trials train without GPUs, there too"


def versions() -> dict[str, str]:
    """Return the versions of hbsim and Python, and of PyTorch where it is installed."""
    found = {"hbsim": sys.modules["hbsim"].__version__, "python": platform.python_version()}
    with suppress(importlib.metadata.PackageNotFoundError):
        found["torch"] = importlib.metadata.version("torch")
    return found


def differences(ours: Mapping[str, str], theirs: Mapping[str, str]) -> tuple[str, str]:
    """Compare a host's versions with this process's.

    Returns
    -------
    error, warning : str
        Differences that exclude a host: another hbsim, or another minor version of Python. And differences
        that may change trials' results: another version of PyTorch; builds are ignored. Empty if there are
        none.
    """
    errors, warnings = [], []
    if theirs.get("hbsim") != ours["hbsim"]:
        errors.append(_pair("hbsim", ours, theirs))
    if _minor(theirs.get("python", "")) != _minor(ours["python"]):
        errors.append(_pair("python", ours, theirs))
    torch = {_public(found["torch"]) for found in (ours, theirs) if "torch" in found}
    if "torch" in ours and ("torch" not in theirs or len(torch) > 1):
        warnings.append(_pair("torch", ours, theirs))
    return ", ".join(errors), ", ".join(warnings)


def _pair(name: str, ours: Mapping[str, str], theirs: Mapping[str, str]) -> str:
    found = f"{name} {theirs[name]}" if name in theirs else f"no {name}"
    return f"{found} instead of {ours[name]}"


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]


def _public(version: str) -> str:
    """Return a version without its build: 2.9.0+cpu and 2.9.0+cu128 are the same version."""
    return version.partition("+")[0]


@dataclass(frozen=True, slots=True)
class Machine:
    """A host's devices and versions, as an agent reports them.

    Attributes
    ----------
    host : str
        The host's name as the user wrote it.
    boot : str
        An id of the machine, new at each boot. Containers of one machine have the same.
    cpus : tuple of int
        The ids of the CPU cores that the agent may use, at least one.
    cpu_limit : float or None
        The quota of CPU time in cores, as `hbsim.executors.devices.cpu_limit` returns it.
    quota : str
        An id of the quota on its machine: the control group, or the container's name.
    gpus : tuple of Gpu
        The GPUs that the agent sees, in its order and by its names.
    gpu_problem : str or None
        Why there may be GPUs that the agent does not see.
    threads : int or None
        The number of threads with which trials should compute, if the host's user has set one.
    versions : mapping
        The versions of packages on the host.
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
        """Read an agent's ``hello``; KeyError, TypeError or ValueError if it is malformed."""
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
        """The number of cores, or the quota of CPU time if that is less; at least one."""
        limit = len(self.cpus) if self.cpu_limit is None else floor(self.cpu_limit)
        return max(1, min(len(self.cpus), limit))

    @property
    def bound(self) -> bool:
        """Whether trials can be bound to cores: not under a quota, as other containers use the same cores."""
        return self.most == len(self.cpus)


class WorkerAllocator:
    """The division of hosts, which come and go, among workers.

    No two workers have the same core or GPU, whichever agents they belong to. There are two exceptions: parts
    of a GPU that the user asked for, and cores or GPUs that are fewer than the workers if the user gave no
    number of them. Agents that see the same machine share it: those that come at the same time take turns, a
    later one gets what is left. When an agent is removed, its cores and GPUs are free for other agents.

    Whether trials use GPUs is decided at the first division, for the whole study: they do if `num_gpus` asks
    for some, or if it says nothing and a host has one. Then a host without GPUs gets no trials.

    Parameters
    ----------
    workers : int or None
        The largest number of workers over all hosts, which get them in turns. None: as many as fit. If more
        are wanted than fit at the first division, and `resource` allows it, they share cores and GPUs.
    resource : mapping or None
        The need of a trial: see `hbsim.executors.slots.make_slots`.

    Attributes
    ----------
    candidates : set of str
        Agents that `divide` may give more workers.
    begun : bool
        Whether the first division has decided if trials use GPUs.

    Raises
    ------
    ParameterError
        A value is impossible.
    """

    def __init__(self, workers: int | None, resource: Mapping[str, object] | None) -> None:
        check_workers(workers)
        self._most = inf if workers is None else workers
        self._given, self._need = resource, read_resource(resource)
        self._crowd: float | None = None  # workers of a host for each that fits
        self._machines: dict[str, Machine] = {}
        self.candidates: set[str] = set()
        self.begun = False
        self._taken: set[Thing] = set()
        self._things: dict[str, set[Thing]] = {}  # cores and GPUs, by agent
        self._workers: dict[int, tuple[str, Slot]] = {}  # by worker: its agent and slot

    def slot(self, worker: int) -> Slot:
        """Return a worker's slot."""
        return self._workers[worker][1]

    def agent(self, worker: int) -> str | None:
        """Return a worker's agent; None if there is no such worker now."""
        return self._workers.get(worker, (None,))[0]

    def workers(self, agent: str | None = None) -> list[int]:
        """Return the numbers of all workers, or of an agent's workers, in order."""
        return sorted(number for number, (owner, _) in self._workers.items() if agent in (None, owner))

    def shortage(self) -> str:
        """Return a line if there are fewer workers than the user asked for, else an empty text."""
        if self._most in (inf, len(self._workers)):
            return ""
        hosts = len({machine.host for machine in self._machines.values()})
        those = "the host that there is" if hosts == 1 else f"the {hosts} hosts that there are"
        return f"workers={self._most}: {len(self._workers)} fit on {those} now; more start as hosts come"

    # Agents

    def begin(self, machines: Sequence[Machine]) -> None:
        """Decide whether trials use GPUs, by the hosts that are ready when the study begins.

        Raises
        ------
        ParameterError
            No host satisfies the need of a trial.
        """
        if self._need.gpus is None:
            found = any(machine.gpus or machine.gpu_problem for machine in machines)
            self._need = replace(self._need, gpus=1 if found else 0)
        largest = max(machines, key=lambda one: (len(one.gpus), bool(one.gpu_problem), one.most))
        if all(self.refusal(machine) for machine in machines) and (error := self.refusal(largest)):
            if rule := self._gpu_problem(largest):
                error = ParameterError("resource", self._given, f"{largest.host}: {rule}")
            raise error
        self.begun = True

    def refusal(self, machine: Machine) -> ParameterError | None:
        """Return why a host can get no trials; None if it can. Only after `begin`."""
        if rule := self._gpu_problem(machine):
            return ParameterError("resource", self._given, rule)
        try:
            self._make(None, machine, machine.cpus, [gpu.uuid for gpu in machine.gpus])
        except ParameterError as error:
            return error
        return None

    def _gpu_problem(self, machine: Machine) -> str:
        """Return the problem with a host's GPUs; empty if there is none."""
        asked = "num_gpus" in (self._given or {})
        if machine.gpu_problem and (self._need.gpus or not asked):
            return f"{machine.gpu_problem}; {_WITHOUT}"
        if self._need.gpus and not machine.gpus and not asked:
            return f"it has no GPU, and other hosts have; {_WITHOUT}"
        return ""

    def add(self, agent: str, machine: Machine) -> None:
        """Add an agent; `divide` gives it workers."""
        self._machines[agent] = machine
        self._things[agent] = set()
        self.candidates.add(agent)

    def remove(self, agent: str) -> None:
        """Remove an agent without jobs: its cores and GPUs are free for other agents."""
        if self._machines.pop(agent, None) is not None:
            self._taken.difference_update(self._things.pop(agent))
            for worker in self.workers(agent):
                del self._workers[worker]
            self.candidates = set(self._machines)

    def divide(self, able: Iterable[str]) -> list[int]:
        """Give workers to those of the agents `able` that may get more; return the new workers, in order.

        In each turn a worker gets the cores and GPUs that a trial needs; if the user gave no number of cores,
        one while any are free. So no two workers share a core or GPU before as many as fit have their own.
        """
        left = self._most - len(self._workers)
        shares = self._shares(able) if left > 0 else []
        self.candidates.difference_update(able)
        turns = deque(shares)
        while turns and left:
            share = turns.popleft()
            if self._serve(share):
                left -= 1
                turns.append(share)
        shares = [share for share in shares if share.count]
        if shares and self._crowd is None:  # the first division: all wanted workers, if they may share
            fits = sum(share.count for share in shares)
            self._fill(shares, 0 if self._most == inf else left, inf)
            self._crowd = ceil(sum(share.count for share in shares) / fits)
        elif shares:
            self._fill(shares, left, self._crowd or 1)
        rest = shares if self._need.cpus is None else []
        while rest:  # give out the cores that are left
            rest = [one for one in rest if self._take(one, one.count - len(one.cores) % one.count)]
        free = (number for number in count() if number not in self._workers)
        return [worker for share in shares for worker in self._enter(share, free)]

    def swap(self, worker: int, other: int) -> None:
        """Exchange the numbers of two workers, the second of which need not exist."""
        had = {other: self._workers.pop(worker), worker: self._workers.pop(other, None)}
        for number, one in had.items():
            if one is not None:
                self._workers[number] = one[0], replace(one[1], worker=number)

    # Steps of a division

    def _shares(self, agents: Iterable[str]) -> list[_Share]:
        """Return agents in the order of their turns: a machine's second agent after the first of others."""
        nth: Counter[str] = Counter()
        ranked = []
        for agent in sorted(agents, key=lambda one: _rank(one, self._machines[one])):
            boot = self._machines[agent].boot
            ranked.append((nth[boot], agent))
            nth[boot] += 1
        shares = []
        for turn, agent in sorted(ranked, key=lambda pair: pair[0]):
            machine = self._machines[agent]
            # Agents of one machine begin at different cores, so that each gets adjacent ones.
            begin = turn / nth[machine.boot]
            cores = quota = [(machine.boot, core) for core in sorted(machine.cpus)]
            if not machine.bound:
                quota = [(f"{machine.boot} {machine.quota}", part) for part in range(machine.most)]
            pairs = zip(self._free(cores, begin), self._free(quota, begin), strict=False)
            gpus = self._free([gpu.uuid for gpu in machine.gpus], begin)
            shares.append(_Share(agent, machine, pairs, gpus))
        return shares

    def _free(self, things: Sequence[Any], begin: float) -> Iterator[Any]:
        """Yield the free cores or GPUs, beginning at a fraction `begin` of their order."""
        first = int(len(things) * begin)
        return (thing for thing in (*things[first:], *things[:first]) if thing not in self._taken)

    def _serve(self, share: _Share) -> bool:
        """Give an agent a worker with free cores and GPUs for a trial; return whether there are enough."""
        need, cores = self._need.gpus or 0, self._need.cpus or 1
        gpus = list(islice(share.free_gpus, need))
        new = need > 0 and len(gpus) == need
        if need and not (new or self._has_part(share)):
            return False
        # For the sake of a GPU a trial may share cores.
        if not self._take(share, cores) and (self._need.cpus or not new):
            return False
        if new:
            share.gpus += gpus
            self._hold(share, gpus)
        share.count += 1
        return True

    def _has_part(self, share: _Share) -> bool:
        """Return whether one of the agent's GPUs has a part left."""
        sharing = self._need.sharing
        return sharing > 1 and share.count < sharing * len(share.gpus)

    def _take(self, share: _Share, number: int) -> bool:
        """Give an agent a number of cores, if that many are free; return whether they are."""
        found = list(islice(share.free_cores, number))
        if len(found) == number:
            share.cores += [core for core, _ in found]
            self._hold(share, chain.from_iterable(found))
        return len(found) == number

    def _hold(self, share: _Share, things: Iterable[Thing]) -> None:
        held = set(things)
        self._taken |= held
        self._things[share.agent] |= held

    def _fill(self, shares: Sequence[_Share], more: float, crowd: float) -> None:
        """Add workers that share cores and GPUs for which the user gave no number, most where most fit."""
        fits = {share.agent: share.count for share in shares}
        while more > 0 and shares:
            share = min(shares, key=lambda one: (1 + one.count) / fits[one.agent])
            alone = self._need.gpus and "num_gpus" in (self._given or {}) and not self._has_part(share)
            full = (1 + share.count) / fits[share.agent] > crowd
            if full or alone or not self._take(share, self._need.cpus or 0):
                shares = [one for one in shares if one is not share]
            else:
                share.count += 1
                more -= 1

    def _enter(self, share: _Share, free: Iterator[int]) -> list[int]:
        """Make workers of an agent's share, with the next `free` numbers."""
        machine = share.machine
        cores = [core for _, core in share.cores]
        slots = self._make(
            share.count, replace(machine, cpu_limit=None), cores or machine.cpus[:1], share.gpus
        )
        threads = machine.threads if self._need.cpus is None else None
        numbers = list(islice(free, share.count))
        for number, slot in zip(numbers, slots, strict=True):
            cpus = slot.cpus if cores and machine.bound else None
            one = replace(slot, worker=number, cpus=cpus)
            self._workers[number] = share.agent, with_threads(one, threads) if threads else one
        return numbers

    def _make(
        self, workers: int | None, machine: Machine, cores: Sequence[int], gpus: Iterable[str]
    ) -> list[Slot]:
        resource = self._given
        if not self._need.gpus and machine.gpus:  # the study began without GPUs
            resource = {**(resource or {}), "num_gpus": 0}
        own = [gpu for gpu in machine.gpus if gpu.uuid in gpus]
        return make_slots(workers, resource, cores, own, machine.cpu_limit, machine.host)


@dataclass(slots=True, eq=False)
class _Share:
    """An agent's share in one division: a number of workers, cores and the UUIDs of GPUs."""

    agent: str
    machine: Machine
    free_cores: Iterator[tuple[Core, Thing]]  # each with a part of the quota
    free_gpus: Iterator[str]
    count: int = 0
    cores: list[Core] = field(default_factory=list)
    gpus: list[str] = field(default_factory=list)


def differences_of(machines: Sequence[Machine]) -> str:
    """Return a line on how hosts differ in GPUs, cores and versions; empty if they do not."""
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
    """Return the names of hosts as text, each once: ``"a, b, c, d, e and 59 more"``."""
    names = list(dict.fromkeys(hosts))
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _rank(agent: str, machine: Machine) -> tuple[object, ...]:
    """Return a sort key of an agent by its host, so that workers' numbers do not depend on timing."""
    return machine.host, machine.boot, [gpu.visible for gpu in machine.gpus], machine.cpus, agent
