"""Tables of what was found, out of ``numbers.json``: results/sweeps/findings.md and docs/.../studies.md."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np

from benchmarks.pages import table
from hbsim.bench.conclusions import ALPHA
from hbsim.bench.over_tasks import Pair, across_tasks
from hbsim.bench.report.diagnosis import REGRETS
from hbsim.bench.report.model import ALL, OPEN, WORSE
from hbsim.bench.sweep.store import SHARES

TYPE: Final = "type"  # counts as an option here


@dataclass(frozen=True)
class OptionRow:
    """A setting: mean score of each value of an option, over groups of tasks.

    Attributes
    ----------
    setting : str
        Its name.
    means : list of float
        A value each.
    best : int
        The place of the value with the best mean rank, of equal ones that with the least mean.
    close : list of bool
        Which are not told apart from it: Wilcoxon over groups, Holm's correction over the option's values.
    p : float
        That all values are the same: Wilcoxon's of two, Friedman's of more.
    ahead : str
        Of two values, in how many groups the best is ahead and behind; empty of more.
    differences : list of float
        Of each group, the score of the first value less that of the last.
    """

    setting: str
    means: list[float]
    best: int
    close: list[bool]
    p: float
    ahead: str
    differences: list[float]


def option_rows(
    variants: Sequence[Mapping[str, Any]], settings: Sequence[Mapping[str, Any]], name: str
) -> tuple[list[Any], list[OptionRow]]:
    """Return the values of an option, and a row a setting.

    Raises
    ------
    SystemExit
        No variants differ in that option alone.
    """
    families = _families(variants, name)
    values = list(dict.fromkeys(value for family in families for value in family))
    whole = [family for family in families if len(family) == len(values)]
    if len(values) < 2 or not whole:
        raise SystemExit(f"no variants differ in {name} alone")
    return values, [_row(setting, whole, values) for setting in settings]


def _families(variants: Sequence[Mapping[str, Any]], name: str) -> list[dict[Any, str]]:
    """Return variants by the option's value, those together that share all else."""
    families: dict[str, dict[Any, str]] = {}
    for variant in variants:
        settings = {TYPE: variant["type"], **variant["options"]}
        if name in settings:
            value = settings.pop(name)
            families.setdefault(repr(sorted(settings.items())), {})[value] = variant["name"]
    return [family for family in families.values() if len(family) > 1]


def _row(setting: Mapping[str, Any], families: list[dict[Any, str]], values: list[Any]) -> OptionRow:
    scores = np.array(setting["scores"], dtype=np.float64)
    place = setting["variants"].index
    families = [family for family in families if set(family.values()) <= set(setting["variants"])]
    columns = [[place(family[value]) for family in families] for value in values]
    blocks = np.stack([scores[:, of_value].mean(axis=1) for of_value in columns], axis=1)
    found = across_tasks(blocks)
    best = min(range(len(values)), key=lambda v: (found.mean_ranks[v], found.means[v].mean))
    p = list(_against(found.pairs, best, len(values)))
    return OptionRow(
        setting["setting"],
        [mean.mean for mean in found.means],
        best,
        [v != best and not p[v] < ALPHA for v in range(len(values))],
        float(found.p_friedman) if len(values) > 2 else p[1 - best],
        _ahead(found.pairs[0], best) if len(values) == 2 else "",
        (blocks[:, 0] - blocks[:, -1]).tolist(),
    )


def _ahead(pair: Pair, best: int) -> str:
    wins, losses = (pair.wins, pair.losses) if pair.first == best else (pair.losses, pair.wins)
    return f"{wins} : {losses}"


def _against(pairs: Sequence[Pair], best: int, values: int) -> Iterator[float]:
    """Yield the p of each value against the best one, 0 for itself."""
    for value in range(values):
        both = {value, best}
        yield next((pair.p for pair in pairs if {pair.first, pair.second} == both), 0.0)


Content: TypeAlias = Mapping[str, Any]
CLOSE: Final = "≈ "  # not told apart from the best of its column


