"""A study that is about to run: where it begins or goes on, and its loop."""

from __future__ import annotations

import secrets
import signal
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from hbsim.core.scheduler import Scheduler
from hbsim.core.space import arguments, space_of
from hbsim.errors import HbsimWarning, OutputError, ParameterError
from hbsim.executors.training_function import FunctionDescription
from hbsim.runner.journal import Journal
from hbsim.runner.loop import SearcherNotifier, drive
from hbsim.runner.real import Limits, Observer, RealExecutor
from hbsim.runner.records import read_records
from hbsim.runner.workers import WorkerBackend
from hbsim.searchers import Searcher, SearchTask, check_searcher, limit_trials, make_searcher
from hbsim.searchers.factory import plain_options
from hbsim.study.environment import environment
from hbsim.study.folder import StudyFolder
from hbsim.study.interrupts import interruptible
from hbsim.study.load import Standing, replay, stand
from hbsim.study.spec import Spec
from hbsim.terminal import print_err

if TYPE_CHECKING:
    from hbsim.study.result import RunResult

__all__ = ["Interrupted", "Study"]


class Interrupted(KeyboardInterrupt):
    """A study was interrupted; what ran has left at its next report, and the study can be resumed.

    Attributes
    ----------
    result : RunResult
        The study until then.
    """

    def __init__(self, result: RunResult) -> None:
        self.result = result
        super().__init__(f"interrupted after {result.end_time:.4g} s; resume=True goes on in {result.folder}")


class Study:
    """A training function, a scheduler and a searcher that are about to run.

    Attributes
    ----------
    spec : Spec
        What the study is.
    """

    def __init__(
        self,
        function: FunctionDescription,
        scheduler: Scheduler,
        seed: int,
        searcher: str | Searcher | None,
        search_options: Mapping[str, object] | None,
        time_attr: str,
        reward_attr: str | None,
        until_return: bool,
        constants: Mapping[str, object],
    ) -> None:
        space = function.space
        check_constants(function, constants)
        check_searcher(searcher, search_options, resumes=True)
        if searcher is None or isinstance(searcher, str):
            name = searcher or "random"
            task = SearchTask(space, seed, mode=scheduler.mode, max_t=scheduler.options.max_t)
            self.searcher: Searcher = make_searcher(name, task, search_options)
        else:
            name = type(searcher).__name__
            self.searcher = searcher
        limit_trials(scheduler, self.searcher)
        self.telling = SearcherNotifier(self.searcher, scheduler)
        options = scheduler.options.as_dict()
        reported = (time_attr, reward_attr, until_return)
        searched = plain_options(search_options)
        limit: int | None = getattr(self.searcher, "limit", None)
        made = (function.label, function.digest, space, options, seed, name)
        self.spec = Spec(*made, *reported, dict(constants), searched, limit, secrets.token_hex(8))
        self.scheduler = scheduler
        self._grown: int | None = None  # how many trials there are in all, where more than before

    def open(self, place: StudyFolder, resume: bool, fsync: str, executor: str) -> tuple[Journal, Standing]:
        """Begin the journal, or read it and stand where it ends."""
        about = {**environment(), "executor": executor}
        if not resume:
            place.note_environment(about)  # with the journal it is a study, which goes on as it was begun
            journal = place.create(self.spec.as_dict(), fsync)
            return journal, stand(self.spec, self.scheduler)
        journal = Journal.open(place.journal, fsync)
        try:
            standing = self._read(str(place.journal))
            place.note_environment(about)
        except BaseException:
            journal.close()
            raise
        return journal, standing

    def _read(self, path: str) -> Standing:
        """Return where the study of a journal stands, if it is the same as this one."""
        records = read_records(path, together=True)
        before = Spec.from_dict(next(records)["spec"], path)
        before.check_same(self.spec)
        self.spec = replace(self.spec, study=before.study)
        if before.digest != self.spec.digest:
            text = f"{self.spec.train} has changed since the study began: its trials may not compare"
            warnings.warn(HbsimWarning(text), stacklevel=6)
        standing = stand(self.spec, self.scheduler)
        trials, first = self.scheduler.num_trials, before.make_scheduler().num_trials
        if first is not None:
            self.scheduler.limit_trials(first)
        replay(standing, records, path, self.telling, self.spec.space.dimension)
        self._grow(trials, first)
        return standing

    def _grow(self, trials: int | None, first: int | None) -> None:
        """Let the study have more trials than it had; `first` is how many it began with."""
        now = self.scheduler.num_trials
        if trials in (now, first) or trials is None or now is None:
            return
        if trials < now:
            rule = f"the study has grown to {now}; it goes on with as many or more"
            raise ParameterError("num_trials", trials, rule)
        self.scheduler.grow(trials)
        self._grown = trials

    def drive(
        self,
        place: StudyFolder,
        journal: Journal,
        standing: Standing,
        workers: WorkerBackend,
        limits: Limits,
        observers: Sequence[Observer],
        save_completed: bool,
        gather: Callable[[], None],
    ) -> RunResult:
        """Run until nothing is under way any more; `gather` is called when no trial runs any more."""
        from hbsim.study.result import RunResult

        scheduler, journal_state = self.scheduler, standing.journal_state
        real = RealExecutor(
            workers,
            journal,
            journal_state,
            scheduler.geometry,
            self._suggest,
            lambda: scheduler.done,
            self.spec.seed,
            scheduler.mode,
            time.monotonic,
            limits,
            self.spec.until_return,
            observers,
            save_completed,
        )
        if journal.count > 1 or self._grown is not None:
            real.resume(scheduler.running_jobs(), self._grown)
        with interruptible(lambda number: _interrupt(real, number, limits.grace)):
            try:
                drive(scheduler, real, standing.decisions, self.telling)
            except OutputError:
                journal.check()  # where the whole folder was taken away, this says it better
                raise
            gather()
            workers.close()
        real.finish(scheduler.done)
        journal.check()
        count = max(workers.count, journal_state.workers_seen)
        result = RunResult(place, self.spec, scheduler, journal_state, standing.decisions, count)
        result.write()
        if real.ends.interrupted:
            raise Interrupted(result)
        return result

    def _suggest(self) -> list[float]:
        point: list[float] = self.searcher.suggest(1).tolist()[0]
        return point


def _interrupt(real: RealExecutor, number: int, grace: float) -> None:
    hurried = number != signal.SIGINT  # others are sent by who will not wait
    real.interrupt(hurried)
    text = "finishing: each trial leaves at its next report and keeps its checkpoint"
    text += f"; what has not left in {grace:g} s is ended" if hurried else ""
    text += "; Ctrl-C again kills them"
    # The terminal may be gone, or in the middle of a line: what a handler raises would end the study.
    with suppress(OSError, ValueError, RuntimeError):
        print_err(f"hbsim: {text}")


def check_constants(
    function: Callable[..., object] | FunctionDescription, constants: Mapping[str, object]
) -> None:
    """Check that `constants` are arguments of the function, and no parameters of its space."""
    for name, value in constants.items():
        if name in space_of(function):
            raise ParameterError(name, value, "is searched over: the searcher sets it")
    arguments(function, constants)
