"""Fits to pilots that a stopping scheduler ran: what they say of the curves that were never seen."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fit_accuracy import cut
from benchmarks.fit_tables import Source, write_pilot
from hbsim.core import Report, Verdict, make_scheduler
from hbsim.errors import HbsimWarning, SurrogateError
from hbsim.surrogates import Fitted, Table
from hbsim.surrogates.protocol import Floats, Ints

__all__ = ["WAYS", "stopped_pilots"]

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
