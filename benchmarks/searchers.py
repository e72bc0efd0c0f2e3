"""Hold the searchers against random search, and beside other tools': `python -m benchmarks.searchers --help`.

What is finished stays in ``--work``, so that the same command goes on after an interruption. The same command
and curves give the same figures, but for the time that suggestions take.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from benchmarks.measure import ROOT, describe_machine, rounded, say, write_json
from benchmarks.searchers_cost import costs
from benchmarks.searchers_figures import BASE, across, settings, spent
from benchmarks.searchers_page import render
from benchmarks.searchers_sweep import LAST, SEARCHERS, SHIPPED, YAHPO, Wanted, read, run

__all__ = ["main"]

SEEDS: Final = 20
FULL_RUNS: Final = 10.0
WORKERS: Final = 4
LIBRARIES: Final = ("torch", "gpytorch", "botorch", "optuna", "scipy")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.searchers", description=__doc__)
    parser.add_argument("--data", type=Path, help="a folder with YAHPO Gym's files, in yahpo_lcbench")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "searchers", help="a folder")
    temporary = Path(tempfile.gettempdir())
    parser.add_argument("--work", type=Path, default=temporary / "hbsim-searchers", help="keeps what is done")
    parser.add_argument(
        "--envs", type=Path, default=temporary / "hbsim-peers", help="the peers' environments"
    )
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--full-runs", type=float, default=FULL_RUNS, help="a study's time, in runs to R")
    parser.add_argument("--searchers", nargs="+", default=list(SEARCHERS), choices=SEARCHERS, metavar="NAME")
    parser.add_argument("--tasks", nargs="+", metavar="CURVES", help="default: synthetic, digits and YAHPO's")
    parser.add_argument(
        "--peers", nargs="*", default=list(SHIPPED[:1]), metavar="CURVES", help="for other tools"
    )
    parser.add_argument("--read", action="store_true", help="run no study: write what --work has of them")
    parser.add_argument("--note", default="", help="a sentence for the page")
    parser.add_argument("--jobs", type=int, help="processes (default: one a core)")
    options = parser.parse_args(arguments)
    if options.seeds < 2:
        parser.error("--seeds must be at least 2: an interval needs two")
    if BASE not in options.searchers:
        parser.error(f"--searchers needs {BASE}: all are held against it")
    return options


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run what is not done yet; return all figures."""
    shipped = SHIPPED if options.data is None else (*SHIPPED, *YAHPO)
    tasks = shipped if options.tasks is None else tuple(options.tasks)
    searchers = tuple(name for name in SEARCHERS if name in options.searchers)
    wanted = Wanted(searchers, tasks, options.seeds, WORKERS, options.full_runs, options.data)
    results = read(options.work) if options.read else run(wanted, options.work, options.jobs)
    found = settings(results, searchers)
    peers = None
    if options.peers:
        from benchmarks.searchers_peers import measure_peers

        peers = measure_peers(results, wanted, options.peers, options.envs, options.work)
    say("how long a suggestion takes")
    return {
        "command": command(options),
        "note": options.note,
        "machine": {**describe_machine(), **{name: version(name) for name in LIBRARIES}},
        "load_at_start": os.getloadavg()[0],
        "workers": WORKERS,
        "full_runs": options.full_runs,
        "max_t": LAST,
        "seeds": options.seeds,
        "studies": {"planned": results.cells.height, "done": results.done.height},
        "spent": spent(results, searchers),
        "settings": found,
        "across": across(found),
        "peers": peers,
        "costs": costs(searchers),
    }


def command(options: argparse.Namespace) -> str:
    """Return the command that makes the same, its folders left out."""
    words = ["python -m benchmarks.searchers", *(["--data PATH"] if options.data else [])]
    words += [f"--seeds {options.seeds}"] if options.seeds != SEEDS else []
    words += [f"--full-runs {options.full_runs:g}"] if options.full_runs != FULL_RUNS else []
    if options.searchers != list(SEARCHERS):
        words.append(f"--searchers {' '.join(options.searchers)}")
    words += [] if options.tasks is None else [f"--tasks {' '.join(options.tasks)}"]
    words += [] if options.peers == list(SHIPPED[:1]) else [" ".join(["--peers", *options.peers])]
    return " ".join(words)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the command line asks for."""
    options = parse(arguments)
    from benchmarks.searchers_plot import draw

    content = json.loads(json.dumps(rounded(measure(options))))
    options.out.mkdir(parents=True, exist_ok=True)
    write_json(options.out / "searchers.json", content)
    (options.out / "searchers.md").write_text(render(content), "utf-8")
    draw(content, options.out / "searchers.png")
    say(f"written: {options.out / 'searchers.md'}")


if __name__ == "__main__":
    main()
