"""The learning curves of a sweep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from hbsim.bench.located import located, whole_path
from hbsim.bench.sweep.axes import SurrogateAxis, check_names, settings, some
from hbsim.bench.sweep.schema import LOADED, SurrogateTable
from hbsim.bench.sweep.source import Source
from hbsim.errors import ParameterError, SurrogateError
from hbsim.simulation.cluster_schema import Place

__all__ = ["surrogates"]

SCENARIO: Final = "yahpo:"
EVERY: Final = "/*"  # all instances of a scenario


def surrogates(source: Source) -> list[SurrogateAxis]:
    """Return the learning curves, which are not loaded yet; of ``yahpo:SCENARIO/*`` every instance.

    Raises
    ------
    ParameterError
        There are none, a setting is unknown, or names come twice.
    """
    found: list[SurrogateAxis] = []
    for number, table in enumerate(source.table.surrogates):
        found += _of_table(source, ("surrogates", number), table)
    check_names(source, found)
    return some(source, "surrogates", found)


def _of_table(source: Source, place: Place, table: SurrogateTable) -> Iterator[SurrogateAxis]:
    own = settings(source, place, table)
    load = {name: getattr(table, name) for name in LOADED if getattr(table, name) not in (None, [])}
    if "yahpo_data" in load:
        load["yahpo_data"] = whole_path(load["yahpo_data"], source.data)
    for name, text in _instances(source, place, table, load):
        called = name if table.name is None else table.name
        if table.name is not None and text != table.surrogate:  # one of several
            called = f"{table.name}/{text.rpartition('/')[2]}"
        yield SurrogateAxis(
            called, table.group, {"surrogate": located(text, source.data), **load}, own, place
        )


def _instances(
    source: Source, place: Place, table: SurrogateTable, load: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """Yield name and text of the learning curves that a table means."""
    text = table.surrogate
    if not (text.startswith(SCENARIO) and text.endswith(EVERY)):
        yield text, text
        return
    from hbsim.surrogates.yahpo import instances

    scenario = text.removeprefix(SCENARIO).removesuffix(EVERY)
    try:
        names = instances(scenario, load.get("yahpo_data"))
    except (ParameterError, SurrogateError) as error:
        raise source.of(place, error) from None
    for instance in names:
        yield f"{scenario}/{instance}", f"{SCENARIO}{scenario}/{instance}"
