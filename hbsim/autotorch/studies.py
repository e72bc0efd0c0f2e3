"""The studies behind AutoTorch's classes: real, or simulated."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from hbsim.autotorch.options import StudyParameters, in_autotorch_words
from hbsim.autotorch.running import CheckpointFolder
from hbsim.autotorch.searchers import SearcherOfConfigs
from hbsim.core.scheduler import Scheduler
from hbsim.core.space import Space
from hbsim.errors import HbsimWarning, ParameterError
from hbsim.executors.remote.options import Hosts
from hbsim.executors.training_function import FunctionDescription, describe, load_target, make_target
from hbsim.searchers import FirstPoints, SearchTask, make_searcher
from hbsim.simulation import Cluster
from hbsim.study.folder import StudyFolder
from hbsim.study.interrupts import Interrupted
from hbsim.study.result import load as load_study
from hbsim.study.run import check_constants, run_study
from hbsim.study.simulate import check_study, cluster_of, simulate_checked
from hbsim.study.simulated_run import FormulaCurves, SimulatedResult, count_simulated, find_curves
from hbsim.study.spec import StudySpec, searcher_name
from hbsim.study.workers import check_executor, check_share
from hbsim.surrogates import Surrogate, check_levels, load
from hbsim.terminal import print_err

if TYPE_CHECKING:
    from hbsim.autotorch.options import StudyParameters
    from hbsim.autotorch.running import CheckpointFolder
    from hbsim.core.scheduler import Scheduler
    from hbsim.simulation import Cluster
    from hbsim.study.result import RunResult


# Queued configurations: the trial that has each, and its point of the unit cube.
Queue: TypeAlias = Sequence[tuple[int, list[float]]]


class AutoTorchStudy(Protocol):
    """A study that can be run: `LocalStudy` or `SimulatedStudy`.

    Attributes
    ----------
    setting : StudyParameters
        Its parameters; where it runs may change.
    space : Space or None
        The space of points that can be queued; None if no points can.
    surrogate : str or None
        The name of the learning curves of a simulated one.
    """

    setting: StudyParameters
    space: Space | None
    surrogate: str | None

    @property
    def task(self) -> SearchTask:
        """What its searcher searches over."""
        ...

    def fresh(self, num_trials: int | None) -> Scheduler:
        """Return a new core scheduler that starts so many trials."""
        ...

    # Any: RunResult or SimulatedResult, each study its own.
    def run(
        self,
        queue: Queue,
        place: CheckpointFolder,
        resume: bool,
        goals: Sequence[int | None],
        time_out: float | None,
    ) -> Any:
        """Run the study up to the last of `goals`, and return its result; see `StudyRunner.run`."""
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
        self.setting = setting
        self._max_t = setting.make_scheduler(setting.num_trials).options.max_t
        self.space: Space | None = _function(setting).space
        self.task = SearchTask(self.space, setting.run.seed, mode=setting.mode, max_t=self._max_t)
        check_named(setting, self.task)
        check_share(check_executor(setting.run.executor), setting.run.workers, setting.run.resource)

    def fresh(self, num_trials: int | None) -> Scheduler:
        """Return a new core scheduler that starts so many trials."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", HbsimWarning)  # said when the object was made
            return self.setting.make_scheduler(num_trials)

    def run(
        self,
        queue: Queue,
        place: CheckpointFolder,
        resume: bool,
        goals: Sequence[int | None],
        time_out: float | None,
    ) -> RunResult:
        """Run the study, or go on with it."""
        setting = self.setting
        options = replace(
            setting.run,
            folder=place.path,
            resume=resume,
            max_time=time_out,
            **queued(setting, queue, self.task),
        )
        with in_autotorch_words():
            return run_study(setting.train_fn, self.fresh(goals[-1]), options)

    def load(self, place: CheckpointFolder) -> RunResult:
        """Return the result so far in the study's folder."""
        return load_study(place.path)


def check_named(setting: StudyParameters, task: SearchTask) -> None:
    """Check a searcher by name, and its options, for a task; or one of AutoTorch's.

    Raises
    ------
    ParameterError
        As `make_searcher`.
    """
    searcher = setting.run.searcher
    if searcher is None or isinstance(searcher, str):
        make_searcher(searcher or "random", task, setting.run.search_options)
    if isinstance(searcher, SearcherOfConfigs):
        searcher.bind(task, setting.run.time_attr, str(setting.run.metric))


def queued(setting: StudyParameters, queue: Queue, task: SearchTask) -> dict[str, Any]:
    """Return a study's searcher and its options; queued points make it a searcher object."""
    given, options = setting.run.searcher, setting.run.search_options
    if isinstance(given, SearcherOfConfigs):
        given = given.again()
    pending = True if setting.maxt_pending and getattr(given, "model_based", False) else None
    if not queue and pending is None:
        return {"searcher": given, "search_options": options}
    searcher: Any = given
    if given is None or isinstance(given, str):
        searcher = make_searcher(given or "random", task, options)
    if pending and not queue:
        searcher = FirstPoints(searcher, np.empty((0, 0)), pending)
    # Trials in a row make one queue: their numbers grow as fast as their places.
    for _, group in groupby(enumerate(queue), lambda item: item[1][0] - item[0]):
        row = [entry for _, entry in group]
        points = np.array([point for _, point in row], dtype=np.float64)
        searcher = FirstPoints(searcher, points, pending, after=row[0][0])
    searcher.stands_for = getattr(given, "stands_for", None) or (given, options)
    return {"searcher": searcher, "search_options": None}


