"""The seed's FIFOScheduler: every trial runs until its function returns."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from hbsim.autotorch import checks
from hbsim.autotorch.base import TaskScheduler
from hbsim.autotorch.checks import MAX_REWARD
from hbsim.autotorch.setting import Keep, Progress, Setting, Start, TrainFunction, Visualizer
from hbsim.core.types import Mode
from hbsim.executors.training_function import stop_if_loading
from hbsim.options import named_options
from hbsim.searchers import check_searcher
from hbsim.study.checks import constants

if TYPE_CHECKING:
    from hbsim.executors.remote.options import Dask, Hosts
    from hbsim.searchers import Searcher
    from hbsim.simulation import Cluster
    from hbsim.surrogates import Surrogate

__all__ = ["FIFOScheduler"]


class FIFOScheduler(TaskScheduler):
    """Runs trials in the order of their numbers, each until its function returns.

    Nothing starts before `run` or `join_jobs`; everything is checked at once.

    Parameters
    ----------
    train_fn : callable
        ``train_fn(args, reporter)``, decorated with `hbsim.args`; or ``"FILE.py:NAME"``.
    args : mapping or argparse.Namespace, optional
        Constants of `train_fn`, in place of those of its decorator.
    resource : dict, optional
        What a trial needs: ``{"num_cpus": 2, "num_gpus": 1}``. As many trials run at the same time as
        fit.
    searcher : str or Searcher, optional
        Chooses configurations; by default ``"random"``. ``"bayesopt"`` is ``"gp"`` here, and ``"mobster"`` in
        `HyperbandScheduler`. An object goes on from where it stands.
    search_options : dict, optional
        Of a searcher by name: see `hbsim.searchers.make_searcher`.
    checkpoint : path or None
        The study's folder: journal, logs, checkpoints, results. An earlier study there is moved to the
        next free name (``exp.1``). None: a temporary folder.
    resume : bool
        Go on with the study in the folder. If there is none, a new one begins, with a warning.
    num_trials : int, optional
        How many trials are started. This or `time_out` is needed, unless the searcher is a grid.
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
        `train_fn`, `time_out` is in simulated seconds, and nothing is written.
    mode : "max" or "min"
        Whether the metric is maximised or minimised.
    seed : int
        Of everything that is random.
    workers : int, optional
        How many trials run at the same time; by default as many as fit, 32 in simulation.
    retries : int
        How often a trial may fail and be tried again.
    loss_retries : int, optional
        How often it may be lost or preempted, in a count of its own; by default that is one of `retries`.
    hang_timeout : float, optional
        Seconds without a report after which a trial has failed.
    keep : str
        Whose checkpoints stay: ``"best"``, ``"completed"``, ``"all"`` or ``"none"``.
    surrogate : str or Surrogate, optional
        Learning curves for ``executor="sim"``; see `hbsim.simulate`.
    cluster : Cluster, optional
        The simulated cluster.
    progress : str
        What is shown on stderr: ``"auto"``, ``"table"``, ``"lines"`` or ``"none"``.
    start : "fork" or "spawn", optional
        How trials' processes are started; see `hbsim.run`.

    Raises
    ------
    ParameterError
        Names the parameter, its value and the rule.
    """

    _bayesopt = "gp"  # which searcher AutoTorch's name means

    @named_options
    def __init__(
        self,
        train_fn: TrainFunction,
        args: object = None,
        resource: Mapping[str, object] | None = None,
        searcher: str | Searcher | None = None,
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
        where = checks.executor_of(executor, dist_ip_addrs)
        remote = None if isinstance(where, str) else where
        kind = where if isinstance(where, str) else type(where).__name__.lower()
        searcher = checks.searcher_of(searcher, self._bayesopt)
        check_searcher(searcher, search_options, resumes=kind != "sim")
        setting = Setting(
            **self._rungs(),
            train_fn=train_fn,
            constants=constants(args),
            resource=resource,
            searcher=searcher,
            search_options=self._searching(searcher, search_options),
            num_trials=num_trials,
            time_out=time_out,
            max_reward=checks.reward(max_reward, mode),
            time_attr=time_attr,
            reward_attr=reward_attr,
            mode=mode,
            seed=seed,
            workers=workers,
            retries=retries,
            loss_retries=loss_retries,
            hang_timeout=hang_timeout,
            keep=keep,
            visualizer=visualizer,
            progress=progress,
            start=start,
            remote=remote,
        )
        self._prepare(setting, kind, surrogate, cluster, checkpoint, resume)

    def _searching(
        self, searcher: str | Searcher | None, options: Mapping[str, object] | None
    ) -> dict[str, object]:
        """Return the options of the searcher."""
        return dict(options or {})

    def _rungs(self) -> dict[str, Any]:
        """Return the fields of `Setting` that say which scheduler it is."""
        return {"type": "fifo", "rungs": {"max_t": 1}, "maxt_pending": False}
