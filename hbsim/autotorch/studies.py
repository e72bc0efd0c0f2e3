"""The studies behind AutoTorch's classes: real, or simulated."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from hbsim.autotorch.options import StudyParameters, in_autotorch_words
from hbsim.autotorch.running import CheckpointFolder
from hbsim.core.scheduler import Scheduler
from hbsim.core.space import Space, space_of
from hbsim.errors import HbsimWarning, ParameterError
from hbsim.executors.training_function import load_target, make_target
from hbsim.searchers import FirstPoints, SearchTask, make_searcher
from hbsim.simulation import Cluster
from hbsim.study.result import load as load_study
from hbsim.study.run import check_constants, run_study
from hbsim.study.simulate import cluster_of, simulate
from hbsim.study.simulated_run import SimulatedResult, count_simulated
from hbsim.study.spec import StudySpec, searcher_name
from hbsim.study.workers import check_executor, check_share
from hbsim.surrogates import Surrogate, check_levels, load

if TYPE_CHECKING:
    from hbsim.autotorch.options import StudyParameters
    from hbsim.autotorch.running import CheckpointFolder
    from hbsim.core.scheduler import Scheduler
    from hbsim.simulation import Cluster
    from hbsim.study.result import RunResult


class AutoTorchStudy(Protocol):
    """A study that can be run: `LocalStudy` or `SimulatedStudy`.

    Attributes
    ----------
    space : Space or None
        The space of points that can be queued; None if no points can.
    surrogate : str or None
        The name of the learning curves of a simulated one.
    """

    space: Space | None
    surrogate: str | None

    def fresh(self) -> Scheduler:
        """Return a new core scheduler."""
        ...

    # Any: RunResult or SimulatedResult, each study its own.
    def run(
        self, points: Sequence[Sequence[float]], place: CheckpointFolder, resume: bool, time_out: float | None
    ) -> Any:
        """Run the study with a queue of points, and return its result."""
        ...

    def load(self, place: CheckpointFolder) -> Any:
        """Return the result so far in a folder; None if simulations keep none."""
        ...


def make_study(
    executor: str, setting: StudyParameters, surrogate: object, cluster: Cluster | None
) -> AutoTorchStudy:
    """Return the study for an executor, with everything checked.

    Raises
    ------
    ParameterError
        A parameter breaks a rule, on this machine or for this surrogate.
    """
    if executor == "sim":
        if surrogate is None:
            raise ParameterError(
                "surrogate", None, "executor='sim' needs learning curves, 'digits' for example"
            )
        return SimulatedStudy(setting, surrogate, cluster)

    given = {"surrogate": surrogate, "cluster": cluster}
    if ignored := [name for name, value in given.items() if value is not None]:
        warnings.warn(HbsimWarning(f"a real study ignores {', '.join(ignored)}"), stacklevel=7)
    return LocalStudy(setting)


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

    def __init__(self, setting: StudyParameters) -> None:
        self._setting = setting
        self._max_t = setting.make_scheduler().options.max_t
        self.space: Space | None = _space(setting)
        self._task = SearchTask(self.space, setting.run.seed, mode=setting.mode, max_t=self._max_t)
        check_named(setting, self._task)
        check_share(check_executor(setting.run.executor), setting.run.workers, setting.run.resource)

    def fresh(self) -> Scheduler:
        """Return a new core scheduler."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", HbsimWarning)  # said when the object was made
            return self._setting.make_scheduler()

    def run(
        self, points: Sequence[Sequence[float]], place: CheckpointFolder, resume: bool, time_out: float | None
    ) -> RunResult:
        """Run the study, or go on with it."""
        setting = self._setting
        options = replace(
            setting.run,
            folder=place.path,
            resume=resume,
            max_time=time_out,
            **queued(setting, points, self._task),
        )
        with in_autotorch_words():
            return run_study(setting.train_fn, self.fresh(), options)

    def load(self, place: CheckpointFolder) -> RunResult:
        """Return the result so far in the study's folder."""
        return load_study(place.path)


def check_named(setting: StudyParameters, task: SearchTask) -> None:
    """Check a searcher by name, and its options, for a task.

    Raises
    ------
    ParameterError
        As `make_searcher`.
    """
    searcher = setting.run.searcher
    if searcher is None or isinstance(searcher, str):
        make_searcher(searcher or "random", task, setting.run.search_options)


