"""Are conclusions true? Equal variants, and tables whose truth is known.

Writes a page: `python -m benchmarks.conclusions --help`.
All figures are the same on every run.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy.stats import binomtest, norm

from benchmarks.conclusions_studies import (
    VARIANTS,
    Array,
    Ints,
    digits_pool,
    equal_pool,
    halves,
    lcbench,
    synthetic,
    tables,
)
from benchmarks.measure import ROOT, describe_machine, say
from benchmarks.pages import publish, table
from hbsim.bench.conclusions import Column, conclude, mean_intervals
from hbsim.bench.over_tasks import holm_pairs

STUDIES: Final = 100
FEW: Final = 20  # studies, of the rules of before
EQUALS: Final = (2, 4, 8, 20)
SHAPES: Final = ("normal", "lognormal", "tied")
SIZES: Final = (250, 500, 1000)  # rows of a table
EFFECTS: Final = (0.01, 0.03, 0.085)  # variance of the mean by rows, over that of a study by seeds
LINEAR_ROWS: Final = 500
POWER_STUDIES: Final = (20, 50, 100)
FIFO, HYPERBAND = list(VARIANTS).index("fifo"), list(VARIANTS).index("hyperband")

Rule = Callable[[Array], list[int]]


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", type=Path, help="the folder of YAHPO's files of LCBench, for its population"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "conclusions", help="a folder")
    parser.add_argument("--pools", type=Path, help="a folder that keeps simulated studies for another run")
    parser.add_argument("--repetitions", type=int, default=400)
    parser.add_argument(
        "--tables", type=int, default=40, help="tables of each population; of 1,000 rows half as many"
    )
    options = parser.parse_args(arguments)
    if options.repetitions < 1 or options.tables < 3:
        parser.error("--repetitions must be at least 1, and --tables at least 3")
    return options


# The rules: which variants each calls worse


def uncorrected(scores: Array) -> list[int]:
    """Those whose 95 % interval of the difference from the best lies above 0: `compare` of before."""
    best = int(scores.mean(axis=1).argmin())
    return np.flatnonzero(mean_intervals(scores - scores[best])[1] > 0.0).tolist()


def holm_wilcoxon(scores: Array) -> list[int]:
    """Those that Wilcoxon's test tells from the best, Holm-corrected over all pairs: `report` of before."""
    means = scores.mean(axis=1)
    best = int(means.argmin())
    return np.flatnonzero((holm_pairs(scores.T)[best] <= 0.05) & (means > means[best])).tolist()


def worse(column: Column | None) -> list[int]:
    """Those that a column of conclusions calls worse."""
    return [] if column is None else [at for at, call in enumerate(column.call) if call == "worse"]


def on_curves(scores: Array) -> list[int]:
    """Those that conclusions call worse on these curves."""
    return worse(conclude(scores, *halves(scores.shape[1])).curves)


def on_another_draw(scores: Array) -> list[int]:
    """Those that conclusions call worse on another draw."""
    return worse(conclude(scores, *halves(scores.shape[1])).draw)


# Equal variants


def equal_scores(repetitions: int) -> list[dict[str, Any]]:
    """Return how often some of equal variants is called worse, by the shape of their scores."""
    found = []
    for shape in SHAPES:
        for k in EQUALS:
            say(f"{k} equal variants, {shape}")
            random = np.random.default_rng(k)
            draws = (_draw_scores(random, shape, k) for _ in range(repetitions))
            found.append({"scores": shape, "variants": k, **_equal(draws, repetitions)})
    return found


def _draw_scores(random: np.random.Generator, shape: str, k: int) -> Array:
    effects_of_seeds = random.lognormal(sigma=0.3, size=STUDIES)  # of each seed, the same for all variants
    if shape == "normal":
        return effects_of_seeds + random.normal(size=(k, STUDIES))
    if shape == "lognormal":
        return effects_of_seeds * random.lognormal(size=(k, STUDIES))
    return np.floor(1.5 * random.exponential(size=(k, STUDIES)))


def equal_digits(pool: Array, repetitions: int) -> dict[str, Any]:
    """Return the same of variants that differ in the seed of their brackets only, on the digits curves."""
    found = []
    for k in EQUALS:
        say(f"{k} equal variants on digits")
        random = np.random.default_rng(k)
        draws = (
            pool[np.ix_(random.choice(len(pool), k, replace=False), _studies(random, pool.shape[1]))]
            for _ in range(repetitions)
        )
        found.append({"scores": "digits", "variants": k, **_equal(draws, repetitions)})
    return {"rows": found, "pool": pool.shape[1]}


