"""Simulated studies: `hbsim.simulate` runs one study in simulated time."""

from __future__ import annotations

import dataclasses
import gc
import signal
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import inf
from typing import TYPE_CHECKING

from hbsim.core.numbers import exact, whole
from hbsim.core.scheduler import Scheduler
from hbsim.errors import HbsimWarning, ParameterError
from hbsim.options import named_options
from hbsim.study.interrupts import Interrupted, interruptible

if TYPE_CHECKING:
    from hbsim.searchers import Searcher
    from hbsim.simulation import Cluster, Result
    from hbsim.surrogates import Surrogate


@named_options
def simulate(
    scheduler: Scheduler,
    surrogate: str | Surrogate = "digits",
    workers: int | None = None,
    seed: int = 0,
    cluster: Cluster | None = None,
    searcher: str | Searcher | None = None,
    max_time: float | None = None,
    max_reward: float | None = None,
    replace: bool = False,
    search_options: Mapping[str, object] | None = None,
) -> Result:
    """Simulate a study.

    Trial i has the same configuration, curve, slowness and failures under every scheduler of the same
    seed (common random numbers), unless the searcher learns from what it observes.

    Parameters
    ----------
    scheduler : Scheduler
        A new scheduler by `make_scheduler`.
    surrogate : str or Surrogate
        The source of learning curves: a name, a file, ``FILE.py:NAME``, or an object.
    workers : int, optional
        How many workers; by default the cluster's, or 32.
    seed : int
        Seed of configurations, slowness and failures.
    cluster : Cluster, optional
        The simulated cluster; by default only training takes time.
    searcher : str or Searcher, optional
        Chooses configurations; by default ``"random"``. An object goes on from its present state.
    max_time : float, optional
        Simulated seconds at which running jobs are cut; events at exactly that time count, so
        a job that starts then is in the result, with length 0.
    max_reward : float, optional
        The study ends as soon as a value is at least as good as this.
    replace : bool
        Whether rows of a table may be used again, in another seeded order, if there are more trials than
        rows. Without `replace` and `num_trials` a study starts as many trials as there are rows.
    search_options : mapping, optional
        Options of a searcher by name: see `hbsim.searchers.make_searcher`.

    Returns
    -------
    Result
        The jobs, trials, decisions, incumbents and summary.

    Warns
    -----
    HbsimWarning
        If all workers left for good while there was work, or a study without `num_trials` used all rows of
        a table before its time was over.

    Raises
    ------
    Interrupted
        A KeyboardInterrupt at the first Ctrl-C; its `result` is the study so far.
    ParameterError
        If options do not fit together; before any work starts.
    SurrogateError
        If the learning curves cannot be used.
    """
    seed = whole("seed", seed, 0)
    checked = check_study(
        scheduler, surrogate, workers, seed, cluster, searcher, max_time, max_reward, replace, search_options
    )
    return simulate_checked(scheduler, *checked, seed, max_time, max_reward, replace)


