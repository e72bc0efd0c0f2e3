"""The specification of a sweep: its fields, and errors that name a line of the file, or an option."""

from __future__ import annotations

import copy
import os
import re
import tomllib
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, create_model

from hbsim.bench.sweep.curves import absolute_path, absolute_surrogate
from hbsim.bench.variants import Value
from hbsim.core.options import TYPES
from hbsim.errors import HbsimError, ParameterError, nearest
from hbsim.options import OTHER_WORDS, declared
from hbsim.simulation.cluster_files import About, MachinesSchema
from hbsim.simulation.cluster_files import ClusterSchema as ClusterFields
from hbsim.surrogates.options import SurrogateOptions
from hbsim.toml_files import Place, TomlTable, dotted, first_problem, parse_toml, read_text, shown, to_toml

Names: TypeAlias = str | list[str]
Numbers: TypeAlias = int | list[int]

DEFAULT_SEEDS: Final = 100
# Options that the sweep sets itself, the same for all variants of a task.
_OWN: Final = ("mode", "seed", "num_trials", "max_t")
# Options of schedulers; which type takes which is checked with the variant.
OPTIONS: Final = tuple(dict.fromkeys(name for names in TYPES.values() for name in names if name not in _OWN))
# Keywords of `hbsim.surrogates.load`, which say how files of learning curves are read.
LOADED: Final = tuple(declared(SurrogateOptions))
_TOML_TYPES: Final[Mapping[str, Any]] = {"number": float, "whole": int, "text": str, "texts": list[str]}


class _Open(BaseModel):
    """A table that takes options of schedulers too, under their names."""

    model_config = ConfigDict(extra="allow", strict=True)
    __pydantic_extra__: dict[str, Value]


class Seeds(TomlTable):
    """``seeds = {first = 100, count = 20}``."""

    first: int = 0
    count: int


def _kind(seeds: object) -> str:
    return "table" if isinstance(seeds, dict | Seeds) else "list" if isinstance(seeds, list) else "number"


AnySeeds: TypeAlias = Annotated[
    Annotated[int, Tag("number")] | Annotated[list[int], Tag("list")] | Annotated[Seeds, Tag("table")],
    Discriminator(_kind),
]


class SettingsTable(_Open):
    """Settings that studies share: ``[defaults]``, and ``set`` of an override."""

    num_trials: int | None = None
    max_t: float | None = None
    max_time: float | None = None
    max_full_runs: float | None = None
    replace: bool | None = None
    searcher: str | None = None
    search_options: dict[str, Any] | None = None


STUDY: Final = tuple(SettingsTable.model_fields)


class VariantTable(_Open):
    """A scheduler with its options, or several of them: ``[[variants]]``."""

    type: str
    name: str | None = None
    searcher: str | None = None
    search_options: dict[str, Any] = {}
    vary: dict[str, list[Value]] = {}


class SurrogateTable(SettingsTable):
    """Learning curves, and settings for them only: ``[[surrogates]]``."""

    surrogate: str
    name: str | None = None
    group: str | None = None


if TYPE_CHECKING:
    _Curves = SurrogateTable
else:  # with the declared keywords of `load`
    _Curves = create_model(
        "Curves",
        __base__=SurrogateTable,
        **{name: (_TOML_TYPES[one.takes] | None, None) for name, one in declared(SurrogateOptions).items()},
    )


class ClusterTable(ClusterFields):
    """A cluster: a file or preset, and fields that override it: ``[[clusters]]``."""

    name: str
    cluster: str | None = None
    workers: int | list[int] | None = None


class CellPattern(TomlTable):
    """A pattern of cells, with all their seeds: cells that match each field; ``where`` of an override."""

    variant: Names | None = None
    surrogate: Names | None = None
    cluster: Names | None = None
    workers: Numbers | None = None


class SeedPattern(CellPattern):
    """A pattern of cells that also selects seeds: ``[[include]]``, ``[[exclude]]``."""

    seed: Numbers | None = None


class Override(TomlTable):
    """Settings for some cells: ``[[override]]``."""

    where: CellPattern
    set: SettingsTable


class SweepTable(TomlTable):
    """The whole specification."""

    title: str = ""
    description: str = ""
    seeds: AnySeeds = DEFAULT_SEEDS
    workers: int | list[int] = 32
    target: float = 0.1
    halves: bool = True
    beyond: float = 1.0
    confirm: int | None = None
    defaults: SettingsTable = Field(default_factory=SettingsTable.model_construct)
    variants: list[VariantTable]
    surrogates: list[_Curves]
    clusters: list[ClusterTable] = Field(default_factory=list)
    include: list[SeedPattern] = Field(default_factory=list)
    exclude: list[SeedPattern] = Field(default_factory=list)
    override: list[Override] = Field(default_factory=list)


