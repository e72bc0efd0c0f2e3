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
from statistics import fmean
from typing import Any, Final

from benchmarks.measure import ROOT, describe_machine, run, say, write_json
from benchmarks.peers.environments import environment, versions
from benchmarks.peers.local_report import render

HERE: Final = Path(__file__).resolve().parent
ENVIRONMENT: Final = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
PACKAGES: Final = {
    "hbsim": ("torch",),
    "ray": ("ray", "torch"),
    "syne-local": ("syne-tune", "torch"),
}
MOST_REPORTS: Final = 20_000

Outcome = dict[str, Any]


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


CONTENDERS: Final = (
    Contender("hbsim", "hbsim", ("hbsim_local.py",), 200),
    Contender("Ray Tune, a process a trial", "ray", ("ray_local.py",), 20),
    Contender("Ray Tune, reuse_actors", "ray", ("ray_local.py", "--reuse-actors"), 200),
    Contender(
        "Ray Tune, reuse_actors, no loggers", "ray", ("ray_local.py", "--reuse-actors", "--no-loggers"), 200
    ),
    Contender("Syne Tune, LocalBackend", "syne-local", ("syne_local.py",), 20),
    Contender("no tuner, a new Python a trial", "hbsim", ("bare_local.py", "--processes"), 20, reports=False),
    Contender("no tuner, one process", "hbsim", ("bare_local.py",), 200, workers=(1,)),
)


def study_costs(outcome: Outcome, trials: int, workers: int) -> Outcome:
    """Return what a study's trials cost.

    The first tenth, or the first two, are left out of what a trial costs: there are imports that only the
    first trial of a process pays for.

    Raises
    ------
    RuntimeError
        Not all trials reported.
    """
    begun = sorted(outcome["trials"], key=lambda trial: trial["began"])
    if len(begun) != trials:
        raise RuntimeError(f"{len(begun)} trials reported instead of {trials}")
    steady = begun[max(2, trials // 10) :]
    first, last = (fmean(trial["began"] for trial in part) for part in (steady[:workers], steady[-workers:]))
    between = (last - first) / (len(steady) - workers)  # whether they start together or in turn
    trained = fmean(trial["trained"] for trial in steady[:-workers])
    return {
        "beyond_ms": 1e3 * (workers * between - trained),
        "trained_ms": 1e3 * trained,
        "reports_a_trial": outcome["seen"] / trials,
        "startup": begun[0]["began"] - outcome["called"],
        "seconds": outcome["ended"] - outcome["called"],
    }


def report_costs(outcome: Outcome, reports: int) -> Outcome:
    """Return what a trial's reports cost.

    Raises
    ------
    RuntimeError
        Not all reports were seen.
    """
    if outcome["seen"] != reports:
        raise RuntimeError(f"{outcome['seen']} reports were seen instead of {reports}")
    (trial,) = outcome["trials"]
    return {
        "report_us": 1e6 * trial["spent"] / (reports - 1),  # the last row was made before its own report
        "reports_a_second": reports / (outcome["ended"] - trial["began"]),
    }


def measure(contender: Contender, python: Path, options: argparse.Namespace, seed: int) -> Outcome:
    """Run all studies of a contender once."""
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
        costs[f"workers_{workers}"] = study_costs(told, trials, workers)
        beyond = costs[f"workers_{workers}"]["beyond_ms"]
        say(f"{contender.name}, {workers} at a time: {beyond:.1f} ms a trial")
    if contender.reports:
        costs["reports"] = report_costs(outcome("--reports", options.reports), options.reports)
        say(f"{contender.name}: {costs['reports']['reports_a_second']:,.0f} reports a second")
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
    pythons = {p: Path(sys.executable) if p == "hbsim" else environment(p, options.envs) for p in peers}
    contenders = [contender for contender in CONTENDERS if contender.peer in peers]
    runs: list[list[Outcome]] = [[] for _ in contenders]
    for seed in range(options.repeat):
        for contender, done in zip(contenders, runs, strict=True):
            done.append(measure(contender, pythons[contender.peer], options, seed))
    content = {
        "schema": 1,
        "command": described(options),
        "machine": describe_machine(),
        "load_at_start": load_at_start,
        "versions": {peer: versions(pythons[peer], PACKAGES[peer]) for peer in peers},
        "reports": options.reports,
        "repeat": options.repeat,
        "contenders": [
            {"name": contender.name, "trials": min(contender.trials, options.trials), "runs": done}
            for contender, done in zip(contenders, runs, strict=True)
        ],
    }
    write_json(options.out / "local.json", content)
    (options.out / "local.md").write_text(render(content))
    say(f"written: {options.out / 'local.md'}")


if __name__ == "__main__":
    main()
