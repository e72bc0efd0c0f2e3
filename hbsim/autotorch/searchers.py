"""AutoTorch's searchers, which suggest configurations as dicts and maximise rewards.

They are used by hand, in a loop, or given to AutoTorch's schedulers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from math import inf, isfinite, nan
from typing import Any, Final, TypeAlias

import numpy as np

from hbsim.core.space import Real, Space, from_configspace
from hbsim.errors import ParameterError, nearest
from hbsim.options import one_of
from hbsim.searchers import Searcher, SearchTask, make_searcher
from hbsim.searchers.protocol import Configurations, Floats

Config: TypeAlias = dict[str, object]
_Key: TypeAlias = tuple[tuple[str, object], ...]
TRIES: Final = 100  # configurations drawn until one is new


class BaseSearcher:
    """The base class: the best reward of each configuration. A subclass has `get_config`.

    Parameters
    ----------
    configspace : ConfigSpace.ConfigurationSpace, Space or callable
        The search space, ``train_fn.cs`` for instance; or what has one as its ``space``, like ``train_fn``.

    Attributes
    ----------
    configspace : object
        As given.
    space : Space
        The search space.
    time_attr : str
        The name of the resource among the arguments of `update`. A scheduler sets it.

    Raises
    ------
    ParameterError
        It is no search space, or one that a `Space` cannot hold.
    """

    model_based = True

    def __init__(self, configspace: object) -> None:
        self.configspace = configspace
        found = getattr(configspace, "space", configspace)
        if not isinstance(found, Space) and not hasattr(found, "sample_configuration"):
            rule = "must be a search space: train_fn.cs, train_fn, or an hbsim.Space"
            raise ParameterError("configspace", configspace, rule)
        self.space: Space = found if isinstance(found, Space) else from_configspace(found)  # type: ignore[arg-type]
        self.time_attr = "epoch"
        self._results: dict[_Key, float] = {}
        self._configs: dict[_Key, Config] = {}

    def get_config(self) -> Config:
        """Return the next configuration."""
        raise NotImplementedError(f"{type(self).__name__} has no get_config")

    # **report: the metrics of the user's function, as the schedulers pass them on.
    def update(
        self,
        config: Mapping[str, object],
        reward: float,
        done: bool = False,
        terminated: bool = False,
        **report: object,
    ) -> None:
        """Record a reward of a configuration. It is a result once it is `done` or `terminated`.

        Parameters
        ----------
        config : mapping
            The configuration.
        reward : float
            Of several results the largest counts; NaN never does.
        done, terminated : bool
            Whether the trial is over.
        **report
            What else was reported, the resource for instance.
        """
        if (done or terminated) and reward == reward:
            key = self._known(config)
            self._results[key] = max(reward, self._results[key])

    def register_pending(self, config: Mapping[str, object], milestone: float | None = None) -> None:
        """Record that a configuration trains, towards a milestone."""

    def queued(self, config: Mapping[str, object]) -> None:
        """Record a configuration that somebody else chose."""
        self._known(config)

    def _known(self, config: Mapping[str, object]) -> _Key:
        key = _key(config)
        self._configs.setdefault(key, dict(config))
        self._results.setdefault(key, -inf)
        return key

    def resume(self, config: Mapping[str, object]) -> None:
        """Go on after a configuration that it handed out before a restart."""
        self.queued(config)

    def get_reward(self, config: Mapping[str, object]) -> float:
        """Return the result of a configuration; -inf while there is none.

        Raises
        ------
        ParameterError
            It is not known.
        """
        found = self._results.get(_key(config))
        if found is None:
            raise ParameterError("config", dict(config), "was neither handed out nor updated")
        return found

    def get_best_config_reward(self) -> tuple[Config, float]:
        """Return the configuration with the largest result, and this; ``{}`` and -inf if there is none."""
        key = max(self._results, key=self._results.__getitem__, default=None)
        return ({}, -inf) if key is None else (dict(self._configs[key]), self._results[key])

    def get_best_config(self) -> Config:
        """Return the configuration with the largest result."""
        return self.get_best_config_reward()[0]

    def get_best_reward(self) -> float:
        """Return the largest result."""
        return self.get_best_config_reward()[1]

    def is_best(self, config: Mapping[str, object]) -> bool:
        """Return whether a configuration is the one with the largest result."""
        return bool(self._results) and _key(config) == _key(self.get_best_config())

    def __repr__(self) -> str:
        config, reward = self.get_best_config_reward()
        shown = f"{len(self._results)} configurations, the best reward {reward:g} of {config}"
        return f"<{type(self).__name__} over {', '.join(self.space)}: {shown}>"


def _key(config: Mapping[str, object]) -> _Key:
    """Return what is equal for configurations that differ by float error only."""
    values = ((name, f"{value:.9g}" if isinstance(value, float) else value) for name, value in config.items())
    return tuple(sorted(values))


class SuggestingSearcher(BaseSearcher):
    """The base of the searchers that stand for one of `hbsim.searchers`."""

    _searcher: Searcher
    _rows: list[Config] | None = None  # where the searcher suggests rows

    def __init__(self, configspace: object) -> None:
        super().__init__(configspace)
        self._trials: dict[_Key, int] = {}  # the number of each configuration for the searcher
        self._count = 0
        self._observed: dict[tuple[int, float, float | None], None] = {}  # in order

    def get_config(self) -> Config:
        """Return the next configuration: one that is new, unless a hundred in a row are not.

        Raises
        ------
        ParameterError
            There are no more.
        """
        for _ in range(TRIES):
            (found,) = self._searcher.suggest(1)
            config = self.space.mapping(found) if self._rows is None else dict(self._rows[int(found)])
            trial, is_new = self._number(config), _key(config) not in self._results
            if is_new:
                break
            self._searcher.forget(trial)
        self._known(config)
        return config

    def update(
        self,
        config: Mapping[str, object],
        reward: float,
        done: bool = False,
        terminated: bool = False,
        **report: object,
    ) -> None:
        """Record a reward of a configuration, as `BaseSearcher.update`; the model knows it at once."""
        reward = float(reward)
        super().update(config, reward, done, terminated, **report)
        if _key(config) not in self._trials:
            self.queued(config)
        trial = self._trials.get(_key(config))
        if trial is None:
            return
        level = report.get(self.time_attr, 1.0)
        observation = (trial, float(level) if isinstance(level, int | float) else 1.0, _finite(reward))
        if observation not in self._observed:
            self._observed[observation] = None
            self._searcher.observe(*observation)
        if done or terminated:
            self._searcher.forget(trial)

    def register_pending(self, config: Mapping[str, object], milestone: float | None = None) -> None:
        """Record that a configuration trains, towards a milestone."""
        if (trial := self._trials.get(_key(config))) is not None:
            self._searcher.register_pending(trial, 1.0 if milestone is None else float(milestone))

    def queued(self, config: Mapping[str, object]) -> None:
        """Record a configuration that somebody else chose; a model takes it as one of its own."""
        if self.model_based:
            self.resume(config)
        else:
            super().queued(config)

    def resume(self, config: Mapping[str, object]) -> None:
        """Go on after a configuration that it handed out before a restart."""
        key = self._known(config)
        if key in self._trials:  # it was used before, in an earlier run of the study for instance
            return
        if self._rows is None:
            self._searcher.resume(self.space.encode(config)[np.newaxis])
        else:
            keys = [_key(row) for row in self._rows]
            if key not in keys:
                return
            self._searcher.resume(np.array([keys.index(key)], dtype=np.int64))
        self._number(config)

    def _number(self, config: Mapping[str, object]) -> int:
        self._trials[_key(config)] = self._count
        self._count += 1
        return self._count - 1


def _finite(reward: float) -> float | None:
    return reward if isfinite(reward) else None


class RandomSearcher(SuggestingSearcher):
    """Random search; the first configuration is the default.

    Parameters
    ----------
    configspace : ConfigSpace.ConfigurationSpace, Space or callable
        As for `BaseSearcher`.
    seed : int
        The seed of all random numbers: the same seed gives the same configurations.
    """

    model_based = False

    def __init__(self, configspace: object, seed: int = 0) -> None:
        super().__init__(configspace)
        task = SearchTask(self.space, seed)
        self._searcher = make_searcher("random", task, {"points_to_evaluate": [{}]})


class GridSearcher(SuggestingSearcher):
    """Every combination of values, once; a study ends after the last.

    Parameters
    ----------
    configspace : ConfigSpace.ConfigurationSpace, Space or callable
        As for `BaseSearcher`.
    points : int or mapping
        How many values a number has, as for the searcher ``"grid"``.
    """

    model_based = False

    def __init__(self, configspace: object, points: int | Mapping[str, int] = 5) -> None:
        super().__init__(configspace)
        self._searcher = make_searcher("grid", SearchTask(self.space, 0), {"points": points})

    @property
    def limit(self) -> int:
        """The number of configurations in all."""
        limit: int = self._searcher.limit  # type: ignore[attr-defined]
        return limit

    def __len__(self) -> int:
        """Return how many configurations were not handed out yet."""
        remaining: int = self._searcher.remaining  # type: ignore[attr-defined]
        return remaining


class BayesOptSearcher(SuggestingSearcher):
    """Bayesian optimisation: the searcher ``"gp"``, which needs BoTorch.

    Parameters
    ----------
    configspace : ConfigSpace.ConfigurationSpace, Space or callable
        As for `BaseSearcher`; any kind of parameter.
    lazy_configs : sequence of dict, optional
        Configurations that are handed out before any other; the model chooses among them.
    random_state : int, optional
        The seed of all random numbers; 0 unless given.
    ac_kind : "ucb" or "ei"
        The acquisition: the upper confidence bound, or the expected improvement.
    kappa : float
        How many deviations the upper confidence bound adds to the mean.
    xi : float
        Must be 0: the improvement is over the best value itself.
    num_init : int, optional
        How many configurations are random at first, as for the searcher ``"gp"``.

    Raises
    ------
    ParameterError
        An option breaks its rule, or BoTorch is not installed.
    """

    def __init__(
        self,
        configspace: object,
        lazy_configs: Sequence[Mapping[str, object]] | None = None,
        random_state: int | None = None,
        ac_kind: str = "ucb",
        kappa: float = 2.576,
        xi: float = 0.0,
        num_init: int | None = None,
    ) -> None:
        super().__init__(configspace)
        one_of("ucb", "ei")("ac_kind", ac_kind)
        if xi != 0:
            raise ParameterError("xi", xi, "must be 0: the improvement is over the best value itself")
        if random_state is not None and not isinstance(random_state, int):
            raise ParameterError("random_state", random_state, "must be a whole number, a seed, or None")
        self._seed = random_state or 0
        self._options = {"kappa": kappa if ac_kind == "ucb" else None, "num_init": num_init}
        pool = {_key(config): dict(config) for config in lazy_configs or ()}
        rows = [self.space.encode(config) for config in pool.values()]
        if pool:
            self._rows = list(pool.values())
        self._searcher = self._made(np.array(rows) if pool else None)

    def get_config(self) -> Config:
        """Return the next configuration: one of `lazy_configs` while there are some left."""
        if self._rows is not None and self._searcher.remaining == 0:  # type: ignore[attr-defined]
            self._rows, self._searcher = None, self._made(None)
            for key in self._trials:  # in the order of their numbers
                self._searcher.resume(self.space.encode(self._configs[key])[np.newaxis])
            for observation in self._observed:
                self._searcher.observe(*observation)
        return super().get_config()

    def _made(self, rows: Floats | None) -> Searcher:
        count = None if rows is None else len(rows)
        return make_searcher("gp", SearchTask(self.space, self._seed, count, rows), self._options)


class SearcherOfConfigs:
    """One of AutoTorch's searchers, or of the user's own, as a searcher of a study.

    A trial's rewards go to `update`, with the resource under the name `time_attr`: at each rung, and once
    more when the trial no longer runs, with ``terminated=True``. If the metric is minimised, a reward is the
    negative of a value.

    Parameters
    ----------
    searcher : BaseSearcher
        The searcher.
    """

    model_based = True  # it is asked when a trial starts: queued configurations may come before
    listens = True

    def __init__(self, searcher: BaseSearcher) -> None:
        self.searcher, self.name = searcher, type(searcher).__name__
        self.stands_for = (searcher, None)  # in the description of a study
        self._space, self._metric, self._sign = searcher.space, "reward", 1.0
        self._suggested: list[Config] = []  # of all runs of the study
        self._observed: set[tuple[int, float, bool]] = set()
        self._begin()

    def _begin(self) -> None:
        self._place = 0  # among those suggested
        self._configs: list[Config] = []  # by trial
        self._last: dict[int, dict[str, Any]] = {}  # by trial, the arguments of the last update

    def bind(self, task: SearchTask, time_attr: str, metric: str) -> None:
        """Use it for a study: its task, and the reported names of its resource and its metric.

        Raises
        ------
        ParameterError
            The searcher's space has other parameters.
        """
        space = None if task.rows is not None else task.space
        if space is None or set(space) != set(self.searcher.space):
            given = "rows of a table" if space is None else ", ".join(space)
            rule = f"searches over {', '.join(self.searcher.space)}; this study has {given}"
            raise ParameterError("searcher", self.name, rule)
        self.searcher.time_attr = time_attr
        self._space, self._metric, self._sign = space, metric, 1.0 if task.mode == "max" else -1.0

    def again(self) -> SearcherOfConfigs:
        """Return the searcher for a run of the study from its beginning: of what it knows, nothing is new."""
        fresh = copy(self)
        fresh._begin()
        return fresh

    @property
    def limit(self) -> int | None:
        """How many configurations there are, where the searcher says so."""
        limit: int | None = getattr(self.searcher, "limit", None)
        return limit

    def suggest(self, n: int) -> Floats:
        """Return the next n configurations, points of the unit cube, shape (n, d)."""
        points = []
        for _ in range(n):
            if self._place == len(self._suggested):
                self._suggested.append(dict(self.searcher.get_config()))
            config = self._suggested[self._place]
            self._place += 1
            points.append(self._point(config))
            self._configs.append(config)
        return np.array(points, dtype=np.float64).reshape(n, self._space.dimension)

    def resume(self, configurations: Configurations) -> None:
        """Go on after configurations that were suggested before a restart."""
        for config in self._space.mappings(np.asarray(configurations, dtype=np.float64)):
            if self._place == len(self._suggested):
                self._suggested.append(config)
                self.searcher.resume(config)
            self._configs.append(self._suggested[self._place])
            self._place += 1

    def queued(self, configurations: Configurations) -> None:
        """Take configurations that come before those that it suggests."""
        for config in self._space.mappings(np.asarray(configurations, dtype=np.float64)):
            self._configs.append(config)
            self.searcher.queued(config)

    def register_pending(self, trial: int, level: float) -> None:
        """Pass it on, with the trial's configuration."""
        self.searcher.register_pending(self._configs[trial], level)

    def observe(self, trial: int, level: float, value: float | None) -> None:
        """Pass it on as a reward of the trial's configuration."""
        reward = nan if value is None else self._sign * value
        self._last[trial] = {self._metric: value, self.searcher.time_attr: level, "reward": reward}
        self._update(trial, level)

    def forget(self, trial: int) -> None:
        """Pass on that the trial no longer runs, if it had a reward."""
        if trial in self._last:
            self._update(trial, self._last[trial][self.searcher.time_attr], terminated=True)

    def _update(self, trial: int, level: float, terminated: bool = False) -> None:
        observation = (trial, level, terminated)
        if observation not in self._observed:  # in an earlier run
            self._observed.add(observation)
            ended = {"terminated": True} if terminated else {}
            self.searcher.update(config=self._configs[trial], **self._last[trial], **ended)

    def _point(self, config: Mapping[str, object]) -> Floats:
        given: Config = {}
        for name, value in config.items():
            if name not in self._space:
                rule = f"is no parameter of the space ({', '.join(self._space)})."
                raise ParameterError(name, value, rule + nearest(name, self._space))
            parameter = self._space[name]
            if isinstance(parameter, Real) and isinstance(value, float):
                value = min(max(value, parameter.low), parameter.high)  # ConfigSpace rounds bounds
            given[name] = value
        return self._space.encode(given)


def searcher_of(
    searcher: Searcher | str | None, task: SearchTask, results: Sequence[tuple[Config, float]]
) -> BaseSearcher | Searcher:
    """Return a study's searcher as AutoTorch's schedulers show it.

    Parameters
    ----------
    searcher : Searcher, str or None
        The study's.
    task : SearchTask
        Its task.
    results : sequence of (dict, float)
        The configurations so far, and the best value of each.

    Returns
    -------
    searcher : BaseSearcher or Searcher
        The object itself; of a name a new `BaseSearcher` that knows the results. Rewards are maximised.
    """
    if isinstance(searcher, SearcherOfConfigs):
        return searcher.searcher
    if searcher is not None and not isinstance(searcher, str):
        return searcher
    space = task.space or Space({})
    shown: BaseSearcher
    if searcher in (None, "random") and task.rows is None:
        shown = RandomSearcher(space, task.seed)
    elif searcher == "grid":
        shown = GridSearcher(space)
    else:
        shown = BaseSearcher(space)
    for config, value in results:
        shown.update(config, value if task.mode == "max" else -value, done=True)
    return shown
