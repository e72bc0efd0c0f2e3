"""The form of a cluster's TOML file; the rules of its numbers are those of `hbsim.Cluster`."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from pydantic import BaseModel, ConfigDict, ValidationError

from hbsim.errors import nearest
from hbsim.simulation.distribution_kinds import plain

__all__ = ["About", "ClusterSchema", "MachinesSchema", "Place", "first_problem", "problem", "shown"]

Place: TypeAlias = tuple[int | str, ...]
Amount: TypeAlias = float | str  # a number, or the text of a distribution

KINDS: Final = {
    "bool_type": "true or false",
    "float_type": "a number",
    "int_type": "a whole number",
    "list_type": "a list",
    "model_type": "a table",
    "string_type": "a text",
}


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class About(_Table):
    """What a cluster stands for, and where its numbers come from; ``[about]``."""

    description: str = ""
    source: list[str] = []
    assumptions: list[str] = []


class MachinesSchema(_Table):
    """A kind of machines; ``[[machines]]``."""

    kind: str
    count: int
    gpus: int = 1
    speed: float = 1.0
    price: float = 0.0


class ClusterSchema(_Table):
    """The whole file: `hbsim.Cluster`'s parameters by their names, and `about`."""

    about: About = About()
    workers: int | None = None
    speed: float | list[float] = 1.0
    startup: Amount = 0.0
    report_delay: Amount = 0.0
    decision_delay: Amount = 0.0
    suggest_delay: float = 0.0
    save: float = 0.0
    load: float = 0.0
    straggler_std: float = 0.0
    drop_rate: float = 0.0
    resume: bool = True
    report: str = "blocking"
    mtbf: Amount | None = None
    mttr: Amount = 0.0
    preempted_every: Amount | None = None
    preempted_for: Amount = 0.0
    notice: float = 0.0
    schedule: list[list[float]] = []
    trace: str | None = None
    retry_from: str = "milestone"
    checkpoint_size: Amount = 0.0
    save_bandwidth: float | None = None
    load_bandwidth: float | None = None
    store_bandwidth: float | None = None
    machines: list[MachinesSchema] = []
    gpus_per_trial: float = 1.0
    slowdown: float = 1.0
    price: float = 0.0


def problem(error: ValidationError, content: Mapping[str, object]) -> str:
    """Return what is wrong with a cluster's file, in a line: field, value and rule."""
    place, text = first_problem(error, content, _names)
    lists = {("machines",): "a list: a table [[machines]] for each kind"}
    if place in lists and text.endswith("must be a list"):
        return text.removesuffix("a list") + lists[place]
    return text


def first_problem(
    error: ValidationError, content: Mapping[str, object], names: Callable[[Place], list[str]]
) -> tuple[Place, str]:
    """Return where a file's content is wrong, and how, in a line: field, value and rule.

    A field that is unknown comes first: it is why another one is missing.

    Parameters
    ----------
    error : ValidationError
        What pydantic found.
    content : mapping
        The file's.
    names : callable
        Returns the fields of the table at a place.
    """
    errors = error.errors(include_url=False)
    errors.sort(key=lambda one: one["type"] != "extra_forbidden")
    first = errors[0]
    place, value = _found(first["loc"], content)
    if first["type"] == "missing":
        return place, f"{_dotted((*place, first['loc'][-1]))} is missing"
    if first["type"] == "extra_forbidden":
        near = nearest(str(place[-1]), names(place[:-1]))
        return place, f"{_dotted(place)} = {shown(value)}: is no field here.{near}"
    kinds = [KINDS.get(one["type"]) for one in errors if _found(one["loc"], content)[0] == place]
    wanted = " or ".join(dict.fromkeys(kind for kind in kinds if kind)) or "of another type"
    given = str(value) if isinstance(value, float) and math.isfinite(value) else shown(value)  # 10.0 as such
    return place, f"{_dotted(place)} = {given}: must be {wanted}"


def shown(value: object) -> str:
    """Return a value about as the file has it."""
    if isinstance(value, float):
        return plain(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(shown, value))}]"
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        return str(value)


def _found(loc: Place, content: object) -> tuple[Place, object]:
    """Return the part of an error's place that is in the file, and the value there.

    The rest of it names a member of a union, or what is missing.
    """
    for count, part in enumerate(loc):
        entries = dict(enumerate(content)) if isinstance(content, list) else content
        if not isinstance(entries, Mapping) or part not in entries:
            return loc[:count], content
        content = entries[part]
    return loc, content


def _names(table: Place) -> list[str]:
    """Return the fields of the table at a place."""
    schema: type[BaseModel] = ClusterSchema
    if table:
        schema = About if table[0] == "about" else MachinesSchema
    return list(schema.model_fields)


def _dotted(place: Place) -> str:
    return ".".join(map(str, place))
