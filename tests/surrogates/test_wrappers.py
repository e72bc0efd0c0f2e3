"""Wrappers against a naive double; and what holds for any stack of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from hbsim import Bool, Choice, Int, Real
from hbsim.errors import ParameterError, SurrogateError
from hbsim.surrogates import (
    Checked,
    Corrupted,
    Delayed,
    Half,
    Ideal,
    Negated,
    Noisy,
    ScaledCost,
    Surrogate,
    Synthetic,
    load,
)
from tests.surrogates.stacks import BASES, Mixed, naive_stack, stacks, table, text

CLASSES = {"noise": Noisy, "negate": Negated, "cost": ScaledCost, "corrupt": Corrupted, "delay": Delayed}
ROWS = np.arange(9)
LEVELS = np.array([1.0, 2.0, 4.0, 8.0])


def composed(surrogate, wraps):
    for name, options in wraps:
        surrogate = CLASSES[name](surrogate, **options)
    return surrogate


def bytes_of(surrogate, configurations, levels):
    values, seconds = surrogate.evaluate(configurations, levels)
    values = np.where(np.isnan(values), np.nan, values)  # a NaN may have a sign
    return np.ascontiguousarray(values).tobytes(), np.ascontiguousarray(seconds).tobytes()


def as_tuple(configuration):
    return tuple(np.atleast_1d(np.asarray(configuration, dtype=np.float64)).tolist())


# Any stack


@given(stacks())
def test_every_value_is_that_of_the_naive_double(stack):
    surrogate, wraps, configurations, levels = stack
    made, naive = composed(surrogate, wraps), naive_stack(surrogate, wraps)
    values, seconds = made.evaluate(configurations, levels)
    expected = [[naive.value(as_tuple(c), level) for level in levels.tolist()] for c in configurations]
    np.testing.assert_array_equal(values, expected)
    expected = [[naive.seconds(as_tuple(c), level) for level in levels.tolist()] for c in configurations]
    np.testing.assert_array_equal(seconds, expected)
    assert (made.mode, made.max_resource) == (naive.mode, naive.top)


@given(stacks(), st.randoms(use_true_random=False))
def test_the_same_bytes_in_any_block_and_whatever_was_asked_before(stack, random):
    surrogate, wraps, configurations, levels = stack
    made = composed(surrogate, wraps)
    values, seconds = made.evaluate(configurations, levels)
    order = list(range(len(configurations)))
    random.shuffle(order)
    again = composed(surrogate, wraps)
    assert bytes_of(again, configurations[order], levels) == bytes_of(made, configurations[order], levels)
    for i in order:
        for j in range(len(levels)):
            alone = made.evaluate(configurations[i : i + 1], levels[j : j + 1])
            np.testing.assert_array_equal(alone[0], values[i : i + 1, j : j + 1])
            assert alone[1].tobytes() == seconds[i : i + 1, j : j + 1].tobytes()


@given(stacks())
def test_nothing_beats_the_optimum_and_of_rows_one_attains_it(stack):
    surrogate, wraps, configurations, levels = stack
    made = composed(surrogate, wraps)
    for level in (*levels.tolist(), made.max_resource):
        best = made.optimum(level)
        asked = configurations if made.rows is None else np.arange(made.rows)
        values = made.evaluate(asked, np.array([level]))[0]
        signed = values[np.isfinite(values)] * (1 if made.mode == "max" else -1)
        if made.rows is not None:
            assert (best is None) == (not signed.size)
        if best is not None and signed.size:
            top = best * (1 if made.mode == "max" else -1)
            assert signed.max() == top if made.rows is not None else signed.max() <= top


@given(stacks())
def test_it_is_a_surrogate_that_passes_every_check(stack):
    surrogate, wraps, configurations, levels = stack
    made = composed(surrogate, wraps)
    assert isinstance(made, Surrogate)
    _, seconds = made.evaluate(configurations, levels)
    assert (np.diff(seconds, axis=1) >= 0).all()
    assert (made.rows, made.resources, made.space) == (surrogate.rows, surrogate.resources, surrogate.space)
    tests = made.test_values(configurations, levels[-1])
    assert (tests is None) == (surrogate.test_values(configurations, levels[-1]) is None)


@given(stacks())
def test_text_and_python_make_the_same_and_the_name_says_how(stack):
    surrogate, wraps, configurations, levels = stack
    made = composed(surrogate, wraps)
    written = load(surrogate, wrap=[text(name, options) for name, options in wraps])
    assert bytes_of(written, configurations, levels) == bytes_of(made, configurations, levels)
    base, *parts = made.name.split(" + ")
    assert (base, len(parts)) == (surrogate.name, len(wraps))
    named = load(surrogate, wrap=parts)
    assert named.name == written.name
    assert bytes_of(named, configurations, levels) == bytes_of(made, configurations, levels)
    assert (
        named.optimum(made.max_resource)
        == written.optimum(made.max_resource)
        == made.optimum(made.max_resource)
    )


@given(stacks(most=2))
def test_what_changes_different_things_can_change_places(stack):
    surrogate, wraps, configurations, levels = stack
    inner = composed(surrogate, wraps)
    for one, two in (("cost", "noise"), ("cost", "delay"), ("corrupt", "noise"), ("corrupt", "negate")):
        ways = [composed(inner, [(a, {}), (b, {})]) for a, b in ((one, two), (two, one))]
        assert bytes_of(ways[0], configurations, levels) == bytes_of(ways[1], configurations, levels)


def test_the_order_counts_for_noise():
    plain, rows = BASES["table"], ROWS[2:]  # the others have odd values

    def values(surrogate):
        return surrogate.evaluate(rows, LEVELS)[0]

    late, early = values(Delayed(Noisy(plain))), values(Noisy(Delayed(plain)))
    assert (late[:, 0] == late[:, 1]).all()  # the noise of the first level came along
    assert (early[:, 0] != early[:, 1]).all()
    noise = values(Noisy(plain)) - values(plain)
    turned = values(Negated(Noisy(plain))) - values(Noisy(Negated(plain)))
    np.testing.assert_allclose(turned, -2 * noise, atol=1e-12)


# Noise


def test_noise_has_its_std_and_fades():
    points = np.random.default_rng(0).random((20_000, 1))
    levels = np.array([0.5, 9.0, 40.5, 81.0])
    for fade, scale in ((False, [1, 1, 1, 1]), (True, [1 - 0.5 / 81, 8 / 9, 0.5, 0])):
        noisy = Noisy(Ideal(), std=0.2, fade=fade)
        noise = noisy.evaluate(points, levels)[0] - points
        np.testing.assert_allclose(noise.std(axis=0), 0.2 * np.array(scale), rtol=0.03, atol=1e-15)
        np.testing.assert_allclose(noise.mean(axis=0), 0, atol=0.006)
        assert abs(np.corrcoef(noise[:, :2].T)[0, 1]) < 0.03
        assert noisy.optimum(81.0) == (1.0 if fade else None)
        assert noisy.optimum(40.5) is None


def test_seeds_draw_other_noise_and_two_wrappers_of_one_seed_the_same():
    points = np.random.default_rng(0).random((5_000, 1))
    draws = [Noisy(Ideal(), seed=seed).evaluate(points, LEVELS[:1])[0] - points for seed in (0, 1)]
    assert abs(np.corrcoef(draws[0][:, 0], draws[1][:, 0])[0, 1]) < 0.05
    twice = Noisy(Noisy(Ideal())).evaluate(points, LEVELS[:1])[0] - points
    np.testing.assert_allclose(twice, 2 * draws[0], atol=1e-12)


def test_held_out_values_have_no_noise():
    assert Noisy(table()).test_values(ROWS, 8.0).tobytes() == table().test_values(ROWS, 8.0).tobytes()


# The other sign


def test_negated_turns_everything_and_twice_is_as_before():
    plain = table()
    turned = Negated(plain)
    assert (turned.mode, turned.metric) == ("max", "-val_loss")
    np.testing.assert_array_equal(turned.evaluate(ROWS, LEVELS)[0], -plain.evaluate(ROWS, LEVELS)[0])
    np.testing.assert_array_equal(turned.test_values(ROWS, 8.0), -plain.test_values(ROWS, 8.0))
    assert turned.optimum(4.0) == -plain.optimum(4.0)
    back = Negated(turned)
    assert (back.mode, back.metric) == (plain.mode, plain.metric)
    assert bytes_of(back, ROWS, LEVELS) == bytes_of(plain, ROWS, LEVELS)
    zero = Negated(Ideal(qualities=[0.0, 1.0])).evaluate(np.array([0]), LEVELS)[0]
    assert not np.signbit(zero).any()


# Cost


def test_the_spread_is_the_dearest_over_the_cheapest_and_the_mean_stays():
    points = np.random.default_rng(0).random((20_000, 3))
    plain = Synthetic(cost_spread=1)
    for options in ({}, {"parameter": "width_multiplier"}):
        dear = ScaledCost(plain, factor=3, spread=5, **options)
        ratio = dear.evaluate(points, LEVELS)[1] / plain.evaluate(points, LEVELS)[1]
        assert ratio.max() / ratio.min() == pytest.approx(5, rel=0.01)
        assert ratio.mean() == pytest.approx(3, rel=0.02)
    order = np.argsort(points[:, 2])
    assert (np.diff(ratio[order, 0]) >= -1e-12).all()


# Corruption


@given(st.sampled_from(["synthetic", "ideal"]), st.integers(0, 99), st.sampled_from([0.05, 0.1, 0.5]))
def test_the_share_of_a_space_is_within_the_sampling_error(base, seed, share):
    corrupted = Corrupted(BASES[base], share=share, seed=seed)
    points = np.random.default_rng(1).random((2_000, BASES[base].space.dimension))
    inside = corrupted.in_region(points)
    assert binomtest(int(inside.sum()), len(points), share).pvalue > 1e-5
    larger = Corrupted(BASES[base], share=min(0.9, 2 * share), seed=seed).in_region(points)
    assert (larger | ~inside).all()


def test_over_seeds_each_point_is_as_likely():
    points = np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.99, 0.01, 0.5]])
    inside = sum(Corrupted(Synthetic(), share=0.2, seed=s).in_region(points).astype(int) for s in range(1000))
    assert ((inside > 150) & (inside < 250)).all()


@given(st.integers(2, 60), st.floats(0.01, 0.99), st.integers(0, 9))
def test_of_rows_exactly_the_share_is_corrupted(rows, share, seed):
    plain = Ideal(qualities=np.linspace(0, 1, rows))
    if share <= 0.5 / rows:
        with pytest.raises(ParameterError, match=f"share=.*{rows} rows"):
            Corrupted(plain, share=share, seed=seed)
        return
    inside = Corrupted(plain, share=share, seed=seed).in_region(np.arange(rows))
    assert abs(inside.sum() - share * rows) <= 0.5 + 1e-9


def test_a_named_parameter_and_its_end():
    low = Corrupted(table(), share=0.4, parameter="lr", end="low").in_region(ROWS)
    lr = table().configurations["lr"].to_numpy()
    assert low.sum() == 4
    assert lr[low].max() < lr[~low].min()
    high = Corrupted(Synthetic(), share=0.25, parameter="learning_rate")
    points = np.array([[0.749, 0.5, 0.5], [0.751, 0.5, 0.5], [1.0, 0.0, 0.0]])
    assert high.in_region(points).tolist() == [False, True, True]


def test_equal_values_share_their_fate():
    kinds = {
        "width": Int(8, 512, log=True),
        "depth": Int(1, 6),
        "act": Choice("relu", "tanh"),
        "bias": Bool(),
    }
    points = np.random.default_rng(0).random((3_000, 4))
    columns = Mixed(**kinds).space.decode(points)
    columns = {n: c if isinstance(c, list) else c.tolist() for n, c in columns.items()}
    for options in ({}, {"parameter": "depth"}, {"parameter": "width"}, {"parameter": "bias", "share": 0.6}):
        inside = Corrupted(Mixed(**kinds), **{"share": 0.2, **options}).in_region(points)
        names = [options["parameter"]] if options.get("parameter") else list(columns)
        fates = {}
        for place, fate in zip(zip(*(columns[n] for n in names), strict=True), inside.tolist(), strict=True):
            fates.setdefault(place, set()).add(fate)
        assert all(len(fate) == 1 for fate in fates.values())
        assert {True, False} == set(inside.tolist()) or options.get("parameter") == "bias"


def test_a_box_bounds_real_parameters_only():
    mixed = Corrupted(Mixed(n=Int(1, 3), x=Real(0.0, 1.0), b=Bool()), share=0.3)
    points = np.random.default_rng(0).random((1_000, 3))
    inside = mixed.in_region(points)
    points[:, [0, 2]] = 0.5
    assert (mixed.in_region(points) == inside).all()
    assert 0.25 < inside.mean() < 0.35


def test_one_value_that_is_more_than_the_share_is_an_error():
    with pytest.raises(ParameterError, match=r"share=0.1: must be above 0.25: the highest bias alone"):
        Corrupted(Mixed(bias=Bool()), share=0.1, parameter="bias")


def test_corruption_begins_at_its_level_and_takes_the_held_out_metric():
    plain = table()
    corrupted = Corrupted(plain, share=0.5, from_level=4)
    inside = corrupted.in_region(ROWS)
    values = corrupted.evaluate(ROWS, LEVELS)[0]
    assert np.isnan(values[inside][:, 2:]).all()
    np.testing.assert_array_equal(values[:, :2], plain.evaluate(ROWS, LEVELS)[0][:, :2])
    assert np.isnan(corrupted.test_values(ROWS, 4.0)[inside]).all()
    np.testing.assert_array_equal(corrupted.test_values(ROWS, 2.0), plain.test_values(ROWS, 2.0))


def test_the_optimum_of_a_space_is_known_where_it_lies_outside():
    plain = Synthetic()
    known = set()
    for seed in range(30):
        corrupted = Corrupted(Noisy(plain, fade=True), share=0.3, seed=seed)
        inside = bool(corrupted.in_region(plain.best_configuration[None])[0])
        assert corrupted.optimum(81.0) == (None if inside else plain.optimum(81.0))
        assert Negated(corrupted).optimum(81.0) == (None if inside else -plain.optimum(81.0))
        known.add(inside)
    assert known == {True, False}
    assert Noisy(plain).best_configuration is Delayed(plain).best_configuration is None


# Delay


def test_levels_between_those_of_a_table_are_on_the_straight_line():
    plain = table()
    values = plain.evaluate(ROWS, LEVELS)[0]
    late = Delayed(plain, units=5).evaluate(ROWS, LEVELS)[0]
    for column in range(3):
        np.testing.assert_array_equal(late[:, column], values[:, 0])
    np.testing.assert_allclose(late[2:, 3], (values[2:, 1] + values[2:, 2]) / 2)
    assert np.isnan(late[0, 3])  # one neighbour is no number
    assert late[1, 3] == np.inf  # both are infinite
    assert Delayed(plain, units=5).optimum(8.0) == late[2:, 3].min()
    tests = Delayed(plain, units=5).test_values(ROWS, 8.0)
    np.testing.assert_allclose(tests[2:], 1 + late[2:, 3])


def test_a_space_learns_later_and_takes_its_time():
    plain = Synthetic()
    points = np.random.default_rng(0).random((50, 3))
    values, seconds = Delayed(plain, units=10).evaluate(points, np.array([0.5, 1.0, 11.0, 13.0, 81.0]))
    expected = plain.evaluate(points, np.array([0.5, 1.0, 3.0, 71.0]))[0]
    np.testing.assert_array_equal(values, expected[:, [0, 1, 1, 2, 3]])
    np.testing.assert_array_equal(seconds, plain.evaluate(points, np.array([0.5, 1.0, 11.0, 13.0, 81.0]))[1])
    assert Delayed(plain, units=0).optimum(81.0) == plain.optimum(81.0)
    assert Delayed(Ideal(), units=10).optimum(81.0) == 1.0


# Halves


@given(st.integers(2, 40), st.integers(0, 50))
def test_the_halves_of_a_split_are_disjoint_and_cover_the_rows(rows, split):
    whole = Ideal(8, qualities=np.random.default_rng(rows).random(rows))
    halves = [Half(whole, split=split, part=part) for part in (0, 1)]
    first, second = (set(half.chosen.tolist()) for half in halves)
    assert len(first) == len(second) == halves[0].rows == halves[1].rows == rows // 2
    assert not first & second
    assert len(first | second) == rows - rows % 2
    assert first | second <= set(range(rows))
    # The rows depend on their number and the split, not on the curves.
    assert (Half(Negated(whole), split=split).chosen == halves[0].chosen).all()


def test_every_row_is_as_likely_in_a_half_and_every_two_are_apart_as_often():
    inside = np.zeros((400, 9))
    for split in range(400):
        inside[split, Half(table(), split=split, part=split % 2).chosen] = 1
    assert (abs(inside.mean(axis=0) - 4 / 9) < 0.1).all()
    together = (inside[:, :, None] * inside[:, None, :]).mean(axis=0)[np.triu_indices(9, 1)]
    assert (abs(together - 4 * 3 / (9 * 8)) < 0.1).all()


def test_a_half_shows_its_rows_as_they_are_and_keeps_the_optimum_of_all():
    whole = table()
    for part in (0, 1):
        half = Half(whole, split=4, part=part)
        assert half.name == f"curves + half=4,{part}"
        assert load(whole, wrap=f"half=4,{part}").name == half.name
        written = load(whole, wrap=f"half:split=4,part={part}")
        assert (written.chosen == half.chosen).all()
        asked = np.arange(half.rows)
        for one, other in zip(half.evaluate(asked, LEVELS), whole.evaluate(half.chosen, LEVELS), strict=True):
            np.testing.assert_array_equal(one, other)
        tests = half.test_values(asked, 8.0)
        np.testing.assert_array_equal(tests, whole.test_values(half.chosen, 8.0))
        assert half.optimum(8.0) == whole.optimum(8.0)
        assert (half.metric, half.mode, half.resources) == (whole.metric, whole.mode, whole.resources)
        lr = whole.configurations["lr"].to_numpy()[half.chosen]
        corrupted = Corrupted(half, share=0.5, parameter="lr").in_region(asked)
        assert lr[corrupted].min() > lr[~corrupted].max()
    spaced = Checked(WithPoints())
    assert (Half(spaced, split=1).points == WithPoints.points[Half(spaced, split=1).chosen]).all()


class WithPoints(Mixed):
    rows = 6
    points = np.linspace(0, 1, 6)[:, None]

    def evaluate(self, configurations, levels):
        return super().evaluate(self.points[configurations], levels)


# What cannot be


@pytest.mark.parametrize(
    ("make", "field", "rule"),
    [
        (lambda: Noisy("ideal", std=-1), "std", "at least 0"),
        (lambda: Noisy("ideal", std=float("nan")), "std", "finite"),
        (lambda: Noisy("ideal", fade=1), "fade", "True or False"),
        (lambda: Noisy("ideal", seed=1.5), "seed", "whole number"),
        (lambda: ScaledCost("ideal", factor=0), "factor", "above 0"),
        (lambda: ScaledCost("ideal", spread=0.5), "spread", "at least 1"),
        (lambda: ScaledCost("ideal", parameter="quality"), "parameter", "spread above 1"),
        (lambda: ScaledCost("ideal", spread=2, parameter="qualty"), "parameter", "Did you mean 'quality'"),
        (lambda: Corrupted("ideal", share=1), "share", "below 1"),
        (lambda: Corrupted("ideal", share=-0.1), "share", "at least 0"),
        (lambda: Corrupted("ideal", from_level=82), "from_level", r"\[0, 81\]"),
        (lambda: Corrupted("ideal", end="hihg"), "end", "Did you mean 'high'"),
        (lambda: Corrupted(table(), parameter="depht"), "parameter", "Did you mean 'depth'"),
        (lambda: Corrupted(table(), parameter="config"), "parameter", "of curves: lr, depth"),
        (lambda: Corrupted(Ideal(qualities=[0, 1]), parameter="x"), "parameter", "no named hyperparameters"),
        (lambda: Delayed("ideal", units=-1), "units", "at least 0"),
        (lambda: Delayed("ideal", units=80), "units", "below 80: ideal learns from level 1 to 81"),
        (lambda: Delayed(Ideal(1.0), units=0.5), "units", "must be 0"),
        (lambda: Delayed(table()).evaluate(ROWS, np.array([3.0])), "levels", "no such level"),
        (lambda: Delayed("ideal").evaluate(np.ones((1, 1)), np.ones((1, 1))), "levels.shape", "m"),
        (lambda: Noisy("ideal").evaluate(np.ones((1, 2)), LEVELS), "configurations.shape", "n, 1"),
        (lambda: Corrupted(table()).in_region(np.array([9])), "configurations", r"\[0, 9\)"),
        (lambda: Half(table(), split=-1), "split", r"\[0, "),
        (lambda: Half(table(), part=2), "part", r"\[0, 1\]"),
        (lambda: Half("ideal"), "surrogate", "ideal.*has no rows"),
        (lambda: Half(Ideal(qualities=[1.0])), "surrogate", "has 1 rows"),
        (lambda: Half(table()).evaluate(np.array([4]), LEVELS), "configurations", r"\[0, 4\)"),
        (lambda: load(table(), wrap="half=1,2"), "wrap", r"half=1,2.*part must lie in \[0, 1\]"),
        (lambda: load(table(), wrap="half=1"), "wrap", "is no wrapper"),
        (lambda: Noisy("idael"), "surrogate", "Did you mean 'ideal'"),
    ],
)
def test_a_bad_request_is_one_error(make, field, rule):
    with pytest.raises(ParameterError, match=rule) as error:
        make()
    assert error.value.field == field


def test_a_users_own_is_checked_within():
    class Broken(Mixed):
        def evaluate(self, configurations, levels):
            return np.ones(3), np.ones(3)

    with pytest.raises(SurrogateError, match="Broken: values must have the shape"):
        Noisy(Broken()).evaluate(np.ones((1, 1)), LEVELS)
    assert Noisy(Mixed()).optimum(4.0) is None
    assert load(Noisy(Mixed())).name == "Mixed + noise"
