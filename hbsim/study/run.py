"""Real studies: the scheduler and loop of a simulation, with processes that train."""

from __future__ import annotations

import os
import secrets
import signal
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from hbsim.core.scheduler import Scheduler
from hbsim.core.space import arguments, space_of
from hbsim.core.types import LOSSES
from hbsim.errors import HbsimWarning, OutputError, ParameterError
from hbsim.executors.command import Command
from hbsim.executors.local import LOG, trial_folder
from hbsim.executors.remote.controller import wait_for_earlier_runs
from hbsim.executors.remote.options import Dask, Hosts
from hbsim.executors.training_function import FunctionDescription, describe, make_target, stop_if_loading
from hbsim.options import named_options
from hbsim.runner.journal import Journal
from hbsim.runner.journal_reader import read_records, start_of
from hbsim.runner.loop import SearcherNotifier, drive
from hbsim.runner.real import Limits, RealExecutor
from hbsim.runner.workers import WorkerBackend
from hbsim.runner.writer import Observer
from hbsim.searchers import (
    Searcher,
    SearchTask,
    about,
    check_searcher,
    ends,
    learns,
    limit_trials,
    make_searcher,
)
from hbsim.study.callback_process import call_callbacks, name_callbacks
from hbsim.study.callbacks import Callback, StudyInfo
from hbsim.study.checkpoint_retention import CheckpointRetention
from hbsim.study.folder import RemoteRuns, StudyFolder, environment
from hbsim.study.interrupts import Interrupted, interruptible
from hbsim.study.options import RunOptions, check_names, warn_of_ignored
from hbsim.study.page import PageProcess
from hbsim.study.progress_display import printer, shown
from hbsim.study.progress_summary import near
from hbsim.study.spec import StudySpec, StudyState, new_state, replay
from hbsim.study.workers import Executor, StudyWorkers, check_executor, check_share, make_workers
from hbsim.terminal import print_err

if TYPE_CHECKING:
    from hbsim.simulation import Cluster
    from hbsim.study.result import RunResult
    from hbsim.study.simulated_run import SimulatedResult
    from hbsim.surrogates import Surrogate


