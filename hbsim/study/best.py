"""The best report of a study: its trial, hyperparameters and value, and the model that was kept of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hbsim.errors import OutputError
from hbsim.executors import checkpoint
from hbsim.executors.local import trial_folder


@dataclass(frozen=True, slots=True)
class BestTrial:
    """The best report of a study.

    Attributes
    ----------
    trial : int
        The trial that made it.
    config : dict
        The trial's hyperparameters, without those that are not active.
    value : float
        The metric that decides.
    resource : float
        The resource of the report, in the unit of the reports, such as epochs.
    checkpoint : Path or None
        The folder of the checkpoint with the state at this report; None if there is none: the training
        function offered no state, ``keep`` was ``"none"``, or saving it took too long (see
        `hbsim.executors.reporter.Reporter.on_pause`).
    changed : dict
        The hyperparameters and constants that the training function had changed by then, as it reported
        them: ``{"batch_size": 16}``. Empty for most functions.
    """

    trial: int
    config: Mapping[str, object]
    value: float
    resource: float
    checkpoint: Path | None
    changed: Mapping[str, object] = field(default_factory=dict)

    def load(self) -> Any:
        """Return what the training function saved; tensors are on the CPU.

        For a function that saved a folder this is the `Path` of the copy: only read from it.

        Raises
        ------
        OutputError
            There is no checkpoint, or it cannot be read.
        """
        if self.checkpoint is None:
            problem = f"the state of trial {self.trial} at {self.resource:g} was not kept"
            raise OutputError("checkpoint", f"{problem}: the function can offer it by reporter.on_pause")
        return checkpoint.load_one(self.checkpoint)


def find_checkpoint(trials: Path, study: str, trial: int, resource: float, value: float) -> Path | None:
    """Return the folder of the checkpoint with the state of a report; None if there is none.

    Parameters
    ----------
    trials : Path
        The folder of the trials' folders.
    study : str
        The study's id.
    trial, resource, value
        The report.
    """
    folder = trial_folder(trials, trial) / checkpoint.NAME
    return checkpoint.find_best(folder, study, checkpoint.Best(resource, value))
