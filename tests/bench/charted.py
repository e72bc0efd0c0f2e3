"""What a chart by Altair draws, for tests: its rows by kind of mark."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def parts(spec: dict[str, Any], data: dict[str, Any] | None = None) -> Iterator[dict[str, Any]]:
    """Yield the marks of a specification with their data."""
    mine = spec.get("data", data)
    if "mark" in spec:
        yield {**spec, "data": mine}
    for name in ("layer", "hconcat", "vconcat", "concat"):
        for one in spec.get(name, []):
            yield from parts(one, mine)
    if isinstance(spec.get("spec"), dict):
        yield from parts(spec["spec"], mine)


def marks(chart: Any, kind: str) -> list[dict[str, Any]]:
    """Return the marks of a kind: what they encode, and their rows."""
    spec = chart.to_dict()
    found = []
    for part in parts(spec):
        if part["mark"]["type"] == kind:
            data = part["data"]
            rows = data["values"] if "values" in data else spec["datasets"][data["name"]]
            found.append({**part, "rows": rows})
    return found


def column(mark: dict[str, Any], name: str) -> list[Any]:
    """Return a column of a mark's rows."""
    return [row[name] for row in mark["rows"]]
