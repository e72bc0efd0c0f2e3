"""A study of the classes on a simulated cluster."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from hbsim.autotorch.local import check_named, queued
from hbsim.autotorch.setting import Setting
from hbsim.core.space import Space
from hbsim.errors import HbsimWarning, ParameterError
from hbsim.executors.slots import read_resource
from hbsim.searchers import SearchTask
from hbsim.simulation import Cluster, Result
from hbsim.study.simulate import simulate
from hbsim.surrogates import Surrogate, check_levels, load

if TYPE_CHECKING:
    import polars as pl

    from hbsim.autotorch.place import Place
    from hbsim.core.scheduler import Scheduler

__all__ = ["SimulatedStudy"]


class SimulatedStudy:
    """Runs `hbsim.simulate`.

    Attributes
    ----------
    space : Space or None
        Of the surrogate; None where its configurations are rows of a table.
    surrogate : str
        Its name.
    """

    def __init__(self, setting: Setting, surrogate: object, cluster: Cluster | None) -> None:
        self._setting = setting
        self._cluster = cluster
        self._curves: Surrogate = load(surrogate)
        self.surrogate: str | None = self._curves.name
        self.space: Space | None = self._curves.space if self._curves.rows is None else None
        if cluster is not None and not isinstance(cluster, Cluster):
            raise ParameterError("cluster", cluster, "must be an hbsim.Cluster")
        read_resource(setting.resource)
        self._check()

    def _check(self) -> None:
        curves, setting = self._curves, self._setting
        if curves.mode != setting.mode:
            rule = f"the surrogate {curves.name} decides on {curves.metric}, mode={curves.mode!r}"
            raise ParameterError("mode", setting.mode, rule)
        check_levels(curves, self._fresh().levels)
        self._check_rows()
        self._check_workers()
        check_named(setting, self._task())

    def _task(self) -> SearchTask:
        curves, setting = self._curves, self._setting
        named = setting.searcher not in (None, "random") or setting.search_options
        points = getattr(curves, "points", None) if curves.rows is not None and named else None
        max_t = self._fresh().options.max_t
        return SearchTask(curves.space, setting.seed, curves.rows, points, mode=setting.mode, max_t=max_t)

    def _check_rows(self) -> None:
        rows, trials = self._curves.rows, self._setting.num_trials
        if rows is not None and trials is not None and trials > rows:
            rule = f"the table {self.surrogate} has {rows} rows, one for each trial"
            raise ParameterError("num_trials", trials, rule)

    def _check_workers(self) -> None:
        workers, cluster = self._setting.workers, self._cluster
        if workers is not None:
            Cluster(workers=workers)
        if (
            workers is not None
            and cluster is not None
            and cluster.names_workers
            and workers != cluster.workers
        ):
            rule = f"the cluster has workers={cluster.workers}; say how many in one place"
            raise ParameterError("workers", workers, rule)

    def fresh(self) -> Scheduler:
        """Return a new core scheduler."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", HbsimWarning)  # said when the object was made
            return self._fresh()

    def _fresh(self) -> Scheduler:
        if self._setting.type != "fifo":
            return self._setting.make_scheduler()
        return self._setting.make_scheduler(max_t=self._curves.max_resource, resource_type="float")

    def run(
        self, points: Sequence[Sequence[float]], place: Place, resume: bool, time_out: float | None
    ) -> Result:
        """Simulate the study, always from its beginning; nothing is written."""
        setting, scheduler = self._setting, self.fresh()
        return simulate(
            scheduler,
            self._curves,
            workers=setting.workers,
            seed=setting.seed,
            cluster=self._cluster,
            **queued(setting, points, self._task()),
            max_time=setting.time_out,
            max_reward=setting.max_reward,
        )

    def load(self, place: Place) -> None:
        """Return None: a simulation leaves nothing in its folder, and takes moments."""

    def configuration(self, result: Result, trial: int) -> dict[str, object]:
        """Return a trial's configuration: by the names of the surrogate, where it has any."""
        configuration = result.curves.configurations()[trial]
        if self.space is not None:
            return self.space.mapping(np.asarray(configuration, dtype=np.float64))
        if self._curves.rows is None:
            return {f"x{i}": float(value) for i, value in enumerate(configuration)}
        named = getattr(self._curves, "configurations", None)
        row = int(configuration)
        if named is None or not len(named.columns):
            return {"row": row}
        return _active(named.row(row, named=True), getattr(self._curves, "space", None))

    def reports(self, result: Result) -> pl.DataFrame:
        """Return columns trial, resource, value, a row a unit of training."""
        return result.epochs().select("trial", "resource", "value")


def _active(row: Mapping[str, object], space: Space | None) -> dict[str, object]:
    """Return what a table says of a row, without what is not active."""
    found: dict[str, object] = {}
    for name, value in row.items():
        if space is None or name not in space or space.is_active(name, found):
            found[name] = value
    return found
