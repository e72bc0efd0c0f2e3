"""A virtual environment a peer, made where it is not there yet."""

from __future__ import annotations

import json
import os
import subprocess
import venv
from pathlib import Path
from typing import Final

from benchmarks.measure import run, say

__all__ = ["environment", "versions"]

HERE: Final = Path(__file__).resolve().parent


def environment(name: str, envs: Path) -> Path:
    """Return the interpreter of the environment of ``requirements-NAME.txt``; make it if need be."""
    folder = envs / f".venv-{name}"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    requirements = HERE / f"requirements-{name}.txt"
    marker = folder / "installed.txt"
    if not (marker.is_file() and marker.read_text() == requirements.read_text()):
        say(f"making the environment of {requirements.name}")
        venv.create(folder, clear=True, with_pip=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "-r", str(requirements)], check=True)
        marker.write_text(requirements.read_text())
    return python


def versions(python: Path | str, packages: tuple[str, ...]) -> dict[str, str]:
    """Return the versions of packages in an environment."""
    source = "import json, sys; from importlib.metadata import version as v; "
    source += "print(json.dumps({name: v(name) for name in sys.argv[1:]}))"
    found: dict[str, str] = json.loads(run([str(python), "-c", source, *packages]).output)
    return found
