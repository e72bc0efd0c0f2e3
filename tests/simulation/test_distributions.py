"""Distributions against SciPy's; draws that depend on their place only; what cannot be parsed."""

from __future__ import annotations

import math
from decimal import Decimal, getcontext
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hbsim.errors import ParameterError
from hbsim.simulation.distributions import (
    Distribution,
    Empirical,
    Exponential,
    Gamma,
    LogNormal,
    Uniform,
    Weibull,
    parse,
)

UNIFORM = np.random.default_rng(0).random(500)
ENDS = np.array([0.0, 2.0**-53, 0.5, 1.0 - 2.0**-53])
MEANS = st.floats(1e-3, 1e6)
SPREADS = st.floats(0.01, 3.0)


@st.composite
def pairs(draw: Any) -> tuple[Distribution, Any]:
    """Draw a distribution, and SciPy's of the same mean."""
    mean, spread = draw(MEANS), draw(SPREADS)
    match draw(st.integers(0, 4)):
        case 0:
            return Exponential(mean), stats.expon(scale=mean)
        case 1:
            unit = stats.weibull_min(spread)
            return Weibull(mean, spread), stats.weibull_min(spread, scale=mean / unit.mean())
        case 2:
            sigma = math.sqrt(math.log(1 + spread**2))
            scale = mean * math.exp(-(sigma**2) / 2)
            return LogNormal(mean, mean * spread), stats.lognorm(sigma, scale=scale)
        case 3:
            return Gamma(mean, mean * spread), stats.gamma(spread**-2, scale=mean * spread**2)
        case _:
            return Uniform(mean, mean + spread), stats.uniform(mean, spread)


distributions = pairs().map(lambda pair: pair[0]) | st.lists(MEANS, min_size=1, max_size=9).map(
    lambda values: Empirical(tuple(values))
)


@given(pairs())
def test_as_in_scipy(pair: tuple[Distribution, Any]) -> None:
    ours, theirs = pair
    assert theirs.mean() == pytest.approx(ours.mean, rel=1e-9)
    if isinstance(ours, LogNormal | Gamma):
        assert theirs.std() == pytest.approx(ours.std, rel=1e-6)
    assert np.allclose(ours.quantile(UNIFORM), theirs.ppf(UNIFORM), rtol=1e-6, atol=1e-280)


@given(distributions)
def test_draws_are_finite_and_depend_on_their_place_only(distribution: Distribution) -> None:
    draws = distribution.quantile(UNIFORM)
    assert draws.shape == UNIFORM.shape
    alone = [distribution.quantile(UNIFORM[place : place + 1])[0] for place in range(9)]
    assert draws[:9].tolist() == alone
    pair_up = np.stack([UNIFORM, 1 - UNIFORM], axis=1)
    assert distribution.quantile(pair_up[:, 0]).tobytes() == draws.tobytes()
    ends = distribution.quantile(ENDS)
    assert np.isfinite(ends).all()
    assert ends[0] >= 0
    assert isinstance(distribution, Empirical) or (np.diff(ends) >= 0).all()


def test_the_last_bits_of_a_logarithm_do_not_matter() -> None:
    """A draw is the exact number, in 40 digits here, rounded to 24 bits: the same on any machine."""
    getcontext().prec = 40
    exact = [-(1 - Decimal(u)).ln() for u in UNIFORM.tolist()]
    rounded = [_to_24_bits(number) for number in exact]
    assert Exponential(1.0).quantile(UNIFORM).tolist() == rounded
    assert Weibull(1.0, 1.0).quantile(UNIFORM).tolist() == rounded
    halves = [_to_24_bits(number * number / 2) for number in exact]
    assert Weibull(1.0, 0.5).quantile(UNIFORM).tolist() == halves


def _to_24_bits(number: Decimal) -> float:
    exponent = math.frexp(float(number))[1] - 24
    return math.ldexp(int((number / Decimal(2) ** exponent).to_integral_value()), exponent)


# `parse` refuses what may be above 1e15, as a Weibull of small shape and large mean.
bounded = distributions.filter(lambda distribution: distribution.quantile(ENDS)[-1] <= 1e15)


@given(bounded)
def test_text_and_back(distribution: Distribution) -> None:
    assert parse("startup", distribution.text) == distribution
    assert parse("startup", distribution) is distribution


@pytest.mark.parametrize("unbounded", [Weibull(1e6, 0.0625), Weibull(1e6, 0.0625).text])
def test_a_distribution_with_draws_too_large_for_sums_is_refused(unbounded: object) -> None:
    with pytest.raises(ParameterError, match="all that it gives must be at most 1000000000000000"):
        parse("startup", unbounded)


def test_text_is_short() -> None:
    assert parse("startup", " lognormal: std = 2.50 , mean=5e0 ").text == "lognormal:mean=5,std=2.5"  # type: ignore[union-attr]
    assert Empirical([3.1, 4, 9.7]).text == "empirical:3.1|4|9.7"  # type: ignore[arg-type]


