"""Time a million trials, whole commands: `python -m benchmarks.million --help`.

Each command is a child process. Before and after it a yardstick runs, bare SimPy with 1.5 million
timeouts, so that figures of another or a busy machine can be compared: by the ratio of cpu seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, median
from typing import Final

from benchmarks.measure import ROOT, Cost, describe_machine, run, say, write_json, yardstick
from benchmarks.million_report import render

MILLION: Final = 1_000_000
SMALL: Final = 10_000
LARGEST: Final = {"stopping": (5.0, 10.0, 1.0), "promotion": (8.0, 15.0, 1.0)}  # aim, accept (s), GB
KINDS: Final = ("stopping", "promotion")
WORKERS: Final = (32, 1000)
FULL: Final = "benchmarks/clusters/full.toml"  # 32 workers


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole command, and what is asked of it; seconds, gigabytes, None where nothing is asked."""

    command: str
    aim: float | None
    accept: float | None
    memory: float | None


@dataclass(frozen=True, slots=True)
class Row:
    """A command as measured; seconds, cpu is user and system, yardstick is cpu."""

    command: str
    wall: float
    cpu: float
    megabytes: float
    yardstick: float
    aim: float | None
    accept: float | None
    memory: float | None


def simulate(kind: str, workers: int, trials: int) -> str:
    """Return the command, as one would type it."""
    study = f"--scheduler {kind} --max-t 81 --eta 3 --workers {workers} --trials {trials}"
    return f"hbsim simulate {study} --surrogate synthetic"


def on_full_cluster(kind: str, trials: int) -> str:
    """Return the command where every part of the cluster model is on."""
    study = f"--scheduler {kind} --max-t 81 --eta 3 --retries 3 --trials {trials}"
    return f"hbsim simulate {study} --surrogate synthetic --cluster {FULL}"


def commands(scale: float, ten_million: bool) -> list[Whole]:
    """Return the simulations to time."""
    wholes = [
        Whole(simulate(kind, workers, int(MILLION * scale)), *LARGEST[kind])
        for kind in KINDS
        for workers in WORKERS
    ]
    wholes += [Whole(on_full_cluster(kind, int(MILLION * scale)), None, None, None) for kind in KINDS]
    if ten_million:
        wholes.append(Whole(simulate("stopping", 32, int(10 * MILLION * scale)), 60.0, None, 8.0))
    return wholes


def as_child(command: str) -> list[str]:
    """Return the command for this very interpreter."""
    return [sys.executable, "-m", *command.split()]


def measure(whole: Whole) -> Row:
    """Run a command between two yardsticks."""
    say(whole.command)
    before = yardstick()
    cost = run(as_child(whole.command))
    beside = mean([before, yardstick()])
    say(f"  {cost.wall:.1f} s, cpu {cost.cpu:.1f} s, {cost.megabytes:.0f} MB, yardstick {beside:.2f} s")
    return Row(
        whole.command, cost.wall, cost.cpu, cost.megabytes, beside, whole.aim, whole.accept, whole.memory
    )


def starts(rounds: int) -> list[Row]:
    """Time the import and the help; medians of several."""
    wanted = {"python -c 'import hbsim'": ["-c", "import hbsim"], "hbsim --help": ["-m", "hbsim", "--help"]}
    rows = []
    for (name, arguments), accept in zip(wanted.items(), (0.3, 0.5), strict=True):
        costs = [run([sys.executable, *arguments]) for _ in range(rounds)]
        middle = Cost(
            *(median(getattr(c, field) for c in costs) for field in ("wall", "cpu", "megabytes")), ""
        )
        rows.append(Row(name, middle.wall, middle.cpu, middle.megabytes, yardstick(), None, accept, None))
        say(f"{name}: {middle.wall:.2f} s")
    return rows


def within(kind: str, workers: int, trials: int, repeats: int) -> dict[str, object]:
    """Time a study without start-up, in a child: the outcome of `benchmarks.study`, and the yardstick."""
    say(f"in process: {kind}, {workers} workers, {trials:,} trials")
    size = f"--scheduler {kind} --workers {workers} --trials {trials} --repeats {repeats}"
    outcome = json.loads(run(as_child(f"benchmarks.study {size}")).output)
    return {"scheduler": kind, "workers": workers, **outcome, "yardstick": yardstick()}


def tell(kind: str, recorded: int) -> dict[str, object]:
    """Time one `tell` with so many values recorded, in a child."""
    say(f"tell: {kind}, {recorded:,} values")
    source = f"from benchmarks.core import timed_tells; print(timed_tells({kind!r}, {recorded}, 20_000))"
    return {
        "scheduler": kind,
        "recorded": recorded,
        "seconds": float(run([sys.executable, "-c", source]).output),
    }


def profiles(trials: int) -> dict[str, object]:
    """Return where the time of a study goes, by scheduler."""
    found = {}
    for kind in KINDS:
        say(f"profile: {kind}")
        command = f"benchmarks.study --scheduler {kind} --trials {trials} --profile"
        found[kind] = json.loads(run(as_child(command)).output)["profile"]
    return found


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ten-million", action="store_true", help="ten million trials as well")
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of trials, to try this out")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "speed", help="a folder")
    return parser.parse_args()


def command_line(options: argparse.Namespace) -> str:
    """Return the command that was given, without the folder."""
    scale = "" if options.scale == 1.0 else f" --scale {options.scale:g}"
    return f"python -m benchmarks.million{scale}{' --ten-million' if options.ten_million else ''}"


def main() -> None:
    """Measure everything and write it down."""
    options = parse()
    load = os.getloadavg()[0]
    large, small = int(MILLION * options.scale), int(SMALL * min(1.0, options.scale * 10))
    content: dict[str, object] = {
        "schema": 1,
        "command": command_line(options),
        "machine": describe_machine(),
        "load_at_start": load,
        "commands": [asdict(row) for row in (*map(measure, commands(options.scale, options.ten_million)),)],
        "full": FULL,
        "starts": [asdict(row) for row in starts(11)],
        "in_process": [
            within(kind, workers, trials, repeats)
            for kind in KINDS
            for workers in WORKERS
            for trials, repeats in ((small, 9), (large, 1))
        ],
        "tell": [tell(kind, large) for kind in KINDS],
        "profile_trials": large // 10,
        "profiles": profiles(large // 10),
    }
    write_json(options.out / "speed.json", content)
    (options.out / "speed.md").write_text(render(content))
    say(f"written: {options.out / 'speed.md'}")


if __name__ == "__main__":
    main()
