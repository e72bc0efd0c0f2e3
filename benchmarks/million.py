"""A million trials timed, whole commands: `python -m benchmarks.million --help`.

Each command is a child process. Before and after it a yardstick runs, bare SimPy with 1.5 million
timeouts, so that figures of another or a busy machine can be compared: by the ratio of cpu seconds.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any, Final

from benchmarks.measure import ROOT, Cost, conditions, run, say, yardstick
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
TRIALS: Final = ("scheduler", "workers", "small: us", "large: us", "large / small", "by the yardsticks")
TELLS: Final = ("scheduler", "values recorded", "us")
PROFILE: Final = ("function", "calls", "share")


def render(content: Row) -> str:
    """Return the page, Markdown."""
    small, large = (content["in_process"][at]["trials"] for at in (0, 1))
    profiled = content["profile_trials"]
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
        "## What a trial costs",
        f"Microseconds of cpu a trial in studies of {small:,} and {large:,} trials, within the process:\n"
        "imports aside, summary included. Accepted: at most 1.3 times as much in the large one. The last\n"
        "column sets each against its own yardstick, as the machine's speed may change in between.",
        table(TRIALS, _trials(content["in_process"])),
        "## A `tell`",
        "One `tell(Report(...))`, cpu, with so many values at the lowest rung; the garbage collector is\n"
        "off, as in a simulation. Aim: 3 us.",
        table(TELLS, map(_tell, content["tell"])),
        "## Where the time goes",
        f"Shares of the time that is spent in each function itself; {profiled:,} trials, 32 workers, under\n"
        "cProfile, which makes small functions look dearer than they are.",
        *(_profile(kind, rows) for kind, rows in content["profiles"].items()),
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


def _trials(rows: list[Row]) -> Iterable[list[str]]:
    for small, large in zip(rows[::2], rows[1::2], strict=True):
        few, many = (row["cpu"] / row["trials"] for row in (small, large))
        relative = many / large["yardstick"] / (few / small["yardstick"])
        costs = [f"{1e6 * few:.2f}", f"{1e6 * many:.2f}", f"{many / few:.2f}", f"{relative:.2f}"]
        yield [small["scheduler"], str(small["workers"]), *costs]


def _tell(row: Row) -> list[str]:
    return [row["scheduler"], f"{row['recorded']:,}", f"{1e6 * row['seconds']:.2f}"]


def _profile(kind: str, rows: list[list[Any]]) -> str:
    lines = ((f"`{name}`", f"{calls:,}", f"{100 * share:.1f} %") for name, calls, share in rows)
    return f"{kind}:\n\n{table(PROFILE, lines)}"


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
class Measured:
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


def measure(whole: Whole) -> Measured:
    """Run a command between two yardsticks."""
    say(whole.command)
    before = yardstick()
    cost = run(as_child(whole.command))
    beside = mean([before, yardstick()])
    say(f"  {cost.wall:.1f} s, cpu {cost.cpu:.1f} s, {cost.megabytes:.0f} MB, yardstick {beside:.2f} s")
    return Measured(
        whole.command, cost.wall, cost.cpu, cost.megabytes, beside, whole.aim, whole.accept, whole.memory
    )


def starts(rounds: int) -> list[Measured]:
    """Time the import and the help; medians of several."""
    wanted = {"python -c 'import hbsim'": ["-c", "import hbsim"], "hbsim --help": ["-m", "hbsim", "--help"]}
    rows = []
    for (name, arguments), accept in zip(wanted.items(), (0.3, 0.5), strict=True):
        costs = [run([sys.executable, *arguments]) for _ in range(rounds)]
        middle = Cost(
            *(median(getattr(c, field) for c in costs) for field in ("wall", "cpu", "megabytes")), ""
        )
        rows.append(
            Measured(name, middle.wall, middle.cpu, middle.megabytes, yardstick(), None, accept, None)
        )
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
    source = f"from benchmarks.study import timed_tells; print(timed_tells({kind!r}, {recorded}, 20_000))"
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
    measured_on = conditions()
    large, small = int(MILLION * options.scale), int(SMALL * min(1.0, options.scale * 10))
    content: dict[str, object] = {
        "schema": 1,
        "command": command_line(options),
        **measured_on,
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
    publish(options.out, "speed", content, render(content))


if __name__ == "__main__":
    main()
