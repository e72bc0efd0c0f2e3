"""The parameters that AutoTorch's classes share, checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from hbsim.autotorch.searchers import BaseSearcher, SearcherOfConfigs
from hbsim.core.factory import make_scheduler
from hbsim.core.numbers import exact
from hbsim.core.space import space_of
from hbsim.core.types import Mode
from hbsim.errors import ParameterError, nearest
from hbsim.executors.remote.options import Dask, Hosts
from hbsim.options import flag, one_of
from hbsim.searchers import SEARCHERS, Searcher, ends
from hbsim.study.options import RunOptions, check_names

if TYPE_CHECKING:
    from hbsim.core.scheduler import Scheduler
    from hbsim.core.space import Space

TrainFunction: TypeAlias = Callable[..., object] | str
# The names of options of `hbsim.run` in AutoTorch.
AUTOTORCH_WORDS: Final = {"metric": "reward_attr", "max_time": "time_out"}
Keep: TypeAlias = Literal["best", "completed", "all", "none"]
Progress: TypeAlias = Literal["auto", "table", "lines", "none"]
Start: TypeAlias = Literal["fork", "spawn"]
Visualizer: TypeAlias = Literal["none", "tensorboard"]


@contextmanager
def in_autotorch_words() -> Iterator[None]:
    """Raise errors of `hbsim.run` with AutoTorch's names of its options."""
    try:
        yield
    except ParameterError as error:
        if error.field not in AUTOTORCH_WORDS:
            raise
        raise ParameterError(AUTOTORCH_WORDS[error.field], error.value, error.rule) from error


@dataclass(frozen=True)
class StudyParameters:
    """The parameters that all classes share; `FIFOScheduler` says what each means.

    `type` and `rungs` are the type of scheduler, and its options beside the common ones; `run` has those that
    `hbsim.run` takes, too.

    Raises
    ------
    ParameterError
        Names the parameter, its value and the rule.
    """

    type: str
    rungs: Mapping[str, object]
    train_fn: TrainFunction
    num_trials: int | None
    mode: Mode
    retries: int
    loss_retries: int | None
    maxt_pending: bool
    run: RunOptions

    def __post_init__(self) -> None:
        if not callable(self.train_fn) and not isinstance(self.train_fn, str):
            rule = "must be a function decorated with @hbsim.args, or FILE.py:NAME"
            raise ParameterError("train_fn", self.train_fn, rule)
        if callable(self.train_fn):
            check_space(self.train_fn)
        one_of("max", "min")("mode", self.mode)
        with in_autotorch_words():
            check_names(self.run.time_attr, self.run.metric)
        flag("maxt_pending", self.maxt_pending)

    def goal(self, num_trials: int | None, scheduled: int, time_out: float | None) -> int | None:
        """Return how many trials a study starts, with those scheduled; None if something else ends it.

        Raises
        ------
        ParameterError
            Nothing ends it.
        """
        most = self.num_trials if num_trials is None else num_trials
        if most is None and (time_out or self.run.max_time or ends(self.run.searcher)):
            return None
        if most is None and not scheduled:
            raise ParameterError("num_trials", None, "give num_trials or time_out: the study needs an end")
        return max(most or 0, scheduled)

    def make_scheduler(self, num_trials: int | None, **rungs: Any) -> Scheduler:
        """Return a new core scheduler; `rungs` goes before the options of the same names."""
        return make_scheduler(
            self.type,
            **{**self.rungs, **rungs},
            mode=self.mode,
            num_trials=num_trials,
            retries=self.retries,
            loss_retries=self.loss_retries,
            seed=self.run.seed,
        )


def check_space(train_fn: Callable[..., object]) -> None:
    """Check that a training function is decorated."""
    try:
        space_of(train_fn)
    except ParameterError as error:
        raise ParameterError("train_fn", error.value, error.rule) from None


EXECUTORS: Final = ("local", "sim", "dask")
BAYESOPT: Final = "bayesopt"  # AutoTorch's name of a searcher


class _Default(float):
    """A default that can be told from an equal number that the user gave."""


# The best possible accuracy. It makes no sense for a loss: with mode="min" it only counts if the user
# gave it.
MAX_REWARD: Final = _Default(1.0)


