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
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any, Final

from benchmarks.measure import ROOT, conditions, environment, run, say, versions
from benchmarks.pages import joined, machine_lines, publish, table

Outcome = dict[str, Any]


def study_costs(outcome: Outcome, trials: int, workers: int, warm: float | None) -> Outcome:
    """Return what a study's trials cost.

    The first tenth, or the first two, are left out of what a trial costs: there are imports that only the
    first trial of a process pays for.

    Parameters
    ----------
    outcome : dict
        What the driver said.
    trials, workers : int
        How many trials, and how many at a time.
    warm : float or None
        Milliseconds of an epoch in a process that has trained before; None: as in these trials themselves.

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
    whole = 1e3 * workers * between
    own = 1e3 * fmean(trial["trained"] for trial in steady[:-workers])
    epochs = fmean(trial["epoch"] for trial in steady[:-workers])
    same = own if warm is None else epochs * warm
    return {
        "trial_ms": whole,
        "own_ms": own,
        "beyond_own_ms": whole - own,
        "warm_ms": same,
        "beyond_warm_ms": whole - same,
        "epochs": epochs,
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


Row = dict[str, Any]

TRIALS: Final = (
    "tuner", "trials", "at a time", "ms a trial", "its SGD steps", "beyond them", "such steps, warm",
    "beyond those", "reports a trial", "s until the first trial", "s in all",
)  # fmt: skip
REPORTS: Final = ("tuner", "us a report costs the trial", "reports a second")

WHAT: Final = """
Real trials, each on one core. Every tuner runs the same code: a model of two small layers, an epoch of
three SGD steps, a report an epoch, up to nine epochs; random search for the learning rate; asynchronous
successive halving of the stopping type, max_t 9, grace_period 1, reduction_factor 3. Seeds are the same,
but each tuner draws learning rates in its own way, and has its own rule for ties and few results: how many
epochs a trial trains differs a little, as the reports a trial show."""

SUBTRACTED: Final = """
A trial takes the time from the start of its function to the start of the next one's, in a steady study:
the first tenth of the trials, or the first two, are left out. It is multiplied by how many run at a time:
a worker's time, not the study's. Starting up the tuner is not in it, nor closing the study: the last
columns say how long it was until the first trial ran, and in all.

Training is subtracted in two ways. Its SGD steps: the seconds that trials measured around their steps.
Such steps, warm: as many epochs as they trained, each as long as in a process that has trained many
trials before ("no tuner, one process", in the same round). The two differ where the first step in a new
process is slow, as it is in a forked one, which copies the memory that it writes to: the first way calls
that training, the second overhead. What stays is all that comes with a trial: starting and ending its
process, imports, building model and optimizer, its reports and the decisions."""

NOTES: Final = """
- hbsim: its local executor, a process a trial, one core each (`resource={"num_cpus": 1}`: a trial that
  runs alone would get all of them); its journal is kept and its tables are written.
- Ray Tune: `tune.Tuner` with a function, as its documentation does it, files of its loggers included. By
  default every trial gets a process of its own; with `reuse_actors=True` trials share one, so a trial that
  leaks or crashes takes more than itself with it. A report waits until it was taken.
- Syne Tune: `LocalBackend`, a script a trial. Its tuner polls: every 0.05 s here, where a trial's result is
  not seen for 5 s by default. Trials do not wait at a decision: they train on until they are killed.
