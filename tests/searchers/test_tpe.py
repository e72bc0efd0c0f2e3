"""TPE and BOHB: what is modelled, what is drawn again, and that a suggestion hangs on the history alone."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wilcoxon

import hbsim
from hbsim.core import make_scheduler
from hbsim.core.space import Bool, Choice, Int, Real, Space
from hbsim.core.streams import Purpose, block_generator
from hbsim.errors import ParameterError
from hbsim.searchers import RandomSearcher, SearchTask, make_searcher
from hbsim.searchers.model_based import Observed
from hbsim.searchers.tpe import TPE
from tests.profile import examples

pytest.importorskip("optuna", reason="needs Optuna: the extra search")

from hbsim.searchers.optuna_study import OptunaSpace

LINE = Space({"x": Real(0.0, 1.0)})
MIXED = Space(
    {"lr": Real(1e-4, 1.0, log=True), "n": Int(1, 50, log=True), "act": Choice("a", (1, 2)), "b": Bool()}
)
ALL_MODEL = {"tpe": {"num_init": 4}, "bohb": {"num_init": 0, "random_fraction": 0.0}}
NAMES = tuple(ALL_MODEL)


def made(name: str, space: Space = LINE, seed: int = 0, options: Any = None, **task: Any) -> TPE:
    searcher = make_searcher(
        name, SearchTask(space, seed, max_t=9, **task), ALL_MODEL[name] if options is None else options
    )
    assert isinstance(searcher, TPE)
    return searcher


def tell(searcher: TPE, points: Any, level: float, values: Sequence[float | None], first: int = 0) -> None:
    """Say that trials had these configurations and values, and ended."""
    searcher.resume(np.asarray(points, dtype=np.float64))
    for trial, value in enumerate(values, first):
        searcher.register_pending(trial, level)
        searcher.observe(trial, level, value)
        searcher.forget(trial)


class Pooled(Observed):
    """A wrong one, that takes each trial's latest value for one of any level."""

    def at(self, level: float) -> Any:
        return self.latest()


def misled(searcher: TPE) -> None:
    """Sixty trials at level 1, all high, the best near 0.1; twelve at level 3, all low, the best near 0.9."""
    low, high = np.linspace(0.0, 1.0, 60)[:, None], np.linspace(0.02, 0.98, 12)[:, None]
    tell(searcher, low, 1, (10.0 - np.abs(low[:, 0] - 0.1)).tolist())
    tell(searcher, high, 3, (-np.abs(high[:, 0] - 0.9)).tolist(), first=60)


@pytest.mark.parametrize("name", NAMES)
def test_the_highest_level_with_enough_numbers_is_modelled_alone(name: str) -> None:
    right, wrong = made(name), made(name)
    wrong.known = Pooled("max")
    for searcher in (right, wrong):
        misled(searcher)
    assert np.median(right.suggest(15)) > 0.7
    assert np.median(wrong.suggest(15)) < 0.4  # so the data tell the two apart


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("count", "is_modelled"), [(3, False), (4, True)])
def test_how_many_numbers_a_level_needs(name: str, count: int, is_modelled: bool) -> None:
    searcher = made(name)
    tell(searcher, np.linspace(0.1, 0.9, count)[:, None], 3, [1.0] * count)
    searcher.observe(0, 9, None)  # no number: it does not make a level enough
    is_random = searcher.suggest(1).tolist() == RandomSearcher(LINE, 0).points(count, 1).tolist()
    assert is_random is not is_modelled


@pytest.mark.parametrize("name", NAMES)
def test_what_has_no_number_does_not_make_a_level_enough_but_counts_as_bad(name: str) -> None:
    searcher = made(name)
    tell(searcher, np.full((40, 1), 0.5), 9, [None, np.nan, np.inf, -np.inf] * 10)
    assert searcher._level() is None
    good = np.linspace(0.05, 0.45, 8)[:, None]
    tell(searcher, good, 9, good[:, 0].tolist(), first=40)  # rising towards the region that fails
    bad = np.linspace(0.47, 1.0, 30)[:, None]
    tell(searcher, bad, 9, [None] * 30, first=48)
    assert searcher._level() == 9
    assert np.mean(searcher.suggest(15) < 0.5) > 0.7


