"""The page that `benchmarks.peers.same_study` writes: its tables, and what it says of them in sentences."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby
from statistics import fmean, median
from typing import Any, Final

from benchmarks.pages import joined, machine_lines, table

Row = dict[str, Any]

SLIGHT: Final = 0.01  # of hbsim's regret: a smaller difference is none
FINE: Final = "Syne Tune, polls"
PLAIN: Final = "every job a configuration"
LOOPED: Final = ("Ray Tune", "Optuna")  # that run in a loop of ours
TIMED: Final = ("Syne Tune", "mfhpo-simulator")  # whose simulators add the real time of a decision
EQUAL: Final = "digits"  # the table with equal values
NO_TIME: Final = 0.05  # seconds: less is none

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
hbsim: the median of three runs of each, the table of decisions included; [peers.md](peers.md) has larger
studies.""",
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


def facts(content: Row) -> Iterator[str]:
    """Give what the figures say, a sentence or more each."""
    studies = content["studies"]
    yield _speed_fact(studies)
    for name, rule in (("Syne Tune", "rank"), ("Ray Tune", "quantile"), ("Optuna", "top-k")):
        yield _decided(name, rule, [study for study in studies if study["peer"].startswith(name)])
    yield _polling(studies)
    yield _counting([study for study in studies if study["peer"].startswith("mfhpo")])
    yield _better(studies)
    yield _again(studies)


def _speed_fact(studies: list[Row]) -> str:
    ratios = [median(study["cpu"]) / median(study["hbsim_cpu"]) for study in studies]
    text = f"**Speed.** The others take {min(ratios):,.1f} to {max(ratios):,.0f} times hbsim's cpu time. "
    slower = [study["peer"] for study, ratio in zip(studies, ratios, strict=True) if ratio > 1]
    if any(name.startswith(LOOPED) for name in slower):
        text += "Ray Tune and Optuna are not built to replay tables; "
        return text + "where trials train for hours it is nothing."
    return text + "Where trials train for hours it is nothing."


def _is_same(shares: list[float | None]) -> bool:
    return all(share is None or share == 1.0 for share in shares)


def _decided(name: str, rule: str, own: list[Row]) -> str:
    """Say how many decisions hbsim's rule takes alike, and what the others are."""
    same, total, tied = map(sum, zip(*(seed for study in own for seed in study["decisions"]), strict=True))
    text = f"**{name}.** Told of the same results in the same order, `{rule}` decides as it does: "
    text += f"{same:,} of {total:,} decisions."
    if same < total:
        text += f" Of the other {total - same:,}, {tied:,} are values that equal the cutoff{_why(name, own)}."
    seeds = [shares for study in own for shares in study["overlap"]]
    alike = sum(map(_is_same, seeds))
    return text + f" In {alike} of {len(seeds)} studies the same trials reach the same levels."


def _why(name: str, own: list[Row]) -> str:
    """Return what is known of ties, as far as it can be seen in these studies."""
    pairs = [
        (study, *both) for study in own for both in zip(study["decisions"], study["overlap"], strict=True)
    ]
    apart = [(study["table"], tied) for study, (same, total, tied), _ in pairs if same < total]
    if name != "Ray Tune" or not any(tied for _, tied in apart):
        return ""
    text = ", and go on in hbsim: 1 - 1/eta is no float, and Ray Tune's percentile comes out a rounding above"
    if {table for table, _ in apart} == {EQUAL}:
        text += f". `{EQUAL}` has many equal errors"
    if all(same < total for _, (same, total, _), shares in pairs if not _is_same(shares)):
        text += "; what is short of 1 in the overlap follows from these"
    return text


def _polling(studies: list[Row]) -> str:
    fine = [study for study in studies if study["peer"].startswith(FINE)]
    usual = [s for s in studies if s["peer"].startswith("Syne Tune") and s not in fine]
    late = [fmean(mean for study in part for mean, _ in study["late"]) for part in (usual, fine)]
    many = [fmean(s for study in _busy(part) for s in study["disorder"]) for part in (usual, fine)]
    at_r = [fmean(s[-1] for study in _busy(part) for s in study["overlap"]) for part in (usual, fine)]
    workers = max(study["workers"] for study in usual)
    # Nothing else differs if its rule decides alike, and less disorder makes it more like hbsim's.
    alike = all(same == total for study in (*usual, *fine) for same, total, _ in study["decisions"])
    is_order = alike and many[1] < many[0] and at_r[1] > at_r[0]
    text = (
        "**The order of results** is what sets Syne Tune's study apart. It "
        if is_order
        else ("**The order of results.** Syne Tune ")
    )
    text += (
        f"tells its scheduler {late[0]:.1f} s late on average, and of {workers} workers {many[0]:.0%} of the "
        f"results out of order; polling every 0.25 s and without its delays it is {late[1]:.2f} s and "
        f"{many[1]:.0%}. The overlap with hbsim of the trials that reach R with {workers} workers is "
        f"{at_r[0]:.2f}, and then {at_r[1]:.2f}."
    )
    if is_order:
        text += (
            " Early in a rung, one place in the order decides whether a trial goes on, and that moves all "
        )
        text += "that come after it."
    return text


