"""What studies on other machines cost beside the local executor and Ray Tune.

``python -m benchmarks.remote_speed``. All machines are this one: two hosts that are reached by SSH on the
loopback, a Dask scheduler with two workers, and the local executor. Contenders take turns, so that a busy
minute does not fall on one alone. Ray Tune lives in an environment of its own, which is made where it is not
there yet.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from statistics import fmean, median
from typing import Any, Final

import psutil

from benchmarks.measure import ROOT, describe_machine, environment, run, say, versions
from benchmarks.pages import joined, publish, rounded, table
from benchmarks.remote_study import KINDS
from tests.remote.machines import dask_machines, processes, ssh_machines

Outcome = dict[str, Any]
MACHINES: Final = 2
RAMP: Final = 0.1  # of the trials and decisions: what only the first ones pay for
RAY: Final = "ray-scheduler"
ENVIRONMENT: Final = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
COLUMNS: Final[Mapping[str, tuple[str, str]]] = {
    "trial": ("ms a trial", ".3g"),
    "verdict": ("ms to a verdict", ".3g"),
    "decisions": ("decisions a second", ",.0f"),
    "ready": ("s until the first trial", ".3g"),
    "memory": ("MB on the hosts", ",.0f"),
    "processes": ("processes there", ".3g"),
}

TITLE: Final = "# Studies on other machines: what they cost"
NOTES: Final = """\
- *ms a trial*: from the start of a trial that does nothing to the next one's on the same worker; 2 workers,
  200 trials (Ray Tune with a process a trial: 20).
- *ms to a verdict*: one trial waits at a milestone, 20 ms between them; measured in the trial, the median.
- *decisions a second*: 32 trials at a time reach one milestone after the other, without a pause.
- *s until the first trial*: from the call of `hbsim.run` until the first training function is called. Ray
  with its processes, and the Dask cluster, run before.
- *MB on the hosts*, *processes there*: the most during the study of verdicts, for each of two hosts, the
  Dask worker included; what processes share is divided among them."""


@contextmanager
def machines(folder: Path) -> Iterator[dict[str, tuple[dict[str, Any], Path | None]]]:
    """Give hbsim's executors by name: their options, and the folder that their processes name."""
    for name in ("ssh", "dask"):
        (folder / name).mkdir()
    with ssh_machines(folder / "ssh", MACHINES) as hosts, dask_machines(folder / "dask", MACHINES) as cluster:
        names = [hosts.name(number) for number in range(MACHINES)]
        by_ssh = {"type": "hosts", "hosts": names, "ssh_key": str(hosts.hosts[0].key)}
        by_dask = {"type": "dask", "scheduler_address": cluster.cluster.address}
        yield {
            "local executor": ({"type": "local"}, None),
            "hosts by SSH": (by_ssh, folder / "ssh"),
            "a Dask cluster that runs": (by_dask, folder / "dask"),
        }


class Memory(threading.Thread):
    """The most memory that the processes of a test's machines take together, and how many they are then."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self._folder, self._over = folder, threading.Event()
        self.most, self.count = 0.0, 0

    def run(self) -> None:
        """Look now and then."""
        while not self._over.wait(0.3):
            found = processes(self._folder)
            megabytes = sum(_megabytes(process) for process in found)
            if megabytes > self.most:
                self.most, self.count = megabytes, len(found)

    def end(self) -> None:
        """Look no more."""
        self._over.set()
        self.join()


def _megabytes(process: psutil.Process) -> float:
    """Return the memory of a process; what several share is divided among them."""
    try:
        return float(process.memory_full_info().pss) / 1e6
    except psutil.Error:  # it has ended
        return 0.0


def hbsim_costs(about: dict[str, Any], folder: Path | None) -> Outcome:
    """Run the studies of one of hbsim's executors once."""
    found: Outcome = {}
    for kind in KINDS:
        memory = None if folder is None or kind != "verdict" else Memory(folder)
        if memory is not None:
            memory.start()
        command = [sys.executable, str(ROOT / "benchmarks" / "remote_study.py"), kind, json.dumps(about)]
        outcome = json.loads(run(command, ENVIRONMENT).output.splitlines()[-1])
        if memory is not None:
            memory.end()
            found |= {"memory": memory.most / MACHINES, "processes": memory.count / MACHINES}
        found |= figures(kind, outcome)
    return found