def simulate_checked(
    scheduler: Scheduler,
    surrogate: Surrogate,
    cluster: Cluster,
    searcher: Searcher,
    seed: int = 0,
    max_time: float | None = None,
    max_reward: float | None = None,
    replace: bool = False,
    extensions: Sequence[int] = (),
) -> Result:
    """Simulate a study that `check_study` has checked; warnings and interruptions are those of `simulate`.

    Parameters
    ----------
    extensions : sequence of int
        Numbers of trials, ascending: each time that the study is done it is extended to the next.
    """
    from hbsim.runner.loop import SearcherNotifier, drive
    from hbsim.runner.tables import DecisionTable, JobTable
    from hbsim.simulation.curves import TrialCurves
    from hbsim.simulation.engine import Engine
    from hbsim.simulation.result import Result, SimulationData
    from hbsim.simulation.store import StoreEngine

    trials = extensions[-1] if extensions else scheduler.num_trials
    high = any(scheduler.geometry.first[: scheduler.brackets])
    curves = TrialCurves(surrogate, searcher, scheduler.levels, cluster, seed, trials, high)
    jobs, decisions = JobTable(), DecisionTable()
    end = inf if max_time is None else float(max_time)
    make = StoreEngine if cluster.shares_store else Engine
    engine = make(cluster, curves, scheduler.geometry, jobs, end, seed, scheduler.dropped)
    good = None if max_reward is None else float(max_reward)
    with _without_collector(), interruptible(lambda number: engine.interrupt(), _ctrl_c()):
        notifier = SearcherNotifier(searcher, scheduler)
        reached = drive(scheduler, engine, decisions, notifier, good)
        for number in extensions:
            scheduler.extend(number)
            reached = reached or drive(scheduler, engine, decisions, notifier, good)
        engine.cut(engine.now if reached or engine.interrupted else engine.max_time)
        engine.close()
    again = replace and surrogate.rows is not None and scheduler.started > surrogate.rows
    lost = (engine.failures, engine.lost_saves)
    simulated = SimulationData(cluster, seed, engine.effects, jobs, decisions, *lost, engine.disk)
    result = Result(scheduler, curves, simulated, again, engine.interrupted)
    if engine.interrupted:
        raise Interrupted(f"interrupted after {result.end_time:g} simulated seconds", result)
    is_each_once = scheduler.options.num_trials is None and getattr(searcher, "limit", None) is None
    is_out = is_each_once and surrogate.rows is not None and scheduler.started == trials
    if is_out and not reached and result.end_time < end:
        warnings.warn(HbsimWarning(_out_of_rows(result, end)), stacklevel=4)
    if not (reached or scheduler.done) and result.end_time < end and (end == inf or _gone(cluster) <= end):
        result.no_worker_after = result.end_time
        warnings.warn(HbsimWarning(_no_worker(result)), stacklevel=4)
    return result


def check_study(
    scheduler: Scheduler,
    surrogate: str | Surrogate,
    workers: int | None,
    seed: int,
    cluster: Cluster | None,
    searcher: str | Searcher | None,
    max_time: float | None,
    max_reward: float | None,
    replace: bool,
    search_options: Mapping[str, object] | None = None,
) -> tuple[Surrogate, Cluster, Searcher]:
    """Check the arguments of `simulate` without running the study; the parameters are the same.

    Returns
    -------
    Surrogate, Cluster, Searcher
        The surrogate, cluster and searcher of the study.

    Raises
    ------
    ParameterError, SurrogateError
        As for `simulate`.
    """
    from hbsim.searchers import limit_trials
    from hbsim.surrogates import check_levels, load

    cluster = cluster_of(workers, cluster)
    if max_time is None:
        cluster.check_time_to_work()  # otherwise the study would never end
    _check_scheduler(scheduler, max_time, max_reward)
    loaded = load(surrogate)
    if loaded.mode != scheduler.mode:
        rule = f"the surrogate {loaded.name} decides on {loaded.metric}, mode={loaded.mode!r}"
        raise ParameterError("mode", scheduler.mode, rule)
    check_levels(loaded, scheduler.levels)
    chosen = _searcher(searcher, search_options, loaded, seed, replace, scheduler)
    limit_trials(scheduler, chosen)
    if scheduler.num_trials is None and max_time is None and max_reward is None:
        rule = "without it the study has no end: give num_trials, max_time or max_reward"
        raise ParameterError("num_trials", None, rule)
    is_named = searcher is None or isinstance(searcher, str)
    if loaded.rows is not None and is_named and (left := getattr(chosen, "remaining", None)) is not None:
        scheduler.limit_trials(left)  # use each row once
    return loaded, cluster, chosen


def _gone(cluster: Cluster) -> float:
    """Return when the last machine leaves for good; inf if never."""
    from hbsim.simulation.trace import Trace

    if isinstance(cluster.trace, Trace):
        lasts = [absences[-1] if absences else None for absences in cluster.trace.absences]
        return max(inf if last is None or last.end < inf else last.start for last in lasts)
    last, machines = cluster.schedule[-1] if cluster.schedule else (inf, 0)
    return inf if machines else last