def _busy(part: list[Row]) -> list[Row]:
    most = max(study["workers"] for study in part)
    return [study for study in part if study["workers"] == most]


def _counting(own: list[Row]) -> str:
    plain = [study for study in own if study["peer"].endswith(PLAIN)]
    kept = [study for study in own if study not in plain]
    seeds = [shares for study in plain for shares in study["overlap"]]
    extra = [_overrun(kept, level) for level in ("9", "27", "81")]
    before = max(_overrun(kept, level) for level in ("1", "3"))
    alike = sum(map(_is_same, seeds))
    text = "**mfhpo-simulator**, every job a configuration"
    text += ", runs hbsim's study: in " if alike == len(seeds) else ": in "
    text += (
        f"{alike} of {len(seeds)} the same trials reach the same levels. With its bookkeeping of runs that "
        f"go on, jobs to 9, 27 and 81 epochs take {extra[0]:.1f}, {extra[1]:.1f} and {extra[2]:.1f} s more "
        f"than the table says, and to 1 and 3 epochs {before:.1f} s"
    )
    if before < NO_TIME < min(extra):  # those are a trial's third job and later ones
        text += (
            ": from the third job of a trial on it takes off the length of the last job, not of all before it"
        )
    longer = all(_ratio(study) > 1 for study in kept)
    return text + (". So its studies take longer." if longer and min(extra) > NO_TIME else ".")


def _overrun(part: list[Row], level: str) -> float:
    return abs(fmean(one[level] for study in part for one in study["overrun"] if one[level] is not None))


def _side(study: Row) -> int:
    """Return -1 where a tool's regret over time is less than hbsim's, 1 where more, else 0."""
    spread = study["regret"]["mean"]
    mean, low, high = spread["difference"]
    if abs(mean) < SLIGHT * fmean(ours for _, ours in spread["seeds"]) or low <= 0 <= high:
        return 0
    return 1 if mean > 0 else -1


def _better(studies: list[Row]) -> str:
    sides = [_side(study) for study in studies]
    theirs = [study for study, side in zip(studies, sides, strict=True) if side < 0]
    quicker = [study for study in studies if _ratio(study) < 1 - SLIGHT]
    text = "**Where the others do better.** Regret over time differs by more than 1 %, with an interval that "
    text += f"leaves out 0, in {sum(map(abs, sides))} of {len(studies)} lines, where one in twenty would by "
    text += f"chance; in {len(theirs) or 'none'} of these the other tool's is less"
    text += f"{_named_studies(theirs)}. Its study "
    text += "ends more than 1 % earlier in "
    text += f"{len(quicker) or 'none'} of {len(studies)}{_named_studies(quicker)}. "
    if any(not _is_same(shares) for study in studies for shares in study["overlap"]):
        text += "Other orders of results make other trials survive; "
    return text + "nothing here says that one tool searches better than another."


def _named_studies(studies: list[Row]) -> str:
    places = [f"{study['peer']}: `{study['table']}`, {study['workers']} workers" for study in studies]
    return f" ({'; '.join(places)})" if places else ""


def _ratio(study: Row) -> float:
    pairs = zip(study["simulated_seconds"], study["hbsim_simulated_seconds"], strict=True)
    return fmean(one / other for one, other in pairs)


def _again(studies: list[Row]) -> str:
    same = {study["peer"]: True for study in studies}
    for study in studies:
        same[study["peer"]] &= study["again"]
    unchanged = ["hbsim"] if all(study["hbsim_again"] for study in studies) else []
    unchanged += [name for name, again in same.items() if again]
    text = f"**Run again**, the first study of each table has the very same log in: {', '.join(unchanged)}."
    moved = [name for name, again in same.items() if not again]
    if moved:
        text += f" It has another in: {'; '.join(moved)}."
    if moved and all(name.startswith(TIMED) for name in moved):
        text += (
            " By their sources, these add the seconds that a decision really takes to the simulated time: "
        )
        text += "their figures move a little from run to run."
    return text


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
        "## In short",
        "\n".join(f"- {fact}" for fact in facts(content)),
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
