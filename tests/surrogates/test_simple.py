"""Flat curves."""

import numpy as np
import pytest

from hbsim.errors import ParameterError
from hbsim.surrogates import Ideal, Surrogate

LEVELS = np.array([1.0, 3.0, 81.0])


def test_quality_is_the_point_and_time_is_the_level():
    surrogate = Ideal(seconds=2.0)
    assert isinstance(surrogate, Surrogate)
    values, seconds = surrogate.evaluate(np.array([[0.25], [0.5]]), LEVELS)
    assert values.tolist() == [[0.25] * 3, [0.5] * 3]
    assert seconds.tolist() == [[2.0, 6.0, 162.0]] * 2
    assert surrogate.optimum(1.0) == surrogate.optimum(81.0) == 1.0
    assert Ideal(mode="min").optimum(81.0) == 0.0
    assert surrogate.test_values(np.array([[0.5]]), 1.0) is None


def test_qualities_of_rows():
    surrogate = Ideal(9, qualities=[3.0, 1.0, np.nan])
    assert (surrogate.rows, surrogate.space, surrogate.optimum(9)) == (3, None, 3.0)
    assert Ideal(qualities=[3.0, 1.0], mode="min").optimum(81) == 1.0
    values, _ = surrogate.evaluate(np.array([1, 0]), np.array([1.0, 9.0]))
    assert values.tolist() == [[1.0, 1.0], [3.0, 3.0]]
    with pytest.raises(ParameterError, match=r"\[0, 3\)"):
        surrogate.evaluate(np.array([3]), LEVELS[:1])


@pytest.mark.parametrize(
    "options",
    [{"mode": "mx"}, {"max_resource": 0}, {"seconds": -1}, {"qualities": []}, {"qualities": [[1.0]]}],
)
def test_a_bad_option_is_named(options):
    with pytest.raises(ParameterError) as error:
        Ideal(**options)
    assert error.value.field == next(iter(options))


def test_a_level_beyond_is_refused():
    with pytest.raises(ParameterError, match="levels"):
        Ideal(9).evaluate(np.array([[0.5]]), np.array([10.0]))
