"""The page of `benchmarks.conclusions`."""

from __future__ import annotations

import re
from typing import Any, Final

from scipy.stats import binomtest

from benchmarks.report import table

__all__ = ["render"]

RULES: Final = {
    "uncorrected": "95 % interval, uncorrected",
    "uncorrected, more seeds": "95 % interval, uncorrected",
    "holm_wilcoxon": "Holm-Wilcoxon, all pairs",
    "holm_wilcoxon, more seeds": "Holm-Wilcoxon, all pairs",
    "curves": "conclusions: on these curves",
    "draw": "conclusions: **on another draw**",
}


def share(count: int, of: int) -> str:
    """Return a share with its 95 % interval (Clopper and Pearson), in per cent."""
    interval = binomtest(count, of).proportion_ci()
    return f"{count / of:.1%} ({interval.low:.0%}-{interval.high:.0%})"


def render(content: dict[str, Any]) -> str:
    """Return the page."""
    machine = content["machine"]
    parts = [
        "# Are conclusions true?",
        "Written by `python -m benchmarks.conclusions --data DIR` (DIR: YAHPO's files of LCBench; without it "
        "that population is left out); what is measured here is explained in "
        "[statistics](../../docs/explanation/statistics.md). Figures are the same on every run; made with "
        f"hbsim {machine['hbsim']}, numpy {machine['numpy']}. In brackets: 95 % intervals of the share.",
        "Three rules are held against each other. *95 % interval, uncorrected*: worse is whose paired "
        "difference from the best has an interval (Student's) above 0, as `hbsim compare` had it. "
        "*Holm-Wilcoxon, all pairs*: Wilcoxon's signed-rank test, corrected over all pairs, as "
        "`hbsim report` had it. *Conclusions*: `hbsim.bench.conclusions`.",
        "## Equal variants",
        "Some variant is called worse, in so many repetitions; it must be 5 % at most. "
        f"There are {content['equal'][0]['repetitions']}, of Holm-Wilcoxon {content['equal'][0]['fewer']}. "
        "*normal*, *lognormal*, *tied*: drawn scores. *digits*: studies of promotion with 5 brackets on the "
        "digits curves, variants differ in the seed of their brackets only (drawn from "
        f"{content['digits']['pool']} studies each).",
        _equal(content["equal"] + content["digits"]["rows"]),
        "## Found on these curves",
        "Eight variants on the digits curves; how often fifo and Hyperband, which are worse, are called so "
        "at equal numbers of studies.",
        _power(content["power"]),
        "## Another draw: populations of which the truth is known",
        "Tables are cut from a population, no row twice; each variant runs "
        f"{content['tables'][0]['rules'][-1]['studies']} studies on halves of each table. *False*: tables on "
        "which some variant is called worse after the truth (the means over all other tables) is taken from "
        "the scores, so that all are equal. *Other sign*: of the calls on a table, how many have the other "
        "sign on another table of the population, over all others. *fifo*, *Hyperband*: on how many tables "
        "they are called worse; where Hyperband is close to the best, less is right.",
    ]
    for one in content["tables"]:
        parts += [f"### {one['population']}, tables of {one['rows']} rows", _known(one)]
    total = {"false": 0, "tables": 0, "calls": 0, "reversed": 0.0}
    for one in content["tables"]:
        row = one["rules"][-1]
        for key in total:
            total[key] += row[key]
    pairs = [sum(one["pairs"][key] for one in content["tables"]) for key in ("false", "pairs")]
    other = total["reversed"] / max(total["calls"], 1)
    parts += [
        f"Over all of them, on another draw: false on {share(total['false'], total['tables'])} of "
        f"{total['tables']} tables; other sign in {other:.2%} of {total['calls']} calls. Of pairs of "
        f"variants that are compared alone, {pairs[0] / pairs[1]:.1%} of {pairs[1]:,} are told apart, "
        "falsely.",
        "## Another draw: effects of rows that are drawn",
        "Variants that are equal in the population, on tables of 500 rows of which each has an effect of its "
        "own on each variant. *rows*: the variance of a mean difference by the draw of the rows, over that "
        "of a study by its seed. In so many repetitions some variant is called worse:",
        _linear(content["linear"]),
    ]
    return re.sub(r"(?<=\d)%", " %", "\n\n".join(parts)) + "\n"


def _equal(rows: list[dict[str, Any]]) -> str:
    head = ["scores", "variants", "95 % interval, 20 studies", "Holm-Wilcoxon, 20 studies"]
    head += ["conclusions, 20 studies", "conclusions, 100 studies: on these curves", "on another draw"]
    names = ("uncorrected", "holm_wilcoxon", "few", "curves", "draw")
    return table(
        head,
        [
            [
                row["scores"],
                row["variants"],
                *(share(row[name], row["fewer" if name[0] == "h" else "repetitions"]) for name in names),
            ]
            for row in rows
        ],
    )


def _power(rows: list[dict[str, Any]]) -> str:
    head = ["studies", "fifo: Holm-Wilcoxon", "fifo: conclusions", "Hyperband: Holm-Wilcoxon"]
    return table(
        [*head, "Hyperband: conclusions"],
        [
            [
                row["studies"],
                *(
                    share(row[rule][variant], row["repetitions"])
                    for variant in ("fifo", "hyperband")
                    for rule in ("holm_wilcoxon", "curves")
                ),
            ]
            for row in rows
        ],
    )


def _known(one: dict[str, Any]) -> str:
    truth = ", ".join(f"{name} {value:.4f}" for name, value in one["truth"].items())
    rows = [
        [
            RULES[row["rule"]],
            row["studies"],
            share(row["false"], row["tables"]),
            f"{row['reversed'] / row['calls']:.1%} of {row['calls']}" if row["calls"] else "-",
            share(row["fifo"], row["tables"]),
            share(row["hyperband"], row["tables"]),
        ]
        for row in one["rules"]
    ]
    shown = table(["rule", "studies", "false", "other sign", "fifo", "Hyperband"], rows)
    low, high = one["tenth"]["studies"]
    takes = f"{low:,} to {high:,} studies on one table, by pair, and about {one['tenth']['rows']:,} rows"
    return (
        f"{one['rules'][0]['tables']} tables. Mean regrets: {truth}. To tell a tenth of the least "
        f"of them between two asynchronous variants takes {takes} for another draw.\n\n{shown}"
    )


def _linear(rows: list[dict[str, Any]]) -> str:
    head = ["scores", "rows", "variants", "95 % interval, uncorrected", "on these curves", "on another draw"]
    return table(
        head,
        [
            [
                row["scores"],
                row["effect"],
                row["variants"],
                *(share(row[rule], row["repetitions"]) for rule in ("uncorrected", "curves", "draw")),
            ]
            for row in rows
        ],
    )