FIELD: Final = "file"  # the field of errors about a file
SPEC: Final = "spec"  # the field of errors about plain objects, where no option stands for the place
LISTS: Final = ("variants", "surrogates", "clusters", "include", "exclude", "override")
TABLES: Final[dict[str, type[BaseModel]]] = {
    "seeds": Seeds,
    "defaults": SettingsTable,
    "variants": VariantTable,
    "surrogates": _Curves,
    "clusters": ClusterTable,
    "include": SeedPattern,
    "exclude": SeedPattern,
    "override": Override,
    "where": CellPattern,
    "set": SettingsTable,
    "machines": MachinesSchema,
    "about": About,
}
# Rules in the words of Python, and the same in the words of the file.
WORDS: Final = {
    "give num_trials, max_time or max_reward": "give num_trials, max_time or max_full_runs",
    "replace=True": "replace = true",
    "True or False": "true or false",
}
PAPERS: Final = {"r": "grace_period", "R": "max_t"}  # letters of the papers
OptionPlaces: TypeAlias = Mapping[Place, tuple[str, object]]  # by place, an option's name and its given value


def fields_at(place: Place) -> list[str]:
    """Return the fields of the table at a place, by the innermost known name in the place."""
    names = [part for part in place if isinstance(part, str) and part in TABLES]
    model = TABLES[names[-1]] if names else SweepTable
    return [*model.model_fields, *(OPTIONS if issubclass(model, _Open) else ())]


def unknown_field(name: str, known: Iterable[str], rule: str = "is no field here") -> str:
    """Return the rule that an unknown name breaks, with the right name or the field probably meant."""
    known = list(known)
    called = {**OTHER_WORDS, **PAPERS}.get(name)
    return f"is called {called}" if called in known else f"{rule}.{nearest(name, known)}"


