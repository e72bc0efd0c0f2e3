"""A trial in this process: the real reporter and real checkpoints, without a controller."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from math import inf
from pathlib import Path
from typing import Any

from hbsim.core.space import arguments
from hbsim.errors import ParameterError
from hbsim.executors.checkpoint import Origin
from hbsim.executors.reporter import Reporter
from hbsim.executors.trial_session import TrialEnd
from hbsim.ranks import Ranks
from hbsim.runner.workers import Assignment

__all__ = ["Talk", "of_job", "reporter", "train"]


def of_job(job: int | None) -> Origin | None:
    """Return the origin of a checkpoint that this job made, for which nothing else counts."""
    return None if job is None else Origin("", 0, 0, job, "", float(job), {})


class Talk:
    """Takes reports; at the milestone the trial pauses, or is stopped."""

    def __init__(self, milestone: float, pauses: bool) -> None:
        self.milestone = milestone
        self.last = -inf
        self.reports = 0
        self.rows: list[tuple[float, dict[str, float | None]]] = []
        self.pause: Callable[[], None] = lambda: None
        self.returned: Callable[[], None] = lambda: None
        self.ranks = Ranks()
        self._pauses = pauses

    def check(self) -> None:
        pass

    def report(self, resource: float, metrics: dict[str, float | None]) -> None:
        self.rows.append((resource, metrics))
        self.last = resource
        self.reports += 1
        if resource >= self.milestone:
            if self._pauses:
                self.pause()
            raise TrialEnd

    def fatal(self, field: str, value: object, rule: str, of: str = "report") -> None:
        raise ParameterError(field, value, rule)

    @contextmanager
    def measure(self, what: str) -> Iterator[None]:
        yield


def reporter(
    folder: Path,
    milestone: float = inf,
    pauses: bool = True,
    time_attr: str = "epoch",
    metric: str = "accuracy",
) -> tuple[Reporter, Talk]:
    """Return the reporter of a trial with this folder, and what it reported."""
    talk = Talk(milestone, pauses)
    setup = {"time_attr": time_attr, "metric": metric, "folder": str(folder)}
    task = asdict(Assignment(0, 0, 0, 0.0, inf, [], 0))
    return Reporter(talk, task, setup, ()), talk  # type: ignore[arg-type]


def train(
    function: Callable[..., object],
    configuration: dict[str, Any],
    folder: Path,
    milestone: float = inf,
    pauses: bool = True,
) -> list[tuple[float, dict[str, float | None]]]:
    """Train until the function returns or the milestone comes; return the reports."""
    report, talk = reporter(folder, milestone, pauses)
    args = arguments(function, configuration)
    args["seed"], args["trial"] = 5, 0
    with suppress(TrialEnd):
        function(args, report)
    return talk.rows
