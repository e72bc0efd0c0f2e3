"""Record learning curves: a study of random configurations in which every trial trains to its end."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from hbsim.core.factory import make_scheduler
from hbsim.core.types import Mode
from hbsim.errors import HbsimWarning, OutputError, ParameterError
from hbsim.options import named_options
from hbsim.runner.lock import StudyLock
from hbsim.study.export import check_metric, export, failed
from hbsim.study.folder import StudyFolder
from hbsim.study.run import run
from hbsim.surrogates.table_files import check_out

if TYPE_CHECKING:
    from hbsim.study.result import RunResult

__all__ = ["finish", "prepare", "record", "study_folder"]

# What parameters of `hbsim.run` and `make_scheduler` are called here.
NAMES: Final = {"reward_attr": "metric", "num_trials": "trials", "until_return": "max_t"}


@named_options
def record(
    train: str | Callable[..., object],
    trials: int,
    out: Path | str,
    *,
    max_t: float | None = None,
    metric: str | None = None,
    mode: Mode | None = None,
    test_metric: str | None = None,
    workers: int | None = None,
    resource: Mapping[str, object] | None = None,
    resume: bool = False,
    force: bool = False,
    seed: int = 0,
    time_attr: str = "epoch",
    args: Mapping[str, object] | None = None,
    hang_timeout: float | None = None,
    grace: float = 5.0,
    keep: Literal["best", "completed", "all", "none"] = "best",
    fsync: Literal["second", "always", "never"] = "second",
    start: Literal["fork", "spawn"] | None = None,
    progress: Literal["auto", "table", "lines", "none"] = "auto",
) -> RunResult:
    """Train `trials` random configurations to their ends, and write their learning curves to a file.

    It is a study of `hbsim.run` with the scheduler fifo, in the folder ``OUT.study`` beside the file, which
    stays there. Trial i has the same configuration and the same ``args.seed`` whatever `trials` and `workers`
    are. A trial that fails is a curve that ends early.

    Parameters
    ----------
    train : str or callable
        The training function, decorated with `hbsim.args`: itself, or ``"FILE.py:NAME"``.
    trials : int
        How many configurations. With `resume` there may be more than before.
    out : path
        The file to write, ``.parquet`` or ``.csv``.
    max_t : float, optional
        End a trial at its first report at or past this resource; else when the function returns.
    metric, mode : str, optional
        The metric that decides, and whether it is ``"max"`` or ``"min"``: noted in the file for those who
        use it. Every report must have it. Unless given, ``accuracy``, maximised, if it is reported.
    test_metric : str, optional
        The metric to judge a chosen trial by, on data that nothing was chosen on.
    resume : bool
        Go on with the recording that was to be written to `out`; a file that is there is replaced.
    force : bool
        Begin anew: an earlier recording, the file and its folder, is replaced.
    workers, resource, seed, time_attr, args, hang_timeout, grace, keep, fsync, start, progress
        As `hbsim.run`.

    Returns
    -------
    RunResult
        The study.

    Raises
    ------
    ParameterError
        Something in the request breaks a rule. Or a trial does not report `metric`.
    OutputError
        The file cannot be written, no trial reported anything, or the study ended before all trials had.
    Interrupted
        As `hbsim.run`: `resume` goes on.

    Warns
    -----
    HbsimWarning
        If trials failed: how many, and what the first one said.
    """
    if not resume:
        check_metric(metric, mode)
    most = 1 if max_t is None else max_t  # without one no level is waited for
    try:
        scheduler = make_scheduler("fifo", max_t=most, mode=mode or "max", num_trials=trials, seed=seed)
        result = run(
            train,
            scheduler,
            workers=workers,
            resource=resource,
            folder=prepare(out, resume, force),
            resume=resume,
            seed=seed,
            time_attr=time_attr,
            reward_attr=metric,
            args=args,
            hang_timeout=hang_timeout,
            grace=grace,
            keep=keep,
            fsync=fsync,
            start=start,
            until_return=max_t is None,
            progress=progress,
        )
    except ParameterError as error:
        value = max_t if error.field == "until_return" else error.value
        raise ParameterError(NAMES.get(error.field, error.field), value, error.rule) from error
    finish(result, out, test_metric)
    return result


def study_folder(out: Path | str) -> Path:
    """Return where the study of a recording is: beside its file."""
    return Path(f"{out}.study")


def prepare(out: Path | str, resume: bool, force: bool) -> Path:
    """Return the folder of the study of a recording; with `force`, remove an earlier one.

    Raises
    ------
    ParameterError
        The file cannot be written, or is there already.
    OutputError
        The earlier one is being run.
    """
    folder = study_folder(check_out(out, force=force or resume))
    if force and not resume and StudyFolder(folder).holds_study:
        with StudyLock(folder):
            shutil.rmtree(folder)
    return folder


def finish(result: RunResult, out: Path | str, test_metric: str | None) -> None:
    """Write the curves of a recording, and say how many trials failed."""
    if result.why != "done" and not result.reports.is_empty():
        raise OutputError(str(out), "not written: the study ended before all trials had; it can be resumed")
    export(result, out, test_metric=test_metric, force=True)
    reasons = failed(result)
    if reasons:
        trial, first = next(iter(reasons.items()))
        text = f"{len(reasons)} of {result.scheduler.started} trials failed: their curves end early. "
        warnings.warn(HbsimWarning(f"{text}Trial {trial}: {first}"), stacklevel=3)
