"""Slots: each worker's share of a machine, in CPU cores, threads and GPUs."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from math import ceil, floor, isfinite
from numbers import Real
from typing import Final

from hbsim.errors import ParameterError, counted, nearest
from hbsim.executors.devices import Gpu

# Read by a library when it is loaded, and by the processes that a trial starts.
THREAD_VARIABLES: Final = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
_MOST_SHARING = 1_000_000
_KEYS = ("num_cpus", "num_gpus")
_CPUS_RULE = "num_cpus is a whole number, at least 1"
_GPUS_RULE = "num_gpus is 0, a whole number of GPUs, or a part of one, such as 0.5"
_VISIBLE = "CUDA_VISIBLE_DEVICES"
_MIG = "MIG-"  # begins the UUID of an instance of a GPU
_PARTS = {2: "half", 3: "a third", 4: "a quarter"}


def thread_variables(threads: int) -> dict[str, str]:
    """Return the environment variables that make libraries compute with this number of threads."""
    return dict.fromkeys(THREAD_VARIABLES, str(threads))


def limit_threads(threads: int) -> None:
    """Set the number of threads of libraries that were loaded with one thread."""
    if threads == 1:
        return
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(threads)
    try:
        import threadpoolctl
    except ImportError:
        return
    threadpoolctl.threadpool_limits(threads)


@dataclass(frozen=True, slots=True)
class Need:
    """A trial's need of CPU cores and GPUs.

    Attributes
    ----------
    given : mapping or None
        The need as the user wrote it.
    cpus, gpus : int or None
        The number of CPU cores and GPUs of a trial; None if the user did not give it.
    sharing : int
        How many trials may share a GPU.
    """

    given: Mapping[str, object] | None = None
    cpus: int | None = None
    gpus: int | None = None
    sharing: int = 1

    def settled(self, workers: int | None, there: int) -> Need:
        """Choose the GPUs of a trial if not given: one, or a part of one if there are more workers."""
        if self.gpus is not None:
            return self
        if not there:
            return replace(self, gpus=0)
        return replace(self, gpus=1, sharing=ceil((workers or 1) / there))


def read_resource(resource: Mapping[str, object] | None) -> Need:
    """Read ``{"num_cpus": 2, "num_gpus": 0.5}``; each key may be absent.

    Raises
    ------
    ParameterError
        There are other keys, or a value that is impossible on any machine.
    """
    if resource is None:
        return Need()
    if not isinstance(resource, Mapping):
        raise ParameterError("resource", resource, "is a mapping such as {'num_cpus': 2, 'num_gpus': 1}")
    for key in resource:
        if key not in _KEYS:
            rule = f"knows num_cpus and num_gpus, not {key!r}.{nearest(str(key), _KEYS)}"
            raise ParameterError("resource", resource, rule)
    cpus = _number(resource, "num_cpus", _CPUS_RULE)
    if cpus is not None and (cpus < 1 or cpus != floor(cpus)):
        raise ParameterError("resource", resource, _CPUS_RULE)
    gpus = _number(resource, "num_gpus", _GPUS_RULE)
    if gpus is not None and (gpus < 0 or (gpus > 1 and gpus != floor(gpus))):
        raise ParameterError("resource", resource, _GPUS_RULE)
    need = Need(resource, None if cpus is None else int(cpus), None if gpus is None else ceil(gpus))
    if gpus is not None and 0 < gpus < 1:
        # 49 * (1 / 49) is a little less than 1, and 1 over almost nothing is infinite.
        return replace(need, sharing=floor(min(1 / gpus + 1e-9, _MOST_SHARING)))
    return need


def _number(resource: Mapping[str, object], key: str, rule: str) -> float | None:
    value = resource.get(key)
    if key not in resource:
        return None
    if isinstance(value, Real) and not isinstance(value, bool):
        with suppress(OverflowError):
            number = float(value)
            if isfinite(number):
                return number
    raise ParameterError("resource", resource, rule)


@dataclass(frozen=True, slots=True)
class Slot:
    """A worker's share of the machine.

    Attributes
    ----------
    worker : int
        The worker's number.
    cpus : tuple of int or None
        The ids of the CPU cores on which its trials may run; None: all cores.
    threads : int
        The number of threads with which a trial should compute.
    gpus : tuple of Gpu
        The GPUs that its trials see.
    env : dict
        Environment variables of its trials; None removes one.
    sharing : int
        The number of workers that may share each of its GPUs, itself included. A GPU's memory is not divided
        among them.
    """

    worker: int
    cpus: tuple[int, ...] | None
    threads: int
    gpus: tuple[Gpu, ...]
    env: dict[str, str | None]
    sharing: int = 1


def make_slots(
    workers: int | None,
    resource: Mapping[str, object] | None,
    cpus: Sequence[int],
    gpus: Sequence[Gpu],
    cpu_limit: float | None = None,
    host: str = "this machine",
) -> list[Slot]:
    """Divide a machine among workers.

    Values that `resource` does not give are chosen:

    - `num_gpus`: a GPU each while there are enough; with more workers than GPUs, they share them evenly. Only
      ``num_gpus=0`` hides the GPUs from trials. On a machine without GPUs ``CUDA_VISIBLE_DEVICES`` is not
      changed.
    - `num_cpus`: the cores are divided evenly, and a remainder is not used. With more workers than cores, all
      share all cores, with one thread each.

    Parameters
    ----------
    workers : int or None
        The number of workers, at least 1. None: as many as fit. If `resource` has no `num_cpus`, that is at
        most one for each core, or one for each GPU if there are more GPUs and trials see them.
    resource : mapping or None
        The need of a trial: `num_cpus`, a whole number of at least 1; `num_gpus`, a whole number, or a part
        of one GPU such as 0.5: floor(1 / part) trials then share a GPU.
    cpus : sequence of int
        The ids of the cores to use; at least one.
    gpus : sequence of Gpu
        The GPUs to use.
    cpu_limit : float, optional
        The quota of CPU time, in cores. If it is less than the number of cores, it counts instead of that
        number, and no worker is bound to cores: other containers could be bound to the same cores.
    host : str
        The machine's name in errors.

    Returns
    -------
    list of Slot
        One for each worker; no two share a core, unless all share all cores, or a GPU beyond its part.

    Raises
    ------
    ParameterError
        A value is impossible, or more than the machine has.
    """
    check_workers(workers)
    cores = len(cpus) if cpu_limit is None else max(1, min(len(cpus), floor(cpu_limit)))
    machine = _Machine(sorted(cpus), cores, gpus, host)
    asked = read_resource(resource)
    need = asked.settled(workers, len(gpus))
    count = _how_many(workers, need, machine)
    set_visible = bool(gpus) or asked.gpus is not None
    return [_slot(worker, count, need, machine, set_visible) for worker in range(count)]


def check_workers(workers: int | None) -> None:
    """Raise a ParameterError unless `workers` is None or a whole number of at least 1."""
    if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int) or workers < 1):
        raise ParameterError("workers", workers, "is a whole number, at least 1; None for as many as fit")


def with_threads(slot: Slot, threads: int) -> Slot:
    """Return the slot with another number of threads, independent of the number of cores."""
    return replace(slot, threads=threads, env={**slot.env, **thread_variables(threads)})


def describe(slots: Sequence[Slot]) -> str:
    """Describe the workers' shares in a line.

    ``"4 workers: 2 CPU cores and half of a GPU each (2 x NVIDIA A100)"``
    """
    first = slots[0]
    if first.cpus is None:
        share = counted(first.threads, "thread") + " on shared CPU cores"
    else:
        share = counted(len(first.cpus), "CPU core")
    if first.gpus:
        share += f" and {_describe_gpus(len(first.gpus), first.sharing)}"
    elif first.env.get(_VISIBLE) == "":
        share += " and no GPU"
    names = models({gpu.uuid: gpu for slot in slots for gpu in slot.gpus}.values())
    return (
        f"{counted(len(slots), 'worker')}: {share}"
        f"{' each' if len(slots) > 1 else ''}{f' ({names})' if names else ''}"
    )


def _slot(worker: int, count: int, need: Need, machine: _Machine, set_visible: bool) -> Slot:
    threads = need.cpus or max(1, machine.cores // count)
    bound = len(machine.cpus) == machine.cores >= threads * count
    own = tuple(machine.cpus[worker * threads : (worker + 1) * threads]) if bound else None
    seen = _gpus_of(worker, machine.gpus, need)
    env: dict[str, str | None] = {**thread_variables(threads)}
    if set_visible:
        env[_VISIBLE] = ",".join(gpu.visible for gpu in seen)
    return Slot(worker, own, threads, seen, env, need.sharing)


@dataclass(frozen=True, slots=True)
class _Machine:
    cpus: Sequence[int]
    cores: int  # the number of cores, or the quota of CPU time if that is less
    gpus: Sequence[Gpu]
    name: str

    def describe_cpus(self) -> str:
        words = counted(len(self.cpus), "CPU core")
        return words if self.cores == len(self.cpus) else f"{words} (a quota allows {self.cores})"

    def describe_gpus(self) -> str:
        if not self.gpus:
            return "no visible GPU"
        return f"{counted(len(self.gpus), 'GPU')} ({models(self.gpus)})"


def _how_many(workers: int | None, need: Need, machine: _Machine) -> int:
    """Return the number of workers; raise an error if they do not fit."""
    cpus, gpus = machine.describe_cpus(), machine.describe_gpus()
    for needed, there, needs, has in (
        (need.cpus or 0, machine.cores, counted(need.cpus or 0, "CPU core"), cpus),
        (need.gpus or 0, len(machine.gpus), _describe_gpus(need.gpus or 0, need.sharing), gpus),
    ):
        if needed > there:
            raise ParameterError("resource", need.given, f"a trial needs {needs}; {machine.name} has {has}")
    if (need.gpus or 0) > 1 and any(gpu.uuid.startswith(_MIG) for gpu in machine.gpus):
        rule = f"{machine.name} has GPUs in MIG mode, of which CUDA shows a process one instance only: "
        raise ParameterError("resource", need.given, rule + "num_gpus is 1 at most")
    fits = []
    if need.cpus:
        fits.append(machine.cores // need.cpus)
    if need.gpus:
        fits.append(len(machine.gpus) // need.gpus * need.sharing)
    if workers is None:
        return min([*fits, max(machine.cores, len(machine.gpus) if need.gpus else 0)])
    if fits and workers > min(fits):
        rule = (
            f"no more than {min(fits)} fit with resource={need.given!r}; {machine.name} has {cpus} and {gpus}"
        )
        raise ParameterError("workers", workers, rule)
    return workers


def _gpus_of(worker: int, gpus: Sequence[Gpu], need: Need) -> tuple[Gpu, ...]:
    each = need.gpus or 0
    if need.sharing > 1:
        return (gpus[worker % len(gpus)],)  # spread the workers: a GPU is faster if it is not shared
    return tuple(gpus[worker * each : (worker + 1) * each])


def _describe_gpus(number: int, sharing: int) -> str:
    if sharing == 1:
        return counted(number, "GPU")
    return f"{_PARTS.get(sharing, f'1/{sharing}')} of a GPU"


def models(gpus: Iterable[Gpu]) -> str:
    """Return the models of GPUs as text: ``"2 x NVIDIA A100, NVIDIA T4"``."""
    names = Counter(gpu.name for gpu in gpus)
    return ", ".join(name if number == 1 else f"{number} x {name}" for name, number in names.items())
