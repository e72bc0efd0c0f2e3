"""AutoTorch's tasks: a function with its arguments and what it needs, run in this process or queued."""

from __future__ import annotations

import argparse
import copy
import itertools
import os
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from hbsim.core.space.arguments import DecoratedFunction
from hbsim.executors.devices import cpus, gpus
from hbsim.executors.training_function import load_target, make_target


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


def run_task(task: Task) -> Any:
    """Call a task's function in this process, with a reporter that does nothing; return what it returns.

    Raises
    ------
    ParameterError
        The configuration has a name that is no argument of the function.
    """
    function = task.fn if callable(task.fn) else load_target(make_target(task.fn))
    if not isinstance(function, DecoratedFunction):
        return function(**task.args)
    constants = task.args.get("args") or {}
    given = vars(constants) if isinstance(constants, argparse.Namespace) else constants
    more = {"gpu_ids": list(range(get_gpu_count())), "task_id": task.task_id}
    return function({**function.defaults, **more, **given}, task.args.get("config") or {})


def done() -> None:
    """Do nothing. AutoTorch's scripts call it at their end; here no study runs in the background."""
