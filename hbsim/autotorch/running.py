"""Running the study of one of the classes: once, and again where it was interrupted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hbsim.errors import HbsimError
from hbsim.terminal import print_err

if TYPE_CHECKING:
    from hbsim.autotorch.place import Place
    from hbsim.autotorch.setting import Setting
    from hbsim.autotorch.study import AnyStudy
    from hbsim.simulation import Result
    from hbsim.study.result import RunResult

__all__ = ["Running"]


class Running:
    """A study, where it is kept, and how far it has come.

    Parameters
    ----------
    setting : Setting
        What was asked for.
    study : AnyStudy
        Runs it.
    place : Place
        Its folder.
    resume : bool
        Whether to go on with what is in the folder.

    Attributes
    ----------
    result : RunResult or Result, or None
        Of the study until now; None before it ran.
    begun : bool
        Whether the folder holds this study.
    over : bool
        Whether there is nothing left to run.
    """

    def __init__(self, setting: Setting, study: AnyStudy, place: Place, resume: bool) -> None:
        self.place = place
        self.result: RunResult | Result | None = None
        self.begun = False
        self.over = False
        self._setting, self._study, self._resume = setting, study, resume
        self._runs = 0

    def run(self, queue: Sequence[Sequence[float]], timeout: float | None) -> RunResult | Result:
        """Run the study, or go on with it, for `timeout` seconds at most."""
        if self.over and self.result is not None:
            return self.result
        self._check_searcher()
        resume = self._open()
        self._runs += 1
        time_out = self._time_out(timeout)
        try:
            self.result = self._study.run(queue, self.place, resume, time_out)
        except KeyboardInterrupt as error:
            self.result = getattr(error, "result", self.result)
            self.place.keep()
            raise
        except HbsimError:
            if self.place.folder.holds_study:
                self.place.keep()
            raise
        why = getattr(self.result, "why", "done")
        self.over = why != "interrupted" and (why != "max_time" or time_out == self._setting.run.max_time)
        self._note_early_returns()
        assert self.result is not None
        if self._study.surrogate is None:
            self.place.failed.update(self.result.failures()["trial"])  # type: ignore[operator]
        return self.result

    def adopt(self, place: Place, result: RunResult | None) -> None:
        """Go on from a study that is in another folder, or in this one."""
        self.place, self.result = place, result
        self.begun = True
        self.over = getattr(result, "why", None) in ("done", "max_reward")

    def _open(self) -> bool:
        if self._study.surrogate is not None:
            return False
        if self.begun:
            return self.place.folder.holds_study
        resume = self.place.open(self._resume)
        self.begun = True
        return resume

    def _check_searcher(self) -> None:
        """A searcher object knows already what happened: it cannot be told again when a study is resumed."""
        if self._runs and not isinstance(self._setting.run.searcher, str | None):
            text = "the searcher object has been used: go on in a new scheduler, with resume=True and "
            raise HbsimError(f"{text}a new searcher")

    def _time_out(self, timeout: float | None) -> float | None:
        limit = self._setting.run.max_time
        if timeout is None or self._study.surrogate is not None:
            return limit
        until = timeout + (0.0 if self.result is None else self.result.end_time)
        return until if limit is None else min(limit, until)

    def _note_early_returns(self) -> None:
        """Say in a line that no trial came to max_t: its rungs may lie where nothing is trained."""
        if self._setting.type == "fifo" or self._setting.run.progress == "none" or self.result is None:
            return
        summary = self.result.summary()
        if not summary.get("returned") or summary["returned"] != summary["completed"]:
            return
        last = max(self.result.trials["reached"].drop_nulls().to_list())
        max_t = self._setting.rungs["max_t"]
        text = f"all {summary['completed']} complete trials returned before max_t={max_t}, "
        text += f"at {self._setting.run.time_attr}={last:g} at most: set max_t to what train_fn trains"
        print_err(f"hbsim: {text}")
