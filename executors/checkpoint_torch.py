"""Tensors in a checkpoint, as the bytes of their memory. PyTorch is imported only where there are tensors."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from math import prod
from typing import Any, Final

__all__ = ["TensorReader", "Tensors", "Unkept"]

_ALIGNED: Final = 16  # bytes of the widest number
_SLACK: Final = 2  # memory that tensors share is kept as one if no more than this times theirs
_MOST: Final = 1 << 62

Part = list[int]  # offset, size and checksum, once it is written


class Unkept(Exception):
    """Something that cannot be kept: which object, why, and the steps to it, the last one first."""

    def __init__(self, obj: object, rule: str = "") -> None:
        self.obj = obj
        self.rule = rule
        self.path: list[str] = []


class Tensors:
    """Makes the nodes of tensors, and the list of parts that they name.

    Tensors that share memory share it again when they are read. Of a tensor that uses only some of its memory
    the rest is left out.
    """

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        self._shared: dict[
            int, list[tuple[Any, list[Any]]]
        ] = {}  # by memory: tensors, and nodes to be filled in

    def is_tensor(self, obj: object) -> bool:
        """Whether it is one."""
        return isinstance(obj, self._torch.Tensor)

    def node(self, obj: Any) -> object:
        """Return the node of what PyTorch has made; None if that is something else.

        Raises
        ------
        Unkept
            A tensor of another kind.
        """
        torch, kind = self._torch, type(obj)
        if kind is torch.Tensor:
            return self._tensor(obj)
        if kind is torch.nn.Parameter:
            return {"$torch.Parameter": self._tensor(obj)}
        if kind is torch.Size:
            return {"$torch.Size": list(obj)}
        if kind in (torch.dtype, torch.device):
            return {f"$torch.{kind.__name__}": str(obj).removeprefix("torch.")}
        return None

    def _tensor(self, obj: Any) -> object:
        torch = self._torch
        if obj.layout is not torch.strided or obj.is_quantized or obj.is_nested or obj.device.type == "meta":
            raise Unkept(obj, "it is no dense tensor of numbers; save one that is")
        tensor = obj.detach()
        if tensor.device.type not in ("cpu", "cuda"):
            tensor = tensor.cpu()
        tensor = tensor.resolve_conj().resolve_neg()
        content = [str(tensor.dtype).removeprefix("torch."), list(tensor.shape), obj.requires_grad]
        self._shared.setdefault(tensor.untyped_storage()._cdata, []).append((tensor, content))
        return {"$torch.Tensor": content}

    def parts(self) -> Iterator[tuple[Part, Callable[[], memoryview]]]:
        """Yield each part, to be filled in, and what returns its bytes; complete the nodes."""
        for group in self._shared.values():
            begin, end = _span(tensor for tensor, _ in group)
            if end - begin <= _SLACK * sum(tensor.nbytes for tensor, _ in group) and len(group) > 1:
                yield self._together(group, begin, end)
                continue
            for tensor, content in group:
                begin, end = _span([tensor])
                if end - begin > tensor.nbytes + _ALIGNED:  # it has gaps
                    tensor = tensor.contiguous()
                    begin, end = _span([tensor])
                yield self._together([(tensor, content)], begin, end)

    def _together(
        self, group: list[tuple[Any, list[Any]]], begin: int, end: int
    ) -> tuple[Part, Callable[[], memoryview]]:
        part: Part = []
        for tensor, content in group:
            start = tensor.storage_offset() - begin // tensor.element_size()
            content += (list(tensor.stride()), start, part)
        return part, lambda: self._bytes_of(group[0][0], begin, end)

    def _bytes_of(self, tensor: Any, begin: int, end: int) -> memoryview:
        if begin == end:
            return memoryview(b"")
        storage = tensor.untyped_storage()
        memory = self._torch.empty(0, dtype=self._torch.uint8, device=storage.device)
        return memoryview(memory.set_(storage, begin, (end - begin,), (1,)).cpu().numpy())


def _span(tensors: Any) -> tuple[int, int]:
    """Return the bytes of their memory from the first to the last that these tensors use."""
    begin, end = _MOST, 0
    for tensor in tensors:
        if tensor.numel():
            first = tensor.storage_offset()
            last = first + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride(), strict=True))
            begin = min(begin, first * tensor.element_size() // _ALIGNED * _ALIGNED)
            end = max(end, (last + 1) * tensor.element_size())
    return (begin, end) if end else (0, 0)


class TensorReader:
    """Makes tensors again, on the CPU.

    Parameters
    ----------
    read : callable
        ``read(target, part)`` fills memory.
    room : int
        Bytes of the file.

    Attributes
    ----------
    makers : dict
        By tag, what makes the value of a node.
    """

    def __init__(self, read: Callable[[memoryview, Part], None], room: int) -> None:
        self._read, self._room = read, room
        self._storages: dict[int, Any] = {}  # by offset
        self.makers: dict[str, Callable[[Any], Any]] = {
            "$torch.Tensor": self._tensor,
            "$torch.Parameter": lambda tensor: _torch().nn.Parameter(tensor.detach(), tensor.requires_grad),
            "$torch.Size": lambda node: _torch().Size(node),
            "$torch.dtype": lambda node: _dtype(node),
            "$torch.device": lambda node: _torch().device(node),
        }

    def _tensor(self, content: list[Any]) -> Any:
        name, shape, requires_grad, strides, start, part = content
        made = _torch().empty(0, dtype=_dtype(name))
        count = prod(shape)
        if min((*shape, *strides, start), default=0) < 0 or count > _MOST:
            raise ValueError("a tensor is not of its size")
        if count:
            last = start + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
            if not (last + 1) * made.element_size() <= part[1] <= self._room:
                raise ValueError("a tensor is not of its size")
            made.set_(self._storage(part), start, shape, strides)
        else:
            made = made.new_empty(shape)
        return made.requires_grad_(requires_grad)

    def _storage(self, part: Part) -> Any:
        if part[0] not in self._storages:
            memory = _torch().empty(part[1], dtype=_torch().uint8)
            self._read(memoryview(memory.numpy()), part)
            self._storages[part[0]] = memory.untyped_storage()
        return self._storages[part[0]]


def _torch() -> Any:
    return importlib.import_module("torch")


def _dtype(name: str) -> Any:
    """Return a dtype by its name."""
    torch = _torch()
    dtype = vars(torch).get(name)
    if not isinstance(dtype, torch.dtype):
        raise ValueError(f"there is no dtype {name}")
    return dtype