@dataclass(frozen=True)
class Specification:
    """A specification as the user gave it.

    Attributes
    ----------
    name : str
        The file; a name for people if there is none.
    content : mapping
        The content, as `tomllib` reads it.
    folder, data : str
        Where relative paths of clusters and of learning curves start.
    options : mapping or None
        The option for each place, which errors name; empty if there are none, and None for a file.
    file_text : str
        The file's text; empty if there is none.
    """

    name: str
    content: Mapping[str, Any]
    folder: str
    data: str
    options: OptionPlaces | None = None
    file_text: str = ""

    @cached_property
    def table(self) -> SweepTable:
        """The content as a typed table; the meaning of values is not checked yet.

        Raises
        ------
        ParameterError
            A field is unknown, missing or of another type.
        """
        try:
            return SweepTable.model_validate(self.content)
        except ValidationError as error:
            found = first_problem(error, self.content, fields_at)
        place, problem = self._brackets(found[0]) or self._misspelt(*found) or found
        if self.options:
            problem = problem.removeprefix(f"{dotted(place)} = ").partition(": ")[2] or problem
        raise self.error(place, problem)

    @cached_property
    def text(self) -> str:
        """The file's text; without a file, an equivalent TOML text with whole paths."""
        return self.file_text or to_toml(absolute(self.content, self.folder, self.data))

    def with_content(self, content: Mapping[str, Any]) -> Specification:
        """Return a specification with another content, whose paths are absolute, and without a file."""
        made = absolute(content, self.folder, self.data)
        return Specification(self.name, made, self.folder, self.data, options={})

    def value_at(self, place: Place) -> Any:
        """Return the value at a place, None if there is none."""
        return _value_at(self.content, place)

    # Errors

    def error(self, place: Place, problem: str) -> ParameterError:
        """Return an error about a place: it names the line of the file, or the option."""
        if self.options is not None:
            return ParameterError(*self._option(place)[1], problem)
        line = line_of(self.file_text, place)
        return ParameterError(FIELD, self.name, problem if line is None else f"line {line}: {problem}")

    def field_error(self, place: Place, rule: str, value: object = None) -> ParameterError:
        """Return an error about a field: its name, its value and the rule that it breaks.

        Parameters
        ----------
        place : sequence of str and int
            Where the field is, or would be.
        rule : str
            The rule that the field breaks.
        value : object, optional
            The value to show if the specification has no plain value there.
        """
        if self.options:
            is_part = place not in self.options or "vary" in place  # the part of the option's value
            return self.error(place, f"{place[-1]} {rule}" if is_part else rule)
        found = self.value_at(place)
        given = value if found is None or isinstance(found, dict) else found
        text = dotted(place) if given is None else f"{dotted(place)} = {_as_given(given)}"
        return self.error(place, f"{text}: {_in_file_words(rule)}")

    def field_warning(self, place: Place, rule: str) -> str:
        """Return the text of a warning about a field."""
        error = self.field_error(place, rule)
        return str(error) if self.options else error.rule

    def error_of(
        self, place: Place, error: HbsimError, places: Mapping[str, Place] | None = None, about: str = ""
    ) -> HbsimError:
        """Convert an error of an object made from a table into an error about that table.

        Parameters
        ----------
        place : sequence of str and int
            The table that the object was made from.
        error : HbsimError
            The error of the object.
        places : mapping, optional
            The places of fields that come from other tables.
        about : str
            The part of the table, where several objects are made from it.
        """
        end = f" ({about})" if about else ""
        if not isinstance(error, ParameterError):
            return error if self.options else self.error(place, f"{dotted(place)}: {error}{end}")
        first, *inner = error.field.split(".")  # search_options.points
        other = (places or {}).get(first)
        candidates = [(*place, first, *inner), (*place, "vary", error.field)]
        candidates += [(*other, *inner)] if other else []
        for at in candidates:
            given = self.value_at(at)
            if given is None:
                continue
            if self.options:
                return self._option_error(at, error)
            if isinstance(given, list) and error.value is not None:  # the wrong one of several values
                given = error.value
            return self.error(at, f"{dotted(at)} = {shown(given)}: {_in_file_words(error.rule)}{end}")
        if self.options:
            return error
        value = "" if error.value is None else f" = {shown(error.value)}"
        start = f"{dotted(place)}: " if place else ""
        return self.error(place, f"{start}{error.field}{value}: {_in_file_words(error.rule)}{end}")

    @contextmanager
    def errors_at(
        self, place: Place, places: Mapping[str, Place] | None = None, about: str = ""
    ) -> Iterator[None]:
        """Convert a ParameterError of the block as `error_of` does."""
        try:
            yield
        except ParameterError as error:
            raise self.error_of(place, error, places, about) from None

    def _option(self, place: Place) -> tuple[Place, tuple[str, object]]:
        """Return the nearest enclosing place that an option stands for, and that option."""
        options = self.options or {}
        around = (place[:depth] for depth in range(len(place), -1, -1))
        at = next((one for one in around if one in options), ())
        return at, options.get(at, (SPEC, None))

    def _option_error(self, at: Place, error: ParameterError) -> ParameterError:
        _, (field, value) = self._option(at)
        if "search_options" in at:
            return error  # the error's field names it already
        if at[-1] != field:
            return ParameterError(field, value, f"{at[-1]} {error.rule}")
        return ParameterError(field, value if error.value in (None, value) else error.value, error.rule)

    def _brackets(self, place: Place) -> tuple[Place, str] | None:
        """Advise where a table has one pair of brackets but needs two, or the other way round."""
        if len(place) != 1:
            return None
        name, found = place[0], self.value_at(place)
        if name in LISTS and isinstance(found, dict):
            return place, f"[{name}] is a list of tables: write [[{name}]]"
        is_list = isinstance(found, list) and all(isinstance(one, dict) for one in found)
        if name == "defaults" and found and is_list:
            return place, f"[[{name}]] is one table: write [{name}]"
        return None

    def _misspelt(self, place: Place, problem: str) -> tuple[Place, str] | None:
        """Suggest the field that was probably meant by an unknown one, where a required one is missing."""
        lacking = problem.removesuffix(" is missing").rpartition(".")[2]
        table = self.value_at(place)
        if not problem.endswith(" is missing") or not isinstance(table, dict):
            return None
        known = fields_at(place)
        for name, value in table.items():
            if name not in known and nearest(name, [lacking]):
                at = (*place, name)
                rule = f"is no field here. Did you mean {lacking!r}?"
                return at, f"{dotted(at)} = {shown(value)}: {rule}"
        return None


def read_specification(
    path: str | os.PathLike[str], data: str | os.PathLike[str] | None = None
) -> Specification:
    """Read a sweep's file.

    Raises
    ------
    ParameterError
        The file cannot be read or is no TOML (field ``file``), or `data` is no folder.
    """
    if data is not None and not os.path.isdir(data):
        raise ParameterError("data", os.fspath(data), "there is no such folder")
    name = os.fspath(path)
    text = read_text(FIELD, name)
    content = parse_toml(FIELD, name, text)
    folder = os.path.dirname(name)
    return Specification(name, content, folder, folder if data is None else os.fspath(data), file_text=text)


