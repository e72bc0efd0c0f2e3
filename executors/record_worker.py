"""The worker process of a recording: trains what comes in on stdin, says on stdout what is reported.

Both streams carry JSON lines. In: a `Setup`, then a task a line (``trial``, ``seed``, ``point``).
Out: ``ready`` once, ``report`` a report, ``end`` a trial (None, or why it failed), or ``fatal`` once.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO, TypeVar

import numpy as np

from hbsim.core.space import arguments
from hbsim.errors import ParameterError
from hbsim.executors.record_load import Train, load_train
from hbsim.executors.reporter import take_done
from hbsim.executors.seeding import seed_everything
from hbsim.executors.trial_talk import TrialEnd

__all__ = ["RESERVED", "Setup", "main"]

RESERVED = ("config", "seconds", "process_seconds")
_NEEDED = "every report must have it, as a number"
Function = TypeVar("Function", bound=Callable[[], object])


@dataclass(frozen=True)
class Setup:
    """What a worker has to know before its first trial.

    Attributes
    ----------
    train : str
        ``FILE.py:NAME``.
    time_attr : str
        The reported name that measures the resource.
    metric, test_metric : str or None
        Metrics that every report must have.
    max_t : float or None
        A trial ends at its first report at or past this.
    """

    train: str
    time_attr: str
    metric: str | None
    test_metric: str | None
    max_t: float | None


class _Enough(TrialEnd):
    """Ends a trial at `max_t`, as the reporter of a study ends one."""


class _Unusable(BaseException):
    """A report that no trial of this function can make good: the recording ends."""

    def __init__(self, field: str, value: object, rule: str) -> None:
        self.fatal = [field, value if isinstance(value, str | int | float | None) else repr(value), rule]
        super().__init__(rule)


class _Reporter:
    """Called by the training function: ``reporter(epoch=3, val_error=0.1)``.

    It has all that `hbsim.executors.reporter.Reporter` has. No trial ever pauses, so nothing is saved.
    """

    def __init__(self, trial: int, setup: Setup, hyperparameters: tuple[str, ...], out: TextIO) -> None:
        self.trial = trial
        self._files: tempfile.TemporaryDirectory[str] | None = None
        self._setup = setup
        self._hyperparameters = hyperparameters
        self._out = out
        self._last = -np.inf
        self._start = time.perf_counter()
        self._process_start = time.process_time()

    def __call__(self, **report: object) -> None:
        if take_done(report) and self._setup.time_attr not in report:
            return
        row = self._row(report)  # first: reading a value off a GPU waits for the GPU
        row["seconds"] = round(time.perf_counter() - self._start, 6)
        row["process_seconds"] = round(time.process_time() - self._process_start, 6)
        _say(self._out, {"report": row})
        if self._setup.max_t is not None and self._last >= self._setup.max_t:
            raise _Enough

    @property
    def milestone(self) -> float | None:
        """The resource at which the trial ends; None if that is up to the function."""
        stop = self._setup.max_t
        return stop if stop is None or stop != int(stop) else int(stop)

    @property
    def folder(self) -> Path:
        """A folder for the function's own files, until the trial ends."""
        if self._files is None:
            self._files = tempfile.TemporaryDirectory(prefix="hbsim-record-")
        return Path(self._files.name)

    def save(self, obj: object) -> None:
        """Do nothing."""

    def load(self) -> None:
        """Return None: every trial starts from zero."""

    def on_pause(self, function: Function) -> Function:
        """Return `function`, which is never called."""
        if not callable(function):
            raise ParameterError("on_pause", function, "must be a function without arguments")
        return function

    def close(self) -> None:
        """Remove the function's own files."""
        if self._files is not None:
            self._files.cleanup()

    def _row(self, report: Mapping[str, object]) -> dict[str, int | float | None]:
        resource = self._resource(report)
        row: dict[str, int | float | None] = {self._setup.time_attr: resource}
        for name, value in report.items():
            if name in RESERVED:
                raise _Unusable(name, value, "the recorder has a column of this name; report another")
            if name == self._setup.time_attr or name in self._hyperparameters:
                continue
            number = _number(value)
            if number is not None or value is None:
                row[name] = number
        for field, metric in (("metric", self._setup.metric), ("test_metric", self._setup.test_metric)):
            if metric is not None and metric not in row:
                raise _Unusable(field, metric, f"{_NEEDED}; got {_names(report)}")
        return row

    def _resource(self, report: Mapping[str, object]) -> int | float:
        name = self._setup.time_attr
        resource = _number(report.get(name))
        if resource is None or not np.isfinite(resource):
            raise _Unusable("time_attr", name, f"{_NEEDED}; got {_names(report)}")
        if resource <= self._last:
            raise ValueError(f"{name}={resource} was reported after {name}={self._last}")
        self._last = resource
        return int(resource) if resource == int(resource) else resource


def _number(value: object) -> float | None:
    if not hasattr(value, "__float__"):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):  # an array of several numbers
        return None


def _names(report: Mapping[str, object]) -> str:
    return ", ".join(report) or "nothing"


def _say(out: TextIO, message: Mapping[str, object]) -> None:
    try:
        out.write(json.dumps(message, separators=(",", ":")) + "\n")
        out.flush()
    except BrokenPipeError:  # whoever recorded is gone
        os._exit(1)


def _reason(error: BaseException) -> str:
    """One line: the error, and the line of the innermost frame."""
    text = f"{type(error).__name__}: {error}".splitlines()[0][:300]
    frames = traceback.extract_tb(error.__traceback__)
    return f"{text} ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else text


def _train(train: Train, setup: Setup, task: Mapping[str, object], out: TextIO) -> None:
    point = np.asarray(task["point"], dtype=np.float64)
    args = arguments(train.function, train.space.mapping(point))
    for name in ("trial", "seed"):
        if name not in train.space:
            args[name] = task[name]
    seed_everything(int(str(task["seed"])))
    reporter = _Reporter(int(str(task["trial"])), setup, tuple(train.space.names), out)
    try:
        train.function(args, reporter)
    except _Enough:
        pass
    except _Unusable:
        raise
    except BaseException as error:
        _say(out, {"end": _reason(error)})
        return
    finally:
        reporter.close()
    _say(out, {"end": None})


def main() -> None:
    """Serve until stdin ends."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what training code prints must not get between the messages
    setup = Setup(**json.loads(sys.stdin.readline()))
    try:
        train = load_train(setup.train)
        _say(out, {"ready": True})
        for line in sys.stdin:
            _train(train, setup, json.loads(line), out)
    except ParameterError as error:  # it loaded where it was asked for, and does not load here
        _say(out, {"fatal": [error.field, repr(error.value), error.rule]})
    except _Unusable as error:
        _say(out, {"fatal": error.fatal})
