"""Searchers over spaces where some parameters count in some configurations only."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hbsim
from hbsim.core.space import Bool, Choice, Int, Real, Space
from hbsim.errors import ParameterError
from hbsim.searchers import SearchTask, make_searcher
from hbsim.searchers.encoding import Encoding
from hbsim.searchers.factory import about
from hbsim.searchers.grid import GridSearcher
from hbsim.surrogates import Noisy, load
from hbsim.surrogates.wrap_corrupted import end_region, random_region

SPACE = Space(
    {
        "opt": Choice("sgd", "adam"),
        "lr": Real(1e-3, 1.0, log=True),
        "momentum": Real(0, 1, default=0.9, when={"opt": "sgd"}),
        "beta": Real(0, 1, when={"opt": "adam"}),
        "layers": Int(1, 3),
        "width_2": Int(4, 64, log=True, when={"layers": [2, 3]}),
        "skip": Bool(when={"layers": 3, "opt": "sgd"}),
    }
)
BLIND = ("random", "grid", "sobol", "lhs")
OPTUNA = ("tpe", "bohb", "optuna:TPESampler", "optuna:RandomSampler", "optuna:NSGAIISampler")
MODELS = ("gp", "mobster", *OPTUNA)
NEEDS = {"gp": "botorch", "mobster": "botorch"} | dict.fromkeys(OPTUNA, "optuna")


def made(name: str, **task: Any) -> Any:
    pytest.importorskip(NEEDS.get(name, "numpy"), reason=f"{name} needs the extra search")
    options = {"num_init": 4} if name in ("gp", "mobster", "tpe", "bohb") else {}
    if name == "bohb":
        options["min_points"] = 3
    return make_searcher(name, SearchTask(SPACE, 3, max_t=9, **task), options)


def loss(one: dict[str, Any]) -> float:
    """Best with sgd, where momentum is 0.7, and one layer."""
    found = abs(np.log10(one["lr"]) + 1.5) / 3 + 0.1 * one["layers"]
    return float(found + (abs(one["momentum"] - 0.7) if one["opt"] == "sgd" else 0.5 + one["beta"] / 2))


def studied(searcher: Any, trials: int) -> tuple[list[dict[str, Any]], list[Any]]:
    """Return what is tried in a study with two workers: configurations, and their points."""
    found: list[dict[str, Any]] = []
    points = []
    for trial in range(trials):
        (point,) = searcher.suggest(1)
        points.append(point)
        found.append(SPACE.mapping(point))
        searcher.register_pending(trial, 9)
        if trial:
            searcher.observe(trial - 1, 9, -loss(found[trial - 1]))
            searcher.forget(trial - 1)
    return found, points


@pytest.mark.parametrize("name", [*BLIND, *MODELS])
def test_points_are_settled_and_configurations_have_what_counts(name: str) -> None:
    points = made(name).suggest(40)
    assert (SPACE.settled(points) == points).all()
    for one in SPACE.mappings(points):
        assert ("momentum" in one) == (one["opt"] == "sgd") != ("beta" in one)
        assert ("width_2" in one) == (one["layers"] > 1)
        assert ("skip" in one) == (one["layers"] == 3 and one["opt"] == "sgd")


@pytest.mark.usefixtures("coarse_models")
@pytest.mark.parametrize("name", ["gp", "mobster", "tpe", "bohb", "optuna:TPESampler"])
def test_models_learn_through_what_does_not_count(name: str) -> None:
    trials = 24 if name in ("gp", "mobster") else 40  # these take longest
    found, _ = studied(made(name), trials)
    assert len({str(one) for one in found}) == trials or name.startswith("optuna:")
    first, last = [[loss(one) for one in part] for part in (found[:12], found[-12:])]
    assert np.median(last) < np.median(first)
    assert sum(one["opt"] == "sgd" for one in found[-12:]) > 6


@pytest.mark.usefixtures("coarse_models")
@pytest.mark.parametrize("name", MODELS)
def test_a_resume_goes_on_over_such_a_space(name: str) -> None:
    before, again = made(name), made(name)
    found, points = studied(before, 12)
    again.resume(np.array(points))
    for trial, one in enumerate(found):
        again.register_pending(trial, 9)
        if trial < 11:
            again.observe(trial, 9, -loss(one))
            again.forget(trial)
    if name.startswith("optuna:"):  # their random state starts anew
        assert len(again.suggest(3)) == 3
    else:
        np.testing.assert_allclose(again.suggest(3), before.suggest(3), atol=1e-9)


@st.composite
def small_spaces(draw: Any) -> Space:
    kinds = [Choice("a", "b"), Bool(), Int(1, 3), Real(0, 1)]
    parameters: dict[str, Any] = {}
    for place in range(draw(st.integers(2, 5))):
        parents = [name for name, p in parameters.items() if not isinstance(p, Real)]
        when: dict[str, Any] = {}
        for parent in draw(st.lists(st.sampled_from(parents), unique=True, max_size=2)) if parents else []:
            when[parent] = SPACE_VALUES[type(parameters[parent])][draw(st.integers(0, 1))]
        parameters[f"p{place}"] = draw(st.sampled_from(kinds)).under(when)
    return Space(parameters)


SPACE_VALUES: dict[type, list[Any]] = {Choice: ["a", "b"], Bool: [False, True], Int: [2, [1, 3]]}


def combinations(space: Space, points: int) -> list[dict[str, Any]]:
    """Return all configurations of a grid: a tree, one parameter after the other."""
    found: list[dict[str, Any]] = [{}]
    for name, parameter in space.parameters.items():
        values: dict[type, list[Any]] = {
            Choice: ["a", "b"],
            Bool: [False, True],
            Int: [1, 2, 3] if points > 2 else [1, 3],
            Real: np.linspace(0, 1, points).tolist(),
        }
        grown = []
        for one in found:
            active = all(p in one and one[p] in values for p, values in parameter.conditions)
            grown += [one | {name: value} for value in values[type(parameter)]] if active else [one]
        found = grown
    return found


@settings(deadline=None)
@given(space=small_spaces(), points=st.integers(2, 3), shuffle=st.booleans())
def test_a_grid_has_each_configuration_once(space: Space, points: int, shuffle: bool) -> None:
    grid = GridSearcher(SearchTask(space, 0), points, shuffle)
    found = space.mappings(grid.suggest(grid.limit))
    wanted = combinations(space, points)
    if shuffle:
        found, wanted = sorted(found, key=str), sorted(wanted, key=str)
    assert found == wanted
    assert grid.size >= grid.limit == len(wanted)


def test_a_grid_says_how_many_of_the_combinations_there_are() -> None:
    grid = GridSearcher(SearchTask(SPACE, 0, constraint=lambda one: one["layers"] < 3), points=2)
    assert grid.limit == len([one for one in combinations_of_space() if one["layers"] < 3])
    rest = f"of {len(combinations_of_space())} without the constraint: opt 2 x lr 2"
    assert about(grid).startswith(f"grid of {grid.limit} configurations, {rest}")
    assert about(grid).endswith("skip 2, where they are active")


def test_branches_of_a_grid_add_up() -> None:
    """Eight models with two numbers each: 8 x 5 x 5, not 8 x 5^16."""
    models = [f"m{i}" for i in range(8)]
    own = {f"{m}_{x}": Real(0, 1, when={"model": m}) for m in models for x in "ab"}
    grid = GridSearcher(SearchTask(Space({"model": Choice(models), **own}), 0))
    assert (grid.limit, grid.size) == (200, 200)
    sides = Space({"b": Bool(), **{f"i{n}": Int(1, 9, when={"b": True}) for n in range(8)}})
    with pytest.raises(ParameterError, match="more than 10,000,000"):
        GridSearcher(SearchTask(sides, 0), 9)


@pytest.mark.parametrize("name", ["tpe", "bohb"])
def test_a_finite_space_that_is_through_is_still_modelled(name: str) -> None:
    """Twelve configurations, though the product of all values is 72."""
    pytest.importorskip("optuna")
    space = Space({"c": Choice("a", "b", "c"), **{f"x{v}": Choice(*range(4), when={"c": v}) for v in "abc"}})
    space = Space(
        {n: p if n != "xc" else Choice(*range(4), when={"c": "c"}) for n, p in space.parameters.items()}
    )
    searcher = make_searcher(name, SearchTask(space, 0, max_t=1), {"num_init": 12})
    found = []
    for trial in range(36):
        one = space.mapping(searcher.suggest(1)[0])
        found.append(one)
        searcher.register_pending(trial, 1)
        searcher.observe(trial, 1, float(one == {"c": "b", "xb": 2}) + float(one["c"] == "b"))
        searcher.forget(trial)
    assert len({str(one) for one in found}) == 12
    assert sum(one["c"] == "b" for one in found[-18:]) > 9


def combinations_of_space() -> list[dict[str, Any]]:
    axes = itertools.product(["sgd", "adam"], range(2), range(2), range(2), (1, 3), range(2), range(2))
    found = {}
    for opt, lr, momentum, beta, layers, width, skip in axes:
        one: dict[str, Any] = {"opt": opt, "lr": lr, "layers": layers}
        one |= {"momentum": momentum} if opt == "sgd" else {"beta": beta}
        one |= {"width_2": width} if layers > 1 else {}
        one |= {"skip": skip} if layers == 3 and opt == "sgd" else {}
        found[str(sorted(one.items()))] = one
    return list(found.values())


def test_a_constraint_sees_what_counts() -> None:
    seen: list[dict[str, Any]] = []

    def rule(one: Any) -> bool:
        seen.append(dict(one))
        return bool(one.get("momentum", 0.0) < 0.5)

    points = made("random", constraint=rule).suggest(30)
    assert all(one.get("momentum", 0.0) < 0.5 for one in SPACE.mappings(points))
    assert {"momentum" in one for one in seen} == {True, False}


def test_columns_do_not_move_with_what_does_not_count() -> None:
    encoding = Encoding(SPACE)
    points = np.random.default_rng(0).random((400, SPACE.dimension))
    changed = np.where(SPACE.active(points), points, np.random.default_rng(1).random(points.shape))
    assert (encoding.columns(points) == encoding.columns(changed)).all()
    moved = encoding.perturb(encoding.snap(points), np.random.default_rng(2))
    assert (encoding.snap(moved) == moved).all()
    appeared = SPACE.active(moved)[:, 2] & ~SPACE.active(points)[:, 2]
    assert len(set(moved[appeared, 2])) == appeared.sum() > 10  # drawn anew, not all at the default


@hbsim.args(**SPACE.parameters)
def train(args: Any, reporter: Any) -> None:
    for epoch in range(1, 5):
        reporter(epoch=epoch, accuracy=1 / epoch - args.momentum - args.lr)


@pytest.mark.filterwarnings("ignore:.*the clock of row .* jumps")  # trials that train for microseconds
def test_curves_are_recorded_and_read_with_nulls(tmp_path: Path) -> None:
    pl = pytest.importorskip("polars")
    out = tmp_path / "curves.parquet"
    hbsim.record(f"{__file__}:train", 30, out, max_t=4, seed=1, metric="accuracy", mode="max")
    frame = pl.read_parquet(tmp_path / "curves.parquet").group_by("config", maintain_order=True).first()
    assert (frame["momentum"].is_null() == (frame["opt"] == "adam")).all()
    assert (frame["skip"].is_not_null() == ((frame["opt"] == "sgd") & (frame["layers"] == 3))).all()
    curves = load(str(tmp_path / "curves.parquet"))
    assert curves.space == SPACE
    drawn = make_searcher("random", SearchTask(SPACE, 1)).suggest(30)
    np.testing.assert_allclose(curves.points, SPACE.encode(dict(SPACE.decode(drawn))), atol=1e-9)  # type: ignore[attr-defined]
    assert frame.schema["skip"] == pl.Boolean
    fitted = load(f"fit:{tmp_path / 'curves.parquet'}")
    changed = np.where(SPACE.active(drawn), drawn, 0.123)
    levels = np.array([1.0, 4.0])
    assert (fitted.expected(changed, levels) == fitted.expected(drawn, levels)).all()  # type: ignore[attr-defined]
    noisy = Noisy(fitted, std=0.5)
    assert (noisy.evaluate(changed, levels)[0] == noisy.evaluate(drawn, levels)[0]).all()
    levels_of: dict[str, Any] = {"max_t": 4, "grace_period": 1, "reduction_factor": 2, "num_trials": 9}
    options: dict[str, Any] = {"surrogate": str(tmp_path / "curves.parquet"), "max_reward": None, **levels_of}
    seeds = hbsim.HyperbandScheduler(train, executor="sim", checkpoint=None, **options)
    seeds.run()
    best: Any = seeds.get_best_config()
    assert ("momentum" in best) == (best["opt"] == "sgd") != ("beta" in best)


def test_wrappers_take_parameters_that_are_always_active() -> None:
    surrogate = Flat()
    points = SPACE.sample(4000, np.random.default_rng(0))
    for seed in range(6):
        within = random_region(surrogate, 0.2, seed).contains(points)  # type: ignore[arg-type]
        assert within.mean() == pytest.approx(0.2, abs=0.03)
    for name in ("momentum", "width_2"):
        with pytest.raises(ParameterError, match="not active in every configuration"):
            end_region(surrogate, 0.2, name, "high")  # type: ignore[arg-type]
    assert end_region(surrogate, 0.2, "lr", "high").contains(points).mean() == pytest.approx(0.2, abs=0.03)  # type: ignore[arg-type]


class Flat:
    name, rows, space = "flat", None, SPACE


def test_a_study_shows_what_was_chosen(tmp_path: Path) -> None:
    scheduler = hbsim.make_scheduler(type="stopping", num_trials=8, max_t=4)
    ran = hbsim.run(train, scheduler, workers=2, folder=tmp_path / "study", progress="none")
    frame = ran.configurations
    assert (frame["momentum"].is_null() == (frame["opt"] == "adam")).all()
    for trial in range(8):
        chosen = {name: value for name, value in frame.row(trial, named=True).items() if value is not None}
        assert chosen == {"trial": trial, **ran.configuration(trial)}
