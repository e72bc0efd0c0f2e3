"""TensorBoard: event files of a study, with a run for each trial and one for the study as a whole."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import IO, Any, ClassVar, Final

from hbsim.integrations.loggers import TrialLogger
from hbsim.runner.records import EndReason
from hbsim.study.callbacks import EndStatus, StudyInfo, TrialInfo

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


STUDY: Final = "study"  # the run of the study as a whole


class TensorBoardCallback(TrialLogger):
    """A callback that writes event files below ``tensorboard/`` in the study's folder.

    A trial's run is named by its number, like its folder. It has a scalar for each reported metric, with the
    resource as step (in thousandths if resources are not whole), the configuration as hyperparameters, and
    ``best/METRIC`` at the end of each job. The run ``study`` has the incumbent and counts of trials; its
    step is the study second.

    A resumed study adds files: reports that are in a file already, or that a trial repeats after a restart,
    are not written again.
    """

    package: ClassVar[str] = "tensorboardX"
    extra: ClassVar[str] = "tensorboard"

    def on_study_start(self, study: StudyInfo) -> None:
        """Make the folder's writer."""
        super().on_study_start(study)
        self._files = EventFiles(study.folder / "tensorboard", time.time)
        self._best_tag = f"best/{study.spec.metric}"
        self._counts: dict[str, int] = {}
        self._now = 0.0

    def on_trial_start(self, trial: TrialInfo, time: float) -> None:
        """Write the configuration of a new trial."""
        self._now = time
        if trial.reached < 0 and not trial.attempt:
            self._files.begin(_run(trial), self.config(trial), self._best_tag)

    def on_report(self, trial: TrialInfo, resource: float, metrics: Mapping[str, float], time: float) -> None:
        """Write the metrics of a report, and the incumbent if the report is the best one."""
        self._now = time
        if resource > trial.reached:
            self._files.scalars(_run(trial), metrics, self.step(resource), self.wall(time))
        best, metric = self.study.best, self.study.spec.metric
        if best is not None and (best.trial, best.resource, best.time) == (trial.number, resource, time):
            self._files.scalars(STUDY, {f"incumbent/{metric}": best.value}, int(time), self.wall(time))

    def on_trial_end(self, trial: TrialInfo, status: EndStatus, time: float) -> None:
        """Write the best value so far, and the end of a trial that is over."""
        self._now = time
        run, is_over = _run(trial), status not in ("paused", "interrupted")
        if trial.best == trial.best:
            values = {self._best_tag: trial.best}
            self._files.scalars(run, values, self.step(trial.reached), self.wall(time))
        if is_over:
            self._files.end(run, failed=status == "failed")
        self._files.put_away(run, for_good=is_over)

    def on_study_end(self, why: EndReason | None, time: float) -> None:
        """Write the last counts, and close the files."""
        self._now = time
        self.flush()
        self._files.close()

    def flush(self) -> None:
        """Write the counts of trials if they have changed, and flush the files."""
        counts = dict(self.study.counts)
        if counts != self._counts:
            self._counts = counts
            scalars = {f"trials/{name}": float(count) for name, count in counts.items()}
            self._files.scalars(STUDY, scalars, int(self._now), self.wall(self._now))
        self._files.flush()


def _run(trial: TrialInfo) -> str:
    return f"{trial.number:06d}"