# Why there is no model of the best report, for a training function and for a script.
NO_STATE: Final = (
    "a function has it kept by reporter.on_pause, or by reporter.save after each report; if that took too "
    "long, the trial's log says so"
)
NO_FILES: Final = "a script has it kept by files in hbsim.checkpoint_dir()"


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
    metric: str | None = "accuracy",
    args: Mapping[str, object] | None = None,
    max_time: float | str | None = None,
    max_reward: float | None = None,
    hang_timeout: float | str | None = None,
    trial_timeout: float | str | None = None,
    grace: float | str = 5.0,
    keep: Literal["best", "completed", "all", "none"] = "best",
    fsync: Literal["second", "always", "never"] = "second",
    start: Literal["fork", "spawn"] | None = None,
    until_return: bool = False,
    visualizer: Literal["none", "tensorboard"] = "none",
    callbacks: Sequence[str | Callback] = (),
    html: bool | Path | str = False,
    progress: Literal["auto", "table", "lines", "none"] = "auto",
    surrogate: str | os.PathLike[str] | Surrogate | None = None,
    surrogate_options: Mapping[str, object] | None = None,
    cluster: Cluster | None = None,
    replace: bool = False,
    executor: Executor = "local",
) -> RunResult | SimulatedResult:
    """Run a study on the CPUs and GPUs of this machine or of others, each trial in its own process.

    Every event is written to the journal in the study's folder before the study acts on it: a study whose
    process is killed at any moment goes on with `resume`. With ``executor="sim"`` the same study is
    simulated, and nothing is written.

    Parameters
    ----------
    train : str or callable
        The training function, decorated with `hbsim.args`: itself, or ``"FILE.py:NAME"``. Or an
        `hbsim.Command`, for a script.
    scheduler : Scheduler
        A new scheduler by `make_scheduler`. To resume, with the same options, or a higher `num_trials`: the
        study is extended.
    workers : int, optional
        How many trials run at the same time; by default as many as `resource` allows.
    resource : mapping, optional
        What a trial needs: ``{"num_cpus": 2, "num_gpus": 0.5}``; see `hbsim.executors.slots.make_slots`.
    folder : path
        The study's folder; it holds a study only with `resume`.
    resume : bool
        Go on with the study in the folder. Jobs that ran when it ended restart from their last checkpoints.
    seed : int
        Seed of the configurations and of the trials' seeds.
    searcher : str or Searcher, optional
        Chooses configurations; by default ``"random"``.
    search_options : mapping, optional
        Options of a searcher by name: see `hbsim.searchers.make_searcher`.
    time_attr, metric : str
        The reported names of the resource, and of the metric that decides. With fifo the resource of a
        report without `time_attr` is one more than that of the report before, and `metric` may be None:
        all reports are kept, and there is no incumbent.
    args : mapping, optional
        Constants of the training function, in place of those of its decorator; plain JSON types.
    max_time : float or str, optional
        Study seconds after which the study ends; a text as ``"8h"`` is a duration, here and below.
    max_reward : float, optional
        The study ends at a report at least as good as this.
    hang_timeout : float or str, optional
        Seconds without a report after which a trial counts as hung: it is killed, and has failed.
    trial_timeout : float or str, optional
        Seconds of training, in all jobs of a trial together, after which the trial fails with an error that
        names the limit. Start-up and waiting do not count. What it has reported is kept.
    grace : float or str
        Seconds that a trial has to end by itself before it gets SIGTERM, and again before it gets SIGKILL.
    keep : str
        Which checkpoints are kept at the end of a trial: the incumbent's (``"best"``), those of
        ``"completed"`` trials too, ``"all"`` or ``"none"``. With ``"completed"`` and ``"all"`` a trial that
        reaches R makes a checkpoint, as a trial that pauses does.
    fsync : str
        When the journal is synced to disk: at most once a ``"second"``, ``"always"``, ``"never"``. This
        only matters if the machine itself fails.
    start : str, optional
        ``"fork"`` each trial from a warm server (default on Linux), or ``"spawn"`` a new Python.
    until_return : bool
        A trial is complete when its function returns, and is never interrupted: for fifo without max_t.
    visualizer : str
        ``"tensorboard"`` is short for this callback.
    callbacks : sequence of Callback or str
        What is called at each event, after the event is in the journal: objects of classes derived from
        `hbsim.Callback`; texts ``"FILE.py:NAME"``; ``"tensorboard"``, ``"wandb"`` and ``"mlflow"`` (extras of
        the same names), a run for each trial.
    html : bool or path
        Keep a page of the study up to date while it runs, in this file or in ``study.html`` in the folder:
        learning curves, hyperparameters, workers, and all trials. A process of low priority writes it.
    progress : str
        The progress shown on stderr: a live ``"table"``, ``"lines"`` or ``"none"``; by default a table on
        a terminal, in a notebook one line in the cell, else lines.
    surrogate : str, path or Surrogate, optional
        For ``executor="sim"``, the learning curves: the folder of an earlier study of the function, a file of
        recorded curves, ``"synthetic"`` for curves by a formula, or what `hbsim.surrogates.load` takes. By
        default those of the study in `folder`. Configurations are the recorded ones; with curves by a formula
        they come from the function's search space, and curves are at random.
    surrogate_options : mapping, optional
        How the curves are read: keywords of `hbsim.surrogates.load`, such as ``{"censored": "fail"}``.
    cluster : Cluster, optional
        For ``executor="sim"``: what start-up, checkpoints, stragglers and failures cost; by default nothing.
    replace : bool
        For ``executor="sim"``: whether recorded curves may be used again, if there are more trials.
    executor : str, list of str, Hosts or Dask
        Where trials run: ``"local"``, on this machine; a list of names or an `hbsim.Hosts`, on hosts that
        are reached by SSH; an `hbsim.Dask`, on the workers of a Dask cluster, or ``"dask"`` for a cluster in
        this process. Hosts and Dask need the extra ``dask``. The journal stays on this machine. A study
        that began with one executor can be resumed with another. ``"sim"`` simulates the study, with the
        number of workers that it would have on this machine.

    Returns
    -------
    RunResult or SimulatedResult
        The jobs, trials, decisions, reports, incumbents and summary; also written into the folder, but by a
        simulation.

    Warns
    -----
    HbsimWarning
        Options have no meaning for this executor: which ones; or all trials failed: why the first one did.

    Raises
    ------
    Interrupted
        At the first Ctrl-C, after all running trials have reached their next report and saved their
        checkpoints; at SIGTERM, SIGHUP or SIGUSR1 trials that have not after `grace` seconds are ended. The
        second signal kills all trials; the study can be resumed in any case.
    ParameterError
        An option breaks a rule, before any work starts; or a trial does not report `time_attr` or `metric`.
    OutputError
        Another process uses the folder, or it cannot be written.
    ExecutorError
        The scheduler of the Dask cluster is lost, or no host can run trials any more. The study can be
        resumed.
    JournalError
        The journal is damaged, or the scheduler decides something else than the journal says.
    """
    stop_if_loading()
    options = RunOptions.checked(
        workers=workers,
        resource=resource,
        folder=folder,
        resume=resume,
        seed=seed,
        searcher=searcher,
        search_options=search_options,
        time_attr=time_attr,
        metric=metric,
        args=args,
        max_time=max_time,
        max_reward=max_reward,
        hang_timeout=hang_timeout,
        trial_timeout=trial_timeout,
        grace=grace,
        keep=keep,
        fsync=fsync,
        start=start,
        until_return=until_return,
        visualizer=visualizer,
        callbacks=callbacks,
        html=html,
        progress=progress,
        surrogate=surrogate,
        surrogate_options=surrogate_options,
        cluster=cluster,
        replace=replace,
        executor=executor,
    )
    warn_of_ignored(options, stacklevel=4)
    if executor == "sim":
        from hbsim.study.simulated_run import run_simulated

        return run_simulated(train, scheduler, options)
    result = run_study(train, scheduler, options)
    warn_if_all_failed(result, stacklevel=4)
    return result


