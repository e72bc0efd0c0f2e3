"""The callback for Hugging Face Trainer, in a trainer."""

from __future__ import annotations

import pytest

from hbsim.errors import ParameterError
from hbsim.executors.trial_session import TrialEnd
from tests.doubles.trial import reporter

torch = pytest.importorskip("torch", reason="Trainer trains with it")
pytestmark = pytest.mark.filterwarnings("ignore")  # what other libraries warn of
EPOCHS, STEPS = 4, 4  # four steps an epoch
DATA = [{"x": torch.full((2,), index / 16), "labels": torch.tensor(index % 2)} for index in range(16)]


@pytest.fixture(scope="module")
def transformers():
    pytest.importorskip("accelerate", reason="Trainer needs it")
    return pytest.importorskip("transformers", reason="the callback is for it")


@pytest.fixture
def fit(transformers):
    """Return a function that trains a tiny model with dropout and a decaying learning rate."""
    from hbsim.integrations.transformers import ReporterCallback, resume_from_checkpoint

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.dropout = torch.nn.Linear(2, 2), torch.nn.Dropout(0.5)

        def forward(self, x, labels):
            logits = self.layer(self.dropout(x))
            return {"loss": torch.nn.functional.cross_entropy(logits, labels), "logits": logits}

    def run(given, metric="eval_loss", resource="epoch", evaluate=DATA, after=False, **more):
        transformers.set_seed(3)
        options = {
            "num_train_epochs": EPOCHS,
            "per_device_train_batch_size": len(DATA) // STEPS,
            "learning_rate": 0.1,
            "eval_strategy": "epoch",
            "save_strategy": "no",
            "report_to": [],
            "use_cpu": True,
            **more,
        }
        arguments = transformers.TrainingArguments(str(given.folder), **options)
        run.trainer = trainer = transformers.Trainer(
            Model(), arguments, train_dataset=DATA, eval_dataset=evaluate
        )
        trainer.add_callback(ReporterCallback(trainer, given, metric, resource, reward_attr="accuracy"))
        trainer.train(resume_from_checkpoint=resume_from_checkpoint(given))
        if after:
            trainer.evaluate()

    return run


def resumed(fit, folder, milestones, **options):
    rows = []
    for milestone in milestones:
        given, talk = reporter(folder, milestone=milestone)
        with pytest.raises(TrialEnd):
            fit(given, **options)
        assert not list(given.folder.rglob("*.safetensors"))  # it is kept as the trial's checkpoint, once
        rows += talk.rows
    given, talk = reporter(folder)
    fit(given, **options)
    return rows + talk.rows


def test_a_pause_changes_no_number(fit, tmp_path):
    given, whole = reporter(tmp_path / "whole")
    fit(given)
    assert [resource for resource, _ in whole.rows] == [1, 2, 3, 4]
    assert set(whole.rows[0][1]) == {"eval_loss", "accuracy"}  # and no timings
    assert resumed(fit, tmp_path / "parts", (1, 3)) == whole.rows


def test_a_pause_within_an_epoch_changes_no_number(fit, tmp_path):
    options = {"eval_strategy": "steps", "eval_steps": 2}
    given, whole = reporter(tmp_path / "whole")
    fit(given, **options)
    assert [resource for resource, _ in whole.rows] == [0.5 * half for half in range(1, 2 * EPOCHS + 1)]
    assert resumed(fit, tmp_path / "parts", (1.5, 3), **options) == whole.rows


def test_a_whole_checkpoint_is_kept_whatever_the_trainer_saves(fit, tmp_path):
    given, _ = reporter(tmp_path, milestone=2)
    with pytest.raises(TrialEnd):
        fit(given, save_only_model=True, save_strategy="epoch", save_total_limit=1)
    assert {"optimizer.pt", "scheduler.pt", "trainer_state.json"} <= {p.name for p in given.load().iterdir()}
    assert [path.name for path in given.folder.iterdir()] == [f"checkpoint-{STEPS}"]  # the trainer's own
    assert fit.trainer.args.output_dir == str(given.folder)


def test_steps(fit, tmp_path):
    given, talk = reporter(tmp_path, time_attr="step")
    fit(given, resource="step")
    assert [resource for resource, _ in talk.rows] == [STEPS * epoch for epoch in range(1, EPOCHS + 1)]


def test_only_evaluations_of_the_training_are_reported(fit, tmp_path):
    given, talk = reporter(tmp_path)
    fit(given, after=True, eval_on_start=True)
    assert [resource for resource, _ in talk.rows] == [1, 2, 3, 4]


def test_several_evaluation_sets_are_one_report(fit, tmp_path):
    given, talk = reporter(tmp_path)
    fit(given, metric="eval_a_loss", evaluate={"a": DATA, "b": DATA[:4]})
    assert [resource for resource, _ in talk.rows] == [1, 2, 3, 4]
    assert set(talk.rows[0][1]) == {"eval_a_loss", "eval_b_loss", "accuracy"}


def test_a_metric_that_is_not_there(fit, tmp_path):
    given, _ = reporter(tmp_path)
    with pytest.raises(ParameterError, match=r"metric='accuracy': .*got eval_loss, epoch"):
        fit(given, metric="eval_acc")
