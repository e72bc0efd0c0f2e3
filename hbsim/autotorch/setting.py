"""What a study is asked to be, checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from hbsim.autotorch import checks
from hbsim.core.factory import make_scheduler
from hbsim.core.numbers import whole
from hbsim.core.space import space_of
from hbsim.core.types import Mode
from hbsim.errors import ParameterError
from hbsim.searchers import ends
from hbsim.study.checks import check_names, seconds

if TYPE_CHECKING:
    from hbsim.core.scheduler import Scheduler
    from hbsim.executors.remote.options import Dask, Hosts
    from hbsim.searchers import Searcher

__all__ = ["Keep", "Progress", "Setting", "Start", "TrainFunction", "Visualizer"]

TrainFunction: TypeAlias = Callable[..., object] | str
Keep: TypeAlias = Literal["best", "completed", "all", "none"]
Progress: TypeAlias = Literal["auto", "table", "lines", "none"]
Start: TypeAlias = Literal["fork", "spawn"]
Visualizer: TypeAlias = Literal["none", "tensorboard"]

_CHOICES: Final = {
    "mode": ("max", "min"),
    "keep": ("best", "completed", "all", "none"),
    "progress": ("auto", "table", "lines", "none"),
    "visualizer": ("none", "tensorboard"),
}


@dataclass(frozen=True)
class Setting:
    """The parameters that all classes share; `FIFOScheduler` says what each means.

    `type` and `rungs` are the type of scheduler, and its options beside the common ones. `remote`
    says which other machines a study runs on, None for this one or a simulation.

    Raises
    ------
    ParameterError
        Names the parameter, its value and the rule.
    """

    type: str
    rungs: Mapping[str, object]
    train_fn: TrainFunction
    constants: Mapping[str, object]
    resource: Mapping[str, object] | None
    searcher: str | Searcher | None
    search_options: Mapping[str, object]
    num_trials: int | None
    time_out: float | None
    max_reward: float | None
    time_attr: str
    reward_attr: str
    mode: Mode
    seed: int
    workers: int | None
    retries: int
    loss_retries: int | None
    hang_timeout: float | None
    keep: Keep
    visualizer: Visualizer
    progress: Progress
    start: Start | None
    maxt_pending: bool
    remote: Hosts | Dask | None

    def __post_init__(self) -> None:
        if not callable(self.train_fn) and not isinstance(self.train_fn, str):
            rule = "must be a function decorated with @hbsim.args, or FILE.py:NAME"
            raise ParameterError("train_fn", self.train_fn, rule)
        if callable(self.train_fn):
            check_space(self.train_fn)
        for name, choices in _CHOICES.items():
            checks.one_of(name, getattr(self, name), choices)
        if self.start is not None:
            checks.one_of("start", self.start, ("fork", "spawn"))
        check_names(self.time_attr, self.reward_attr)
        seconds("time_out", self.time_out)
        seconds("hang_timeout", self.hang_timeout)
        checks.flag("maxt_pending", self.maxt_pending)
        whole("seed", self.seed, 0)
        if self.num_trials is None and self.time_out is None and not ends(self.searcher):
            raise ParameterError("num_trials", None, "give num_trials or time_out: the study needs an end")

    def make_scheduler(self, **rungs: Any) -> Scheduler:
        """Return a new core scheduler; `rungs` goes before the options of the same names."""
        return make_scheduler(
            self.type,
            **{**self.rungs, **rungs},
            mode=self.mode,
            num_trials=self.num_trials,
            retries=self.retries,
            loss_retries=self.loss_retries,
            seed=self.seed,
        )


def check_space(train_fn: Callable[..., object]) -> None:
    """Check that a training function is decorated."""
    try:
        space_of(train_fn)
    except ParameterError as error:
        raise ParameterError("train_fn", error.value, error.rule) from None
