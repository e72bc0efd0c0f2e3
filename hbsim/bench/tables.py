"""A comparison as a table of text, for a terminal and in Markdown."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from hbsim.bench.statistics import Interval

if TYPE_CHECKING:
    from rich.console import JustifyMethod
    from rich.table import Table

    from hbsim.bench.comparison import Comparison, Row
    from hbsim.bench.scores import Score

__all__ = ["captions", "duration", "markdown", "not_shown", "rich_table"]

NONE: Final = "–"
CLOSE: Final = "≈"
AGAINST: Final = "paired difference\nfrom the best"
IMPORTANT: Final = ("cost", "failed")  # the first, after four, to get room in a terminal
LEFT: Final = ("variant", AGAINST)
GAP: Final = 2  # columns of the terminal between two of the table
UNITS: Final = (("d", 86400.0), ("h", 3600.0), ("min", 60.0))


def rich_table(comparison: Comparison, width: int) -> Table:
    """Return the table for a terminal: as many of its columns as have room, at least four."""
    from rich import box
    from rich.table import Table

    headers, lines, least, shown = _fitting(comparison, width)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0))
    for number in shown:
        justify: JustifyMethod = "left" if headers[number] in LEFT else "right"
        table.add_column(headers[number], justify=justify, no_wrap=number != 1, min_width=least[number])
    for row, line in zip(comparison.rows, lines, strict=True):
        style = "bold" if row.at_time.call == "best" else None
        table.add_row(*(line[number] for number in shown), style=style)
    return table


def not_shown(comparison: Comparison, width: int) -> list[str]:
    """Return the headers that `rich_table` leaves out at this width."""
    headers, _, _, shown = _fitting(comparison, width)
    return [header.replace("\n", " ") for number, header in enumerate(headers) if number not in shown]


def _fitting(comparison: Comparison, width: int) -> tuple[list[str], list[list[str]], list[int], list[int]]:
    """Return headers, rows, the least width of each column, and which columns have room."""
    headers, lines = _cells(comparison)
    for line in lines:
        line[1] = line[1].replace(",", ", ")  # so that a narrow terminal can wrap it
    least = [_least(column, number == 1) for number, column in enumerate(zip(headers, *lines, strict=True))]
    further = sorted(range(4, len(headers)), key=lambda number: headers[number] not in IMPORTANT)
    order = [*range(4), *further]
    room = [sum(least[n] + GAP for n in order[:count]) - GAP <= width for count in range(1, len(order) + 1)]
    return headers, lines, least, sorted(order[: max(4, sum(room))])


def _least(column: Sequence[str], wraps: bool) -> int:
    """Return the width that a column needs, its header first."""
    return max(len(part) for text in column for part in (text.split() if wraps else text.split("\n")))


def markdown(comparison: Comparison) -> str:
    """Return the table, what it says of itself, and the notes, in Markdown."""
    headers, lines = _cells(comparison)
    titles = [header.replace("\n", " ") for header in headers]
    rules = [":--" if header in LEFT else "--:" for header in headers]
    rows = [f"| {' | '.join(cells)} |" for cells in (titles, rules, *lines)]
    notes = [f"- {note}" for note in comparison.notes]
    return "\n".join([*rows, "", *captions(comparison), *([""] if notes else []), *notes, ""])


def captions(comparison: Comparison) -> list[str]:
    """Return what the numbers are, in two sentences a line."""
    surrogate, seeds = comparison.surrogate, comparison.seeds
    time, resource = comparison.time, comparison.resource
    span = f"mean over seeds {seeds[0]} to {seeds[-1]} [95 % bootstrap interval]"
    if len(seeds) == 1:
        span = f"seed {seeds[0]}"
    best = surrogate.optimum(comparison.plan.max_t)
    optimum = "" if best is None else f", best {best:.6g}"
    scored = (
        f"{surrogate.metric} at R={comparison.plan.max_t:g} ({surrogate.mode}{optimum}) of {surrogate.name}"
    )
    if comparison.what == "regret":
        scored = f"the incumbent's distance from the best {scored}"
    else:
        scored = f"the incumbent's {scored}"
    said = [
        f"{comparison.what}: {scored}; {span}.",
        f"Equal time: {duration(time.value)}, {comparison.budget_text(time)}. Equal resource: "
        f"{resource.value:,.6g} units trained in all jobs, {comparison.budget_text(resource)}.",
    ]
    if any(row.at_time.call == "too close to call" for row in comparison.rows):
        said.append(f"{CLOSE} too close to call: the interval of the paired difference includes 0.")
    if not all(math.isnan(row.means["cost"]) for row in comparison.rows):
        said.append(f"Cost, completed and busy are to each study's own end, {comparison.what} at equal time.")
    return said


def duration(seconds: float) -> str:
    """Return seconds as people read them: ``5,432 s (1.5 h)``."""
    for unit, length in UNITS:
        if seconds >= 2 * length:
            return f"{seconds:,.0f} s ({seconds / length:.1f} {unit})"
    return f"{seconds:.4g} s"


def _cells(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Return headers and rows of text."""
    rows, what = comparison.rows, comparison.what
    intervals = [s.interval for row in rows for s in (row.at_time, row.at_resource)]
    digits = _digits(intervals)
    unit, length = _unit(max(row.means["simulated_seconds"] for row in rows))
    columns = {
        "rank": [str(row.at_time.rank) for row in rows],
        "variant": [row.label for row in rows],
        f"{what} at\nequal time": [_interval(row.at_time, digits) for row in rows],
        AGAINST: [_against(row.at_time, digits) for row in rows],
        "equal\nresource": [_number(row.at_resource.interval.mean, digits) for row in rows],
        "rank\nthere": [str(row.at_resource.rank) for row in rows],
        "test\nat R": [_number(row.test, digits) for row in rows],
        f"simulated\n{unit}": [f"{row.means['simulated_seconds'] / length:,.3g}" for row in rows],
        "cost": [f"{row.means['cost']:,.2f}" for row in rows],
        "trials": [_count(row, "trials") for row in rows],
        "completed": [_count(row, "completed") for row in rows],
        "failed": [_count(row, "failed") for row in rows],
        "busy": [f"{row.means['busy_share']:.0%}" for row in rows],
    }
    if all(math.isnan(row.test) for row in rows):
        del columns["test\nat R"]
    if all(math.isnan(row.means["cost"]) for row in rows):
        del columns["cost"]
    if not any(row.means["failed"] for row in rows):
        del columns["failed"]
    return list(columns), [list(line) for line in zip(*columns.values(), strict=True)]


