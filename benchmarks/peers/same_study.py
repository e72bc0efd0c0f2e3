"""The same ASHA study in hbsim and in other tools: `python -m benchmarks.peers.same_study --help`.

Every tool, in an environment of its own that is made where it is not there yet, replays the same tables of
curves: trial i is row i. Each driver writes down what its scheduler was told, when, and what it decided.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import ROOT, conditions, environment, run, say, versions
from benchmarks.pages import publish
from benchmarks.peers.same_figures import PEERS, Columns, Mode, Peer, compare, head, read_log
from benchmarks.peers.same_page import render
from hbsim.searchers import SearchTask, make_searcher
from hbsim.surrogates import load

ROWS: Final = 1000
LEVELS: Final = np.arange(1.0, 82.0)


@dataclass(frozen=True, slots=True)
class Table:
    """Curves of 1,000 configurations.

    Attributes
    ----------
    name : str
        In the page.
    surrogate : str
        Whose curves, as hbsim names it.
    mode : "max" or "min"
        Which values are better.
    slower : float
        By how much its seconds are multiplied.
    """

    name: str
    surrogate: str
    mode: Mode
    slower: float

    def curves(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return values and seconds since the start, shape (1000, 81) each."""
        surrogate = load(self.surrogate)
        points = (
            make_searcher("random", SearchTask(surrogate.space, 0)).suggest(ROWS)
            if surrogate.rows is None
            else np.arange(ROWS)
        )
        values, seconds = surrogate.evaluate(points, LEVELS)
        return values, seconds * self.slower


# No NaN: not every peer knows what to do with it. Epochs of the digits curves take 0.025 s, and Syne Tune
# polls every 5 s: slower by 400, an epoch of either table takes some 10 s.
TABLES: Final = (
    Table("synthetic", "synthetic:divergence=0,seconds=10", "max", 1.0),
    Table("digits", "digits", "min", 400.0),
)


def write_tables(table: Table, seeds: int, folder: Path) -> list[Path]:
    """Write a table once for each seed, its rows in another order; return where."""
    values, seconds = table.curves()
    paths = []
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(ROWS)
        paths.append(folder / f"{table.name}-{seed}.npz")
        np.savez(paths[-1], value=values[order], t=seconds[order], levels=LEVELS)
    return paths


HERE: Final = Path(__file__).resolve().parent
ENVIRONMENT: Final = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONPATH": str(ROOT),
}
WORKERS: Final = (4, 100)
SEEDS: Final = 8


@dataclass(frozen=True, slots=True)
class Setting:
    """A table, written once a seed, and the folder for logs."""

    table: Table
    curves: list[Path]
    folder: Path


def drive(command: list[str], setting: Setting, name: str, workers: tuple[int, ...]) -> list[dict[str, Any]]:
    """Run a driver on all tables of a setting; return what it says, a dict a study."""
    out = setting.folder / name
    out.mkdir(exist_ok=True)
    words = [*command, "--mode", setting.table.mode, "--out", str(out)]
    words += ["--curves", *map(str, setting.curves), "--workers", *map(str, workers)]
    return [json.loads(line) for line in run(words, ENVIRONMENT).output.splitlines() if line.startswith("{")]


def is_same_again(command: list[str], setting: Setting, logs: list[dict[str, Any]]) -> bool:
    """Return whether the first study, run again, has the very same log."""
    once = Setting(setting.table, setting.curves[:1], setting.folder)
    (again,) = drive(command, once, "again", WORKERS[:1])
    one, other = (read_log(Path(outcome["log"])) for outcome in (logs[0], again))
    return all(np.array_equal(one[name], other[name]) for name in one)


@dataclass(frozen=True, slots=True)
class Runs:
    """What a driver said of its studies, and whether the first has the same log when it is run again."""

    outcomes: list[dict[str, Any]]
    again: bool

    def of(self, workers: int) -> list[dict[str, Any]]:
        """Return the outcomes at a number of workers, one a seed."""
        return [outcome for outcome in self.outcomes if outcome["workers"] == workers]


def studies(command: list[str], setting: Setting, name: str) -> Runs:
    """Run all studies of a setting."""
    outcomes = drive(command, setting, name, WORKERS)
    return Runs(outcomes, is_same_again(command, setting, outcomes))


def hbsim_studies(rule: str | None, setting: Setting) -> Runs:
    """Run hbsim's studies by one rule."""
    command = [sys.executable, str(HERE / "same_hbsim.py"), *(["--rule", rule] if rule else [])]
    return studies(command, setting, f"hbsim-{rule}")


def peer_studies(peer: Peer, python: Path, setting: Setting, ours: Runs) -> list[dict[str, Any]]:
    """Run a peer's studies of one table; return figures, a dict for each number of workers."""
    say(f"{peer.name}, {setting.table.name}")
    driver, *own = peer.command
    theirs = studies([str(python), str(HERE / driver), *own], setting, f"peer-{PEERS.index(peer)}")
    at_r = [np.load(path)["value"][:, -1] for path in setting.curves]
    return [
        {
            "peer": peer.name,
            "table": setting.table.name,
            "workers": workers,
            "rule": peer.rule,
            "results": peer.results,
            "again": theirs.again,
            "hbsim_again": ours.again,
            "cpu": [one["cpu"] for one in theirs.of(workers)],
            "hbsim_cpu": [one["cpu"] for one in ours.of(workers)],
            "overrun": [one.get("overrun") for one in theirs.of(workers)],
            **compare(
                peer,
                setting.table.mode,
                logs(theirs.of(workers), peer),
                logs(ours.of(workers), peer),
                at_r,
            ),
        }
        for workers in WORKERS
    ]


def logs(outcomes: list[dict[str, Any]], peer: Peer) -> list[Columns]:
    """Return the logs of studies, as much of them as is looked at."""
    return [head(read_log(Path(outcome["log"])), peer.results) for outcome in outcomes]


def measure(pythons: dict[str, Path], seeds: int) -> list[dict[str, Any]]:
    """Run everything."""
    found = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for table in TABLES:
            setting = Setting(table, write_tables(table, seeds, folder), folder)
            ours = {rule: hbsim_studies(rule, setting) for rule in dict.fromkeys(p.rule for p in PEERS)}
            for peer in PEERS:
                found += peer_studies(peer, pythons[peer.environment], setting, ours[peer.rule])
    return found


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="orders of the rows; 2 at least")
    parser.add_argument("--envs", type=Path, default=Path(tempfile.gettempdir()) / "hbsim-peers")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "peers", help="a folder")
    options = parser.parse_args(arguments)
    if options.seeds < 2:
        parser.error("it takes 2 seeds at least")
    return options


def main() -> None:
    """Measure and write it down."""
    options = parse()
    measured_on = conditions()
    pythons = {name: environment(name, options.envs) for name in dict.fromkeys(p.environment for p in PEERS)}
    seeds = "" if options.seeds == SEEDS else f" --seeds {options.seeds}"
    content = {
        "schema": 1,
        "command": f"python -m benchmarks.peers.same_study{seeds}",
        **measured_on,
        "versions": {p.environment: versions(pythons[p.environment], p.packages) for p in PEERS},
        "tables": [
            {"name": t.name, "surrogate": t.surrogate, "mode": t.mode, "slower": t.slower} for t in TABLES
        ],
        "trials": ROWS,
        "workers": list(WORKERS),
        "seeds": options.seeds,
        "studies": measure(pythons, options.seeds),
    }
    publish(options.out, "same_study", content, render(content))


if __name__ == "__main__":
    main()
