"""AutoTorch's tasks: a function with its arguments and what it needs, run in this process or queued."""

from __future__ import annotations

import argparse
import copy
import itertools
import os
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NoReturn

from hbsim.core.space import Space, arguments, space_of
from hbsim.executors.devices import cpus, gpus
from hbsim.executors.training_function import load_target, make_target
from hbsim.executors.trial_session import TrialEnd


@dataclass
class Resources:
    """What a task needs: ``Resources(num_cpus=2, num_gpus=1)``, as in the schedulers' ``resource``."""

    num_cpus: int = 1
    num_gpus: float = 0


DistributedResource = Resources


def get_cpu_count() -> int:
    """Return how many CPU cores this process may use."""
    return len(cpus())


def get_gpu_count() -> int:
    """Return how many GPUs this process may use."""
    return len(gpus(os.environ))


class Task:
    """A training function with its arguments and what it needs.

    Parameters
    ----------
    fn : callable
        The training function.
    args : dict
        ``{"args": constants, "config": configuration}``; it is copied.
    resources : Resources or dict, optional
        What it needs.

    Attributes
    ----------
    task_id : int
        Its number among the tasks of this process. A scheduler numbers its trials itself.
    """

    _ids = itertools.count()

    def __init__(
        self, fn: Callable[..., Any] | str, args: MutableMapping[str, Any], resources: object = None
    ) -> None:
        self.fn = fn
        self.args = copy.deepcopy(args)
        self.resources = Resources() if resources is None else resources
        self.task_id = next(Task._ids)
        constants = self.args.get("args")
        values = vars(constants) if isinstance(constants, argparse.Namespace) else constants
        if isinstance(values, MutableMapping):
            values["task_id"] = self.task_id

    @classmethod
    def set_id(cls, taskid: int) -> None:
        """Give the next task this number."""
        cls._ids = itertools.count(taskid)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}: {str(value)[:100]}" for name, value in self.args.items())
        return f"Task (task_id: {self.task_id}, fn: {self.fn}, args: {{{shown}}}, resource: {self.resources})"


class FakeReporter:
    """A reporter for a call outside of a study: it keeps what is saved in memory, and drops reports."""

    def __init__(self) -> None:
        self._saved: object = None

    def __call__(self, **report: object) -> None:
        """Do nothing."""

    def save(self, obj: object) -> None:
        """Keep an object."""
        self._saved = obj

    def load(self) -> Any:
        """Return the object saved last; None if there is none."""
        return self._saved

    def save_dict(self, **state: object) -> None:
        """Keep a dict."""
        self._saved = state

    def get_dict(self) -> Any:
        """Return the dict saved last; an empty one if there is none."""
        return {} if self._saved is None else self._saved

    def has_dict(self) -> bool:
        """Return whether something was saved."""
        return self._saved is not None

    def on_pause(self, function: Callable[[], object]) -> Callable[[], object]:
        """Return the function, which is never called."""
        return function

    def terminate(self) -> NoReturn:
        """Leave the function."""
        raise TrialEnd


def run_task(task: Task) -> Any:
    """Call a task's function in this process, and return what it returns.

    Raises
    ------
    ParameterError
        The configuration has a name that is no argument of the function.
    """
    function = task.fn if callable(task.fn) else load_target(make_target(task.fn))
    if not isinstance(getattr(function, "space", None), Space):
        return function(**task.args)
    constants = task.args.get("args") or {}
    args = arguments(function, task.args.get("config") or {})
    given = vars(constants) if isinstance(constants, argparse.Namespace) else constants
    for name, value in {"gpu_ids": list(range(get_gpu_count())), **given, "task_id": task.task_id}.items():
        if name not in space_of(function):
            args[name] = value
    with suppress(TrialEnd):
        return function(args, FakeReporter())


def done() -> None:
    """Return: no study runs in the background, so there is nothing to shut down."""
