"""What a study is asked to be, checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from hbsim.autotorch import checks
from hbsim.core.factory import make_scheduler
from hbsim.core.space import space_of
from hbsim.core.types import Mode
from hbsim.errors import ParameterError
from hbsim.searchers import ends
from hbsim.study.options import RunOptions, check_names

if TYPE_CHECKING:
    from hbsim.core.scheduler import Scheduler

__all__ = ["Keep", "Progress", "Setting", "Start", "TrainFunction", "Visualizer", "in_autotorch_words"]

TrainFunction: TypeAlias = Callable[..., object] | str
# What options of `hbsim.run` are called in AutoTorch.
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
class Setting:
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
        checks.one_of("mode", self.mode, ("max", "min"))
        with in_autotorch_words():
            check_names(self.run.time_attr, self.run.metric)
        checks.flag("maxt_pending", self.maxt_pending)
        if self.num_trials is None and self.run.max_time is None and not ends(self.run.searcher):
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
            seed=self.run.seed,
        )


def check_space(train_fn: Callable[..., object]) -> None:
    """Check that a training function is decorated."""
    try:
        space_of(train_fn)
    except ParameterError as error:
        raise ParameterError("train_fn", error.value, error.rule) from None
