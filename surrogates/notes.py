"""What a file of curves says of itself: Parquet in its metadata, others in a JSON file beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hbsim.core.space import Space
from hbsim.errors import ParameterError
from hbsim.surrogates.recorded import SAID

__all__ = ["Notes", "beside", "pairs_beside", "read_notes"]


@dataclass(frozen=True)
class Notes:
    """What is known before the columns are looked at; empty for a file that says nothing.

    Attributes
    ----------
    text : dict
        `metric`, `mode`, `test_metric` and `time`, as far as the file says them.
    resource : tuple of str
        The name of the column of levels, or nothing.
    hyperparameters : tuple of str
        The names of the columns that are hyperparameters, or nothing.
    metrics : tuple of str
        The names of the columns that are metrics, or nothing.
    space : Space or None
        The search space.
    """

    text: dict[str, str] = field(default_factory=dict)
    resource: tuple[str, ...] = ()
    hyperparameters: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    space: Space | None = None


def beside(path: Path) -> Path | None:
    """Return the file that says what is in a table of curves; None where the table says it itself."""
    return None if path.suffix == ".parquet" else path.with_name(f"{path.name}.json")


def pairs_beside(path: Path) -> dict[str, str]:
    """Return what a file beside a table says, in the form of a Parquet file's metadata."""
    other = beside(path)
    if other is None or not other.is_file():
        return {}
    return {"hbsim": other.read_text("utf-8", "replace")}


def read_notes(pairs: Mapping[str, str]) -> Notes:
    """Return what a file's metadata say: the keys ``hbsim`` (JSON) and ``hbsim.metric`` and so on."""
    try:
        said = json.loads(pairs.get("hbsim", "{}"))
    except (ValueError, RecursionError):
        said = {}
    said = said if isinstance(said, dict) else {}
    said |= {name: pairs[f"hbsim.{name}"] for name in SAID if f"hbsim.{name}" in pairs}
    resource = said.get("resource")
    return Notes(
        text={name: said[name] for name in SAID if isinstance(said.get(name), str)},
        resource=(resource,) if isinstance(resource, str) else (),
        hyperparameters=_names(said.get("hyperparameters")),
        metrics=_names(said.get("metrics")),
        space=_space(said.get("space")),
    )


def _names(data: object) -> tuple[str, ...]:
    return tuple(map(str, data)) if isinstance(data, list) else ()


def _space(data: object) -> Space | None:
    try:
        return Space.from_json(data) if isinstance(data, dict) else None
    except ParameterError:  # of a later release, say: rows do without
        return None
