"""The page of the ASHA paper's workloads, from their figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from statistics import fmean
from typing import Any, Final, TypeVar

from benchmarks.asha_paper_calibration import calibration
from benchmarks.asha_paper_cells import DROPS, LIMIT, POLICIES, STDS, VARIANTS
from benchmarks.asha_paper_figures import PAIRS, Figures, growth, spread
from benchmarks.report import table

__all__ = ["render"]

Policy = TypeVar("Policy")

SETTING: Final = f"""\
eta=4, r=1, R=256, 25 workers, {LIMIT:.0f} time units. Training takes the resource that is trained, times
1 + |z| with z ~ Normal(0, std); a job is dropped with probability p a time unit; a promoted or retried trial
trains from zero. Qualities are random, and trial i has the same quality, slowness and failures in all cells
of a seed. Where p is 0 all policies are the same. [What this shows](../../docs/explanation/asha-paper.md)."""
TITLES: Final = {
    "pausing": "promotion that always pauses (`straight_on=False`, the paper's ASHA)",
    "straight on": "promotion that goes straight on (`straight_on=True`)",
    "overlapping": "sha of 256 trials a bracket; an idle worker opens the next (`overlap=True`)",
    "waiting": "sha of 256 trials a bracket, one bracket after the other (`overlap=False`)",
}
TREND: Final = """\
Promotion that pauses over sha that overlaps, each under the same policy. More than 1 is more trials; a time
above 0 is sooner (in brackets its standard error, by the same seeds)."""


def render(content: dict[str, Any]) -> str:
    """Return the page, Markdown."""
    figures = Figures(content)
    seeds = content["seeds"]
    parts = [
        "# The simulated workloads of the ASHA paper",
        f"Written by `{content['command']}`, with [all figures](asha_paper.json): {seeds} seeds a cell.",
        SETTING,
        "![Trials trained to R, and the time of the first](workloads.png)",
        "![What becomes of a dropped job](policies.png)",
        f"## Trained to R, and when the first was\n\nMeans of {seeds} seeds (standard deviation over seeds).",
        f"A seed without any trial at R counts as {LIMIT:.0f}, so that the mean is a lower bound (≥).",
        *(part for variant in VARIANTS for part in _variant(figures, variant)),
        "## Asynchronous against synchronous",
        TREND,
        *_trend(figures),
        "## Against independent figures",
        *calibration(figures),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _variant(figures: Figures, variant: str) -> Iterator[str]:
    def trained(policy: str, std: float, p: float) -> str:
        return spread(figures.trained(variant, policy, std, p))

    def first(policy: str, std: float, p: float) -> str:
        text = spread(figures.first(variant, policy, std, p))
        none = figures.without(variant, policy, std, p)
        return f"≥ {text}, {none} none" if none else text

    policies = {policy: policy for policy in POLICIES[str(VARIANTS[variant]["type"])]}
    yield f"### {TITLES[variant]}"
    yield "Trials trained to R:"
    yield _grid(policies, trained)
    yield "Time of the first:"
    yield _grid(policies, first)


def _trend(figures: Figures) -> Iterator[str]:
    def ratio(pair: tuple[str, str], std: float, p: float) -> str:
        return f"{figures.ratio(pair, std, p):.2f}"

    def sooner(pair: tuple[str, str], std: float, p: float) -> str:
        mean, error = figures.sooner(pair, std, p)
        return f"{mean:+.0f} ({error:.0f})"

    pairs = {_named(pair): pair for pair in PAIRS}
    yield "Trials trained to R, ratio of the means:"
    yield _grid(pairs, ratio)
    yield "The first, sooner by:"
    yield _grid(pairs, sooner)
    yield "\n".join(_steps(figures))


def _grid(policies: Mapping[str, Policy], cell: Callable[[Policy, float, float], str]) -> str:
    """Return a table with a row a std and policy, and a column a p."""
    head = ["std", "dropped jobs are", *(f"p={p:g}" for p in DROPS)]
    rows = [
        (f"{std:g}", name, *(cell(policy, std, p) for p in DROPS))
        for std in STDS
        for name, policy in policies.items()
    ]
    return table(head, rows)


def _named(pair: tuple[str, str]) -> str:
    return pair[0] if pair[0] == pair[1] else f"{pair[0]} / {pair[1]}"


def _steps(figures: Figures) -> Iterator[str]:
    yield "How often these grow from one std, or one p, to the next:\n"
    places = [(std, p) for std in STDS for p in DROPS]
    for pair in PAIRS:
        ratio = {place: figures.ratio(pair, *place) for place in places}
        sooner = {place: figures.sooner(pair, *place)[0] for place in places}
        more = sum(value > 1 for value in ratio.values())
        parts = [
            f"{what} with std in {up} of {ups}, with p in {along} of {alongs}"
            for what, values in (("trained", ratio), ("sooner", sooner))
            for (up, ups), (along, alongs) in [growth(values)]
        ]
        mean = fmean(ratio.values())
        counts = f"More trained in {more} of {len(ratio)} cells, {mean:.1f} times as many on average."
        yield f"- {_named(pair)}: {'; '.join(parts)}. {counts}"