@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize("name", NAMES)
def test_it_goes_where_the_metric_is_good(name: str, mode: Any) -> None:
    searcher = made(name, mode=mode)
    points = np.linspace(0.0, 1.0, 30)[:, None]
    tell(searcher, points, 9, points[:, 0].tolist())
    assert (np.median(searcher.suggest(11)) > 0.5) == (mode == "max")


@pytest.mark.parametrize("name", NAMES)
def test_eight_asks_without_a_tell_differ(name: str) -> None:
    searcher = made(name, MIXED)
    points = np.random.default_rng(0).random((20, 4))
    tell(searcher, points, 9, points[:, 0].tolist())
    configurations = MIXED.decode(searcher.suggest(8))
    assert len(set(zip(*map(list, configurations.values()), strict=True))) == 8


@pytest.mark.parametrize("name", NAMES)
def test_what_is_pending_is_kept_away_from(name: str) -> None:
    """Of two good regions the one where nothing is pending is taken."""
    points = np.random.default_rng(0).permutation(np.linspace(0.0, 1.0, 41))[:, None]
    values = (-np.minimum(abs(points - 0.2), abs(points - 0.8))[:, 0]).tolist()
    there = {True: 0, False: 0}
    for busy, seed, is_pending in product((0.2, 0.8), range(6), there):
        searcher = made(name, seed=seed)
        tell(searcher, points, 9, values)
        searcher.resume(np.linspace(busy - 0.1, busy + 0.1, 60)[:, None])
        for trial in range(41, 101):
            searcher.register_pending(trial, 1)
            if not is_pending:
                searcher.forget(trial)
        there[is_pending] += abs(searcher.suggest(1)[0, 0] - busy) < 0.1
    assert there[True] <= 1
    assert there[False] >= 4


@pytest.mark.parametrize("name", NAMES)
def test_configurations_come_once_while_there_are_new_ones(name: str) -> None:
    space = Space({"k": Int(1, 4), "c": Choice("a", "b")})
    searcher = made(name, space)
    first = space.encode({"k": [1, 2, 3, 4, 1], "c": ["a", "a", "a", "a", "b"]})
    tell(searcher, first, 9, [1.0, 2.0, 3.0, 4.0, 0.5])
    found = space.decode(searcher.suggest(3))
    assert {(k, c) for k, c in zip(found["k"], found["c"], strict=True)} <= {(2, "b"), (3, "b"), (4, "b")}
    assert len(searcher.suggest(5)) == 5  # with nothing new left it goes on


@pytest.mark.parametrize("space", [MIXED, Space({f"x{i}": Real(0.0, 1.0) for i in range(5)})])
def test_tpe_suggests_what_optunas_sampler_does_by_its_own_settings(space: Space) -> None:
    import optuna

    searcher, words = made("tpe", space), OptunaSpace(space)
    points = space.sample(60, np.random.default_rng(0))
    values = np.square(points - 0.3).sum(axis=1).tolist()
    tell(searcher, points, 9, values)
    generator = block_generator(0, Purpose.MODEL, 60)
    generator.random()
    sampler = optuna.samplers.TPESampler(seed=int(generator.integers(2**32)))
    study = optuna.create_study(sampler=sampler, direction="maximize")
    for params, value in zip(words.params(points), values, strict=True):
        study.add_trial(
            optuna.trial.create_trial(params=params, distributions=words.distributions, value=value)
        )
    expected = words.point(study.ask(words.distributions).params)
    assert searcher.suggest(1)[0].tolist() == expected.tolist()


def rejects_high(configuration: Any) -> bool:
    return bool(configuration["x"] < 0.6)


@pytest.mark.parametrize("name", NAMES)
def test_the_constraint_holds(name: str) -> None:
    options = {**ALL_MODEL[name], "constraints": rejects_high}
    searcher = made(name, options=options)
    points = np.random.default_rng(0).permutation(np.linspace(0.0, 0.59, 20))[:, None]
    tell(searcher, points, 9, points[:, 0].tolist())
    found = searcher.suggest(12)[:, 0]
    assert (found < 0.6).all()
    assert np.median(found) > 0.35