def chosen_max_reward(value: object, mode: str) -> float | None:
    """Return the reward that ends a study, or None."""
    if value is None or (value is MAX_REWARD and mode == "min"):
        return None
    return float(exact("max_reward", value))


def chosen_searcher(searcher: str | Searcher | BaseSearcher | None, bayesopt: str) -> str | Searcher | None:
    """Return the searcher; AutoTorch's ``"bayesopt"`` is `bayesopt` here, and its objects are wrapped.

    Raises
    ------
    ParameterError
        If the name is a misspelling of it.
    """
    if isinstance(searcher, BaseSearcher):
        return SearcherOfConfigs(searcher)
    if not isinstance(searcher, str):
        return searcher
    if searcher == BAYESOPT:
        return bayesopt
    names = (BAYESOPT, *SEARCHERS)
    if BAYESOPT in (meant := nearest(searcher, names)):
        raise ParameterError("searcher", searcher, f"must be one of {', '.join(names)}.{meant}")
    return searcher


def chosen_executor(executor: object, addresses: object) -> Hosts | Dask | str:
    """Return where a study runs, or would run if it is simulated: ``"local"``, hosts, or a Dask cluster.

    Raises
    ------
    ParameterError
        It is no executor, or does not go with `addresses`, which are hosts, too.
    """
    if isinstance(executor, (list, tuple)):
        executor = Hosts(executor)
    if not isinstance(executor, Hosts | Dask):
        one_of(*EXECUTORS)("executor", executor)
    hosts = addresses_of("dist_ip_addrs", addresses)
    if not hosts and isinstance(executor, Hosts | Dask):
        return executor
    if not hosts:
        return Dask() if executor == "dask" else "local"
    if isinstance(executor, Hosts | Dask):
        rule = f"go without an hbsim.{type(executor).__name__}, which says where trials run"
        raise ParameterError("dist_ip_addrs", addresses, rule)
    try:
        return Hosts(hosts)
    except ParameterError as error:
        raise ParameterError("dist_ip_addrs", error.value, error.rule) from None


def addresses_of(field: str, addresses: object) -> tuple[str, ...]:
    """Return a list of addresses, which may be None."""
    if addresses is None:
        return ()
    if isinstance(addresses, str) or not isinstance(addresses, Sequence):
        raise ParameterError(field, addresses, "must be a list of addresses")
    return tuple(addresses)


def with_hosts(executor: object, addresses: object) -> Hosts:
    """Return where a study runs with more hosts; a study of this machine runs on these hosts instead.

    Raises
    ------
    ParameterError
        `addresses` are none, or the study runs on a Dask cluster.
    """
    more = (addresses,) if isinstance(addresses, str) else addresses_of("ip_addrs", addresses)
    if isinstance(executor, Dask):
        raise ParameterError("ip_addrs", addresses, "go without an hbsim.Dask, which says where trials run")
    try:
        return (
            replace(executor, hosts=(*executor.hosts, *more)) if isinstance(executor, Hosts) else Hosts(more)
        )
    except ParameterError as error:
        raise ParameterError("ip_addrs", error.value, error.rule) from None


def point_of(task: object, space: Space | None) -> list[float]:
    """Return a configuration as a point of the unit cube.

    Parameters
    ----------
    task : mapping or object
        Values by name; or a task, with the configuration in ``task.args["config"]``.
    space : Space or None
        The search space of the configuration.

    Raises
    ------
    ParameterError
        A name is missing or unknown, a value is outside of its range; or there are no configurations.
    """
    if space is None:
        rule = "the surrogate is a table: its rows are drawn in a seeded order, none can be queued"
        raise ParameterError("task", task, rule)
    configuration = _configuration(task)
    for name, value in configuration.items():
        if isinstance(value, list):
            raise ParameterError(str(name), value, "must be one value")
    return [float(coordinate) for coordinate in space.encode(configuration)]


def _configuration(task: object) -> Mapping[str, object]:
    holder = task if isinstance(task, Mapping) else vars(task) if hasattr(task, "__dict__") else {}
    args = holder.get("args", getattr(task, "args", None))
    if isinstance(args, Mapping) and "config" in args:
        task = args["config"]
    if not isinstance(task, Mapping):
        rule = "must be a mapping of names to values, or a task with one in args['config']"
        raise ParameterError("task", task, rule)
    return task
