"""What a sweep's folder holds, for those who read it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import polars as pl

from hbsim.bench.sweep.folder import CONFIRM, MANIFEST, SPEC, read_manifest, read_plan
from hbsim.bench.sweep.scored import Budget, Scale, Steps, TaskKey, budgets, scales, steps
from hbsim.bench.sweep.store import Store, sources
from hbsim.bench.sweep.tables import DONE, KEY, MAIN, NAMES
from hbsim.errors import HbsimWarning, OutputError

__all__ = ["SweepResults", "read_results"]

PAUSE: Final = 0.2  # seconds, for a sweep that is moving its files


@dataclass(frozen=True)
class SweepResults:
    """The results of a sweep, finished or not.

    Attributes
    ----------
    manifest : mapping
        What the sweep wrote about itself.
    spec : str
        Its file.
    cells : polars.DataFrame
        A row a cell, in the sweep's order: key, variant, surrogate, cluster, workers, seed, status ("done",
        "failed", or null: not run), error, then numbers, null where there are none.
    tables : mapping
        Frames by name: incumbents, rungs, brackets, timelines, timings; `key` says of which study.
    confirm : SweepResults or None
        Of the variants that led, on fresh seeds: what confirms the choice, or does not.
    """

    manifest: Mapping[str, Any]
    spec: str
    cells: pl.DataFrame
    tables: Mapping[str, pl.DataFrame]
    confirm: SweepResults | None = None

    @cached_property
    def done(self) -> pl.DataFrame:
        """The cells with a result."""
        return self.cells.filter(pl.col("status") == DONE)

    @cached_property
    def scales(self) -> dict[TaskKey, Scale]:
        """What scores are held against, of each task."""
        return scales(self.manifest, self.done, self.tables["incumbents"])

    @cached_property
    def budgets(self) -> dict[TaskKey, Budget]:
        """Where the variants of each task are scored."""
        return budgets(self.manifest, self.done)

    @cached_property
    def steps(self) -> dict[str, Steps]:
        """The incumbents of each study that has any, by its key."""
        return steps(self.tables["incumbents"])

    def rows(self, table: str) -> pl.DataFrame:
        """Return a table with the names of the cells that its rows are of."""
        names = self.done.select(KEY, *NAMES)
        return names.join(self.tables[table], on=KEY, how="inner", maintain_order="left_right")


def read_results(folder: Path) -> SweepResults:
    """Read a sweep's folder, also of one that is running or was interrupted.

    Warns
    -----
    HbsimWarning
        What the results do without is missing or damaged.

    Raises
    ------
    OutputError
        It is none, of another version, damaged, or empty.
    """
    before = sources(folder) if folder.is_dir() else []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", HbsimWarning)
            found = _read(folder)
        if sources(folder) == before:
            return found
    except (OutputError, HbsimWarning):
        time.sleep(PAUSE)
    return _read(folder)  # the sweep may have been moving its files


def _read(folder: Path) -> SweepResults:
    manifest = read_manifest(folder)
    plan = read_plan(folder, manifest)
    store = Store(folder)
    if not store.status:
        raise OutputError(str(folder), "has no result yet: hbsim sweep has not finished a cell there")
    tables = store.tables(plan[KEY])
    cells = plan.join(tables.pop(MAIN), on=KEY, how="left", maintain_order="left")
    try:
        spec = (folder / SPEC).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OutputError(str(folder / SPEC), f"cannot be read: {error}") from error
    return SweepResults(manifest, spec, cells, tables, _confirming(folder, manifest["plan"]))


def _confirming(folder: Path, plan: str) -> SweepResults | None:
    """Read the studies on fresh seeds, if there are any for the choice that was made of these results."""
    inner = folder / CONFIRM
    if not (inner / MANIFEST).is_file() or read_manifest(inner)["confirms"] != plan:
        return None
    try:
        return _read(inner)
    except OutputError:  # none is finished yet
        return None