def test_tables_have_rows() -> None:
    points = np.linspace(0.0, 1.0, 40)[:, None]
    searcher = made("tpe", rows=40, points=points)
    searcher.resume(np.arange(0, 40, 2))
    for trial in range(20):
        searcher.observe(trial, 9, -abs(points[2 * trial, 0] - 0.8))
    rows = searcher.suggest(6)
    assert rows.dtype == np.int64
    assert len(set(rows.tolist())) == 6
    assert (rows % 2 == 1).all()
    assert np.median(points[rows]) > 0.6


def test_a_third_of_bohbs_trials_are_random_searchs_own() -> None:
    searcher = made("bohb", options={})
    points = np.linspace(0.0, 1.0, 20)[:, None]
    tell(searcher, points, 9, points[:, 0].tolist())
    random = RandomSearcher(LINE, 0).points(20, 90)
    share = np.mean(searcher.suggest(90) == random)
    assert 0.2 < share < 0.47


@pytest.mark.parametrize(
    ("name", "options"), [("bohb", {}), ("bohb", {"random_fraction": 1.0}), ("tpe", {"num_init": 100})]
)
def test_random_trials_are_new_configurations(name: str, options: Any) -> None:
    """Random search's own would be: its point where that is new, else another."""
    space = Space({"n": Int(1, 12), "k": Int(1, 8), "c": Choice("a", "b", "c")})
    searcher = made(name, space, options=options)
    found = []
    for trial in range(100):
        found.append(searcher.suggest(1)[0])
        tell(searcher, np.empty((0, 3)), 9, [float(found[-1].sum())], first=trial)
    random = RandomSearcher(space, 0).points(0, 100)
    assert len({str(space.mapping(point)) for point in found}) == 100
    assert len({str(space.mapping(point)) for point in random}) < 95
    for trial, (point, own) in enumerate(zip(found, random, strict=True)):
        if options and not np.array_equal(point, own):  # all are random
            assert space.mapping(own) in [space.mapping(one) for one in found[:trial]]


def test_the_first_trials_are_random_searchs_own() -> None:
    searcher = made("tpe", options={"num_init": 25})
    tell(searcher, np.linspace(0.0, 1.0, 20)[:, None], 9, [1.0] * 20)
    random = RandomSearcher(LINE, 0).points(20, 7)
    found = searcher.suggest(6)
    for trial in range(20, 25):
        searcher.observe(trial, 9, 1.0)
    assert (found == random[:6]).all()  # the last has no level with 25 numbers
    assert searcher.suggest(1)[0] != random[6]


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.sampled_from(NAMES), st.integers(0, 5))
@settings(max_examples=examples(8), deadline=None)
def test_sizes_of_asks_do_not_matter(sizes: list[int], name: str, seed: int) -> None:
    whole, parts = made(name, MIXED, seed, {}), made(name, MIXED, seed, {})
    points = np.random.default_rng(seed).random((12, 4))
    for searcher in (whole, parts):
        tell(searcher, points, 9, points[:, 1].tolist())
    expected = whole.suggest(sum(sizes))
    assert np.concatenate([parts.suggest(size) for size in sizes]).tobytes() == expected.tobytes()


def events(searcher: TPE, suggest: Callable[[int], Any], start: int, stop: int) -> list[list[float]]:
    """Drive a searcher as an executor would: some trials stop, some pause and go on, some fail."""
    found = []
    for trial in range(start, stop):
        point = suggest(trial)
        found.append(point.tolist())
        searcher.register_pending(trial, 1)
        if trial % 7 == 6:
            searcher.forget(trial)
            continue
        searcher.observe(trial, 1, None if trial % 5 == 4 else float(point[0]))
        searcher.forget(trial)
        if trial % 2 == 0 and trial >= 2:
            searcher.register_pending(trial - 2, 9)
            if trial % 4 == 0:
                searcher.observe(trial - 2, 9, float(trial))
                searcher.forget(trial - 2)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_resumed_study_goes_on_as_it_would_have_and_fits_nothing(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"num_init": 3}
    straight = made(name, MIXED, 1, options)
    found = events(straight, lambda trial: straight.suggest(1)[0], 0, 40)

    resumed = made(name, MIXED, 1, options)

    def again(trial: int) -> Any:
        point = np.array([found[trial]])
        resumed.resume(point)
        return point[0]

    with monkeypatch.context() as patch:
        patch.setattr("hbsim.searchers.tpe._sampler", lambda *_: pytest.fail("a model was fitted"))
        events(resumed, again, 0, 25)
    assert events(resumed, lambda trial: resumed.suggest(1)[0], 25, 40) == found[25:]
    monkeypatch.setattr("hbsim.searchers.tpe._sampler", lambda *_: pytest.fail("a model was fitted"))
    with pytest.raises(pytest.fail.Exception):  # so it would have told
        resumed.suggest(30)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("type", ["stopping", "promotion"])
