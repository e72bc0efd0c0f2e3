"""Where a study ran: versions, hardware, and the revision of the code around it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from hbsim.executors.devices import Gpu, Nvml, cpu_limit, cpus, driver_version, gpus

__all__ = ["environment"]

_PACKAGES = ("torch", "numpy", "polars")
_GIT_SECONDS = 5.0


def environment(nvml: Nvml | None = None) -> dict[str, object]:
    """Describe this process and its machine in plain JSON types. Never raises; what is unknown is absent.

    Parameters
    ----------
    nvml : Nvml, optional
        Answers instead of the NVIDIA driver.

    Returns
    -------
    dict
        - ``time``: ISO 8601, UTC; ``platform``, ``host``, ``argv``, ``cwd``: strings, of ``argv`` a list
        - ``versions``: of hbsim and python, and of torch, numpy and polars where they are installed
        - ``cpu``: ``model``, ``count`` of cores to use, and ``limit`` where a quota allows fewer, in cores
        - ``memory``: bytes
        - ``gpus``: a list of ``name``, ``memory`` (bytes, or None) and ``uuid``; ``driver``: NVIDIA's version
        - ``git``: ``revision`` of the working folder, and whether it is ``dirty``, a tracked file changed
    """
    pieces: dict[str, Callable[[], object]] = {
        "time": lambda: datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": _versions,
        "platform": platform.platform,
        "host": platform.node,
        "cpu": _cpu,
        "memory": _memory,
        "gpus": lambda: [_described(gpu) for gpu in gpus(os.environ, nvml)],
        "driver": lambda: driver_version(nvml),
        "git": _git,
        "argv": lambda: list(sys.argv),
        "cwd": os.getcwd,
    }
    found: dict[str, object] = {}
    for name, piece in pieces.items():
        with suppress(Exception):  # no study fails for want of a line about where it ran
            value = piece()
            if value is not None:
                found[name] = value
    return found


def _versions() -> dict[str, str]:
    versions = {"hbsim": sys.modules["hbsim"].__version__, "python": platform.python_version()}
    for package in _PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return versions


def _cpu() -> dict[str, object]:
    cpu: dict[str, object] = {"model": _cpu_model(), "count": len(cpus())}
    limit = cpu_limit()
    if limit is not None and limit < len(cpus()):
        cpu["limit"] = limit
    return cpu


def _cpu_model() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    if sys.platform == "darwin":
        with suppress(OSError, subprocess.SubprocessError):
            return _output("sysctl", "-n", "machdep.cpu.brand_string")
    return platform.processor() or platform.machine()


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _described(gpu: Gpu) -> dict[str, object]:
    return {"name": gpu.name, "memory": gpu.memory, "uuid": gpu.uuid}


def _git() -> dict[str, object]:
    git: dict[str, object] = {"revision": _output("git", "rev-parse", "--verify", "HEAD")}
    with suppress(OSError, subprocess.SubprocessError):
        # New files do not count: the study's own folder is often one.
        git["dirty"] = bool(_output("git", "status", "--porcelain", "--untracked-files=no"))
    return git


def _output(*command: str) -> str:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        timeout=_GIT_SECONDS,
        env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},  # only look: leave the index as it is
    )
    return done.stdout.strip()
