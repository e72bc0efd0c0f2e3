"""A plan: what a specification says, all its cells, and the studies that confirm a choice."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import polars as pl

from hbsim.bench.searching import search_named
from hbsim.bench.sweep.grid import Grid, Task, make_grid
from hbsim.bench.sweep.source import Options, Source, make_source, read_source
from hbsim.bench.sweep.study import FORMAT, Combination
from hbsim.bench.sweep.tables import PLANNED
from hbsim.bench.variants import Value
from hbsim.errors import ParameterError

if TYPE_CHECKING:
    from hbsim.simulation import Cluster

__all__ = ["Plan", "cluster_table", "make_plan", "read_sweep"]


@dataclass(frozen=True)
class Plan:
    """Variants, learning curves, clusters, workers and seeds, checked.

    Attributes
    ----------
    source : Source
        The specification.
    grid : Grid
        Its cells.
    confirms : str
        Of studies on fresh seeds the digest of the plan whose results they confirm; else empty.
    """

    source: Source
    grid: Grid
    confirms: str = ""

    @property
    def title(self) -> str:
        """As the specification has it, or the file's own name."""
        return self.source.table.title or os.path.basename(self.source.name).removesuffix(".toml")

    @cached_property
    def cells(self) -> pl.DataFrame:
        """A row a cell: key, variant, surrogate, cluster, workers, seed, split, part."""
        rows = [
            (s.key, s.of.variant.label, *s.of.task, s.seed, *(s.half or (None, None)))
            for s in self.grid.studies
        ]
        return pl.DataFrame(rows, schema=PLANNED, orient="row")

    @cached_property
    def drawn(self) -> frozenset[str]:
        """The keys of the studies whose timelines are kept: of each variant and task the first seed."""
        first: dict[tuple[object, ...], str] = {}
        for study in self.grid.studies:
            first.setdefault((study.of.variant.label, *study.of.task), study.key)
        return frozenset(first.values())

    def confirming(self, chosen: Mapping[tuple[str, str, int], Sequence[str]], count: int, of: str) -> Plan:
        """Return a plan of studies with fresh seeds, those after the last, for some of the variants.

        Parameters
        ----------
        chosen : mapping
            The variants, by tasks: (surrogate, cluster, workers).
        count : int
            How many seeds; at least 1.
        of : str
            The digest of this plan.
        """
        names = {axis.name: list(axis.names) for axis in self.grid.variants}
        include = [
            {
                "variant": [name for label in labels for name in names[label]],
                **dict(zip(("surrogate", "cluster", "workers"), task, strict=True)),
            }
            for task, labels in chosen.items()
        ]
        first = 1 + max(study.seed for study in self.grid.studies)
        content = {
            name: value for name, value in self.source.content.items() if name not in ("exclude", "confirm")
        }
        content |= {"seeds": {"first": first, "count": count}, "include": include}
        source = self.source.changed(content)
        return Plan(source, make_grid(source), of)

    def manifest(self) -> dict[str, object]:
        """Return what a reader of the results needs beside them, plain JSON types; no clock."""
        combinations = list({id(study.of): study.of for study in self.grid.studies}.values())
        table = self.source.table
        return {
            "schema": 1,
            "format": FORMAT,
            "title": self.title,
            "description": table.description.strip(),
            "file": os.path.basename(self.source.name),
            "target": table.target,
            "beyond": table.beyond,
            "confirms": self.confirms,
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
                "names": list(axis.names),
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
        "halves": task.has_halves,
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


def read_sweep(path: str | os.PathLike[str], data: str | os.PathLike[str] | None = None) -> Plan:
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
    return Plan(source, make_grid(source))


def make_plan(content: Mapping[str, Any], options: Options | None = None) -> Plan:
    """Check a specification that is no file, as `read_sweep` does.

    Parameters
    ----------
    content : mapping
        In the form of the file: plain objects. Relative paths start where this process is.
    options : mapping, optional
        The options that places stand for, which errors name.

    Raises
    ------
    ParameterError
        Something is wrong: names the option, or the place in `content` (field ``spec``).
    """
    source = make_source(content, options or {})
    return Plan(source, make_grid(source))


def cluster_table(cluster: Cluster) -> dict[str, object]:
    """Return a cluster as a table of a specification has it, what is as it is by default left out.

    Raises
    ------
    ParameterError
        It has a trace that was read from no file.
    """
    from hbsim.simulation import Cluster

    usual, content = Cluster().as_dict(), cluster.as_dict()
    table = {name: value for name, value in content.items() if usual.get(name) != value}
    trace = table.get("trace")
    if trace is not None and not os.path.isfile(str(trace)):
        raise ParameterError("cluster", str(trace), "its trace must be a file")
    if not cluster.names_workers or cluster.machines or trace is not None:
        table.pop("workers", None)  # it says how many itself
    if isinstance(trace, str):
        table["trace"] = os.path.abspath(trace)
    return {"name": "cluster" if table.keys() - {"workers"} else "plain", **table}
