"""Callbacks of a study: the class to derive from, and the calls that the records of a journal stand for."""

from __future__ import annotations

import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from inspect import signature
from math import isfinite, nan
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar, Final, Literal, TypeAlias

import numpy as np

from hbsim.core.types import FailureKind, Verdict
from hbsim.errors import HbsimWarning, ParameterError, nearest
from hbsim.executors.local import trial_folder
from hbsim.executors.training_function import execute, file_spec
from hbsim.runner.journal_state import Incumbent, JournalState, value_of
from hbsim.runner.records import (
    EndReason,
    JobBegun,
    JobFailed,
    JobReports,
    JobReturned,
    MilestoneReached,
    ProcessEnded,
    Record,
    SessionEnded,
    ValuesChanged,
)
from hbsim.study.folder import StudyFolder
from hbsim.study.spec import StudySpec, StudyState
from hbsim.terminal import print_err

EndStatus: TypeAlias = Literal["paused", "stopped", "completed", "failed", "interrupted"]
STATUSES: Final = ("running", "paused", "stopped", "completed", "failed")
OF_VERDICT: Final[Mapping[Verdict, EndStatus]] = {
    Verdict.PAUSE: "paused",
    Verdict.STOP: "stopped",
    Verdict.COMPLETE: "completed",
}


@dataclass(slots=True)
class StudyInfo:
    """What callbacks are told about a study.

    Attributes
    ----------
    spec : StudySpec
        The study's description: training function, search space, names, scheduler.
    folder : Path
        Its folder.
    resumed : bool
        Whether it goes on.
    began : float
        When study second 0 was, in seconds since the epoch. Times of callbacks are study seconds. If the
        study was resumed, the time between its sessions does not count, and this is right for the last one.
    best : Incumbent or None
        The best report so far: its time, trial, resource and value.
    counts : dict of str to int
        How many trials there are by status: running, paused, stopped, completed, failed.
    """

    spec: StudySpec
    folder: Path
    resumed: bool
    began: float
    best: Incumbent | None = None
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STATUSES, 0))


@dataclass(slots=True)
class TrialInfo:
    """What callbacks are told about a trial.

    Attributes
    ----------
    number : int
        Its number, from 0.
    bracket : int
        Its bracket.
    config : dict
        Its configuration, without parameters that are not active.
    changes : dict
        The present values of hyperparameters and constants that the training function reported with others
        than it was given, such as a smaller batch.
    folder : Path
        Its folder, with its log and its checkpoint.
    attempt : int
        How many of its failures were tried again.
    reached : float
        The highest resource of the reports before. A report at this resource or below is one that the trial
        repeats, after a failure or an interruption.
    best : float
        The best value so far of the metric that decides; NaN before there is one.
    """

    number: int
    bracket: int
    config: Mapping[str, object]
    folder: Path
    attempt: int = 0
    reached: float = -1.0
    best: float = nan
    changes: dict[str, object] = field(default_factory=dict)


class Callback:
    """The base of your callbacks: a study calls their methods at its events.

    ::

        class Printer(hbsim.Callback):
            def on_trial_end(self, trial, status, time):
                print(f"trial {trial.number} is {status}, {trial.config}")

        hbsim.run(train_fn, scheduler, callbacks=[Printer()])

    Write the methods that you need; the others do nothing. A method is called after its event is in the
    study's journal. An error in a method is shown once, and the callback goes on with the next event. After
    an error in `on_study_start` it gets no more calls. The study goes on in any case.

    By default the methods are called in the process that runs the study, between two events. A call of more
    than ten seconds is broken off, and the callback gets no more calls. A class with ``own_process = True``
    has a process of its own, which reads the journal: it may be slow or hang, and the study waits for it only
    at its end, for a minute at most. It gets every event exactly once, even if the study is resumed. An
    object of such a class is pickled, and what it changes in itself stays in its process. What it prints is
    in ``callbacks/NAME.log`` in the study's folder.

    Attributes
    ----------
    own_process : bool
        Whether the methods are called in a process of their own; for loggers that write to a server.
    """

    own_process: ClassVar[bool] = False

    def on_study_start(self, study: StudyInfo) -> None:
        """Handle the start of the study, or that it goes on; the first call."""

    def on_trial_start(self, trial: TrialInfo, time: float) -> None:
        """Handle the start of a trial, also after a pause or a failure."""

    def on_report(self, trial: TrialInfo, resource: float, metrics: Mapping[str, float], time: float) -> None:
        """Handle a report: the resource, such as an epoch, and all metrics; NaN for no number."""

    def on_decision(
        self, trial: TrialInfo, resource: float, value: float, verdict: Verdict, time: float
    ) -> None:
        """Handle a decision of the scheduler at a milestone. `value` is that of the metric that decides."""

    def on_failure(
        self, trial: TrialInfo, kind: FailureKind, reason: str, verdict: Verdict, time: float
    ) -> None:
        """Handle a failure; the verdict is ``retry``, or ``stop`` if the trial has failed for good."""

    def on_trial_end(self, trial: TrialInfo, status: EndStatus, time: float) -> None:
        """Handle the end of a trial's process. Its checkpoint has been written.

        A trial that is ``paused`` may start again. One that is ``interrupted`` starts again: its failure is
        tried again, its worker was lost, or the study ended before it came to its next rung.
        """

    def on_study_end(self, why: EndReason | None, time: float) -> None:
        """Handle the end of the study; the last call. Without a reason it ended by an error."""

    def flush(self) -> None:
        """Write what is still in memory; called once a second if there was an event, and at the end."""


