"""What real trials cost in hbsim and in other tuners: `python -m benchmarks.peers.local --help`.

Every tuner runs the same training code (`local_training.py`) on this machine's cores, in an environment of
its own that is made where it is not there yet. Runs are repeated in turn, not in a row, so that a busy
minute does not fall on one tuner alone.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.measure import ROOT, describe_machine, run, say, write_json
from benchmarks.peers.environments import environment, versions
from benchmarks.peers.local_costs import Outcome, report_costs, study_costs
from benchmarks.peers.local_report import render

HERE: Final = Path(__file__).resolve().parent
ENVIRONMENT: Final = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
PACKAGES: Final = {
    "hbsim": ("torch",),
    "ray": ("ray", "torch"),
    "syne-local": ("syne-tune", "torch"),
}
MOST_REPORTS: Final = 20_000


@dataclass(frozen=True, slots=True)
class Contender:
    """A tuner, and how it is run.

    Attributes
    ----------
    name : str
        In the tables.
    peer : str
        Whose environment; hbsim's is the one that runs this.
    command : tuple of str
        The driver, and its options.
    trials : int
        In a study; fewer where a trial takes seconds.
    workers : tuple of int
        How many trials at a time.
    reports : bool
        Whether it also runs the trial that only reports.
    """

    name: str
    peer: str
    command: tuple[str, ...]
    trials: int
    workers: tuple[int, ...] = (1, 2)
    reports: bool = True


# Its epochs are the warm ones; it runs first.
WARM: Final = Contender("no tuner, one process", "hbsim", ("bare_local.py",), 200, workers=(1,))
CONTENDERS: Final = (
    WARM,
    Contender("hbsim", "hbsim", ("hbsim_local.py",), 200),
    Contender("Ray Tune, a process a trial", "ray", ("ray_local.py",), 20),
    Contender("Ray Tune, reuse_actors", "ray", ("ray_local.py", "--reuse-actors"), 200),
    Contender(
        "Ray Tune, reuse_actors, no loggers", "ray", ("ray_local.py", "--reuse-actors", "--no-loggers"), 200
    ),
    Contender("Syne Tune, LocalBackend", "syne-local", ("syne_local.py",), 20),
    Contender("no tuner, a new Python a trial", "hbsim", ("bare_local.py", "--processes"), 20, reports=False),
)


def measure(
    contender: Contender, python: Path, options: argparse.Namespace, seed: int, warm: float | None
) -> Outcome:
    """Run all studies of a contender once; `warm` is as in `study_costs`."""
    driver, *own = contender.command
    command = [str(python), str(HERE / driver), *own, "--seed", str(seed)]

    def outcome(*extra: object) -> Outcome:
        output = run([*command, *map(str, extra)], ENVIRONMENT).output
        found: Outcome = json.loads(output.splitlines()[-1])
        return found

    trials = min(contender.trials, options.trials)
    costs: Outcome = {}
    for workers in contender.workers:
        told = outcome("--trials", trials, "--workers", workers)
        costs[f"workers_{workers}"] = study_costs(told, trials, workers, warm)
        beyond = costs[f"workers_{workers}"]["beyond_warm_ms"]
        say(f"{contender.name}, {workers} at a time: {beyond:.1f} ms a trial beyond training")
    if contender.reports:
        costs["reports"] = report_costs(outcome("--reports", options.reports), options.reports)
        say(f"{contender.name}: {costs['reports']['reports_a_second']:,.0f} reports a second")
    return costs


def one_round(
    contenders: list[Contender], pythons: dict[str, Path], options: argparse.Namespace, seed: int
) -> list[Outcome]:
    """Run every contender once."""
    costs: list[Outcome] = []
    warm = None
    for contender in contenders:
        costs.append(measure(contender, pythons[contender.peer], options, seed, warm))
        if contender is WARM:
            warm = costs[-1]["workers_1"]["own_ms"] / costs[-1]["workers_1"]["epochs"]
    return costs


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", choices=tuple(PACKAGES), action="append", help="all of them unless given")
    parser.add_argument("--repeat", type=int, default=3, help="runs of everything")
    parser.add_argument("--trials", type=int, default=200, help="at most, in a study")
    parser.add_argument("--reports", type=int, default=MOST_REPORTS, help="of the trial that only reports")
    parser.add_argument("--envs", type=Path, default=Path(tempfile.gettempdir()) / "hbsim-peers")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "peers", help="a folder")
    options = parser.parse_args()
    if min(options.trials - 4, options.repeat, options.reports - 1) < 1:
        parser.error("it takes 5 trials, 2 reports and 1 repeat at least")
    return options


def described(options: argparse.Namespace) -> str:
    """Return the command that makes the page again."""
    words = [f" --peer {peer}" for peer in options.peer or ()]
    defaults = {"repeat": 3, "trials": 200, "reports": MOST_REPORTS}
    given = {name: getattr(options, name) for name in defaults}
    words += [f" --{name} {value}" for name, value in given.items() if value != defaults[name]]
    return "python -m benchmarks.peers.local" + "".join(words)


def main() -> None:
    """Measure and write it down."""
    options = parse()
    load_at_start = os.getloadavg()[0]
    peers = options.peer or list(PACKAGES)
    pythons = {"hbsim": Path(sys.executable)}
    pythons |= {peer: environment(peer, options.envs) for peer in peers if peer != "hbsim"}
    contenders = [c for c in CONTENDERS if c.peer in peers or c is WARM]
    rounds = [one_round(contenders, pythons, options, seed) for seed in range(options.repeat)]
    content = {
        "schema": 1,
        "command": described(options),
        "machine": describe_machine(),
        "load_at_start": load_at_start,
        "versions": {peer: versions(pythons[peer], PACKAGES[peer]) for peer in pythons},
        "reports": options.reports,
        "repeat": options.repeat,
        "contenders": [
            {"name": c.name, "trials": min(c.trials, options.trials), "runs": list(runs)}
            for c, runs in zip(contenders, zip(*rounds, strict=True), strict=True)
        ],
    }
    write_json(options.out / "local.json", content)
    (options.out / "local.md").write_text(render(content))
    say(f"written: {options.out / 'local.md'}")


if __name__ == "__main__":
    main()