- No tuner: how long the same takes without one; a new Python imports PyTorch, and makes its first
  optimizer, for every trial. All trials train nine epochs."""

FLOOD: Final = """
One trial trains nothing and reports {reports:,} times; max_t is as high. What a report costs the trial is
measured in the trial, and includes making the row (see no tuner). Reports a second: until the study has
taken, decided on and kept all of them, and is closed. All of them must have been seen."""


def render(content: Row) -> str:
    """Return the page, Markdown."""
    n = content["repeat"]
    runs = f"Medians of {n} runs, the least and the most in brackets." if n > 1 else "One run."
    parts = [
        "# Real trials in hbsim and in other tuners",
        f"Written by `{content['command']}`, with the figures in `local.json`. {runs}",
        "\n".join([*machine_lines(content["machine"], content["load_at_start"]), *_versions(content)]),
        WHAT.strip(),
        "## Overhead a trial",
        SUBTRACTED.strip(),
        table(TRIALS, (row for contender in content["contenders"] for row in _trials(contender))),
        "## Reports",
        FLOOD.strip().format(reports=content["reports"]),
        table(REPORTS, _reports(content)),
        "## How each was run",
        NOTES.strip(),
    ]
    return joined(*parts)


def _versions(content: Row) -> Iterator[str]:
    for peer, found in content["versions"].items():
        tool = "hbsim ran with" if peer == "hbsim" else "an environment of its own:"
        yield f"- {tool} " + ", ".join(f"{name} {v}" for name, v in found.items())


def _trials(contender: Row) -> Iterator[list[str]]:
    for workers in ("1", "2"):
        way = f"workers_{workers}"
        if way in contender["runs"][0]:
            spreads = ("trial_ms", "own_ms", "beyond_own_ms", "warm_ms", "beyond_warm_ms")
            cells = [_spread(contender, way, name) for name in spreads]
            plain = ("reports_a_trial", "startup", "seconds")
            cells += [f"{median(_values(contender, way, name)):.1f}" for name in plain]
            yield [contender["name"], str(contender["trials"]), workers, *cells]


def _reports(content: Row) -> Iterator[list[str]]:
    for contender in content["contenders"]:
        if "reports" in contender["runs"][0]:
            costs = [_spread(contender, "reports", name) for name in ("report_us", "reports_a_second")]
            yield [contender["name"], *costs]


def _values(contender: Row, way: str, name: str) -> list[float]:
    return [run[way][name] for run in contender["runs"]]


def _spread(contender: Row, way: str, name: str) -> str:
    values = _values(contender, way, name)
    middle, least, most = (_short(value) for value in (median(values), min(values), max(values)))
    return middle if len(values) == 1 else f"{middle} ({least} to {most})"


def _short(value: float) -> str:
    return f"{value:,.1f}" if abs(value) < 100 else f"{value:,.0f}"


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
WARM: Final = Contender("no tuner, one process", "hbsim", ("local_training.py",), 200, workers=(1,))
CONTENDERS: Final = (
    WARM,
    Contender("hbsim", "hbsim", ("hbsim_local.py",), 200),
    Contender(
        "Ray Tune, a process a trial",
        "ray",
        (
            "with_ray.py",
            "trials_that_train",
        ),
        20,
    ),
    Contender("Ray Tune, reuse_actors", "ray", ("with_ray.py", "trials_that_train", "--reuse-actors"), 200),
    Contender(
        "Ray Tune, reuse_actors, no loggers",
        "ray",
        ("with_ray.py", "trials_that_train", "--reuse-actors", "--no-loggers"),
        200,
    ),
    Contender("Syne Tune, LocalBackend", "syne-local", ("syne_local.py",), 20),
    Contender(
        "no tuner, a new Python a trial", "hbsim", ("local_training.py", "--processes"), 20, reports=False
    ),
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
        found = outcome("--trials", trials, "--workers", workers)
        costs[f"workers_{workers}"] = study_costs(found, trials, workers, warm)
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
    measured_on = conditions()
    peers = options.peer or list(PACKAGES)
    pythons = {"hbsim": Path(sys.executable)}
    pythons |= {peer: environment(peer, options.envs) for peer in peers if peer != "hbsim"}
    contenders = [c for c in CONTENDERS if c.peer in peers or c is WARM]
    rounds = [one_round(contenders, pythons, options, seed) for seed in range(options.repeat)]
    content = {
        "schema": 1,
        "command": described(options),
        **measured_on,
        "versions": {peer: versions(pythons[peer], PACKAGES[peer]) for peer in pythons},
        "reports": options.reports,
        "repeat": options.repeat,
        "contenders": [
            {"name": c.name, "trials": min(c.trials, options.trials), "runs": list(runs)}
            for c, runs in zip(contenders, zip(*rounds, strict=True), strict=True)
        ],
    }
    publish(options.out, "local", content, render(content))


if __name__ == "__main__":
    main()
