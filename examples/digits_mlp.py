r"""A PyTorch MLP on scikit-learn's digits: the training function behind the shipped `digits` curves.

    hbsim record examples/digits_mlp.py:train_fn --trials 1000 --workers 2 \
        --metric val_error --mode min --test-metric test_error --out curves.parquet

The 1,797 images are split once and for all: 797 train, 500 validate, 500 test. Tuning looks at `val_error`
only; `test_error` is reported beside it, for an honest value of the trial that was chosen.

What is done at import is not part of any trial's time: torch is imported, the data are loaded, and one
throw-away optimizer is built, because the first one of a process loads much of torch.
"""

from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

import hbsim

EPOCHS = 81
SPLIT_SEED = 20
TRAIN, VALIDATE = 797, 500


def split_digits() -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return images, scaled to [0, 1], and labels of the training, validation and test sets."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(SPLIT_SEED).permutation(len(images))
    return [
        (torch.tensor(images[rows] / 16, dtype=torch.float32), torch.tensor(labels[rows]))
        for rows in np.split(order, [TRAIN, TRAIN + VALIDATE])
    ]


def network(width: int, depth: int, dropout: float) -> nn.Sequential:
    """Build `depth` hidden layers of `width` units, each with ReLU and dropout."""
    layers: list[nn.Module] = []
    inputs = 64
    for _ in range(depth):
        layers += [nn.Linear(inputs, width), nn.ReLU(), nn.Dropout(dropout)]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, 10))


def train_epoch(model: nn.Module, optimizer: torch.optim.Optimizer, batch_size: int) -> None:
    """Make one pass over the training set, in a new random order."""
    model.train()
    images, labels = DATA[0]
    for rows in torch.randperm(len(images)).split(batch_size):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images[rows]), labels[rows]).backward()
        optimizer.step()


@torch.no_grad()
def measure(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> tuple[float, float]:
    """Return the share of wrong answers and the mean cross-entropy.

    A network that has diverged puts out no numbers: none of its answers is right, and the error is 1.
    """
    model.eval()
    logits = model(images)
    right = (logits.argmax(dim=1) == labels) & logits.isfinite().all(dim=1)
    wrong = len(labels) - int(right.sum())
    return wrong / len(labels), nn.functional.cross_entropy(logits, labels).item()


@hbsim.args(
    lr=hbsim.Real(1e-3, 1.0, log=True),
    weight_decay=hbsim.Real(1e-6, 1e-2, log=True),
    momentum=hbsim.Real(0.0, 0.99),
    width=hbsim.Int(16, 256, log=True),
    depth=hbsim.Int(1, 4),
    dropout=hbsim.Real(0.0, 0.6),
    batch_size=hbsim.Choice(16, 32, 64, 128, 256),
)
def train_fn(args, reporter):
    """Train for 81 epochs; report the validation and test error and cross-entropy after each."""
    torch.manual_seed(args.seed)  # before the network is built: its first weights are drawn there
    model = network(args.width, args.depth, args.dropout)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=args.lr, momentum=args.momentum, weight_decay=args.weight_decay
    )
    for epoch in range(1, EPOCHS + 1):
        train_epoch(model, optimizer, args.batch_size)
        val_error, val_cross_entropy = measure(model, *DATA[1])
        test_error, test_cross_entropy = measure(model, *DATA[2])
        reporter(
            epoch=epoch,
            val_error=val_error,
            val_cross_entropy=val_cross_entropy,
            test_error=test_error,
            test_cross_entropy=test_cross_entropy,
        )


DATA = split_digits()
torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1)