def shown(out: Path, name: str, what: str) -> str:
    """Return a table, Markdown.

    Parameters
    ----------
    out : path
        The folder of results.
    name : str
        The study.
    what : str
        One of `SHOWN`, after a colon an option's name or a cluster.

    Raises
    ------
    SystemExit
        It is none of them.
    """
    kind, _, detail = what.partition(":")
    if kind not in SHOWN:
        raise SystemExit(f"--show {what}: must be one of {', '.join(SHOWN)}")
    content = json.loads((out / name / "numbers.json").read_text("utf-8"))
    head, rows = SHOWN[kind](content, detail)
    return table(head, rows)


Rows: TypeAlias = tuple[Sequence[str], Iterable[Sequence[str]]]


def _settings(content: Content, measure: str) -> list[Content]:
    """Return the settings with a measure; the mean of all last, if there are several."""
    found = [one for one in content["settings"] if one["measure"] == measure]
    return sorted(found, key=lambda one: one["setting"] == ALL)


def _called(content: Content, setting: str) -> str:
    """Return a setting as a column is called: what all have in common is left out."""
    names = {one["setting"] for one in content["settings"]} - {ALL}
    ends = {name.rpartition(", ")[2] for name in names}
    cluster, _, workers = setting.rpartition(", ")
    return setting if setting == ALL else workers if len(ends) > 1 else cluster


def _leaders(content: Content, detail: str) -> Rows:
    head = ("setting", "groups", "best mean rank", "rank", "score", "Friedman p", "not told apart from it")
    return head, [_leader(content, one) for one in _settings(content, detail or "score")]


def _leader(content: Content, setting: Content) -> list[str]:
    best, k = setting["variants"][0], len(setting["variants"])
    mean, low, high = setting["means"][0]
    close = [name for name in setting["variants"][1:] if _is_close(setting, name)]
    return [
        _called(content, setting["setting"]),
        str(len(setting["groups"])),
        f"`{best}`",
        f"{setting['ranks'][0]:.1f} of {k}",
        f"{mean:.4f} [{low:.4f}, {high:.4f}]",
        _p(setting["p_friedman"]),
        f"{len(close)} of {k - 1}"
        + (f": {', '.join(f'`{name}`' for name in close)}" if 0 < len(close) < 4 else ""),
    ]


def _is_close(setting: Content, name: str) -> bool:
    """Return whether a variant is not told apart from the first: Wilcoxon over groups, Holm's correction."""
    if name == setting["variants"][0]:
        return False
    (pair,) = (one for one in setting["pairs"] if name in (one["first"], one["second"]))
    return bool(pair["call"] == OPEN)


def _p(p: float | None) -> str:
    return "–" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"


def _scores(content: Content, detail: str) -> Rows:
    """Mean scores: variants, and a column a setting; the best mean rank in bold."""
    settings = _settings(content, detail or "score")
    names = [variant["name"] for variant in content["variants"]]
    rows = [[f"`{name}`", *(_score(one, name) for one in settings)] for name in names]
    return ["variant", *(_called(content, one["setting"]) for one in settings)], rows


def _score(setting: Content, name: str) -> str:
    if name not in setting["variants"]:
        return ""
    mean = setting["means"][setting["variants"].index(name)][0]
    text = "–" if mean is None else f"{mean:.4f}"  # no score in some group
    if name == setting["variants"][0]:
        return f"**{text}**"
    return f"{CLOSE if _is_close(setting, name) else ''}{text}"


def _options(content: Content, detail: str) -> Rows:
    """An option's values against each other: means over the variants that differ in nothing else."""
    name, _, measure = detail.partition(",")
    values, rows = option_rows(content["variants"], _settings(content, measure or "score"), name)
    is_pair = len(values) == 2
    cells = []
    for row in rows:
        last = [row.ahead, _p(row.p)] if is_pair else [_p(row.p)]
        cells.append([_called(content, row.setting), *_valued(row.means, row.best, row.close), *last])
    head = ["setting", *(f"`{name}={_text(value)}`" for value in values)]
    return [*head, *(["groups ahead : behind"] if is_pair else []), "p"], cells


