"""hbsim beside other simulators on the same curves: `python -m benchmarks.peers.run --help`.

Every simulator replays the same table of synthetic curves, in a process of its own, and says how many
trials reached each rung, so that it can be seen that the same study ran. Peers live in virtual
environments that are made where they are not there yet.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.measure import ROOT, conditions, environment, run, say, versions, yardstick
from benchmarks.pages import joined, machine_lines, publish, table
from hbsim.searchers import SearchTask, make_searcher
from hbsim.surrogates import load

Row = dict[str, Any]

HEAD: Final = (
    "simulator", "cpu s", "over hbsim's", "cpu in yardsticks", "process cpu s", "peak MB",
    "trials", "results", "reached 3, 9, 27, 81", "simulated s",
)  # fmt: skip

NOTES: Final = {
    "syne-tune": """
Syne Tune's ASHA is of the stopping type. A trial goes on if it ranks among the best third of those
recorded, itself included: `rule="rank"` in hbsim. Two ways to run it: as its documentation does, with
random search and a result every epoch; and as lean as it goes, with rows in hbsim's order, nothing to
fit, and a result only where something is decided. Its tuner polls every 5 simulated seconds, and
decides in the order in which it polls: counts differ by a few, and by more with more workers.""",
    "mfhpo-simulator": """
