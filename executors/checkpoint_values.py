"""The file of a checkpoint's values: the bytes of arrays and tensors, a JSON tree of the rest, and checksums.

Byte strings and the numbers of arrays and tensors come first, one part after the other. Then comes the tree:
None, bool, int, float, str, lists and dicts with text keys as in JSON; anything else as an object with one
key that begins with ``$``, such as ``{"$tuple": [1, 2]}``. The tree refers to a part by its offset, size and
CRC-32. The file ends with the tree's length, its CRC-32, and a magic number. Reading it executes nothing.
PyTorch is imported only where there are tensors.
"""

from __future__ import annotations

import importlib
import json
import os
import struct
import sys
import zlib
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from math import prod
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.lib.format import descr_to_dtype, dtype_to_descr

from hbsim.errors import ParameterError

_END: Final = struct.Struct("<QI4s")
_MAGIC: Final = b"hbv1"
_CHUNK: Final = 1 << 20  # bytes that are checked and written at once: they fit into the processor's cache
_DEPTH: Final = 100
_LARGE: Final = 1 << 64  # Python does not read an int of thousands of digits
_SHOWN: Final = 60  # characters of a key that are shown
_LONG: Final = 200  # characters of a place in the object that are shown
_PASS: Final = frozenset((float, bool, type(None)))  # values that JSON has, too
_TEXT: Final = frozenset((str,))
_FACTORIES: Final = {kind.__name__: kind for kind in (bool, int, float, str, list, tuple, dict, set)}
_RULE: Final = (
    "cannot be kept: checkpoints hold None, numbers, text, bytes, lists, tuples, sets, dicts, NumPy arrays "
    "and PyTorch tensors"
)
Part = list[int]  # offset, size and checksum; filled in when the part is written
_ALIGNED: Final = 16  # bytes of the widest number
_SLACK: Final = 2  # shared memory is written as one part if it is at most so many times the tensors' size
_MOST: Final = 1 << 62


class Unreadable(Exception):
    """Raised when a file is damaged: its content is not what was written."""


def write(file: IO[bytes], obj: object) -> None:
    """Write an object to a file.

    Raises
    ------
    ParameterError
        Something in the object cannot be saved; nothing has been written.
    OSError
        The file cannot be written.
    """
    tree = _Tree()
    try:
        top = tree.node(obj)
    except Unkept as odd:
        raise _refused(odd) from None
    position = 0
    for part, bytes_of in tree.parts():
        data = memoryview(bytes_of())
        check = 0
        for start in range(0, len(data), _CHUNK):
            piece = data[start : start + _CHUNK]
            check = zlib.crc32(piece, check)
            file.write(piece)
        part += (position, len(data), check)
        position += len(data)
    text = json.dumps(top, separators=(",", ":"), check_circular=False).encode("ascii")
    file.write(text + _END.pack(len(text), zlib.crc32(text), _MAGIC))


def read(path: Path) -> Any:
    """Return the object that was written to a file; tensors are on the CPU.

    Raises
    ------
    Unreadable
        The file is damaged.
    ModuleNotFoundError
        The file holds tensors, and PyTorch is not installed.
    OSError
        The file cannot be read.
    """
    with open(path, "rb") as file:
        try:
            return _Reader(file).value()
        except (MemoryError, OSError, ModuleNotFoundError):
            raise
        except Exception as error:
            problem = str(error) if isinstance(error, Unreadable) else f"{type(error).__name__}: {error}"
            raise Unreadable(problem.partition("\n")[0][:200]) from error


def _refused(odd: Unkept) -> ParameterError:
    kind = type(odd.obj)
    rule = f"cannot be kept: {odd.rule}" if odd.rule else f"{_RULE}{_advice(odd.obj)}"
    place = "checkpoint" + "".join(reversed(odd.path))
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return ParameterError(place if len(place) <= _LONG else f"{place[:_LONG]}...", name, rule)


