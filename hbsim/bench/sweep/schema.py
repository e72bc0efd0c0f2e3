"""The form of a specification, of which docs/reference/sweep.md says what it means."""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeAlias

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from hbsim.bench.variants import Value
from hbsim.core.options import TYPES
from hbsim.simulation.cluster_files import About, MachinesSchema
from hbsim.simulation.cluster_files import ClusterSchema as ClusterFields
from hbsim.toml_files import Place

__all__ = [
    "DEFAULT_SEEDS",
    "LISTS",
    "LOADED",
    "OPTIONS",
    "STUDY",
    "TABLES",
    "ClusterTable",
    "Matches",
    "Override",
    "Settings",
    "SurrogateTable",
    "SweepTable",
    "VariantTable",
    "Where",
    "fields_at",
]

Names: TypeAlias = str | list[str]
Numbers: TypeAlias = int | list[int]

DEFAULT_SEEDS: Final = 100
# What the sweep sets itself, for the variants of a task alike.
_OWN: Final = ("mode", "seed", "num_trials", "max_t")
# Options of schedulers; which type takes which is checked with the variant.
OPTIONS: Final = tuple(dict.fromkeys(name for names in TYPES.values() for name in names if name not in _OWN))
STUDY: Final = ("trials", "max_t", "max_time", "max_full_runs", "replace", "searcher", "search_options")
# How files of learning curves are read: keywords of `hbsim.surrogates.load`.
LOADED: Final = (
    "metric", "mode", "time", "seconds_per_unit", "censored", "test_metric", "first_level",
    "yahpo_data", "wrap",
)  # fmt: skip


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Open(BaseModel):
    """A table that takes options of schedulers too, under their names."""

    model_config = ConfigDict(extra="allow", strict=True)
    __pydantic_extra__: dict[str, Value]


class Seeds(_Table):
    """``seeds = {first = 100, count = 20}``."""

    first: int = 0
    count: int


def _kind(seeds: object) -> str:
    return "table" if isinstance(seeds, dict | Seeds) else "list" if isinstance(seeds, list) else "number"


AnySeeds: TypeAlias = Annotated[
    Annotated[int, Tag("number")] | Annotated[list[int], Tag("list")] | Annotated[Seeds, Tag("table")],
    Discriminator(_kind),
]


class Settings(_Open):
    """What studies share: ``[defaults]``, and ``set`` of an override."""

    trials: int | None = None
    max_t: float | None = None
    max_time: float | None = None
    max_full_runs: float | None = None
    replace: bool | None = None
    searcher: str | None = None
    search_options: dict[str, Any] | None = None


class VariantTable(_Open):
    """A scheduler with its options, or several of them: ``[[variants]]``."""

    type: str
    name: str | None = None
    searcher: str | None = None
    search_options: dict[str, Any] = {}
    vary: dict[str, list[Value]] = {}


class SurrogateTable(Settings):
    """Learning curves, and what holds for them only: ``[[surrogates]]``."""

    surrogate: str
    name: str | None = None
    group: str | None = None
    metric: str | None = None
    mode: str | None = None
    time: str | None = None
    seconds_per_unit: float | None = None
    censored: str | None = None
    test_metric: str | None = None
    first_level: int | None = None
    yahpo_data: str | None = None
    wrap: list[str] = []


class ClusterTable(ClusterFields):
    """A cluster: a file or preset, with fields of its own over it: ``[[clusters]]``."""

    name: str
    cluster: str | None = None
    workers: int | list[int] | None = None


class Where(_Table):
    """Some cells, of all seeds: those that have one of each; ``where`` of an override."""

    variant: Names | None = None
    surrogate: Names | None = None
    cluster: Names | None = None
    workers: Numbers | None = None


class Matches(Where):
    """The same, of some seeds: ``[[include]]``, ``[[exclude]]``."""

    seed: Numbers | None = None


class Override(_Table):
    """Settings for some cells: ``[[override]]``."""

    where: Where
    set: Settings


class SweepTable(_Table):
    """The whole specification."""

    title: str = ""
    description: str = ""
    seeds: AnySeeds = DEFAULT_SEEDS
    workers: int | list[int] = 32
    target: float = 0.1
    halves: bool = True
    beyond: float = 1.0
    confirm: int | None = None
    defaults: Settings = Field(default_factory=Settings.model_construct)
    variants: list[VariantTable]
    surrogates: list[SurrogateTable]
    clusters: list[ClusterTable] = []
    include: list[Matches] = []
    exclude: list[Matches] = []
    override: list[Override] = []


_TABLES: Final[dict[str, type[BaseModel]]] = {
    "seeds": Seeds,
    "defaults": Settings,
    "variants": VariantTable,
    "surrogates": SurrogateTable,
    "clusters": ClusterTable,
    "include": Matches,
    "exclude": Matches,
    "override": Override,
    "where": Where,
    "set": Settings,
    "machines": MachinesSchema,
    "about": About,
}
LISTS: Final = ("variants", "surrogates", "clusters", "include", "exclude", "override")
TABLES: Final = ("defaults",)


def fields_at(place: Place) -> list[str]:
    """Return the fields of the table at a place; those of its innermost known name."""
    names = [part for part in place if isinstance(part, str) and part in _TABLES]
    model = _TABLES[names[-1]] if names else SweepTable
    return [*model.model_fields, *(OPTIONS if issubclass(model, _Open) else ())]
