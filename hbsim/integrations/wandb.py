"""Weights & Biases: a run for each trial of a study."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from hbsim.core.types import FailureKind, Verdict
from hbsim.integrations.loggers import TrialLogger
from hbsim.runner.records import EndReason
from hbsim.study.callbacks import EndStatus, StudyInfo, TrialInfo


class WandbCallback(TrialLogger):
    """A callback that logs each trial as a run of Weights & Biases.

    A run has the trial's configuration; each report, with the resource under its own name as the axis of all
    metrics; and in its summary ``hbsim/status``, why the trial ended, and ``hbsim/best``. Values that the
    training function reports to have changed replace those of the configuration. The runs of a study are a
    group. A trial that goes on goes on in its run.

    What is not given here is as in the variables that W&B knows: ``WANDB_PROJECT``, ``WANDB_ENTITY``,
    ``WANDB_MODE`` (``offline`` writes files, for ``wandb sync``), ``WANDB_DIR`` (by default the study's
    folder).

    Parameters
    ----------
    project : str, optional
        The project; by default ``hbsim``.
    entity : str, optional
        The user or team.
    mode : "online", "offline" or "disabled", optional
        Where the data goes.
    """

    package: ClassVar[str] = "wandb"
    extra: ClassVar[str] = "wandb"

    def __init__(
        self,
        project: str | None = None,
        entity: str | None = None,
        mode: Literal["online", "offline", "disabled"] | None = None,
    ) -> None:
        super().__init__()
        self._options: dict[str, Any] = {"project": project, "entity": entity, "mode": mode}
        self._runs: dict[int, Any] = {}  # that are open, by trial

    def on_study_start(self, study: StudyInfo) -> None:
        """Log in, and prepare what the runs of the study have in common."""
        import wandb

        super().on_study_start(study)
        options = self._options
        is_online = (options["mode"] or wandb.setup().settings.mode) == "online"
        if is_online and not wandb.login(verify=False, prompt=False):
            raise RuntimeError("W&B has no key: run wandb login, or set WANDB_API_KEY, or WANDB_MODE=offline")
        options["project"] = options["project"] or os.environ.get("WANDB_PROJECT") or "hbsim"
        options["dir"] = os.environ.get("WANDB_DIR") or str(study.folder)
        self._id = study.spec.study or study.folder.name

    def on_trial_start(self, trial: TrialInfo, time: float) -> None:
        """Open the trial's run."""
        self._run(trial)

    def on_report(self, trial: TrialInfo, resource: float, metrics: Mapping[str, float], time: float) -> None:
        """Log the metrics, unless the trial repeats a report."""
        if resource > trial.reached:
            values = {**metrics, self.study.spec.time_attr: resource}
            self._run(trial).log(values, step=self.step(resource))

    def on_failure(
        self, trial: TrialInfo, kind: FailureKind, reason: str, verdict: Verdict, time: float
    ) -> None:
        """Add the reason to the summary."""
        self._run(trial).summary["hbsim/failure"] = f"{kind}: {reason}"

    def on_trial_end(self, trial: TrialInfo, status: EndStatus, time: float) -> None:
        """Add the status and the best value to the summary, and finish the run."""
        run = self._run(trial)
        run.summary["hbsim/status"] = status
        if trial.changes:
            run.config.update(self.plain(trial.changes), allow_val_change=True)
        if trial.best == trial.best:
            run.summary["hbsim/best"] = trial.best
        del self._runs[trial.number]
        run.finish(exit_code=int(status == "failed"))

    def on_study_end(self, why: EndReason | None, time: float) -> None:
        """Finish the runs of trials whose end is not known."""
        while self._runs:
            self._runs.popitem()[1].finish(exit_code=1)

    def _run(self, trial: TrialInfo) -> Any:
        """Return the trial's run; open it, or open it again."""
        import wandb

        if trial.number not in self._runs:
            run = wandb.init(
                **self._options,
                id=f"{self._id}-{trial.number}",
                name=self.run_name(trial),
                group=self.study.folder.name,
                job_type="trial",
                config=self.config(trial),
                resume="allow",
                reinit="create_new",  # many trials at the same time
                settings=wandb.Settings(console="off", silent=True),
            )
            run.define_metric("*", step_metric=self.study.spec.time_attr)
            self._runs[trial.number] = run
        return self._runs[trial.number]