def _interval(score: Score, digits: int) -> str:
    found = score.interval
    if math.isnan(found.mean):
        return NONE
    few = f" ({len(score.values) - score.missing} seeds)" if score.missing else ""
    interval = "" if math.isnan(found.low) else f" [{found.low:.{digits}f}, {found.high:.{digits}f}]"
    return f"{found.mean:.{digits}f}{interval}{few}"


def _against(score: Score, digits: int) -> str:
    if score.call in ("best", "no score"):
        return score.call
    found = score.difference
    sign = CLOSE if score.call == "too close to call" else " "
    if math.isnan(found.low):
        return f"{sign} {found.mean:+.{digits}f}"
    return f"{sign} [{found.low:+.{digits}f}, {found.high:+.{digits}f}]"


def _count(row: Row, name: str) -> str:
    mean = row.means[name]
    return f"{mean:,.0f}" if mean >= 10 else f"{mean:.2g}"


def _number(value: float, digits: int) -> str:
    return NONE if math.isnan(value) else f"{value:.{digits}f}"


def _digits(intervals: Iterable[Interval]) -> int:
    """Return how many decimals show two digits of the widths that intervals have in the middle."""
    widths = [i.high - i.low for i in intervals if i.high > i.low]
    if not widths:
        return 4
    return min(6, max(1, 1 - math.floor(math.log10(statistics.median(widths)))))


def _unit(seconds: float) -> tuple[str, float]:
    for unit, length in (*UNITS, ("s", 1.0)):
        if seconds >= 2 * length or unit == "s":
            return unit, length
    raise AssertionError
