"""The callback for Lightning, in its trainer."""

from __future__ import annotations

import random

import numpy as np
import pytest

from hbsim.errors import ParameterError
from hbsim.executors.trial_session import TrialEnd
from tests.doubles.trial import reporter

torch = pytest.importorskip("torch", reason="Lightning trains with it")
pytestmark = pytest.mark.filterwarnings("ignore")  # what other libraries warn of
BATCHES = 4


@pytest.fixture(scope="module")
def lightning():
    return pytest.importorskip("lightning.pytorch", reason="the callback is for it")


@pytest.fixture
def fit(lightning):
    """Return a function that trains a model whose metric shows all random numbers; it returns the trainer."""
    from hbsim.integrations.lightning import ReporterCallback, ckpt_path

    class Model(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)
            self.drawn = 0.0

        def training_step(self, batch, index):
            self.drawn = random.random() + np.random.rand() + torch.rand(1).item()  # noqa: NPY002, TID251
            return self.layer(batch).square().mean()

        def validation_step(self, batch, index):
            self.log("accuracy", self.drawn)

        def configure_optimizers(self):
            optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
            return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)]

    def run(given, metric="accuracy", resource="epoch", validate=True, more=(), **options):
        lightning.seed_everything(3, verbose=False)
        trainer = lightning.Trainer(
            max_epochs=6,
            **({} if "strategy" in options else {"accelerator": "cpu"}),
            callbacks=[ReporterCallback(given, metric, resource), *more],
            default_root_dir=given.folder,
            enable_progress_bar=False,
            logger=False,
            **options,
        )
        data = torch.utils.data.DataLoader(torch.ones(BATCHES, 1), shuffle=True)
        run.trainer = trainer
        trainer.fit(Model(), data, data if validate else None, ckpt_path=ckpt_path(given))

    return run


def test_every_generator_goes_on(fit, tmp_path):
    given, whole = reporter(tmp_path / "whole")
    fit(given)
    rates = [group["lr"] for group in fit.trainer.optimizers[0].param_groups]
    rows = []
    for milestone in (1, 2, 5):
        given, talk = reporter(tmp_path / "parts", milestone=milestone)
        with pytest.raises(TrialEnd):
            fit(given)
        rows += talk.rows
    given, talk = reporter(tmp_path / "parts")
    fit(given)
    assert rows + talk.rows == whole.rows
    assert len({metrics["accuracy"] for _, metrics in whole.rows}) == 6
    assert [group["lr"] for group in fit.trainer.optimizers[0].param_groups] == rates


def test_the_end_of_the_trial_passes_and_the_trainer_is_torn_down(fit, lightning, tmp_path):
    calls = []

    class Watch(lightning.Callback):
        def on_exception(self, trainer, module, exception):
            calls.append(type(exception))

    given, talk = reporter(tmp_path, milestone=2, pauses=False)

    class Strategy(lightning.strategies.SingleDeviceStrategy):
        def teardown(self):
            calls.append("teardown")
            super().teardown()

    with pytest.raises(TrialEnd):
        fit(given, more=[Watch()], strategy=Strategy("cpu"))
    assert calls == [TrialEnd, "teardown"]
    assert [resource for resource, _ in talk.rows] == [1, 2]
    assert list(given.folder.iterdir()) == []  # no checkpoints of Lightning's own


def test_only_validated_epochs_are_reported(fit, tmp_path):
    given, talk = reporter(tmp_path)
    fit(given, check_val_every_n_epoch=2)
    assert [resource for resource, _ in talk.rows] == [2, 4, 6]


def test_steps(fit, tmp_path):
    given, talk = reporter(tmp_path, time_attr="step")
    fit(given, resource="step")
    assert [resource for resource, _ in talk.rows] == [BATCHES * epoch for epoch in range(1, 7)]


def test_a_metric_that_is_not_logged(fit, tmp_path):
    given, _ = reporter(tmp_path, metric="acc")
    with pytest.raises(ParameterError, match=r"metric='acc': .*got accuracy, epoch"):
        fit(given, metric="acc")


def test_without_validation_every_epoch_is_reported(fit, tmp_path):
    given, _ = reporter(tmp_path)
    with pytest.raises(ParameterError, match=r"metric='accuracy': .*got epoch"):  # nothing was logged
        fit(given, validate=False)
