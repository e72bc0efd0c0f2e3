"""What the pages of results share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["machine_lines", "table"]


def machine_lines(machine: dict[str, Any], load: float) -> list[str]:
    """Return what it was measured on."""
    hardware = f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB"
    names = [name for name in machine if name not in ("processor", "cores", "memory_gb", "system")]
    versions = ", ".join(f"{name} {machine[name]}" for name in names)
    return [
        f"- {hardware}; {machine['system']}",
        f"- {versions}",
        f"- load average at the start: {load:.1f}; a busy machine is slower, ratios hold better than seconds",
    ]


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a table, Markdown."""
    lines = [list(head), *([str(cell) for cell in row] for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
