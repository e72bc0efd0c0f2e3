"""The four stopping rules held against each other: `python -m benchmarks.stopping_rules --help`.

The same command and the same curves give the same bytes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.measure import ROOT, say
from benchmarks.pages import (
    COLOURS,
    INK,
    MARKERS,
    clean,
    joined,
    new_figure,
    publish,
    rounded,
    save,
    table,
)
from benchmarks.stopping_rules_figures import (
    BASE,
    ETA,
    CurveSet,
    exact_rows,
    kind_rows,
    predicted,
    recorded,
    shipped,
    simulated_rows,
    study,
)
from hbsim.core.rungs import RULES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = dict[str, Any]

CLOSE: Final = "≈"
TINY: Final = 1e-12  # what is less is rounding
AGAINST: Final = f"difference from `{BASE}`"
TITLES: Final = tuple(f"`{rule}`" for rule in RULES)

EXACT: Final = """\
Of n different values in random order, on average this many go on. Worked out exactly; for `quantile`,
whose cutoff lies between two values, they are uniform."""
SCORES: Final = f"""\
Regret is the distance at R between the incumbent (the best value at any level so far) and the best of
the space, or of 5,000 random points where that is unknown (LCBench); the table has its median over seeds.
A difference is the mean over seeds of a rule's regret less that of `{BASE}` with the same seed, with an
interval that holds for the rules of a set of curves together, at 95 %; less than 0 is better, and {CLOSE}
is not told apart: the interval includes 0.
An incumbent that ends worse than half of all configurations (it diverges later, say) counts as the median
one. Seeds share the rows of a table: this is about these curves, and another draw of configurations may
turn it. One set of curves in twenty may have a difference by chance."""
LEFT_OUT: Final = """\
ScAn-Bench's vision-language runs (MIT) are not here: each ends where its own configuration says, and
those that reach the last level are a few that differ from the rest."""
TO_THE_END: Final = """\
Studies of a number of trials, until nothing is left to do. Shares are of all trials that come to a level,
over all seeds; units are of the resource, trained in all jobs; completed, units and seconds are means
over seeds."""
EQUAL_TIME: Final = """\
Studies that are cut at a time, in mean full runs to R, with trials enough."""


def render(content: Row) -> str:
    """Return the page, Markdown."""
    curves = content["curves"]
    parts = [
        "# The four stopping rules side by side",
        f"Written by `{content['command']}`, with the figures in `stopping_rules.json`.\n"
        "What the rules are, and what follows: [stopping rules](../../docs/explanation/stopping-rules.md).",
        *([content["note"]] if content.get("note") else []),
        "## How many go on",
        EXACT,
        exact_table(content["exact"]),
        *_simulated(content["exact"]),
        *_kinds(content["kinds"]),
        "## On learning curves",
        f"eta = {ETA}, r = 1, one bracket, {content['seeds']} seeds. Every rule sees the same trials, with\n"
        "the same curves, in the same order of start.",
        SCORES,
        "![What each rule trains, and its regret](stopping_rules.png)",
        "\n".join(f"- **{entry['title']}**: {entry['source']}." for entry in curves),
        LEFT_OUT,
        "## The same trials, to the end",
        TO_THE_END,
        *_ends(curves),
        "## The same time",
        EQUAL_TIME,
        *_times(curves),
    ]
    return joined(*parts)


def exact_table(rows: Iterable[Row]) -> str:
    """Return how many go on, exactly, a line an eta and n."""
    lines = (
        [
            row["eta"],
            row["n"],
            f"{row['n'] / row['eta']:.2f}",
            *(f"{row['exact'][rule]:.2f}" for rule in RULES),
        ]
        for row in rows
    )
    return table(["eta", "n", "n / eta", *TITLES], lines)


def _simulated(rows: list[Row]) -> Iterator[str]:
    worst = max(_off(row, rule) for row in rows for rule in RULES)
    orders = ", ".join(dict.fromkeys(f"{row['orders']:,} of {row['n']}" for row in rows))
    yield (
        f"hbsim's own rungs let through the same of uniform values in random orders ({orders}):\n"
        f"all means are within {worst:.1f} standard errors."
    )


def _off(row: Row, rule: str) -> float:
    found = row["simulated"][rule]
    return float(abs(found["mean"] - row["exact"][rule]) / found["error"])


def _kinds(kinds: list[Row]) -> Iterator[str]:
    first = kinds[0]
    error = max(found["error"] for row in kinds for found in row["simulated"].values())
    yield (
        f"Other values, n = {first['n']}, eta = {first['eta']}, {first['orders']:,} orders; "
        f"a standard error of at most {error:.2f}:"
    )
    lines = ([row["kind"], *(f"{row['simulated'][rule]['mean']:.1f}" for rule in RULES)] for row in kinds)
    yield table(["values", *TITLES], lines)


def _ends(curves: list[Row]) -> Iterator[str]:
    head = ["curves", "rule", "go on at 1", "3", "9", "27", "completed", "units a trial", "seconds", "regret"]
    for place, size in enumerate(curves[0]["to_the_end"]):
        yield f"### {size['trials']} trials, {size['workers']} workers"
        lines = (_end(entry, rule, entry["to_the_end"][place]["rules"]) for entry in curves for rule in RULES)
        yield table([*head, AGAINST], lines)
        yield _calls("With the same trials", [entry["to_the_end"][place]["rules"] for entry in curves])


def _end(entry: Row, rule: str, rules: Row) -> list[str]:
    found, base = rules[rule], rules[BASE]
    more = found["trained_a_trial"] / base["trained_a_trial"] - 1
    return [
        *_names(entry, rule),
        *(f"{share:.1%}" for share in found["share"]),
        f"{found['completed']:.1f}",
        f"{found['trained_a_trial']:.2f}" + ("" if rule == BASE else f" ({_percent(more)})"),
        f"{found['seconds']:,.1f}" if found["seconds"] < 1000 else f"{found['seconds']:,.0f}",
        _regret(found),
        _difference(found["difference"], rule),
    ]


def _times(curves: list[Row]) -> Iterator[str]:
    head = ["curves", "rule", "trials", "completed", "regret", AGAINST]
    for place, budget in enumerate(curves[0]["equal_time"]):
        yield f"### {budget['full_runs']:g} full runs, {budget['workers']} workers"
        used = [entry for entry in curves if not _out_of_rows(entry, place)]
        lines = (_time(entry, rule, entry["equal_time"][place]["rules"]) for entry in used for rule in RULES)
        yield table([*head], lines)
        few = [entry["title"] for entry in curves if _out_of_rows(entry, place)]
        if few:
            yield f"Not here, as studies run out of rows before that time: {', '.join(few)}."
        yield _calls("In the same time", _used(curves, place))


def _out_of_rows(entry: Row, place: int) -> bool:
    return any(found["out_of_trials"] for found in entry["equal_time"][place]["rules"].values())


def _time(entry: Row, rule: str, rules: Row) -> list[str]:
    found = rules[rule]
    return [
        *_names(entry, rule),
        f"{found['trials']:.0f}",
        f"{found['completed']:.1f}",
        _regret(found),
        _difference(found["difference"], rule),
    ]


def _names(entry: Row, rule: str) -> list[str]:
    return [entry["title"] if rule == next(iter(RULES)) else "", f"`{rule}`"]


def _regret(found: Row) -> str:
    beyond = f" ({found['beyond_middle']} beyond the median)" if found["beyond_middle"] else ""
    return f"{found['regret']:.3g}{beyond}"


def _difference(found: Row, rule: str) -> str:
    if rule == BASE:
        return ""
    mean, low, high = (_signed(found[name]) for name in ("mean", "low", "high"))
    if mean == low == high == "0":
        return f"{CLOSE} 0"
    return f"{'' if _is_significant(found) else f'{CLOSE} '}{mean} [{low}, {high}]"


def _signed(value: float) -> str:
    return "0" if abs(value) < TINY else f"{value:+.2g}"


def _percent(share: float) -> str:
    text = f"{share:+.0%}"
    return "0%" if text in ("+0%", "-0%") else text


def _is_significant(found: Row) -> bool:
    """Return whether the interval of a difference leaves out 0."""
    return bool(found["low"] > TINY or found["high"] < -TINY)


def _calls(when: str, rules: list[Row]) -> str:
    """Say on how many sets of curves a rule is told from the base."""
    said = []
    for rule in (rule for rule in RULES if rule != BASE):
        better, worse = _better_and_worse(rules, rule)
        said.append(f"- `{rule}`: better on {better} of {len(rules)} sets of curves, worse on {worse}")
    return "\n".join([f"{when}, beside `{BASE}`, and else not told apart:", "", *said])


def _better_and_worse(rules: list[Row], rule: str) -> tuple[int, int]:
    """Return on how many sets of curves a rule is better than the base, and worse."""
    found = [entry[rule]["difference"] for entry in rules]
    better = sum(_is_significant(one) and one["mean"] < 0 for one in found)
    return better, sum(_is_significant(one) and one["mean"] > 0 for one in found)


def summary(content: Row) -> str:
    """Return a line a rule: what it trains beside the base rule, and where it is better or worse."""
    curves = content["curves"]
    ends = [[entry["to_the_end"][place]["rules"] for entry in curves] for place in range(len(_sizes(curves)))]
    times = [_used(curves, place) for place in range(len(curves[0]["equal_time"]))]
    head = ["rule", *(f"units a trial, {trials} trials" for trials in _sizes(curves))]
    head += [f"the same {trials} trials" for trials in _sizes(curves)]
    head += [f"the same time, {budget['full_runs']:g} full runs" for budget in curves[0]["equal_time"]]
    lines = []
    for rule in (rule for rule in RULES if rule != BASE):
        more = [
            [found[rule]["trained_a_trial"] / found[BASE]["trained_a_trial"] - 1 for found in end]
            for end in ends
        ]
        costs = [f"{_percent(min(one))} to {_percent(max(one))}" for one in more]
        calls = [(*_better_and_worse(rules, rule), len(rules)) for rules in (*ends, *times)]
        lines.append([f"`{rule}`", *costs, *(f"{b} better, {w} worse of {n}" for b, w, n in calls)])
    return table(head, lines)


def _sizes(curves: list[Row]) -> list[int]:
    return [size["trials"] for size in curves[0]["to_the_end"]]


def _used(curves: list[Row], place: int) -> list[Row]:
    """Return the scores at equal time, without sets of curves that have too few rows."""
    return [entry["equal_time"][place]["rules"] for entry in curves if not _out_of_rows(entry, place)]


WIDTH: Final = 15.0  # inches
HEIGHT: Final = 6.0
STEP: Final = 0.22  # between the rules of a set of curves
OTHERS: Final = [(place, rule) for place, rule in enumerate(RULES) if rule != BASE]
MIDDLE: Final = sum(place for place, _ in OTHERS) / len(OTHERS)


def draw(curves: list[Row], path: Path) -> None:
    """Draw what each rule trains a trial and its regret, both beside the base rule's."""
    figure = new_figure(WIDTH, HEIGHT)
    budgets = curves[0]["equal_time"]
    panels = figure.subplots(1, 2 + len(budgets), sharey=True)
    _costs(panels[0], curves)
    trials = curves[0]["to_the_end"][-1]["trials"]
    ends = [entry["to_the_end"][-1]["rules"] for entry in curves]
    _regrets(panels[1], ends, f"regret after the same {trials} trials")
    for place, axes in enumerate(panels[2:]):
        rules = [_in_time(entry["equal_time"][place]["rules"]) for entry in curves]
        _regrets(axes, rules, f"regret in the same time, {budgets[place]['full_runs']:g} full runs")
    panels[0].set_yticks(range(len(curves)), [_name(entry["title"]) for entry in curves])
    panels[0].invert_yaxis()
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    title = (
        f"Stopping rules beside {BASE!r}: what they train, and what they miss (left is less; 95 % intervals)"
    )
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, weight="bold", color=INK)
    save(figure, path)


