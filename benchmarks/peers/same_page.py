"""The page that `benchmarks.peers.same_study` writes: its tables, and what they show."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby
from statistics import fmean, median
from typing import Any, Final

from benchmarks.pages import joined, machine_lines, table

Row = dict[str, Any]

HEAD: Final = """\
ASHA with r = 1, eta = 3, R = 81 and one bracket, on two tables of {trials:,} curves: `synthetic` (accuracy,
maximised) and `digits` (validation error, minimised; its seconds times 400, so that an epoch takes some 10 s
in both). Trial i is row i of the table in every tool; {seeds} orders of the rows are the seeds. Schedulers
are told of a result where something is decided: at 1, 3, 9, 27 and 81 epochs."""

HOW: Final = (
    (
        "Syne Tune",
        "stopping, by rank",
        "its own simulator, as it comes: it polls every 5 s, and each order takes 0.05 s",
        '`rule="rank"`',
    ),
    (
        "Ray Tune",
        "stopping, by the quantile of those before",
        "it has no simulator: the class `ASHAScheduler` alone, told by a loop of ours in simulated time",
        '`rule="quantile"`',
    ),
    (
        "Optuna",
        "stopping, the best third, its own value counted",
        "it has no simulator: ask, report, `should_prune` and tell, with `SuccessiveHalvingPruner` "
        "(`bootstrap_count=0`, `min_early_stopping_rate=0`), called by the same loop",
        '`rule="top-k"`',
    ),
    (
        "mfhpo-simulator",
        "none",
        "its own simulator; hbsim's scheduler answers its ask and tell. It counts results: the first 1,300 "
        "of both",
        "promotion, `straight_on=False`",
    ),
)

NOTES: Final = {
    "speed": """\
cpu milliseconds of one study within the process, the median over the seeds: imports and reading the table
aside. Ray Tune's and Optuna's have the loop in them; with mfhpo-simulator hbsim's scheduler is in both.
hbsim: the median of three runs of each, the table of decisions included.""",
    "order": """\
Out of order: a result that the scheduler was told of after one that was there later. Late: simulated seconds
from when the training had reached the level to when the scheduler was told, on average and at most. The
order of Ray Tune and Optuna is that of our loop.""",
    "decisions": """\
A rung of hbsim's core (`hbsim.core.rungs`) was told of the results that the tool's scheduler was told of,
in the same order, and decided by the rule named above: all decisions below R, of all seeds. mfhpo-simulator
has no rule of its own.""",
    "overlap": """\
The trials that reached 3 / 9 / 27 / 81 epochs both there and in hbsim, over those that did in either
(Jaccard's index); the mean over the seeds, a dash where none did.""",
    "reached": "How many they were, the mean over the seeds:",
    "regret": """\
Regret: how far the incumbent (the trial of the best value told so far) is at R from the best row. First its
mean over the time that both studies had, from their first results to the earlier end; then theirs less
hbsim's, with 95 % intervals over the seeds: of that mean, after a quarter of that time, and at its end. Below
0 the tool does better than hbsim; 0: equal for every seed.""",
    "time": "How long the study takes until its last result, the mean over the seeds:",
}


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
        "[What was found](../../benchmarks/README.md#the-same-asha-study-in-other-tools)",
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
    return joined(*parts)


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
