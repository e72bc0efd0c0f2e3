"""TensorBoard event files of a study: a run for each trial, and one for the study as a whole."""

from __future__ import annotations

import struct
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from math import nan
from pathlib import Path
from typing import IO, Any, Final

from hbsim.errors import HbsimWarning
from hbsim.runner.journal_reader import read_records
from hbsim.runner.journal_state import value_of
from hbsim.runner.records import JobBegun, JobReports, ProcessEnded, Record
from hbsim.study.folder import StudyFolder
from hbsim.study.spec import StudySpec, StudyState

OPEN: Final = 64  # files open at the same time
VERSION: Final = "brain.Event:2"


class EventFiles:
    """Event files of many runs, with a bounded number of open files.

    Parameters
    ----------
    folder : Path
        The folder with a folder for each run.
    clock : callable
        Seconds since the epoch.
    """

    def __init__(self, folder: Path, clock: Callable[[], float]) -> None:
        self._folder, self._clock = folder, clock
        self._event = import_module("tensorboardX.proto.event_pb2").Event
        self._summary = import_module("tensorboardX.proto.summary_pb2").Summary
        self._checksum = import_module("tensorboardX.record_writer").masked_crc32c
        self._hparams = import_module("tensorboardX.summary").hparams
        self._open: dict[str, IO[bytes]] = {}  # in the order of their last use
        self._names: dict[str, str] = {}  # of the files of this process, by run

    def begin(self, run: str, configuration: Mapping[str, object], metric: str) -> None:
        """Write a run's hyperparameters, and the name of the scalar that rates them."""
        experiment, start, _ = self._hparams(dict(configuration), {metric: 0.0})
        for summary in (experiment, start):
            self._write(run, self._event(wall_time=self._clock(), summary=summary))

    def scalars(self, run: str, values: Mapping[str, float], step: int, wall: float) -> None:
        """Write the scalars of a step."""
        made = [self._summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        self._write(run, self._event(wall_time=wall, step=step, summary=self._summary(value=made)))

    def end(self, run: str, failed: bool) -> None:
        """Write that a run is over."""
        api = import_module("tensorboardX.proto.api_pb2")
        plugin = import_module("tensorboardX.proto.plugin_hparams_pb2")
        status = api.Status.Value("STATUS_FAILURE" if failed else "STATUS_SUCCESS")
        info = plugin.SessionEndInfo(status=status, end_time_secs=self._clock())
        content = plugin.HParamsPluginData(session_end_info=info, version=0).SerializeToString()
        metadata = import_module("tensorboardX.proto.summary_pb2").SummaryMetadata
        data = metadata.PluginData(plugin_name="hparams", content=content)
        value = self._summary.Value(tag="_hparams_/session_end_info", metadata=metadata(plugin_data=data))
        self._write(run, self._event(wall_time=self._clock(), summary=self._summary(value=[value])))

    def put_away(self, run: str, for_good: bool = False) -> None:
        """Close a run's file; it is reopened on the next write, unless `for_good`."""
        file = self._open.pop(run, None)
        if for_good:
            self._names.pop(run, None)
        if file is not None:
            file.close()

    def flush(self) -> None:
        """Flush all files to the operating system."""
        for file in self._open.values():
            file.flush()

    def close(self) -> None:
        """Close all files."""
        for run in list(self._open):
            self.put_away(run)

    def give_up(self) -> None:
        """Close all files, even if their last data cannot be written."""
        while self._open:
            _, file = self._open.popitem()
            with suppress(OSError, ValueError):
                file.close()

    def _write(self, run: str, event: Any) -> None:
        data = event.SerializeToString()
        head = struct.pack("<Q", len(data))
        checks = (struct.pack("<I", self._checksum(part)) for part in (head, data))
        file = self._file(run)
        # In one write: if the process dies, only the last record can be cut off.
        file.write(head + next(checks) + data + next(checks))

    def _file(self, run: str) -> IO[bytes]:
        file = self._open.pop(run, None)
        if file is None:
            if len(self._open) >= OPEN:
                self.put_away(next(iter(self._open)))
            new = run not in self._names
            file = open(self._path(run), "ab")  # noqa: SIM115, closed by put_away
            self._open[run] = file
            if new:
                self._write(run, self._event(wall_time=self._clock(), file_version=VERSION))
            return file
        self._open[run] = file
        return file

    def _path(self, run: str) -> Path:
        """Return a run's file of this process, named to sort after those of earlier processes.

        A file of an earlier process may end within a record, and TensorBoard reads nothing after that.
        """
        folder = self._folder / run
        if run not in self._names:
            folder.mkdir(parents=True, exist_ok=True)
            count = sum(1 for _ in folder.iterdir())
            self._names[run] = f"events.out.tfevents.{int(self._clock()):010d}.hbsim.{count:04d}"
        return folder / self._names[run]


EVERY: Final = 2.0  # seconds between two flushes
STUDY: Final = "study"  # the run of the study as a whole
FINE: Final = 1000  # steps for each unit of a fractional resource: TensorBoard's steps are whole numbers


class TensorBoard:
    """An `Observer` that writes event files below ``tensorboard/`` in the study's folder.

    A trial's run is named by its number, like its folder. It has a scalar for each reported metric, with the
    resource as step (in thousandths if resources are not whole), the configuration as hyperparameters, and
    ``best/METRIC`` at the end of each job. The run ``study`` has the incumbent and counts of trials; its
    step is the study second.

    A resumed study adds files: reports that are in a file already, or that a trial repeats after a restart,
    are not written again. If the process is killed, the last two seconds may be missing.

    If a file cannot be written, the observer warns and stops, and the study goes on.

    Parameters
    ----------
    spec : StudySpec
        The description of the study.
    state : StudyState
        Its scheduler and journal state, new or resumed.
    study_folder : StudyFolder
        Its folder.
    clock : callable
        Seconds since the epoch.
    """

    def __init__(
        self,
        spec: StudySpec,
        state: StudyState,
        study_folder: StudyFolder,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._spec, self._clock = spec, clock
        self._scheduler, self._journal_state = state.scheduler, state.journal_state
        self._files = EventFiles(study_folder.path / "tensorboard", clock)
        self._fine = FINE if self._scheduler.options.resource_type == "float" else 1
        self._sign = 1.0 if self._scheduler.mode == "max" else -1.0
        self._reached: dict[int, float] = {}  # the resource of each trial's last report in a file
        self._bests: dict[int, float] = {}  # by trial
        self._trials: dict[int, int] = {}  # of jobs on workers, by job
        self._incumbent = self._journal_state.best
        self._counts: dict[str, int] = {}
        self._next = 0.0
        self._off = False
        if self._journal_state.now:
            self._catch_up(study_folder)

    def record(self, record: Record) -> None:
        """Write the new values of a record."""
        self._safely(lambda: self._record(record))

    def tick(self) -> None:
        """Write changed counts and flush, every few seconds."""
        now = self._clock()
        if now >= self._next:
            self._next = now + EVERY
            self._safely(lambda: self._study(now))

    def close(self) -> None:
        """Write the remaining values, and close the files."""
        self._safely(lambda: self._study(self._clock()))
        self._safely(self._files.close)

    def _safely(self, action: Callable[[], None]) -> None:
        if self._off:
            return
        try:
            action()
        except Exception as error:
            self._off = True
            self._files.give_up()
            text = f"TensorBoard's files cannot be written any more ({error}); the study goes on without"
            warnings.warn(HbsimWarning(text), stacklevel=4)

    # Trials

    def _catch_up(self, study_folder: StudyFolder) -> None:
        """Read from the journal which reports were written before."""
        for record in read_records(study_folder.journal):
            if isinstance(record, JobBegun):
                self._trials[record.job] = record.trial
            elif isinstance(record, JobReports):
                for _, _, resource, metrics in record.rows:
                    self._new(self._trials[record.job], resource, metrics)
        self._trials.clear()

    def _new(self, trial: int, resource: float, metrics: Mapping[str, float | None]) -> bool:
        """Record a report; return whether its trial had not reached this resource before."""
        value = value_of(metrics, self._spec.metric)
        best = self._bests.get(trial, nan)
        if best != best or self._sign * value > self._sign * best:
            self._bests[trial] = value
        if resource <= self._reached.get(trial, -1.0):
            return False
        self._reached[trial] = resource
        return True

    def _record(self, record: Record) -> None:
        if isinstance(record, JobBegun):
            self._trials[record.job] = record.trial
            if record.point is not None:
                self._configure(record.trial)
        elif isinstance(record, JobReports):
            self._report(self._trials[record.job], record)
        elif isinstance(record, ProcessEnded) and record.job in self._trials:
            self._leave(self._trials.pop(record.job))

    def _configure(self, trial: int) -> None:
        import numpy as np

        point = np.array(self._journal_state.points[trial], dtype=np.float64)
        values = self._spec.space.mapping(point)
        plain = {n: v if isinstance(v, bool | int | float | str) else repr(v) for n, v in values.items()}
        self._files.begin(_run(trial), plain, self._best_tag)

    @property
    def _best_tag(self) -> str:
        return f"best/{self._spec.metric}"

    def _report(self, trial: int, record: JobReports) -> None:
        began = self._clock() - record.time  # when study second 0 was
        for at, _, resource, metrics in record.rows:
            if self._new(trial, resource, metrics):
                scalars = {name: nan if value is None else value for name, value in metrics.items()}
                self._files.scalars(_run(trial), scalars, self._step(resource), began + at)
        best = self._journal_state.best
        if best is not None and best is not self._incumbent:
            self._incumbent = best
            tag = f"incumbent/{self._spec.metric}"
            self._files.scalars(STUDY, {tag: best.value}, int(best.time), began + best.time)

    def _step(self, resource: float) -> int:
        return round(resource * self._fine)

    def _leave(self, trial: int) -> None:
        run, status = _run(trial), self._scheduler.status(trial)
        if trial in self._bests:
            step = self._step(self._reached[trial])
            self._files.scalars(run, {self._best_tag: self._bests[trial]}, step, self._clock())
        over = status not in ("running", "paused")
        if over:
            self._files.end(run, failed=status == "failed")
            self._reached.pop(trial, None)
            self._bests.pop(trial, None)
        self._files.put_away(run, for_good=over)

    # The study

    def _study(self, now: float) -> None:
        counts = self._scheduler.status_counts()
        if counts != self._counts:
            self._counts = counts
            scalars = {f"trials/{name}": float(count) for name, count in counts.items()}
            self._files.scalars(STUDY, scalars, int(self._journal_state.now), now)
        self._files.flush()


def _run(trial: int) -> str:
    return f"{trial:06d}"
