"""The page that `benchmarks.peers.same_study` writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby
from statistics import fmean, median
from typing import Any, Final

from benchmarks.peers.same_words import HEAD, HOW, NOTES, facts
from benchmarks.report import machine_lines, table

__all__ = ["render"]

Row = dict[str, Any]
Cell = Callable[[Row], str]


def render(content: Row) -> str:
    """Return the page, Markdown."""
    studies = content["studies"]
    grid = [f"{t['name']}, {w} workers" for t in content["tables"] for w in content["workers"]]
    parts = [
        "# The same ASHA study in hbsim and in other tools",
        f"Written by `{content['command']}`, with the figures in `same_study.json`.",
        "\n".join([*machine_lines(content["machine"], content["load_at_start"]), _versions(content)]),
        HEAD.format(trials=content["trials"], seeds=content["seeds"]),
        table(("tool", "its ASHA", "how it is run", "held against hbsim's"), HOW),
        "## In short",
        "\n".join(f"- {fact}" for fact in facts(content)),
        *_section("Speed", "speed", ("cpu ms", *grid, "over hbsim's"), _speed(studies)),
        *_section("The order of results", "order", ("out of order; late", *grid), _order(studies)),
        *_section("Decisions", "decisions", ("decided alike", *grid), _lines(studies, _decisions)),
        *_section("Which trials survive", "overlap", ("overlap", *grid), _lines(studies, _overlap)),
        NOTES["reached"],
        table(("reached 3 / 9 / 27 / 81", *grid), _reached(studies)),
        *_section("Regret and time", "regret", REGRET, _regret(studies)),
        NOTES["time"],
        table(("simulated s over hbsim's", *grid), _lines(studies, _time)),
    ]
    return "\n\n".join(parts) + "\n"


DUST: Final = 1e-9  # what two ways to add up times make of equal studies
REGRET: Final = (
    "",
    "curves",
    "workers",
    "theirs",
    "hbsim's",
    "difference",
    "after 1/4 of the time",
    "at its end",
)


def _section(title: str, name: str, columns: tuple[str, ...], lines: Iterator[list[str]]) -> tuple[str, ...]:
    return f"## {title}", NOTES[name], table(columns, lines)


def _versions(content: Row) -> str:
    tools = [next(iter(packages.items())) for packages in content["versions"].values()]
    return "- each in an environment of its own: " + ", ".join(f"{name} {version}" for name, version in tools)


def _peers(studies: list[Row]) -> Iterator[tuple[str, list[Row]]]:
    """Give each tool's studies, in the order of the columns."""
    for name in dict.fromkeys(study["peer"] for study in studies):
        yield name, [study for study in studies if study["peer"] == name]


def _lines(studies: list[Row], cell: Cell) -> Iterator[list[str]]:
    """Give a line for each tool, but none where there is nothing to say."""
    for name, own in _peers(studies):
        cells = [cell(study) for study in own]
        if any(cells):
            yield [name, *cells]


def _pairs(studies: list[Row], theirs: Cell, ours: Cell) -> Iterator[list[str]]:
    """Give a line for each tool, and after those that share a study of hbsim's a line for that."""
    for rule, group in groupby(_peers(studies), key=lambda peer: peer[1][0]["rule"]):
        own: list[Row] = []
        for name, own in group:
            yield [name, *map(theirs, own)]
        yield [f"hbsim, {f'`{rule}`' if rule else 'promotion'}", *map(ours, own)]


def _speed(studies: list[Row]) -> Iterator[list[str]]:
    spans = dict(_spans(studies))
    lines = _pairs(
        studies,
        lambda study: f"{1e3 * median(study['cpu']):,.0f}",
        lambda study: f"{1e3 * median(study['hbsim_cpu']):.1f}",
    )
    for name, *cells in lines:
        yield [name, *cells, spans.get(name, "1")]


def _spans(studies: list[Row]) -> Iterator[tuple[str, str]]:
    for name, own in _peers(studies):
        ratios = [median(study["cpu"]) / median(study["hbsim_cpu"]) for study in own]
        yield name, f"{min(ratios):,.1f} to {max(ratios):,.1f}"


def _order(studies: list[Row]) -> Iterator[list[str]]:
    return _pairs(
        studies,
        lambda study: _late(study["disorder"], study["late"]),
        lambda study: _late(study["hbsim_disorder"], study["hbsim_late"]),
    )


def _late(disorder: list[float], late: list[list[float]]) -> str:
    means, most = zip(*late, strict=True)
    return f"{fmean(disorder):.1%}; {abs(fmean(means)):.2f}, {abs(max(most)):.1f}"


def _decisions(study: Row) -> str:
    if study["decisions"] is None:
        return ""
    same, total, _ = map(sum, zip(*study["decisions"], strict=True))
    return f"{same:,} of {total:,}"


def _overlap(study: Row) -> str:
    levels = list(zip(*study["overlap"], strict=True))[1:]
    return " / ".join(_mean([share for share in level if share is not None]) for level in levels)


def _mean(values: list[float]) -> str:
    return f"{fmean(values):.3f}" if values else "–"


def _reached(studies: list[Row]) -> Iterator[list[str]]:
    return _pairs(
        studies, lambda study: _counts(study["reached"]), lambda study: _counts(study["hbsim_reached"])
    )


def _counts(seeds: list[list[int]]) -> str:
    return " / ".join(f"{fmean(level):.1f}" for level in list(zip(*seeds, strict=True))[1:])


def _regret(studies: list[Row]) -> Iterator[list[str]]:
    for name, own in _peers(studies):
        for study in own:
            theirs, ours = zip(*study["regret"]["mean"]["seeds"], strict=True)
            differences = [_difference(study["regret"][key]) for key in ("mean", "quarter", "end")]
            means = (f"{fmean(theirs):.4f}", f"{fmean(ours):.4f}")
            yield [name, study["table"], str(study["workers"]), *means, *differences]


def _difference(spread: Row) -> str:
    found = spread["difference"]
    if max(map(abs, found)) < DUST:
        return "0"
    mean, low, high = (f"{round(number, 4) + 0.0:+.4f}" for number in found)  # no -0.0
    return f"{mean} [{low}, {high}]"


def _time(study: Row) -> str:
    pairs = zip(study["simulated_seconds"], study["hbsim_simulated_seconds"], strict=True)
    return f"{fmean(one / other for one, other in pairs):.3f}"
