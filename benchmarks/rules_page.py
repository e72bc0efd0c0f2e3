"""The page that `benchmarks.stopping_rules` writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from benchmarks.report import table
from benchmarks.rules_curves import BASE, ETA
from hbsim.core.rungs import RULES

__all__ = ["exact_table", "render", "summary"]

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
    return "\n\n".join(parts) + "\n"


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
    return f"{'' if _is_told(found) else f'{CLOSE} '}{mean} [{low}, {high}]"


def _signed(value: float) -> str:
    return "0" if abs(value) < TINY else f"{value:+.2g}"


def _percent(share: float) -> str:
    text = f"{share:+.0%}"
    return "0%" if text in ("+0%", "-0%") else text


def _is_told(found: Row) -> bool:
    """Return whether the interval of a difference leaves out 0."""
    return bool(found["low"] > TINY or found["high"] < -TINY)


def _calls(when: str, rules: list[Row]) -> str:
    """Say on how many sets of curves a rule is told from the base."""
    said = []
    for rule in (rule for rule in RULES if rule != BASE):
        better, worse = _told(rules, rule)
        said.append(f"- `{rule}`: better on {better} of {len(rules)} sets of curves, worse on {worse}")
    return "\n".join([f"{when}, beside `{BASE}`, and else not told apart:", "", *said])


def _told(rules: list[Row], rule: str) -> tuple[int, int]:
    """Return on how many sets of curves a rule is better than the base, and worse."""
    found = [entry[rule]["difference"] for entry in rules]
    better = sum(_is_told(one) and one["mean"] < 0 for one in found)
    return better, sum(_is_told(one) and one["mean"] > 0 for one in found)


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
        calls = [(*_told(rules, rule), len(rules)) for rules in (*ends, *times)]
        lines.append([f"`{rule}`", *costs, *(f"{b} better, {w} worse of {n}" for b, w, n in calls)])
    return table(head, lines)


def _sizes(curves: list[Row]) -> list[int]:
    return [size["trials"] for size in curves[0]["to_the_end"]]


def _used(curves: list[Row], place: int) -> list[Row]:
    """Return the scores at equal time, without sets of curves that have too few rows."""
    return [entry["equal_time"][place]["rules"] for entry in curves if not _out_of_rows(entry, place)]