def _advice(obj: object) -> str:
    if callable(getattr(type(obj), "state_dict", None)):
        return "; save its state_dict()"
    for base in (dict, list, tuple, str, int, float):
        if isinstance(obj, base):
            return f"; save it by {base.__name__}(...)"
    return "; save it by numpy.asarray(...)" if hasattr(type(obj), "__array__") else ""


class _Tree:
    """The builder of the tree of JSON values, and of the list of parts to which the tree refers."""

    def __init__(self) -> None:
        self._parts: list[tuple[Part, Callable[[], memoryview]]] = []
        torch = sys.modules.get("torch")  # else there is no tensor
        self._tensors = None if torch is None else Tensors(torch)
        self._names: set[str] = set()  # keys that are written as plain JSON keys
        self._depth = 0
        self._makers: dict[type, Callable[[Any], object]] = {
            list: self._list,
            dict: self._dict,
            tuple: lambda obj: {"$tuple": self._list(obj)},
            set: lambda obj: {"$set": self._list(obj)},
            frozenset: lambda obj: {"$frozenset": self._list(obj)},
            deque: lambda obj: {"$deque": [self._list(obj), obj.maxlen]},
            OrderedDict: lambda obj: {"$OrderedDict": [self._pairs(obj), self.node(vars(obj))]},
            Counter: lambda obj: {"$Counter": self._pairs(obj)},
            defaultdict: self._defaultdict,
            bytes: lambda obj: {"$bytes": self._part(lambda: memoryview(obj))},
            bytearray: lambda obj: {"$bytearray": self._part(lambda: memoryview(obj))},
            complex: lambda obj: {"$complex": [obj.real, obj.imag]},
            np.ndarray: self._array,
            np.str_: lambda obj: {"$np.str": self.node(str(obj))},
            np.bytes_: lambda obj: {"$np.bytes": bytes(obj).hex()},
        }

    def parts(self) -> Iterator[tuple[Part, Callable[[], memoryview]]]:
        """Yield each part, whose fields the caller fills in, and a function that returns its bytes."""
        yield from self._parts
        if self._tensors is not None:
            yield from self._tensors.parts()

    def node(self, obj: Any) -> object:
        """Return the tree's node for an object."""
        kind = type(obj)
        if kind in _PASS:
            return obj
        if kind is int:
            return obj if -_LARGE < obj < _LARGE else {"$int": hex(obj)}
        if kind is str:
            return obj if _is_text(obj) else {"$str": obj.encode("utf-8", "surrogatepass").hex()}
        maker = self._makers.get(kind)
        if maker is not None:
            self._depth += 1
            if self._depth > _DEPTH:
                raise Unkept(obj, f"it is {_DEPTH} levels deep, or in itself")
            node = maker(obj)
            self._depth -= 1
            return node
        if isinstance(obj, np.generic):
            return {"$scalar": [self._dtype(obj, obj.dtype), obj.tobytes().hex()]}
        node = None if self._tensors is None else self._tensors.node(obj)
        if node is None:
            raise Unkept(obj)
        return node

    def _list(self, obj: Iterable[object], names: Iterable[object] | None = None) -> list[object]:
        nodes: list[Any] = list(obj)
        for index, item in enumerate(nodes):
            kind = type(item)  # the most common ones without a call
            if kind in _PASS or (kind is str and item.isascii()):
                continue
            try:
                nodes[index] = self.node(item)
            except Unkept as odd:
                name = index if names is None else list(names)[index]
                odd.path.append(f"[{_shown(name)}]")
                raise
        return nodes

    def _dict(self, obj: dict[Any, object]) -> object:
        if not _TEXT.issuperset(map(type, obj)):
            return {"$dict": self._pairs(obj)}
        if not self._names.issuperset(obj):
            if not all(name[:1] != "$" and _is_text(name) for name in obj):
                return {"$dict": self._pairs(obj)}
            self._names.update(obj)
        return dict(zip(obj, self._list(obj.values(), obj), strict=True))

    def _defaultdict(self, obj: defaultdict[object, object]) -> object:
        factory = obj.default_factory
        if factory is not None and factory not in _FACTORIES.values():
            raise Unkept(obj, f"its default_factory must be None or one of {', '.join(_FACTORIES)}")
        return {"$defaultdict": [factory and factory.__name__, self._pairs(obj)]}

    def _pairs(self, obj: Mapping[Any, object]) -> list[list[object]]:
        values = self._list(obj.values(), obj)
        return [[self._key(key), value] for key, value in zip(obj, values, strict=True)]

    def _key(self, key: object) -> object:
        try:
            if self._tensors is not None and self._tensors.is_tensor(key):
                raise Unkept(key, "a tensor is no key that can be found again")
            return self.node(key)
        except Unkept as odd:
            odd.path = [", a key"]
            raise

    def _part(self, bytes_of: Callable[[], memoryview]) -> Part:
        part: Part = []
        self._parts.append((part, bytes_of))
        return part

    def _array(self, obj: np.ndarray[Any, Any]) -> object:
        flags = obj.flags
        order = "F" if flags.f_contiguous and not flags.c_contiguous else "C"
        about = [self._dtype(obj, obj.dtype), list(obj.shape), order]
        return {"$array": [*about, self._part(lambda: _bytes_of(np.asarray(obj, order=order)))]}  # type: ignore[call-overload]

    def _dtype(self, obj: object, dtype: np.dtype[Any]) -> object:
        if dtype.hasobject:
            raise Unkept(obj, "an array of Python objects; save a list, or an array of numbers")
        described: Any
        try:
            described = dtype_to_descr(dtype) if dtype.names else dtype.str
            same = descr_to_dtype(described) == dtype
        except (TypeError, ValueError):  # fields that overlap, say
            same = False
        if not same:
            raise Unkept(obj, f"its dtype is {dtype}; save it as one that NumPy has by itself")
        return self.node(described)


