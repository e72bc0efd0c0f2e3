"""What the seed's two classes share: running, results, state."""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hbsim.autotorch import checks
from hbsim.errors import HbsimError
from hbsim.executors.training_function import stop_if_loading
from hbsim.study.checks import seconds

if TYPE_CHECKING:
    import polars as pl

    from hbsim.autotorch.setting import Setting
    from hbsim.core.scheduler import Scheduler
    from hbsim.simulation import Cluster, Result
    from hbsim.study.result import RunResult

__all__ = ["TaskScheduler"]


class TaskScheduler:
    """A study that runs when it is told to: see `FIFOScheduler` and `HyperbandScheduler`.

    Attributes
    ----------
    executor : str
        ``"local"``, ``"hosts"``, ``"dask"`` or ``"sim"``.
    """

    executor: str

    def _prepare(
        self,
        setting: Setting,
        executor: str,
        surrogate: object,
        cluster: Cluster | None,
        checkpoint: str | os.PathLike[str] | None,
        resume: bool,
    ) -> None:
        stop_if_loading()
        # These load polars and more, which a file that is executed for its functions only must not.
        from hbsim.autotorch.place import Place
        from hbsim.autotorch.running import Running
        from hbsim.autotorch.state import options_of
        from hbsim.autotorch.study import make_study

        self.executor = executor
        self._setting = setting
        checks.flag("resume", resume)
        self._study = make_study(executor, setting, surrogate, cluster)
        place = Place(checkpoint)
        if executor != "sim":
            place.check()
        self._options = options_of(executor, setting, self._study)
        self._running = Running(setting, self._study, place, resume)
        self._fresh = self._study.fresh()
        self._queue: list[list[float]] = []

    # Running

    def run(self) -> RunResult | Result:
        """Run the study, and return its result; at once if it is over.

        After an interruption it goes on where it stopped.

        Raises
        ------
        Interrupted
            A KeyboardInterrupt: Ctrl-C. The result is there all the same.
        ParameterError
            A trial does not report `time_attr` or `reward_attr`.
        OutputError
            The folder is in use by another process, or cannot be written.
        ExecutorError
            The scheduler of the Dask cluster is lost, or all hosts; the next call goes on.
        """
        return self._running.run(self._queue, None)

    def join_jobs(self, timeout: float | None = None) -> None:
        """Run the study if it has not run; return at once if it is over.

        Parameters
        ----------
        timeout : float, optional
            Seconds after which it returns; what runs then is saved as at an interruption, and `run` or
            `join_jobs` goes on. Simulations take no notice.

        Raises
        ------
        Interrupted, ParameterError, OutputError, ExecutorError
            As in `run`.
        """
        self._running.run(self._queue, seconds("timeout", timeout))

    def add_job(self, task: object) -> None:
        """Queue a configuration: the next new trials take these before the searcher is asked.

        Parameters
        ----------
        task : mapping or object
            The value of every parameter by name; or a task, with them in ``task.args["config"]``.

        Raises
        ------
        ParameterError
            A name is missing or unknown, or a value lies outside of its range.
        HbsimError
            The study has begun.
        """
        from hbsim.autotorch.configuration import point_of

        if self._running.begun or self._running.result is not None:
            raise HbsimError("the study has begun: add jobs before it runs")
        self._queue.append(point_of(task, self._study.space))

    # Results

    @property
    def result(self) -> RunResult | Result:
        """What came out: a `hbsim.study.result.RunResult`, or the `hbsim.Result` of a simulation.

        Raises
        ------
        HbsimError
            The study has not run.
        """
        if self._running.result is None:
            raise HbsimError("the study has not run: call run() or join_jobs() first")
        return self._running.result

    @property
    def folder(self) -> Path:
        """Where the study is kept."""
        return self._running.place.path

    def get_best_config(self) -> dict[str, object]:
        """Return the configuration of the incumbent: the trial with the best value reported.

        Raises
        ------
        HbsimError
            The study has not run, or no trial has reported a number. So do the next two.
        """
        return self._study.configuration(self.result, self.get_best_task_id())

    def get_best_reward(self) -> float:
        """Return the best value reported."""
        return float(self._best()["value"])

    def get_best_task_id(self) -> int:
        """Return the number of the trial with the best value reported."""
        return int(self._best()["trial"])

    def _best(self) -> Mapping[str, Any]:
        better = self.result.incumbent()
        if not len(better):
            raise HbsimError("no trial has reported a number")
        return better.row(-1, named=True)

    def get_training_curves(
        self,
        filename: str | os.PathLike[str] | None = None,
        plot: bool = False,
        use_legend: bool = True,
    ) -> pl.DataFrame:
        """Return what was reported, and draw it.

        Parameters
        ----------
        filename : path, optional
            Where to save the picture (``.png``, ``.pdf``, ``.svg``).
        plot : bool
            Show it in a notebook; else it is saved, as ``curves.png`` in the study's folder where no
            `filename` is given, and opened where there is a display.
        use_legend : bool
            Whether the picture names the trials.

        Returns
        -------
        polars.DataFrame
            A row a report: trial, resource, value (null where it was no number).

        Raises
        ------
        HbsimError
            The study has not run.
        OutputError
            The picture cannot be written.
        """
        checks.flag("plot", plot)
        checks.flag("use_legend", use_legend)
        reports = self._study.reports(self.result)
        if filename is not None or plot:
            from hbsim.autotorch.curves import draw

            draw(self.result, reports, filename, self.folder, show=plot, legend=use_legend)
        return reports

    # State

    def state_dict(self, destination: MutableMapping[str, object] | None = None) -> dict[str, object]:
        """Return the whole state in plain JSON types.

        Parameters
        ----------
        destination : dict, optional
            Filled with it, too.

        Returns
        -------
        dict
            What `load_state_dict` takes. The study's own journal stays where it is: its folder is named.
        """
        from hbsim.autotorch.state import make_state

        state = make_state(self._options, self._core(), str(self.folder), self._queue).as_dict()
        if destination is not None:
            destination.update(state)
        return state

    def load_state_dict(self, state_dict: Mapping[str, object]) -> None:
        """Go on from a state: with the study in the folder that it names, or in this one's.

        Parameters
        ----------
        state_dict : mapping
            What `state_dict` returned, of a scheduler of the same options.

        Raises
        ------
        ParameterError
            The options differ, it is no such state, or the study is in neither folder.
        HbsimError
            This one has begun to run.
        """
        from hbsim.autotorch.state import adopt, read_state

        if self._running.begun or self._running.result is not None:
            raise HbsimError("this study has begun: load the state into a new scheduler")
        core = self._study.fresh()
        state = read_state(state_dict, self._options, core, self._study.space)
        if core.started and self.executor != "sim":
            adopt(self._running, self._study, state)
        self._fresh = core
        self._queue = [list(point) for point in state.queue]

    def save(self, checkpoint: str | os.PathLike[str] | None = None) -> Path:
        """Write the state into a JSON file, whole or not at all.

        Parameters
        ----------
        checkpoint : path, optional
            A file or an existing folder; by default ``scheduler.json`` in the study's folder.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        OutputError
            It cannot be written.
        """
        from hbsim.autotorch.state import write_state

        return write_state(self.state_dict(), self.folder if checkpoint is None else Path(checkpoint))

    def _core(self) -> Scheduler:
        result = self._running.result
        return self._fresh if result is None else result.scheduler

    def __repr__(self) -> str:
        options = {"type": self._setting.type, **self._setting.rungs} if self._setting.type != "fifo" else {}
        options["num_trials"] = self._setting.num_trials
        core = self._core()
        counts = {name: count for name, count in core.status_counts().items() if count}
        stands = ", ".join([f"{core.started} trials", *(f"{count} {name}" for name, count in counts.items())])
        shown = ", ".join(f"{name}={value!r}" for name, value in options.items())
        return f"<{type(self).__name__}({shown}) in {self.folder}: {stands}>"