def _name(title: str) -> str:
    """Break a long name over lines."""
    return title.replace(",", ",\n") if "," in title else title.replace(":", ":\n")


def _in_time(rules: Row) -> Row | None:
    if any(found["out_of_trials"] for found in rules.values()):
        return None
    return rules


def _height(row: int, place: int) -> float:
    return row + STEP * (place - MIDDLE)


def _costs(axes: Axes, curves: list[Row]) -> None:
    size = curves[0]["to_the_end"][-1]
    ends = [entry["to_the_end"][-1]["rules"] for entry in curves]
    for place, rule in OTHERS:
        x = [100 * (rules[rule]["trained_a_trial"] / rules[BASE]["trained_a_trial"] - 1) for rules in ends]
        y = [_height(row, place) for row in range(len(curves))]
        axes.plot(x, y, MARKERS[place], color=COLOURS[place], markersize=7, label=rule)
    _frame(axes, f"units trained a trial, {size['trials']} trials", f"% more than {BASE}")


def _regrets(axes: Axes, sets: list[Row | None], title: str) -> None:
    """Draw differences of regret with their intervals; None is a set of curves that has too few rows."""
    for row, rules in enumerate(sets):
        base = 0.0 if rules is None else rules[BASE]["regret"]
        if rules is None or not base:
            why = "too few rows" if rules is None else f"{BASE} misses nothing"
            axes.annotate(why, (0, row), (6, 0), textcoords="offset points", va="center")
            continue
        for place, rule in OTHERS:
            mean, low, high = (
                100 * rules[rule]["difference"][name] / base for name in ("mean", "low", "high")
            )
            y = _height(row, place)
            axes.plot([low, high], [y, y], color=COLOURS[place], linewidth=1.6)
            axes.plot([mean], [y], MARKERS[place], color=COLOURS[place], markersize=7)
    _frame(axes, title, f"% of {BASE}'s median regret")


