"""What `validate` writes: the cluster, the figures, the tables and the pictures."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from hbsim.validation.document import as_dict, cluster_toml, markdown
from hbsim.validation.validate import Validation

__all__ = ["draw", "write"]


def write(validation: Validation, folder: Path, head: Mapping[str, object] | None = None) -> None:
    """Write the cluster, twice, and validation.json, validation.md and a timeline a run.

    Parameters
    ----------
    validation : Validation
        What was found.
    folder : path
        Where; it exists.
    head : mapping, optional
        What else is in validation.json: how it was made.
    """
    _write_json(folder / "cluster.json", validation.cluster())
    (folder / "cluster.toml").write_text(cluster_toml(validation), "utf-8")
    content = {"schema": 1, **(head or {}), **as_dict(validation)}
    _write_json(folder / "validation.json", content)
    (folder / "validation.md").write_text(markdown(validation), "utf-8")
    draw(validation, folder)


def draw(validation: Validation, folder: Path) -> list[Path]:
    """Draw the timelines: timeline.png of one run, timeline-NAME.png of several."""
    from hbsim.bench.chart_style import save
    from hbsim.validation.picture import timelines

    paths: list[Path] = []
    for place, part in enumerate(validation.runs):
        name = Path(part.run.name).name
        path = folder / ("timeline.png" if len(validation.runs) == 1 else f"timeline-{name}.png")
        if path in paths:  # two folders of the same name
            path = folder / f"timeline-{name}-{place}.png"
        save(timelines(part.run, part.calibrated), path)
        paths.append(path)
    return paths


def _write_json(path: Path, content: Mapping[str, object]) -> None:
    path.write_text(json.dumps(_plain(content), indent=2, allow_nan=False) + "\n", "utf-8")


def _plain(content: object) -> object:
    """Return the same with null for numbers that are not finite."""
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, Mapping):
        return {str(key): _plain(value) for key, value in content.items()}
    if isinstance(content, Sequence) and not isinstance(content, str):
        return [_plain(value) for value in content]
    return content
