"""What the warm server loads before it forks, so that trials' processes need not."""

from __future__ import annotations

import ast
import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import CodeType

from hbsim.executors import huge_pages, proc

__all__ = ["obstacle", "uses", "warm_up"]


def warm_up(function: Callable[..., object], source: Path | None) -> None:
    """Load what trials will need, and put it out of the garbage collector's sight.

    PyTorch is loaded if the function's file imports it anywhere. No backward pass, no CUDA call: neither
    survives a fork.

    Parameters
    ----------
    function : callable
        The training function.
    source : Path, optional
        Its file.
    """
    if "torch" in sys.modules or uses("torch", function, source):
        with suppress(ImportError):
            _warm_torch()
    gc.collect()
    gc.freeze()  # collections in a trial would touch, and so copy, every page
    huge_pages.collapse()


def uses(library: str, function: Callable[..., object], source: Path | None) -> bool:
    """Whether the function, or anything in its file, imports a library."""
    names = set(_imported_by_code(getattr(function, "__code__", None)))
    if source is not None:
        with suppress(OSError, SyntaxError, ValueError):
            names.update(_imported_by_file(source))
    return any(name.partition(".")[0] == library for name in names)


def obstacle() -> str | None:
    """Return why this process had better not be forked, None if nothing speaks against it."""
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    if cuda is not None and cuda.is_initialized():
        return "has started CUDA, which no forked process can use"
    threads = proc.thread_count()
    if threads > 1:
        return f"has started threads ({threads - 1}), whose locks a forked process may wait for without end"
    return None


def _warm_torch() -> None:
    import torch

    torch.set_num_threads(1)
    # The first optimizer of a process imports torch._dynamo and sympy, which takes most of a second.
    torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1).zero_grad()


def _imported_by_file(source: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(source.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def _imported_by_code(code: CodeType | None) -> Iterator[str]:
    """Names that the code mentions, imports among them."""
    if code is not None:
        yield from code.co_names
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                yield from _imported_by_code(constant)
