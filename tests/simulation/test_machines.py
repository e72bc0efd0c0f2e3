"""Kinds of machines, and the workers that they have."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hbsim.errors import ParameterError
from hbsim.simulation.cluster import Machines, gpu_share, workers_of


def machine(**given: Any) -> Machines:
    return Machines(**{"kind": "A100", "count": 2, **given})


@given(st.integers(1, 64), st.integers(1, 64))
def test_whole_gpus(gpus: int, needed: int) -> None:
    """As many trials as fit when each takes its GPUs from what is left."""
    left, fit = gpus, 0
    while left >= needed:
        left, fit = left - needed, fit + 1
    if fit:
        assert workers_of(machine(gpus=gpus), Fraction(needed)) == fit
    else:
        with pytest.raises(
            ParameterError, match=f"at most the GPUs of a machine: {gpus} in each A100"
        ) as caught:
            workers_of(machine(gpus=gpus), Fraction(needed))
        assert caught.value.field == "gpus_per_trial"


@given(st.integers(1, 64), st.integers(1, 1000))
def test_shared_gpus(gpus: int, trials: int) -> None:
    assert workers_of(machine(gpus=gpus), Fraction(1, trials)) == gpus * trials
    assert gpu_share(1 / trials) == Fraction(1, trials)


@pytest.mark.parametrize(
    ("given", "exact"), [(0.33, 3), (0.333, 3), (0.1667, 6), (0.25, 4), (np.float32(0.5), 2)]
)
def test_shares_that_are_rounded(given: Any, exact: int) -> None:
    assert gpu_share(given) == Fraction(1, exact)


@pytest.mark.parametrize("given", [0, -1, 0.4, 0.6, 0.75, 0.99, 1.5, math.nan, math.inf, "1", None, True])
def test_shares_that_cannot_be(given: Any) -> None:
    with pytest.raises(ParameterError) as caught:
        gpu_share(given)
    assert caught.value.field == "gpus_per_trial"


def test_numbers_of_any_kind() -> None:
    made = machine(count=3.0, gpus=np.int64(8), speed=Fraction(5, 2), price=np.float64(32.8))
    assert made == machine(count=3, gpus=8, speed=2.5, price=32.8)
    assert [type(number) for number in (made.count, made.gpus, made.speed, made.price)] == [
        int,
        int,
        float,
        float,
    ]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("kind", value) for value in ("", " ", None, 3)),
        *((field, value) for field in ("count", "gpus") for value in (0, -1, 1.5, "2", None, True, math.inf)),
        *(("speed", value) for value in (0, -1.0, math.nan, math.inf, "2", None)),
        *(("price", value) for value in (-0.5, math.nan, math.inf, "2", None)),
    ],
)
def test_rules(field: str, value: Any) -> None:
    with pytest.raises(ParameterError) as caught:
        machine(**{field: value})
    assert caught.value.field == field
