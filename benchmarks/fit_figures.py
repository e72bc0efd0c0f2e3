"""Fits to pilots, held against the tables that they were cut from: what `benchmarks.fit` measures."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from hbsim import make_scheduler, simulate
from hbsim.bench.targets import on_grid
from hbsim.core import Report, Verdict
from hbsim.errors import HbsimWarning, SurrogateError
from hbsim.simulation import Cluster
from hbsim.surrogates import Fitted, Surrogate, Table, fit, spread_levels
from hbsim.surrogates.description import spearman
from hbsim.surrogates.fit_data import encode_columns
from hbsim.surrogates.protocol import Floats, Ints


@dataclass(frozen=True)
class Source:
    """A table, how it is read, and how large a pilot is cut from it."""

    name: str
    path: Path
    pilots: tuple[int, ...]
    workers: int
    seconds: float  # of a study, in which fifo trains some 100 trials
    metric: str | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def load(self, path: Path | None = None) -> Table:
        """Read the table, or a part of it."""
        return Table.load(path or self.path, metric=self.metric, **self.options)

    def fit(self, path: Path, seed: int = 0) -> Fitted:
        """Fit to a part of the table."""
        return fit(path, seed=seed, metric=self.metric, **self.options)

    def with_options(self, options: dict[str, Any]) -> Source:
        """Return the same, read in another way."""
        return replace(self, options=options)

    def points(self, fitted: Fitted, rows: Ints) -> Floats:
        """Return rows of the table as points of a fit's space."""
        assert fitted.space is not None
        return encode_columns(self.name, fitted.space, self.load().configurations[rows.tolist()])


def sources(data: Path | None) -> Iterator[Source]:
    """Give the shipped table, and the public ones that are there."""
    shipped = Path(str(files("hbsim.surrogates") / "digits.parquet"))
    yield Source("digits", shipped, (50, 100, 200), 8, 20.0)
    if data is None:
        return
    public = (
        Source(
            "nasbench_nlp_wt2",
            data / "nasbench_nlp_wt2.npz",
            (100,),
            8,
            1e5,
            "val_loss",
            {"mode": "min", "censored": "fail"},
        ),
        Source(
            "taskset_LSTM128",
            data / "taskset_mdb_patch128_LSTM128_bs64.npz",
            (100, 200),
            8,
            200.0,
            "valid_loss",
            {"mode": "min", "censored": "fail", "first_level": 0, "seconds_per_unit": 1.0},
        ),
    )
    yield from (source for source in public if source.path.is_file())


