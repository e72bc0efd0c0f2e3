"""How many threads numerical libraries compute with."""

from __future__ import annotations

import sys
from typing import Final

__all__ = ["THREAD_VARIABLES", "limit_threads", "thread_variables"]

# Read by a library when it is loaded, and by the processes that a trial starts.
THREAD_VARIABLES: Final = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def thread_variables(threads: int) -> dict[str, str]:
    """Return the environment variables that let libraries compute with so many threads."""
    return dict.fromkeys(THREAD_VARIABLES, str(threads))


def limit_threads(threads: int) -> None:
    """Let the libraries that were loaded for one thread compute with so many."""
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
