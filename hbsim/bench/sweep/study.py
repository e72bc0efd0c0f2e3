"""One study of a sweep: what it is, and its name, a hash of all that its outcome depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from hbsim.bench.variants import Variant
from hbsim.core.types import Mode
from hbsim.searchers.constraint import split_constraint
from hbsim.simulation import Cluster, Result
from hbsim.simulation.trace import Trace
from hbsim.study import simulate
from hbsim.surrogates import Surrogate

__all__ = ["FORMAT", "Combination", "Study"]

FORMAT: Final = 1  # of what is kept of a study: another one does not mix with it
DIGITS: Final = 32  # of the hash
SEARCHER: Final = "random"  # where none is named


@dataclass(frozen=True)
class Combination:
    """A variant on learning curves and a cluster, with all seeds.

    Attributes
    ----------
    variant : Variant
        Its `label` is its name in the file; `max_t` and `num_trials` are among its shared options.
    surrogate, cluster_name : str
        Names in the file.
    load : mapping
        Keywords of `hbsim.surrogates.load`.
    mode : "max" or "min"
        The surrogate's.
    fingerprint : str
        Of the surrogate's content.
    cluster : Cluster
        With its number of workers.
    max_time : float or None
        Simulated seconds at which studies are cut.
    is_replacing : bool
        Whether rows of a table may come again.
    searcher : str or None
        Who chooses configurations.
    search_options : mapping
        Its options, with whole paths.
    geometry : (int, float) or None
        The brackets that there are, those that do not fit aside, and the reduction factor; of types that
        take `brackets`.
    """

    variant: Variant
    surrogate: str
    cluster_name: str
    load: Mapping[str, Any]
    mode: Mode
    fingerprint: str
    cluster: Cluster
    max_time: float | None
    is_replacing: bool
    searcher: str | None
    geometry: tuple[int, float] | None = None
    search_options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def workers(self) -> int:
        """How many workers the cluster has."""
        return self.cluster.workers

    @property
    def task(self) -> tuple[str, str, int]:
        """What variants are compared on: surrogate, cluster, workers."""
        return self.surrogate, self.cluster_name, self.workers

    def with_seed(self, seed: int) -> Study:
        """Return the study with a seed."""
        text = f"{self._digest}:{seed}"
        return Study(self, seed, hashlib.sha256(text.encode()).hexdigest()[:DIGITS])

    @cached_property
    def _digest(self) -> str:
        """The hash of all that an outcome depends on, but the seed; names are not part of it."""
        scheduler = self.variant.checked(self.mode, 0).as_dict()
        del scheduler["seed"]  # is the study's
        inputs = {
            "format": FORMAT,
            "scheduler": scheduler,
            "surrogate": self.fingerprint,
            "cluster": _content(self.cluster),
            "max_time": self.max_time,
            "replace": self.is_replacing,
            "searcher": self.searcher or SEARCHER,
        }
        if self.search_options:  # without any the hash is what it was before there were some
            inputs["search_options"] = _searched(self.search_options)
        text = json.dumps(_plain(inputs), sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Study:
    """A combination with a seed: a cell of the sweep.

    Attributes
    ----------
    of : Combination
        All but the seed.
    seed : int
        Of the study and of its scheduler.
    key : str
        The hash of all that the outcome depends on; names are not part of it.
    """

    of: Combination
    seed: int
    key: str

    def run(self, surrogate: Surrogate) -> Result:
        """Simulate it."""
        c = self.of
        scheduler = c.variant.make(surrogate.mode, self.seed)
        return simulate(
            scheduler,
            surrogate,
            seed=self.seed,
            cluster=c.cluster,
            searcher=c.searcher,
            max_time=c.max_time,
            replace=c.is_replacing,
            search_options=c.search_options,
        )


def _searched(options: Mapping[str, Any]) -> dict[str, object]:
    """Return the options of a searcher; a constraint as its name and its file's content."""
    if "constraints" not in options:
        return dict(options)
    file, name = split_constraint(options["constraints"])
    content = hashlib.sha256(file.read_bytes()).hexdigest()
    return {**options, "constraints": f"{name} of {content}"}


def _content(cluster: Cluster) -> dict[str, object]:
    """Return what a cluster is: of a recorded one what was read, and no names."""
    content = cluster.as_dict()
    if isinstance(cluster.trace, Trace):
        content["trace"] = [
            [[float(a.start), str(float(a.end)), a.preempted, float(a.notice)] for a in worker]
            for worker in cluster.trace.absences
        ]
    return content


def _plain(value: object) -> object:
    """Return the same with 3 for 3.0: a number counts, not how it was written."""
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
