"""The examples with checkpoints: a trial that paused goes on as if it had not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import hbsim
from hbsim.executors import checkpoint
from hbsim.executors.training_function import load_target, make_target
from tests.doubles.checkpoints import describe_newest
from tests.doubles.trial import train
from tests.profile import thorough

EXAMPLES = Path(__file__).parents[2] / "examples"
CNN = {"lr": 0.1, "momentum": 0.5, "weight_decay": 1e-4, "channels": 8, "dropout": 0.3, "batch_size": 64}
CASES = {
    "cnn_promotion": CNN,
    "lightning_mlp": {"lr": 0.01, "width": 32, "dropout": 0.3, "batch_size": 64},
    "hf_trainer": {"lr": 0.01, "warmup": 5, "dropout": 0.1, "batch_size": 32},
}
NEEDED = {
    "cnn_promotion": ("torch", "sklearn"),
    "lightning_mlp": ("torch", "sklearn", "lightning"),
    "hf_trainer": ("torch", "transformers", "accelerate"),
}
HEAVY = ("lightning_mlp", "hf_trainer")
pytestmark = pytest.mark.filterwarnings("ignore")  # what other libraries warn of


@pytest.fixture(params=["cnn_promotion", *(pytest.param(name, marks=thorough) for name in HEAVY)])
def example(request) -> Iterator[tuple]:
    for package in NEEDED[request.param]:
        pytest.importorskip(package, reason="the example trains with it")
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as many as a trial has
    yield load_target(make_target(f"{EXAMPLES / request.param}.py:train_fn")), CASES[request.param]
    torch.set_num_threads(threads)


def test_a_pause_changes_no_number(example, tmp_path):
    function, configuration = example
    whole = train(function, configuration, tmp_path / "whole", milestone=9, pauses=False)
    assert describe_newest(tmp_path / "whole" / checkpoint.NAME) is None  # only a pause makes one
    assert [resource for resource, _ in whole] == list(range(1, 10))
    parts = []
    for milestone in (1, 3, 9):
        parts += train(function, configuration, tmp_path / "parts", milestone=milestone)
        assert describe_newest(tmp_path / "parts" / checkpoint.NAME)["resource"] == milestone
    assert parts == whole
    assert whole[-1][1]["accuracy"] > max(0.8, whole[0][1]["accuracy"])  # it learns


@thorough
def test_promoted_trials_of_a_real_study_go_on_from_their_checkpoints(example, tmp_path):
    function, _ = example
    scheduler = hbsim.make_scheduler("promotion", max_t=3, grace_period=1, reduction_factor=3, num_trials=6)
    file = function.__code__.co_filename
    options = {"workers": 1, "resource": {"num_cpus": 1}, "progress": "none"}
    result = hbsim.run(f"{file}:train_fn", scheduler, folder=tmp_path / "study", **options)
    summary = result.summary()
    assert (summary["trials"], summary["failed"], summary["why"]) == (6, 0, "done")
    assert (result.jobs["start_resource"] == 1).any()
    assert summary["wasted_resource"] == 0
    once = result.reports.select("trial", "resource")
    assert once.unique().height == once.height
