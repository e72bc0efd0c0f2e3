"""The devices of this machine: CPU cores, and GPUs as NVIDIA's management library (NVML) shows them.

NVML needs no CUDA, and starts none.
"""
# ruff: noqa: D102, N802 - the functions are NVML's, and so are their names

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from hbsim.errors import ParameterError

_VARIABLE = "CUDA_VISIBLE_DEVICES"
_ROOT = Path("/")


class Nvml(Protocol):
    """The part of the module `pynvml` that is used here."""

    NVMLError: type[Exception]

    def nvmlInit(self) -> object: ...
    def nvmlSystemGetDriverVersion(self) -> str: ...
    def nvmlDeviceGetCount(self) -> int: ...
    def nvmlDeviceGetHandleByIndex(self, index: int, /) -> Any: ...
    def nvmlDeviceGetUUID(self, handle: Any, /) -> str: ...
    def nvmlDeviceGetName(self, handle: Any, /) -> str: ...
    def nvmlDeviceGetMemoryInfo(self, handle: Any, /) -> Any: ...
    def nvmlDeviceGetMigMode(self, handle: Any, /) -> Sequence[int]: ...
    def nvmlDeviceGetMaxMigDeviceCount(self, handle: Any, /) -> int: ...
    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: Any, index: int, /) -> Any: ...
    def nvmlDeviceGetGpuInstanceId(self, handle: Any, /) -> int: ...
    def nvmlDeviceGetComputeInstanceId(self, handle: Any, /) -> int: ...


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU, or an instance of one in MIG mode, that trials may use.

    Attributes
    ----------
    visible : str
        What to write into a process's ``CUDA_VISIBLE_DEVICES`` to give it this GPU: the entry of this
        process's own ``CUDA_VISIBLE_DEVICES`` where it has one, else the UUID.
    name : str
        The model, as ``nvidia-smi -L`` shows it.
    memory : int or None
        Bytes of memory in all; None where the driver does not say.
    uuid : str
        The UUID, as ``nvidia-smi -L`` shows it.
    """

    visible: str
    name: str
    memory: int | None
    uuid: str


@dataclass(frozen=True, slots=True)
class Board:
    """A physical GPU.

    Attributes
    ----------
    uuid : str
        The UUID of the whole GPU.
    gpus : tuple of Gpu
        The GPU itself; in MIG mode its instances, possibly none.
    aliases : tuple of str
        Older names of MIG instances, ``MIG-<UUID of the GPU>/<GPU instance>/<compute instance>``, in the same
        order; empty for a whole GPU.
    """

    uuid: str
    gpus: tuple[Gpu, ...]
    aliases: tuple[str, ...] = ()


def open_nvml(nvml: Nvml | None = None) -> Nvml | None:
    """Return NVML, initialised; None where there is no driver.

    It stays open until the process ends: opening it again takes longer than all queries.
    """
    try:
        module = nvml or cast(Nvml, import_module("pynvml"))
    except ImportError:
        return None
    try:
        module.nvmlInit()
    except module.NVMLError:
        return None
    return module


def boards(nvml: Nvml) -> list[Board]:
    """Return the GPUs that this process may use, in the order of the PCI bus."""
    found: list[Board] = []
    with suppress(nvml.NVMLError):
        for index in range(nvml.nvmlDeviceGetCount()):
            with suppress(nvml.NVMLError):  # a GPU that belongs to others, or is broken
                found.append(_board(nvml, nvml.nvmlDeviceGetHandleByIndex(index)))
    return found


def driver_version(nvml: Nvml | None = None) -> str | None:
    """Return the version of the NVIDIA driver; None where there is none."""
    module = open_nvml(nvml)
    if module is None:
        return None
    try:
        return module.nvmlSystemGetDriverVersion()
    except module.NVMLError:
        return None


def _board(nvml: Nvml, handle: Any) -> Board:
    uuid = nvml.nvmlDeviceGetUUID(handle)
    if not _in_mig_mode(nvml, handle):
        return Board(uuid, (_gpu(nvml, handle),))
    found = list(_instances(nvml, handle, uuid))
    return Board(uuid, tuple(gpu for gpu, _ in found), tuple(alias for _, alias in found))


def _in_mig_mode(nvml: Nvml, handle: Any) -> bool:
    try:
        return bool(nvml.nvmlDeviceGetMigMode(handle)[0])
    except nvml.NVMLError:  # a GPU without MIG
        return False


def _instances(nvml: Nvml, handle: Any, uuid: str) -> Iterator[tuple[Gpu, str]]:
    """Yield the instances of a GPU in MIG mode, each with its older name."""
    for index in range(nvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
        with suppress(nvml.NVMLError):  # most places for an instance are empty
            instance = nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)
            ids = nvml.nvmlDeviceGetGpuInstanceId(instance), nvml.nvmlDeviceGetComputeInstanceId(instance)
            yield _gpu(nvml, instance), f"MIG-{uuid}/{ids[0]}/{ids[1]}"


def _gpu(nvml: Nvml, handle: Any) -> Gpu:
    memory = None
    with suppress(nvml.NVMLError):  # GPUs that share the memory of the CPU have none of their own
        memory = int(nvml.nvmlDeviceGetMemoryInfo(handle).total)
    uuid = nvml.nvmlDeviceGetUUID(handle)
    return Gpu(uuid, nvml.nvmlDeviceGetName(handle), memory, uuid)


def cpus() -> list[int]:
    """Return the ids of the CPU cores that this process may run on, in order.

    A quota on CPU time, as containers have, hides no cores: see `cpu_limit`.
    """
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def cpu_limit(root: Path = _ROOT) -> float | None:
    """Return how many cores' worth of time a control group of Linux leaves this process.

    Returns
    -------
    float or None
        The smallest quota of the process's group and those around it, 2.5 for two and a half cores. None if
        there is no quota.
    """
    return min((limit for limit, _ in _limits(root)), default=None)


def cpu_group(root: Path = _ROOT) -> str:
    """Return an id of the control group that has the quota of `cpu_limit`; "" if there is none.

    Processes with the same id share one quota, whatever the groups are named in their containers: the id is
    the device and inode of the group's folder. Of equal quotas the outermost group's is returned.
    """
    limits = list(_limits(root))
    if not limits:
        return ""
    least = min(limit for limit, _ in limits)
    about = [folder for limit, folder in limits if limit == least][-1].stat()
    return f"{about.st_dev}:{about.st_ino}"


def gpus(environ: Mapping[str, str], nvml: Nvml | None = None) -> list[Gpu]:
    """Return the GPUs that CUDA would show a process with this environment, in its order.

    The driver is asked through NVML, so that CUDA is not started in this process. Without an NVIDIA driver
    there are no GPUs.

    ``CUDA_VISIBLE_DEVICES`` holds as for CUDA: absent, all are visible; empty, none; else those that it
    lists, by index, by UUID or the beginning of one (``GPU-...``), or by the name of a MIG instance
    (``MIG-...``), all of the kind of the first. An entry that names nothing, -1 say, ends the list. An index
    or UUID of a GPU in MIG mode stands for its first instance. Where the variable is absent, all instances
    are offered.

    An index is passed on to trials unchanged, and means the same GPU there. CUDA orders GPUs by speed unless
    ``CUDA_DEVICE_ORDER`` is PCI_BUS_ID, NVML along the PCI bus: among GPUs of different models `name`,
    `memory` and `uuid` may be those of another GPU. UUIDs are unambiguous.

    Parameters
    ----------
    environ : mapping
        Environment variables, ``os.environ``.
    nvml : Nvml, optional
        Used in place of the driver's NVML.

    Raises
    ------
    ParameterError
        ``CUDA_VISIBLE_DEVICES`` names a GPU twice. CUDA shows none then, and a study would train on the CPU.
    """
    module = open_nvml(nvml)
    if module is None:
        return []
    found = boards(module)
    wanted = environ.get(_VARIABLE)
    if wanted is None:
        return [gpu for board in found for gpu in board.gpus]
    return _visible(wanted, found)


def _visible(wanted: str, found: Sequence[Board]) -> list[Gpu]:
    entries = [entry.strip() for entry in wanted.split(",")]
    kind = next((prefix for prefix in ("GPU-", "MIG-") if entries[0].startswith(prefix)), "")
    chosen: list[Gpu] = []
    for entry in entries:
        gpu = _named(entry, kind, found)
        if gpu is None:
            break
        if any(gpu.uuid == other.uuid for other in chosen):
            raise ParameterError(
                _VARIABLE, wanted, f"{entry} is there twice, and CUDA shows no GPU then; name each GPU once"
            )
        chosen.append(replace(gpu, visible=entry))
    return chosen


def _named(entry: str, kind: str, found: Sequence[Board]) -> Gpu | None:
    if kind == "MIG-":
        instances = (pair for board in found for pair in zip(board.gpus, board.aliases, strict=False))
        return next((gpu for gpu, alias in instances if entry in (gpu.uuid, alias)), None)
    board: Board | None = None
    if kind == "GPU-":
        alike = [one for one in found if entry.startswith(kind) and one.uuid.startswith(entry)]
        board = alike[0] if len(alike) == 1 else None
    elif number := re.match(r"\+?([0-9]+)", entry):  # CUDA reads digits as far as they go
        index = int(number[1])
        board = found[index] if index < len(found) else None
    return board.gpus[0] if board and board.gpus else None


def _groups(root: Path) -> Iterator[Path]:
    """Yield the folders of the control groups around this process, of both versions."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    mounted = root / "sys/fs/cgroup"
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = mounted / "cpu" if controllers else mounted
        group = Path(path.lstrip("/"))
        yield from (top / part for part in (group, *group.parents))


def _limits(root: Path) -> Iterator[tuple[float, Path]]:
    """Yield the quotas of the control groups around this process, in cores, the innermost first."""
    for folder in _groups(root):
        with suppress(OSError, ValueError, ZeroDivisionError):
            quota, period = _quota(folder)
            if quota > 0:
                yield quota / period, folder


def _quota(folder: Path) -> tuple[int, int]:
    """Return the CPU time for each period, and the period, in microseconds; ValueError without a limit."""
    if (folder / "cpu.max").exists():
        quota, period = (folder / "cpu.max").read_text().split()
        return int(quota), int(period)
    return int((folder / "cpu.cfs_quota_us").read_text()), int((folder / "cpu.cfs_period_us").read_text())
