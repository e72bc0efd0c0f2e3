"""Run a study for real: the same scheduler and the same loop as in simulation."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hbsim.core.numbers import exact, whole
from hbsim.core.scheduler import Scheduler
from hbsim.core.types import LOSSES
from hbsim.errors import HbsimWarning, ParameterError
from hbsim.executors.remote.controller import wait_for_earlier_runs
from hbsim.executors.remote.options import Dask, Hosts
from hbsim.executors.training_function import describe, make_target, stop_if_loading
from hbsim.options import named_options
from hbsim.runner.real import Limits, Observer
from hbsim.searchers import Searcher, about, check_searcher, ends, learns
from hbsim.study.checks import check_names, constants, seconds
from hbsim.study.executors import Executor, StudyWorkers, check_executor, check_share, make_workers
from hbsim.study.folder import StudyFolder
from hbsim.study.keeper import Keeper, check_keep
from hbsim.study.load import Standing
from hbsim.study.real import Interrupted, Study
from hbsim.study.remote_note import RemoteNote
from hbsim.study.shown import check_shown, shown, teller

if TYPE_CHECKING:
    from hbsim.study.result import RunResult

__all__ = ["Interrupted", "run"]


@named_options
def run(
    train: str | Callable[..., object],
    scheduler: Scheduler,
    *,
    workers: int | None = None,
    resource: Mapping[str, object] | None = None,
    folder: Path | str = "exp",
    resume: bool = False,
    seed: int = 0,
    searcher: str | Searcher | None = None,
    search_options: Mapping[str, object] | None = None,
    time_attr: str = "epoch",
    reward_attr: str | None = "accuracy",
    args: Mapping[str, object] | None = None,
    time_out: float | None = None,
    max_reward: float | None = None,
    hang_timeout: float | None = None,
    grace: float = 5.0,
    keep: Literal["best", "completed", "all", "none"] = "best",
    fsync: Literal["second", "always", "never"] = "second",
    start: Literal["fork", "spawn"] | None = None,
    until_return: bool = False,
    visualizer: Literal["none", "tensorboard"] = "none",
    progress: Literal["auto", "table", "lines", "none"] = "auto",
    executor: Executor = "local",
) -> RunResult:
    """Run a study on the CPUs and GPUs of this machine or of others, a process a trial.

    Everything that happens is written down in the study's folder before it is acted on: a study whose
    process is killed at any moment goes on with `resume`.

    Parameters
    ----------
    train : str or callable
        The training function, decorated with `hbsim.args`: itself, or ``"FILE.py:NAME"``.
    scheduler : Scheduler
        A new one, of `make_scheduler`. To resume, one of the same options; of fifo, `num_trials` may be more.
    workers : int, optional
        How many trials run at the same time; by default as many as `resource` lets.
    resource : mapping, optional
        What a trial needs: ``{"num_cpus": 2, "num_gpus": 0.5}``; see `hbsim.executors.slots.make_slots`.
    folder : path
        The study's; it holds none yet, unless to resume.
    resume : bool
        Go on with the study in the folder. What ran when it ended starts again from its last checkpoint.
    seed : int
        Of configurations and of the seeds that trials are given.
    searcher : str or Searcher, optional
        Chooses configurations; by default ``"random"``.
    search_options : mapping, optional
        Options of a searcher by name: see `hbsim.searchers.make_searcher`.
    time_attr, reward_attr : str
        The reported names of the resource, and of the metric that decides. With fifo the resource of a
        report without `time_attr` is one more than that of the report before, and `reward_attr` may be None:
        everything is kept, and there is no incumbent.
    args : mapping, optional
        Constants of the training function, in place of those of its decorator; plain JSON types.
    time_out : float, optional
        Study seconds after which everything ends.
    max_reward : float, optional
        The study ends at a report at least as good.
    hang_timeout : float, optional
        Seconds without a report after which a trial has hung: it is killed, and has failed.
    grace : float
        Seconds that a trial has to end once it was told to, before SIGTERM, and again before SIGKILL.
    keep : str
        Whose checkpoints stay at the end of a trial: the incumbent's (``"best"``), those of
        ``"completed"`` trials too, ``"all"`` or ``"none"``. With ``"completed"`` and ``"all"`` a trial that
        reaches R makes one, as a trial that pauses does.
    fsync : str
        When the journal is forced to the disk: at most once a ``"second"``, ``"always"``, ``"never"``.
        It only matters when the machine itself fails.
    start : str, optional
        ``"fork"`` each trial from a warm server (default on Linux), or ``"spawn"`` a new Python.
    until_return : bool
        A trial is complete when its function returns, and is never interrupted: for fifo without max_t.
    visualizer : str
        ``"tensorboard"`` writes event files into the folder (extra ``tensorboard``).
    progress : str
        What is shown on stderr: a live ``"table"``, ``"lines"``, ``"none"``; by default a table on a
        terminal, else lines.
    executor : str, list of str, Hosts or Dask
        Where trials run: ``"local"``, on this machine; on hosts that are reached by SSH, a list of their
        names or an `hbsim.Hosts`; on the workers of a Dask cluster, an `hbsim.Dask`, or ``"dask"`` for a
        cluster in this process. Both are of the extra ``dask``. The journal stays on this machine. A study
        that began with one executor can be resumed with another.

    Returns
    -------
    RunResult
        Its jobs, trials, decisions, reports, incumbents and summary; also written into the folder.

    Raises
    ------
    Interrupted
        At the first Ctrl-C, once what runs has come to its next report and saved its checkpoint; at SIGTERM,
        or a hang-up, what has not after `grace` seconds is ended. The second one kills everything; the study
        can be resumed in any case.
    ParameterError
        Something in the request breaks a rule; before any work starts. Or a trial does not report
        `time_attr` or `reward_attr`.
    OutputError
        The folder is in use by another process, or cannot be written.
    ExecutorError
        The scheduler of the Dask cluster is lost, or no host can run trials any more. The study can be
        resumed.
    JournalError
        The journal is damaged, or the scheduler does not answer as it did.
    """
    stop_if_loading()
    limits = _limits(time_out, max_reward, hang_timeout, grace)
    _check(scheduler, limits, time_attr, reward_attr, searcher)
    check_keep(keep)
    check_shown(visualizer, progress)
    remote = check_executor(executor)
    place = StudyFolder(folder)
    place.check(resume)
    given = constants(args)
    seed = whole("seed", seed, 0)
    check_searcher(searcher, search_options, resumes=True)
    target = make_target(train, by_value=remote is None)
    counts = scheduler.type == "fifo"  # it decides nothing: the resource may be the count of reports
    setup = {"time_attr": time_attr, "reward_attr": reward_attr, "constants": given, "counts": counts}
    check_share(remote, workers, resource)
    with ExitStack() as stack:
        stack.enter_context(place.entered())
        if not resume:
            place.set_aside(teller(progress))
        note = RemoteNote(place)
        if remote is None:
            wait_for_earlier_runs(place.trials, teller(progress))
        storage = None if remote is None else remote.storage
        note.bring_back(storage, teller(progress))
        how = (place.trials, setup, start, grace, note, teller(progress))
        made = make_workers(remote, target, workers, resource, *how)
        stack.callback(made.close)
        unused = stack.enter_context(ExitStack())
        if not resume:
            unused.callback(made.discard)  # unless it begins: what is refused leaves nothing on hosts
        made.launch()
        function = describe(train) if callable(train) else made.describe()
        reported = (time_attr, reward_attr, until_return)
        study = Study(function, scheduler, seed, searcher, search_options, *reported, given)
        if text := about(study.searcher):
            teller(progress)(text)
        made.prepare()
        journal, standing = study.open(place, resume, fsync, _name(remote))
        stack.enter_context(journal)
        unused.pop_all()
        note.begin(storage, scheduler)
        keeper = Keeper(keep, place.trials, scheduler, standing.journal_state, made.prune)
        if resume:
            keeper.catch_up()
        observers: list[Observer] = [keeper]
        observers += shown(stack, study.spec, standing, place, visualizer, progress, made)
        save_completed = keep in ("completed", "all")
        try:
            return study.drive(
                place,
                journal,
                standing,
                made,
                limits,
                observers,
                save_completed,
                partial(_finish, made, keeper, note, None if remote is None else standing),
            )
        except ParameterError:
            if not resume and not standing.journal_state.reports:
                made.discard()  # also on hosts
                made.close()
                journal.close()
                place.discard()  # what was asked for cannot be: nothing has been learnt
            raise


def _name(remote: Hosts | Dask | None) -> str:
    return "local" if remote is None else type(remote).__name__.lower()


def _finish(made: StudyWorkers, keeper: Keeper, note: RemoteNote, standing: Standing | None) -> None:
    """Wait for checkpoints that are of use; say what lets trials go on that were lost for good with hosts."""
    if made.gather(keeper.finish()):
        note.end()
    if standing is None:
        return
    statuses = standing.scheduler.trial_statuses()
    last = {trial: kind for trial, kind, _ in standing.journal_state.failures}
    lost = sum(kind in LOSSES and statuses[trial] == "failed" for trial, kind in last.items())
    if lost:
        options = standing.scheduler.options
        name = "retries" if options.loss_retries is None else "loss_retries"
        count = "1 trial was lost and has" if lost == 1 else f"{lost:,} trials were lost and have"
        text = f"{count} failed for good, by {name}={getattr(options, name)}: with more loss_retries such a "
        warnings.warn(HbsimWarning(f"{text}trial goes on from its last checkpoint"), stacklevel=5)


def _limits(
    time_out: float | None, max_reward: float | None, hang_timeout: float | None, grace: float
) -> Limits:
    if exact("grace", grace) < 0:
        raise ParameterError("grace", grace, "must be 0 or more, in seconds")
    ends, hangs = seconds("time_out", time_out), seconds("hang_timeout", hang_timeout)
    good = None if max_reward is None else float(exact("max_reward", max_reward))
    return Limits(ends or math.inf, good, hangs or math.inf, float(grace))


def _check(
    scheduler: Scheduler,
    limits: Limits,
    time_attr: str,
    reward_attr: str | None,
    searcher: str | Searcher | None,
) -> None:
    if not isinstance(scheduler, Scheduler):
        raise ParameterError("scheduler", scheduler, "must be made by hbsim.make_scheduler")
    if scheduler.started:
        raise ParameterError("scheduler", scheduler, "must be new: it has started trials")
    has_target = limits.max_reward is not None
    model_based = isinstance(searcher, str) and learns(searcher)
    check_names(time_attr, reward_attr, scheduler.type != "fifo" or has_target or model_based)
    has_end = limits.time_out < math.inf or has_target or ends(searcher)
    if scheduler.options.num_trials is None and not has_end:
        rule = "without it the study has no end: give num_trials, time_out or max_reward"
        raise ParameterError("num_trials", None, rule)
