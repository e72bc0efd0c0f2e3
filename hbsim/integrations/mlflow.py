"""MLflow: a run for each trial of a study."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from hbsim.core.types import FailureKind, Verdict
from hbsim.integrations.loggers import TrialLogger
from hbsim.runner.records import EndReason
from hbsim.study.callbacks import EndStatus, StudyInfo, TrialInfo

MANY: Final = 500  # metrics that are logged at once; MLflow takes 1,000
LONGEST: Final = 500  # characters of a parameter's value, the least limit of MLflow's stores
STATUSES: Final[Mapping[EndStatus, str]] = {"failed": "FAILED", "interrupted": "KILLED"}
ODD: Final = re.compile(r"[^\w./ -]", re.ASCII)  # characters that names of MLflow do not have


class MLflowCallback(TrialLogger):
    """A callback that logs each trial as a run of MLflow.

    A run has the trial's configuration as parameters, each report with the resource as step (in thousandths
    if resources are not whole), and the tags ``hbsim.study``, ``hbsim.trial``, ``hbsim.status``, why the
    trial ended, and ``hbsim.failure``. Values that the training function reports to have changed are in tags
    ``hbsim.changed/NAME``. A trial that goes on goes on in its run.

    Parameters
    ----------
    tracking_uri : str, optional
        The server or database; by default that of ``MLFLOW_TRACKING_URI``, else MLflow's own default.
    experiment : str, optional
        The experiment; by default that of ``MLFLOW_EXPERIMENT_NAME``, else ``hbsim``.
    """

    package: ClassVar[str] = "mlflow"
    extra: ClassVar[str] = "mlflow"

    def __init__(self, tracking_uri: str | None = None, experiment: str | None = None) -> None:
        super().__init__()
        self._uri, self._name = tracking_uri, experiment
        self._runs: dict[int, str] = {}  # ids, by trial
        self._open: set[int] = set()
        self._metrics: dict[str, list[Any]] = {}  # that are not logged yet, by run

    def on_study_start(self, study: StudyInfo) -> None:
        """Find the experiment, and the runs that a study which goes on has there."""
        from mlflow import MlflowClient

        super().on_study_start(study)
        self._client = client = MlflowClient(self._uri)
        name = self._name or os.environ.get("MLFLOW_EXPERIMENT_NAME") or "hbsim"
        found = client.get_experiment_by_name(name)
        self._experiment = client.create_experiment(name) if found is None else found.experiment_id
        self._id = study.spec.study or study.folder.name
        token = None
        while study.resumed:
            page = client.search_runs(
                [self._experiment], f"tags.`hbsim.study` = '{self._id}'", page_token=token
            )
            for run in page:
                self._runs[int(run.data.tags["hbsim.trial"])] = run.info.run_id
            token = page.token
            if not token:
                break

    def on_trial_start(self, trial: TrialInfo, time: float) -> None:
        """Make the trial's run, or open it again."""
        self._run(trial, time)

    def on_report(self, trial: TrialInfo, resource: float, metrics: Mapping[str, float], time: float) -> None:
        """Log the metrics with the next ones, unless the trial repeats a report."""
        from mlflow.entities import Metric

        if resource <= trial.reached:
            return
        run, when, step = self._run(trial, time), self._when(time), self.step(resource)
        waiting = self._metrics.setdefault(run, [])
        waiting += [Metric(ODD.sub("_", name), value, when, step) for name, value in metrics.items()]
        if len(waiting) >= MANY:
            self._log(run)

    def on_failure(
        self, trial: TrialInfo, kind: FailureKind, reason: str, verdict: Verdict, time: float
    ) -> None:
        """Tag the run with the reason."""
        self._client.set_tag(self._run(trial, time), "hbsim.failure", f"{kind}: {reason}")

    def on_trial_end(self, trial: TrialInfo, status: EndStatus, time: float) -> None:
        """Tag the run with the status, and end it."""
        run = self._run(trial, time)
        self._log(run)
        self._client.set_tag(run, "hbsim.status", status)
        for name, value in self.plain(trial.changes).items():
            self._client.set_tag(run, f"hbsim.changed/{ODD.sub('_', name)}", str(value))
        self._client.set_terminated(run, STATUSES.get(status, "FINISHED"), self._when(time))
        self._open.discard(trial.number)

    def on_study_end(self, why: EndReason | None, time: float) -> None:
        """End the runs of trials whose end is not known."""
        self.flush()
        while self._open:
            self._client.set_terminated(self._runs[self._open.pop()], "KILLED", self._when(time))

    def flush(self) -> None:
        """Log the metrics that wait."""
        for run in list(self._metrics):
            self._log(run)

    def _log(self, run: str) -> None:
        metrics = self._metrics.pop(run, [])
        for begin in range(0, len(metrics), MANY):
            self._client.log_batch(run, metrics=metrics[begin : begin + MANY])

    def _when(self, time: float) -> int:
        return round(1000 * self.wall(time))

    def _run(self, trial: TrialInfo, time: float) -> str:
        """Return the id of the trial's run; make it, or open it again."""
        from mlflow.entities import Param

        number = trial.number
        if number not in self._runs:
            tags = {"hbsim.study": self._id, "hbsim.trial": str(number)}
            name, when = self.run_name(trial), self._when(time)
            run = self._client.create_run(self._experiment, when, tags, run_name=name).info.run_id
            self._runs[number] = run
            values = self.config(trial).items()
            params = [Param(ODD.sub("_", name), str(value)[:LONGEST]) for name, value in values]
            self._client.log_batch(run, params=params)
        elif number not in self._open:
            self._client.update_run(self._runs[number], "RUNNING")
        self._open.add(number)
        return self._runs[number]
