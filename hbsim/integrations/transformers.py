"""Hugging Face Trainer: a callback that reports evaluations and saves the trainer when the trial pauses."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from hbsim.integrations.reports import check_options, report, saved_folder

if TYPE_CHECKING:
    from hbsim.executors.reporter import Reporter

_TIMINGS: Final = ("_runtime", "_per_second", "_preparation_time")  # of the machine, not of the model


class ReporterCallback(TrainerCallback):  # type: ignore[misc, unused-ignore]
    """Report the metrics of each evaluation that a trainer makes while it trains.

    ::

        options = TrainingArguments(reporter.folder, eval_strategy="epoch", save_strategy="no", ...)
        trainer = Trainer(model, options, ...)
        trainer.add_callback(ReporterCallback(trainer, reporter, "eval_accuracy"))
        trainer.train(resume_from_checkpoint=resume_from_checkpoint(reporter))

    Add it last. When the trial pauses the trainer writes one of its own checkpoints: the model, the
    optimizer, the scheduler, the other callbacks, and the state of the random number generators.

    Parameters
    ----------
    trainer : transformers.Trainer
        The trainer that it is added to.
    reporter : Reporter
        The training function's.
    metric : str
        The metric that decides, with its prefix: ``eval_...``.
    resource : {"epoch", "step"}, default "epoch"
        What is reported, under this name: epochs, or optimizer steps.
    reward_attr : str, optional
        A second name under which `metric` is reported: the study's, where it is another one.

    Raises
    ------
    ParameterError
        An option breaks a rule.
    """

    def __init__(
        self,
        trainer: Trainer,
        reporter: Reporter,
        metric: str,
        resource: str = "epoch",
        reward_attr: str | None = None,
    ) -> None:
        check_options(metric, resource, reward_attr)
        self._trainer = trainer
        self._reporter = reporter
        self._decides = (metric, reward_attr)
        self._resource = resource
        self._training = False
        self._parts: list[dict[str, float]] = []  # one an evaluation set

    # **kwargs: Trainer gives its callbacks more with every release.
    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Report the evaluations from now on."""
        self._training = True

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Report no evaluation that is made afterwards."""
        self._training = False

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Report after the last of the evaluation sets."""
        if not self._training or state.global_step == 0:  # the trainer may evaluate before the first step
            return
        self._parts.append(kwargs["metrics"])
        sets = self._trainer.eval_dataset
        if len(self._parts) < (len(sets) if isinstance(sets, dict) else 1):
            return
        together = {
            name: value for part in self._parts for name, value in part.items() if not name.endswith(_TIMINGS)
        }
        self._parts = []
        reached = state.epoch if self._resource == "epoch" else state.global_step
        report(self._reporter, together, self._decides, (self._resource, reached), self._save)

    def _save(self, folder: Path) -> Path:
        """Let the trainer write a whole checkpoint below `folder`, as where its own strategy asks for one."""
        model: Any = self._trainer.model
        args = self._trainer.args
        self._trainer.args = copy.copy(args)
        self._trainer.args.output_dir = str(folder)
        self._trainer.args.save_only_model = False
        self._trainer.args.push_to_hub = False
        self._trainer.args.save_total_limit = None
        try:
            self._trainer._save_checkpoint(model, trial=None)
        finally:
            self._trainer.args = args
        saved = next(folder.iterdir())
        self._trainer.accelerator.wait_for_everyone()  # each rank has written its part
        return saved


def resume_from_checkpoint(reporter: Reporter) -> str | None:
    """Return what ``trainer.train(resume_from_checkpoint=...)`` takes; None if the trial has no checkpoint.

    Raises
    ------
    ParameterError
        The trial saved something else.
    """
    folder = saved_folder(reporter)
    return None if folder is None else str(folder)
