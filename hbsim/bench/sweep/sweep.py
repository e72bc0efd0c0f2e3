"""A sweep: what its file says, and all its cells."""

from __future__ import annotations

import os
from dataclasses import dataclass

import polars as pl

from hbsim.bench.sweep.grid import Grid, make_grid
from hbsim.bench.sweep.source import Source, read_source
from hbsim.bench.sweep.store import NAMES
from hbsim.bench.sweep.study import FORMAT

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

    @property
    def plan(self) -> pl.DataFrame:
        """A row a cell: key, variant, surrogate, cluster, workers, seed."""
        rows = [(s.key, s.of.variant.label, *s.of.task, s.seed) for s in self.grid.studies]
        return pl.DataFrame(
            rows,
            schema={
                "key": pl.String,
                **dict.fromkeys(NAMES[:3], pl.String),
                **dict.fromkeys(NAMES[3:], pl.Int64),
            },
            orient="row",
        )

    def manifest(self) -> dict[str, object]:
        """Return what a reader of the results needs beside them, plain JSON types; no clock."""
        return {
            "schema": 1,
            "format": FORMAT,
            "title": self.title,
            "description": self.source.table.description.strip(),
            "file": os.path.basename(self.source.name),
            "target": self.source.table.target,
            "cells": len(self.grid.studies),
            "variants": [self._variant(name) for name in self._names()],
            "tasks": [
                {
                    "surrogate": task.surrogate,
                    "cluster": task.cluster,
                    "workers": task.workers,
                    "group": task.group,
                    "metric": task.known.surrogate.metric,
                    "mode": task.known.surrogate.mode,
                    "max_t": task.max_t,
                    "max_time": task.max_time,
                    "optimum": task.levels.optimum,
                    "guess": task.levels.guess,
                    "full_run": task.levels.full_run,
                    "fingerprint": task.known.fingerprint,
                }
                for task in self.grid.tasks
            ],
            "clusters": self._clusters(),
            "warnings": list(self.grid.warnings),
        }

    def _names(self) -> list[str]:
        return [variant.name for variant in self.grid.variants]

    def _variant(self, name: str) -> dict[str, object]:
        """Return a variant with the options that it has in every task."""
        seen: dict[str, dict[str, object]] = {}
        for study in self.grid.studies:
            if study.of.variant.label == name:
                options = dict(study.of.variant.options)
                seen.setdefault(repr(options), options)  # type: ignore[arg-type]
        first, *others = seen.values()
        common = {k: v for k, v in first.items() if all(o.get(k) == v for o in others)}
        axis = next(variant for variant in self.grid.variants if variant.name == name)
        return {"name": name, "type": axis.type, "own": dict(axis.own), "options": common}

    def _clusters(self) -> dict[str, object]:
        """Return the clusters by their names, without what differs between numbers of workers."""
        found: dict[str, object] = {}
        for study in self.grid.studies:
            if study.of.cluster_name not in found:
                content = study.of.cluster.as_dict()
                del content["workers"]
                found[study.of.cluster_name] = content
        return found


def read_sweep(path: str | os.PathLike[str], data: str | os.PathLike[str] | None = None) -> Sweep:
    """Read a sweep's file, load its learning curves, and check every cell.

    Parameters
    ----------
    path : path
        A TOML file, as docs/sweep.md says.
    data : path, optional
        The folder from which relative paths of learning curves start; by default the file's.

    Raises
    ------
    ParameterError
        Something in the file is wrong; names the line, the field, its value and the rule (field ``file``).
    """
    source = read_source(path, data)
    return Sweep(source, make_grid(source))