def warn_if_all_failed(result: RunResult, stacklevel: int) -> None:
    """Warn if all trials of a study have failed: why the first one did."""
    from hbsim.study.result import all_failed

    if text := all_failed(result):
        log = near(trial_folder(result.folder / "trials", result.failures["trial"][0]) / LOG)
        warnings.warn(HbsimWarning(f"{text}; see {log}"), stacklevel=stacklevel)


def run_study(train: str | Callable[..., object], scheduler: Scheduler, options: RunOptions) -> RunResult:
    """Run a study with checked options; see `run`."""
    check_study_options(scheduler, options)
    remote = check_executor(options.executor)
    study_folder, resume = StudyFolder(options.folder), options.resume
    study_folder.check(resume)
    check_searcher(options.searcher, options.search_options, resumes=True)
    train = _with_options(train, scheduler, options, is_local=remote is None)
    target = make_target(train, by_value=remote is None)
    check_share(remote, options.workers, options.resource)
    callbacks = name_callbacks(callbacks_of(options))
    say = printer(options.progress)
    with ExitStack() as stack:
        stack.enter_context(study_folder.entered())
        if not resume:
            study_folder.set_aside(say)
        note = RemoteRuns(study_folder)
        if remote is None:
            wait_for_earlier_runs(study_folder.trials, say)
        storage = None if remote is None else remote.storage
        note.bring_back(storage, say)
        counts = scheduler.type == "fifo"  # fifo decides nothing, so the resource may be the count of reports
        made = make_workers(remote, target, options, counts, scheduler.mode, study_folder.trials, note, say)
        stack.callback(made.close)
        unused = stack.enter_context(ExitStack())
        if not resume:
            unused.callback(made.discard)  # unless the study begins: a refused study leaves no files on hosts
        made.launch()
        function = describe(train) if callable(train) else made.describe()
        study = StudyRun(function, scheduler, options)
        if text := about(study.searcher):
            say(text)
        made.prepare()
        page = stack.enter_context(PageProcess(study_folder.path, options.html))
        journal, state = study.open(study_folder, resume, options.fsync, _how(remote, options))
        stack.enter_context(journal)
        unused.pop_all()
        note.begin(storage, scheduler)
        retention = CheckpointRetention(
            options.keep, study_folder.trials, scheduler, state.journal_state, made.prune
        )
        if resume:
            retention.catch_up()
            if text := _about_resumed(study, retention):
                say(text)
        page.start()
        observers: list[Observer] = [retention]
        info = StudyInfo(study.spec, study_folder.path, resume, time.time() - state.journal_state.now)
        called = stack.enter_context(ExitStack())
        observers += call_callbacks(called, callbacks, info, state)
        observers += shown(stack, study.spec, state, study_folder, options, made)
        save_completed = options.keep in ("completed", "all")
        try:
            result = study.drive(
                study_folder,
                journal,
                state,
                made,
                options.limits,
                observers,
                save_completed,
                partial(_finish, made, retention, note, None if remote is None else state),
            )
            if options.keep != "none" and (best := result.best) is not None and best.checkpoint is None:
                how = NO_FILES if isinstance(train, Command) else NO_STATE
                say(f"no model of the best report, of trial {best.trial}, was kept: {how}")
            return result
        except ParameterError:
            if not resume and not state.journal_state.reports:
                called.__exit__(*sys.exc_info())  # no process writes into the folder any more
                made.discard()  # its files on hosts as well
                made.close()
                journal.close()
                study_folder.discard()  # an option was wrong, and there are no results yet
            raise


