"""The schedulers of a sweep, those of ``vary`` one by one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Final

from hbsim.bench.searching import SEARCHER
from hbsim.bench.sweep.axes import VariantAxis, check_names, placed, some
from hbsim.bench.sweep.schema import OPTIONS, STUDY, VariantTable
from hbsim.bench.sweep.source import Source
from hbsim.bench.sweep.words import meant_option
from hbsim.bench.variants import Value, label
from hbsim.core.options import TYPES, meant
from hbsim.simulation.cluster_schema import Place

__all__ = ["variants"]

# What is no variant's own, and where it is said.
ELSEWHERE: Final = {
    "mode": "is the surrogate's: set it in [[surrogates]]",
    "seed": "is the study's: seeds = ... at the top of the file",
    **dict.fromkeys(
        ("num_trials", *(name for name in STUDY if name not in (SEARCHER, "search_options"))),
        "is the same for all variants of a task: set it in [defaults], [[surrogates]] or [[override]]",
    ),
}


def variants(source: Source) -> list[VariantAxis]:
    """Return the variants.

    Raises
    ------
    ParameterError
        There is none; a type or an option is unknown; or names come twice.
    """
    found: list[VariantAxis] = []
    for number, table in enumerate(source.table.variants):
        found += _of_table(source, ("variants", number), table)
    check_names(source, found)
    return some(source, "variants", found)


def _of_table(source: Source, place: Place, table: VariantTable) -> Iterator[VariantAxis]:
    if table.type not in TYPES:
        rule = f"must be one of {', '.join(TYPES)}.{meant(table.type)}"
        raise source.broken((*place, "type"), rule)
    own: dict[str, Value] = dict(table.model_extra or {})
    for name in own:
        _check_option(source, (*place, name), table.type)
    for name, values in table.vary.items():
        _check_varied(source, (*place, "vary", name), table, values)
    for picked in itertools.product(*table.vary.values()):
        varied = dict(zip(table.vary, picked, strict=True))
        name = label(table.type, {**own, **varied}) if table.name is None else label(table.name, varied)
        searcher = varied.pop(SEARCHER, table.searcher)
        named = None if searcher is None else str(searcher)
        yield VariantAxis(
            name, table.type, {**own, **varied}, named, placed(table.search_options, source), place
        )


def _check_option(source: Source, place: Place, type: str) -> None:
    name = str(place[-1])
    if name in OPTIONS and name in TYPES[type]:
        return
    takes = [option for option in OPTIONS if option in TYPES[type]]
    fields = (*VariantTable.model_fields, *takes)
    takers = [repr(other) for other, names in TYPES.items() if name in names and name in OPTIONS]
    rule = f"is no option of type {type!r}.{meant_option(name, fields)}"
    if takers:
        rule = f"is no option of type {type!r}, but of {', '.join(takers)}"
    raise source.broken(place, ELSEWHERE.get(name, rule))


def _check_varied(source: Source, place: Place, table: VariantTable, values: list[Value]) -> None:
    name = str(place[-1])
    if name != SEARCHER:
        _check_option(source, place, table.type)
    if name in (table.model_extra or {}) or (name == SEARCHER and table.searcher is not None):
        raise source.broken(place, f"is varied, and {name} is set for the variant as well")
    if not values or len({(isinstance(value, bool), value) for value in values}) < len(values):
        raise source.broken(place, "must be at least one value, each once")
