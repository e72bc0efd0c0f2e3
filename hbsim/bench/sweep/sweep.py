"""A sweep: what its file says, and all its cells."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from hbsim.bench.searching import search_named
from hbsim.bench.sweep.grid import Grid, Task, make_grid
from hbsim.bench.sweep.source import Source, read_source
from hbsim.bench.sweep.study import FORMAT, Combination
from hbsim.bench.sweep.tables import PLANNED
from hbsim.bench.variants import Value

__all__ = ["Sweep", "read_sweep"]


@dataclass(frozen=True)
class Sweep:
    """Variants, learning curves, clusters, workers and seeds, checked.

    Attributes
    ----------
    source : Source
        The file.
    grid : Grid
        Its cells.
    """

    source: Source
    grid: Grid

    @property
    def title(self) -> str:
        """As the file has it, or the file's own name."""
        return self.source.table.title or os.path.basename(self.source.name).removesuffix(".toml")

    @cached_property
    def plan(self) -> pl.DataFrame:
        """A row a cell: key, variant, surrogate, cluster, workers, seed."""
        rows = [(s.key, s.of.variant.label, *s.of.task, s.seed) for s in self.grid.studies]
        return pl.DataFrame(rows, schema=PLANNED, orient="row")

    @cached_property
    def drawn(self) -> frozenset[str]:
        """The keys of the studies whose timelines are kept: of each variant and task the first seed."""
        first: dict[tuple[object, ...], str] = {}
        for study in self.grid.studies:
            first.setdefault((study.of.variant.label, *study.of.task), study.key)
        return frozenset(first.values())

    def manifest(self) -> dict[str, object]:
        """Return what a reader of the results needs beside them, plain JSON types; no clock."""
        combinations = list({id(study.of): study.of for study in self.grid.studies}.values())
        return {
            "schema": 1,
            "format": FORMAT,
            "title": self.title,
            "description": self.source.table.description.strip(),
            "file": os.path.basename(self.source.name),
            "target": self.source.table.target,
            "cells": len(self.grid.studies),
            "variants": self._variants(combinations),
            "tasks": [_task(task, combinations) for task in self.grid.tasks],
            "clusters": _clusters(combinations),
            "warnings": list(self.grid.warnings),
        }

    def _variants(self, combinations: list[Combination]) -> list[dict[str, object]]:
        """Return each variant with the options that it has in every task."""
        common: dict[str, dict[str, Value]] = {}
        for combination in combinations:
            found = search_named(combination.searcher, combination.search_options)
            options = {**combination.variant.options, **found}
            earlier = common.setdefault(combination.variant.label, options)
            kept = {name: value for name, value in earlier.items() if options.get(name) == value}
            common[combination.variant.label] = kept
        return [
            {
                "name": axis.name,
                "type": axis.type,
                "own": {**axis.own, **search_named(axis.searcher, axis.search_options)},
                "options": common[axis.name],
            }
            for axis in self.grid.variants
        ]


def _task(task: Task, combinations: list[Combination]) -> dict[str, object]:
    surrogate, levels = task.known.surrogate, task.levels
    return {
        "surrogate": task.surrogate,
        "cluster": task.cluster,
        "workers": task.workers,
        "group": task.group,
        "metric": surrogate.metric,
        "mode": surrogate.mode,
        "max_t": task.max_t,
        "max_time": task.max_time,
        "optimum": _known(levels.optimum),
        "guess": _known(levels.guess),
        "full_run": levels.full_run,
        "fingerprint": task.known.fingerprint,
        "rows": surrogate.rows,
        "notes": list(task.notes),
        "geometry": {
            one.variant.label: None if one.geometry is None else list(one.geometry)
            for one in combinations
            if one.task == task.key
        },
    }


def _clusters(combinations: list[Combination]) -> dict[str, object]:
    """Return the clusters by their names, without what differs between numbers of workers."""
    found: dict[str, object] = {}
    for combination in combinations:
        if combination.cluster_name not in found:
            content = combination.cluster.as_dict()
            del content["workers"]
            found[combination.cluster_name] = content
    return found


def _known(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None


def read_sweep(path: str | os.PathLike[str], data: str | os.PathLike[str] | None = None) -> Sweep:
    """Read a sweep's file, load its learning curves, and check every cell.

    Parameters
    ----------
    path : path
        A TOML file, as docs/reference/sweep.md says.
    data : path, optional
        The folder from which relative paths of learning curves start; by default the file's.

    Raises
    ------
    ParameterError
        Something in the file is wrong; names the line, the field, its value and the rule (field ``file``).
    """
    source = read_source(path, data)
    return Sweep(source, make_grid(source))
