"""Keyed randomness: known values, uniform, nearly normal, and nothing in common between keys."""

import numpy as np
from scipy.stats import kstest

from hbsim.surrogates import hashing

KEYS = hashing.float_keys(np.random.default_rng(0).random((20_000, 2)), np.uint64(1))


def splitmix(z):
    mask = (1 << 64) - 1
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return z ^ (z >> 31)


def test_mix_is_the_finaliser_in_whole_numbers():
    numbers = [0, 1, 2**63, 2**64 - 1, 0x9E3779B97F4A7C15]
    assert hashing.mix(np.array(numbers, dtype=np.uint64)).tolist() == [splitmix(n) for n in numbers]


def test_a_published_value_of_the_generator():
    # The first output of SplitMix64 seeded with 0.
    assert int(hashing.mix(np.array([0x9E3779B97F4A7C15], dtype=np.uint64))[0]) == 0xE220A8397B1DCDAF


def test_an_integer_and_a_float_are_different_keys_whatever_was_asked_before():
    first = hashing.scalar_key(3), hashing.scalar_key(3.0)
    assert first[0] != first[1]
    assert (hashing.scalar_key(3.0), hashing.scalar_key(3)) == first[::-1]


def test_keys_differ():
    assert len(np.unique(KEYS)) == len(KEYS)


def test_uniform_is_uniform():
    numbers = hashing.uniform(KEYS)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert kstest(numbers, "uniform").pvalue > 0.01


def test_normal_has_its_moments_and_is_bounded():
    numbers = hashing.normal(KEYS)
    assert abs(numbers.mean()) < 0.03
    assert abs(numbers.std() - 1) < 0.02
    assert np.abs(numbers).max() < 3.5
    assert kstest(numbers, "norm").statistic < 0.02


def test_neighbours_and_levels_are_independent():
    steps = np.nextafter(0.3, 1) - 0.3
    line = hashing.float_keys(0.3 + steps * np.arange(20_000)[:, None], np.uint64(5))
    numbers = hashing.normal(hashing.combine(line, np.array([1.0, 3.0]), np.uint64(2)))
    assert abs(np.corrcoef(numbers[:-1, 0], numbers[1:, 0])[0, 1]) < 0.03
    assert abs(np.corrcoef(numbers.T)[0, 1]) < 0.03