def _studies(random: np.random.Generator, pooled: int) -> Ints:
    """Draw studies of a pool, as many of each half as `halves` says, in its order."""
    of_pool = np.stack(halves(pooled), axis=1) @ [2, 1]
    chosen = np.empty(STUDIES, dtype=np.int64)
    wanted = np.stack(halves(STUDIES), axis=1) @ [2, 1]
    for cell in np.unique(wanted):
        places = np.flatnonzero(wanted == cell)
        chosen[places] = random.choice(np.flatnonzero(of_pool == cell), len(places), replace=False)
    return chosen


def _equal(draws: Any, repetitions: int) -> dict[str, int]:
    counts = dict.fromkeys(("uncorrected", "holm_wilcoxon", "few", "curves", "draw"), 0)
    for at, scores in enumerate(draws):
        column = conclude(scores, *halves(STUDIES))
        few = scores[:, :FEW]
        counts["uncorrected"] += bool(uncorrected(few))
        if at < _fewer(repetitions):
            counts["holm_wilcoxon"] += bool(holm_wilcoxon(few))
        counts["few"] += bool(worse(conclude(few).curves))
        counts["curves"] += bool(worse(column.curves))
        counts["draw"] += bool(worse(column.draw))
    return {"repetitions": repetitions, "fewer": _fewer(repetitions), **counts}


