"""Synthetic curves: a pure function, an optimum that nothing beats, and what each option does."""

import hashlib
import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from hbsim.errors import ParameterError
from hbsim.surrogates import Synthetic, load
from tests.profile import examples

LEVELS = np.array([1.0, 3.0, 9.0, 27.0, 81.0])
POINTS = np.random.default_rng(7).random((2000, 3))

options = st.fixed_dictionaries(
    {
        "family": st.sampled_from(["power", "exponential"]),
        "noise": st.sampled_from([0.0, 0.01, 0.5]),
        "early_rank": st.sampled_from([-0.5, 0.0, 0.5, 1.0]),
        "divergence": st.sampled_from([0.0, 0.05, 0.9]),
        "mode": st.sampled_from(["max", "min"]),
        "seed": st.integers(0, 2**53),
    }
)


def better(surrogate, a, b):
    return a > b if surrogate.mode == "max" else a < b


@settings(max_examples=examples(40), deadline=None)
@given(options, st.lists(st.integers(0, 300), max_size=4))
def test_a_block_however_split_has_the_same_bytes(chosen, cuts):
    surrogate = Synthetic(**chosen)
    points = POINTS[:300]
    values, seconds = surrogate.evaluate(points, LEVELS)
    edges = [0, *sorted(cuts), 300]
    parts = [surrogate.evaluate(points[a:b], LEVELS) for a, b in itertools.pairwise(edges)]
    assert np.concatenate([p[0] for p in parts]).tobytes() == values.tobytes()
    assert np.concatenate([p[1] for p in parts]).tobytes() == seconds.tobytes()
    for j, level in enumerate(LEVELS):
        one, time = surrogate.evaluate(points, np.array([level]))
        assert one[:, 0].tobytes() == values[:, j].tobytes()
        assert time[:, 0].tobytes() == seconds[:, j].tobytes()


def test_the_order_of_memory_does_not_matter():
    surrogate = Synthetic()
    fortran = np.asfortranarray(POINTS)
    assert surrogate.evaluate(fortran, LEVELS)[0].tobytes() == surrogate.evaluate(POINTS, LEVELS)[0].tobytes()


def test_minus_zero_is_zero():
    surrogate = Synthetic(noise=0.1)
    plus = surrogate.evaluate(np.array([[0.0, 0.0, 0.0]]), LEVELS)[0]
    assert surrogate.evaluate(np.array([[-0.0, 0.0, -0.0]]), LEVELS)[0].tobytes() == plus.tobytes()


def test_another_process_has_the_same_bytes():
    code = (
        "import hashlib, numpy as np; from hbsim.surrogates import Synthetic;"
        "p = np.random.default_rng(7).random((2000, 3));"
        "v, s = Synthetic(seed=3).evaluate(p, np.array([1.0, 3.0, 9.0, 27.0, 81.0]));"
        "print(hashlib.sha256(v.tobytes() + s.tobytes()).hexdigest())"
    )
    values, seconds = Synthetic(seed=3).evaluate(POINTS, LEVELS)
    expected = hashlib.sha256(values.tobytes() + seconds.tobytes()).hexdigest()
    for hash_seed in ("0", "1"):
        run = subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": hash_seed, "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        )
        assert run.stdout.strip() == expected


def test_importing_it_does_not_import_heavy_libraries():
    code = "import sys, hbsim.surrogates; print({'scipy', 'polars', 'torch'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_no_value_of_100_000_points_beats_the_optimum(mode, noise):
    surrogate = Synthetic(mode=mode, noise=noise, seed=11)
    values, _ = surrogate.evaluate(np.random.default_rng(1).random((100_000, 3)), LEVELS)
    assert not better(surrogate, values, surrogate.optimum(81)).any()
    near = surrogate.best_configuration + np.random.default_rng(2).normal(0, 1e-9, (10_000, 3))
    assert not better(surrogate, surrogate.evaluate(near, LEVELS)[0], surrogate.optimum(81)).any()


@settings(max_examples=examples(60), deadline=None)
@given(options)
def test_the_optimum_is_attained_at_its_point(chosen):
    surrogate = Synthetic(**chosen)
    values, _ = surrogate.evaluate(surrogate.best_configuration[None], np.array([81.0]))
    assert values[0, 0] == surrogate.optimum(81)
    assert surrogate.optimum(27) is None


@settings(max_examples=examples(40), deadline=None)
@given(options)
def test_values_lie_between_0_and_1_and_seconds_grow(chosen):
    values, seconds = Synthetic(**chosen).evaluate(POINTS[:300], LEVELS)
    numbers = values[~np.isnan(values)]
    assert ((numbers >= 0) & (numbers <= 1)).all()
    assert (seconds > 0).all()
    assert (np.diff(seconds, axis=1) > 0).all()


