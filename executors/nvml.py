"""What NVIDIA's management library (NVML) says about GPUs. It needs no CUDA, and starts none."""

# ruff: noqa: D102, N802 - the functions are NVML's, and so are their names

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol, cast

__all__ = ["Board", "Device", "Nvml", "boards", "driver_version", "opened"]


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
class Device:
    """What CUDA can be given: a whole GPU, or an instance of one in MIG mode.

    Attributes
    ----------
    uuid, name : str
        As ``nvidia-smi -L`` shows them.
    memory : int or None
        Bytes of memory in all; None where NVML does not say.
    alias : str
        An older name of a MIG instance, ``MIG-<UUID of the GPU>/<GPU instance>/<compute instance>``; empty
        for a whole GPU.
    """

    uuid: str
    name: str
    memory: int | None
    alias: str = ""


@dataclass(frozen=True, slots=True)
class Board:
    """A physical GPU.

    Attributes
    ----------
    uuid : str
        Its own.
    devices : tuple of Device
        Itself; in MIG mode its instances, which may be none.
    """

    uuid: str
    devices: tuple[Device, ...]


def opened(nvml: Nvml | None = None) -> Nvml | None:
    """Return NVML, ready to be asked; None where there is no driver.

    It stays open until the process ends: to open it again takes longer than all that is asked of it.
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
    module = opened(nvml)
    if module is None:
        return None
    try:
        return module.nvmlSystemGetDriverVersion()
    except module.NVMLError:
        return None


def _board(nvml: Nvml, handle: Any) -> Board:
    uuid = nvml.nvmlDeviceGetUUID(handle)
    if not _in_mig_mode(nvml, handle):
        return Board(uuid, (_device(nvml, handle),))
    return Board(uuid, tuple(_instances(nvml, handle, uuid)))


def _in_mig_mode(nvml: Nvml, handle: Any) -> bool:
    try:
        return bool(nvml.nvmlDeviceGetMigMode(handle)[0])
    except nvml.NVMLError:  # a GPU that knows no MIG
        return False


def _instances(nvml: Nvml, handle: Any, uuid: str) -> Iterator[Device]:
    for index in range(nvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
        with suppress(nvml.NVMLError):  # most places for an instance are empty
            instance = nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)
            ids = nvml.nvmlDeviceGetGpuInstanceId(instance), nvml.nvmlDeviceGetComputeInstanceId(instance)
            yield _device(nvml, instance, f"MIG-{uuid}/{ids[0]}/{ids[1]}")


def _device(nvml: Nvml, handle: Any, alias: str = "") -> Device:
    memory = None
    with suppress(nvml.NVMLError):  # GPUs that share the memory of the CPU have none of their own
        memory = int(nvml.nvmlDeviceGetMemoryInfo(handle).total)
    return Device(nvml.nvmlDeviceGetUUID(handle), nvml.nvmlDeviceGetName(handle), memory, alias)
