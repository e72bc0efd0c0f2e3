"""The specification of a sweep: its fields, and errors that name a line of the file, or an option."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final, TypeAlias

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from hbsim.bench.sweep.curves import located, whole_path
from hbsim.bench.sweep.toml_lines import line_of
from hbsim.bench.variants import Value
from hbsim.core.options import TYPES
from hbsim.errors import HbsimError, ParameterError, nearest
from hbsim.simulation.cluster_files import About, MachinesSchema
from hbsim.simulation.cluster_files import ClusterSchema as ClusterFields
from hbsim.toml_files import Place, dotted, first_problem, parse_toml, read_text, shown, to_toml

__all__ = [
    "DEFAULT_SEEDS",
    "FIELD",
    "LISTS",
    "LOADED",
    "OPTIONS",
    "STUDY",
    "TABLES",
    "ClusterTable",
    "Matches",
    "Options",
    "Override",
    "Settings",
    "Source",
    "SurrogateTable",
    "SweepTable",
    "VariantTable",
    "Where",
    "fields_at",
    "make_source",
    "meant_option",
    "read_source",
    "said",
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


FIELD: Final = "file"  # what errors about a file name
SPEC: Final = "spec"  # and about plain objects, where no option stands for the place
Options: TypeAlias = Mapping[Place, tuple[str, object]]  # by place, an option's name and what was given

# Fields that the file calls otherwise than the parameters that they are for.
CALLED: Final = {"num_trials": "trials"}
WORDS: Final = {
    "give num_trials, max_time or max_reward": "give trials, max_time or max_full_runs",
    "num_trials": "trials",
    "replace=True": "replace = true",
    "True or False": "true or false",
}
ALIASES: Final = {"eta": "reduction_factor", "r": "grace_period", "R": "max_t"}  # of the papers


@dataclass(frozen=True)
class Source:
    """What was read.

    Attributes
    ----------
    name : str
        The file; of what is none a name for people.
    text : str
        The file's text; of what is none a file that says the same, with whole paths.
    content : mapping
        As TOML has it.
    table : SweepTable
        Its content; numbers and texts in their places, not yet what they mean.
    folder, data : str
        Where relative paths of clusters and of learning curves start.
    options : mapping or None
        Of what is no file, the options that places stand for: errors name these. None for a file.
    """

    name: str
    text: str
    content: Mapping[str, Any]
    table: SweepTable
    folder: str
    data: str
    options: Options | None = None

    def wrong(self, place: Place, problem: str) -> ParameterError:
        """Return an error about a place."""
        if self.options is None:
            return _in_file(self.name, self.text, place, problem)
        return ParameterError(*self._option(place)[1], problem)

    def broken(self, place: Place, rule: str, value: object = None) -> ParameterError:
        """Return an error about a field: its name, its value and the rule that it breaks.

        Parameters
        ----------
        place : sequence of str and int
            Where the field is, or would be.
        rule : str
            What it has to satisfy.
        value : object, optional
            What to show if the specification itself has no plain value there.
        """
        if self.options:
            is_part = place not in self.options or "vary" in place  # of what the option says
            return self.wrong(place, f"{place[-1]} {rule}" if is_part else rule)
        there = self.at(place)
        given = value if there is None or isinstance(there, dict) else there
        text = dotted(place) if given is None else f"{dotted(place)} = {_as_given(given)}"
        return self.wrong(place, f"{text}: {in_words(rule)}")

    def note(self, place: Place, rule: str) -> str:
        """Return a warning about a field."""
        error = self.broken(place, rule)
        return str(error) if self.options else error.rule

    def of(
        self, place: Place, error: HbsimError, places: Mapping[str, Place] | None = None, about: str = ""
    ) -> HbsimError:
        """Return an error of something that was made from the specification, as one about that.

        Parameters
        ----------
        place : sequence of str and int
            The table that it was made from.
        error : HbsimError
            What was wrong with it.
        places : mapping, optional
            Where the fields are that come from other tables.
        about : str
            What of the table, where it makes several things.
        """
        end = f" ({about})" if about else ""
        if not isinstance(error, ParameterError):
            return error if self.options else self.wrong(place, f"{dotted(place)}: {error}{end}")
        field = CALLED.get(error.field, error.field)
        for at in _places(place, field, places or {}):
            if at and self.at(at) is not None:
                if self.options:
                    return self._as_option(at, error)
                # Of several values the one that is wrong.
                value = error.value if isinstance(self.at(at), list) else None
                shown_ = f"{dotted(at)} = {shown(self.at(at) if value is None else value)}"
                return self.wrong(at, f"{shown_}: {in_words(error.rule)}{end}")
        if self.options:
            return error
        value = "" if error.value is None else f" = {shown(error.value)}"
        start = f"{dotted(place)}: " if place else ""
        return self.wrong(place, f"{start}{field}{value}: {in_words(error.rule)}{end}")

    def at(self, place: Place) -> Any:
        """Return what stands at a place, None if nothing does."""
        return _at(self.content, place)

    def changed(self, content: Mapping[str, Any]) -> Source:
        """Return the same with another content, as one that is no file; all its paths are whole ones."""
        made = absolute(content, self.folder, self.data)
        table = SweepTable.model_validate(made)
        return replace(self, text=to_toml(made), content=made, table=table, options={})

    def _option(self, place: Place) -> tuple[Place, tuple[str, object]]:
        """Return the nearest place around one that an option stands for, and that option."""
        options = self.options or {}
        around = (place[:depth] for depth in range(len(place), -1, -1))
        at = next((one for one in around if one in options), ())
        return at, options.get(at, (SPEC, None))

    def _as_option(self, at: Place, error: ParameterError) -> ParameterError:
        _, (field, value) = self._option(at)
        if "search_options" in at:
            return error  # whose field says it already
        if at[-1] != field:
            return ParameterError(field, value, f"{at[-1]} {error.rule}")
        return ParameterError(field, value if error.value in (None, value) else error.value, error.rule)


def read_source(path: str | os.PathLike[str], data: str | os.PathLike[str] | None = None) -> Source:
    """Read a sweep's file.

    Raises
    ------
    ParameterError
        It cannot be read, is no TOML, or has a field that is unknown, missing or of another type: names
        the line, the field, its value and the rule (field ``file``). Or `data` is no folder.
    """
    if data is not None and not os.path.isdir(data):
        raise ParameterError("data", os.fspath(data), "there is no such folder")
    name = os.fspath(path)
    text = read_text(FIELD, name)
    content = parse_toml(FIELD, name, text)
    folder = os.path.dirname(name)
    found = Source(
        name, text, content, SweepTable.model_construct(), folder, folder if data is None else os.fspath(data)
    )
    return replace(found, table=_table(found))


def make_source(content: Mapping[str, Any], options: Options, name: str = "sweep.toml") -> Source:
    """Take a specification that is no file; its relative paths start where this process is.

    Parameters
    ----------
    content : mapping
        In the form of a sweep's file: plain objects.
    options : mapping
        What errors name, by place; empty: they name the place itself, as ``spec``.
    name : str
        What it is called.

    Raises
    ------
    ParameterError
        A field is unknown, missing or of another type.
    """
    here = os.getcwd()
    found = Source(name, "", content, SweepTable.model_construct(), here, here, options)
    found = replace(found, table=_table(found))
    return replace(found, text=to_toml(absolute(content, here, here)))


def _table(source: Source) -> SweepTable:
    from pydantic import ValidationError

    try:
        return SweepTable.model_validate(source.content)
    except ValidationError as error:
        found = first_problem(error, source.content, fields_at)
        place, problem = _brackets(source.content, *found) or _misspelt(source.content, *found) or found
        if source.options:
            problem = problem.removeprefix(f"{dotted(place)} = ").partition(": ")[2] or problem
        raise source.wrong(place, problem) from None


def absolute(content: Mapping[str, Any], folder: str, data: str) -> dict[str, Any]:
    """Return a specification that means the same from everywhere: with whole paths of files.

    Parameters
    ----------
    content : mapping
        In the form of a sweep's file.
    folder, data : str
        Where its relative paths of clusters and of learning curves start.
    """
    made = copy.deepcopy(dict(content))
    for table in made.get("surrogates", []):
        text = located(table["surrogate"], data)
        if text != table["surrogate"]:
            table.setdefault("name", table["surrogate"])
        table["surrogate"] = text
        if "yahpo_data" in table:
            table["yahpo_data"] = whole_path(table["yahpo_data"], data)
    for table in made.get("clusters", []):
        for name in ("cluster", "trace"):
            if name in table and os.path.isfile(path := whole_path(table[name], folder)):
                table[name] = path
    tables = [made.get("defaults", {}), *made.get("variants", []), *made.get("surrogates", [])]
    for table in [*tables, *(one.get("set", {}) for one in made.get("override", []))]:
        options = table.get("search_options") or {}
        if isinstance(options.get("constraints"), str):
            options["constraints"] = located(options["constraints"], data)
    return made


def _places(place: Place, field: str, places: Mapping[str, Place]) -> list[Place]:
    """Return where a field may stand: in a table or among what it varies, or elsewhere."""
    first, *inner = field.split(".")  # search_options.points
    other = places.get(first, ())
    return [(*place, first, *inner), (*place, "vary", field), (*other, *inner) if other else ()]


def in_words(rule: str) -> str:
    """Return a rule in the words of the file."""
    for word, own in WORDS.items():
        rule = rule.replace(word, own)
    return rule


def said(error: HbsimError) -> str:
    """Return an error's text in the words of the file."""
    if not isinstance(error, ParameterError):
        return in_words(str(error))
    value = "" if error.value is None else f" = {error.value}"
    return in_words(f"{error.field}{value}: {error.rule}")


