"""Child processes, what they cost, and the machine they ran on."""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

__all__ = ["ROOT", "Cost", "describe_machine", "rounded", "run", "say", "write_json", "yardstick"]

ROOT: Final = Path(__file__).resolve().parents[1]
YARDSTICK: Final = 1_500_000  # timeouts
DIGITS: Final = 6  # of figures that are kept: the rest may differ between machines


@dataclass(frozen=True, slots=True)
class Cost:
    """What a child process took.

    Attributes
    ----------
    wall, cpu : float
        Seconds; cpu is user and system.
    megabytes : float
        Peak resident memory.
    output : str
        What it wrote to stdout.
    """

    wall: float
    cpu: float
    megabytes: float
    output: str


def run(command: list[str], environment: dict[str, str] | None = None) -> Cost:
    """Run a command in the repository's root, with this environment if given; raise if it fails.

    Raises
    ------
    RuntimeError
        It exits with another code than 0; the message holds its last lines.
    """
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        child = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=errors, env=environment)
        _, status, usage = os.wait4(child.pid, 0)  # this child's alone, not of all so far
        wall = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        output = out.read()
        if child.returncode:
            errors.seek(0)
            tail = "\n".join((output + errors.read()).splitlines()[-15:])
            raise RuntimeError(f"{' '.join(command)} exited with {child.returncode}:\n{tail}")
    per_megabyte = 1024 if sys.platform != "darwin" else 1024 * 1024
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / per_megabyte, output)


def yardstick() -> float:
    """Return the cpu seconds of 1.5 million timeouts in bare SimPy, by 32 processes, in a child."""
    source = f"from benchmarks.limits import timed_simpy; print(timed_simpy({YARDSTICK}, 32))"
    return float(run([sys.executable, "-c", source]).output)


def describe_machine() -> dict[str, object]:
    """Return processor, cores, memory, system, and the versions that matter."""
    packages = ("hbsim", "numpy", "polars", "simpy")
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    fields = dict(part for line in lines if len(part := [x.strip() for x in line.split(":", 1)]) == 2)
    model = fields.get("model name", "unknown")
    return f"{model} (family {fields.get('cpu family')}, model {fields.get('model')})"


def write_json(path: Path, content: dict[str, object]) -> None:
    """Write one JSON object, indented."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def rounded(value: Any) -> Any:
    """Return plain types with floats of `DIGITS` digits; None for what is no finite number."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: rounded(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(one) for one in value]
    return value


def say(text: str) -> None:
    """Tell whoever waits."""
    print(text, file=sys.stderr, flush=True)
