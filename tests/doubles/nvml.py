"""An NVML that answers what a test wants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

GIB = 1 << 30


class FakeError(Exception):
    """Any error of NVML's."""


@dataclass
class FakeGpu:
    """A GPU; with `instances`, a mapping of places to instances, one in MIG mode."""

    uuid: str
    name: str = "NVIDIA A100"
    memory: int = 80 * GIB
    instances: Mapping[int, FakeGpu] | None = None
    ids: tuple[int, int] = (0, 0)
    knows_mig: bool = True
    fails: Sequence[str] = ()


@dataclass
class FakeNvml:
    """NVML with these GPUs. `fails` names functions that raise: here for all GPUs, or in a GPU for it."""

    gpus: Sequence[FakeGpu] = ()
    fails: Sequence[str] = ()
    asked: list[str] = field(default_factory=list)

    NVMLError = FakeError

    def _may(self, function: str, gpu: FakeGpu | None = None) -> None:
        self.asked.append(function)
        if function in self.fails or (gpu is not None and function in gpu.fails):
            raise FakeError(function)

    def nvmlInit(self) -> None:
        self._may("init")

    def nvmlSystemGetDriverVersion(self) -> str:
        self._may("driver")
        return "570.1"

    def nvmlDeviceGetCount(self) -> int:
        self._may("count")
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int, /) -> FakeGpu:
        self._may("handle", self.gpus[index])
        return self.gpus[index]

    def nvmlDeviceGetUUID(self, handle: FakeGpu, /) -> str:
        self._may("uuid", handle)
        return handle.uuid

    def nvmlDeviceGetName(self, handle: FakeGpu, /) -> str:
        self._may("name", handle)
        return handle.name

    def nvmlDeviceGetMemoryInfo(self, handle: FakeGpu, /) -> Any:
        self._may("memory", handle)
        return SimpleNamespace(total=handle.memory)

    def nvmlDeviceGetMigMode(self, handle: FakeGpu, /) -> list[int]:
        if not handle.knows_mig:
            raise FakeError("not supported")
        return [int(handle.instances is not None)] * 2

    def nvmlDeviceGetMaxMigDeviceCount(self, handle: FakeGpu, /) -> int:
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: FakeGpu, index: int, /) -> FakeGpu:
        if handle.instances is None or index not in handle.instances:
            raise FakeError("not found")
        return handle.instances[index]

    def nvmlDeviceGetGpuInstanceId(self, handle: FakeGpu, /) -> int:
        return handle.ids[0]

    def nvmlDeviceGetComputeInstanceId(self, handle: FakeGpu, /) -> int:
        return handle.ids[1]