def _about_resumed(study: StudyRun, retention: CheckpointRetention) -> str:
    """Return what the user of a resumed study may not expect: trials from zero, or nothing to run."""
    if study.is_extended:
        return retention.missing()
    if not study.scheduler.done:
        return ""
    limit = study.scheduler.num_trials
    more = "" if limit is None else f"; it goes on with a num_trials (--num-trials) above {limit}"
    return f"the study is over: nothing is left to run{more}"


def callbacks_of(options: RunOptions) -> Sequence[str | Callback]:
    """Return the callbacks of a study, with the one that `visualizer` names."""
    also = options.visualizer
    return options.callbacks if also == "none" or also in options.callbacks else (*options.callbacks, also)


def _with_options(
    train: str | Callable[..., object], scheduler: Scheduler, options: RunOptions, is_local: bool
) -> str | Callable[..., object]:
    """Return a training function; a command gets the study's options, after a check."""
    if not isinstance(train, Command):
        return train
    max_t = None if options.until_return else scheduler.options.max_t
    return train.for_study(max_t, options.grace, is_local)


def _how(remote: Hosts | Dask | None, options: RunOptions) -> dict[str, object]:
    """Return what the study's folder keeps of how the study runs: the executor, and what ends it."""
    executor = "local" if remote is None else type(remote).__name__.lower()
    return {"executor": executor, "max_time": options.max_time, "max_reward": options.max_reward}


def _finish(
    made: StudyWorkers, retention: CheckpointRetention, note: RemoteRuns, state: StudyState | None
) -> None:
    """Wait for needed checkpoints to be stored; on lost hosts, say how their failed trials can go on."""
    if made.gather(retention.finish()):
        note.end()
    if state is None:
        return
    statuses = state.scheduler.trial_statuses()
    last = {trial: kind for trial, kind, _ in state.journal_state.failures}
    lost = sum(kind in LOSSES and statuses[trial] == "failed" for trial, kind in last.items())
    if lost:
        options = state.scheduler.options
        name = "retries" if options.loss_retries is None else "loss_retries"
        count = "1 trial was lost and has" if lost == 1 else f"{lost:,} trials were lost and have"
        text = f"{count} failed for good, by {name}={getattr(options, name)}: with more loss_retries such a "
        warnings.warn(HbsimWarning(f"{text}trial goes on from its last checkpoint"), stacklevel=6)


def check_study_options(scheduler: Scheduler, options: RunOptions) -> None:
    """Check rules that involve several options."""
    if not isinstance(scheduler, Scheduler):
        raise ParameterError("scheduler", scheduler, "must be made by hbsim.make_scheduler")
    if scheduler.started:
        raise ParameterError("scheduler", scheduler, "must be new: it has started trials")
    searcher, has_target = options.searcher, options.max_reward is not None
    model_based = isinstance(searcher, str) and learns(searcher)
    check_names(options.time_attr, options.metric, scheduler.type != "fifo" or has_target or model_based)
    has_end = options.max_time is not None or has_target or ends(searcher)
    if scheduler.options.num_trials is None and not has_end:
        rule = "without it the study has no end: give num_trials, max_time or max_reward"
        raise ParameterError("num_trials", None, rule)