def test_a_study_is_the_same_bytes_again(name: str, type: str) -> None:
    def run() -> Any:
        scheduler = make_scheduler(type, max_t=9, num_trials=25, seed=0)
        result = hbsim.simulate(scheduler, "synthetic:max_resource=9", workers=4, seed=3, searcher=name)
        return result.jobs, result.decisions

    (jobs, decisions), (jobs_again, decisions_again) = run(), run()
    assert jobs.equals(jobs_again)
    assert decisions.equals(decisions_again)


def regrets(searcher: str, type: str) -> Any:
    """Return the regret of forty trials, shape (9,), each on curves of its own."""
    found = []
    for seed in range(9):
        scheduler = make_scheduler(type, max_t=9, num_trials=40, seed=seed)
        curves = f"synthetic:max_resource=9,early_rank=0.9,divergence=0.0,seed={seed}"
        result = hbsim.simulate(scheduler, curves, workers=4, seed=seed, searcher=searcher)
        found.append(result.summary()["regret"])
    return np.array(found)


@pytest.mark.parametrize(("name", "type"), [("tpe", "promotion"), ("bohb", "stopping")])
def test_it_is_better_than_random_search(name: str, type: str) -> None:
    own, random = regrets(name, type), regrets("random", type)
    assert wilcoxon(np.log(own), np.log(random), alternative="less").pvalue < 0.05
    assert np.median(own) < 0.8 * np.median(random)


@pytest.mark.parametrize(
    ("name", "options", "field", "rule"),
    [
        ("tpe", {"num_init": 0}, "num_init", "whole number of at least 1"),
        ("bohb", {"num_init": -1}, "num_init", "whole number of at least 0"),
        ("bohb", {"min_points": 0}, "min_points", "whole number of at least 1"),
        ("bohb", {"candidates": 0.5}, "candidates", "whole number of at least 1"),
        ("bohb", {"top": 1.0}, "top", "above 0 and below 1"),
        ("bohb", {"random_fraction": 1.5}, "random_fraction", "from 0 to 1"),
        ("bohb", {"random_fraction": "x"}, "random_fraction", "must be a number"),
        ("tpe", {"top": 0.1}, "top", "is no option of the searcher tpe"),
        ("tpe", {"random_fraction": 0}, "random_fraction", "is no option of the searcher tpe"),
    ],
)
def test_errors_name_the_option(name: str, options: Any, field: str, rule: str) -> None:
    with pytest.raises(ParameterError) as caught:
        make_searcher(name, SearchTask(LINE, 0), options)
    assert caught.value.field == f"search_options.{field}"
    assert rule in caught.value.rule


@pytest.mark.parametrize(
    ("task", "rule"),
    [
        (SearchTask(None, 0, rows=5), "needs to know the hyperparameters"),
        (SearchTask(Space({}), 0), "no parameter to search over"),
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_spaces_it_cannot_take(name: str, task: SearchTask, rule: str) -> None:
    with pytest.raises(ParameterError, match=rule):
        make_searcher(name, task)


@pytest.mark.parametrize("name", NAMES)
def test_without_optuna_the_message_names_the_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ParameterError, match=r'needs Optuna: pip install -e "\.\[search\]"') as caught:
        make_searcher(name, SearchTask(LINE, 0))
    assert (caught.value.field, caught.value.value) == ("searcher", name)


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_what_was_observed_does_not_matter(name: str) -> None:
    points = np.random.default_rng(0).random((20, 4))
    found = []
    for order in (range(20), reversed(range(20))):
        searcher = made(name, MIXED)
        searcher.resume(points)
        for trial in order:
            searcher.observe(trial, 9, float(points[trial, 1]))
        found.append(searcher.suggest(3).tobytes())
    assert found[0] == found[1]