def write_pilot(source: Source, rows: Ints, path: Path, ends: Ints | None = None) -> Path:
    """Write these rows of a table to a file of its own, in its own format; each until its level `ends`."""
    if source.path.suffix == ".npz":
        with np.load(source.path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        n = len(arrays["X"])
        kept = {name: a[rows] if len(a) == n else a for name, a in arrays.items()}
        if ends is not None:
            first = source.options.get("first_level") == 0
            curves = [name for name, a in kept.items() if a.ndim == 2 and name != "X"]
            for name in curves:
                kept[name] = np.where(
                    np.arange(kept[name].shape[1]) < (ends + first)[:, None], kept[name], np.nan
                )
        np.savez(path, **kept)
        return path
    whole, notes = pl.read_parquet(source.path), pl.read_parquet_metadata(source.path)
    last = pl.DataFrame({"config": rows, "end": ends if ends is not None else np.full(len(rows), 2**31)})
    lines = whole.join(last.cast({"config": whole["config"].dtype}), on="config", maintain_order="left")
    lines = lines.filter(pl.col("epoch") <= pl.col("end")).drop("end")
    lines.write_parquet(path, metadata={key: text for key, text in notes.items() if key.startswith("hbsim")})
    return path


DRAWS = 200
INTERVAL = 0.8
BLOCK = 4096


def accuracy(source: Source, size: int, pilots: int, folder: Path) -> list[dict[str, Any]]:
    """Return a line a level: means over pilots of what the report says, and of what is true."""
    found: list[list[dict[str, float]]] = []
    for seed in range(pilots):
        rows, rest = cut(source, size, seed)
        fitted = source.fit(write_pilot(source, rows, folder / f"pilot{source.path.suffix}"))
        said, true = fitted.report.levels, _true(source, fitted, rest)
        found.append([_line(one, other) for one, other in zip(said, true, strict=True)])
    return [
        {key: float(np.mean([lines[place][key] for lines in found])) for key in found[0][place]}
        for place in range(len(found[0]))
    ]


def cut(source: Source, size: int, seed: int) -> tuple[Ints, Ints]:
    """Return the rows of a pilot, and the others."""
    order = np.random.default_rng(seed).permutation(source.load().rows or 0)
    return np.sort(order[:size]), np.sort(order[size:])


def _line(said: Any, true: dict[str, float]) -> dict[str, float]:
    return {
        "level": said.level,
        "ratio_said": said.relative,
        "ratio_true": true["ratio"],
        "ranks_said": said.rank_correlation,
        "ranks_true": true["ranks"],
        "inside_said": said.coverage[1],
        "inside_true": true["inside"],
        "to_end_drawn": said.early_fit,
        "to_end_true": true["to_end"],
    }


def _true(source: Source, fitted: Fitted, rest: Ints) -> list[dict[str, float]]:
    levels = np.array(spread_levels(fitted))
    values, _ = source.load().evaluate(rest, levels)
    points = source.points(fitted, rest)
    median = fitted.expected(points, levels)
    drawn = np.stack([fitted.again(points, levels, number)[0] for number in range(DRAWS)])
    low, high = np.nanquantile(drawn, [0.5 - INTERVAL / 2, 0.5 + INTERVAL / 2], axis=0)
    return [_at(values, median, low, high, place) for place in range(len(levels))]


def _at(values: Floats, median: Floats, low: Floats, high: Floats, place: int) -> dict[str, float]:
    there = np.isfinite(values[:, place])
    both = there & np.isfinite(values[:, -1])
    true = values[there, place]
    worst = np.quantile(true, 0.95)  # all these metrics are minimised; as in the report
    error = np.abs(np.minimum(median[there, place], worst) - np.minimum(true, worst)).mean()
    spread = np.abs(np.minimum(true, worst) - np.median(true)).mean()
    inside = (low[there, place] <= true) & (true <= high[there, place])
    return {
        "ratio": float(error / spread),
        "ranks": spearman(median[there, place], true),
        "inside": float(inside.mean()),
        "to_end": spearman(values[both, place], values[both, -1]),
    }


def speed(source: Source, size: int, folder: Path) -> dict[str, float]:
    """Return seconds of a fit, of its report, and of a block of 4,096 configurations at 6 levels."""
    rows, _ = cut(source, size, 0)
    path = write_pilot(source, rows, folder / f"pilot{source.path.suffix}")
    seconds = []
    for _ in range(3):  # the first one imports
        began = time.perf_counter()
        fitted = source.fit(path)
        seconds.append(time.perf_counter() - began)
    assert fitted.space is not None
    assert fitted.resources is not None
    points = fitted.space.sample(BLOCK, np.random.default_rng(0))
    levels = np.array(fitted.resources)[np.linspace(0, len(fitted.resources) - 1, 6).astype(int)]
    drawn = min(_timed(fitted, points, levels) for _ in range(5))
    start = time.perf_counter()
    _ = fitted.report
    return {"rows": size, "fit": min(seconds), "block": drawn, "report": time.perf_counter() - start}


def _timed(fitted: Fitted, points: Floats, levels: Floats) -> float:
    start = time.perf_counter()
    fitted.evaluate(points, levels)
    return time.perf_counter() - start


WAYS = ("fit", "exclude", "extrapolate", "median")


def stopped_pilots(source: Source, size: int, brackets: int, pilots: int, folder: Path) -> dict[str, Any]:
    """Return how far predictions at R are off for rows that a pilot stopped, in four ways.

    ``fit``: the correction; ``exclude``: a fit to complete rows only; ``extrapolate``: one to rows whose last
    value stays; ``median``: that of complete rows, for all. Errors are in units of the spread of the table's
    values at R (mean absolute distance from the median; the worst 5 % count as the best of them).
    """
    table = source.load()
    found: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    complete = []
    for seed in range(pilots):
        rows, _ = cut(source, size, seed)
        values, _ = table.evaluate(rows, np.array(table.resources))
        ends = _ends(values, table, brackets, seed)
        path = write_pilot(source, rows, folder / f"pilot{source.path.suffix}", ends)
        unseen = ends < values.shape[1]
        complete.append(int((~unseen).sum()))
        for way, guess in _guesses(source, path, rows, values, unseen).items():
            found[way].append(_error(guess, values[unseen, -1], table))
    figures = {way: np.mean(errors, axis=0).tolist() for way, errors in found.items() if errors}
    return {"complete": complete, "pilots": {way: len(found[way]) for way in WAYS}, "errors": figures}


def _ends(values: Floats, table: Table, brackets: int, seed: int) -> Ints:
    """Return how many levels each trial has if they run one after the other, and are stopped."""
    scheduler = make_scheduler(
        "stopping",
        max_t=int(table.max_resource),
        brackets=brackets,
        mode=table.mode,
        num_trials=len(values),
        seed=seed,
    )
    levels = list(table.resources or ())
    ends = np.full(len(values), len(levels))
    while (job := scheduler.ask()) is not None:
        stop: float | None = job.stop
        while stop is not None:
            at = levels.index(stop)
            report = Report(trial=job.trial, resource=stop, value=float(values[job.trial, at]))
            decision = scheduler.tell(report)
            stop = decision.stop if decision.verdict == Verdict.CONTINUE else None
            ends[job.trial] = at + 1
    return ends


def _guesses(source: Source, path: Path, rows: Ints, values: Floats, unseen: np.ndarray) -> dict[str, Floats]:
    """Return what each way says of the unseen values at R; without those that say nothing."""
    options = {key: value for key, value in source.options.items() if key != "censored"}
    ways: dict[str, Callable[[], Fitted]] = {
        way: lambda way=way: source.with_options(options | ({} if way == "fit" else {"censored": way})).fit(
            path
        )
        for way in WAYS[:3]
    }
    found = {"median": np.full(int(unseen.sum()), np.nanmedian(values[~unseen, -1]))}
    for way, make in ways.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", HbsimWarning)
                fitted = make()
        except SurrogateError:  # too few complete rows
            continue
        last = np.array([fitted.max_resource])
        found[way] = fitted.expected(source.points(fitted, rows[unseen]), last)[:, 0]
    return found


def _error(guess: Floats, true: Floats, table: Table) -> tuple[float, float]:
    """Return bias and mean absolute error over the spread of the table."""
    last, _ = table.evaluate(np.arange(table.rows or 0), np.array([table.max_resource]))
    last = last[np.isfinite(last)]
    worst = np.quantile(last, 0.95)
    spread = np.abs(np.minimum(last, worst) - np.median(last)).mean()
    there = np.isfinite(true)
    off = (np.minimum(guess[there], worst) - np.minimum(true[there], worst)) / spread
    return float(off.mean()), float(np.abs(off).mean())


RATES: Final = {"reduction_factor": 3, "grace_period": 1}
VARIANTS: Final[dict[str, tuple[str, dict[str, int]]]] = {
    "fifo": ("fifo", {}),
    "stopping": ("stopping", RATES),
    "promotion": ("promotion", RATES),
    "stopping,brackets=3": ("stopping", {**RATES, "brackets": 3}),
    "promotion,brackets=3": ("promotion", {**RATES, "brackets": 3}),
}
TRIALS = 1000
PARTS = (0.25, 0.5, 1.0)  # of the time of a study


def rankings(source: Source, size: int, pilots: int, seeds: int, folder: Path) -> dict[str, Any]:
    """Return the incumbent's mean value at R, by variant and time, on three kinds of curves.

    `table`: the whole table, over ``pilots * seeds`` studies. `fit`: fits to that many pilots. `rows`: the
    rows of the same pilots again and again, without a fit.
    """
    table = source.load()
    found: dict[str, list[Floats]] = {"table": [], "fit": [], "rows": []}
    for pilot in range(pilots):
        rows, _ = cut(source, size, pilot)
        path = write_pilot(source, rows, folder / f"pilot{source.path.suffix}")
        these = range(pilot * seeds, (pilot + 1) * seeds)
        found["table"].append(_incumbents(source, table, these))
        found["fit"].append(_incumbents(source, source.fit(path), these))
        found["rows"].append(_incumbents(source, source.load(path), these))
    blocks = {kind: np.concatenate(parts) for kind, parts in found.items()}
    return {
        "times": [part * source.seconds for part in PARTS],
        "mean": {kind: np.nanmean(block, axis=0).tolist() for kind, block in blocks.items()},
        "error": {kind: _errors(parts) for kind, parts in found.items()},
        "agreement": {kind: _agreement(blocks["table"], blocks[kind]) for kind in ("fit", "rows")},
    }


def _incumbents(source: Source, curves: Surrogate, seeds: range) -> Floats:
    """Return the incumbents' values at R, shape (seeds, times, variants)."""
    found = np.empty((len(seeds), len(PARTS), len(VARIANTS)))
    cluster = Cluster(workers=source.workers)
    times = source.seconds * np.array(PARTS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HbsimWarning)
        for place, (type, options) in enumerate(VARIANTS.values()):
            for seed in seeds:
                scheduler = make_scheduler(
                    type,
                    max_t=int(curves.max_resource),
                    mode=curves.mode,
                    seed=seed,
                    num_trials=TRIALS,
                    **options,
                )
                study = simulate(
                    scheduler, curves, seed=seed, cluster=cluster, max_time=source.seconds, replace=True
                )
                shown = study.incumbent()
                values = study.values_at_max(shown["trial"].to_numpy())
                found[seed - seeds[0], :, place] = on_grid(shown["time"].to_numpy(), values, times)
    return found


def _errors(parts: Sequence[Floats]) -> list[list[float]]:
    """Return standard errors of the means, from pilot to pilot (or seed block to seed block)."""
    means = np.stack([np.nanmean(part, axis=0) for part in parts])
    return (means.std(axis=0, ddof=1) / np.sqrt(len(parts))).tolist()


def _agreement(table: Floats, other: Floats) -> dict[str, int]:
    """Count the pairs of variants that differ in the table, by more than two standard errors, at each time.

    Of those, `same` differ in the same direction in the other curves (by their means).
    """
    counts = {"clear": 0, "same": 0}
    for place in range(table.shape[1]):
        for a, b in combinations(range(table.shape[2]), 2):
            difference = table[:, place, a] - table[:, place, b]
            difference = difference[np.isfinite(difference)]
            if abs(difference.mean()) > 2.0 * difference.std(ddof=1) / np.sqrt(len(difference)):
                guess = np.nanmean(other[:, place, a] - other[:, place, b])
                counts["clear"] += 1
                counts["same"] += int(np.sign(guess) == np.sign(difference.mean()))
    return counts