@pytest.mark.parametrize("family", ["power", "exponential"])
def test_early_ranks_predict_as_well_as_asked(family):
    found = []
    for early_rank in (-1.0, -0.6, -0.2, 0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        surrogate = Synthetic(family=family, early_rank=early_rank, noise=0, divergence=0)
        values, _ = surrogate.evaluate(POINTS, LEVELS)
        found.append(spearmanr(values[:, 0], values[:, -1])[0])
        assert found[-1] == pytest.approx(early_rank, abs=0.08)
        by_level = [spearmanr(column, values[:, -1])[0] for column in values.T]
        assert by_level == sorted(by_level)
    assert found == sorted(found)


def test_early_rank_1_keeps_the_order_at_every_level_and_0_5_crosses():
    levels = np.array([0.5, 1.0, 2.0, 9.0, 40.5, 81.0])
    for early_rank, crosses in ((1.0, False), (0.5, True)):
        surrogate = Synthetic(early_rank=early_rank, noise=0, divergence=0)
        values, _ = surrogate.evaluate(POINTS, levels)
        ordered = values[np.argsort(values[:, -1])]
        assert bool((np.diff(ordered, axis=0) < 0).any()) == crosses


def test_curves_rise_to_their_final_value_below_level_1_as_well():
    surrogate = Synthetic(noise=0, divergence=0)
    values, _ = surrogate.evaluate(surrogate.best_configuration[None], np.linspace(0.01, 81, 500))
    assert (np.diff(values[0]) > 0).all()


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5])
def test_a_share_of_the_space_diverges_and_stays_so(share):
    values, _ = Synthetic(divergence=share).evaluate(POINTS, LEVELS)
    gone = np.isnan(values)
    assert gone[:, -1].mean() == pytest.approx(share, abs=0.03)
    assert (gone[:, 1:] >= gone[:, :-1]).all()
    if share:
        assert 0 < gone[:, 1].sum() < gone[:, -1].sum()
        assert POINTS[gone[:, -1], 0].min() > POINTS[~gone[:, -1], 0].max()


def test_cost_depends_on_the_configuration_by_the_spread_and_is_the_mean_asked_for():
    corners = np.array([[0.5, 0.5, 0.0], [0.5, 0.5, 1.0]])
    _, seconds = Synthetic(cost_spread=5, seconds=2).evaluate(corners, LEVELS)
    assert seconds[1] / seconds[0] == pytest.approx(5)
    assert seconds.mean(axis=0) == pytest.approx(2 * LEVELS)
    _, even = Synthetic(cost_spread=1).evaluate(POINTS, LEVELS)
    assert (even == LEVELS).all()


def test_noise_has_its_size_early_and_none_at_the_end():
    common = {"divergence": 0.0, "early_rank": 0.5}
    levels = np.array([1.0, 27.0, 81.0])
    plain = Synthetic(noise=0, **common).evaluate(POINTS, levels)[0]
    noisy = Synthetic(noise=0.02, **common).evaluate(POINTS, levels)[0]
    spread = (noisy - plain).std(axis=0)
    assert spread[0] == pytest.approx(0.02 * 80 / 81, rel=0.1)
    assert spread[1] == pytest.approx(0.02 * 54 / 81, rel=0.1)
    assert spread[2] == 0
    offsets = noisy - plain
    assert abs(np.corrcoef(offsets[:, 0], offsets[:, 1])[0, 1]) < 0.1


def test_min_mirrors_max():
    high, low = Synthetic().evaluate(POINTS, LEVELS)[0], Synthetic(mode="min").evaluate(POINTS, LEVELS)[0]
    np.testing.assert_array_equal(low, 1 - high)
    assert (Synthetic().metric, Synthetic(mode="min").metric) == ("accuracy", "error")


def test_seeds_differ_in_noise_and_optimum():
    a, b = Synthetic(seed=0), Synthetic(seed=1)
    assert (a.best_configuration != b.best_configuration).all()
    assert (a.evaluate(POINTS, LEVELS)[0] != b.evaluate(POINTS, LEVELS)[0]).mean() > 0.9


def test_the_name_makes_the_same_curves_again():
    surrogate = Synthetic(family="exponential", noise=0.1, seed=5)
    assert surrogate.name == "synthetic:family=exponential,noise=0.1,seed=5"
    again = load(surrogate.name)
    assert again.name == surrogate.name
    assert again.evaluate(POINTS, LEVELS)[0].tobytes() == surrogate.evaluate(POINTS, LEVELS)[0].tobytes()
    assert Synthetic().name == "synthetic"


def test_no_configurations_and_no_levels():
    values, seconds = Synthetic().evaluate(np.empty((0, 3)), LEVELS)
    assert values.shape == seconds.shape == (0, 5)
    assert Synthetic().evaluate(POINTS, np.empty(0))[0].shape == (2000, 0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("family", "powr"),
        ("mode", "maximum"),
        ("max_resource", 1),
        ("max_resource", math.inf),
        ("noise", -0.1),
        ("noise", math.nan),
        ("early_rank", 1.1),
        ("early_rank", -1.1),
        ("divergence", 0.95),
        ("cost_spread", 0.5),
        ("seconds", 0),
        ("seed", 0.5),
        ("seed", -1),
        ("noise", "0.1"),
        ("noise", True),
    ],
)
def test_a_bad_option_is_named(field, value):
    with pytest.raises(ParameterError) as error:
        Synthetic(**{field: value})
    assert (error.value.field, error.value.value) == (field, value)


@pytest.mark.parametrize("level", [0.0, -1.0, 82.0, math.nan])
def test_a_level_outside_is_refused(level):
    with pytest.raises(ParameterError, match="levels"):
        Synthetic().evaluate(POINTS[:2], np.array([level]))


@pytest.mark.parametrize("shape", [(3,), (4, 2)])
def test_a_wrong_shape_is_refused(shape):
    with pytest.raises(ParameterError, match=r"configurations\.shape"):
        Synthetic().evaluate(np.zeros(shape), LEVELS)
