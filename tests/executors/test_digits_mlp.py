"""The training function behind the shipped digits curves."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from hbsim.core.space import arguments
from hbsim.executors.training_function import load_target, make_target

SCRIPT = Path(__file__).parents[2] / "examples" / "digits_mlp.py"
METRICS = {"val_error", "val_cross_entropy", "test_error", "test_cross_entropy"}


class Enough(Exception):
    pass


@pytest.fixture(scope="module")
def train():
    torch = pytest.importorskip("torch", reason="the example trains with PyTorch")
    pytest.importorskip("sklearn", reason="the example's images are scikit-learn's")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in a recording; more only wait for each other on such a small network
    yield load_target(make_target(f"{SCRIPT}:train_fn"))
    torch.set_num_threads(threads)


def first_reports(train, configuration, seed=1, epochs=2):
    reports = []

    def reporter(**report):
        reports.append(report)
        if len(reports) == epochs:
            raise Enough

    args = arguments(train, configuration)
    args["seed"] = seed
    with pytest.raises(Enough):
        train(args, reporter)
    return reports


GOOD = {"lr": 0.1, "momentum": 0.5, "width": 64, "depth": 1, "dropout": 0.0, "batch_size": 16}


def test_learns_and_reports_everything(train):
    reports = first_reports(train, GOOD)
    assert [report["epoch"] for report in reports] == [1, 2]
    assert all(set(report) == {"epoch"} | METRICS for report in reports)
    assert 0 < reports[1]["val_error"] < 0.5
    assert 0 < reports[1]["test_error"] < 0.5
    assert reports[1]["val_cross_entropy"] != reports[1]["test_cross_entropy"]  # other images


def test_the_seed_decides_everything(train):
    first = first_reports(train, GOOD, epochs=1)
    assert first == first_reports(train, GOOD, epochs=1)
    assert first != first_reports(train, GOOD, seed=2, epochs=1)


def test_a_diverged_network_has_everything_wrong(train):
    wild = {**GOOD, "lr": 1e9, "depth": 3}  # outside the search space, to be sure of it
    last = first_reports(train, wild, epochs=3)[-1]
    assert last["val_error"] == last["test_error"] == 1
    assert math.isnan(last["val_cross_entropy"])
