"""The searcher `optuna:NAME`: any sampler of Optuna by its name."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from hbsim.core.streams import Purpose, block_generator
from hbsim.errors import ParameterError, nearest, needs
from hbsim.searchers.model_based import ModelBased
from hbsim.searchers.protocol import Configurations, Floats
from hbsim.searchers.task import SearchTask
from hbsim.searchers.tpe import need_optuna

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

TRIES: Final = 8  # questions for a trial until the constraint allows what comes
PREFIX: Final = "optuna:"
REFUSED: Final = {
    "GridSampler": "needs the whole grid beforehand: use the searcher grid",
    "BruteForceSampler": "tries all there is: use the searcher grid",
    "PartialFixedSampler": "needs another sampler, and that has no name",
}
NEEDED: Final = {  # packages, and the rule in the error without them
    "CmaEsSampler": ("cmaes", "needs cmaes: pip install cmaes"),
    "GPSampler": ("torch", needs("torch", "torch")),
}


class OptunaSampler(ModelBased):
    """Asks a sampler of Optuna for configurations, and reports to it by an `OptunaStudy`.

    Its suggestions are Optuna's own, repeated configurations included. If the constraint rejects one, Optuna
    is asked again, eight times; then the trial is random, and Optuna gets its configuration. For a table
    the nearest row that is left is used, and Optuna gets that.

    After a resume the recorded configurations are put into Optuna's queue, and nothing is fitted. Another
    sampler goes on, with a seed that depends on their number: else it would repeat the random numbers of the
    recorded ones. State that a sampler keeps of its suggestions, such as the generations of CMA-ES and of
    genetic algorithms, starts anew. A QMC sequence goes on after the largest index that may have been used.

    Parameters
    ----------
    name : str
        Of the searcher.
    task : SearchTask
        A task with a space. Without `max_t` each trial that ends with a value counts as complete.
    make : callable
        Returns a new sampler for a study that has so many trials.

    Raises
    ------
    ParameterError
        The task has no space.
    """

    def __init__(self, name: str, task: SearchTask, make: Callable[[int], BaseSampler]) -> None:
        self.name = name
        super().__init__(task, num_init=0)
        from hbsim.searchers.optuna_study import OptunaSpace, OptunaStudy

        self._optuna = OptunaSpace(self.space)
        self.optuna_study = OptunaStudy(make(0), self._optuna, task.mode == "max", task.max_t)
        self._make = make
        self._queued = 0  # configurations that no sampler was asked for
        self._is_behind = False  # configurations came that another sampler was asked for
        self._asked: Floats | None = None

    def queued(self, configurations: Configurations) -> None:
        """Use these as the configurations of the next trials, without asking the sampler."""
        super().resume(configurations)
        self._queued += len(configurations)

    def resume(self, configurations: Configurations) -> None:
        """Take these for the configurations of the next trials."""
        super().resume(configurations)
        self._is_behind = self._is_behind or len(configurations) > 0

    def register_pending(self, trial: int, level: float) -> None:
        """Record that a trial trains towards a level."""
        super().register_pending(trial, level)
        self.optuna_study.go_on(trial)

    def observe(self, trial: int, level: float, value: float | None) -> None:
        """Record a value of a trial at a level; None for no number."""
        super().observe(trial, level, value)
        self.optuna_study.report(trial, level, value)

    def forget(self, trial: int) -> None:
        """Record that a trial no longer runs."""
        super().forget(trial)
        self.optuna_study.end(trial)

    def _propose(self, trial: int) -> Floats | None:
        if self._is_behind:
            asked = trial - self._queued
            first = 0 if self._queued else 1  # without a trial before a `QMCSampler` draws at random
            used = asked - first if self.task.constraint is None else TRIES * asked  # at most
            self.optuna_study.go_on_with(self._make(trial), used)
            self._is_behind = False
        for _ in range(TRIES):
            self._asked = self._optuna.point(self.optuna_study.ask())
            if self.task.rows is not None or self.task.allows(self._asked[np.newaxis])[0]:
                return self._asked
            self.optuna_study.reject()
        return None

    def _take(self, configuration: Floats | int) -> None:
        super()._take(configuration)
        point, asked, self._asked = self.known.points[-1], self._asked, None
        is_asked = asked is not None and np.array_equal(point, asked)
        params = None if is_asked else self._optuna.params(point[np.newaxis])[0]
        self.optuna_study.begin(len(self.known.points) - 1, params)


class SamplerMaker:
    """Makes the searcher of one class of `optuna.samplers`.

    Its signature, for `inspect.signature`, has the options of the class as keywords: all that its constructor
    takes but the seed, which is that of the study.

    Parameters
    ----------
    name : str
        Of the class, in letters of any case, with or without its "Sampler".

    Raises
    ------
    ParameterError
        Optuna is not installed, it has no such sampler, or the sampler cannot work here or needs a package
        that is not installed.
    """

    def __init__(self, name: str) -> None:
        self._class = _sampler_class(name)
        self._name = PREFIX + self._class.__name__
        taken = inspect.signature(self._class).parameters.values()
        options = [p.replace(kind=p.KEYWORD_ONLY) for p in taken if p.name != "seed"]
        task = inspect.Parameter("task", inspect.Parameter.POSITIONAL_ONLY)
        self.__signature__ = inspect.Signature([task, *options])

    def __call__(self, task: SearchTask, **options: object) -> OptunaSampler:  # by the names of the class
        """Make the searcher.

        Raises
        ------
        ParameterError
            The class does not take an option's value, or fails with it, or the task has no space.
        """
        from hbsim.searchers.optuna_study import check_types, try_out

        check_types(self._class, options)
        searcher = OptunaSampler(self._name, task, partial(_new, self._class, task.seed, options))
        if options:
            try_out(self._class, searcher.space, options)
        return searcher


def _new(sampler: type[BaseSampler], seed: int, options: Mapping[str, object], trials: int) -> BaseSampler:
    """Return a new sampler for a study that has so many trials.

    Raises
    ------
    ParameterError
        The class does not take an option's value.
    """
    from optuna.samplers import QMCSampler, RandomSampler

    from hbsim.searchers.optuna_study import without_optuna_logs

    make: Callable[..., BaseSampler] = sampler
    first, later = (int(block_generator(seed, Purpose.MODEL, n).integers(2**32)) for n in (0, trials))
    seeds: dict[str, object] = {"seed": later} if "seed" in inspect.signature(sampler).parameters else {}
    if sampler is QMCSampler:  # its seed is that of one sequence
        seeds = {"seed": first}
        if trials and options.get("independent_sampler") is None:
            seeds["independent_sampler"] = RandomSampler(seed=later)
    try:
        with without_optuna_logs():
            return make(**{**options, **seeds})
    except (TypeError, ValueError, AssertionError) as error:
        rule = f"{sampler.__name__} does not take them: {error}"
        raise ParameterError("search_options", dict(options), rule) from None


def _sampler_class(name: str) -> type[BaseSampler]:
    """Return a class of `optuna.samplers` that can work here."""
    need_optuna(PREFIX + name)
    import optuna

    known = [one for one in optuna.samplers.__all__ if _is_sampler(getattr(optuna.samplers, one))]
    found = {_short(one): one for one in known}.get(_short(name), name)
    if found in REFUSED:
        raise ParameterError("searcher", PREFIX + name, REFUSED[found])
    if found not in known:
        names = [one for one in known if one not in REFUSED]
        rule = f"must be {PREFIX} and one of {', '.join(names)}."
        raise ParameterError(
            "searcher", PREFIX + name, rule + (nearest(name, names) or nearest(f"{name}Sampler", names))
        )
    package, rule = NEEDED.get(found, ("optuna", ""))
    if importlib.util.find_spec(package) is None:
        raise ParameterError("searcher", PREFIX + name, rule)
    sampler: type[BaseSampler] = getattr(optuna.samplers, found)
    return sampler


def _short(name: str) -> str:
    return name.lower().removesuffix("sampler")


def _is_sampler(found: object) -> bool:
    from optuna.samplers import BaseSampler

    return inspect.isclass(found) and issubclass(found, BaseSampler) and not inspect.isabstract(found)
