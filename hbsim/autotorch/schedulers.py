"""AutoTorch's scheduler classes, with AutoTorch's names and parameters."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hbsim.autotorch.options import (
    MAX_REWARD,
    Keep,
    Progress,
    Start,
    StudyParameters,
    TrainFunction,
    Visualizer,
    chosen_executor,
    chosen_max_reward,
    chosen_searcher,
    in_autotorch_words,
    with_hosts,
)
from hbsim.core.numbers import exact, whole
from hbsim.core.options import suggest_type
from hbsim.core.types import Mode
from hbsim.errors import HbsimError, HbsimWarning, ParameterError
from hbsim.executors.training_function import stop_if_loading
from hbsim.options import flag, named_options
from hbsim.searchers import check_searcher, ends, learns
from hbsim.study.options import RunOptions, seconds

if TYPE_CHECKING:
    import polars as pl

    from hbsim.autotorch.managers import HyperbandManager
    from hbsim.autotorch.searchers import BaseSearcher
    from hbsim.autotorch.tasks import Task
    from hbsim.core.scheduler import Scheduler
    from hbsim.executors.remote.options import Dask, Hosts
    from hbsim.searchers import Searcher
    from hbsim.simulation import Cluster
    from hbsim.study.result import RunResult
    from hbsim.study.simulated_run import SimulatedResult
    from hbsim.surrogates import Surrogate


class TaskScheduler:
    """The base class of `FIFOScheduler` and `HyperbandScheduler`: a study that `run` or `join_jobs` starts.

    Attributes
    ----------
    executor : str
        ``"local"``, ``"hosts"``, ``"dask"`` or ``"sim"``.
    """

    executor: str
    train_fn: TrainFunction
    args: object
    resource: Mapping[str, object] | None
    num_trials: int | None
    time_out: float | None
    max_reward: float | None

    def _prepare(
        self,
        setting: StudyParameters,
        executor: str,
        surrogate: object,
        cluster: Cluster | None,
        checkpoint: str | os.PathLike[str] | None,
        resume: bool,
    ) -> None:
        stop_if_loading()
        # These imports load polars and more, which a file executed for its functions does not need.
        from hbsim.autotorch.running import CheckpointFolder, StudyRunner
        from hbsim.autotorch.state import options_of
        from hbsim.autotorch.studies import make_study

        self.executor = executor
        self.train_fn, self.resource, self.num_trials = (
            setting.train_fn,
            setting.run.resource,
            setting.num_trials,
        )
        self.time_out, self.max_reward = setting.run.max_time, setting.run.max_reward
        self._resume = flag("resume", resume)
        self._study = make_study(executor, setting, surrogate, cluster)
        place = CheckpointFolder(checkpoint)
        if executor != "sim":
            place.check()
        self._options = options_of(executor, setting, self._study)
        self._running = StudyRunner(self._study, place, resume)
        self._fresh = self._study.fresh(setting.num_trials)
        self._queue: list[tuple[int, list[float]]] = []
        self._scheduled = 0  # how many trials `schedule_next` and `add_job` have asked for, in all

    @property
    def _setting(self) -> StudyParameters:
        return self._study.setting

    # Running

    def run(
        self, num_trials: int | None = None, time_out: float | None = None
    ) -> RunResult | SimulatedResult:
        """Run the study, and return its result; at once if it is over.

        After an interruption it goes on where it stopped.

        Parameters
        ----------
        num_trials : int, optional
            How many trials the study starts in all; by default as many as the scheduler was made with. A
            higher number than before makes a study that is over go on.
        time_out : float, optional
            Seconds from now after which the study is over; by default those of the scheduler.

        Raises
        ------
        Interrupted
            A KeyboardInterrupt at Ctrl-C; `result` is available afterwards.
        ParameterError
            A trial does not report `time_attr` or `reward_attr`; or nothing says when the study ends.
        OutputError
            The folder is in use by another process, or cannot be written.
        ExecutorError
            The scheduler of the Dask cluster is lost, or all hosts; the next call goes on.
        """
        given = None if num_trials is None else whole("num_trials", num_trials, 1)
        seconds_left = seconds("time_out", time_out)
        goal = self._setting.goal(given, self._scheduled, seconds_left)
        return self._running.run(self._queue, goal, time_out=seconds_left)

    def join_jobs(self, timeout: float | None = None) -> None:
        """Run what `schedule_next` and `add_job` have scheduled, or the whole study if it has not run.

        It returns at once if there is nothing to run.

        Parameters
        ----------
        timeout : float, optional
            Seconds after which it returns; running trials are then saved as at an interruption, and `run` or
            `join_jobs` goes on. Simulations ignore it.

        Raises
        ------
        Interrupted, ParameterError, OutputError, ExecutorError
            As in `run`.
        """
        waits = seconds("timeout", timeout)
        goal = self._running.goal
        if not (self._running.goals or (self._scheduled and not self._resume)):
            goal = self._setting.goal(None, self._scheduled, None)
        elif self._scheduled > (goal or 0):
            goal = self._scheduled
        self._running.run(self._queue, goal, timeout=waits)

    def schedule_next(self) -> None:
        """Schedule one more trial, with a configuration of the searcher; `join_jobs` or `run` runs it."""
        self._scheduled = max(self._scheduled, self._core().started) + 1

    def add_job(
        self,
        task: object,
        *,
        bracket: int | None = None,
        new_config: bool = True,
        config_key: int | None = None,
        resume_from: float | None = None,
        milestone: float | None = None,
    ) -> None:
        """Schedule one more trial, with a configuration of your own; `join_jobs` or `run` runs it.

        Parameters
        ----------
        task : mapping or Task
            The value of every parameter by name; or a task of `train_fn`, with them in
            ``task.args["config"]``. It trains with the constants of the scheduler.
        bracket, config_key, resume_from, milestone : optional
            Taken as in AutoTorch, and not used: the scheduler decides itself which bracket a new trial gets,
            and which trial goes on.
        new_config : bool
            False says that a trial is promoted; the scheduler does so itself, and nothing is scheduled.

        Raises
        ------
        ParameterError
            A name is missing or unknown, or a value lies outside of its range.
        HbsimError
            The study has begun, and its searcher has a number of configurations, as a grid has.
        """
        from hbsim.autotorch.options import point_of

        if self._running.goals and ends(self._setting.run.searcher):
            raise HbsimError("the study has begun, and its searcher ends: add jobs before it runs")

        if getattr(task, "fn", self.train_fn) != self.train_fn:
            raise ParameterError("task", task, "must be of the scheduler's train_fn; run_job runs any task")
        point = point_of(task, self._study.space)
        if flag("new_config", new_config):
            self.schedule_next()
            self._queue.append((self._scheduled - 1, point))

    def add_task(self, task: object) -> None:
        """Call `add_job`, whose name in AutoTorch this was before."""
        self.add_job(task)

    def join_tasks(self) -> None:
        """Call `join_jobs`, whose name in AutoTorch this was before."""
        self.join_jobs()

    def shutdown(self) -> None:
        """Run what is scheduled. No process, host or connection outlives a call of `run` or `join_jobs`."""
        if self._running.goals or self._scheduled:
            self.join_jobs()

    def run_with_config(self, config: Mapping[str, object]) -> Any:
        """Call the training function with a configuration in this process, and return what it returns.

        It is no trial of the study: its reports go nowhere, and it trains if the study is simulated, too.

        Parameters
        ----------
        config : mapping
            Values by name, such as `get_best_config` returns.

        Raises
        ------
        ParameterError
            A name is no parameter of the training function.
        """
        from hbsim.autotorch.tasks import Task

        constants = self._setting.run.constants
        return self.run_job(Task(self.train_fn, {"args": constants, "config": config}, self.resource))

    def run_job(self, task: Task) -> Any:
        """Run a task in this process, and return what its function returns; see `run_with_config`."""
        from hbsim.autotorch.tasks import run_task

        return run_task(task)

    def add_remote(self, ip_addrs: str | Sequence[str]) -> None:
        """Add hosts for trials from the next call of `run` or `join_jobs` on; see `dist_ip_addrs`.

        Raises
        ------
        ParameterError
            The addresses are none, or the study runs on a Dask cluster.
        """
        setting = self._setting
        executor = with_hosts(setting.run.executor, ip_addrs)
        self._study.setting = replace(setting, run=replace(setting.run, executor=executor))
        if self.executor == "local":
            self.executor = "hosts"

    # Results

    @property
    def result(self) -> RunResult | SimulatedResult:
        """The result of the study: a `RunResult`, or the `SimulatedResult` of a simulation.

        Raises
        ------
        HbsimError
            The study has not run.
        """
        if self._running.result is None:
            raise HbsimError("the study has not run: call run() or join_jobs() first")
        return self._running.result

    @property
    def folder(self) -> Path:
        """The study's folder."""
        return self._running.place.path

    def get_best_config(self) -> dict[str, object]:
        """Return the configuration of the incumbent: the trial with the best value reported.

        Raises
        ------
        HbsimError
            The study has not run, or no trial has reported a number. So do the next two.
        """
        return self.result.configuration(self.get_best_task_id())

    def get_best_reward(self) -> float:
        """Return the best value reported."""
        return float(self._best()["value"])

    def get_best_task_id(self) -> int:
        """Return the number of the trial with the best value reported."""
        return int(self._best()["trial"])

    def get_best_state(self) -> Any:
        """Return what the best trial had saved at its best report; None if nothing was saved.

        Raises
        ------
        HbsimError
            The study has not run.
        OutputError
            It cannot be read.
        """
        best = self.result.best
        return None if best is None or best.checkpoint is None else best.load()

    @property
    def num_finished_tasks(self) -> int:
        """How many trials have ended or paused."""
        return self._core().started - self._core().status_counts()["running"]

    @property
    def config_history(self) -> dict[int, dict[str, object]]:
        """The configuration of each trial, by number."""
        if self._running.result is None:
            return {}
        return {trial: self.result.configuration(trial) for trial in range(self._core().started)}

    @property
    def training_history(self) -> dict[int, list[dict[str, object]]]:
        """The reports of each trial, by number: dicts of the names and values reported.

        A report has the trial's configuration, too; with `HyperbandScheduler` its ``bracket``; and the last
        one ``done=True`` if the trial has ended or paused, with ``terminated=True`` if the scheduler did it.
        """
        from hbsim.autotorch.curves import history

        return (
            {} if self._running.result is None else history(self.result, self._setting, self.config_history)
        )

    @property
    def searcher(self) -> BaseSearcher | Searcher:
        """The searcher, with the results so far: the object that was given, or a new one for a name.

        Rewards are maximised: with ``mode="min"`` they are the negative of the values.
        """
        from hbsim.autotorch.searchers import searcher_of

        return searcher_of(self._setting.run.searcher, self._study.task, self._results())

    def _results(self) -> list[tuple[dict[str, object], float]]:
        """Return the configuration and the best value of each trial that has reported a number."""
        if self._running.result is None:
            return []
        best = dict(self.result.trials.select("trial", "best").drop_nulls().iter_rows())
        return [(config, best[trial]) for trial, config in self.config_history.items() if trial in best]

    @property
    def metadata(self) -> dict[str, object]:
        """The search space, the searcher, what ends the study, and what a trial needs."""
        setting = self._setting
        return {
            "search_space": {} if self._study.space is None else dict(self._study.space.parameters),
            "search_strategy": getattr(setting.run.searcher, "searcher", setting.run.searcher) or "random",
            "stop_criterion": {"time_limits": setting.run.max_time, "max_reward": setting.run.max_reward},
            "resources_per_trial": setting.run.resource,
        }

    def _best(self) -> Mapping[str, Any]:
        better = self.result.incumbent()
        if not len(better):
            raise HbsimError("no trial has reported a number")
        return better.row(-1, named=True)

    def get_training_curves(
        self,
        filename: str | os.PathLike[str] | None = None,
        plot: bool = False,
        use_legend: bool = True,
    ) -> pl.DataFrame:
        """Return all reports, and draw the learning curves.

        Parameters
        ----------
        filename : path, optional
            Where to save the picture (``.png``, ``.pdf``, ``.svg``).
        plot : bool
            Show it in a notebook; else it is saved, as ``curves.png`` in the study's folder where no
            `filename` is given, and opened where there is a display. A simulated study writes nothing into
            the folder: its picture is a temporary file, and without a display a line says where.
        use_legend : bool
            Whether the picture names the trials.

        Returns
        -------
        polars.DataFrame
            A row for each report: trial, resource, value (null if it is not a number).

        Raises
        ------
        HbsimError
            The study has not run.
        OutputError
            The picture cannot be written.
        """
        flag("plot", plot)
        flag("use_legend", use_legend)
        if filename is not None or plot:
            from hbsim.autotorch.curves import draw

            draw(self.result, filename, show=plot, legend=use_legend)
        return self.result.reports.select("trial", "resource", "value")

    # SchedulerState

    def state_dict(self, destination: MutableMapping[str, object] | None = None) -> dict[str, object]:
        """Return the whole state in plain JSON types.

        Parameters
        ----------
        destination : dict, optional
            Filled with the state as well.

        Returns
        -------
        dict
            The state for `load_state_dict`. It names the study's folder, which keeps the journal.
        """
        from hbsim.autotorch.state import make_state

        state = make_state(self._options, self._core(), str(self.folder), self._queue).as_dict()
        if destination is not None:
            destination.update(state)
        return state

    def load_state_dict(self, state_dict: Mapping[str, object]) -> None:
        """Restore a state, with the study in the folder that it names, or in this scheduler's folder.

        Parameters
        ----------
        state_dict : mapping
            What `state_dict` returned, of a scheduler of the same options.

        Raises
        ------
        ParameterError
            The options differ, the state is not valid, or the study is in neither folder.
        HbsimError
            This scheduler has begun to run.
        """
        from hbsim.autotorch.state import adopt, read_state

        if self._running.begun or self._running.result is not None:
            raise HbsimError("this study has begun: load the state into a new scheduler")
        state, core = read_state(state_dict, self._options, self._study.fresh, self._study.space)
        if core.started and self.executor != "sim":
            adopt(self._running, self._study, state)
        self._fresh = core
        self._queue = list(state.queue)
        self._scheduled = max((trial + 1 for trial, _ in state.queue), default=0)

    def save(self, checkpoint: str | os.PathLike[str] | None = None) -> Path:
        """Write the state into a JSON file atomically.

        Parameters
        ----------
        checkpoint : path, optional
            A file or an existing folder; by default ``scheduler.json`` in the study's folder.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        OutputError
            It cannot be written.
        """
        from hbsim.autotorch.state import write_state

        return write_state(self.state_dict(), self.folder if checkpoint is None else Path(checkpoint))

    def _core(self) -> Scheduler:
        result = self._running.result
        return self._fresh if result is None else result.scheduler

    def __repr__(self) -> str:
        options = {"type": self._setting.type, **self._setting.rungs} if self._setting.type != "fifo" else {}
        options["num_trials"] = self._setting.num_trials
        core = self._core()
        counts = {name: count for name, count in core.status_counts().items() if count}
        stands = ", ".join([f"{core.started} trials", *(f"{count} {name}" for name, count in counts.items())])
        shown = ", ".join(f"{name}={value!r}" for name, value in options.items())
        return f"<{type(self).__name__}({shown}) in {self.folder}: {stands}>"


