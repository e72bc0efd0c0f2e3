r"""Gradient boosting by rounds on scikit-learn's digits: the training function behind the `boosting` curves.

    hbsim record examples/boosting.py:train_fn --trials 200 --num-cpus 1 \
        --metric val_log_loss --mode min --test-metric test_log_loss --out curves.parquet

The unit of the resource is a round: one more tree for each of the ten classes. The 1,797 images are split
once and for all: 797 train, 500 validate, 500 test. `process_seconds` is CPU time, so it can be recorded on a
machine that has other work.
"""

from __future__ import annotations

import time

import numpy as np
from sklearn.datasets import load_digits
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.metrics import log_loss

import hbsim

ROUNDS = 81
SPLIT_SEED = 20
TRAIN, VALIDATE = 797, 500


def split_digits() -> list[tuple[np.ndarray, np.ndarray]]:
    """Return images and labels of the training, validation and test sets."""
    images, labels = load_digits(return_X_y=True)
    images = images.astype(np.float32)  # the type that trees read
    order = np.random.default_rng(SPLIT_SEED).permutation(len(images))
    return [(images[rows], labels[rows]) for rows in np.split(order, [TRAIN, TRAIN + VALIDATE])]


class Scores:
    """The scores of a set of images, to which each round adds its trees' answers."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.images, self.labels = images, labels
        shares = np.bincount(DATA[0][1]) / len(DATA[0][1])
        self.scores = np.tile(np.log(shares), (len(images), 1))  # before the first round

    def add(self, trees: np.ndarray, learning_rate: float) -> None:
        """Add a round: one tree for each class."""
        for label, tree in enumerate(trees):
            self.scores[:, label] += learning_rate * tree.predict(self.images)

    def measure(self) -> tuple[float, float]:
        """Return the mean log loss, and the share of wrong answers."""
        chances = np.exp(self.scores - self.scores.max(axis=1, keepdims=True))
        chances /= chances.sum(axis=1, keepdims=True)
        wrong = float((self.scores.argmax(axis=1) != self.labels).mean())
        return log_loss(self.labels, chances, labels=range(10)), wrong


@hbsim.args(
    learning_rate=hbsim.Real(0.01, 2.0, log=True),
    max_depth=hbsim.Int(1, 8),
    min_samples_leaf=hbsim.Int(1, 50, log=True),
    subsample=hbsim.Real(0.2, 1.0),
    max_features=hbsim.Real(0.02, 1.0, log=True),
)
def train_fn(args, reporter):
    """Boost for 81 rounds; report log loss and error of the validation and the test set after each."""
    started = time.process_time()
    sets = [Scores(*DATA[1]), Scores(*DATA[2])]

    def report(number, model, _):
        for scores in sets:
            scores.add(model.estimators_[number], args.learning_rate)
        (val_log_loss, val_error), (test_log_loss, test_error) = (scores.measure() for scores in sets)
        reporter(
            epoch=number + 1,
            val_log_loss=val_log_loss,
            val_error=val_error,
            test_log_loss=test_log_loss,
            test_error=test_error,
            process_seconds=time.process_time() - started,
        )

    model = GradientBoostingClassifier(
        n_estimators=ROUNDS,
        learning_rate=args.learning_rate,
        max_depth=args.max_depth,
        min_samples_leaf=args.min_samples_leaf,
        subsample=args.subsample,
        max_features=args.max_features,
        random_state=args.seed,
    )
    model.fit(*DATA[0], monitor=report)


DATA = split_digits()