START: Final = "on_study_start"
METHODS: Final = tuple(name for name in vars(Callback) if name.startswith("on_"))


class CallbackCalls:
    """Calls the methods of a callback for the records of a study's journal.

    Parameters
    ----------
    callback : Callback
        The callback.
    study : StudyInfo
        The study.
    call : callable
        Is given a method and its arguments, and calls it; raises nothing.

    Attributes
    ----------
    silent : bool
        Whether records change the state only, and nothing is called.
    """

    def __init__(self, callback: Callback, study: StudyInfo, call: Callable[..., None]) -> None:
        self.silent = False
        self._callback, self._study, self._call = callback, study, call
        kind = type(callback)
        self._written = {name for name in METHODS if getattr(kind, name) is not getattr(Callback, name)}
        scheduler = study.spec.make_scheduler()
        self._levels = scheduler.levels
        self._sign = 1.0 if scheduler.mode == "max" else -1.0
        self._trials_folder = StudyFolder(study.folder).trials
        self._points: list[list[float]] = []
        self._reached: dict[int, float] = {}  # of trials that have not started in this session
        self._bests: dict[int, float] = {}
        self._changes: dict[int, dict[str, tuple[Any, Any]]] = {}
        self._trials: dict[int, TrialInfo] = {}  # without those that are over
        self._jobs: dict[int, JobBegun] = {}
        self._waiting: dict[int, JobBegun] = {}  # jobs whose trial's last process has not ended, by trial
        self._decided: dict[int, EndStatus] = {}  # why jobs end, once that is decided
        self._statuses: dict[int, str] = {}  # by trial

    def restore(self, state: JournalState, statuses: Sequence[str]) -> None:
        """Take over what is known of the trials of a study that goes on."""
        for trial, status in enumerate(statuses):
            self._count(trial, status)
        _, self._bests, self._reached = state.reported()
        self._changes = {trial: state.changed(trial) for trial in state.changes}
        self._points = list(state.points)
        self._study.best = state.best

    def start(self) -> None:
        """Call `on_study_start`."""
        self._emit(START, self._study)

    def end(self, why: EndReason | None, time: float) -> None:
        """Call `on_study_end`."""
        self._emit("on_study_end", why, time)

    def record(self, record: Record) -> None:
        """Make the calls that a record stands for."""
        if isinstance(record, JobBegun):
            self._begin(record)
        elif isinstance(record, JobReports):
            self._reports(record)
            if isinstance(record, MilestoneReached):
                self._decision(record)
        elif isinstance(record, JobFailed):
            trial, retried = self._trials[self._jobs[record.job].trial], record.verdict is Verdict.RETRY
            self._emit("on_failure", trial, record.kind, record.reason, record.verdict, record.time)
            self._decided[record.job] = "interrupted" if retried else "failed"
        elif isinstance(record, ValuesChanged):
            _change(self._trials[self._jobs[record.job].trial], record.values)
        elif isinstance(record, JobReturned):
            self._decided[record.job] = "completed"
        elif isinstance(record, ProcessEnded):
            self._end(record.job, record.time)
        elif isinstance(record, SessionEnded):
            self._end_all(record.time)

    def _emit(self, name: str, *arguments: object) -> None:
        if not self.silent and name in self._written:
            self._call(getattr(self._callback, name), *arguments)

    def _count(self, trial: int, status: str) -> None:
        counts, before = self._study.counts, self._statuses.get(trial)
        if before is not None:
            counts[before] -= 1
        counts[status] += 1
        self._statuses[trial] = status

    def _begin(self, record: JobBegun) -> None:
        if record.point is not None:
            self._points.append(record.point)
        if any(job.trial == record.trial for job in self._jobs.values()):
            self._waiting[record.trial] = record
        else:
            self._start(record)
        self._jobs[record.job] = record

    def _start(self, record: JobBegun) -> None:
        number = record.trial
        trial = self._trials.get(number)
        if trial is None:
            config = self._study.spec.space.mapping(np.array(self._points[number], dtype=np.float64))
            trial = TrialInfo(number, record.bracket, config, trial_folder(self._trials_folder, number))
            trial.reached = self._reached.pop(number, trial.reached)
            trial.best = self._bests.pop(number, nan)
            _change(trial, self._changes.pop(number, {}))
            self._trials[number] = trial
        trial.attempt = record.attempt
        self._count(number, "running")
        self._emit("on_trial_start", trial, record.time)

    def _reports(self, record: JobReports) -> None:
        trial, study = self._trials[self._jobs[record.job].trial], self._study
        for at, _, resource, metrics in record.rows:
            value = value_of(metrics, study.spec.metric)
            if isfinite(value):
                if not self._sign * value <= self._sign * trial.best:
                    trial.best = value
                if study.best is None or self._sign * value > self._sign * study.best.value:
                    study.best = Incumbent(at, trial.number, resource, value)
            if not self.silent:
                shown = {name: nan if one is None else one for name, one in metrics.items()}
                self._emit("on_report", trial, resource, shown, at)
            trial.reached = max(trial.reached, resource)

    def _decision(self, record: MilestoneReached) -> None:
        trial = self._trials[self._jobs[record.job].trial]
        resource = trial.reached if self._study.spec.until_return else self._levels[record.at]
        value = nan if record.value is None else record.value
        self._emit("on_decision", trial, resource, value, record.verdict, record.time)
        if record.verdict in OF_VERDICT:
            self._decided[record.job] = OF_VERDICT[record.verdict]

    def _end_all(self, time: float) -> None:
        for waiting in self._waiting.values():
            del self._jobs[waiting.job]
        self._waiting.clear()
        for job in list(self._jobs):
            self._end(job, time)

    def _end(self, job: int, time: float) -> None:
        begun = self._jobs.pop(job)
        if self._waiting.get(begun.trial) is begun:
            del self._waiting[begun.trial]  # it was taken back before it began
            return
        status = self._decided.pop(job, "interrupted")
        self._count(begun.trial, "running" if status == "interrupted" else status)
        self._emit("on_trial_end", self._trials[begun.trial], status, time)
        if status not in ("paused", "interrupted"):
            del self._trials[begun.trial]
        elif begun.trial in self._waiting:
            self._start(self._waiting.pop(begun.trial))