class FIFOScheduler(TaskScheduler):
    """Runs trials in the order of their numbers, each until its function returns.

    No trial starts before `run` or `join_jobs`; all parameters are checked at once.

    Parameters
    ----------
    train_fn : callable
        ``train_fn(args, reporter)``, decorated with `hbsim.args`; or ``"FILE.py:NAME"``.
    args : mapping or argparse.Namespace, optional
        Constants of `train_fn`, in place of those of its decorator.
    resource : dict, optional
        What a trial needs: ``{"num_cpus": 2, "num_gpus": 1}``. As many trials run at the same time as fit
        on the machine.
    searcher : str, Searcher or BaseSearcher, optional
        Chooses configurations; by default ``"random"``. ``"bayesopt"`` is ``"gp"`` here, and ``"mobster"`` in
        `HyperbandScheduler`. An object goes on from its present state. AutoTorch's are in `hbsim.searcher`.
    search_options : dict, optional
        Of a searcher by name: see `hbsim.searchers.make_searcher`.
    checkpoint : path or None
        The study's folder: journal, logs, checkpoints, results. An earlier study there is moved to the
        next free name (``exp.1``). None: a temporary folder.
    resume : bool
        Go on with the study in the folder. If there is none, a new one begins, with a warning.
    num_trials : int, optional
        How many trials are started. This or `time_out` is needed here or by `run`, unless the searcher is a
        grid.
    time_out : float, optional
        Seconds after which the study ends.
    max_reward : float, optional
        The study ends at a reward at least as good. With ``mode="min"`` there is no such end unless it
        is given.
    time_attr, reward_attr : str
        The reported names of the resource, and of the metric that decides.
    visualizer : "none" or "tensorboard"
        Whether TensorBoard event files are written into the folder.
    dist_ip_addrs : list of str, optional
        Hosts on which trials run, reached by SSH: ``executor=hbsim.Hosts(dist_ip_addrs)``. This machine is
        one of them only if it is named.
    executor : "local", "dask", "sim", list of str, Hosts or Dask
        Run for real, on this machine or on others (see `hbsim.run`); or simulate: then `surrogate` stands for
        `train_fn`, `time_out` is in simulated seconds, nothing is written, and hosts are machines like this.
    mode : "max" or "min"
        Whether the metric is maximised or minimised.
    seed : int
        The seed of all random numbers.
    workers : int, optional
        How many trials run at the same time; by default as many as fit on this machine, in simulation too.
    retries : int
        How often a failed trial is tried again.
    loss_retries : int, optional
        How often a lost or preempted trial is tried again, counted apart; by default `retries` counts it.
    hang_timeout : float, optional
        Seconds without a report after which a trial has failed.
    keep : str
        Which checkpoints are kept: ``"best"``, ``"completed"``, ``"all"`` or ``"none"``.
    surrogate : str or Surrogate, optional
        Learning curves for ``executor="sim"``: see `hbsim.simulate`; or the folder of an earlier study of
        `train_fn`. By default curves by a formula, at random, with the search space of `train_fn`.
    cluster : Cluster, optional
        The simulated cluster.
    progress : str
        The progress shown on stderr: ``"auto"``, ``"table"``, ``"lines"`` or ``"none"``.
    start : "fork" or "spawn", optional
        How trials' processes are started; see `hbsim.run`.

    Raises
    ------
    ParameterError
        Names the parameter, its value and the rule.
    """

    _bayesopt = "gp"  # the searcher for AutoTorch's name "bayesopt"

    @named_options
    def __init__(
        self,
        train_fn: TrainFunction,
        args: object = None,
        resource: Mapping[str, object] | None = None,
        searcher: str | Searcher | BaseSearcher | None = None,
        search_options: Mapping[str, object] | None = None,
        checkpoint: str | os.PathLike[str] | None = "./exp/",
        resume: bool = False,
        num_trials: int | None = None,
        time_out: float | None = None,
        max_reward: float | None = MAX_REWARD,
        time_attr: str = "epoch",
        reward_attr: str = "accuracy",
        visualizer: Visualizer = "none",
        dist_ip_addrs: Sequence[str] | None = None,
        executor: Literal["local", "dask", "sim"] | Sequence[str] | Hosts | Dask = "local",
        *,
        mode: Mode = "max",
        seed: int = 0,
        workers: int | None = None,
        retries: int = 0,
        loss_retries: int | None = None,
        hang_timeout: float | None = None,
        keep: Keep = "best",
        surrogate: str | Surrogate | None = None,
        cluster: Cluster | None = None,
        progress: Progress = "auto",
        start: Start | None = None,
    ) -> None:
        stop_if_loading()
        where = chosen_executor(executor, dist_ip_addrs)
        kind = (
            "sim" if executor == "sim" else where if isinstance(where, str) else type(where).__name__.lower()
        )
        searcher = chosen_searcher(searcher, self._bayesopt)
        check_searcher(searcher, search_options, resumes=kind != "sim")
        with in_autotorch_words():
            run = RunOptions.checked(
                workers=workers,
                resource=resource,
                seed=seed,
                searcher=searcher,
                search_options=self._searching(searcher, search_options),
                time_attr=time_attr,
                metric=reward_attr,
                args=args,
                max_time=time_out,
                max_reward=chosen_max_reward(max_reward, mode),
                hang_timeout=hang_timeout,
                keep=keep,
                start=start,
                until_return=self._rungs()["type"] == "fifo",
                visualizer=visualizer,
                progress=progress,
                executor=where,
            )
        setting = StudyParameters(
            **self._rungs(),
            train_fn=train_fn,
            num_trials=num_trials,
            mode=mode,
            retries=retries,
            loss_retries=loss_retries,
            run=run,
        )
        self.args = args or getattr(train_fn, "args", {})
        self._prepare(setting, kind, surrogate, cluster, checkpoint, resume)

    def _searching(
        self, searcher: str | Searcher | BaseSearcher | None, options: Mapping[str, object] | None
    ) -> dict[str, object]:
        """Return the options of the searcher."""
        return dict(options or {})

    def _rungs(self) -> dict[str, Any]:
        """Return the fields of `StudyParameters` that say which scheduler it is."""
        return {"type": "fifo", "rungs": {"max_t": 1}, "maxt_pending": False}


