"""Random numbers as a pure function of a key: no state, no order of draws, the same on any machine.

A key is 64 bits; `mix` is the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014). Only
integer operations and exact conversions are used, so that bytes do not depend on the machine's vector units.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hbsim.surrogates.protocol import Floats

Keys: TypeAlias = NDArray[np.uint64]

_MASK: Final = (1 << 64) - 1
_GOLDEN: Final = 0x9E3779B97F4A7C15
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)
# The sum of four independent 16-bit integers: its mean, and one over its standard deviation.
_SUM_MEAN: Final = 2.0 * 65535.0
_SUM_SCALE: Final = 1.0 / ((65536.0**2 - 1.0) / 3.0) ** 0.5


def mix(keys: Keys) -> Keys:
    """Scramble keys in place, and return them."""
    spare = np.empty_like(keys)
    for shift, factor in ((30, _FIRST), (27, _SECOND)):
        np.right_shift(keys, np.uint64(shift), out=spare)
        np.bitwise_xor(keys, spare, out=keys)
        np.multiply(keys, factor, out=keys)
    np.right_shift(keys, np.uint64(31), out=spare)
    return np.bitwise_xor(keys, spare, out=keys)


@lru_cache(maxsize=4096, typed=True)  # a pure function, called with the same few levels in every block
def scalar_key(*parts: int | float) -> np.uint64:
    """Return the key of a few numbers; integers are taken modulo 2**64, floats by their bits."""
    key = 0
    for part in parts:
        bits = part if isinstance(part, int) else int(np.float64(part + 0.0).view(np.uint64))
        word = np.array([(key + bits + _GOLDEN) & _MASK], dtype=np.uint64)
        key = int(mix(word)[0])
    return np.uint64(key)


def float_keys(points: Floats, seed: np.uint64) -> Keys:
    """Return one key a row of `points` (n, d), from the bits of its floats; 0.0 and -0.0 are the same."""
    keys = np.full(len(points), seed, dtype=np.uint64)
    for column in range(points.shape[1]):
        bits = (points[:, column] + 0.0).view(np.uint64)
        factor = np.uint64(int(scalar_key(column)) | 1)
        keys += np.multiply(bits, factor, out=bits)
    return mix(keys)


def combine(keys: Keys, levels: Floats, seed: np.uint64) -> Keys:
    """Return the keys (n, m) of each of `keys` (n,) at each of `levels` (m,)."""
    joint = np.empty((len(keys), len(levels)), dtype=np.uint64)
    for column, level in enumerate(levels.tolist()):
        np.add(keys, scalar_key(int(seed), level), out=joint[:, column])
    return mix(joint)


def uniform(keys: Keys) -> Floats:
    """Return a number in [0, 1) for each key."""
    return (keys >> np.uint64(11)).astype(np.float64) * 2.0**-53


def normal(keys: Keys) -> Floats:
    """Return a nearly normal number for each key: mean 0, standard deviation 1, at most 3.5 from 0.

    The sum of four uniform numbers: no logarithm, whose last bit would depend on the machine.
    """
    parts = np.ascontiguousarray(keys).view(np.uint16).reshape(*keys.shape, 4)
    total = np.add(parts[..., 0], parts[..., 1], dtype=np.int32)
    total += parts[..., 2]
    total += parts[..., 3]
    numbers = total.astype(np.float64)
    numbers -= _SUM_MEAN
    numbers *= _SUM_SCALE
    return numbers