def _shown(key: object) -> str:
    try:
        return repr(key)[:_SHOWN]
    except Exception:  # of an int of thousands of digits, say
        return f"a key of type {type(key).__name__}"


def _is_text(text: str) -> bool:
    """Return whether a text has a UTF-8 encoding; one with a half of a surrogate pair has none."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _bytes_of(array: Any) -> memoryview:
    """Return the memory of a contiguous array."""
    return memoryview(array.reshape(-1, order="A").view(np.uint8) if array.nbytes else b"")


class _Reader:
    """The reader of a file's values."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        size = os.fstat(file.fileno()).st_size
        if size < _END.size:
            raise Unreadable("it is cut short")
        file.seek(size - _END.size)
        length, self._check, magic = _END.unpack(file.read(_END.size))
        self._room = size - _END.size - length  # of the parts
        if magic != _MAGIC or self._room < 0:
            raise Unreadable("it is cut short")
        tensors = TensorReader(self._into, self._room)
        self._makers: dict[str, Callable[[Any], Any]] = {
            "$dict": dict,
            "$tuple": tuple,
            "$set": set,
            "$frozenset": frozenset,
            "$deque": lambda node: deque(node[0], node[1]),
            "$OrderedDict": self._ordered,
            "$Counter": lambda node: Counter(dict(node)),
            "$defaultdict": lambda node: defaultdict(node[0] and _FACTORIES[node[0]], node[1]),
            "$int": lambda node: int(node, 16),
            "$str": lambda node: bytes.fromhex(node).decode("utf-8", "surrogatepass"),
            "$bytes": lambda node: bytes(self._bytes(node)),
            "$bytearray": self._bytes,
            "$complex": lambda node: complex(*node),
            "$array": self._array,
            "$scalar": self._scalar,
            "$np.str": np.str_,
            "$np.bytes": lambda node: np.bytes_(bytes.fromhex(node)),
            **tensors.makers,
        }

    def value(self) -> Any:
        """Return the value."""
        self._file.seek(self._room)
        text = self._file.read()[: -_END.size]
        if zlib.crc32(text) != self._check:
            raise Unreadable("its checksum is another one")
        return json.loads(text, object_hook=self._made)

    def _made(self, node: dict[str, Any]) -> Any:
        if len(node) == 1:
            ((tag, content),) = node.items()
            if tag[:1] == "$":
                return self._makers[tag](content)
        return node

    def _ordered(self, node: list[Any]) -> OrderedDict[Any, Any]:
        made: OrderedDict[Any, Any] = OrderedDict(node[0])
        vars(made).update(node[1])
        return made

    def _array(self, node: list[Any]) -> np.ndarray[Any, Any]:
        described, shape, order, part = node
        dtype = descr_to_dtype(described)
        if dtype.hasobject or not part[1] == prod(shape) * dtype.itemsize <= self._room:
            raise Unreadable("an array is not of its size")
        array: np.ndarray[Any, Any] = np.empty(shape, dtype, order)
        self._into(_bytes_of(array), part)
        return array

    def _scalar(self, node: list[Any]) -> Any:
        dtype = descr_to_dtype(node[0])
        if dtype.hasobject:
            raise Unreadable("a scalar is an object")
        return np.ndarray((), dtype, bytearray.fromhex(node[1]))[()]

    def _bytes(self, part: Part) -> bytearray:
        if part[1] > self._room:
            raise Unreadable("it is cut short")
        data = bytearray(part[1])
        self._into(memoryview(data), part)
        return data

    def _into(self, target: memoryview, part: Part) -> None:
        """Read a part into memory that has the part's size."""
        position, size, check = part
        if position < 0 or position + size > self._room or size != len(target):
            raise Unreadable("it is cut short")
        self._file.seek(position)
        ours = 0
        for start in range(0, size, _CHUNK):
            piece = target[start : start + _CHUNK]
            if self._file.readinto(piece) != len(piece):  # type: ignore[attr-defined]
                raise Unreadable("it is cut short")
            ours = zlib.crc32(piece, ours)
        if ours != check:
            raise Unreadable("its checksum is another one")