def _frame(axes: Axes, title: str, label: str) -> None:
    clean(axes)
    axes.axvline(0, color=INK, linewidth=1.0)
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    axes.set_xlabel(label)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="a folder of public recorded curves (.npz)")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "stopping_rules", help="a folder")
    parser.add_argument("--seeds", type=int, default=100, help="studies of each kind, rule and set of curves")
    parser.add_argument("--jobs", type=int, help="processes (default: one a core)")
    parser.add_argument("--exact", action="store_true", help="only print how many go on, worked out exactly")
    parser.add_argument("--summary", action="store_true", help="only print what the figures in --out say")
    options = parser.parse_args(arguments)
    if options.seeds < 2:
        parser.error("--seeds must be at least 2: an interval needs two")
    if options.data is not None and not public(options.data):
        parser.error(f"--data {options.data} holds no curves that are known here")
    return options


def public(folder: Path) -> list[CurveSet]:
    """Return the public curves that a folder has."""
    return [*recorded(folder), *predicted(folder)]


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return all figures."""
    sets = [*shipped(), *(public(options.data) if options.data is not None else ())]
    content: dict[str, Any] = {
        "command": "python -m benchmarks.stopping_rules" + (" --data DIR" if options.data else ""),
        "seeds": options.seeds,
        "exact": list(simulated_rows()),
        "kinds": list(kind_rows()),
        "curves": [],
    }
    for curves in sets:
        say(curves.title)
        content["curves"].append(study(curves, options.seeds, options.jobs))
    return content


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the command line asks for."""
    options = parse(arguments)
    if options.exact:
        print(exact_table(exact_rows()))
        return
    if options.summary:
        print(summary(json.loads((options.out / "stopping_rules.json").read_text("utf-8"))))
        return
    content = json.loads(json.dumps(rounded(measure(options))))
    publish(options.out, "stopping_rules", content, render(content))
    draw(content["curves"], options.out / "stopping_rules.png")


if __name__ == "__main__":
    main()
