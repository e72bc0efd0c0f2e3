"""Record learning curves: train random configurations to the end, and keep what they report."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hbsim.core.streams import trial_seed
from hbsim.core.types import Mode
from hbsim.errors import HbsimWarning, OutputError, ParameterError
from hbsim.executors.record_load import Train, load_train
from hbsim.executors.record_part import PartFile, part_path
from hbsim.executors.record_pool import Task, record_trials
from hbsim.executors.record_table import long_form, metadata, write_parquet
from hbsim.executors.record_worker import RESERVED, Setup
from hbsim.searchers import RandomSearcher

__all__ = ["RecordProgress", "record"]


class RecordProgress(NamedTuple):
    """How far a recording is.

    Attributes
    ----------
    trials : int
        How many there will be.
    finished : int
        How many have ended, failed ones and those of an earlier, interrupted run included.
    failed : int
        How many of these ended with an error.
    """

    trials: int
    finished: int
    failed: int


def record(
    train: str,
    trials: int,
    out: Path | str,
    *,
    seed: int = 0,
    workers: int = 1,
    threads: int = 1,
    time_attr: str = "epoch",
    metric: str | None = None,
    mode: Mode | None = None,
    test_metric: str | None = None,
    max_t: float | None = None,
    force: bool = False,
    progress: Callable[[RecordProgress], None] | None = None,
) -> Path:
    """Train `trials` random configurations and write their learning curves to a Parquet file.

    Trial i has the same configuration and the same ``args.seed`` whatever `trials` and `workers` are. Each
    finished trial is kept in a part file beside `out`; the same call goes on from there after an
    interruption, and trains what was under way again. A trial that raises, or whose process dies, is kept
    as a curve that ends early. The format is described in ``docs/how-to/record.md``.

    Parameters
    ----------
    train : str
        ``FILE.py:NAME``, a function ``NAME(args, reporter)`` decorated with `hbsim.args`. Beside its own
        arguments, `args` has ``trial`` and ``seed``.
    trials : int
        How many configurations.
    out : Path or str
        The Parquet file to write.
    seed : int
        Chooses the configurations and their seeds.
    workers : int
        How many processes train at the same time.
    threads : int
        How many threads numerical libraries may use in each.
    time_attr : str
        The reported name that measures the resource, strictly increasing.
    metric, mode : str, optional
        The metric that decides, and whether it is ``"max"`` or ``"min"``: noted in the file for those who
        use it. Every report must have it.
    test_metric : str, optional
        The metric to judge a chosen trial by, on data that nothing was chosen on. As `metric`.
    max_t : float, optional
        End a trial at its first report at or past this resource; else when the function returns.
    force : bool
        Replace `out` if it exists.
    progress : callable, optional
        Called at the start and whenever a trial has ended.

    Returns
    -------
    out : Path
        The file.

    Raises
    ------
    ParameterError
        A parameter breaks its rule, the function cannot be loaded, or does not report `time_attr` or
        `metric`.
    OutputError
        `out` exists, a file cannot be written, the part file is of another recording, or every trial
        failed before its first report.

    Warns
    -----
    HbsimWarning
        If trials failed: how many, and what the first one said.
    """
    out = Path(out)
    _check_counts(trials=trials, workers=workers, threads=threads)
    _check_seed(seed)
    _check_metric(metric, mode, max_t)
    _check_out(out, force)
    function = load_train(train)
    _check_names(function, time_attr)
    setup = Setup(train, time_attr, metric, test_metric, max_t)
    spec = {**asdict(setup), "train": function.label, "sha256": function.digest, "mode": mode, "seed": seed}
    tasks = _tasks(function, trials, seed)
    part = PartFile(part_path(out), spec)
    try:
        _record_missing(part, setup, tasks, workers, threads, progress)
        errors = _write(part, out, function, spec, tasks)
    finally:
        part.close()
    part.remove()
    _warn(errors, trials)
    return out


def _record_missing(
    part: PartFile,
    setup: Setup,
    tasks: list[Task],
    workers: int,
    threads: int,
    progress: Callable[[RecordProgress], None] | None,
) -> None:
    missing = [task for task in tasks if task.trial not in part.failed]
    finished = len(tasks) - len(missing)
    failed = sum(part.failed.get(task.trial, False) for task in tasks)
    say = progress if progress is not None else lambda _: None
    say(RecordProgress(len(tasks), finished, failed))
    with closing(record_trials(setup, missing, workers, threads)) as curves:
        for curve in curves:
            part.append(curve)
            finished += 1
            failed += curve.error is not None
            say(RecordProgress(len(tasks), finished, failed))


def _write(
    part: PartFile, out: Path, train: Train, spec: Mapping[str, object], tasks: list[Task]
) -> dict[int, str]:
    """Write the Parquet file; return the errors by trial."""
    curves = sorted((c for c in part.curves() if c.trial < len(tasks)), key=lambda curve: curve.trial)
    points = np.array([task.point for task in tasks])
    values = train.space.decode(points)
    settings = {name: c if isinstance(c, list) else c.tolist() for name, c in values.items()}
    flags = dict(zip(train.space, train.space.active(points).T.tolist(), strict=True))
    active = {name: flags[name] for name in train.space.conditional}
    table = long_form(curves, str(spec["time_attr"]), settings, active)
    errors = {curve.trial: curve.error for curve in curves if curve.error is not None}
    if table.is_empty():
        part.remove()  # there is nothing to go on from
        first = next(iter(errors.values()), "it returned without a report")
        raise OutputError(str(out), f"not written: no trial reported anything. The first one: {first}")
    write_parquet(table, out, metadata(table.columns, train, spec, len(tasks), errors))
    return errors


def _warn(errors: Mapping[int, str], trials: int) -> None:
    if errors:
        trial, first = next(iter(errors.items()))
        text = f"{len(errors)} of {trials} trials failed: their curves end early. Trial {trial}: {first}"
        warnings.warn(text, HbsimWarning, stacklevel=3)


def _tasks(train: Train, trials: int, seed: int) -> list[Task]:
    points = RandomSearcher(train.space, seed).suggest(trials)
    return [Task(i, trial_seed(seed, i), point) for i, point in enumerate(points.tolist())]


def _check_counts(**counts: int) -> None:
    for name, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ParameterError(name, count, "must be a whole number, 1 or more")


def _check_seed(seed: int) -> None:
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ParameterError("seed", seed, "must be a whole number, 0 or more")


def _check_metric(metric: str | None, mode: Mode | None, max_t: float | None) -> None:
    if mode not in (None, "max", "min"):
        raise ParameterError("mode", mode, "must be 'max' or 'min'")
    if (metric is None) != (mode is None):
        given, other = ("mode", "metric") if metric is None else ("metric", "mode")
        raise ParameterError(other, None, f"must be given with {given}")
    if max_t is not None and not 0 < max_t < float("inf"):
        raise ParameterError("max_t", max_t, "must be above 0 and finite")


def _check_out(out: Path, force: bool) -> None:
    if not out.parent.is_dir():
        raise OutputError(str(out), f"there is no folder {out.parent}")
    if out.is_dir():
        raise OutputError(str(out), "is a folder; name a file in it")
    if out.suffix != ".parquet":
        raise ParameterError("out", str(out), "must end in .parquet: curves are recorded as Parquet")
    if out.exists() and not force:
        raise OutputError(str(out), "exists; choose another file, or force=True, which replaces it")


def _check_names(train: Train, time_attr: str) -> None:
    for name in train.space.names:
        if name in (*RESERVED, time_attr):
            raise ParameterError(name, train.space[name], "the recorder has a column of this name; rename it")
    if time_attr in RESERVED:
        raise ParameterError("time_attr", time_attr, "the recorder has a column of this name; report another")
