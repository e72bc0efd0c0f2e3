"""What holds for a combination of a variant and a task, and where in the file it is said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from hbsim.bench.sweep.axes import Settings, SurrogateAxis, settings
from hbsim.bench.sweep.matching import Names, matches
from hbsim.bench.sweep.schema import Where
from hbsim.bench.sweep.source import Source
from hbsim.simulation.cluster_schema import Place

__all__ = ["SEARCH", "Layers", "Merged"]

SEARCH: Final = "search_options"
BUDGETS = (("max_time", "max_full_runs"), ("max_full_runs", "max_time"))


@dataclass(frozen=True)
class Merged:
    """Settings, and the place of each in the file."""

    values: Settings = field(default_factory=dict)
    places: Mapping[str, Place] = field(default_factory=dict)

    def over(self, own: Settings, table: Place) -> Merged:
        """Return these with others over them; of the two budgets of time the later one counts."""
        if SEARCH in own and SEARCH in self.values:  # option by option
            own = {**own, SEARCH: {**self.values[SEARCH], **own[SEARCH]}}
        values, places = {**self.values, **own}, {**self.places, **{name: (*table, name) for name in own}}
        for one, other in BUDGETS:
            if one in own and other in self.values:
                del values[other], places[other]
        return Merged(values, places)

    def get(self, name: str) -> Any:
        """Return a setting, None if there is none."""
        return self.values.get(name)


class Layers:
    """All tables with settings, the last word last: defaults, the surrogate's, overrides in their order.

    Raises
    ------
    ParameterError
        A table has what is no setting.
    """

    def __init__(self, source: Source) -> None:
        self._first = Merged().over(settings(source, ("defaults",), source.table.defaults), ("defaults",))
        self._overrides: list[tuple[Where, Place, Settings]] = [
            (one.where, ("override", at, "set"), settings(source, ("override", at, "set"), one.set))
            for at, one in enumerate(source.table.override)
        ]

    def of(self, names: Names, surrogate: SurrogateAxis) -> Merged:
        """Return what holds for a combination."""
        merged = self._first.over(surrogate.settings, surrogate.place)
        for where, place, own in self._overrides:
            if matches(where, names):
                merged = merged.over(own, place)
        return merged

    def tables(self) -> list[tuple[Where, Place, Settings]]:
        """Return the tables with settings, those of surrogates aside, and what each is for."""
        return [(Where(), ("defaults",), self._first.values), *self._overrides]
