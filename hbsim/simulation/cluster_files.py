"""Clusters as TOML files: their form, reading and writing them, and the presets that ship with hbsim."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import Field, ValidationError, create_model

from hbsim.errors import ParameterError, nearest
from hbsim.options import Takes, declared
from hbsim.simulation.cluster import RENEWALS, Cluster, Machines
from hbsim.toml_files import Place, TomlTable, dotted, first_problem, parse_toml, read_text, shown, to_toml

SUFFIX: Final = ".toml"
FIELD: Final = "cluster"  # what errors name
WITH_NOTICE: Final = ("preempted_every", "schedule", "trace")  # absences that are announced


class About(TomlTable):
    """The table ``[about]``: what a cluster represents, and the source of its numbers."""

    description: str = ""
    source: list[str] = Field(default_factory=list)
    assumptions: list[str] = Field(default_factory=list)


if TYPE_CHECKING:

    class MachinesSchema(TomlTable):
        """A kind of machines; ``[[machines]]``."""

    class ClusterSchema(TomlTable):
        """The whole file: the parameters of `hbsim.Cluster` by their names, and `about`."""

        about: About
        speed: float | list[float]
else:
    TYPES: Final[dict[Takes, Any]] = {
        "number": float,
        "whole": int,
        "amount": float | str,
        "text": str,
        "flag": bool,
        "numbers": float | list[float],
        "steps": list[list[float]],
    }

    def _form(name: str, group: type, types: Mapping[Takes, Any], **others: Any) -> type[TomlTable]:
        """Return the form of a table whose fields are the options that a class declares."""
        form = dict(others)
        for each in declared(group).values():
            kind = types[each.takes]
            default = ... if each.default is MISSING else [] if each.default == () else each.default
            form[each.name] = (kind | None if default is None else kind, default)
        return create_model(name, __base__=TomlTable, **form)

    MachinesSchema = _form("MachinesSchema", Machines, TYPES)
    ClusterSchema = _form(
        "ClusterSchema", Cluster, {**TYPES, "tables": list[MachinesSchema]}, about=(About, About())
    )


def presets() -> list[str]:
    """Return the names of the clusters that ship with hbsim."""
    folder = files("hbsim.simulation") / "presets"
    return sorted(path.name.removesuffix(SUFFIX) for path in folder.iterdir() if path.name.endswith(SUFFIX))


@dataclass(frozen=True, slots=True)
class ClusterFile:
    """The content of a cluster's file.

    Attributes
    ----------
    source : str
        The file, or the preset's name.
    text : str
        All of it.
    about : About
        What it describes, and where its numbers come from.
    fields : dict
        The keyword arguments of `Cluster` that it sets.
    """

    source: str
    text: str
    about: About
    fields: Mapping[str, Any]

    def make(self, options: Mapping[str, Any] | None = None) -> Cluster:
        """Make the cluster.

        Parameters
        ----------
        options : mapping, optional
            Keyword arguments of `Cluster` in place of the file's; None for what the file sets, and this
            cluster has not.

        Raises
        ------
        ParameterError
            A parameter breaks its rule: one of `options` by its own name, one of the file as ``cluster``.
        """
        options = options or {}
        without = {RENEWALS.get(name) for name, value in options.items() if value is None}
        fields = {name: value for name, value in self.fields.items() if name not in without}
        merged = {**fields, **options}
        if not options.keys().isdisjoint(WITH_NOTICE) and not any(merged.get(name) for name in WITH_NOTICE):
            merged["notice"] = options.get("notice", 0.0)
        try:
            return Cluster(**merged)
        except ParameterError as error:
            if error.field in options:
                raise
            raise _broken(self.source, error.field, error) from None


def read(source: str | os.PathLike[str]) -> ClusterFile:
    """Read a cluster's file, and check it.

    Parameters
    ----------
    source : path or str
        A TOML file, or the name of one of `presets`. A file's `trace` is relative to its folder.

    Raises
    ------
    ParameterError
        It is neither, or cannot be used (field ``cluster``): says the file's field, its value and the rule.
    """
    if not isinstance(source, str | os.PathLike):
        raise ParameterError(FIELD, source, "must be the path of a TOML file, or the name of a preset")
    name = os.fspath(source)
    text = _text(name, is_path=not isinstance(source, str))
    content = parse_toml(FIELD, name, text)
    try:
        about = ClusterSchema.model_validate(content).about
    except ValidationError as error:
        raise ParameterError(FIELD, name, _problem(error, content)) from None
    fields = {field: value for field, value in content.items() if field != "about"}
    if "machines" in fields:
        fields["machines"] = [_machines(name, at, kind) for at, kind in enumerate(fields["machines"])]
    if "trace" in fields:
        fields["trace"] = os.path.join(os.path.dirname(name), fields["trace"])
    found = ClusterFile(name, text, about, fields)
    found.make()
    return found


def _text(name: str, is_path: bool) -> str:
    shipped = presets()
    if name in shipped and not is_path:
        return (files("hbsim.simulation") / "presets" / f"{name}{SUFFIX}").read_text("utf-8")
    if not (is_path or name.endswith(SUFFIX) or os.sep in name or os.path.isfile(name)):
        rule = f"is no preset, which are {', '.join(shipped)}; nor a {SUFFIX} file.{nearest(name, shipped)}"
        raise ParameterError(FIELD, name, rule)
    return read_text(FIELD, name)


def _problem(error: ValidationError, content: Mapping[str, object]) -> str:
    """Describe the first problem of a file in a line: field, value and rule."""
    place, text = first_problem(error, content, _fields_at)
    if place == ("machines",) and text.endswith("must be a list"):
        return f"{text}: a table [[machines]] for each kind"
    return text


def _fields_at(place: Place) -> list[str]:
    """Return the fields of the table at a place."""
    schema: type[TomlTable] = ClusterSchema
    if place:
        schema = About if place[0] == "about" else MachinesSchema
    return list(schema.model_fields)


def _machines(name: str, at: int, kind: dict[str, Any]) -> Machines:
    try:
        return Machines(**kind)
    except ParameterError as error:
        raise _broken(name, dotted(("machines", at, error.field)), error, f" ({kind['kind']})") from None


def _broken(name: str, field: str, error: ParameterError, end: str = "") -> ParameterError:
    """Return an error about a field of a file."""
    return ParameterError(FIELD, name, f"{field} = {shown(error.value)}: {error.rule}{end}")


def write(cluster: Cluster, path: str | os.PathLike[str]) -> None:
    """Write a cluster: the parameters that differ from their defaults.

    A `trace` that is a relative path is written relative to the file's folder.
    """
    plain = Cluster().as_dict()
    changed = {name: value for name, value in cluster.as_dict().items() if value != plain.get(name)}
    if cluster.machines or cluster.trace is not None:
        changed.pop("workers", None)  # they say how many
    source = changed.get("trace")
    if isinstance(source, str) and not os.path.isabs(source):
        changed["trace"] = os.path.relpath(source, Path(path).parent)
    Path(path).write_text(to_toml(changed), "utf-8")
