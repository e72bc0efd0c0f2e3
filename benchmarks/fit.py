"""Fits to pilots, held against the tables that they were cut from: `python -m benchmarks.fit --help`.

All figures but the seconds are the same on every run.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.fit_figures import VARIANTS, WAYS, accuracy, rankings, sources, speed, stopped_pilots
from benchmarks.measure import ROOT, conditions, say
from benchmarks.pages import joined, machine_lines, publish, rounded, table
from hbsim.errors import HbsimWarning

ACCURACY = """\
## Does the report say what is true?

Each line is a mean over pilots. **ratio**: the error of predicted values over that of a constant.
**ranks**: Spearman's correlation of predicted with true values. **inside**: how many true values lie in the
80 % intervals. *said* by the report's cross-validation, *true* of all rows of the table that are not in the
pilot. **to end**: the rank correlation of values at the level with those at the last, drawn by the models of
the report, and in the rest of the table."""

RANKINGS = """\
## Do schedulers rank as on the whole table?

The incumbent's value at R (all are minimised), a mean over studies, at three times. **table**: on the whole
table. **fit**: on fits to the pilots, of up to 1,000 new configurations. **rows**: on the pilots' rows, again
and again, without a fit. A pair of variants counts at a time if it differs on the whole table by more than
two standard errors, over seeds on these rows. In brackets the standard error from pilot to pilot."""

STOPPED_PILOTS = """\
## Pilots that were stopped

A stopping scheduler (eta 3, one worker) ran the pilot; its rows end where it stopped them. How far
predictions at R are off for these rows, over the spread of the table at R: **bias** (below 0: too good) and
**error** (mean absolute). *fit* works out how they would have gone on; *exclude* is fitted to complete rows
only; *extrapolate* to rows whose last value stays; *median* is that of the complete rows, for all. A dash:
never enough complete rows; in brackets, how many pilots had them, if not all."""

SECONDS = """\
## Seconds

A fit (best of three); its report; and 4,096 configurations at 6 levels (best of five)."""


def render(content: dict[str, Any]) -> str:
    """Return the page, Markdown."""
    head = [
        "# Fits to pilots, held against the tables that they were cut from",
        f"Written by `{content['command']}`; [what a fit is](../../docs/how-to/fit.md). "
        f"{content['pilots']} pilots of each size, drawn at random; {content['seeds']} studies on each.",
        "\n".join(machine_lines(content["machine"], content["load_at_start"])),
    ]
    parts = [
        *head,
        ACCURACY,
        table(_ACCURACY_HEAD, _accuracy(content["accuracy"])),
        RANKINGS,
        *_rankings(content),
        STOPPED_PILOTS,
        table(
            ["table", "rows", "brackets", "complete", *(f"{way}: bias, error" for way in WAYS)],
            _stopped(content),
        ),
        SECONDS,
        table(["table", "rows", "fit", "report", "4,096 x 6"], _speed(content["speed"])),
    ]
    return joined(*parts)


_ACCURACY_HEAD = (
    *("table", "pilot", "level", "ratio said", "true", "ranks said", "true"),
    *("inside said", "true", "to end drawn", "true"),
)
_ACCURACY = ("ratio_said", "ratio_true", "ranks_said", "ranks_true")
_INSIDE = ("inside_said", "inside_true")


def _accuracy(found: list[dict[str, Any]]) -> Iterator[list[object]]:
    for one in found:
        for line in one["levels"]:
            yield [
                one["table"],
                one["rows"],
                f"{line['level']:g}",
                *(f"{line[key]:.2f}" for key in _ACCURACY),
                *(f"{line[key]:.0%}" for key in _INSIDE),
                f"{line['to_end_drawn']:.2f}",
                f"{line['to_end_true']:.2f}",
            ]


def _rankings(content: dict[str, Any]) -> Iterator[str]:
    for one in content["rankings"]:
        counts = one["agreement"]
        yield (
            f"**{one['table']}, pilots of {one['rows']}**: {counts['fit']['clear']} pairs count; the same "
            f"better one in {counts['fit']['same']} on fits, in {counts['rows']['same']} on rows."
        )
        yield table(["time", "curves", *content["variants"]], _incumbents(one))


def _incumbents(one: dict[str, Any]) -> Iterator[list[object]]:
    for place, time in enumerate(one["times"]):
        for kind in ("table", "fit", "rows"):
            pairs = zip(one["mean"][kind][place], one["error"][kind][place], strict=True)
            yield [f"{time:,.0f} s", kind, *(f"{mean:.4g} ({error:.1g})" for mean, error in pairs)]


def _stopped(content: dict[str, Any]) -> Iterator[list[object]]:
    for one in content["stopped"]:
        complete = ", ".join(map(str, one["complete"]))
        cells = [_pair(one["errors"].get(way), one["pilots"][way], content["pilots"]) for way in WAYS]
        yield [one["table"], one["rows"], one["brackets"], complete, *cells]


def _pair(errors: list[float] | None, pilots: int, all_pilots: int) -> str:
    if errors is None:
        return "-"
    some = "" if pilots == all_pilots else f" ({pilots} pilots)"
    return f"{errors[0]:+.2f}, {errors[1]:.2f}{some}"


def _speed(found: list[dict[str, Any]]) -> Iterator[list[object]]:
    for one in found:
        yield [one["table"], one["rows"], *(f"{one[key]:.2g}" for key in ("fit", "report", "block"))]


BRACKETS = (1, 3)
STOPPED = {"digits": 200, "nasbench_nlp_wt2": 200}  # rows of a stopped pilot


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="a folder of public recorded curves (.npz)")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "fit", help="a folder")
    parser.add_argument("--pilots", type=int, default=5, help="pilots of each table and size")
    parser.add_argument("--seeds", type=int, default=20, help="studies on each pilot and variant")
    options = parser.parse_args()
    if options.pilots < 2 or options.seeds < 1:
        parser.error("--pilots must be at least 2, and --seeds at least 1")
    if options.data is not None and len(list(sources(options.data))) == 1:
        parser.error(f"--data {options.data} holds no curves that are known here")
    return options


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Return all figures."""
    content: dict[str, Any] = {"accuracy": [], "rankings": [], "stopped": [], "speed": []}
    for source in sources(options.data):
        for size in source.pilots:
            say(f"{source.name}, pilots of {size}")
            named = {"table": source.name, "rows": size}
            lines = accuracy(source, size, options.pilots, folder)
            content["accuracy"].append({**named, "levels": lines})
            found = rankings(source, size, options.pilots, options.seeds, folder)
            content["rankings"].append({**named, **found})
            content["speed"].append({**named, **speed(source, size, folder)})
        for brackets in BRACKETS if source.name in STOPPED else ():
            say(f"{source.name}, stopped pilots, {brackets} brackets")
            named = {"table": source.name, "rows": STOPPED[source.name], "brackets": brackets}
            found = stopped_pilots(source, STOPPED[source.name], brackets, options.pilots, folder)
            content["stopped"].append({**named, **found})
    return content


def main() -> None:
    """Measure what the command line asks for."""
    options = parse()
    measured_on = conditions()
    with tempfile.TemporaryDirectory(prefix="hbsim-fit-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", HbsimWarning)  # the page says what they say
        found = rounded(measure(options, Path(folder)))
    content = {
        "command": "python -m benchmarks.fit" + (" --data DIR" if options.data else ""),
        "pilots": options.pilots,
        "seeds": options.seeds,
        "variants": list(VARIANTS),
        **measured_on,
        **found,
    }
    publish(options.out, "fit", content, render(content))


if __name__ == "__main__":
    main()