def _out_of_rows(result: Result, end: float) -> str:
    """Return the warning that a study ended because it used all rows of a table."""
    name, tried = result.curves.surrogate.name, result.scheduler.started
    text = f"all {tried:,} rows of {name} were tried, one for each trial, after {result.end_time:.6g} s"
    text += "" if end == inf else f" of max_time={end:.12g}"
    return f"{text}: set replace=True (rows again, in a seeded order), or use a fitted surrogate"


def _no_worker(result: Result) -> str:
    """Return the warning that all workers left before the work was done, with the work that is left."""
    scheduler = result.scheduler
    text = f"no worker is left after {result.end_time:.6g} s, and there is work: "
    limit = scheduler.num_trials
    of = "" if limit is None else f" of {limit:,}"
    waiting = scheduler.status_counts()["running"]
    return f"{text}{scheduler.started:,}{of} trials have started, {waiting:,} wait to be tried again"


def cluster_of(workers: int | None, cluster: Cluster | None) -> Cluster:
    """Return the cluster with this number of workers; raise a ParameterError if it has another number."""
    from hbsim.simulation.cluster import Cluster

    if cluster is None:
        return Cluster() if workers is None else Cluster(workers=workers)
    if not isinstance(cluster, Cluster):
        raise ParameterError("cluster", cluster, "must be an hbsim.Cluster")
    if workers is None or workers == cluster.workers:
        return cluster
    if cluster.names_workers:
        rule = f"the cluster has workers={cluster.workers}; say how many in one place"
        raise ParameterError("workers", workers, rule)
    return dataclasses.replace(cluster, workers=workers)


def _check_scheduler(scheduler: Scheduler, max_time: float | None, max_reward: float | None) -> None:
    if not isinstance(scheduler, Scheduler):
        raise ParameterError("scheduler", scheduler, "must be made by hbsim.core.make_scheduler")
    if scheduler.started:
        raise ParameterError("scheduler", scheduler, "must be new: it has started trials")
    if max_time is not None and exact("max_time", max_time) <= 0:
        raise ParameterError("max_time", max_time, "must be above 0")
    if max_reward is not None:
        exact("max_reward", max_reward)


def _searcher(
    searcher: str | Searcher | None,
    options: Mapping[str, object] | None,
    surrogate: Surrogate,
    seed: int,
    replace: bool,
    scheduler: Scheduler,
) -> Searcher:
    from hbsim.searchers import SearchTask, check_searcher, make_searcher

    if not isinstance(replace, bool):
        raise ParameterError("replace", replace, "must be True or False")
    check_searcher(searcher, options)
    if searcher is not None and not isinstance(searcher, str):
        return searcher
    trials = scheduler.options.num_trials
    if surrogate.rows is not None and trials is not None and trials > surrogate.rows and not replace:
        rule = (
            f"the table {surrogate.name} has {surrogate.rows} rows, one for each trial: run at most as many, "
        )
        rule += "set replace=True (rows again, in a seeded order), or use a fitted surrogate"
        raise ParameterError("num_trials", trials, rule)
    needs_points = surrogate.rows is not None and (options or searcher not in (None, "random"))
    points = getattr(surrogate, "points", None) if needs_points else None
    max_t = scheduler.options.max_t
    task = SearchTask(surrogate.space, seed, surrogate.rows, points, replace, scheduler.mode, max_t)
    made = make_searcher(searcher or "random", task, options)
    left = getattr(made, "remaining", None) if surrogate.rows is not None else None
    if left is not None and trials is not None and trials > left:
        rule = f"the constraint leaves {left} of the {surrogate.rows} rows of {surrogate.name}, one for each "
        raise ParameterError("num_trials", trials, f"{rule}trial: run at most as many, or set replace=True")
    return made


def _ctrl_c() -> tuple[signal.Signals, ...]:
    """Return SIGINT, unless another handler is set for it."""
    usual = signal.getsignal(signal.SIGINT)
    return (signal.SIGINT,) if usual is signal.default_int_handler else ()


@contextmanager
def _without_collector() -> Iterator[None]:
    """Disable the garbage collector, which would scan the heaps repeatedly; a simulation makes no cycles."""
    was_enabled = gc.isenabled()
    frozen = gc.get_freeze_count()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        if not frozen:
            gc.unfreeze()
        if was_enabled:
            gc.enable()
