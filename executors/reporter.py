"""The reporter: the object by which a training function reports results and saves checkpoints."""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

import numpy as np

from hbsim.errors import ParameterError, ProtocolError
from hbsim.executors import checkpoint
from hbsim.executors.checkpoint import is_overtaken
from hbsim.executors.rank_failure import watch, watch_later
from hbsim.executors.trial_session import TrialEnd, TrialSession, leave_process
from hbsim.ranks import rank_and_size

FREE: Final = 5.0  # seconds of a job that saving best states may take, whatever it has trained
SHARE: Final = 0.1  # of its training time, beside these
LONGEST: Final = 200  # characters of a text that is a changed value
CLOSE: Final = 1e-6  # relative difference of a value that has not changed
_NEEDED: Final = "every report must have it"
Function = TypeVar("Function", bound=Callable[[], object])


class Reporter:
    """Called by the training function after each epoch: ``reporter(epoch=3, accuracy=0.9)``.

    Between milestones a call returns at once. At a milestone it returns when the trial may go on, and raises
    `TrialEnd`, which leaves the function, if the trial has to end.

    A function that trains in several processes passes its reporter on to them. Rank 0 reports; each other
    rank may make the same calls, and leaves where rank 0 leaves.

    Parameters
    ----------
    session : TrialSession
        The session with the controller.
    task : mapping
        The fields of a `hbsim.runner.workers.Task`.
    setup : mapping
        ``time_attr`` and ``metric``, the names of the resource and of the metric that decides, or None;
        ``counts``, if the resource of a report without `time_attr` is the count of reports; ``keeps_best``,
        the mode if the state of the study's best report is kept, else None; ``folder``, the trial's;
        ``fenced``, if the job has claimed it, and a later job may do so; ``saves`` is for the session.
    parameters : sequence of str
        The names of the search space: reported again, they are no metrics.
    given : mapping, optional
        The values of hyperparameters and constants: one that is reported with another value has changed.

    Attributes
    ----------
    trial : int
        The trial's number.
    """

    def __init__(
        self,
        session: TrialSession,
        task: Mapping[str, Any],
        setup: Mapping[str, Any],
        parameters: tuple[str, ...],
        given: Mapping[str, object] | None = None,
    ) -> None:
        self.trial: int = task["trial"]
        self._origin = checkpoint.Origin.of(task)
        self._session = session
        self._time: str = setup["time_attr"]
        self._reward: str | None = setup["metric"]
        self._counts = bool(setup.get("counts"))
        self._counted = 0.0  # reports of earlier jobs up to the loaded checkpoint
        self._done = False
        self._hidden = (frozenset(parameters) | {self._time}) - {self._reward}
        own = {self._time, self._reward}
        self._given = {name: value for name, value in (given or {}).items() if name not in own}
        earlier = {name: value for name, value in task.get("changed", {}).items() if name in self._given}
        self._now = self._given | earlier  # the values that were reported last
        self._changed: dict[str, object] = {}  # by this report
        self._folder = Path(setup["folder"]).absolute()  # the function may change the working directory
        self._fenced = bool(setup.get("fenced"))
        self._owner = (os.getpid(), threading.get_ident())
        self._ranks, self._rank = session.ranks, 0
        self._is_watched = False  # whether this process says how it ends
        self._on_pause: Callable[[], object] | None = None
        self._best = BestStates(setup.get("keeps_best"), task.get("best"))
        self._skipped = False  # whether a best state was not saved, since that took too long before
        self._unreported: int | None = None  # the number of a checkpoint that may be ahead of the reports
        session.trial = self.trial
        session.pause = self._pause
        session.returned = self._returned

    def __getstate__(self) -> dict[str, Any]:
        from multiprocessing.context import get_spawning_popen

        if get_spawning_popen() is None:
            raise TypeError("a reporter can only be passed to a process that multiprocessing starts")
        return {**vars(self), "_owner": (0, 0), "_on_pause": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._session.pause = self._pause
        watch_later(self._ranks)
        self._is_watched = True

    @property
    def milestone(self) -> float | None:
        """The resource at which the trial waits for the next decision; None if there is none."""
        stop = self._session.milestone
        if stop == math.inf:
            return None
        return int(stop) if stop == int(stop) else stop

    @property
    def time_attr(self) -> str:
        """The name of the resource in reports."""
        return self._time

    @property
    def rank(self) -> int:
        """The rank of this process, from PyTorch's process group or the launcher's variables; 0 reports."""
        return self._rank if os.getpid() == self._owner[0] else rank_and_size()[0]

    @property
    def folder(self) -> Path:
        """A folder for the function's own files: one a trial, kept while it is paused."""
        folder = self._folder / "files"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def __call__(self, **report: object) -> None:
        """Report the resource, the metric that decides, and any other numbers, by name.

        Parameters
        ----------
        **report
            The resource must be a finite number, not below the one reported last. The metric that decides
            must be given; NaN, infinity or None mean that it is unknown. Values that are no numbers are left
            out. ``done=True`` says that this is the trial's last report; without the metric that decides,
            the call is no report, and only says that the previous one was the last. A hyperparameter or a
            constant that has another value than it was given, as in ``batch_size=16``, is a change that the
            function has made: the study keeps it, and shows it beside the configuration. In
            another rank than 0 only the resource matters: the call returns when rank 0's report of it has
            been answered.

        Raises
        ------
        ValueError
            The resource went back.
        ProtocolError
            The call came from another thread than the function's, from a second process of rank 0, or after
            ``done=True``.
        TrialEnd
            The trial was paused or stopped, or the study cannot use the report. Do not catch it.
        """
        self._session.check()
        owner = (os.getpid(), threading.get_ident())
        if owner != self._owner:
            self._join(owner)
        if self._rank:
            self._follow(report)
            return
        if self._ranks.reporter not in (0, owner[0]):
            self._session.take_back()
        if self._done:
            raise ProtocolError(self.trial, "a report after done=True", "none: that was the last")
        self._done = take_done(report)
        says = bool(report) if self._reward is None else self._reward in report
        if self._done and not says:
            return
        resource = self._resource(report)
        self._ranks.begin(resource)
        if self._unreported is not None:
            self._check_unreported(resource)
        metrics = self._metrics(report)
        if self._best.mode is not None and self._reward is not None:
            self._keep_best(resource, metrics[self._reward])
        if self._changed:
            changed, self._changed = self._changed, {}
            self._session.report(resource, metrics, changed)
        else:
            self._session.report(resource, metrics)
        self._ranks.answer()

    def save(self, obj: object) -> None:
        """Make a checkpoint of `obj`; it replaces the previous one atomically.

        In another rank than 0 this does nothing.

        Parameters
        ----------
        obj : object
            None, numbers, text, bytes, NumPy arrays and PyTorch tensors, in lists, tuples, sets and dicts, as
            a dict of state dicts; or the `Path` of a folder, whose content is copied.

        Raises
        ------
        TrialEnd
            Something in `obj` cannot be saved. If no other trial has saved, the study ends with an error.
        OutputError
            The checkpoint cannot be written. The previous one still exists.
        """
        if os.getpid() != self._owner[0]:
            self._join((os.getpid(), threading.get_ident()))
        if not self._rank:
            with self._session.measure("save"):
                self._save(obj, self._best.saved())

    def load(self) -> Any:
        """Return the object that the trial saved last, also in an earlier job; None if it saved nothing.

        Tensors are on the CPU. For a folder the `Path` of its copy is returned: only read from it, and before
        the next checkpoint is made.

        After a crash the last checkpoint may hold training that was never reported, or may be torn. Then the
        one before is returned, and the trial's log says so.

        Raises
        ------
        OutputError
            The checkpoint cannot be read.
        """
        folder = self._folder / checkpoint.NAME
        with self._session.measure("load"):
            loaded = checkpoint.load_own(folder, self._origin, _say)
        self._unreported = loaded.number if loaded.is_last else None
        if self._counts and loaded.resource is not None:
            self._counted = loaded.resource
        return loaded.value

    def save_dict(self, **state: object) -> None:
        """Make a checkpoint of a dict: `save`, as AutoTorch calls it."""
        self.save(state)

    def get_dict(self) -> Any:
        """Return the dict that `save_dict` saved last; an empty one if nothing was saved."""
        loaded = self.load()
        return {} if loaded is None else loaded

    def has_dict(self) -> bool:
        """Return whether the trial has saved something."""
        return self.load() is not None

    def terminate(self) -> NoReturn:
        """Leave the function now, as if it returned: the trial is complete.

        Raises
        ------
        TrialEnd
            Always. Do not catch it.
        """
        self._done = True
        self._returned()
        raise TrialEnd

    def on_pause(self, function: Function) -> Function:
        """Register a function to be called just before the trial is paused or the study is interrupted.

        It is also called at a report that is the study's best so far as the trial knows, unless ``keep`` is
        ``"none"``. In a job that may take 5 seconds and a tenth of the training time: a report is skipped if
        one more save, as long as the last one, would exceed that. What the function returns is saved, unless
        it is None. May be used as a decorator.

        Where other ranks make the same reports, what they have registered is called at the same time, so that
        it may use collective operations; what rank 0 returns is saved.
        """
        if not callable(function):
            raise ParameterError("on_pause", function, "must be a function without arguments")
        self._on_pause = function
        return function

    def _has_trained(self) -> bool:
        """Return whether an earlier job of the trial has made a report, or left a checkpoint."""
        if any(self._origin.earlier.values()):
            return True
        return checkpoint.newest(self._folder / checkpoint.NAME) is not None

    def _returned(self) -> None:
        """Restart the function if it made no report after a checkpoint that may be ahead of the reports."""
        if self._unreported is not None and not self._ranks.reporter:
            self._check_unreported(math.inf)

    def _join(self, owner: tuple[int, int]) -> None:
        """Become the reporter of a process that the function has started."""
        if owner[0] == self._owner[0]:
            rule = "reports from the thread in which the function was called"
            raise ProtocolError(self.trial, "a report from elsewhere", rule)
        rank, size = rank_and_size()
        self._session.join(rank, size, self._is_watched or watch(self._ranks))
        self._owner, self._rank = owner, rank

    def _follow(self, report: dict[str, object]) -> None:
        """Wait for the answer to rank 0's report of the same resource; it may have to end the trial."""
        take_done(report)
        if self._time in report:
            resource = _number(report[self._time])
        else:
            resource = max(self._session.last, self._counted) + 1.0 if self._counts and report else None
        self._session.follow(-math.inf if resource is None else resource, self._take_part)

    def _take_part(self) -> None:
        """Call what saves, for what rank 0 saves."""
        if self._on_pause is not None:
            try:
                self._on_pause()
            except Exception as error:  # what counts is what rank 0 saves
                _say(f"rank {self._rank} did not save its part: {type(error).__name__}: {error}")

    def _check_unreported(self, resource: float) -> None:
        """Restart the function if it loaded a checkpoint past a milestone that was never reported."""
        number, self._unreported = self._unreported, None
        milestone = self._session.milestone
        if number is not None and resource > milestone:
            reason = f"it holds training past the milestone at {milestone:g}, of which there is no report"
            _say(f"checkpoint {number} is not used: {reason}; the function is called again")
            checkpoint.discard(self._folder / checkpoint.NAME, number)  # and later ones, which continue it
            self._session.start_again(reason)

    def _keep_best(self, resource: float, value: float | None) -> None:
        """Save the state at a report that is the study's best so far, just before the report is sent."""
        best, session = self._best, self._session
        if not best.improves(resource, value):
            return
        if not best.may_save(session.trained):
            if not self._skipped:
                self._skipped = True
                _say(
                    f"the state of the best report, at {resource:g}, is not kept: saving took too long before"
                )
            return
        before = time.monotonic()  # this counts as training, as what the function itself writes does
        try:
            if self._on_pause is not None:
                self._ranks.save()
                obj = self._on_pause()
                if obj is not None:
                    self._save(obj, best.report, session.reports + 1, resource)
            elif best.just_saved:
                checkpoint.mark_best(self._folder / checkpoint.NAME, best.report)
        except Exception as error:  # the trial can go on without; at a pause it is an error
            problem = f"{type(error).__name__}: {error}"
            _say(f"the state of the best report, at {resource:g}, is not kept: {problem}")
        best.took(time.monotonic() - before)

    def _pause(self) -> None:
        if self._on_pause is not None:
            self._ranks.save()
            with self._session.measure("save"):
                obj = self._on_pause()
                if obj is not None:
                    self._save(obj)

    def _save(
        self,
        obj: object,
        best: checkpoint.Best | None = None,
        reports: int | None = None,
        resource: float | None = None,
    ) -> None:
        session = self._session
        last = session.last if math.isfinite(session.last) else None
        try:
            checkpoint.save(
                self._folder / checkpoint.NAME,
                obj,
                origin=self._origin,
                reports=session.reports if reports is None else reports,
                resource=last if resource is None else resource,
                best=best,
                allowed=self._may_save if self._fenced else None,
            )
        except ParameterError as error:  # it would be the same for every trial
            session.fatal(error.field, error.value, error.rule, "checkpoint")
        except checkpoint.Overtaken:
            print("hbsim: a later job of this trial has been started; this one ends here", file=sys.stderr)
            leave_process(1)

    def _may_save(self) -> bool:
        self._session.check_lease()
        return not is_overtaken(self._folder / checkpoint.NAME, self._origin.job)

    def _resource(self, report: Mapping[str, object]) -> float:
        name = self._time
        if self._counts and name not in report:
            return max(self._session.last, self._counted) + 1.0
        resource = _number(report.get(name))
        if resource is None or not math.isfinite(resource):
            self._session.fatal(
                "time_attr", name, f"{_NEEDED}, as a finite number; got {_shown(report, name)}"
            )
        if resource < self._session.last:
            text = (
                f"{name}={resource:g} was reported after {name}={self._session.last:g}: it must not go back"
            )
            raise ValueError(text)
        return resource

    def _metrics(self, report: Mapping[str, object]) -> dict[str, float | None]:
        metrics: dict[str, float | None] = {}
        hidden, now = self._hidden, self._now
        for name, value in report.items():
            if name in now and now[name] is not value:
                self._compare(name, value)
            if name in hidden:
                continue
            number = value if type(value) is float else _number(value)
            if number is not None:
                metrics[name] = number if math.isfinite(number) else None
        reward = self._reward
        if reward is not None and reward not in metrics:
            if report.get(reward, "") is not None:
                rule = f"{_NEEDED}, as a number; got {_shown(report, reward)}"
                self._session.fatal("metric", reward, rule)
            metrics[reward] = None
        return metrics

    def _compare(self, name: str, value: object) -> None:
        """Note that a hyperparameter or a constant has another value than it was reported with last."""
        given, new = self._given[name], _plain(value)
        if new is None or isinstance(new, str) != isinstance(given, str) or _are_same(new, self._now[name]):
            return
        if isinstance(given, int) and isinstance(new, float) and new.is_integer():
            new = int(new)
        before = _plain(given)
        before = str(given) if before is None else before
        self._now[name] = new
        self._changed[name] = [before, before if _are_same(new, given) else new]


class BestStates:
    """Knows which reports are the study's best so far as this job can know, and limits how often they save.

    What is better than the study's best value when the job starts, and than all earlier reports of the job,
    counts. Saving may take `FREE` seconds of a job and a `SHARE` of its training time; a save is expected to
    take as long as the last one. Of a function that saves by itself a checkpoint is the state of the report
    that it follows; or, if the function saves before its first report, of the report that follows it.

    Parameters
    ----------
    mode : "max", "min" or None
        What is better; None if no state is kept.
    value : float or None
        The study's best value when the job starts.
    """

    def __init__(self, mode: str | None, value: float | None) -> None:
        self.mode = mode
        self._sign = 1.0 if mode == "max" else -1.0
        self._value = -math.inf if value is None else self._sign * value
        self.report = checkpoint.Best(0.0, 0.0)
        self._reported = self._is_best = False  # whether there was a report; whether the last one is the best
        self._saved = False  # whether the function has saved by itself since its last report
        self._saves_first = False  # whether it saved before its first report
        self.just_saved = False  # whether what it saved before the last report is the state of that
        self._spent = self._last = 0.0  # seconds of saving: in all, and the last time

    def improves(self, resource: float, value: float | None) -> bool:
        """Record a report; return whether it is the best so far."""
        if not self._reported:
            self._saves_first = self._saved
        self.just_saved = self._saved and self._saves_first
        self._reported, self._saved = True, False
        self._is_best = value is not None and self._sign * value > self._value
        if value is not None and self._is_best:
            self._value = self._sign * value
            self.report = checkpoint.Best(resource, value)
        return self._is_best

    def saved(self) -> checkpoint.Best | None:
        """Record that the function saves by itself; return the best report if this is its state."""
        self._saved = True
        return self.report if self._is_best and not self._saves_first else None

    def may_save(self, trained: float) -> bool:
        """Return whether the state may be saved after so many seconds of training."""
        return self._spent + self._last <= FREE + SHARE * trained

    def took(self, seconds: float) -> None:
        """Record how long it took to save a state."""
        self._spent += seconds
        self._last = seconds


def _say(text: str) -> None:
    print(f"hbsim: {text}", file=sys.stderr)


def take_done(report: dict[str, object]) -> bool:
    """Remove ``done`` from a report; return whether the report is the last. A number is left as a metric."""
    return isinstance(report.get("done"), bool | np.bool_) and bool(report.pop("done"))


def _number(value: object) -> float | None:
    """Convert a number of any library to float: NaN if it is too large, None if it is no number."""
    if not hasattr(value, "__float__"):
        return None
    shape = getattr(value, "shape", None)
    if shape is not None and hasattr(value, "item"):  # an array or a tensor
        if math.prod(shape) != 1:
            return None
        value = value.item()
    try:
        return float(value)
    except OverflowError:
        return math.nan
    except (TypeError, ValueError):
        return None


def _plain(value: object) -> bool | int | float | str | None:
    """Return a finite number of any library, or a short text, as one of Python; None for anything else."""
    if isinstance(value, str):
        return value if len(value) <= LONGEST else None
    if isinstance(value, bool | int):
        return value
    number = _number(value)
    return None if number is None or not math.isfinite(number) else number


def _are_same(new: bool | int | float | str, old: object) -> bool:
    """Return whether a value is the same as before, maybe after a way through single precision or text."""
    if isinstance(new, str) or isinstance(old, str):
        return str(new) == str(old)
    first, second = _number(new), _number(old)
    if first is not None and second is not None:
        return new == old or math.isclose(first, second, rel_tol=CLOSE)
    return str(new) == str(old)


def _shown(report: Mapping[str, object], name: str) -> str:
    if name not in report:
        return ", ".join(report) or "nothing"
    try:
        return f"{name}={report[name]!r}"[:200].replace("\n", " ")
    except Exception:  # a broken __repr__
        return f"{name}, a {type(report[name]).__name__}"
