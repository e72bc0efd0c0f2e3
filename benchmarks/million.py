"""A million trials timed, whole commands: `python -m benchmarks.million --help`.

Each command is a child process. Before and after it a yardstick runs, bare SimPy with 1.5 million
timeouts, so that figures of another or a busy machine can be compared: by the ratio of cpu seconds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from statistics import mean, median
from typing import Any, Final

from benchmarks.measure import ROOT, conditions, run, say, yardstick
from benchmarks.pages import joined, machine_lines, publish, table

Row = dict[str, Any]

COMMANDS: Final = (
    "command",
    "wall s",
    "aim",
    "accept",
    "cpu s",
    "ratio",
    "yardstick s",
    "peak MB",
    "at most",
)
FULL_HEAD: Final = ("scheduler", "plain: cpu s", "every part: cpu s", "every part / plain")
STARTS: Final = ("command", "wall s", "accept", "cpu s", "ratio")


def render(content: Row) -> str:
    """Return the page, Markdown."""
    parts = [
        "# Speed",
        f"Written by `{content['command']}`, with the figures in `speed.json`.\n"
        "Studies are of R = 81, eta = 3, one bracket, on synthetic curves.",
        "\n".join(machine_lines(content["machine"], content["load_at_start"])),
        "## Whole commands",
        "Seconds from start to exit; cpu is user and system. The yardstick is the cpu time of 1.5 million\n"
        "timeouts in bare SimPy (32 processes), as many events as a million stopping trials have, measured\n"
        "before and after each command. The ratio is cpu over yardstick: it is what another machine can be\n"
        "held against.",
        table(COMMANDS, map(_command, content["commands"])),
        "## Every part of the cluster",
        f"Beside the plain cluster of as many workers; the parts are those of `{content['full']}`. The last\n"
        "column divides the ratios to the yardsticks. Accepted: 2.",
        table(FULL_HEAD, _full(content["commands"])),
        "## Start",
        "Medians of 11.",
        table(STARTS, map(_start, content["starts"])),
    ]
    return joined(*parts)


def _command(row: Row) -> list[str]:
    memory = "" if row["memory"] is None else f"{1000 * row['memory']:.0f}"
    return [
        f"`{row['command']}`",
        f"{row['wall']:.2f}",
        _number(row["aim"]),
        _number(row["accept"]),
        f"{row['cpu']:.2f}",
        f"{row['cpu'] / row['yardstick']:.2f}",
        f"{row['yardstick']:.2f}",
        f"{row['megabytes']:.0f}",
        memory,
    ]


def _full(rows: list[Row]) -> Iterable[list[str]]:
    for row in rows:
        if "--cluster" in row["command"]:
            kind = row["command"].split("--scheduler ")[1].split()[0]
            plain = next(
                other for other in rows if f"{kind} --max-t 81 --eta 3 --workers 32 " in other["command"]
            )
            ratio = row["cpu"] / row["yardstick"] / (plain["cpu"] / plain["yardstick"])
            yield [kind, f"{plain['cpu']:.2f}", f"{row['cpu']:.2f}", f"{ratio:.2f}"]


def _start(row: Row) -> list[str]:
    cpu = f"{row['cpu']:.2f}"
    ratio = f"{row['cpu'] / row['yardstick']:.2f}"
    return [f"`{row['command']}`", f"{row['wall']:.2f}", _number(row["accept"]), cpu, ratio]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


MILLION: Final = 1_000_000
LARGEST: Final = {"stopping": (5.0, 10.0, 1.0), "promotion": (8.0, 15.0, 1.0)}  # aim, accept (s), GB
KINDS: Final = ("stopping", "promotion")
WORKERS: Final = (32, 1000)
ASKED: Final = ("command", "aim", "accept", "memory")
FULL: Final = "benchmarks/clusters/full.toml"  # 32 workers


def simulate(kind: str, workers: int, trials: int) -> str:
    """Return the command, as one would type it."""
    study = f"--scheduler {kind} --max-t 81 --eta 3 --workers {workers} --trials {trials}"
    return f"hbsim simulate {study} --surrogate synthetic"


def on_full_cluster(kind: str, trials: int) -> str:
    """Return the command where every part of the cluster model is on."""
    study = f"--scheduler {kind} --max-t 81 --eta 3 --retries 3 --trials {trials}"
    return f"hbsim simulate {study} --surrogate synthetic --cluster {FULL}"


def commands(scale: float, ten_million: bool) -> list[Row]:
    """Return the simulations to time, each with what is asked of it: seconds, and gigabytes of memory."""
    trials = int(MILLION * scale)
    asked = [(simulate(kind, workers, trials), *LARGEST[kind]) for kind in KINDS for workers in WORKERS]
    asked += [(on_full_cluster(kind, trials), None, None, None) for kind in KINDS]
    if ten_million:
        asked.append((simulate("stopping", 32, 10 * trials), 60.0, None, 8.0))
    return [dict(zip(ASKED, one, strict=True)) for one in asked]


def measure(row: Row) -> Row:
    """Run a command between two yardsticks; cpu is user and system."""
    say(row["command"])
    before = yardstick()
    cost = run([sys.executable, "-m", *row["command"].split()])
    beside = mean([before, yardstick()])
    say(f"  {cost.wall:.1f} s, cpu {cost.cpu:.1f} s, {cost.megabytes:.0f} MB, yardstick {beside:.2f} s")
    return {**row, "wall": cost.wall, "cpu": cost.cpu, "megabytes": cost.megabytes, "yardstick": beside}


def starts(rounds: int) -> list[Row]:
    """Time the import and the help; medians of several."""
    wanted = {"python -c 'import hbsim'": ["-c", "import hbsim"], "hbsim --help": ["-m", "hbsim", "--help"]}
    rows = []
    for (command, arguments), accept in zip(wanted.items(), (0.3, 0.5), strict=True):
        costs = [run([sys.executable, *arguments]) for _ in range(rounds)]
        wall, cpu = median(cost.wall for cost in costs), median(cost.cpu for cost in costs)
        rows.append(
            {"command": command, "accept": accept, "wall": wall, "cpu": cpu, "yardstick": yardstick()}
        )
        say(f"{command}: {wall:.2f} s")
    return rows


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
    measured_on = conditions()
    content: dict[str, object] = {
        "schema": 1,
        "command": command_line(options),
        **measured_on,
        "commands": list(map(measure, commands(options.scale, options.ten_million))),
        "full": FULL,
        "starts": starts(11),
    }
    publish(options.out, "speed", content, render(content))


if __name__ == "__main__":
    main()
