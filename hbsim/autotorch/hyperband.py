"""The seed's HyperbandScheduler: asynchronous Hyperband over real trials, or simulated ones."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from hbsim.autotorch import checks
from hbsim.autotorch.checks import MAX_REWARD
from hbsim.autotorch.fifo import FIFOScheduler
from hbsim.autotorch.setting import Keep, Progress, Start, TrainFunction, Visualizer
from hbsim.core.numbers import exact
from hbsim.core.options import meant
from hbsim.core.types import Mode
from hbsim.errors import HbsimWarning, ParameterError
from hbsim.executors.training_function import stop_if_loading
from hbsim.options import named_options
from hbsim.searchers import learns

if TYPE_CHECKING:
    from hbsim.executors.remote.options import Dask, Hosts
    from hbsim.searchers import Searcher
    from hbsim.simulation import Cluster
    from hbsim.surrogates import Surrogate

__all__ = ["HyperbandScheduler"]


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
        How many brackets. Bracket b has its lowest level at r * eta^b; each new trial draws one.
    type : "stopping" or "promotion"
        Stopping: a trial runs on unless it is worse than most at a rung. Promotion (ASHA): it pauses at
        each rung, and goes on when it is among the best.
    keep_size_ratios : bool
        Promotion: none while the next rung has more than 1/eta of this one's trials.
    maxt_pending : bool
        A model-based searcher is told of new trials at max_t too; of one by name it is an option.
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
        searcher: str | Searcher | None = None,
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
        _check_maxt_pending(maxt_pending, checks.searcher_of(searcher, self._bayesopt))
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

    def _searching(
        self, searcher: str | Searcher | None, options: Mapping[str, object] | None
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
        raise ParameterError("type", type, f"must be stopping or promotion.{meant(type)}")
    if checks.flag("keep_size_ratios", keep_size_ratios) and type == "stopping":
        raise ParameterError(
            "keep_size_ratios", True, "is for type='promotion': nothing is promoted in 'stopping'"
        )


def _check_maxt_pending(maxt_pending: object, searcher: object) -> None:
    is_named = searcher is None or isinstance(searcher, str)
    model_based = learns(searcher) if is_named else getattr(searcher, "model_based", False)  # type: ignore[arg-type]
    if checks.flag("maxt_pending", maxt_pending) and not model_based:
        text = "maxt_pending=True has no effect: the searcher is not model-based"
        warnings.warn(HbsimWarning(text), stacklevel=4)
