r"""A small CNN on scikit-learn's digits, with checkpoints: a trial that is promoted goes on where it paused.

    hbsim run examples/cnn_promotion.py:train_fn --scheduler promotion --max-t 27 --trials 27

Only a trial that pauses makes a checkpoint. It holds all that training depends on, the state of the random
number generator too, so that the numbers are those of a run that never paused.
"""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

import hbsim

EPOCHS = 27
VALIDATE = 500


def split_digits() -> list[torch.Tensor]:
    """Return training images (n, 1, 8, 8), scaled to [0, 1], validation images, and the labels of both."""
    images, labels = load_digits(return_X_y=True)
    images = images.astype("float32").reshape(-1, 1, 8, 8) / 16
    return [
        torch.from_numpy(array)
        for array in train_test_split(images, labels, test_size=VALIDATE, stratify=labels, random_state=0)
    ]


def network(channels: int, dropout: float) -> nn.Sequential:
    """Build two convolutions, each with ReLU and pooling, and one linear layer."""
    return nn.Sequential(
        nn.Conv2d(1, channels, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(channels, 2 * channels, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(2 * channels * 2 * 2, 10),
    )


def train_epoch(model: nn.Module, optimizer: torch.optim.Optimizer, batch_size: int) -> None:
    """Make one pass over the training set, in a new random order."""
    model.train()
    for rows in torch.randperm(len(TRAIN_IMAGES)).split(batch_size):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(TRAIN_IMAGES[rows]), TRAIN_LABELS[rows]).backward()
        optimizer.step()


@torch.no_grad()
def measure(model: nn.Module) -> tuple[float, float]:
    """Return the share of right answers and the mean cross-entropy on the validation set."""
    model.eval()
    logits = model(VAL_IMAGES)
    right = (logits.argmax(dim=1) == VAL_LABELS).float().mean().item()
    return right, nn.functional.cross_entropy(logits, VAL_LABELS).item()


@hbsim.args(
    lr=hbsim.Real(1e-3, 1.0, log=True),
    momentum=hbsim.Real(0.0, 0.99),
    weight_decay=hbsim.Real(1e-6, 1e-2, log=True),
    channels=hbsim.Int(4, 16, log=True),
    dropout=hbsim.Real(0.0, 0.6),
    batch_size=hbsim.Choice(32, 64, 128),
)
def train_fn(args, reporter):
    """Train for 27 epochs, or go on from the checkpoint; report the validation accuracy after each."""
    torch.manual_seed(args.seed)  # before the network is built: its first weights are drawn there
    model = network(args.channels, args.dropout)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=args.lr, momentum=args.momentum, weight_decay=args.weight_decay
    )
    epoch = 0

    @reporter.on_pause
    def checkpoint():
        return {
            "epoch": epoch,
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "rng": torch.get_rng_state(),
        }

    saved = reporter.load()
    if saved is not None:
        epoch = saved["epoch"]
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        torch.set_rng_state(saved["rng"])

    while epoch < EPOCHS:
        train_epoch(model, optimizer, args.batch_size)
        accuracy, cross_entropy = measure(model)
        epoch += 1
        reporter(epoch=epoch, accuracy=accuracy, cross_entropy=cross_entropy)


TRAIN_IMAGES, VAL_IMAGES, TRAIN_LABELS, VAL_LABELS = split_digits()
torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1)  # the first one of a process loads much of torch