@given(st.lists(MEANS, min_size=1, max_size=9), st.floats(0, 1, exclude_max=True))
def test_empirical_draws_are_the_values(values: list[float], u: float) -> None:
    drawn = Empirical(tuple(values)).quantile(np.array([u]))
    assert drawn.tolist() == [values[math.floor(u * len(values))]]
    each = Empirical(tuple(values)).quantile((np.arange(len(values)) + 0.5) / len(values))
    assert each.tolist() == values
    assert Empirical(tuple(values)).mean == pytest.approx(np.mean(values), rel=1e-12)


@pytest.mark.parametrize(
    "distribution", [LogNormal(3.7, 0), Gamma(3.7, 0), Uniform(3.7, 3.7), Empirical((3.7,))]
)
def test_no_spread_is_the_number_exactly(distribution: Distribution) -> None:
    assert set(distribution.quantile(np.concatenate([ENDS, UNIFORM])).tolist()) == {3.7}
    assert distribution.mean == 3.7


@pytest.mark.parametrize(
    "distribution",
    [
        Exponential(0),
        Weibull(0, 2),
        Weibull(1, 0.01),
        Weibull(1e30, 1e9),
        LogNormal(1e9, 1e11),
        Gamma(1e9, 1e11),
    ],
)
def test_draws_of_extreme_parameters_are_finite(distribution: Distribution) -> None:
    draws = distribution.quantile(np.concatenate([ENDS, UNIFORM]))
    assert np.isfinite(draws).all()
    assert (draws >= 0).all()


@pytest.mark.parametrize("value", [0, 2, 2.5, np.float32(0.25), np.int64(3)])
def test_numbers(value: Any) -> None:
    parsed = parse("startup", value)
    assert isinstance(parsed, float)
    assert parsed == value


REFUSED: list[tuple[Any, str]] = [
    (-1, "at least 0"),
    (math.nan, "finite"),
    (math.inf, "finite"),
    (None, "number"),
    (True, "number"),
    ([1.0], "number"),
    ("1", "one of exponential"),
    ("", "one of exponential"),
    ("lognorml:mean=5,std=2", "Did you mean 'lognormal'?"),
    ("exponential", "mean missing"),
    ("lognormal:mean=5", "std missing"),
    ("lognormal:", "mean and std missing"),
    ("lognormal:5,2", "'5' is no parameter"),
    ("lognormal:mean=5,stdd=2", "Did you mean 'std'?"),
    ("lognormal:mean=5,std=2,shape=1", "'shape' is no parameter"),
    ("lognormal:mean=5,std=2,mean=5", "twice"),
    ("lognormal:mean=,std=2", "mean needs a value"),
    ("lognormal:mean=5,std=2,", "'' is no parameter"),
    ("lognormal:mean=five,std=2", "mean='five' must be a number"),
    ("lognormal:mean=nan,std=2", "mean=nan must be finite"),
    ("lognormal:mean=0,std=2", "mean=0 must be above 0"),
    ("gamma:mean=5,std=-2", "std=-2 must be at least 0"),
    ("gamma:mean=5,std=inf", "std=inf must be finite"),
    ("gamma:mean=5,std=501", "at most 100 times"),
    ("exponential:mean=-5", "mean=-5 must be at least 0"),
    ("weibull:mean=5,shape=0", "shape=0 must be at least 0.01"),
    ("weibull:mean=5,shape=-1", "shape=-1 must be at least 0"),
    ("uniform:low=2,high=1", "low=2 must be at most high=1"),
    ("uniform:low=-2,high=1", "low=-2 must be at least 0"),
    ("empirical:", "at least one number"),
    ("empirical", "at least one number"),
    ("empirical:1||2", "values='' must be a number"),
    ("empirical:1,2", "values='1,2' must be a number"),
    ("empirical:1|-2", "values=-2 must be at least 0"),
]


@pytest.mark.parametrize(("value", "rule"), REFUSED)
def test_what_cannot_be_parsed(value: Any, rule: str) -> None:
    with pytest.raises(ParameterError) as caught:
        parse("startup", value)
    assert caught.value.field == "startup"
    assert caught.value.value is value
    assert rule in caught.value.rule
    assert str(caught.value).startswith(f"startup={value!r}: ")
    assert "\n" not in str(caught.value)


def test_what_is_too_small() -> None:
    assert parse("mtbf", 2, least=2) == 2
    assert parse("mtbf", "exponential:mean=2", least=2) == Exponential(2)
    assert parse("mtbf", 1e-9, positive=True) == 1e-9
    for value, options in (
        (1.5, {"least": 2.0}),
        ("uniform:low=0,high=3", {"least": 2.0}),
        (0, {"positive": True}),
        ("exponential:mean=0", {"positive": True}),
        ("empirical:0|0", {"positive": True}),
    ):
        with pytest.raises(ParameterError, match="must be") as caught:
            parse("mtbf", value, **options)  # type: ignore[arg-type]
        assert caught.value.field == "mtbf"
