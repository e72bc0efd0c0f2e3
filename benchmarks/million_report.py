"""The page that `benchmarks.million` writes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from benchmarks.report import machine_lines, table

__all__ = ["render"]

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
FULL: Final = ("scheduler", "plain: cpu s", "every part: cpu s", "every part / plain")
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
        table(FULL, _full(content["commands"])),
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
    return "\n\n".join(parts) + "\n"


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
