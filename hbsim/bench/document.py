"""A comparison in plain types, for JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hbsim.bench.statistics import CONFIDENCE
from hbsim.searchers.plain import plain_options

if TYPE_CHECKING:
    from hbsim.bench.comparison import Comparison
    from hbsim.bench.scores import Budget
    from hbsim.bench.variants import Variant

__all__ = ["as_dict"]


def as_dict(comparison: Comparison) -> dict[str, object]:
    """Return what was compared, where, and a dictionary a variant, by rank; None where there is no number."""
    plan, surrogate = comparison.plan, comparison.surrogate
    variants = {variant.label: variant for variant in plan.variants}
    rows = comparison.table.to_dicts()
    return {
        "surrogate": {
            "name": surrogate.name,
            "metric": surrogate.metric,
            "mode": surrogate.mode,
            "optimum": surrogate.optimum(plan.max_t),
            "rows": surrogate.rows,
        },
        "max_t": plan.max_t,
        "workers": plan.cluster.workers,
        "seeds": list(comparison.seeds),
        "complete": comparison.complete,
        "score": comparison.what,
        "confidence": CONFIDENCE,
        "equal_time": _budget(comparison, comparison.time),
        "equal_resource": _budget(comparison, comparison.resource),
        "variants": [{**row, **_made(variants[row["variant"]])} for row in rows],
        "notes": comparison.notes,
    }


def _made(variant: Variant) -> dict[str, object]:
    """Return what a variant is made of."""
    return {
        "type": variant.type,
        "options": variant.options,
        "searcher": variant.searcher or "random",
        "search_options": plain_options(variant.search_options),
    }


def _budget(comparison: Comparison, budget: Budget) -> dict[str, object]:
    cell = budget.cell
    least = (
        None if cell is None else {"variant": comparison.plan.variants[cell.variant].label, "seed": cell.seed}
    )
    return {"value": budget.value, "least_of": least}
