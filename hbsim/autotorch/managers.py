"""AutoTorch's Hyperband managers: a scheduler's rungs, driven by tasks and their reports."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from hbsim.core.factory import make_scheduler
from hbsim.core.numbers import exact
from hbsim.core.promotion import Promotion
from hbsim.core.types import Mode, Report, Verdict
from hbsim.errors import HbsimWarning, ParameterError

if TYPE_CHECKING:
    from hbsim.core.scheduler import Scheduler

# task_continues, update_searcher, next_milestone, bracket_id, rung_counts
Answer: TypeAlias = tuple[bool, bool, float | None, int, dict[float, int] | None]


class HyperbandManager:
    """The base class of both managers: a core scheduler whose trials are called by the ids of tasks.

    A task is any object with ``task_id``; that of a new configuration has it in ``args["config"]``.

    Parameters
    ----------
    time_attr, reward_attr : str
        The names of the resource and of the metric that decides, in reports.
    max_t, grace_period, reduction_factor, brackets, keep_size_ratios
        See `HyperbandScheduler`.
    mode : "max" or "min"
        Whether the metric is maximised or minimised.
    seed : int
        The seed of the choice of brackets.

    Raises
    ------
    ParameterError
        Names the parameter, its value and the rule.
    """

    type = "stopping"

    def __init__(
        self,
        time_attr: str,
        reward_attr: str,
        max_t: float,
        grace_period: float,
        reduction_factor: float,
        brackets: int,
        keep_size_ratios: bool = False,
        *,
        mode: Mode = "max",
        seed: int = 0,
    ) -> None:
        whole = all(
            exact(*pair).denominator == 1 for pair in (("max_t", max_t), ("grace_period", grace_period))
        )
        more: dict[str, Any] = {"keep_size_ratios": True} if keep_size_ratios else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", HbsimWarning)  # brackets beyond what fits, as in AutoTorch
            core = make_scheduler(
                self.type,
                max_t=max_t,
                grace_period=grace_period,
                reduction_factor=reduction_factor,
                brackets=brackets,
                resource_type="int" if whole else "float",
                mode=mode,
                seed=seed,
                **more,
            )
        self._time_attr, self._reward_attr = time_attr, reward_attr
        self._core: Scheduler = core
        self._trials: dict[object, int] = {}  # by task_id
        self._configs: dict[int, Any] = {}  # by trial
        self._promoted: set[int] = set()  # trials whose task is still to be added

    def on_task_schedule(self) -> tuple[Any, dict[str, Any]]:
        """Choose what a free worker does: go on with a configuration that is promoted, or start a new one.

        Returns
        -------
        config : dict or None
            The configuration that is promoted; None for a new one.
        kwargs : dict
            The keywords of `on_task_add`: ``bracket`` and ``milestone``, the task's next level; and of a
            promoted one ``config_key`` and ``resume_from``, the level where it stands.
        """
        bracket = self._core.sample_bracket()
        job = self._core.promote(bracket)
        if job is None:
            return None, {"bracket": bracket, "milestone": self._levels(bracket)[0]}
        self._promoted.add(job.trial)
        found = {"bracket": bracket, "milestone": job.stop, "config_key": job.trial, "resume_from": job.start}
        return copy.copy(self._configs[job.trial]), found

    def on_task_add(
        self,
        task: Any,
        *,
        bracket: int,
        new_config: bool = True,
        config_key: int | None = None,
        resume_from: float | None = None,
        milestone: float | None = None,
    ) -> list[float]:
        """Add a task, with the keywords of `on_task_schedule`.

        Parameters
        ----------
        task : Task
            The task.
        bracket : int
            Its bracket.
        new_config : bool
            Whether it evaluates a new configuration, or goes on with one that was promoted.
        config_key : int, optional
            Which one was promoted.
        resume_from, milestone : float, optional
            Known here; they change nothing.

        Returns
        -------
        list of float
            The levels of the bracket from the highest, which is `max_t`, to the lowest.

        Raises
        ------
        ParameterError
            There is no such bracket, or no such configuration was promoted.
        """
        if new_config:
            job = self._core.start(bracket)
            self._trials[task.task_id] = job.trial
            self._configs[job.trial] = copy.copy(getattr(task, "args", {}).get("config"))
        elif config_key in self._promoted:
            self._promoted.remove(config_key)
            self._trials[task.task_id] = config_key
        else:
            raise ParameterError("config_key", config_key, "must be one that on_task_schedule has promoted")
        return list(reversed(self._levels(bracket)))

    def on_task_report(self, task: Any, result: Mapping[str, Any]) -> Answer:
        """Decide what a task does after a report.

        Parameters
        ----------
        task : Task
            A task that was added.
        result : mapping
            The report: `time_attr` and `reward_attr` by name.

        Returns
        -------
        task_continues : bool
            Whether it goes on.
        update_searcher : bool
            Whether the report is at a milestone, or the last one.
        next_milestone : float or None
            The level above; None at `max_t`.
        bracket_id : int
            The task's bracket.
        rung_counts : dict or None
            Of a promotion manager: by level, how many tasks have reached it or are on their way there.

        Raises
        ------
        ParameterError
            The task was not added.
        ProtocolError
            It was stopped or paused before, or its resource went back.
        """
        trial = self._trial(task)
        bracket = self._core.bracket_of(trial)
        if "done" in result and self.type == "stopping":
            return False, True, None, bracket, None
        resource = result[self._time_attr]
        decision = self._core.tell(Report(trial, resource, result[self._reward_attr]))
        above = next((level for level in self._levels(bracket) if level > resource), None)
        goes_on = decision.verdict is Verdict.CONTINUE
        return goes_on, bool(decision.milestones), above, bracket, self._counts(bracket)

    def on_task_complete(self, task: Any, result: Mapping[str, Any] | None = None) -> None:
        """Remove a task whose function has returned; `result` is its last report."""
        trial = self._trial(task)
        if result and self._core.status(trial) == "running":
            self._core.tell(Report(trial, result[self._time_attr], result[self._reward_attr]))
        if self._core.status(trial) == "running":
            self._core.end(trial)
        del self._trials[task.task_id]

    def on_task_remove(self, task: Any) -> None:
        """Remove a task; one that was running has failed."""
        trial = self._trial(task)
        if self._core.status(trial) == "running":
            self._core.fail(trial)
        del self._trials[task.task_id]

    def _trial(self, task: Any) -> int:
        if task.task_id not in self._trials:
            raise ParameterError("task", task.task_id, "is not known: on_task_add comes first")
        return self._trials[task.task_id]

    def _levels(self, bracket: int) -> tuple[float, ...]:
        return self._core.geometry.of_bracket(bracket)

    def _counts(self, bracket: int) -> dict[float, int] | None:
        return None

    def __repr__(self) -> str:
        options = self._core.options
        shown = {
            "reward_attr": self._reward_attr,
            "time_attr": self._time_attr,
            "reduction_factor": options.reduction_factor,
            "max_t": options.max_t,
            "brackets": [self._levels(bracket) for bracket in range(self._core.brackets)],
        }
        return f"{type(self).__name__}({', '.join(f'{name}: {value}' for name, value in shown.items())})"


class HyperbandStopping_Manager(HyperbandManager):  # noqa: N801 (AutoTorch's name)
    """The rungs of type ``"stopping"``: a task ends at a level where it is worse than most.

    Its parameters are those of `HyperbandManager`, without `keep_size_ratios`.
    """


class HyperbandPromotion_Manager(HyperbandManager):  # noqa: N801 (AutoTorch's name)
    """The rungs of type ``"promotion"``: a task pauses at a level until it is among the best there.

    Its parameters are those of `HyperbandManager`.
    """

    type = "promotion"

    def _counts(self, bracket: int) -> dict[float, int]:
        assert isinstance(self._core, Promotion)
        return self._core.rung_counts(bracket)


def manager_of(
    core: Scheduler, time_attr: str, reward_attr: str, configs: Mapping[int, Any]
) -> HyperbandManager:
    """Return a manager whose rungs stand as those of a study, with a copy of its core scheduler.

    Parameters
    ----------
    core : Scheduler
        The copy.
    time_attr, reward_attr : str
        The names of the resource and of the metric that decides.
    configs : mapping
        The configurations, by trial.
    """
    kind = HyperbandPromotion_Manager if core.type == "promotion" else HyperbandStopping_Manager
    options = core.options
    levels = (options.max_t, options.grace_period, options.reduction_factor, options.brackets)
    manager: HyperbandManager = kind(time_attr, reward_attr, *levels, mode=core.mode, seed=options.seed)
    manager._core, manager._configs = core, dict(configs)
    manager._trials = {job.trial: job.trial for job in core.running_jobs()}
    return manager
