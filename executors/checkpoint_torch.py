"""Checkpoints by PyTorch: only what ``torch.load(weights_only=True)`` reads back, which runs no code."""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from hbsim.errors import ParameterError

__all__ = ["Unreadable", "read", "verify", "write"]

_WITHOUT = "without PyTorch, checkpoints are None, bool, int, finite float, str, lists, dicts with text keys"
_UNSAFE = "cannot be loaded again safely (weights_only=True); save tensors and plain values"
_DEPTH = 50


class Unreadable(Exception):
    """PyTorch does not read the file."""


class _Sink:
    """Takes what PyTorch writes; a full disk must not become an exception in its C++ code."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        if self.error is None:
            try:
                self._file.write(data)
            except OSError as error:
                self.error = error
        return len(data)

    def flush(self) -> None:
        """Do nothing: who opened the file flushes it."""


def write(file: IO[bytes], obj: object) -> None:
    """Write `obj`.

    Raises
    ------
    ParameterError
        PyTorch is not installed, or cannot write it.
    OSError
        The file cannot be written.
    """
    if importlib.util.find_spec("torch") is None:
        raise _refused(obj, _WITHOUT, torch=False)
    sink = _Sink(file)
    try:
        _torch().save(obj, sink)
    except (MemoryError, OSError):
        raise
    except Exception as error:
        raise _refused(obj, f"PyTorch cannot save it: {_first_line(error)}") from error
    if sink.error is not None:
        raise sink.error


def read(path: Path, mmap: bool = False) -> Any:
    """Read what was written, to the CPU; with `mmap` the tensors' values not before they are looked at.

    Raises
    ------
    Unreadable
        PyTorch does not.
    """
    try:
        return _torch().load(str(path), weights_only=True, map_location="cpu", mmap=mmap)
    except (MemoryError, OSError):
        raise
    except Exception as error:
        raise Unreadable(_first_line(error)) from error


def verify(path: Path, obj: object) -> None:
    """Check that `read` will read the file.

    Raises
    ------
    ParameterError
        It will not.
    """
    try:
        read(path, mmap=True)
    except Unreadable as error:
        raise _refused(obj, _UNSAFE) from error


def _torch() -> Any:
    return importlib.import_module("torch")


def _refused(obj: object, rule: str, torch: bool = True) -> ParameterError:
    where, value = next(_odd(obj, torch), ("checkpoint", obj))
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return ParameterError(where, name, rule)


def _odd(obj: object, torch: bool, where: str = "checkpoint", depth: int = 0) -> Iterator[tuple[str, object]]:
    """Yield what cannot be read back, with PyTorch or without, and where it is."""
    if depth > _DEPTH:
        yield where, obj
    elif isinstance(obj, dict) and (torch or type(obj) is dict):
        for key, value in obj.items():
            if not torch and type(key) is not str:
                yield f"{where}, a key", key
            yield from _odd(value, torch, f"{where}[{key!r}]", depth + 1)
    elif type(obj) is list or (torch and isinstance(obj, tuple)):
        for index, value in enumerate(obj):
            yield from _odd(value, torch, f"{where}[{index}]", depth + 1)
    elif not (_is_readable(obj) if torch else _is_plain(obj)):
        yield where, obj


def _is_readable(obj: object) -> bool:
    return _is_plain(obj, finite=False) or type(obj).__module__.partition(".")[0] == "torch"


def _is_plain(obj: object, finite: bool = True) -> bool:
    if type(obj) is float:
        return math.isfinite(obj) or not finite
    return obj is None or type(obj) in (bool, int, str)


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0][:200] if lines else type(error).__name__
