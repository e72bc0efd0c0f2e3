"""How a Dask worker's plugin starts an agent: by which command, and in which environment."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["agent_command", "agent_environment"]

_MODULE: Final = "hbsim.executors.dask.agent"
_OF_DASK: Final = ("DASK_INTERNAL_INHERIT_CONFIG", "__DASK_PARENT_PID")


def agent_command() -> tuple[str, ...]:
    """Return what starts an agent in the Python that runs this.

    The current folder is no place to look for modules, unless hbsim itself is there.
    """
    root = Path(sys.modules["hbsim"].__file__ or "").resolve().parents[1]
    with suppress(OSError):  # the current folder has been removed
        if root.samefile(os.curdir):
            return (sys.executable, "-m", _MODULE)
    return (sys.executable, "-P", "-m", _MODULE)


def agent_environment(nanny: bool) -> dict[str, str]:
    """Return the environment of an agent: that of this Dask worker as it was before Dask's nanny.

    A nanny limits numerical libraries to one thread, for Dask's own tasks; trials get as many as their
    workers have cores. Nor has a trial that uses Dask itself the configuration that this worker was started
    with, or does it belong to its process.
    """
    environment = {name: value for name, value in os.environ.items() if name not in _OF_DASK}
    if nanny:
        import dask

        before = _environment_of(os.getppid())
        for name in dask.config.get("distributed.nanny.pre-spawn-environ", {}):
            if name in before:
                environment[name] = before[name]
            else:
                environment.pop(name, None)
    return environment


def _environment_of(pid: int) -> dict[str, str]:
    """Return what a process was started with; empty where that is unknown."""
    try:
        content = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return {}
    pairs = (os.fsdecode(entry).partition("=") for entry in content.split(b"\0") if b"=" in entry)
    return {name: value for name, _, value in pairs}
