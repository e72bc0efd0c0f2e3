"""A cluster as the text of a TOML file, which `hbsim.Cluster.from_file` reads."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from hbsim.simulation.cluster import Cluster

__all__ = ["to_toml", "write"]


def write(cluster: Cluster, path: str | os.PathLike[str]) -> None:
    """Write a cluster: the parameters that differ from their defaults.

    A `trace` that is a relative path is written relative to the file's folder.
    """
    fields = cluster.as_dict()
    plain = Cluster().as_dict()
    changed = {name: value for name, value in fields.items() if value != plain[name]}
    if cluster.machines or cluster.trace is not None:
        changed.pop("workers", None)  # they say how many
    source = changed.get("trace")
    if isinstance(source, str) and not os.path.isabs(source):
        changed["trace"] = os.path.relpath(source, Path(path).parent)
    Path(path).write_text(to_toml(changed), "utf-8")


def to_toml(
    fields: Mapping[str, object], comments: Mapping[str, str] | None = None, head: Sequence[str] = ()
) -> str:
    """Return the text of a file.

    Parameters
    ----------
    fields : mapping
        As in `Cluster.as_dict`, all of them or some; None is left out.
    comments : mapping, optional
        A line above a field.
    head : sequence of str, optional
        Lines above everything.
    """
    comments = comments or {}
    lines = [f"# {line}" for line in head]
    if head:
        lines.append("")
    tables: list[Mapping[str, object]] = []  # the last: a table takes all that follows
    for name, value in fields.items():
        if name == "machines" and isinstance(value, list) and value:
            tables = value
        elif value is not None:
            lines += [f"# {comments[name]}"] if name in comments else []
            lines.append(f"{name} = {_value(value)}")
    for table in tables:
        lines += ["", "[[machines]]", *(f"{name} = {_value(value)}" for name, value in table.items())]
    return "\n".join(lines).lstrip("\n") + "\n"


def _value(value: object) -> str:
    """Return a value; JSON is written the same, but for one character."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False).replace("\x7f", "\\u007f")
