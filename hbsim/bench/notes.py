"""What a reader of a comparison should know beside its table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hbsim.bench.pairing import Searching, pairing

if TYPE_CHECKING:
    from hbsim.bench.comparison import Comparison

__all__ = ["notes"]

FEW_SEEDS: Final = 10
MANY: Final = 3  # variants that a note lists by name
MANY_FAILED: Final = 0.1  # of the trials: so many may be why a study ran out of them


def notes(comparison: Comparison) -> list[str]:
    """Return remarks, in a line each; most important first."""
    said = [
        *_unfinished(comparison),
        *_unscored(comparison),
        *_deserted(comparison),
        *_failed(comparison),
        *_ended_early(comparison),
        *_cut_short(comparison),
        *pairing([Searching(v.label, v.searcher, v.search_options) for v in comparison.plan.variants]),
        *(note for variant in comparison.plan.variants for note in variant.notes),
        *_unknown_optimum(comparison),
        *_few_seeds(comparison),
        *_repeated_rows(comparison),
    ]
    return said


def _unfinished(comparison: Comparison) -> list[str]:
    if comparison.complete:
        return []
    finished, planned = len(comparison.seeds), len(comparison.plan.seeds)
    return [f"interrupted: {finished} of {planned} seeds are finished for all variants, and count here"]


def _unscored(comparison: Comparison) -> list[str]:
    said = []
    for row in comparison.rows:
        for name, score in (("time", row.at_time), ("resource", row.at_resource)):
            if score.missing:
                said.append(
                    f"{row.label}: no score at equal {name} in {score.missing} of {len(comparison.seeds)} "
                    "seeds (no incumbent yet, or none with a number at R); ranked after those with fewer"
                )
    return said


def _deserted(comparison: Comparison) -> list[str]:
    counts = [sum(cell.is_deserted for cell in cells) for cells in comparison.variants]
    if not any(counts):
        return []
    labels = [v.label for v, count in zip(comparison.plan.variants, counts, strict=True) if count]
    which = _listed(labels, len(counts))
    return [f"{which}: in {sum(counts)} studies no worker was left before the work was done"]


def _failed(comparison: Comparison) -> list[str]:
    shares = {label: share for label, share in _failed_shares(comparison).items() if share}
    if not shares:
        return []
    worst = max(shares.values())
    most = f"{worst:.0%}" if worst >= 0.1 else f"{worst:.1%}" if worst >= 0.001 else "less than 0.1%"
    most = f"up to {most}" if len(shares) > 1 and worst >= 0.001 else most
    which = _listed(list(shares), len(comparison.rows))
    return [f"{which}: {most} of the trials failed for good; more --retries have them tried again"]


def _failed_shares(comparison: Comparison) -> dict[str, float]:
    """Return which share of each variant's trials failed for good."""
    return {row.label: row.means["failed"] / max(1.0, row.means["trials"]) for row in comparison.rows}


def _ended_early(comparison: Comparison) -> list[str]:
    if comparison.plan.max_time is None:
        return []
    early = {
        variant.label: sum(cell.end_time < comparison.time.value and not cell.is_deserted for cell in cells)
        for variant, cells in zip(comparison.plan.variants, comparison.variants, strict=True)
    }
    labels = [label for label, count in early.items() if count]
    if not labels:
        return []
    whole = all(early[label] == len(comparison.seeds) for label in labels)
    shares = _failed_shares(comparison)
    broken = [label for label in labels if shares[label] >= MANY_FAILED]
    advice = "give more trials"
    if broken:
        mixed = len(broken) < len(labels)
        advice = f"many of {_listed(broken, len(early)) if mixed else 'these'} failed: give more --retries"
    elif comparison.surrogate.rows == max(cell.summary["trials"] for cell in comparison.cells):
        rows = f"all {comparison.surrogate.rows:,} rows of {comparison.surrogate.name}"
        advice = f"{rows} were tried, one for each trial: give --replace, or a fit of them (fit:FILE)"
    which = f"{'every study' if whole else 'studies'} of {_listed(labels, len(early))}"
    return [
        f"{which} ran out of trials before the time was up: the last incumbents stand, and the workers stood "
        f"idle; {advice}"
    ]


def _cut_short(comparison: Comparison) -> list[str]:
    if comparison.plan.max_time is not None or not comparison.seeds:
        return []
    cells = [cell for cells in comparison.variants for cell in cells]
    running = sum(cell.end_time > comparison.time.value for cell in cells)
    if 2 * running <= len(cells):
        return []
    return [
        f"at equal time {running} of {len(cells)} studies were still running: with --max-time all are scored "
        "at a time that you choose, whichever variants take part"
    ]


def _listed(labels: list[str], variants: int) -> str:
    if len(labels) > MANY:
        return f"{len(labels)} of the {variants} variants"
    return labels[0] if len(labels) == 1 else f"{'; '.join(labels[:-1])} and {labels[-1]}"


def _unknown_optimum(comparison: Comparison) -> list[str]:
    if comparison.what == "regret":
        return []
    surrogate = comparison.surrogate
    return [f"the best {surrogate.metric} of {surrogate.name} is unknown: scores are values, not regrets"]


def _few_seeds(comparison: Comparison) -> list[str]:
    seeds = len(comparison.seeds)
    if seeds == 1:
        return ["one seed: there are no intervals, and a rank says next to nothing"]
    if seeds < FEW_SEEDS:
        return [f"{seeds} seeds: bootstrap intervals of so few are too narrow; take 20 or more"]
    return []


def _repeated_rows(comparison: Comparison) -> list[str]:
    rows = comparison.surrogate.rows
    most = max(cell.summary["trials"] for cell in comparison.cells)
    if rows is None or most <= rows:
        return []
    return [f"up to {most:g} trials from {rows} rows: rows came more than once"]