def _change(trial: TrialInfo, values: Mapping[str, tuple[Any, Any]]) -> None:
    """Note the present values of what a trial changes, and forget those that are as given again."""
    for name, (given, now) in values.items():
        trial.changes.pop(name, None)
        if now != given:
            trial.changes[name] = now


# In the process of the study


LONGEST: Final = 10.0  # seconds that a call may take
FLUSH_EVERY: Final = 1.0  # seconds between two calls of `flush`


class TookTooLong(BaseException):
    """Raised in a callback's method that takes too long; no Exception, lest the method catches it."""


class CallbackObserver:
    """An `Observer` that calls a callback in this process.

    Parameters
    ----------
    name : str
        The callback's name in messages.
    callback : Callback
        The callback.
    study : StudyInfo
        The study.
    state : StudyState
        The state of the study, new or resumed.
    """

    def __init__(self, name: str, callback: Callback, study: StudyInfo, state: StudyState) -> None:
        self._name, self._callback, self._state = name, callback, state.journal_state
        self._calls = CallbackCalls(callback, study, self._call)
        self._calls.restore(state.journal_state, state.scheduler.trial_statuses())
        self._off = self._said = self._changed = False
        self._next = 0.0
        self._calls.start()

    def record(self, record: Record) -> None:
        """Make the calls that a record stands for."""
        self._changed = True
        self._calls.record(record)

    def tick(self) -> None:
        """Flush, once a second."""
        if self._changed and time.monotonic() >= self._next:
            self._changed, self._next = False, time.monotonic() + FLUSH_EVERY
            self._call(self._callback.flush)

    def close(self) -> None:
        """Say that the study is over."""
        self._calls.end(self._state.why, self._state.now)
        self._call(self._callback.flush)

    def _call(self, method: Callable[..., None], *arguments: object) -> None:
        if self._off:
            return
        try:
            with _broken_off(LONGEST):
                method(*arguments)
        except TookTooLong:
            self._off = True
            say_failed(
                self._name,
                f"{method.__name__} took more than {LONGEST:g} s: it gets no more calls "
                "(own_process = True in the class gives it a process of its own)",
            )
        except (Exception, SystemExit) as error:
            self._off = method.__name__ == START
            if not self._said:
                self._said = True
                say_failed(self._name, error_text(method.__name__, error))


def error_text(method: str, error: BaseException) -> str:
    """Return a text on an error in a method of a callback."""
    ends = "; it gets no more calls" if method == START else ""
    return f"{method} raised {type(error).__name__}: {error}{ends}"


