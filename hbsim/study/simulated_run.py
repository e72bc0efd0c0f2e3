"""The simulation of a training function's study: `hbsim.run` with ``executor="sim"``."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from hbsim.core.factory import make_scheduler
from hbsim.core.scheduler import Scheduler
from hbsim.core.space import Space
from hbsim.errors import HbsimError, HbsimWarning, OutputError, ParameterError, SurrogateError
from hbsim.executors.training_function import FunctionDescription, describe, load_target, make_target
from hbsim.runner.records import EndReason
from hbsim.searchers import FirstPoints, Searcher, SearchTask, check_searcher, make_searcher
from hbsim.simulation.result import Result
from hbsim.study.best import BestTrial
from hbsim.study.folder import StudyFolder
from hbsim.study.interrupts import Interrupted
from hbsim.study.options import RunOptions
from hbsim.study.run import check_constants, check_study_options
from hbsim.study.simulate import simulate
from hbsim.study.spec import StudySpec
from hbsim.study.workers import count_workers
from hbsim.surrogates import load
from hbsim.surrogates.protocol import Floats, Ints, Surrogate
from hbsim.surrogates.synthetic import Ideal, Synthetic
from hbsim.surrogates.table import SHIPPED, SUFFIXES, Table
from hbsim.surrogates.wrapper import Wrapper

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl

    from hbsim.bench.chart_style import Chart
    from hbsim.simulation import Cluster
    from hbsim.study.result import RunResult

FORMULAS: Final = ("synthetic", "ideal")  # curves by a formula, which go with any search space
DECIDED: Final = ("fit:", "yahpo:")  # names of surrogates that take the metric that decides


def run_simulated(
    train: str | Callable[..., object], scheduler: Scheduler, options: RunOptions
) -> SimulatedResult:
    """Simulate a study with checked options; see `hbsim.run`.

    Raises
    ------
    Interrupted
        At Ctrl-C; its `result` is the study so far.
    ParameterError
        An option breaks a rule, there are no learning curves, or they are of another search space.
    SurrogateError
        The learning curves cannot be used.
    """
    check_study_options(scheduler, options)
    function = describe(train if callable(train) else load_target(make_target(train)))
    check_constants(function, options.constants)
    curves = find_curves(function, scheduler, options)
    if options.until_return:
        given = {**scheduler.options.as_dict(), "resource_type": "float", "max_t": curves.max_resource}
        scheduler = make_scheduler(**cast("dict[str, Any]", given))
    searcher, search_options = options.searcher, options.search_options
    if isinstance(curves, FormulaCurves):
        searcher, search_options = curves.make_searcher(scheduler, options), None
    about = (StudySpec.of(function, scheduler, options), options.max_reward)
    try:
        result = simulate(
            scheduler,
            curves,
            workers=count_simulated(options.workers, options.resource, options.cluster),
            seed=options.seed,
            cluster=options.cluster,
            searcher=searcher,
            search_options=search_options,
            max_time=options.max_time,
            max_reward=options.max_reward,
            replace=options.replace,
        )
    except Interrupted as interrupted:
        raise Interrupted(str(interrupted), SimulatedResult(interrupted.result, *about)) from None
    return SimulatedResult(result, *about)


def count_simulated(
    workers: int | None, resource: Mapping[str, object] | None, cluster: Cluster | None
) -> int | None:
    """Return the number of workers of the real study; None if the cluster says it.

    Raises
    ------
    ParameterError
        As by `count_workers`.
    """
    if workers is None and cluster is not None:
        counts = cluster.names_workers or cluster.machines or cluster.schedule or cluster.trace is not None
        if counts:
            return None
    return count_workers(workers, resource)


class SimulatedBest(BestTrial):
    """The best report of a simulated study."""

    def load(self) -> Any:
        """Raise an `OutputError`: no model was trained."""
        raise OutputError("checkpoint", "the study was simulated: no model was trained")


class SimulatedResult(Result):
    """The result of `hbsim.run` with ``executor="sim"``: it has the attributes of a `RunResult`.

    Attributes
    ----------
    spec : StudySpec
        The description of the study.
    folder : None
        A simulation writes nothing.
    """

    folder: Path | None = None

    def __init__(self, result: Result, spec: StudySpec, max_reward: float | None) -> None:
        vars(self).update(vars(result))
        self.spec = replace(spec, limit=getattr(self.curves.searcher, "limit", None))
        self._max_reward = max_reward

    def __repr__(self) -> str:
        return super().__repr__().replace("<Result of", f"<SimulatedResult of {self.spec.train}:", 1)

    @property
    def best(self) -> BestTrial | None:
        """The best report of the study, with its trial and configuration; None without one.

        There is no checkpoint, since no model is trained.
        """
        for row in self.incumbent().tail(1).to_dicts():
            config = self.configuration(row["trial"])
            return SimulatedBest(row["trial"], config, row["value"], row["resource"], None)
        return None

    @property
    def why(self) -> EndReason | None:
        """Why the study ended; None if no worker was left."""
        if self.interrupted:
            return EndReason.INTERRUPTED
        if self.scheduler.done:
            return EndReason.DONE
        if self.no_worker_after is not None:
            return None
        best, good = self.incumbent()["value"].tail(1).to_list(), self._max_reward
        is_max = self.scheduler.mode == "max"
        reached = good is not None and any(value >= good if is_max else value <= good for value in best)
        return EndReason.MAX_REWARD if reached else EndReason.MAX_TIME

    @cached_property
    def failures(self) -> pl.DataFrame:
        """A row for each job that was lost, as in `hbsim.Result.failures`, with its reason."""
        import polars as pl

        return super().failures.with_columns(reason=pl.format("the simulated worker was {}", "kind"))

    @property
    def reports(self) -> pl.DataFrame:
        """A row for each unit of training, in the order of time.

        Columns: job, trial, time, trained (seconds of training in this job until then), resource, value (null
        if it is not a number), and a struct `metrics` of the metric that decides.
        """
        import polars as pl

        metric = self.curves.surrogate.metric
        starts = self.jobs.select("job", "train_start")
        frame = self.epochs().join(starts, on="job", how="left", maintain_order="left")
        frame = frame.with_columns(
            trained=pl.col("time") - pl.col("train_start"),
            metrics=pl.struct(pl.col("value").alias(metric)),
        )
        names = ("job", "trial", "time", "trained", "resource", "value", "metrics")
        return frame.sort("time", maintain_order=True).select(names)

    def plot(self) -> Chart:
        """Return the learning curves as an Altair chart: a line for each trial, with the rung levels."""
        from hbsim.bench.study_charts import training_curves

        return training_curves(self)

    def summary(self) -> dict[str, object]:
        """Return the figures of the study: those of `hbsim.Result.summary`, and these of `RunResult.summary`.

        They are seconds (simulated), best_trial, train, why; and returned and late_reports, which are 0.
        """
        best = self.incumbent()["trial"]
        return {
            **super().summary(),
            "seconds": self.end_time,
            "returned": 0,
            "late_reports": 0,
            "best_trial": best[-1] if len(best) else None,
            "why": self.why,
            "train": self.spec.train,
        }


# Learning curves of a training function


def find_curves(function: FunctionDescription, scheduler: Scheduler, options: RunOptions) -> Surrogate:
    """Return the learning curves that `surrogate` names, or those of the study in `folder`.

    Raises
    ------
    ParameterError, SurrogateError, JournalError
        There are none, they cannot be read, or their configurations have other names than the function's.
    """
    from hbsim.study.result import load as load_study

    given, metric, mode = options.surrogate, options.metric, scheduler.mode
    read: dict[str, object] = {} if metric is None else {"metric": metric, "mode": mode}
    more: dict[str, Any] = dict(options.surrogate_options or {})
    text = os.fspath(given) if isinstance(given, str | os.PathLike) else ""
    name, _, rest = text.partition(":")
    if given is None:
        curves = _of_study(_own_study(function, options), function, {**read, **more})
    elif name in FORMULAS:
        max_t = None if options.until_return else scheduler.options.max_t
        curves = load(_formula(name, rest, mode, max_t), **more)
    elif text and StudyFolder(text).holds_study:
        curves = _of_study(load_study(text), function, {**read, **more})
    elif text in SHIPPED or text.startswith(DECIDED) or Path(text).suffix in SUFFIXES:
        curves = _load_decided(text, read, more, function)
    else:
        curves = load(text or given, **more)
    if isinstance(_innermost(curves), Synthetic | Ideal) and curves.rows is None:
        return FormulaCurves(curves, function.space, metric)
    _check_names(curves, function)
    if metric not in (None, curves.metric):
        rule = f"the curves of {curves.name} are of {curves.metric}"
        raise ParameterError("metric", metric, rule)
    return curves


def _load_decided(
    name: str, read: Mapping[str, Any], more: Mapping[str, Any], function: FunctionDescription
) -> Surrogate:
    """Load curves that may have several metrics; curves of another function are an error of their own."""
    try:
        return load(name, **{**read, **more})
    except HbsimError as error:
        try:
            bare = load(name, **more)
        except HbsimError:
            raise error from None
        _check_names(bare, function)
        raise


def _own_study(function: FunctionDescription, options: RunOptions) -> RunResult:
    """Return the study in the folder, if it is one of this function, with reports."""
    from hbsim.study.result import load as load_study

    folder = StudyFolder(options.folder)
    found = f"{options.folder} holds no study"
    if folder.holds_study:
        result = load_study(folder.path)
        if result.spec.train != function.label:
            found = f"{options.folder} holds a study of {result.spec.train}"
        elif set(result.spec.space) != set(function.space):
            found = f"the study in {options.folder} has another search space"
        elif len(result.incumbent()) or not result.reports.is_empty():
            return result
        else:
            found = f"the study in {options.folder} has no reports"
    rule = (
        f"there are no learning curves of {function.label}, {found}: record some (hbsim record), name the "
        "folder of an earlier study, or ask for curves by a formula ('synthetic')"
    )
    raise ParameterError("surrogate", None, rule)


def _formula(name: str, rest: str, mode: str, max_t: float | None) -> str:
    """Return the text of curves by a formula, with the study's mode and R unless others are given."""
    keys = [item.partition("=")[0].strip() for item in rest.split(",")]
    items = [rest] if rest else []
    if max_t is not None and max_t > 1 and "max_resource" not in keys:
        items.append(f"max_resource={max_t:.17g}")
    if "mode" not in keys:
        items.append(f"mode={mode}")
    return f"{name}:{','.join(items)}" if items else name