def meant_option(name: str, known: tuple[str, ...]) -> str:
    """Say which field was probably meant, as `nearest` does; papers' letters are known too."""
    alias = ALIASES.get(name)
    return f" Did you mean {alias!r}?" if alias in known else nearest(name, known)


def _as_given(value: object) -> str:
    """Return a value as the file has it, with 1.0 for 1.0: how it is written may be the fault."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_as_given, value))}]"
    return str(value) if isinstance(value, float) and value.is_integer() else shown(value)


def _at(content: Any, place: Place) -> Any:
    """Return what stands at a place, None if nothing does."""
    for part in place:
        entries = dict(enumerate(content)) if isinstance(content, list) else content
        if not isinstance(entries, dict) or part not in entries:
            return None
        content = entries[part]
    return content


def _brackets(content: Mapping[str, Any], place: Place, problem: str) -> tuple[Place, str] | None:
    """Say how to write a table that has one pair of brackets where it needs two, or the other way round."""
    top = place[:1]
    found = _at(content, top)
    if len(place) == 1 and top[0] in LISTS and isinstance(found, dict):
        return top, f"[{top[0]}] is a list of tables: write [[{top[0]}]]"
    is_list = isinstance(found, list) and all(isinstance(one, dict) for one in found)
    if len(place) == 1 and top[0] in TABLES and found and is_list:
        return top, f"[[{top[0]}]] is one table: write [{top[0]}]"
    return None


def _misspelt(content: Mapping[str, Any], place: Place, problem: str) -> tuple[Place, str] | None:
    """Say which field was probably meant by one that a table does not know, where it lacks another."""
    lacking = problem.removesuffix(" is missing").rpartition(".")[2]
    table = _at(content, place)
    if not problem.endswith(" is missing") or not isinstance(table, dict):
        return None
    known = fields_at(place)
    others = [name for name in table if name not in known and nearest(name, [lacking])]
    if not others:
        return None
    at = (*place, others[0])
    text = f"{dotted(at)} = {shown(table[others[0]])}: is no field here. Did you mean {lacking!r}?"
    return at, text


def _in_file(name: str, text: str, place: Place, problem: str) -> ParameterError:
    line = line_of(text, place) if place else None
    return ParameterError(FIELD, name, problem if line is None else f"line {line}: {problem}")
