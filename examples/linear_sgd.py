r"""A linear classifier by epochs on scikit-learn's breast cancer data: the training function behind `sgd`.

    hbsim record examples/linear_sgd.py:train_fn --trials 400 --num-cpus 1 \
        --metric val_log_loss --mode min --test-metric test_log_loss --out curves.parquet

Random Fourier features of 30 measurements, and logistic regression by SGD; the unit of the resource is an
epoch. The 569 patients are split once and for all: 285 train, 142 validate, 142 test. `process_seconds` is
CPU time, so it can be recorded on a machine that has other work.
"""

from __future__ import annotations

import time

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.kernel_approximation import RBFSampler
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

import hbsim

EPOCHS = 81
SPLIT_SEED = 22
TRAIN, VALIDATE = 285, 142


def split_patients() -> list[tuple[np.ndarray, np.ndarray]]:
    """Return measurements, scaled by the training set's, and diagnoses of the three sets."""
    measured, diagnoses = load_breast_cancer(return_X_y=True)
    order = np.random.default_rng(SPLIT_SEED).permutation(len(measured))
    parts = np.split(order, [TRAIN, TRAIN + VALIDATE])
    scaler = StandardScaler().fit(measured[parts[0]])
    return [(scaler.transform(measured[rows]), diagnoses[rows]) for rows in parts]


def measure(model: SGDClassifier, features: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Return the mean log loss, and the share of wrong answers."""
    wrong = float((model.predict(features) != labels).mean())
    return log_loss(labels, model.predict_proba(features)), wrong


@hbsim.args(
    features=hbsim.Int(16, 2048, log=True),
    gamma=hbsim.Real(1e-4, 1.0, log=True),
    eta0=hbsim.Real(1e-3, 100.0, log=True),
    schedule=hbsim.Choice("constant", "invscaling", "adaptive", "optimal"),
    alpha=hbsim.Real(1e-7, 1e-1, log=True),
    l1_ratio=hbsim.Real(0.0, 1.0),
    average=hbsim.Bool(),
)
def train_fn(args, reporter):
    """Train for 81 epochs; report log loss and error of the validation and the test set after each."""
    started = time.process_time()
    sampler = RBFSampler(gamma=args.gamma, n_components=args.features, random_state=args.seed)
    sets = [
        (sampler.fit_transform(x) if part == 0 else sampler.transform(x)) for part, (x, _) in enumerate(DATA)
    ]
    model = SGDClassifier(
        loss="log_loss",
        penalty="elasticnet",
        alpha=args.alpha,
        l1_ratio=args.l1_ratio,
        learning_rate=args.schedule,
        eta0=args.eta0,
        average=args.average,
        random_state=args.seed,
    )
    for epoch in range(1, EPOCHS + 1):
        model.partial_fit(sets[0], DATA[0][1], classes=[0, 1])
        (val_log_loss, val_error), (test_log_loss, test_error) = (
            measure(model, sets[part], DATA[part][1]) for part in (1, 2)
        )
        reporter(
            epoch=epoch,
            val_log_loss=val_log_loss,
            val_error=val_error,
            test_log_loss=test_log_loss,
            test_error=test_error,
            process_seconds=time.process_time() - started,
        )


DATA = split_patients()
