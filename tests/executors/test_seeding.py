"""The random states of trials: each its own, and the same whenever the trial is run."""

import random

import numpy as np
import pytest

from hbsim.executors.trial import seed_everything


@pytest.fixture(autouse=True)
def _restored():
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    yield
    random.setstate(python)
    np.random.set_state(numpy)  # noqa: NPY002


def drawn(*words):
    seed_everything(*words)
    return random.random(), np.random.uniform()  # noqa: NPY002, TID251


def test_a_seed_a_start_and_an_attempt_each_give_their_own_numbers_again_and_again():
    jobs = [(7,), (8,), (7, 3.0), (7, 9.0), (7, 0.0, 1), (7, 3.0, 1), (7, 0.5)]
    numbers = [drawn(*job) for job in jobs]
    assert len(set(numbers)) == len(jobs)
    assert [drawn(*job) for job in jobs] == numbers


def test_torch_is_seeded_where_it_is_loaded():
    torch = pytest.importorskip("torch", reason="needs the extra torch")
    state = torch.get_rng_state()
    seed_everything(5)
    first = torch.rand(3)
    seed_everything(5)
    assert torch.equal(first, torch.rand(3))
    torch.set_rng_state(state)