def queued(setting: StudyParameters, points: Sequence[Sequence[float]], task: SearchTask) -> dict[str, Any]:
    """Return a study's searcher and its options, with the queued points before a searcher object."""
    given, options = setting.run.searcher, setting.run.search_options
    pending = True if setting.maxt_pending and getattr(given, "model_based", False) else None
    if not points and pending is None:
        return {"searcher": given, "search_options": options}
    if given is None or isinstance(given, str):
        given = make_searcher(given or "random", task, options)
    queue = np.array(points, dtype=np.float64).reshape(len(points), len(points[0]) if points else 0)
    return {"searcher": FirstPoints(given, queue, pending), "search_options": None}


def _space(setting: StudyParameters) -> Space:
    try:
        target = make_target(setting.train_fn)
        function = setting.train_fn if callable(setting.train_fn) else load_target(target)
        space = space_of(function)
    except ParameterError as error:
        raise ParameterError("train_fn", error.value, error.rule) from None
    check_constants(function, setting.run.constants)
    space.to_json()  # the journal will hold it
    return space


class SimulatedStudy:
    """Runs `hbsim.simulate`.

    Attributes
    ----------
    space : Space or None
        Of the surrogate; None where its configurations are rows of a table.
    surrogate : str
        Its name.
    """

    def __init__(self, setting: StudyParameters, surrogate: object, cluster: Cluster | None) -> None:
        self._setting = setting
        self._cluster = cluster
        self._curves: Surrogate = load(surrogate)
        self.surrogate: str | None = self._curves.name
        self.space: Space | None = self._curves.space if self._curves.rows is None else None
        cluster_of(setting.run.workers, cluster)
        self._workers = count_simulated(setting.run.workers, setting.run.resource, cluster)
        self._check()

    def _check(self) -> None:
        curves, setting = self._curves, self._setting
        if curves.mode != setting.mode:
            rule = f"the surrogate {curves.name} decides on {curves.metric}, mode={curves.mode!r}"
            raise ParameterError("mode", setting.mode, rule)
        check_levels(curves, self._fresh().levels)
        self._check_rows()
        check_named(setting, self._task())

    def _task(self) -> SearchTask:
        curves, setting = self._curves, self._setting
        named = setting.run.searcher not in (None, "random") or setting.run.search_options
        points = getattr(curves, "points", None) if curves.rows is not None and named else None
        max_t = self._fresh().options.max_t
        return SearchTask(curves.space, setting.run.seed, curves.rows, points, mode=setting.mode, max_t=max_t)

    def _check_rows(self) -> None:
        rows, trials = self._curves.rows, self._setting.num_trials
        if rows is not None and trials is not None and trials > rows:
            rule = f"the table {self.surrogate} has {rows} rows, one for each trial"
            raise ParameterError("num_trials", trials, rule)

    def fresh(self) -> Scheduler:
        """Return a new core scheduler."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", HbsimWarning)  # said when the object was made
            return self._fresh()

    def _fresh(self) -> Scheduler:
        if self._setting.type != "fifo":
            return self._setting.make_scheduler()
        return self._setting.make_scheduler(max_t=self._curves.max_resource, resource_type="float")

    def run(
        self, points: Sequence[Sequence[float]], place: CheckpointFolder, resume: bool, time_out: float | None
    ) -> SimulatedResult:
        """Simulate the study, always from its beginning; nothing is written."""
        setting, scheduler = self._setting, self.fresh()
        spec = StudySpec(
            train=self._curves.name,
            digest=None,
            space=self._curves.space or Space({}),
            scheduler=scheduler.options.as_dict(),
            seed=setting.run.seed,
            searcher=searcher_name(setting.run.searcher),
            time_attr="resource",
            metric=self._curves.metric,
            until_return=setting.type == "fifo",
        )
        result = simulate(
            scheduler,
            self._curves,
            workers=self._workers,
            seed=setting.run.seed,
            cluster=self._cluster,
            **queued(setting, points, self._task()),
            max_time=setting.run.max_time,
            max_reward=setting.run.max_reward,
        )
        return SimulatedResult(result, spec, setting.run.max_reward)

    def load(self, place: CheckpointFolder) -> None:
        """Return None: a simulation leaves nothing in its folder, and takes moments."""
