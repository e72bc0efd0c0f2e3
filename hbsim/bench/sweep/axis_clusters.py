"""The clusters of a sweep, and with how many workers each is taken."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Any, Final

from hbsim.bench.sweep.axes import ClusterAxis, check_names
from hbsim.bench.sweep.schema import ClusterTable
from hbsim.bench.sweep.source import Source
from hbsim.errors import ParameterError
from hbsim.simulation import Cluster
from hbsim.simulation.cluster_schema import Place

__all__ = ["clusters"]

PLAIN: Final = "plain"  # the cluster of a file that names none
TABLE: Final = ("name", "cluster", "workers", "about")  # fields of the table that are none of `Cluster`


def clusters(source: Source) -> list[ClusterAxis]:
    """Return the clusters; without any in the file a plain one, where nothing costs time.

    Raises
    ------
    ParameterError
        A cluster cannot be made, or names come twice.
    """
    place: Place = ("workers",)
    sizes = _counts(source, place, source.table.workers)
    tables = source.table.clusters
    if not tables:
        return [ClusterAxis(PLAIN, _sized(source, (), Cluster(), sizes), ())]
    found = [_cluster(source, ("clusters", number), table, sizes) for number, table in enumerate(tables)]
    check_names(source, found)
    return found


def _cluster(source: Source, place: Place, table: ClusterTable, sizes: Sequence[int]) -> ClusterAxis:
    try:
        made = _made(source, table)
    except ParameterError as error:
        raise source.of(place, error) from None
    if table.workers is not None:
        sizes = _counts(source, (*place, "workers"), table.workers)
    elif made.names_workers or made.machines or made.trace or made.schedule:
        return ClusterAxis(table.name, ((made.workers, made),), place)  # it says how many itself
    return ClusterAxis(table.name, _sized(source, place, made, sizes), place)


def _made(source: Source, table: ClusterTable) -> Cluster:
    from hbsim.simulation.cluster_file import read
    from hbsim.simulation.machines import Machines

    fields: dict[str, Any] = table.model_dump(exclude_unset=True, exclude=set(TABLE))
    if isinstance(table.workers, int):
        fields["workers"] = table.workers
    elif isinstance(table.speed, list):
        fields["workers"] = len(table.speed)
    if "machines" in fields:
        fields["machines"] = [Machines(**kind) for kind in fields["machines"]]
    if "trace" in fields:
        fields["trace"] = os.path.join(source.folder, fields["trace"])
    if table.cluster is None:
        return Cluster(**fields)
    path = os.path.join(source.folder, table.cluster)
    return read(path if os.path.isfile(path) else table.cluster).make(fields)


def _sized(
    source: Source, place: Place, cluster: Cluster, sizes: Sequence[int]
) -> tuple[tuple[int, Cluster], ...]:
    try:
        return tuple((count, dataclasses.replace(cluster, workers=count)) for count in sizes)
    except ParameterError as error:
        raise source.of(place, error, {"workers": ("workers",)}) from None


def _counts(source: Source, place: Place, found: int | list[int]) -> tuple[int, ...]:
    counts = found if isinstance(found, list) else [found]
    if not counts or len(set(counts)) < len(counts) or min(counts) < 1:
        raise source.broken(place, "must be whole numbers of at least 1, each once", found)
    return tuple(counts)