def _spread(content: Content, detail: str) -> Rows:
    """How much an option's first value is behind its last one, from group to group."""
    name, _, measure = detail.partition(",")
    values, rows = option_rows(content["variants"], _settings(content, measure or "score"), name)
    head = ("setting", "least", "quarter", "median", "three quarters", "most")
    title = f"`{name}={_text(values[0])}` less `{name}={_text(values[-1])}`"
    cells = []
    for row in rows:
        places = np.nanquantile(row.differences, (0, 0.25, 0.5, 0.75, 1))
        cells.append([_called(content, row.setting), *(f"{place:+.4f}" for place in places)])
    return (f"{head[0]}: {title}", *head[1:]), cells


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _valued(means: Sequence[float], best: int, close: Sequence[bool]) -> list[str]:
    texts = [f"{CLOSE if is_close else ''}{mean:.4f}" for mean, is_close in zip(means, close, strict=True)]
    texts[best] = f"**{texts[best]}**"
    return texts


def _parts(content: Content, detail: str) -> Rows:
    """Where regret comes from: means over groups of the tasks of a setting."""
    return _of_setting(content, "regrets", REGRETS, "{:.4f}", detail)


def _shares(content: Content, detail: str) -> Rows:
    """What workers did: means over groups of the tasks of a setting."""
    return _of_setting(content, "shares", SHARES, "{:.0%}", detail)


def _of_setting(content: Content, kind: str, names: Sequence[str], form: str, detail: str) -> Rows:
    rows = []
    for (cluster, workers), tasks in _by_setting(content).items():
        if detail and detail not in (cluster, f"{workers}"):
            continue
        for variant in content["variants"]:
            means = [_mean(tasks, kind, variant["name"], part) for part in names]
            rows.append(
                [cluster, str(workers), f"`{variant['name']}`", *(form.format(mean) for mean in means)]
            )
    return ["cluster", "workers", "variant", *names], rows


def _by_setting(content: Content) -> dict[tuple[str, int], list[Content]]:
    found: dict[tuple[str, int], list[Content]] = {}
    for task in content["tasks"]:
        found.setdefault((task["cluster"], task["workers"]), []).append(task)
    return found


def _mean(tasks: Sequence[Content], kind: str, variant: str, part: str) -> float:
    groups: dict[str, list[float]] = {}
    for task in tasks:
        (row,) = (one for one in task[kind] if one["variant"] == variant)
        groups.setdefault(task["group"], []).append(row.get(part, 0.0))
    means = [sum(values) / len(values) for values in groups.values()]
    return sum(means) / len(means)


def _tasks(content: Content, detail: str) -> Rows:
    """Who leads on each task, and how the others stand on these curves and on another draw."""
    rows = []
    for task in content["tasks"]:
        if detail and detail != str(task["workers"]):
            continue
        best = task["rows"][0]
        mean, low, high = best["score"]
        text = f"{mean:.3f} [{low:.3f}, {high:.3f}]"
        stands = [_worse(task["rows"], where) for where in ("curves", "draw")]
        rows.append([task["surrogate"], str(task["workers"]), f"`{best['variant']}`", text, *stands])
    return (
        "curves",
        "workers",
        "least mean",
        "score",
        "worse on these curves",
        "worse on another draw",
    ), rows


def _worse(rows: Sequence[Content], where: str) -> str:
    """Name the variants that are worse."""
    if rows[0][where] is None:
        return "–"
    names = [f"`{row['variant']}`" for row in rows if row[where] == WORSE]
    others = len(rows) - 1
    return f"all {others} others" if len(names) == others else ", ".join(names) or "none"


SHOWN: Final[dict[str, Callable[[Content, str], Rows]]] = {
    "leaders": _leaders,
    "scores": _scores,
    "option": _options,
    "spread": _spread,
    "parts": _parts,
    "shares": _shares,
    "tasks": _tasks,
}
