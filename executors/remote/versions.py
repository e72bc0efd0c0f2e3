"""The versions of hbsim, Python and PyTorch, and whether a host's go together with this process's."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from collections.abc import Mapping
from contextlib import suppress

__all__ = ["differences", "versions"]


def versions() -> dict[str, str]:
    """Return the versions of hbsim and Python, and of PyTorch where it is installed."""
    found = {"hbsim": sys.modules["hbsim"].__version__, "python": platform.python_version()}
    with suppress(importlib.metadata.PackageNotFoundError):
        found["torch"] = importlib.metadata.version("torch")
    return found


def differences(ours: Mapping[str, str], theirs: Mapping[str, str]) -> tuple[str, str]:
    """Compare a host's versions with this process's.

    Returns
    -------
    error, warning : str
        What does not go together: another hbsim, or another minor version of Python. And what may make trials
        differ: another version of PyTorch, of whatever build. Empty where there is nothing to say.
    """
    errors, warnings = [], []
    if theirs.get("hbsim") != ours["hbsim"]:
        errors.append(_pair("hbsim", ours, theirs))
    if _minor(theirs.get("python", "")) != _minor(ours["python"]):
        errors.append(_pair("python", ours, theirs))
    torch = {_public(found["torch"]) for found in (ours, theirs) if "torch" in found}
    if "torch" in ours and ("torch" not in theirs or len(torch) > 1):
        warnings.append(_pair("torch", ours, theirs))
    return ", ".join(errors), ", ".join(warnings)


def _pair(name: str, ours: Mapping[str, str], theirs: Mapping[str, str]) -> str:
    found = f"{name} {theirs[name]}" if name in theirs else f"no {name}"
    return f"{found} instead of {ours[name]}"


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]


def _public(version: str) -> str:
    """Leave out the build: 2.9.0+cpu and 2.9.0+cu128 are the same version."""
    return version.partition("+")[0]
