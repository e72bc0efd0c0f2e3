"""The searchers held against random search, and beside other tools': `python -m benchmarks.searchers --help`.

What is finished stays in ``--work``, so that the same command goes on after an interruption. The same command
and curves give the same figures, but for the time that suggestions take.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from benchmarks.measure import ROOT, describe_machine, say
from benchmarks.pages import (
    COLOURS,
    INK,
    clean,
    joined,
    machine_lines,
    new_figure,
    publish,
    rounded,
    save,
    table,
)
from benchmarks.searchers_figures import (
    BASE,
    LAST,
    SEARCHERS,
    SHARES,
    SHIPPED,
    YAHPO,
    Wanted,
    across,
    costs,
    measure_peers,
    read_studies,
    run_studies,
    settings,
    spent,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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
    return joined(*parts)


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


STYLES: Final = dict(
    zip(SEARCHERS, (COLOURS[6], COLOURS[4], COLOURS[5], COLOURS[3], COLOURS[2], COLOURS[1]), strict=True)
)
DASHES: Final = {
    "random": "-",
    "sobol": (0, (5, 2)),
    "tpe": (0, (1.2, 1.4)),
    "bohb": "-",
    "gp": (0, (5, 2)),
    "mobster": "-",
}
WIDTH: Final = 3.4  # inches, of a panel
HEIGHT: Final = 3.0


def draw(content: Row, path: Path) -> None:
    """Draw each searcher's mean score over simulated time; bands of random search and of mobster alone."""
    found = content["settings"]
    tasks = list(dict.fromkeys(setting["task"] for setting in found))
    types = list(dict.fromkeys(setting["type"] for setting in found))
    figure = new_figure(WIDTH * max(2, len(tasks)), HEIGHT * len(types) + 0.7)
    panels = figure.subplots(len(types), len(tasks), squeeze=False, sharex=True, sharey="col")
    for setting in found:
        axes = panels[types.index(setting["type"])][tasks.index(setting["task"])]
        _panel(axes, setting)
    for axes in panels[-1]:
        axes.set_xlabel("simulated time, % of the budget")
    for row in panels:
        row[0].set_ylabel("normalised regret")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    title = "Searchers: mean score of the incumbent at R (bands: 95 %, of random and mobster)"
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, weight="bold", color=INK)
    save(figure, path)


def _panel(axes: Axes, setting: Row) -> None:
    clean(axes)
    for name, row in setting["searchers"].items():
        x, mean, low, high = (_floats(row[part]) for part in ("time", "mean", "low", "high"))
        axes.plot(
            100 * x,
            mean,
            color=STYLES[name],
            linestyle=DASHES[name],
            drawstyle="steps-post",
            label=name,
            linewidth=1.7,
        )
        if name in ("random", "mobster"):
            axes.fill_between(100 * x, low, high, step="post", color=STYLES[name], alpha=0.12, linewidth=0)
    axes.set_xscale("log")
    axes.set_xlim(4, 100)
    axes.set_xticks([5, 10, 20, 50, 100], ["5", "10", "20", "50", "100"])
    axes.minorticks_off()
    axes.set_yscale("log")
    seeds = {row["seeds"] for row in setting["searchers"].values()}
    said = f"{min(seeds)}" if len(seeds) == 1 else f"{min(seeds)} to {max(seeds)}"
    axes.set_title(f"{setting['task']}\n{setting['type']}, {said} seeds", loc="left", fontsize=10, color=INK)


def _floats(column: list[float | None]) -> Any:
    return np.array(column, dtype=np.float64)


SEEDS: Final = 20
FULL_RUNS: Final = 10.0
WORKERS: Final = 4
LIBRARIES: Final = ("torch", "gpytorch", "botorch", "optuna", "scipy")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.searchers", description=__doc__)
    parser.add_argument("--data", type=Path, help="a folder with YAHPO Gym's files, in yahpo_lcbench")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "searchers", help="a folder")
    temporary = Path(tempfile.gettempdir())
    parser.add_argument("--work", type=Path, default=temporary / "hbsim-searchers", help="keeps what is done")
    parser.add_argument(
        "--envs", type=Path, default=temporary / "hbsim-peers", help="the peers' environments"
    )
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--full-runs", type=float, default=FULL_RUNS, help="a study's time, in runs to R")
    parser.add_argument("--searchers", nargs="+", default=list(SEARCHERS), choices=SEARCHERS, metavar="NAME")
    parser.add_argument("--tasks", nargs="+", metavar="CURVES", help="default: synthetic, digits and YAHPO's")
    parser.add_argument(
        "--peers", nargs="*", default=list(SHIPPED[:1]), metavar="CURVES", help="for other tools"
    )
    parser.add_argument("--read", action="store_true", help="run no study: write what --work has of them")
    parser.add_argument("--note", default="", help="a sentence for the page")
    parser.add_argument("--jobs", type=int, help="processes (default: one a core)")
    options = parser.parse_args(arguments)
    if options.seeds < 2:
        parser.error("--seeds must be at least 2: an interval needs two")
    if BASE not in options.searchers:
        parser.error(f"--searchers needs {BASE}: all are held against it")
    return options


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run what is not done yet; return all figures."""
    shipped = SHIPPED if options.data is None else (*SHIPPED, *YAHPO)
    tasks = shipped if options.tasks is None else tuple(options.tasks)
    searchers = tuple(name for name in SEARCHERS if name in options.searchers)
    wanted = Wanted(searchers, tasks, options.seeds, WORKERS, options.full_runs, options.data)
    results = read_studies(options.work) if options.read else run_studies(wanted, options.work, options.jobs)
    found = settings(results, searchers)
    peers = None
    if options.peers:
        peers = measure_peers(results, wanted, options.peers, options.envs, options.work)
    say("how long a suggestion takes")
    return {
        "command": command(options),
        "note": options.note,
        "machine": {**describe_machine(), **{name: version(name) for name in LIBRARIES}},
        "load_at_start": os.getloadavg()[0],
        "workers": WORKERS,
        "full_runs": options.full_runs,
        "max_t": LAST,
        "seeds": options.seeds,
        "studies": {"planned": results.cells.height, "done": results.done.height},
        "spent": spent(results, searchers),
        "settings": found,
        "across": across(found),
        "peers": peers,
        "costs": costs(searchers),
    }


def command(options: argparse.Namespace) -> str:
    """Return the command that makes the same, its folders left out."""
    words = ["python -m benchmarks.searchers", *(["--data PATH"] if options.data else [])]
    words += [f"--seeds {options.seeds}"] if options.seeds != SEEDS else []
    words += [f"--full-runs {options.full_runs:g}"] if options.full_runs != FULL_RUNS else []
    if options.searchers != list(SEARCHERS):
        words.append(f"--searchers {' '.join(options.searchers)}")
    words += [] if options.tasks is None else [f"--tasks {' '.join(options.tasks)}"]
    words += [] if options.peers == list(SHIPPED[:1]) else [" ".join(["--peers", *options.peers])]
    return " ".join(words)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the command line asks for."""
    options = parse(arguments)
    content = json.loads(json.dumps(rounded(measure(options))))
    publish(options.out, "searchers", content, render(content))
    draw(content, options.out / "searchers.png")


if __name__ == "__main__":
    main()
