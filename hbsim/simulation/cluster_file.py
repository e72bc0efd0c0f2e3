"""Clusters as TOML files: those of users, and the presets that ship with hbsim."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from hbsim.errors import ParameterError, nearest
from hbsim.simulation.cluster import Cluster
from hbsim.simulation.machines import Machines

if TYPE_CHECKING:
    from hbsim.simulation.cluster_schema import About

__all__ = ["ClusterFile", "presets", "read"]

SUFFIX: Final = ".toml"
FIELD: Final = "cluster"  # what errors name
BACK: Final = {"mtbf": "mttr", "preempted_every": "preempted_for"}
NOTICED: Final = ("preempted_every", "schedule", "trace")  # who goes by these is told before


def presets() -> list[str]:
    """Return the names of the clusters that ship with hbsim."""
    folder = files("hbsim.simulation") / "presets"
    return sorted(path.name.removesuffix(SUFFIX) for path in folder.iterdir() if path.name.endswith(SUFFIX))


@dataclass(frozen=True, slots=True)
class ClusterFile:
    """What a file says.

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
        without = {BACK.get(name) for name, value in options.items() if value is None}
        fields = {name: value for name, value in self.fields.items() if name not in without}
        merged = {**fields, **options}
        if not options.keys().isdisjoint(NOTICED) and not any(merged.get(name) for name in NOTICED):
            merged["notice"] = options.get("notice", 0.0)
        try:
            return Cluster(**merged)
        except ParameterError as error:
            if error.field in options:
                raise
            raise _wrong(self.source, _stated(error.field, error)) from None


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
    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise _wrong(name, f"is no TOML: {_with_line(str(error), text)}") from None
    found = _parsed(name, text, content)
    found.make()
    return found


def _text(name: str, is_path: bool) -> str:
    shipped = presets()
    if name in shipped and not is_path:
        return (files("hbsim.simulation") / "presets" / f"{name}{SUFFIX}").read_text("utf-8")
    if not (is_path or name.endswith(SUFFIX) or os.sep in name or os.path.isfile(name)):
        rule = f"is no preset, which are {', '.join(shipped)}; nor a {SUFFIX} file.{nearest(name, shipped)}"
        raise ParameterError(FIELD, name, rule)
    try:
        with open(name, encoding="utf-8") as file:
            return file.read()
    except UnicodeDecodeError:
        raise _wrong(name, "is no TOML: it is not UTF-8") from None
    except OSError as error:
        raise _wrong(name, f"cannot be read: {error.strerror}") from None


def _with_line(message: str, text: str) -> str:
    lines = text.count("\n") + (not text.endswith("\n"))
    return message.replace("(at end of document)", f"(at the end, line {lines})")


def _parsed(name: str, text: str, content: dict[str, Any]) -> ClusterFile:
    from pydantic import ValidationError

    from hbsim.simulation.cluster_schema import ClusterSchema, problem

    try:
        about = ClusterSchema.model_validate(content).about
    except ValidationError as error:
        raise _wrong(name, problem(error, content)) from None
    fields = {field: value for field, value in content.items() if field != "about"}
    if "machines" in fields:
        fields["machines"] = [_machines(name, at, kind) for at, kind in enumerate(fields["machines"])]
    if "trace" in fields:
        fields["trace"] = os.path.join(os.path.dirname(name), fields["trace"])
    return ClusterFile(name, text, about, fields)


def _machines(name: str, at: int, kind: dict[str, Any]) -> Machines:
    try:
        return Machines(**kind)
    except ParameterError as error:
        raise _wrong(name, f"{_stated(f'machines.{at}.{error.field}', error)} ({kind['kind']})") from None


def _stated(field: str, error: ParameterError) -> str:
    from hbsim.simulation.cluster_schema import shown

    return f"{field} = {shown(error.value)}: {error.rule}"


def _wrong(name: str, problem: str) -> ParameterError:
    return ParameterError(FIELD, name, problem)