def _of_study(study: RunResult, function: FunctionDescription, given: Mapping[str, Any]) -> Surrogate:
    """Return the curves of an earlier study; the last values stay of those that ended early.

    Warns
    -----
    HbsimWarning
        Some curves ended early and nothing was given for them, or the function has changed since.
    """
    folder = os.path.relpath(study.folder) if study.folder.is_relative_to(Path.cwd()) else str(study.folder)
    if study.spec.train == function.label and study.spec.digest != function.digest:
        text = f"{function.label} has changed since the study in {folder}: its curves may differ"
        warnings.warn(HbsimWarning(text), stacklevel=6)
    with TemporaryDirectory(prefix="hbsim-") as temporary:
        file = Path(temporary, "curves.parquet")
        try:
            study.export(file, given.get("metric"), given.get("mode"))
        except OutputError:
            rule = "the study in this folder has no reports"
            raise ParameterError("surrogate", folder, rule) from None
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", HbsimWarning)
            try:
                table = load(file, **{"censored": "extrapolate", **given, "wrap": None})
            except SurrogateError as error:
                raise SurrogateError(folder, error.problem) from None
    for one in caught:  # they name the temporary file
        warnings.warn(str(one.message).replace(str(file), folder), one.category, stacklevel=6)
    assert isinstance(table, Table)
    table.name = study.folder.name
    _check_names(table, function)
    early = table.censored_rows
    if early and "censored" not in given:
        text = f"{early} of {study.scheduler.started} trials in {folder} ended early: their last values stay "
        warnings.warn(HbsimWarning(f"{text}in the simulation, as by censored='extrapolate'"), stacklevel=6)
    return load(table, wrap=given.get("wrap"))


