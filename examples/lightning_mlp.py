r"""An MLP on scikit-learn's digits with Lightning; trials that are promoted go on from their checkpoint.

    hbsim run examples/lightning_mlp.py:train_fn --scheduler promotion --max-t 9 --trials 9

Needs ``pip install -e '.[examples,lightning]'``.
"""

from __future__ import annotations

import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

import hbsim
from hbsim.integrations.lightning import ReporterCallback, ckpt_path

EPOCHS = 9


class Classifier(LightningModule):
    def __init__(self, lr: float, width: int, dropout: float) -> None:
        super().__init__()
        self.lr = lr
        self.network = nn.Sequential(
            nn.Linear(64, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, 10)
        )

    def training_step(self, batch, index):
        images, labels = batch
        return nn.functional.cross_entropy(self.network(images), labels)

    def validation_step(self, batch, index):
        images, labels = batch
        logits = self.network(images)
        self.log("val_loss", nn.functional.cross_entropy(logits, labels))
        self.log("accuracy", (logits.argmax(dim=1) == labels).float().mean())

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.lr)


@hbsim.args(
    lr=hbsim.Real(1e-4, 1e-1, log=True),
    width=hbsim.Int(16, 128, log=True),
    dropout=hbsim.Real(0.0, 0.5),
    batch_size=hbsim.Choice(32, 64),
)
def train_fn(args, reporter):
    seed_everything(args.seed, verbose=False)
    trainer = Trainer(
        max_epochs=EPOCHS,
        accelerator="auto",
        devices=1,
        callbacks=[ReporterCallback(reporter, metric="accuracy")],
        default_root_dir=reporter.folder,
        enable_progress_bar=False,
        enable_model_summary=False,
        logger=False,
    )
    trainer.fit(
        Classifier(args.lr, args.width, args.dropout),
        DataLoader(TRAIN, batch_size=args.batch_size, shuffle=True),
        DataLoader(VALIDATE, batch_size=len(VALIDATE)),
        ckpt_path=ckpt_path(reporter),
    )


def split_digits():
    images, labels = load_digits(return_X_y=True)
    digits = TensorDataset(torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels))
    return random_split(digits, [len(digits) - 500, 500], generator=torch.Generator().manual_seed(0))


TRAIN, VALIDATE = split_digits()
torch.optim.Adam(nn.Linear(1, 1).parameters())  # the first one of a process loads much of torch
