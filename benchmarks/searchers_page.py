"""The page that `benchmarks.searchers` writes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from benchmarks.report import machine_lines, table
from benchmarks.searchers_figures import BASE, SHARES

__all__ = ["render"]

Row = dict[str, Any]
WITHOUT: Final = "–"

HOW: Final = """\
Scores are normalised regrets at R of the incumbent: 0 is the best there is (on LCBench: the best that any
of these studies has seen), 1 no better than the median configuration; the mean over seeds, with its 95 %
interval. Time is simulated, and choosing takes none of it (`suggest_delay` is 0): see the
table of costs below. *Area* is the score averaged over the time until the end.

Random search and Sobol' do not learn: with the same seed their trials are the same under both schedulers
(common random numbers). The others begin with random search's own trials of the same seed and then
suggest what they have learned. So pairs of seeds share the first few trials, with Sobol' not even these,
and pairing helps little. Differences are a searcher's score less random search's with the same seed, so
below 0 is better; p is of Wilcoxon's signed-rank test over seeds, Holm-corrected over the searchers of a
setting, which were chosen beforehand. All of it is about other seeds on these curves: on `digits` and LCBench
another draw of configurations, or another task, may turn it."""
PEERS: Final = """\
Optuna's `TPESampler` with its `SuccessiveHalvingPruner`, asked and told in simulated time; Syne Tune's
`ASHA` and `BOHB` in the same way, and its `MOBSTER`, which version 0.16 has no more: it is of 0.13, with
few seeds because it is slow. All with their own defaults, eta = 3, r = 1, the same workers, curves and
time, and the unit cube of the space as parameters. Seeds are each tool's own, so nothing is paired and
nothing tested; hbsim's are those of `stopping`. What has no number is told as the worst value to Syne
Tune."""
COSTS: Final = """\
Seconds of the processor, of one process, in the three parameters of `synthetic`, after so many values at
levels 1 to 81, a third as many at each next level. *First* is a suggestion that fits its model, *next*
the median of five after it, which fit only as the searcher sees a need. `tpe` and `bohb` fit the values
of one level only, here a few of them at the highest."""

SPENT: Final = "And in the studies above, curves and simulation included:"


def render(content: Row) -> str:
    """Return the page, Markdown."""
    found = content["settings"]
    parts = [
        "# Searchers",
        f"Written by `{content['command']}`, with the figures in `searchers.json`.\n"
        "What follows from them: [searchers](../../docs/reference/searchers.md#which-one).",
        "\n".join(machine_lines(content["machine"], content["load_at_start"])),
        *([content["note"]] if content["note"] else []),
        f"{content['workers']} workers; a study ends after the time of {content['full_runs']:g} mean runs "
        f"to R = {content['max_t']}; eta = 3, r = 1, one bracket.",
        *_unfinished(content["studies"]),
        HOW,
        "![Mean score over simulated time](searchers.png)",
        "## Ranks",
        _ranks(content),
        "## Against random search",
        *(part for setting in found for part in _setting(setting)),
        *_peers(content),
        "## What a suggestion costs",
        COSTS,
        _costs(content["costs"]),
        SPENT,
        table(
            ["searcher", "studies", "seconds a study", "milliseconds a trial"],
            (
                [name, f"{row['studies']}", f"{row['study']:.2g}", f"{1000 * row['trial']:.2g}"]
                for name, row in content["spent"].items()
            ),
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _unfinished(studies: Row) -> Iterator[str]:
    if studies["done"] < studies["planned"]:
        done = f"{studies['done']} of {studies['planned']} studies were run"
        yield (
            f"**Not finished:** {done}; the same command goes on with the others. The column *seeds*\n"
            "says how many there are; a searcher with fewer than half of random search's is not shown."
        )


def _ranks(content: Row) -> str:
    found, over = content["settings"], content["across"]
    lines = [
        [setting["task"], setting["type"], *(f"{rank:g}" for rank in ranks)]
        for setting, ranks in zip(found, over["ranks"], strict=True)
    ]
    lines.append(["mean", "", *(f"{rank:.2f}" for rank in over["mean_ranks"])])
    said = table(["curves", "scheduler", *over["searchers"]], lines)
    p = over["p_friedman"]
    if p is not None:
        said += f"\n\nFriedman's test over {over['tasks']} tasks, of which both schedulers count as one: "
        said += f"p = {p:.2g}."
    return said + " So few tasks tell no two searchers apart: the tests below are within tasks."


def _setting(setting: Row) -> Iterator[str]:
    yield f"### {setting['task']}, {setting['type']}"
    head = ["searcher", "seeds", "trials", "completed", *(f"at {share:.0%}" for share in SHARES), "area"]
    head += [f"difference from {BASE}", "better : worse", "p", "", "area's difference", "p"]
    yield table(head, (_line(setting, name) for name in setting["searchers"]))


def _line(setting: Row, name: str) -> list[str]:
    row, against = setting["searchers"][name], setting["against"].get(name)
    first = [name, f"{row['seeds']}", f"{row['trials']:.0f}", f"{row['completed']:.1f}"]
    first += [_number(row[f"at {share:g}"]["mean"]) for share in SHARES[:-1]]
    first += [_interval(row["at 1"]), _number(row["area"]["mean"])]
    if against is None:
        return [*first, *[""] * 6]
    final, area = against["final"], against["area"]
    return [
        *first,
        _difference(final),
        f"{final['better']} : {final['worse']}",
        f"{final['p']:.3f}",
        final["call"],
        _difference(area),
        f"{area['p']:.3f}",
    ]


def _number(value: float | None) -> str:
    return WITHOUT if value is None else f"{value:.3f}"


def _interval(row: Row) -> str:
    return f"{_number(row['mean'])} [{_number(row['low'])}, {_number(row['high'])}]"


def _difference(row: Row) -> str:
    if row["difference"] is None or row["low"] is None:
        return WITHOUT
    return f"{row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"


def _peers(content: Row) -> Iterator[str]:
    if content["peers"] is None:
        return
    yield "## Beside other tools"
    yield PEERS
    yield "Versions: " + ", ".join(f"{name} {v}" for name, v in content["peers"]["versions"].items()) + "."
    rows = content["peers"]["rows"]
    lines = []
    for task in dict.fromkeys(row["task"] for row in rows):
        own = next(s for s in content["settings"] if s["task"] == task and s["type"] == "stopping")
        lines += [_beside(task, "hbsim", name, row) for name, row in own["searchers"].items()]
        lines += [_beside(task, row["peer"], row["searcher"], row) for row in rows if row["task"] == task]
    yield table(["curves", "tool", "searcher", "seeds", "trials", *(f"at {s:.0%}" for s in SHARES)], lines)


def _beside(task: str, tool: str, name: str, row: Row) -> list[str]:
    first = [task, tool, name, f"{row['seeds']}", f"{row['trials']:.0f}"]
    return [*first, *(_interval(row[f"at {share:g}"]) for share in SHARES)]


def _costs(rows: list[Row]) -> str:
    counts = list(dict.fromkeys(row["observations"] for row in rows))
    head = [f"{what} after {count:,}" for count in counts for what in ("first", "next")]
    lines = []
    for name in dict.fromkeys(row["searcher"] for row in rows):
        of = {row["observations"]: row for row in rows if row["searcher"] == name}
        lines.append([name, *(f"{of[count][what]:.2g}" for count in counts for what in ("first", "next"))])
    return table(["searcher", *head], lines)
