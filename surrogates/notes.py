"""What a Parquet file says of itself, in its key-value metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from hbsim.core.space import Space
from hbsim.errors import ParameterError

__all__ = ["Notes", "read_notes"]

_TEXT: Final = ("metric", "mode", "test_metric")


@dataclass(frozen=True)
class Notes:
    """What is known before the columns are looked at; empty for a file that says nothing.

    Attributes
    ----------
    text : dict
        `metric`, `mode` and `test_metric`, as far as the file says them.
    resource : tuple of str
        The name of the column of levels, or nothing.
    hyperparameters : tuple of str
        The names of the columns that are hyperparameters, or nothing.
    space : Space or None
        The search space.
    """

    text: dict[str, str] = field(default_factory=dict)
    resource: tuple[str, ...] = ()
    hyperparameters: tuple[str, ...] = ()
    space: Space | None = None


def read_notes(pairs: Mapping[str, str]) -> Notes:
    """Return what a file's metadata say: the keys ``hbsim`` (JSON) and ``hbsim.metric`` and so on."""
    try:
        said = json.loads(pairs.get("hbsim", "{}"))
    except (ValueError, RecursionError):
        said = {}
    said = said if isinstance(said, dict) else {}
    said |= {name: pairs[f"hbsim.{name}"] for name in _TEXT if f"hbsim.{name}" in pairs}
    resource = said.get("resource")
    hyperparameters = said.get("hyperparameters")
    return Notes(
        text={name: said[name] for name in _TEXT if isinstance(said.get(name), str)},
        resource=(resource,) if isinstance(resource, str) else (),
        hyperparameters=tuple(map(str, hyperparameters)) if isinstance(hyperparameters, list) else (),
        space=_space(said.get("space")),
    )


def _space(data: object) -> Space | None:
    try:
        return Space.from_json(data) if isinstance(data, dict) else None
    except ParameterError:  # of a later release, say: rows do without
        return None
