"""The shared part of the callbacks that log to other tools: a run for each trial."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import ClassVar, Final

from hbsim.errors import ParameterError, needs
from hbsim.study.callbacks import Callback, StudyInfo, TrialInfo
from hbsim.study.status import plain_value

FINE: Final = 1000  # steps for each unit of a fractional resource: steps of the tools are whole numbers


class TrialLogger(Callback):
    """A callback in a process of its own, which logs each trial as a run.

    Attributes
    ----------
    package, extra : str
        The package that it needs, and the extra of hbsim that has it.
    study : StudyInfo
        The study, once it has started.

    Raises
    ------
    ParameterError
        The package is not installed.
    """

    own_process: ClassVar[bool] = True
    package: ClassVar[str]
    extra: ClassVar[str]
    study: StudyInfo

    def __init__(self) -> None:
        if find_spec(self.package) is None:
            raise ParameterError("callbacks", self.extra, needs(self.package, self.extra))

    def on_study_start(self, study: StudyInfo) -> None:
        """Keep the study."""
        self.study = study
        self._fine = FINE if study.spec.scheduler.get("resource_type") == "float" else 1

    def step(self, resource: float) -> int:
        """Return the step of a resource: itself, or in thousandths if resources are not whole."""
        return round(resource * self._fine)

    def wall(self, time: float) -> float:
        """Return a time of the study in seconds since the epoch."""
        return self.study.began + time

    def config(self, trial: TrialInfo) -> dict[str, bool | int | float | str]:
        """Return a trial's configuration in plain values."""
        return self.plain(trial.config)

    def plain(self, values: Mapping[str, object]) -> dict[str, bool | int | float | str]:
        """Return values by name as plain ones; others are text."""
        values = {name: plain_value(value) for name, value in values.items()}
        return {n: v if isinstance(v, bool | int | float | str) else repr(v) for n, v in values.items()}

    def run_name(self, trial: TrialInfo) -> str:
        """Return the name of a trial's run: that of the study's folder, and the trial's number."""
        return f"{self.study.folder.name}-{trial.number:06d}"
