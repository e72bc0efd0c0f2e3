"""Hyperband's brackets, walks of successive halving, and how soon one trial is at R.

`python -m benchmarks.brackets` writes the same bytes each time.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from pathlib import Path
from statistics import fmean
from typing import Any, Final

import hbsim
from benchmarks.measure import ROOT
from benchmarks.pages import joined, publish, table
from hbsim.core import Report, Scheduler, make_scheduler
from hbsim.core.levels import hyperband_size

RESOURCES: Final = (81, 243)
ETAS: Final = range(2, 11)
LARGEST: Final = 10**6
SEEDS: Final = 25
LOGARITHMS: Final[dict[str, Callable[[Decimal], Decimal]]] = {
    "log": lambda x: x.ln(),
    "log2": lambda x: x.ln() / Decimal(2).ln(),
    "log10": lambda x: x.log10(),
}
# Trials from 1: at level 1 the best are 1, 6, 8 in this order, at level 3 it is 8.
FIGURE: Final = {1: {1: 30.0, 6: 20.0, 8: 15.0}, 3: {8: 99.0}}
EIGHT: Final = {1: {1: 30.0, 6: 20.0, 8: 99.0}, 3: {8: 99.0}}


def collect() -> dict[str, Any]:
    """Return everything, plain types."""
    return {
        "tables": {
            str(max_t): {form: hyperband_turn(max_t, 3, form) for form in ("ceil", "floor")}
            for max_t in RESOURCES
        },
        "float": {
            "R": 243,
            "eta": 3,
            "quotient": quotient(243, 3, "log"),
            "brackets": float_brackets(243, 3),
        },
        "lost": list(lost()),
        "walks": {
            "sha": walk("sha", FIGURE),
            "promotion": walk("promotion", FIGURE),
            "promotion, 8 best at level 1 too": walk("promotion", EIGHT),
        },
        "first": list(first_times()),
    }


def hyperband_turn(max_t: int, eta: int, n_formula: str) -> list[list[list[int]]]:
    """Run each bracket once; return for each its rungs, [trials, level], bracket 0 first."""
    k = make_scheduler("hyperband", max_t=max_t, reduction_factor=eta).geometry.k
    sizes = [hyperband_size(k, bracket, Fraction(eta), n_formula) for bracket in range(k + 1)]
    scheduler = make_scheduler(
        "hyperband", max_t=max_t, reduction_factor=eta, n_formula=n_formula, num_trials=sum(sizes)
    )
    counts: list[Counter[int]] = [Counter() for _ in sizes]
    while (job := scheduler.ask()) is not None:
        counts[job.bracket][int(job.stop)] += 1
        scheduler.tell(Report(job.trial, job.stop, float(job.trial)))
    return [[[n, level] for level, n in sorted(count.items())] for count in counts]


def quotient(max_t: int, eta: int, base: str) -> float:
    """Return log(max_t) / log(eta) in floats: both logarithms rounded, as a good mathematical library does.

    Worked out in decimals, so that no library's last bit shows.
    """
    with localcontext() as context:
        context.prec = 50
        above, below = (float(LOGARITHMS[base](Decimal(number))) for number in (max_t, eta))
    return above / below


def float_brackets(max_t: int, eta: int) -> list[list[int]]:
    """Return [trials, lowest level] of each bracket where K is the integer part of that quotient."""
    k = int(quotient(max_t, eta, "log"))
    return [[hyperband_size(k, b, Fraction(eta), "ceil"), max_t // eta ** (k - b)] for b in range(k + 1)]


def lost() -> Iterator[dict[str, Any]]:
    """Give the powers eta^K up to a million where the float falls short of K, and with which logarithm."""
    for eta in ETAS:
        power = 1
        while (max_t := eta**power) <= LARGEST:
            short = [base for base in LOGARITHMS if int(quotient(max_t, eta, base)) < power]
            if short:
                yield {"eta": eta, "K": power, "R": max_t, "short": short}
            power += 1


def walk(type: str, best: Mapping[int, Mapping[int, float]]) -> list[list[int]]:
    """Return what one worker trains, of nine trials and eta=3: [trial from 1, level], stretch by stretch."""
    options: dict[str, Any] = {"n": 9} if type == "sha" else {}
    scheduler = make_scheduler(type, max_t=9, reduction_factor=3, num_trials=9, **options)
    steps: list[list[int]] = []
    while (job := scheduler.ask()) is not None:
        _train(scheduler, job.trial, job.stop, best, steps)
    return steps


def _train(
    scheduler: Scheduler,
    trial: int,
    stop: float | None,
    best: Mapping[int, Mapping[int, float]],
    steps: list[list[int]],
) -> None:
    while stop is not None:
        level = int(stop)
        steps.append([trial + 1, level])
        value = best.get(level, {}).get(trial + 1, -float(trial))
        stop = scheduler.tell(Report(trial, stop, value)).stop


def first_times() -> Iterator[dict[str, Any]]:
    """Give the time of the first trial at R, with a worker a trial, over random orders of quality."""
    for eta, max_t in ((3, 9), (4, 256)):
        for resume in (True, False):
            for straight_on in (True, False):
                times = [first_time(eta, max_t, resume, straight_on, seed) for seed in range(SEEDS)]
                place = {"eta": eta, "R": max_t, "resume": resume, "straight_on": straight_on}
                yield {**place, "least": min(times), "mean": round(fmean(times), 3), "most": max(times)}


def first_time(eta: int, max_t: int, resume: bool, straight_on: bool, seed: int) -> float:
    scheduler = make_scheduler(
        "promotion", max_t=max_t, reduction_factor=eta, straight_on=straight_on, num_trials=max_t
    )
    cluster = hbsim.Cluster(workers=max_t, resume=resume)
    result = hbsim.simulate(scheduler, f"ideal:max_resource={max_t}", seed=seed, cluster=cluster)
    return float(result.incumbent(at="max_t")["time"][0])


COMMAND: Final = "python -m benchmarks.brackets"
FOLDER: Final = ROOT / "results" / "brackets"
DOC: Final = "../../docs/explanation/brackets.md"
NUMBERS: Final = """\
`n@level`: so many trials are trained to this level. A bracket's number says where it starts; s = K - bracket
is the Hyperband paper's number. Units are those of R that all rungs train, where promoted trials go on from
checkpoints, and where they train from zero."""
FORMS: Final = {"ceil": "ceil((K+1)·eta^s/(s+1))", "floor": "floor(floor((K+1)/(s+1))·eta^s)"}
WALKS: Final = """\
Nine trials, r=1, R=9, eta=3, one worker; trials are counted from 1. At level 1 the best are 1, 6 and 8, in
this order, at level 3 it is 8. Each step is a trial and the level that it is trained to."""
FIRST: Final = f"""\
R trials on R workers; a job takes the resource that it trains. Time of the first trial at R: the least, the
mean and the most over {SEEDS} random orders of quality."""


def render(content: dict[str, Any]) -> str:
    """Return the page, Markdown."""
    parts = [
        "# Brackets",
        f"Written by `{COMMAND}`, with [the same as JSON](brackets.json). [What it means]({DOC}).",
        NUMBERS,
        *_tables(content["tables"]),
        *_float(content),
        "## The walk of nine trials",
        WALKS,
        table(("scheduler", "steps"), ([name, _walk(steps)] for name, steps in content["walks"].items())),
        "## How soon one trial is at R",
        FIRST,
        table(
            ("eta", "R", "promotions train", "`straight_on`", "least", "mean", "most"),
            _first(content["first"]),
        ),
    ]
    return joined(*parts)


def _tables(tables: dict[str, Any]) -> Iterator[str]:
    for max_t, forms in tables.items():
        for form, brackets in forms.items():
            yield f'## R={max_t}, eta=3, `n_formula="{form}"`'
            yield f"A bracket starts {FORMS[form]} trials."
            yield table(("bracket", "s", "rungs", "units from checkpoints", "from zero"), _rows(brackets))


def _rows(brackets: Sequence[Sequence[Sequence[int]]]) -> Iterator[list[str]]:
    last = len(brackets) - 1
    totals = [0, 0]
    for bracket, rungs in enumerate(brackets):
        below = [0, *(level for _, level in rungs)]
        kept = sum(n * (level - before) for (n, level), before in zip(rungs, below, strict=False))
        again = sum(n * level for n, level in rungs)
        totals = [totals[0] + kept, totals[1] + again]
        yield [str(bracket), str(last - bracket), _rungs(rungs), f"{kept:,}", f"{again:,}"]
    yield ["all", "", f"{sum(rungs[0][0] for rungs in brackets)} trials", *(f"{total:,}" for total in totals)]


def _rungs(rungs: Iterable[Sequence[int]]) -> str:
    return " ".join(f"{n}@{level}" for n, level in rungs)


def _float(content: dict[str, Any]) -> Iterator[str]:
    case = content["float"]
    sizes = [n for n, _ in case["brackets"]]
    yield "## What a float makes of them"
    yield "\n".join(
        (
            f"`log({case['R']}) / log({case['eta']})` is {case['quotient']!r} in floats: its integer part",
            f"is {len(sizes) - 1}, not {len(sizes)}. What is left: {', '.join(map(str, sizes))} trials:",
            f"{_rungs(case['brackets'])}. The one of 243@1 is gone: no trial is judged before 3 units.",
        )
    )
    yield (
        f"Powers R = eta^K up to {LARGEST:,}, eta from 2 to 10, where the integer part falls short of K, by"
        " the logarithm that is taken:"
    )
    rows = ([row["eta"], row["K"], f"{row['R']:,}", ", ".join(row["short"])] for row in content["lost"])
    yield table(("eta", "K", "R", "short with"), rows)


def _walk(steps: Iterable[Sequence[int]]) -> str:
    return " ".join(f"{trial}@{level}" for trial, level in steps)


def _first(rows: Iterable[dict[str, Any]]) -> Iterator[list[str]]:
    for row in rows:
        train = "from checkpoints" if row["resume"] else "from zero"
        times = (f"{row[name]:g}" for name in ("least", "mean", "most"))
        yield [str(row["eta"]), str(row["R"]), train, str(row["straight_on"]), *times]


def write(content: dict[str, Any], out: Path) -> None:
    """Write the page and the figures."""
    publish(out, "brackets", {"schema": 1, "command": COMMAND, **content}, render(content), depth=2)


def main() -> None:
    """Work everything out and write it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=FOLDER, help="a folder")
    write(collect(), parser.parse_args().out)


if __name__ == "__main__":
    main()