class StudyRun:
    """A study about to run: its training function, scheduler and searcher.

    Attributes
    ----------
    spec : StudySpec
        The description of the study.
    """

    def __init__(self, function: FunctionDescription, scheduler: Scheduler, options: RunOptions) -> None:
        check_constants(function, options.constants)
        check_searcher(options.searcher, options.search_options, resumes=True)
        searcher = options.searcher
        if searcher is None or isinstance(searcher, str):
            max_t = scheduler.options.max_t
            task = SearchTask(function.space, options.seed, mode=scheduler.mode, max_t=max_t)
            searcher = make_searcher(searcher or "random", task, options.search_options)
        self.searcher: Searcher = searcher
        limit_trials(scheduler, searcher)
        self.notifier = SearcherNotifier(searcher, scheduler)
        limit = getattr(searcher, "limit", None)
        self.spec = StudySpec.of(function, scheduler, options, limit, secrets.token_hex(8))
        self.scheduler = scheduler
        self._files = function.files
        self._extended_to: int | None = None  # the new number of trials, if there are more

    @property
    def is_extended(self) -> bool:
        """Whether the study goes on with more trials than before."""
        return self._extended_to is not None

    def open(
        self, study_folder: StudyFolder, resume: bool, fsync: str, how: Mapping[str, object]
    ) -> tuple[Journal, StudyState]:
        """Create the journal, or open it and restore the state at its end; `how` it runs is kept too."""
        about = {**environment(), **how}
        if not resume:
            # Before the journal: with a journal the folder is a study, which keeps how it was begun.
            study_folder.note_environment(about)
            journal = study_folder.create(self.spec.as_dict(), fsync)
            return journal, new_state(self.spec, self.scheduler)
        journal = Journal.open(study_folder.journal, fsync)
        try:
            state = self._read(str(study_folder.journal))
            study_folder.note_environment(about)
        except BaseException:
            journal.close()
            raise
        return journal, state

    def _read(self, path: str) -> StudyState:
        """Return the state at the end of a journal; check that it is of the same study."""
        records = read_records(path, together=True)
        before = StudySpec.from_dict(start_of(records).spec, path)
        before.check_same(self.spec)
        self.spec = replace(self.spec, study=before.study)
        if before.digest != self.spec.digest:
            what = self._files or self.spec.train
            text = f"{what} has changed since the study began: its trials may not compare"
            warnings.warn(HbsimWarning(text), stacklevel=6)
        began = before.make_scheduler()
        if began.options.num_trials == self.scheduler.options.num_trials:
            state = new_state(self.spec, self.scheduler)
            replay(state, records, path, self.notifier, self.spec.space.dimension)
            return state
        state = new_state(self.spec, began)
        replay(state, records, path, self.notifier, self.spec.space.dimension)
        self._extend(began)
        self.scheduler.load_state_dict(began.state_dict())
        limit_trials(self.scheduler, self.searcher)
        return replace(state, scheduler=self.scheduler)

    def _extend(self, scheduler: Scheduler) -> None:
        """Let a study that was replayed have as many trials as the new scheduler, if these are more."""
        trials, now = self.scheduler.options.num_trials, scheduler.options.num_trials
        if trials is None or now is None or trials == now:
            return
        if trials < now:
            did = "was extended to" if scheduler.extensions else "began with"
            rule = f"the study {did} {now}; it goes on with as many or more"
            raise ParameterError("num_trials", trials, rule)
        scheduler.extend(trials)
        self._extended_to = trials

    def drive(
        self,
        study_folder: StudyFolder,
        journal: Journal,
        state: StudyState,
        workers: WorkerBackend,
        limits: Limits,
        observers: Sequence[Observer],
        save_completed: bool,
        gather: Callable[[], None],
    ) -> RunResult:
        """Run the study to its end; call `gather` once no trial runs any more."""
        from hbsim.study.result import RunResult

        scheduler, journal_state = self.scheduler, state.journal_state
        real = RealExecutor(
            workers,
            journal,
            journal_state,
            scheduler.geometry,
            self._suggest,
            lambda: scheduler.done,
            self.spec.seed,
            scheduler.mode,
            time.monotonic,
            limits,
            self.spec.until_return,
            observers,
            save_completed,
        )
        if journal.count > 1 or self._extended_to is not None:
            real.resume(scheduler.running_jobs(), self._extended_to)
        with interruptible(lambda number: _interrupt(real, number, limits.grace)):
            try:
                drive(scheduler, real, state.decisions, self.notifier)
            except OutputError:
                journal.check()  # gives a better error if the whole folder was removed
                raise
            gather()
            workers.close()
        real.finish(scheduler.done)
        journal.check()
        count = max(workers.count, journal_state.workers_seen)
        result = RunResult(study_folder, self.spec, scheduler, journal_state, state.decisions, count)
        result.write()
        if real.ends.interrupted:
            text = f"interrupted after {result.end_time:.4g} s; resume=True goes on in {result.folder}"
            raise Interrupted(text, result)
        return result

    def _suggest(self) -> list[float]:
        point: list[float] = self.searcher.suggest(1).tolist()[0]
        return point


def _interrupt(real: RealExecutor, number: int, grace: float) -> None:
    hurried = number != signal.SIGINT  # senders of other signals do not wait for long
    real.interrupt(hurried)
    text = "finishing: each trial leaves at its next report and keeps its checkpoint"
    text += f"; what has not left in {grace:g} s is ended" if hurried else ""
    text += "; Ctrl-C again kills them"
    # The terminal may be gone, or in the middle of a line: an error in a handler would end the study.
    with suppress(OSError, ValueError, RuntimeError):
        print_err(f"hbsim: {text}")


def check_constants(
    function: Callable[..., object] | FunctionDescription, constants: Mapping[str, object]
) -> None:
    """Check that `constants` are arguments of the function, and not parameters of its space."""
    searched = {name.partition(".")[0] for name in space_of(function)}  # a nested space has names with dots
    for name, value in constants.items():
        if name in space_of(function) or name in searched:
            raise ParameterError(name, value, "is searched over: the searcher sets it")
    arguments(function, constants)
