"""Many trials at a time in hbsim and in Ray Tune: `python -m benchmarks.peers.dask_ray --help`.

Trials only sleep, so that two cores bear 64 of them. Each tuner runs the same training (`sleeping.py`) under
asynchronous successive halving of the stopping type. Runs take turns, so that a busy minute does not fall on
one alone. Ray Tune lives in an environment of its own, which is made where it is not there yet.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from benchmarks.dask_cluster import cluster
from benchmarks.measure import ROOT, describe_machine, run, say, write_json
from benchmarks.peers.dask_ray_costs import Outcome, crowd, trial
from benchmarks.peers.dask_ray_page import render
from benchmarks.peers.environments import environment, versions

HERE: Final = Path(__file__).resolve().parent
ENVIRONMENT: Final = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
RAY: Final = "ray-scheduler"
PROCESSES: Final = 4  # Dask workers
PAIR: Final = 2  # trials at a time, of those that do nothing


@dataclass(frozen=True, slots=True)
class Contender:
    """A tuner, and how it is run.

    Attributes
    ----------
    name : str
        In the tables.
    command : tuple of str
        The driver, and its options; ``DASK`` stands for the cluster.
    many, few : int
        Trials that sleep, and that do nothing: fewer where one takes seconds.
    crowds : int
        In how many rounds the first of these are run at most.
    """

    name: str
    command: tuple[str, ...]
    many: int = 640
    few: int = 200
    crowds: int = 3


LOCAL: Final = Contender("hbsim, local executor", ("hbsim_sleeping.py",))
DASK: Final = Contender("hbsim on Dask", ("hbsim_sleeping.py", "--dask", "DASK"))
CONTENDERS: Final = (
    LOCAL,
    DASK,
    Contender("Ray Tune, a process a trial", ("ray_sleeping.py",), 96, 20, 1),
    Contender("Ray Tune, reuse_actors", ("ray_sleeping.py", "--reuse-actors"), crowds=1),
    Contender(
        "Ray Tune, reuse_actors, no loggers", ("ray_sleeping.py", "--reuse-actors", "--no-loggers"), crowds=1
    ),
)


def measure(contender: Contender, python: str, executor: str, workers: int, seed: int) -> Outcome:
    """Run a contender's studies once: that of many trials in the first rounds only, where they take long."""
    driver, *own = (executor if word == "DASK" else word for word in contender.command)
    command = [python, str(HERE / driver), *own, "--seed", str(seed)]

    def outcome(trials: int, at_a_time: int, *more: str) -> Outcome:
        words = ["--trials", str(trials), "--workers", str(at_a_time), *more]
        found: Outcome = json.loads(run([*command, *words], ENVIRONMENT).output.splitlines()[-1])
        return found

    costs = {"trial": trial(outcome(contender.few, PAIR, "--still"), contender.few, PAIR)}
    say(f"{contender.name}: {costs['trial']['trial_ms']:.1f} ms a trial")
    if seed < contender.crowds:
        many = costs["crowd"] = crowd(outcome(contender.many, workers), contender.many, workers)
        say(f"{contender.name}: {many['rate']:.1f} of {many['limit']:.1f} decisions a second")
    return costs


def rounds(options: argparse.Namespace, ray: Path) -> list[list[Outcome]]:
    """Run all contenders in turn."""
    found = []
    with (
        tempfile.TemporaryDirectory() as folder,
        cluster(Path(folder), PROCESSES) as there,
    ):
        executor = json.dumps(there.executor)
        for seed in range(options.repeat):
            costs = []
            for contender in CONTENDERS:
                python = str(ray) if contender.command[0].startswith("ray") else sys.executable
                costs.append(measure(contender, python, executor, options.workers, seed))
            found.append(costs)
    return found


def main() -> None:
    """Measure and write it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=3, help="runs of everything")
    parser.add_argument("--workers", type=int, default=64, help="trials at a time")
    parser.add_argument("--envs", type=Path, default=Path(tempfile.gettempdir()) / "hbsim-peers")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "peers", help="a folder")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    ray = environment(RAY, options.envs)
    found = rounds(options, ray)
    given = "" if options.repeat == 3 else f" --repeat {options.repeat}"
    given += "" if options.workers == 64 else f" --workers {options.workers}"
    content = {
        "schema": 1,
        "command": f"python -m benchmarks.peers.dask_ray{given}",
        "machine": describe_machine() | {"distributed": version("distributed")},
        "load_at_start": load,
        "versions": versions(ray, ("ray",)),
        "repeat": options.repeat,
        "workers": options.workers,
        "processes": PROCESSES,
        "contenders": [
            {"name": c.name, "many": c.many, "few": c.few, "runs": list(runs)}
            for c, runs in zip(CONTENDERS, zip(*found, strict=True), strict=True)
        ],
    }
    write_json(options.out / "dask.json", content)
    (options.out / "dask.md").write_text(render(content))
    say(f"written: {options.out / 'dask.md'}")


if __name__ == "__main__":
    main()