mfhpo-simulator has no asynchronous successive halving of its own: hbsim's promotion scheduler answers
its ask and tell (`straight_on=False`: every milestone ends a job). It counts evaluations, so it ran as
many as hbsim had jobs, and starts trials until then. Two ways: with its own bookkeeping of runs that
go on; and without, every job a configuration of its own.""",
}


def render(content: Row) -> str:
    """Return the page, Markdown."""
    parts = [
        "# hbsim beside other simulators",
        f"Written by `{content['command']}`, with the figures in `peers.json`.\n"
        f"{content['trials']:,} trials, R = 81, eta = 3, one bracket; all replay one table of curves "
        f"(`{content['surrogate']}`).",
        "\n".join(machine_lines(content["machine"], content["load_at_start"])),
        "cpu is that of the study alone, within the process: imports and reading the table aside (hbsim:\n"
        "the median of five, summary included). In yardsticks: over the cpu time of 1.5 million timeouts\n"
        "in bare SimPy, measured before and after. A process's cpu has all of it, imports too (hbsim: all\n"
        "five studies).",
    ]
    for peer in dict.fromkeys(study["peer"] for study in content["studies"]):
        parts += [f"## {peer}", _versions(content, peer), NOTES[peer].strip()]
        for study in content["studies"]:
            if study["peer"] == peer:
                parts += [f"{study['workers']} workers:", table(HEAD, _rows(study))]
    return joined(*parts)


def _versions(content: Row, peer: str) -> str:
    found = next(versions for versions in content["versions"].values() if peer in versions)
    return "In an environment of its own: " + ", ".join(f"{name} {v}" for name, v in found.items()) + "."


def _rows(study: Row) -> Iterator[list[str]]:
    ours = study["hbsim"]
    yield ["hbsim", *_cells(ours, ours)]
    for row in study["variants"]:
        yield [f"{study['peer']}: {row['name']}", *_cells(row, ours)]


def _cells(row: Row, ours: Row) -> list[str]:
    counts = [f"{count:,}" for count in list(row["reached"].values())[1:]]
    return [
        f"{row['cpu']:.3f}",
        f"{row['cpu'] / ours['cpu']:,.0f}",
        f"{row['cpu'] / row['yardstick']:.3f}",
        f"{row['process_cpu']:.1f}",
        f"{row['megabytes']:.0f}",
        f"{row['trials']:,}",
        f"{row['reports']:,}",
        " / ".join(counts),
        f"{row['simulated_seconds']:,.0f}",
    ]


HERE: Final = Path(__file__).resolve().parent
SURROGATE: Final = "synthetic:divergence=0,seconds=10"  # no NaN: not every peer knows what to do with it
PEERS: Final = {"syne": "syne-tune", "mfhpo": "mfhpo-simulator"}
ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

# What is run of each peer: as its documentation does it, and as lean as it goes.
VARIANTS: Final = {
    "syne": {
        "ASHA, random search, a result an epoch": ["--searcher", "random", "--reports", "epoch"],
        "ASHA, given rows, a result a milestone": ["--searcher", "in-order", "--reports", "milestone"],
    },
    "mfhpo": {
        "ask and tell, runs that go on": [],
        "ask and tell, every job a configuration": ["--plain"],
    },
}
# The same study in hbsim: Syne Tune 0.16 stops by rank; mfhpo-simulator's jobs end at every milestone.
OURS: Final = {
    "syne": ["--scheduler", "stopping", "--rule", "rank"],
    "mfhpo": ["--scheduler", "promotion", "--always-pause"],
}


def write_curves(path: Path, trials: int) -> None:
    """Write the curves of `trials` random configurations at 1, 2, ..., 81 epochs."""
    surrogate = load(SURROGATE)
    levels = np.arange(1.0, 82.0)
    points = make_searcher("random", SearchTask(surrogate.space, 0)).suggest(trials)
    accuracy, seconds = surrogate.evaluate(points, levels)
    np.savez(path, accuracy=accuracy, t=seconds, levels=levels)


def measure(name: str, command: list[str]) -> dict[str, Any]:
    """Run a driver between two yardsticks; return what it says, and what its process took."""
    say(name)
    before = yardstick()
    cost = run(command, {**os.environ, **ONE_THREAD, "PYTHONPATH": str(ROOT)})
    outcome: dict[str, Any] = json.loads(cost.output.splitlines()[-1])
    say(f"  cpu {outcome['cpu']:.3f} s, reached {outcome['reached']}")
    process = {"process_cpu": cost.cpu, "process_wall": cost.wall, "megabytes": cost.megabytes}
    return {"name": name, **outcome, **process, "yardstick": (before + yardstick()) / 2}


def compare(peer: str, python: Path, curves: Path, trials: int, workers: int) -> dict[str, Any]:
    """Run a peer's variants and hbsim's study beside them, at one number of workers."""
    common = ["--workers", str(workers)]
    study = [sys.executable, "-m", "benchmarks.study", *OURS[peer], *common, "--trials", str(trials)]
    ours = measure(f"hbsim, {workers} workers", [*study, "--surrogate", str(curves), "--repeats", "5"])
    # mfhpo-simulator counts evaluations: as many as hbsim has jobs.
    size = ["--trials", str(trials)] if peer == "syne" else ["--evaluations", str(ours["jobs"])]
    driver = [str(python), str(HERE / f"{peer}.py"), "replay", "--curves", str(curves), *size, *common]
    theirs = [measure(name, [*driver, *options]) for name, options in VARIANTS[peer].items()]
    return {"peer": PEERS[peer], "workers": workers, "hbsim": ours, "variants": theirs}


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--peer", choices=tuple(PEERS), action="append", help="one or more; all of them unless given"
    )
    parser.add_argument("--trials", type=int, default=5000)
    parser.add_argument("--workers", type=int, action="append", help="one or more; 4 and 100 unless given")
    parser.add_argument("--envs", type=Path, default=Path(tempfile.gettempdir()) / "hbsim-peers")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "peers", help="a folder")
    return parser.parse_args()


def main() -> None:
    """Measure and write it down."""
    options = parse()
    peers, workers = options.peer or list(PEERS), options.workers or [4, 100]
    measured_on = conditions()
    pythons = {peer: environment(peer, options.envs) for peer in peers}
    with tempfile.TemporaryDirectory() as folder:
        curves = Path(folder) / "curves.npz"
        write_curves(curves, options.trials)
        studies = [compare(p, pythons[p], curves, options.trials, w) for p in peers for w in workers]
    chosen = [f" --peer {peer}" for peer in options.peer or ()] + [
        f" --workers {w}" for w in options.workers or ()
    ]
    size = "" if options.trials == 5000 else f" --trials {options.trials}"
    content = {
        "schema": 1,
        "command": f"python -m benchmarks.peers.run{''.join(chosen)}{size}",
        **measured_on,
        "versions": {peer: versions(pythons[peer], (PEERS[peer], "numpy")) for peer in peers},
        "surrogate": SURROGATE,
        "trials": options.trials,
        "studies": studies,
    }
    publish(options.out, "peers", content, render(content))


if __name__ == "__main__":
    main()
