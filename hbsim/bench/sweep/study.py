"""One study of a sweep: what it is, and its key, a hash of all that its outcome depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from hbsim.bench.sweep.curves import HalfOf, half_of, load_curves
from hbsim.bench.variants import Variant
from hbsim.core.types import Mode
from hbsim.searchers.task import split_constraint
from hbsim.simulation import Cluster, Result
from hbsim.simulation.trace import Trace
from hbsim.study.simulate import simulate

__all__ = ["FORMAT", "Combination", "Study"]

FORMAT: Final = 2  # of what is kept of a study: another one does not mix with it
DIGITS: Final = 32  # of the hash
SEARCHER: Final = "random"  # where none is named


@dataclass(frozen=True)
class Combination:
    """A variant on learning curves and a cluster, with all seeds.

    Attributes
    ----------
    variant : Variant
        Its `label` is its name; `max_t` and `num_trials` are among its shared options.
    surrogate, cluster_name : str
        Names in the specification.
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
    has_halves : bool
        Whether each study sees one half of the rows only, which its seed says.
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
    has_halves: bool = False

    @property
    def task(self) -> tuple[str, str, int]:
        """What variants are compared on: surrogate, cluster, workers."""
        return self.surrogate, self.cluster_name, self.cluster.workers

    def with_seed(self, seed: int) -> Study:
        """Return the study with a seed."""
        half = half_of(seed) if self.has_halves else None
        text = f"{self._digest}:{seed}" + ("" if half is None else f":half={half[0]},{half[1]}")
        return Study(self, seed, hashlib.sha256(text.encode()).hexdigest()[:DIGITS], half)

    @cached_property
    def _digest(self) -> str:
        """The hash of all that an outcome depends on, but the seed; names are not part of it."""
        scheduler = self.variant.checked(self.mode, 0).as_dict()
        del scheduler["seed"]  # is the study's
        if self.geometry is not None:
            scheduler["brackets"] = self.geometry[0]  # those that fit: more of them are the same study
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
    half : (int, int) or None
        Split and part of the rows that it sees, as the wrapper ``half=SPLIT,PART`` has them; None: all.
    """

    of: Combination
    seed: int
    key: str
    half: HalfOf = None

    def run(self) -> Result:
        """Simulate it, on curves that each process loads once.

        Raises
        ------
        SurrogateError
            They are not those that were checked.
        """
        c = self.of
        surrogate = load_curves(c.load, c.fingerprint, self.half)
        return simulate(
            c.variant.make(surrogate.mode, self.seed),
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
