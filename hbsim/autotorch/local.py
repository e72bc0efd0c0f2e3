"""A study of the classes that runs for real, on this machine or on others."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hbsim.autotorch.place import Place
from hbsim.autotorch.setting import Setting
from hbsim.core.space import Space, space_of
from hbsim.errors import HbsimWarning, ParameterError
from hbsim.executors.training_function import load_target, make_target
from hbsim.searchers import FirstPoints, SearchTask, make_searcher
from hbsim.study.executors import check_executor, check_share
from hbsim.study.load import load
from hbsim.study.real import check_constants
from hbsim.study.run import run
from hbsim.study.shown import check_shown

if TYPE_CHECKING:
    import polars as pl

    from hbsim.core.scheduler import Scheduler
    from hbsim.study.result import RunResult

__all__ = ["LocalStudy"]


class LocalStudy:
    """Runs `hbsim.run`.

    Attributes
    ----------
    space : Space
        Of the training function.
    surrogate : None
        There is none.
    """

    surrogate: str | None = None

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._max_t = setting.make_scheduler().options.max_t
        self.space: Space | None = _space(setting)
        self._task = SearchTask(self.space, setting.seed, mode=setting.mode, max_t=self._max_t)
        check_named(setting, self._task)
        check_shown(setting.visualizer, setting.progress)
        check_executor(setting.remote or "local")
        check_share(setting.remote, setting.workers, setting.resource)

    def fresh(self) -> Scheduler:
        """Return a new core scheduler."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", HbsimWarning)  # said when the object was made
            return self._setting.make_scheduler()

    def run(
        self, points: Sequence[Sequence[float]], place: Place, resume: bool, time_out: float | None
    ) -> RunResult:
        """Run the study, or go on with it."""
        setting = self._setting
        return run(
            setting.train_fn,
            self.fresh(),
            workers=setting.workers,
            resource=setting.resource,
            folder=place.path,
            resume=resume,
            seed=setting.seed,
            **queued(setting, points, self._task),
            time_attr=setting.time_attr,
            reward_attr=setting.reward_attr,
            args=setting.constants,
            time_out=time_out,
            max_reward=setting.max_reward,
            hang_timeout=setting.hang_timeout,
            keep=setting.keep,
            start=setting.start,
            until_return=setting.type == "fifo",
            visualizer=setting.visualizer,
            progress=setting.progress,
            executor=setting.remote or "local",
        )

    def load(self, place: Place) -> RunResult:
        """Return the study as it stands in its folder."""
        return load(place.path)

    def configuration(self, result: RunResult, trial: int) -> dict[str, object]:
        """Return a trial's configuration."""
        return result.configuration(trial)

    def reports(self, result: RunResult) -> pl.DataFrame:
        """Return columns trial, resource, value, a row a report."""
        return result.reports.select("trial", "resource", "value")


def check_named(setting: Setting, task: SearchTask) -> None:
    """Check a searcher by name, and its options, for a task.

    Raises
    ------
    ParameterError
        As `make_searcher`.
    """
    if setting.searcher is None or isinstance(setting.searcher, str):
        make_searcher(setting.searcher or "random", task, setting.search_options)


def queued(setting: Setting, points: Sequence[Sequence[float]], task: SearchTask) -> dict[str, Any]:
    """Return a study's searcher and its options; an object behind a queue where one is needed."""
    given, options = setting.searcher, setting.search_options
    pending = True if setting.maxt_pending and getattr(given, "model_based", False) else None
    if not points and pending is None:
        return {"searcher": given, "search_options": options}
    if given is None or isinstance(given, str):
        given = make_searcher(given or "random", task, options)
    queue = np.array(points, dtype=np.float64).reshape(len(points), len(points[0]) if points else 0)
    return {"searcher": FirstPoints(given, queue, pending)}


def _space(setting: Setting) -> Space:
    try:
        target = make_target(setting.train_fn)
        function = setting.train_fn if callable(setting.train_fn) else load_target(target)
        space = space_of(function)
    except ParameterError as error:
        raise ParameterError("train_fn", error.value, error.rule) from None
    check_constants(function, setting.constants)
    space.to_json()  # the journal will hold it
    return space