def _innermost(curves: Surrogate) -> Surrogate:
    """Return the curves inside all wrappers."""
    while isinstance(curves, Wrapper):
        curves = curves.wrapped
    return curves


def _check_names(curves: Surrogate, function: FunctionDescription) -> None:
    """Check that the configurations of curves have the names of the function's search space."""
    space = curves.space
    names = set(getattr(_innermost(curves), "hyperparameters", ()) if space is None else space)
    renamed = {f"hp_{name}" for name in function.space} - set(function.space)
    needed = {name for name in function.space if name in names or f"hp_{name}" not in names}
    if names - renamed == needed and len(names) == len(function.space):
        return
    theirs = f"has {', '.join(sorted(names))}" if names else "has no hyperparameters"
    ours = ", ".join(function.space)
    rule = (
        f"{curves.name} {theirs}, and {function.label} has {ours}: simulate with curves of its own, or with "
    )
    raise ParameterError("surrogate", curves.name, f"{rule}'synthetic'")


class FormulaCurves(Wrapper):
    """Curves by a formula, whose parameters are independent of the configurations of a training function.

    A configuration is a point of the function's space, followed by the parameters of its curve: those that
    random search gives the trial, as in `hbsim.simulate` with the same seed.

    Parameters
    ----------
    formula : Surrogate
        The curves.
    space : Space
        The function's search space.
    metric : str or None
        The name of the metric; None for that of the formula.
    """

    def __init__(self, formula: Surrogate, space: Space, metric: str | None) -> None:
        super().__init__(formula, "space")
        self.metric = metric or formula.metric
        self.space = space
        self.best_configuration = None

    @cached_property
    def name(self) -> str:
        """The name of the formula."""
        return self.wrapped.name

    def evaluate(self, configurations: Floats | Ints, levels: Floats) -> tuple[Floats, Floats]:
        """Return the metric and cumulative seconds of the curves, shapes (n, m)."""
        return self.wrapped.evaluate(self._parameters(configurations), levels)

    def test_values(self, configurations: Floats | Ints, level: float) -> Floats | None:
        """Return the held-out metric of the curves at `level`, shape (n,), None where there is none."""
        return self.wrapped.test_values(self._parameters(configurations), level)

    def make_searcher(self, scheduler: Scheduler, options: RunOptions) -> Searcher:
        """Return the searcher of the study: it chooses configurations, and curves at random beside them."""
        check_searcher(options.searcher, options.search_options)
        searcher, seed = options.searcher, options.seed
        if searcher is None or isinstance(searcher, str):
            task = SearchTask(self.space, seed, mode=scheduler.mode, max_t=scheduler.options.max_t)
            searcher = make_searcher(searcher or "random", task, options.search_options)
        return _WithCurves(searcher, make_searcher("random", SearchTask(self.wrapped.space, seed), None))

    def _parameters(self, configurations: Floats | Ints) -> Floats:
        assert self.space is not None
        return np.asarray(configurations, dtype=np.float64)[:, self.space.dimension :]


class _WithCurves(FirstPoints):
    """A searcher with the parameters of random curves after its configurations."""

    def __init__(self, searcher: Searcher, curves: Searcher) -> None:
        super().__init__(searcher, np.empty(0))
        self._curves = curves

    def suggest(self, n: int) -> Floats:
        """Return the next n configurations, each followed by the parameters of its curve."""
        return np.hstack([self.searcher.suggest(n), self._curves.suggest(n)])