class HyperbandScheduler(FIFOScheduler):
    """Runs trials by asynchronous Hyperband.

    ::

        @hbsim.args(lr=hbsim.Real(1e-3, 1e-1, log=True))
        def train_fn(args, reporter):
            for epoch in range(1, 28):
                ...
                reporter(epoch=epoch, accuracy=accuracy)

        scheduler = hbsim.HyperbandScheduler(train_fn, num_trials=20, max_t=27, grace_period=1)
        scheduler.join_jobs()
        scheduler.get_training_curves(plot=True)

    Nothing starts before `run` or `join_jobs`; everything is checked at once. More schedulers and options
    are in `hbsim.make_scheduler` and `hbsim.run`.

    Parameters
    ----------
    max_t : float
        R: a trial that reports it is complete. Whole numbers, or any (seconds, for instance).
    grace_period : float
        r, the lowest rung level: no trial ends below it.
    reduction_factor : float
        eta, greater than 1: about one in eta goes on at each rung.
    brackets : int
        How many brackets. Bracket b has its lowest level at r * eta^b; each new trial gets a random bracket.
    type : "stopping" or "promotion"
        Stopping: a trial runs on unless it is worse than most at a rung. Promotion (ASHA): it pauses at
        each rung, and goes on when it is among the best.
    keep_size_ratios : bool
        Promotion: no promotion while the next rung has more than 1/eta of the trials of this one.
    maxt_pending : bool
        New trials are pending at max_t too for a model-based searcher; if it is given by name, as its option.
    train_fn, args, resource, searcher, search_options, checkpoint, resume, num_trials, time_out, max_reward
        See `FIFOScheduler`.
    time_attr, reward_attr, visualizer, dist_ip_addrs, executor, mode, seed, workers, retries
        See `FIFOScheduler`.
    loss_retries, hang_timeout, keep, surrogate, cluster, progress, start
        See `FIFOScheduler`.

    Raises
    ------
    ParameterError
        Names the parameter, its value and the rule.
    """

    _bayesopt = "mobster"

    @named_options
    def __init__(
        self,
        train_fn: TrainFunction,
        args: object = None,
        resource: Mapping[str, object] | None = None,
        searcher: str | Searcher | BaseSearcher | None = None,
        search_options: Mapping[str, object] | None = None,
        checkpoint: str | os.PathLike[str] | None = "./exp/",
        resume: bool = False,
        num_trials: int | None = None,
        time_out: float | None = None,
        max_reward: float | None = MAX_REWARD,
        time_attr: str = "epoch",
        reward_attr: str = "accuracy",
        max_t: float = 100,
        grace_period: float = 10,
        reduction_factor: float = 4,
        brackets: int = 1,
        visualizer: Visualizer = "none",
        type: Literal["stopping", "promotion"] = "stopping",
        dist_ip_addrs: Sequence[str] | None = None,
        keep_size_ratios: bool = False,
        maxt_pending: bool = False,
        executor: Literal["local", "dask", "sim"] | Sequence[str] | Hosts | Dask = "local",
        *,
        mode: Mode = "max",
        seed: int = 0,
        workers: int | None = None,
        retries: int = 0,
        loss_retries: int | None = None,
        hang_timeout: float | None = None,
        keep: Keep = "best",
        surrogate: str | Surrogate | None = None,
        cluster: Cluster | None = None,
        progress: Progress = "auto",
        start: Start | None = None,
    ) -> None:
        stop_if_loading()
        _check_type(type, keep_size_ratios)
        _check_maxt_pending(maxt_pending, chosen_searcher(searcher, self._bayesopt))
        self.type, self.maxt_pending, self.keep_size_ratios = type, maxt_pending, keep_size_ratios
        self.max_t, self.grace_period = max_t, grace_period
        self.reduction_factor, self.brackets = reduction_factor, brackets
        super().__init__(
            train_fn,
            args,
            resource,
            searcher,
            search_options,
            checkpoint,
            resume,
            num_trials,
            time_out,
            max_reward,
            time_attr,
            reward_attr,
            visualizer,
            dist_ip_addrs,
            executor,
            mode=mode,
            seed=seed,
            workers=workers,
            retries=retries,
            loss_retries=loss_retries,
            hang_timeout=hang_timeout,
            keep=keep,
            surrogate=surrogate,
            cluster=cluster,
            progress=progress,
            start=start,
        )

    @property
    def terminator(self) -> HyperbandManager:
        """A `HyperbandStopping_Manager` or `HyperbandPromotion_Manager` whose rungs stand as the study's.

        It is a copy: what you tell it changes nothing in the study.
        """
        from hbsim.autotorch.managers import manager_of

        core = self._study.fresh(self._core().options.num_trials)
        core.load_state_dict(self._core().state_dict())
        run = self._setting.run
        return manager_of(core, run.time_attr, str(run.metric), self.config_history)

    def _searching(
        self, searcher: str | Searcher | BaseSearcher | None, options: Mapping[str, object] | None
    ) -> dict[str, object]:
        found = dict(options or {})
        if self.maxt_pending and isinstance(searcher, str) and learns(searcher):
            found["maxt_pending"] = True
        return found

    def _rungs(self) -> dict[str, Any]:
        levels = (exact("max_t", self.max_t), exact("grace_period", self.grace_period))
        whole = all(level.denominator == 1 for level in levels)
        rungs: dict[str, object] = {
            "max_t": self.max_t,
            "grace_period": self.grace_period,
            "reduction_factor": self.reduction_factor,
            "brackets": self.brackets,
            "resource_type": "int" if whole else "float",
        }
        if self.type == "promotion":
            rungs["keep_size_ratios"] = self.keep_size_ratios
        return {"type": self.type, "rungs": rungs, "maxt_pending": self.maxt_pending}


def _check_type(type: object, keep_size_ratios: object) -> None:
    if type in ("sha", "hyperband", "pasha", "median", "fifo"):
        other = (
            "hbsim.FIFOScheduler" if type == "fifo" else f"hbsim.make_scheduler({type!r}, ...) and hbsim.run"
        )
        raise ParameterError("type", type, f"must be stopping or promotion here; for {type!r} use {other}")
    if type not in ("stopping", "promotion"):
        raise ParameterError("type", type, f"must be stopping or promotion.{suggest_type(type)}")
    if flag("keep_size_ratios", keep_size_ratios) and type == "stopping":
        raise ParameterError(
            "keep_size_ratios", True, "is for type='promotion': nothing is promoted in 'stopping'"
        )


def _check_maxt_pending(maxt_pending: object, searcher: object) -> None:
    is_named = searcher is None or isinstance(searcher, str)
    model_based = learns(searcher) if is_named else getattr(searcher, "model_based", False)  # type: ignore[arg-type]
    if flag("maxt_pending", maxt_pending) and not model_based:
        text = "maxt_pending=True has no effect: the searcher is not model-based"
        warnings.warn(HbsimWarning(text), stacklevel=4)