class Unkept(Exception):
    """Raised for an object that cannot be saved, with the reason and the path to it, innermost step first."""

    def __init__(self, obj: object, rule: str = "") -> None:
        self.obj = obj
        self.rule = rule
        self.path: list[str] = []


class Tensors:
    """The builder of the nodes of tensors, and of the list of parts to which the nodes refer.

    Tensors that share memory share it again when they are read. Memory that no tensor uses is left out.
    """

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        self._shared: dict[
            int, list[tuple[Any, list[Any]]]
        ] = {}  # by memory: tensors, and nodes to be filled in

    def is_tensor(self, obj: object) -> bool:
        """Return whether an object is a tensor."""
        return isinstance(obj, self._torch.Tensor)

    def node(self, obj: Any) -> object:
        """Return the node of one of PyTorch's objects; None for other objects.

        Raises
        ------
        Unkept
            It is a tensor of a kind that cannot be saved.
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
        """Yield each part, to be filled in, and a function that returns its bytes; complete the nodes."""
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
    """Return the range of bytes that these tensors use in the memory that they share."""
    begin, end = _MOST, 0
    for tensor in tensors:
        if tensor.numel():
            first = tensor.storage_offset()
            last = first + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride(), strict=True))
            begin = min(begin, first * tensor.element_size() // _ALIGNED * _ALIGNED)
            end = max(end, (last + 1) * tensor.element_size())
    return (begin, end) if end else (0, 0)


class TensorReader:
    """The reader of tensors; they are on the CPU.

    Parameters
    ----------
    read : callable
        ``read(target, part)`` fills memory.
    room : int
        The number of bytes of all parts in the file.

    Attributes
    ----------
    makers : dict
        By tag: the function that makes the value of a node.
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