def say_failed(name: str, text: str) -> None:
    """Warn that a callback has failed; where warnings are errors, print the text."""
    text = f"callback {name}: {text}; the study goes on"
    try:
        warnings.warn(HbsimWarning(text), stacklevel=2)
    except HbsimWarning:
        print_err(f"hbsim: {text}")


@contextmanager
def _broken_off(seconds: float) -> Iterator[None]:
    """Raise `TookTooLong` in this block after some seconds; only the main thread can do that."""
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getitimer(signal.ITIMER_REAL)[0]:
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        raise TookTooLong

    usual = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, usual)


# What `callbacks` takes


ADAPTERS: Final[Mapping[str, tuple[str, str]]] = {
    "mlflow": ("hbsim.integrations.mlflow", "MLflowCallback"),
    "tensorboard": ("hbsim.integrations.tensorboard", "TensorBoardCallback"),
    "wandb": ("hbsim.integrations.wandb", "WandbCallback"),
}


def check_callbacks(field: str, value: object) -> tuple[str | Callback, ...]:
    """Check a list of callbacks: objects, names of adapters, and texts ``FILE.py:NAME``.

    Raises
    ------
    ParameterError
        An element is none of these, or an adapter's package is not installed.
    """
    if isinstance(value, str | Callback) or not isinstance(value, Sequence):
        raise ParameterError(field, value, "must be a list of hbsim.Callback objects or names")
    for one in value:
        if isinstance(one, Callback):
            check_methods(field, one, one)
            continue
        if isinstance(one, type) and issubclass(one, Callback):
            raise ParameterError(field, one, f"is a class: give an object, {one.__name__}()")
        if not isinstance(one, str):
            raise ParameterError(field, one, "must be an hbsim.Callback, or the name of one")
        file, colon, name = one.rpartition(":")
        if one in ADAPTERS:
            load_callback(one, field)
        elif not (colon and file.endswith(".py") and name.isidentifier()):
            names = ", ".join(ADAPTERS)
            raise ParameterError(field, one, f"must be {names} or FILE.py:NAME.{nearest(one, ADAPTERS)}")
    return tuple(value)


def load_callback(text: str, field: str = "callbacks") -> Callback:
    """Return the callback that a text names: an object, or a class, which is called without arguments.

    Raises
    ------
    ParameterError
        The file raises an error, has no such name or another thing there, or a package is missing.
    """
    if text in ADAPTERS:
        module, name = ADAPTERS[text]
        made: Any = getattr(import_module(module), name)
    else:
        file, _, name = text.rpartition(":")
        if not Path(file).is_file():
            raise ParameterError(field, text, f"there is no file {file}")
        if (folder := str(Path(file).resolve().parent)) not in sys.path:
            sys.path.append(folder)  # for the modules beside it
        try:
            found = execute(file_spec(Path(file).resolve()), text)
        except ParameterError as error:
            raise ParameterError(field, text, error.rule) from error.__cause__
        if not hasattr(found.module, name):
            raise ParameterError(field, text, f"the file has no {name}")
        made = getattr(found.module, name)
    if isinstance(made, type) and issubclass(made, Callback):
        try:
            made = made()
        except ParameterError as error:
            raise ParameterError(field, text, error.rule) from None
        except Exception as error:
            raise ParameterError(field, text, error_text("__init__", error)) from error
    if not isinstance(made, Callback):
        raise ParameterError(field, text, f"{name} is no hbsim.Callback")
    check_methods(field, text, made)
    return made


def check_methods(field: str, given: object, callback: Callback) -> None:
    """Check the names of a callback's ``on_`` methods, and that each takes what it is called with.

    A class may also derive from another library's callback: the methods of that have any name.

    Raises
    ------
    ParameterError
        A method that begins with ``on_`` is none of `Callback`, or takes other arguments.
    """
    kind = type(callback)
    own = [base for base in kind.__mro__ if issubclass(base, Callback)]
    others = [base for base in kind.__mro__ if not issubclass(base, Callback)]
    for name in dict.fromkeys(name for base in own for name in vars(base) if name.startswith("on_")):
        is_of_other = any(name in vars(base) for base in others)
        if name not in METHODS and callable(getattr(kind, name)) and not is_of_other:
            rule = (
                f"hbsim.Callback has no method {name}, so it would never be called.{nearest(name, METHODS)}"
            )
            raise ParameterError(field, given, f"{kind.__name__}: {rule}")
    for name in METHODS:
        _, *arguments = signature(getattr(Callback, name)).parameters
        try:
            taken = signature(getattr(callback, name))
        except ValueError:  # of a method in C
            continue
        try:
            taken.bind(*arguments)
        except TypeError as error:
            rule = f"must take the arguments {', '.join(arguments)}: {error}"
            raise ParameterError(field, given, f"{kind.__name__}.{name} {rule}") from None