def _function(setting: StudyParameters) -> FunctionDescription:
    try:
        target = make_target(setting.train_fn)
        function = setting.train_fn if callable(setting.train_fn) else load_target(target)
        description = describe(function)
    except ParameterError as error:
        raise ParameterError("train_fn", error.value, error.rule) from None
    check_constants(function, setting.run.constants)
    description.space.to_json()  # the journal will hold it
    return description


class SimulatedStudy:
    """Runs `hbsim.simulate`.

    Attributes
    ----------
    space : Space or None
        Of the surrogate; None where its configurations are rows of a table. Without a surrogate, or with that
        of an earlier study, the training function's.
    surrogate : str
        Its name.
    """

    def __init__(self, setting: StudyParameters, surrogate: object, cluster: Cluster | None) -> None:
        self.setting = setting
        self._cluster = cluster
        self._curves = _curves(setting, surrogate)
        self.surrogate: str | None = self._curves.name
        self.space: Space | None = self._curves.space if self._curves.rows is None else None
        cluster_of(setting.run.workers, cluster)
        self._check()

    def _check(self) -> None:
        curves, setting = self._curves, self.setting
        if curves.mode != setting.mode:
            rule = f"the surrogate {curves.name} decides on {curves.metric}, mode={curves.mode!r}"
            raise ParameterError("mode", setting.mode, rule)
        check_levels(curves, self._fresh(setting.num_trials).levels)
        self._check_rows(setting.num_trials)
        check_named(setting, self.task)
        self._workers()

    @property
    def task(self) -> SearchTask:
        """What its searcher searches over."""
        curves, setting = self._curves, self.setting
        named = setting.run.searcher not in (None, "random") or setting.run.search_options
        points = getattr(curves, "points", None) if curves.rows is not None and named else None
        max_t = self._fresh(None).options.max_t
        return SearchTask(curves.space, setting.run.seed, curves.rows, points, mode=setting.mode, max_t=max_t)

    def _check_rows(self, trials: int | None) -> None:
        rows = self._curves.rows
        if rows is not None and trials is not None and trials > rows:
            rule = f"the table {self.surrogate} has {rows} rows, one for each trial"
            raise ParameterError("num_trials", trials, rule)

    def _workers(self) -> int | None:
        """Return how many trials run at the same time: on this machine, or on hosts that are like it."""
        run = self.setting.run
        count = count_simulated(run.workers, run.resource, self._cluster)
        hosts = run.executor.hosts if isinstance(run.executor, Hosts) else ()
        return count if count is None or run.workers is not None else count * max(1, len(hosts))

    def fresh(self, num_trials: int | None) -> Scheduler:
        """Return a new core scheduler that starts so many trials."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", HbsimWarning)  # said when the object was made
            return self._fresh(num_trials)

    def _fresh(self, num_trials: int | None) -> Scheduler:
        if self.setting.type != "fifo":
            return self.setting.make_scheduler(num_trials)
        max_t = self._curves.max_resource
        return self.setting.make_scheduler(num_trials, max_t=max_t, resource_type="float")

    def run(
        self,
        queue: Queue,
        place: CheckpointFolder,
        resume: bool,
        goals: Sequence[int | None],
        time_out: float | None,
    ) -> SimulatedResult:
        """Simulate the study, always from its beginning; nothing is written."""
        setting, scheduler, run = self.setting, self.fresh(goals[0]), self.setting.run
        self._check_rows(goals[-1])
        searching = queued(setting, queue, self.task)
        if isinstance(self._curves, FormulaCurves):
            options = replace(run, **searching)
            searching = {"searcher": self._curves.make_searcher(scheduler, options), "search_options": None}
        spec = StudySpec(
            train=self._curves.name,
            digest=None,
            space=self._curves.space or Space({}),
            scheduler=scheduler.options.as_dict(),
            seed=run.seed,
            searcher=searcher_name(run.searcher),
            time_attr="resource",
            metric=self._curves.metric,
            until_return=setting.type == "fifo",
        )
        about = (self._curves, self._workers(), run.seed, self._cluster, searching["searcher"])
        limits = (time_out, run.max_reward)
        checked = check_study(scheduler, *about, *limits, False, searching["search_options"])
        extensions = [goal for goal in goals[1:] if goal is not None]
        try:
            result = simulate_checked(scheduler, *checked, run.seed, *limits, False, extensions)
        except Interrupted as error:
            raise Interrupted(str(error), SimulatedResult(error.result, spec, run.max_reward)) from None
        return SimulatedResult(result, spec, run.max_reward)

    def load(self, place: CheckpointFolder) -> None:
        """Return None: a simulation leaves nothing in its folder, and takes moments."""


def _curves(setting: StudyParameters, surrogate: object) -> Surrogate:
    """Return the learning curves of a simulated study: without a surrogate, some by a formula."""
    name = os.fspath(surrogate) if isinstance(surrogate, str | os.PathLike) else ""
    if surrogate is not None and not (name and StudyFolder(name).holds_study):
        return load(surrogate)
    function, run = _function(setting), replace(setting.run, surrogate=surrogate or "synthetic")
    if surrogate is None and setting.run.progress != "none":
        text = (
            "executor='sim' without a surrogate: learning curves by a formula, at random, stand for those of"
        )
        print_err(f"hbsim: {text} {function.label}")
    with in_autotorch_words():
        return find_curves(function, setting.make_scheduler(setting.num_trials), run)
