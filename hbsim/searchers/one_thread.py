"""Computing on one thread, so that the bytes do not depend on how many cores there are."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

__all__ = ["one_thread"]


@contextmanager
def one_thread() -> Iterator[None]:
    """Have the BLAS, and PyTorch if it is loaded, work on one thread; what was set before is put back."""
    torch = sys.modules.get("torch")
    threads = 0 if torch is None else torch.get_num_threads()
    if torch is not None:
        torch.set_num_threads(1)
    try:
        with threadpool_limits(1, user_api="blas"):
            yield
    finally:
        if torch is not None:
            torch.set_num_threads(threads)
