"""A cluster as the text of a TOML file, which `hbsim.Cluster.from_file` reads."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from hbsim.simulation.cluster import Cluster

__all__ = ["to_toml", "write"]


def write(cluster: Cluster, path: str | os.PathLike[str]) -> None:
    """Write a cluster: the parameters that differ from their defaults.

    A `trace` that is a relative path is written relative to the file's folder.
    """
    fields = cluster.as_dict()
    plain = Cluster().as_dict()
    changed = {name: value for name, value in fields.items() if value != plain.get(name)}
    if cluster.machines or cluster.trace is not None:
        changed.pop("workers", None)  # they say how many
    source = changed.get("trace")
    if isinstance(source, str) and not os.path.isabs(source):
        changed["trace"] = os.path.relpath(source, Path(path).parent)
    Path(path).write_text(to_toml(changed), "utf-8")


def to_toml(fields: Mapping[str, object], comments: Mapping[str, str] | None = None) -> str:
    """Return the text of a file.

    Parameters
    ----------
    fields : mapping
        As in `Cluster.as_dict`, all of them or some, and `about`, a mapping. None is left out.
    comments : mapping, optional
        A line above a field.
    """
    comments = comments or {}
    lines: list[str] = []
    tables: list[str] = []  # the last: a table takes all that follows
    for name, value in fields.items():
        if isinstance(value, Mapping):
            tables += ["", f"[{name}]", *_lines(value)]
        elif name == "machines" and isinstance(value, list) and value:
            for kind in value:
                tables += ["", "[[machines]]", *_lines(kind)]
        elif value is not None:
            lines += [f"# {comments[name]}"] if name in comments else []
            lines += _lines({name: value})
    return "\n".join([*lines, *tables]).lstrip("\n") + "\n"


def _lines(fields: Mapping[str, object]) -> list[str]:
    """Return a line a field; JSON is written the same, but for one character."""
    values = {name: json.dumps(value, ensure_ascii=False, allow_nan=False) for name, value in fields.items()}
    return [f"{name} = {value}".replace("\x7f", "\\u007f") for name, value in values.items()]
