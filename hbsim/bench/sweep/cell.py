"""One cell of a sweep: its study, the key that hashes all its inputs, and the rows that are kept of it."""

from __future__ import annotations

import hashlib
import json
import math
import time
import traceback
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np
import polars as pl

from hbsim.bench.diagnosis import diagnose, timeline
from hbsim.bench.sweep.curves import HalfOf, half_of, load_curves
from hbsim.bench.sweep.specification import error_text
from hbsim.bench.sweep.store import (
    COUNTS,
    DONE,
    FAILED,
    KEY,
    MAIN,
    PARTS,
    SHARES,
    SUMMARY,
    TABLES,
    Frames,
    empty,
)
from hbsim.bench.variants import Variant
from hbsim.core.types import Mode
from hbsim.errors import HbsimError, HbsimWarning
from hbsim.searchers.task import split_constraint
from hbsim.simulation import Cluster, Result
from hbsim.simulation.trace import Trace
from hbsim.study.simulate import simulate
from hbsim.surrogates.protocol import Floats, Ints
from hbsim.surrogates.user import placeless

FORMAT: Final = 2  # the version of the stored rows; studies of different versions are not mixed
DIGITS: Final = 32  # hexadecimal digits of a key
SEARCHER: Final = "random"  # the searcher where none is named


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
        The fingerprint of the surrogate's content.
    cluster : Cluster
        The cluster, with its number of workers.
    max_time : float or None
        Simulated seconds at which studies are cut.
    is_replacing : bool
        Whether a study may draw the same row of a table more than once.
    searcher : str or None
        The searcher that chooses configurations.
    search_options : mapping
        Its options, with whole paths.
    geometry : (int, float) or None
        The number of brackets that fit, and the reduction factor; None for types that do not
        take `brackets`.
    has_halves : bool
        Whether each study sees only one half of the rows, which its seed decides.
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
        """The task that variants are compared on: surrogate, cluster, workers."""
        return self.surrogate, self.cluster_name, self.cluster.workers

    def with_seed(self, seed: int) -> CellStudy:
        """Return the study with a seed."""
        half = half_of(seed) if self.has_halves else None
        text = f"{self._digest}:{seed}" + ("" if half is None else f":half={half[0]},{half[1]}")
        return CellStudy(self, seed, hashlib.sha256(text.encode()).hexdigest()[:DIGITS], half)

    @cached_property
    def _digest(self) -> str:
        """The hash of all that an outcome depends on except the seed; names are not part of it."""
        scheduler = self.variant.checked(self.mode, 0).as_dict()
        del scheduler["seed"]  # set for each study
        if self.geometry is not None:
            scheduler["brackets"] = self.geometry[0]  # those that fit: more give the same study
        inputs = {
            "format": FORMAT,
            "scheduler": scheduler,
            "surrogate": self.fingerprint,
            "cluster": _content(self.cluster),
            "max_time": self.max_time,
            "replace": self.is_replacing,
            "searcher": self.searcher or SEARCHER,
        }
        if self.search_options:  # without halves the hash is the same as before halves existed
            inputs["search_options"] = _searched(self.search_options)
        text = json.dumps(_plain(inputs), sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class CellStudy:
    """A combination with a seed: a cell of the sweep.

    Attributes
    ----------
    of : Combination
        The combination that the seed is added to.
    seed : int
        The seed of the study and of its scheduler.
    key : str
        The hash of all that the outcome depends on; names are not part of it.
    half : (int, int) or None
        Split and part of the rows that the study sees, as in the wrapper ``half=SPLIT,PART``; None: all.
    """

    of: Combination
    seed: int
    key: str
    half: HalfOf = None

    def run(self) -> Result:
        """Simulate the study, on curves that each process loads once.

        Raises
        ------
        SurrogateError
            The curves have changed since they were checked.
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
    """Return the options of a searcher for the hash; a constraint as its name and its file's content."""
    if "constraints" not in options:
        return dict(options)
    file, name = split_constraint(options["constraints"])
    content = hashlib.sha256(file.read_bytes()).hexdigest()
    return {**options, "constraints": f"{name} of {content}"}


def _content(cluster: Cluster) -> dict[str, object]:
    """Return the content of a cluster for the hash, without names; of a recorded one the data read."""
    content = cluster.as_dict()
    if isinstance(cluster.trace, Trace):
        content["trace"] = [
            [[float(a.start), str(float(a.end)), a.preempted, float(a.notice)] for a in worker]
            for worker in cluster.trace.absences
        ]
    return content


def _plain(value: object) -> object:
    """Return a value with 3 for 3.0, so that numbers do not depend on how they were written."""
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


AT_R = ("value", "regret", "test")


def run_studies(studies: Sequence[tuple[CellStudy, bool]]) -> Frames:
    """Run studies one after the other; an exception becomes the outcome of its study.

    Parameters
    ----------
    studies : sequence of (CellStudy, bool)
        Each study, and whether its timeline of workers is kept.

    Returns
    -------
    dict
        A frame for each name in `hbsim.bench.sweep.store.TABLES`.
    """
    rows: list[dict[str, object]] = []
    timings: list[dict[str, object]] = []
    found: dict[str, list[tuple[str, pl.DataFrame]]] = {name: [] for name in TABLES}
    for study, with_timeline in studies:
        begin = time.process_time()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", HbsimWarning)  # the plan has already given these warnings
                result = study.run()
                numbers, frames = _measured(result, with_timeline)
                row = {KEY: study.key, "status": DONE, "error": None, **numbers}
        except Exception as error:
            row, frames = _failed(study, _error_text(error)), {}
        rows.append(row)
        for name, frame in frames.items():
            found[name].append((study.key, frame))
        timings.append({KEY: study.key, "seconds": time.process_time() - begin})
    return {
        **{name: _joined(name, frames) for name, frames in found.items()},
        MAIN: pl.DataFrame(rows, schema=TABLES[MAIN]),
        "timings": pl.DataFrame(timings, schema=TABLES["timings"]),
    }


def failed(study: CellStudy, error: str) -> Frames:
    """Return the outcome of a study that failed."""
    timings = pl.DataFrame([{KEY: study.key, "seconds": 0.0}], schema=TABLES["timings"])
    main = pl.DataFrame([_failed(study, error)], schema=TABLES[MAIN])
    return {**{name: empty(name) for name in TABLES}, MAIN: main, "timings": timings}


def _failed(study: CellStudy, error: str) -> dict[str, object]:
    return dict.fromkeys(TABLES[MAIN]) | {KEY: study.key, "status": FAILED, "error": error}


def _error_text(error: Exception) -> str:
    """Return an error's text, the same in every process."""
    if isinstance(error, HbsimError):
        text = error_text(error)
    else:
        last = traceback.extract_tb(error.__traceback__)[-1]
        line = f"{last.filename.rpartition('/')[2]}, line {last.lineno}"
        text = f"{type(error).__name__}: {error} ({line})"
    return placeless(text)


def _measured(result: Result, with_timeline: bool) -> tuple[dict[str, object], Frames]:
    """Return the row of numbers of a study, and its tables, without its key."""
    summary, diagnosis, shown = result.summary(), diagnose(result), result.incumbent()
    trained = resource_at(result.jobs, np.append(shown["time"].to_numpy(), result.end_time))
    incumbents = shown.select("time", pl.Series("resource", trained[:-1]), "trial", picked="value").hstack(
        pl.DataFrame(_at_max(result, shown["trial"].to_numpy()))
    )
    last = incumbents.tail(1).to_dicts()
    numbers: dict[str, object] = {name: summary[name] for name in SUMMARY}
    numbers["trained_resource"] = trained[-1]
    numbers |= {name: last[0][name] if last else None for name in AT_R}
    numbers |= {f"{name}_share": diagnosis.shares[name] for name in SHARES}
    numbers |= {f"{name}_part": getattr(diagnosis.regrets, name) for name in PARTS}
    known = {name: int(summary[name]) if name in COUNTS else _known(numbers[name]) for name in numbers}  # type: ignore[call-overload]
    frames = {"incumbents": incumbents, "rungs": diagnosis.rungs, "brackets": diagnosis.brackets}
    if with_timeline:
        rows, cut = timeline(result)
        # `cut` is null in all rows of a study that is whole.
        frames["timelines"] = rows.with_columns(pl.lit(cut).alias("cut"))
    return {**known, "is_deserted": result.no_worker_after is not None}, frames


def _at_max(result: Result, trials: Ints) -> dict[str, Floats]:
    """Return the values of trials at R, also where they never trained that far; arrays of shape (n,).

    Keys: value, regret (the distance from the best of the surrogate's space), test (held out); NaN where
    there is none.
    """
    value = regret = test = np.full(len(trials), math.nan)
    if len(trials):
        surrogate, level = result.curves.surrogate, result.scheduler.levels[-1]
        value = result.values_at_max(trials.tolist())
        value = np.where(np.isfinite(value), value, math.nan)
        optimum = surrogate.optimum(level)
        if optimum is not None:
            regret = np.maximum(optimum - value if surrogate.mode == "max" else value - optimum, 0.0)
        tests = surrogate.test_values(result.curves.configurations()[trials], level)
        test = test if tests is None else tests
    return {"value": value, "regret": regret, "test": test}


def resource_at(jobs: pl.DataFrame, times: Floats) -> Floats:
    """Return the resource that all jobs had trained by each time; shape of `times`.

    Within a job it grows linearly from `train_start` to `end_time`.

    Parameters
    ----------
    jobs : polars.DataFrame
        As `Result.jobs`.
    times : array, shape (n,)
        Simulated seconds.
    """
    trained = jobs.drop_nulls("train_start")
    start, end = trained["train_start"].to_numpy(), trained["end_time"].to_numpy()
    amount = (trained["stop_resource"] - trained["start_resource"]).to_numpy()
    order = np.argsort(end, kind="stable")
    start, end, amount = start[order], end[order], amount[order]
    ended = np.searchsorted(end, times, side="right")
    # Added in a fixed order, for the same last bits on every machine.
    whole = np.concatenate(([0.0], np.cumsum(amount)))[ended]
    for place, (time_, first) in enumerate(zip(times, ended, strict=True)):
        begun = start[first:] < time_
        s, e, a = start[first:][begun], end[first:][begun], amount[first:][begun]
        whole[place] += np.cumsum(np.append(0.0, a * ((time_ - s) / (e - s))))[-1]
    return whole


def _joined(table: str, frames: Sequence[tuple[str, pl.DataFrame]]) -> pl.DataFrame:
    """Return the rows of a table, each with the key of its study, and null for NaN."""
    if not frames:
        return empty(table)
    schema = TABLES[table]
    keys = np.repeat([key for key, _ in frames], [frame.height for _, frame in frames])
    whole = pl.concat([frame for _, frame in frames], how="vertical_relaxed")
    columns = [pl.col(name).cast(kind) for name, kind in list(schema.items())[1:]]
    return whole.select(pl.Series(KEY, keys, schema[KEY]), *columns).with_columns(
        pl.col(pl.Float64).fill_nan(None)
    )


def _known(number: object) -> float | None:
    return float(number) if isinstance(number, float | int) and math.isfinite(number) else None
