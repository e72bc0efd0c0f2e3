"""Child processes, what they cost, the machine they ran on, and a yardstick for it.

The yardstick: the same number of events with nothing to decide, on bare SimPy and on a bare heap. Other tools
run in virtual environments that are made where they are not there yet.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heapify, heapreplace
from importlib.metadata import version
from itertools import cycle, islice
from pathlib import Path
from typing import Final

import simpy

DELAYS = [1.0 + (turn * 17) % 97 / 10 for turn in range(97)]


def run_simpy(events: int, workers: int) -> float:
    """Let each of `workers` processes wait for its share of `events` timeouts; return the last time."""
    environment = simpy.Environment()

    def work(worker: int) -> Iterator[simpy.Event]:
        for delay in islice(cycle(DELAYS), worker, worker + events // workers):
            yield environment.timeout(delay)

    for worker in range(workers):
        environment.process(work(worker))
    environment.run()
    return float(environment.now)


def run_heap(events: int, workers: int) -> float:
    """Take the soonest of `workers` entries and put its next one in, `events` times; return the last time."""
    heap = [(1.0, worker, worker) for worker in range(workers)]
    heapify(heap)
    now = 0.0
    serial = workers
    for delay in islice(cycle(DELAYS), events):
        now, _, worker = heap[0]
        serial += 1
        heapreplace(heap, (now + delay, serial, worker))
    return now


def timed_simpy(events: int, workers: int) -> float:
    """Return the cpu seconds of `run_simpy`."""
    start = time.process_time()
    run_simpy(events, workers)
    return time.process_time() - start


ROOT: Final = Path(__file__).resolve().parents[1]
YARDSTICK: Final = 1_500_000  # timeouts


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
    source = f"from benchmarks.measure import timed_simpy; print(timed_simpy({YARDSTICK}, 32))"
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


def conditions() -> dict[str, object]:
    """Return what is measured on: the machine, and how busy it is now."""
    return {"machine": describe_machine(), "load_at_start": os.getloadavg()[0]}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    fields = dict(part for line in lines if len(part := [x.strip() for x in line.split(":", 1)]) == 2)
    model = fields.get("model name", "unknown")
    return f"{model} (family {fields.get('cpu family')}, model {fields.get('model')})"


def say(text: str) -> None:
    """Tell whoever waits."""
    print(text, file=sys.stderr, flush=True)


PEERS: Final = Path(__file__).resolve().parent / "peers"


def environment(name: str, envs: Path) -> Path:
    """Return the interpreter of the environment of ``requirements-NAME.txt``; make it if need be."""
    folder = envs / f".venv-{name}"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    requirements = PEERS / f"requirements-{name}.txt"
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