def _fewer(repetitions: int) -> int:
    """Return in how many repetitions Holm-Wilcoxon is tried: it takes a tenth of a second."""
    return max(1, repetitions // 4)


# Another draw


def linear(repetitions: int) -> list[dict[str, Any]]:
    """Return how often some of variants that are equal in the population is called worse on another draw.

    A score is the mean of its half's rows, each with an effect of its own on each variant, and noise.
    """
    found = []
    for shape in SHAPES[:2]:
        for effect in EFFECTS:
            for k in EQUALS:
                say(f"{k} variants, rows of {effect}, {shape}")
                random = np.random.default_rng(k)
                counts = {"uncorrected": 0, "curves": 0, "draw": 0}
                for _ in range(repetitions):
                    scores = _linear_table(random, k, effect, shape)
                    column = conclude(scores, *halves(STUDIES))
                    counts["uncorrected"] += bool(uncorrected(scores))
                    counts["curves"] += bool(worse(column.curves))
                    counts["draw"] += bool(worse(column.draw))
                row = {"scores": shape, "effect": effect, "variants": k, "repetitions": repetitions}
                found.append({**row, **counts})
    return found


def _linear_table(random: np.random.Generator, k: int, effect: float, shape: str) -> Array:
    def unit(*size: int) -> Array:
        if shape == "normal":
            return random.normal(size=size)
        return (random.lognormal(size=size) - np.exp(0.5)) / np.sqrt(np.e * (np.e - 1.0))

    rows = np.sqrt(effect * LINEAR_ROWS) * unit(k, LINEAR_ROWS)
    split, part = halves(STUDIES)
    means = np.empty((k, split.max() + 1, 2))
    for one in range(means.shape[1]):
        order = random.permutation(LINEAR_ROWS).reshape(2, -1)
        means[:, one] = rows[:, order].mean(axis=2)
    return means[:, split, part] + unit(k, STUDIES)


def known_truth(name: str, rows: int, pool: Array) -> dict[str, Any]:
    """Return what rules say of tables of a population, of which the truth is known.

    The truth of a table is the mean over the studies of all the others, which share no row with it. With it
    taken from the scores all variants are equal in the population: each call is false.
    """
    say(f"tables of {rows} rows of {name}")
    count = len(pool)
    means = pool.mean(axis=2)
    others = (means.sum(axis=0) - means) / (count - 1)
    rules: dict[str, tuple[Rule, int]] = {
        "uncorrected": (uncorrected, FEW),
        "uncorrected, more seeds": (uncorrected, STUDIES),
        "holm_wilcoxon": (holm_wilcoxon, FEW),
        "holm_wilcoxon, more seeds": (holm_wilcoxon, STUDIES),
        "curves": (on_curves, STUDIES),
        "draw": (on_another_draw, STUDIES),
    }
    found = []
    for label, (rule, studies) in rules.items():
        false, calls, reversed_, fifo, hyperband = 0, 0, 0.0, 0, 0
        for at, found_on in enumerate(pool):
            scores = found_on[:, :studies]
            false += bool(rule(scores - others[at][:, np.newaxis]))
            best = int(scores.mean(axis=1).argmin())
            called = rule(scores)
            calls += len(called)
            rest = np.delete(means, at, axis=0)
            reversed_ += sum(float((rest[:, one] < rest[:, best]).mean()) for one in called)
            fifo, hyperband = fifo + (FIFO in called), hyperband + (HYPERBAND in called)
        row = {"rule": label, "studies": studies, "tables": count, "false": false, "calls": calls}
        found.append({**row, "reversed": reversed_, "fifo": fifo, "hyperband": hyperband})
    return {
        "population": name,
        "rows": rows,
        "truth": dict(zip(VARIANTS, means.mean(axis=0).tolist(), strict=True)),
        "rules": found,
        "pairs": _pairs(pool, others),
        "tenth": _tenth(pool, rows),
    }


def _tenth(pool: Array, rows: int) -> dict[str, Any]:
    """Return what it takes to tell a tenth of the best one's regret between two asynchronous variants.

    At 0.05, with a probability of 0.8: studies on one table, for the easiest and the hardest pair; and rows
    for another draw, on average over pairs, with any number of studies.
    """
    pool = pool[:, [at < HYPERBAND for at in range(len(VARIANTS))]]
    factor = ((norm.isf(0.025) + norm.isf(0.2)) / (0.1 * pool.mean(axis=(0, 2)).min())) ** 2
    gaps = [pool[:, one] - pool[:, other] for one, other in combinations(range(pool.shape[1]), 2)]
    by_seeds = [float(gap.var(axis=1, ddof=1).mean()) for gap in gaps]
    means = [float(gap.mean(axis=1).var(ddof=1)) for gap in gaps]
    by_rows = [a - b / pool.shape[2] for a, b in zip(means, by_seeds, strict=True)]
    studies = [round(factor * one) for one in (min(by_seeds), max(by_seeds))]
    return {"studies": studies, "rows": round(rows * factor * float(np.mean(by_rows)))}


def _pairs(pool: Array, others: Array) -> dict[str, int]:
    """Return in how many pairs of variants, each taken alone, one is called worse on another draw."""
    counts = {"false": 0, "pairs": 0}
    for found_on, truth in zip(pool, others, strict=True):
        for pair in combinations(range(len(VARIANTS)), 2):
            scores = (found_on - truth[:, np.newaxis])[list(pair)]
            counts["false"] += bool(on_another_draw(scores))
            counts["pairs"] += 1
    return counts


def power(pool: Array, repetitions: int) -> list[dict[str, Any]]:
    """Return how often fifo and Hyperband are found worse on the digits curves, by two rules."""
    found = []
    for studies in POWER_STUDIES:
        say(f"fifo and hyperband on digits, {studies} studies")
        random = np.random.default_rng(studies)
        counts = {rule: {"fifo": 0, "hyperband": 0} for rule in ("holm_wilcoxon", "curves")}
        for _ in range(repetitions):
            scores = pool[:, random.choice(pool.shape[1], studies, replace=False)]
            for label, called in (
                ("holm_wilcoxon", holm_wilcoxon(scores)),
                ("curves", worse(conclude(scores).curves)),
            ):
                counts[label]["fifo"] += FIFO in called
                counts[label]["hyperband"] += HYPERBAND in called
        found.append({"studies": studies, "repetitions": repetitions, **counts})
    return found


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return all figures."""

    def kept(name: str, make: Callable[[], Array]) -> Array:
        say(f"studies: {name}")
        path = None if options.pools is None else options.pools / f"{name}.npy"
        if path is not None and path.exists():
            return np.asarray(np.load(path))
        made = make()
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, made)
        return made

    repetitions, count = options.repetitions, options.tables
    pooled = 4 * STUDIES
    content: dict[str, Any] = {"equal": equal_scores(repetitions)}
    equal = kept("equal", lambda: equal_pool(max(EQUALS), pooled))
    content["digits"] = equal_digits(equal, repetitions)
    content["linear"] = linear(repetitions)
    content["power"] = power(kept("digits", lambda: digits_pool(pooled)), repetitions // 2)
    populations = [(synthetic(), rows, count if rows < 1000 else count // 4) for rows in SIZES]
    if options.data is not None:
        populations.append((lcbench(options.data), 500, count // 2))
    content["tables"] = []
    for population, rows, number in populations:
        name = f"{population.name.partition('/')[0]}_{rows}"
        pool = kept(name, partial(tables, population, rows, max(3, number), STUDIES))
        content["tables"].append(known_truth(population.name, rows, pool))
    return content


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the page and its figures."""
    options = parse(arguments)
    content = {"machine": describe_machine(), **measure(options)}
    publish(options.out, "conclusions", content, render(content))


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
        _equal_table(content["equal"] + content["digits"]["rows"]),
        "## Found on these curves",
        "Eight variants on the digits curves; how often fifo and Hyperband, which are worse, are called so "
        "at equal numbers of studies.",
        _power_table(content["power"]),
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
        _linear_table_of(content["linear"]),
    ]
    return re.sub(r"(?<=\d)%", " %", "\n\n".join(parts)) + "\n"


def _equal_table(rows: list[dict[str, Any]]) -> str:
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


def _power_table(rows: list[dict[str, Any]]) -> str:
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


def _linear_table_of(rows: list[dict[str, Any]]) -> str:
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


if __name__ == "__main__":
    main()
