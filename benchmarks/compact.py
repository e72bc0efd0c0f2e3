"""JSON that people can look through: indented down to some depth, and a line each below it."""

from __future__ import annotations

import json

__all__ = ["compact_json"]


def compact_json(value: object, depth: int) -> str:
    """Return `value` as JSON, whose first `depth` levels are indented."""
    return _lines(value, depth, "\n") + "\n"


def _lines(value: object, depth: int, end: str) -> str:
    inner = end + " "
    if depth and isinstance(value, dict) and value:
        parts = (f"{json.dumps(key)}: {_lines(item, depth - 1, inner)}" for key, item in value.items())
        return "{" + inner + f",{inner}".join(parts) + end + "}"
    if depth and isinstance(value, list) and value:
        return "[" + inner + f",{inner}".join(_lines(item, depth - 1, inner) for item in value) + end + "]"
    return json.dumps(value, ensure_ascii=False)