def make_specification(content: Mapping[str, Any], options: OptionPlaces) -> Specification:
    """Make a specification from plain objects; its relative paths start at the working directory.

    Parameters
    ----------
    content : mapping
        In the form of a sweep's file: plain objects.
    options : mapping
        The option that errors name, by place; empty: they name the place itself, as ``spec``.
    """
    folder = os.getcwd()
    return Specification("sweep.toml", content, folder, folder, options)


def absolute(content: Mapping[str, Any], folder: str, data: str) -> dict[str, Any]:
    """Return the content of a specification with absolute paths, which means the same in any folder.

    Parameters
    ----------
    content : mapping
        In the form of a sweep's file.
    folder, data : str
        The folders that relative paths of clusters and of learning curves start from.
    """
    made = copy.deepcopy(dict(content))
    for table in made.get("surrogates", []):
        text = absolute_surrogate(table["surrogate"], data)
        if text != table["surrogate"]:
            table.setdefault("name", table["surrogate"])
        table["surrogate"] = text
        if "yahpo_data" in table:
            table["yahpo_data"] = absolute_path(table["yahpo_data"], data)
    for table in made.get("clusters", []):
        for name in ("cluster", "trace"):
            if name in table and os.path.isfile(path := absolute_path(table[name], folder)):
                table[name] = path
    tables = [made.get("defaults", {}), *made.get("variants", []), *made.get("surrogates", [])]
    for table in [*tables, *(one.get("set", {}) for one in made.get("override", []))]:
        options = table.get("search_options") or {}
        if isinstance(options.get("constraints"), str):
            options["constraints"] = absolute_surrogate(options["constraints"], data)
    return made


def error_text(error: HbsimError) -> str:
    """Return an error's text in the words of the file."""
    if not isinstance(error, ParameterError):
        return _in_file_words(str(error))
    value = "" if error.value is None else f" = {error.value}"
    return _in_file_words(f"{error.field}{value}: {error.rule}")


def _in_file_words(rule: str) -> str:
    for word, own in WORDS.items():
        rule = rule.replace(word, own)
    return rule


def _as_given(value: object) -> str:
    """Return a value as the file has it, so that 1.0 is not shown as 1: its form may be the fault."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_as_given, value))}]"
    return str(value) if isinstance(value, float) and value.is_integer() else shown(value)


def _value_at(content: Any, place: Place) -> Any:
    for part in place:
        entries = dict(enumerate(content)) if isinstance(content, list) else content
        if not isinstance(entries, dict) or part not in entries:
            return None
        content = entries[part]
    return content


# The lines of values in TOML documents

# Strings and comments, in which brackets and line ends do not count.
_TOKENS: Final = re.compile(
    r"""
    \"{3} (?s: \\. | [^\\] )*? \"{3,5} | '{3} (?s:.)*? '{3,5} | " (?: \\. | [^"\\\n] )* " | '[^'\n]*'
  | \#[^\n]*
  | [\[\]{}\n]
    """,
    re.VERBOSE,
)


def line_of(text: str, place: Place) -> int | None:
    """Return the line at which a value stands, which `tomllib` does not say.

    That is the first line up to which the document, with its open brackets closed, has the value.

    Parameters
    ----------
    text : str
        A TOML document.
    place : sequence of str and int
        The path to the value: keys of tables, and indices of arrays, from 0.

    Returns
    -------
    int or None
        The line, from 1, at which the value begins; of a table, its first line. If there is no such value,
        the line of the nearest enclosing one; None if there is none.
    """
    ends = _line_ends(text)
    for depth in range(len(place), 0, -1):
        line = bisect_left(ends, True, key=partial(_has_value, text, place[:depth]))
        if line < len(ends):
            return line + 1
    return None


def _has_value(text: str, place: Place, end: tuple[int, str]) -> bool:
    """Return whether a value stands before the end of a line, as `_line_ends` has it."""
    length, closing = end
    return _value_at(tomllib.loads(text[:length] + closing), place) is not None


def _line_ends(text: str) -> list[tuple[int, str]]:
    """Return the end of each line, or of a string that continues beyond it, and the brackets open there."""
    ends, closing = [], ""
    for match in _TOKENS.finditer(f"{text}\n"):
        token = match[0]
        if token in ("[", "{"):
            closing = ("]" if token == "[" else "}") + closing
        elif token in ("]", "}"):
            closing = closing[1:]
        ends += [(match.end(), closing)] * token.count("\n")
    return ends
