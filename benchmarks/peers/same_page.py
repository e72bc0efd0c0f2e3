"""The page that `benchmarks.peers.same_study` writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import fmean, median
from typing import Any, Final

from benchmarks.peers.same_words import HEAD, HOW, facts, notes
from benchmarks.report import machine_lines, table

__all__ = ["render"]

Row = dict[str, Any]


def render(content: Row) -> str:
    """Return the page, Markdown."""
    studies = content["studies"]
    grid = [f"{t['name']}, {w} workers" for t in content["tables"] for w in content["workers"]]
    parts = [
        "# The same ASHA study in hbsim and in other tools",
        f"Written by `{content['command']}`, with the figures in `same_study.json`.",
        "\n".join([*machine_lines(content["machine"], content["load_at_start"]), _versions(content)]),
        HEAD.format(trials=content["trials"], seeds=content["seeds"]),
        HOW,
        "## In short",
        "\n".join(f"- {fact}" for fact in facts(content)),
        "## Speed",
        notes("speed"),
        table(("cpu milliseconds", *grid, "over hbsim's"), _speed(studies, content["trials"])),
        "## The order of results",
        notes("order"),
        table(("out of order; late, mean and most, s", *grid), _cells(studies, _order)),
        "## Decisions",
        notes("decisions"),
        table(("decisions alike", *grid), _cells(studies, _decisions)),
        "## Which trials survive",
        notes("overlap"),
        table(("in both, of those in either", *grid), _cells(studies, _overlap)),
        notes("reached"),
        table(("reached 3 / 9 / 27 / 81", *grid), _reached(studies)),
        "## Regret, and the time that it takes",
        notes("regret"),
        table(
            ("", "curves", "workers", "theirs", "hbsim", "difference", "at 1/4 of the time", "at its end"),
            _regret(studies),
        ),
        notes("time"),
        table(("simulated s, over hbsim's", *grid), _cells(studies, _time)),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _versions(content: Row) -> str:
    found = content["versions"].values()
    tools = [next(iter(packages.items())) for packages in found]
    return "- each in an environment of its own: " + ", ".join(f"{name} {version}" for name, version in tools)


def _peers(studies: list[Row]) -> Iterator[tuple[str, list[Row]]]:
    """Give each peer's studies, in the order of the columns."""
    for name in dict.fromkeys(study["peer"] for study in studies):
        yield name, [study for study in studies if study["peer"] == name]


def _cells(studies: list[Row], cell: Callable[[Row], str]) -> Iterator[list[str]]:
    """Give a line for each peer; no line where there is nothing to say."""
    for name, own in _peers(studies):
        cells = [cell(study) for study in own]
        if any(cells):
            yield [name, *cells]


def _speed(studies: list[Row], trials: int) -> Iterator[list[str]]:
    for name, own in _peers(studies):
        ours, theirs = ([1e3 * median(study[key]) for study in own] for key in ("hbsim_cpu", "cpu"))
        ratios = [one / other for one, other in zip(theirs, ours, strict=True)]
        yield [name, *(f"{one:,.0f}" for one in theirs), f"{min(ratios):,.0f} to {max(ratios):,.0f}"]
        rule = own[0]["rule"]
        yield [f"hbsim, {f'`{rule}`' if rule else 'promotion'}", *(f"{one:.1f}" for one in ours), "1"]


def _order(study: Row) -> str:
    means, most = zip(*study["late"], strict=True)
    return f"{fmean(study['disorder']):.1%}; {fmean(means):.2f}, {max(most):.1f}"


def _decisions(study: Row) -> str:
    if study["decisions"] is None:
        return ""
    same, total, _ = map(sum, zip(*study["decisions"], strict=True))
    return f"{same:,} of {total:,}"


def _overlap(study: Row) -> str:
    shares = zip(*study["overlap"], strict=True)
    return " / ".join(_mean([one for one in level if one is not None], ".3f") for level in list(shares)[1:])


def _reached(studies: list[Row]) -> Iterator[list[str]]:
    for name, own in _peers(studies):
        yield [name, *(_counts(study["reached"]) for study in own)]
        yield ["hbsim, the same", *(_counts(study["hbsim_reached"]) for study in own)]


def _counts(seeds: list[list[int]]) -> str:
    return " / ".join(f"{fmean(level):.1f}" for level in list(zip(*seeds, strict=True))[1:])


def _regret(studies: list[Row]) -> Iterator[list[str]]:
    for name, own in _peers(studies):
        for study in own:
            mean = study["regret"]["mean"]
            theirs, ours = zip(*mean["seeds"], strict=True)
            differences = [_difference(study["regret"][key]) for key in ("mean", "quarter", "end")]
            means = (f"{fmean(theirs):.4f}", f"{fmean(ours):.4f}")
            yield [name, study["table"], str(study["workers"]), *means, *differences]


def _difference(spread: Row) -> str:
    mean, low, high = spread["difference"]
    return "0" if low == mean == high == 0 else f"{mean:+.4f} [{low:+.4f}, {high:+.4f}]"


def _time(study: Row) -> str:
    pairs = zip(study["simulated_seconds"], study["hbsim_simulated_seconds"], strict=True)
    return f"{fmean(one / other for one, other in pairs):.3f}"


def _mean(values: list[float], style: str) -> str:
    return f"{fmean(values):{style}}" if values else "–"