def figures(kind: str, outcome: Outcome) -> Outcome:
    """Return what a study says of its executor."""
    began: dict[int, float] = {}
    for row in outcome["reports"]:
        began[row["trial"]] = min(row["began"], began.get(row["trial"], row["began"]))
    if kind == "still":
        return {"trial": trial(sorted(began.values())), "ready": min(began.values()) - outcome["called"]}
    if kind == "verdict":
        return {"verdict": 1e3 * median(row["trip"] for row in outcome["reports"] if row["trip"])}
    times = sorted(outcome["milestones"])
    few = int(RAMP * len(times))
    return {"decisions": (len(times) - 2 * few) / (times[-few - 1] - times[few])}


def trial(began: Sequence[float]) -> float:
    """Return a worker's milliseconds from the start of a trial that does nothing to the next one's."""
    steady, workers = began[int(RAMP * len(began)) :], 2
    seconds = fmean(steady[-workers:]) - fmean(steady[:workers])
    return 1e3 * workers * seconds / (len(steady) - workers)


def ray_costs(python: Path, trials: int, *options: str) -> Outcome:
    """Run trials that do nothing with Ray Tune, two at a time, once."""
    driver = str(ROOT / "benchmarks" / "peers" / "with_ray.py")
    command = [
        str(python),
        driver,
        "trials_that_do_nothing",
        "--trials",
        str(trials),
        "--workers",
        "2",
        *options,
    ]
    outcome = json.loads(run(command, ENVIRONMENT).output.splitlines()[-1])
    return figures("still", outcome)


def rounds(count: int, ray: Path | None) -> dict[str, list[Outcome]]:
    """Run all contenders in turn."""
    found: dict[str, list[Outcome]] = {}
    with tempfile.TemporaryDirectory() as folder, machines(Path(folder)) as executors:
        measures: dict[str, Callable[[], Outcome]] = {
            name: lambda given=given: hbsim_costs(*given) for name, given in executors.items()
        }
        if ray is not None:
            measures["Ray Tune, a process a trial"] = lambda: ray_costs(ray, 20)
            measures["Ray Tune, reuse_actors"] = lambda: ray_costs(ray, 200, "--reuse-actors")
        for _ in range(count):
            for name, measure in measures.items():
                costs = measure()
                say(f"{name}: " + ", ".join(f"{key} {value:.4g}" for key, value in costs.items()))
                found.setdefault(name, []).append(costs)
    return found


def render(content: Mapping[str, Any]) -> str:
    """Return the page."""
    rows = [
        [name, *(_cell([run[key] for run in runs if key in run], form) for key, (_, form) in COLUMNS.items())]
        for name, runs in content["rounds"].items()
    ]
    shown = table(["", *(head for head, _ in COLUMNS.values())], rows)
    machine = content["machine"]
    about = f"{machine['processor']}, {machine['cores']} cores, Python {machine['python']}"
    tools = ", ".join(f"{name} {machine[name]}" for name in ("hbsim", "distributed", "asyncssh"))
    load = f"load average at the start {content['load']:.1f}, and a busy machine is slower"
    rounds = f"Medians of {content['count']} rounds, the least and the most in brackets."
    head = f"Written by `{content['command']}`, with the figures in `remote.json`. {rounds}"
    machine_line = f"- {about}; the controller, the hosts and the trials share it; {load}"
    parts = [TITLE, head, f"{machine_line}\n- {tools}{content['ray']}", shown, NOTES]
    return joined(*parts)


def _cell(values: Sequence[float], form: str) -> str:
    if not values:
        return "–"
    form = ",.0f" if max(values) >= 1000 else form
    return f"{median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def main() -> None:
    """Measure and write it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="runs of everything")
    parser.add_argument("--no-ray", action="store_true", help="without Ray Tune")
    parser.add_argument("--envs", type=Path, default=Path(tempfile.gettempdir()) / "hbsim-peers")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "speed", help="a folder")
    options = parser.parse_args()
    ray = None if options.no_ray else environment(RAY, options.envs)
    load, began = os.getloadavg()[0], time.strftime("%Y-%m-%d")
    found = rounds(options.rounds, ray)
    given = "" if options.rounds == 3 else f" --rounds {options.rounds}"
    content = {
        "schema": 1,
        "command": f"python -m benchmarks.remote_speed{given}",
        "date": began,
        "machine": describe_machine() | {name: version(name) for name in ("distributed", "asyncssh")},
        "ray": "" if ray is None else f", ray {versions(ray, ('ray',))['ray']}",
        "load": load,
        "count": options.rounds,
        "rounds": rounded(found),
    }
    publish(options.out, "remote", content, render(content))


if __name__ == "__main__":
    main()
