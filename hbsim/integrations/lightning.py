"""Lightning: a callback that reports after validation and saves the trainer when the trial pauses."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.trainer.connectors import accelerator_connector

from hbsim.integrations.reports import check_options, report, saved_folder

if TYPE_CHECKING:
    from hbsim.executors.reporter import Reporter

_FILE: Final = "trainer.ckpt"
# Lightning's name for whether the program cannot be executed again; a training function is no program either.
_NOTEBOOK: Final = "_IS_INTERACTIVE"


# A Checkpoint, because Lightning calls these last, so that the work of other callbacks is saved too.
class ReporterCallback(Checkpoint):  # type: ignore[misc, unused-ignore]
    """Report ``trainer.callback_metrics`` at the end of each training epoch that was validated.

    ::

        trainer = Trainer(callbacks=[ReporterCallback(reporter, "val_acc")], ...)
        trainer.fit(model, data, ckpt_path=ckpt_path(reporter))

    When the trial pauses the trainer is saved: the model, the optimizers, the schedulers, the loops, the
    other callbacks, and the state of the random number generators. Leave `enable_checkpointing` as it is:
    with this callback Lightning makes no checkpoints of its own.

    With several devices the trainer forks a process for each, as in a notebook, or starts them anew with
    ``strategy="ddp_spawn"``. The strategies that execute the program again are refused.

    Parameters
    ----------
    reporter : Reporter
        The training function's.
    metric : str
        The logged metric that decides.
    resource : {"epoch", "step"}, default "epoch"
        What is reported, under this name: finished epochs, or ``trainer.global_step``.
    reward_attr : str, optional
        A second name under which `metric` is reported: the study's, where it is another one.

    Raises
    ------
    ParameterError
        An option breaks a rule.
    """

    def __init__(
        self, reporter: Reporter, metric: str, resource: str = "epoch", reward_attr: str | None = None
    ) -> None:
        check_options(metric, resource, reward_attr)
        if hasattr(accelerator_connector, _NOTEBOOK):
            setattr(accelerator_connector, _NOTEBOOK, True)
        self._reporter = reporter
        self._decides = (metric, reward_attr)
        self._resource = resource
        self._validated = False
        self._random: dict[str, Any] | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the random number generators of the checkpoint, before they are used."""
        if self._random is not None:
            of_ranks = self._random.get("ranks", [self._random])
            if len(of_ranks) == trainer.world_size:
                _set_random_state(of_ranks[trainer.global_rank])
            self._random = None

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Mark that this epoch was validated and has metrics to report."""
        self._validated = not trainer.sanity_checking

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report the metrics of a validated epoch."""
        if not self._validated and trainer.enable_validation:
            return
        self._validated = False
        reached = trainer.current_epoch + 1 if self._resource == "epoch" else trainer.global_step

        def save(folder: Path) -> Path:
            trainer.save_checkpoint(folder / _FILE)
            return folder

        report(self._reporter, trainer.callback_metrics, self._decides, (self._resource, reached), save)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the callback in a checkpoint: that of the random number generators."""
        state = _random_state()
        if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
            return state
        of_ranks: list[Any] = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(of_ranks, state)  # Lightning calls this on all ranks
        return {"ranks": of_ranks}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the state from a checkpoint."""
        self._random = state_dict


def ckpt_path(reporter: Reporter) -> str | None:
    """Return what ``trainer.fit(ckpt_path=...)`` takes to go on; None if the trial has no checkpoint.

    Raises
    ------
    ParameterError
        The trial saved something else.
    """
    folder = saved_folder(reporter)
    return None if folder is None else str(folder / _FILE)


def _random_state() -> dict[str, Any]:
    """Return the states of the generators that Lightning seeds, as plain values and tensors."""
    numpy: dict[str, Any] = np.random.get_state(legacy=False)  # noqa: NPY002  # the user's data code draws from it
    numpy["state"]["key"] = numpy["state"]["key"].tolist()
    used = torch.cuda.is_initialized()  # type: ignore[no-untyped-call, unused-ignore]
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if used else [],
        "numpy": numpy,
        "python": random.getstate(),
    }


def _set_random_state(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["torch"].cpu())
    if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([part.cpu() for part in state["cuda"]])
    np.random.set_state(state["numpy"])  # noqa: NPY002
    random.setstate(state["python"])
