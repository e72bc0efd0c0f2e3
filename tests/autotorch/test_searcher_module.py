"""AutoTorch's searchers by hand, against a record of what they were told; the studies are in test_scripts."""

from __future__ import annotations

import ast
from math import inf, nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hbsim
from hbsim.autotorch.searchers import SearcherOfConfigs
from hbsim.errors import ParameterError
from hbsim.searchers import SearchTask
from tests.profile import examples

SPACE = hbsim.Space({"lr": hbsim.Real(1e-3, 1.0, log=True), "net": hbsim.List(hbsim.Int(1, 3), "x")})
FEW = hbsim.Space({"x": hbsim.Choice("a", "b"), "y": hbsim.Bool()})


@hbsim.args(lr=hbsim.Real(1e-3, 1e-2, log=True), act=hbsim.Choice("relu", "tanh"))
def train_fn(args: Any, reporter: Any) -> None:
    """Report nothing."""


def test_random_search_begins_with_the_default_and_has_each_once() -> None:
    searcher = hbsim.searcher.RandomSearcher(SPACE)
    assert searcher.get_config() == {"lr": pytest.approx(SPACE.defaults["lr"]), "net.0": 2}
    configs = [searcher.get_config() for _ in range(50)]
    assert len({tuple(config.items()) for config in configs}) == 50
    assert all(SPACE.mapping(SPACE.encode(config)).keys() == {"lr", "net.0"} for config in configs)
    again = hbsim.searcher.RandomSearcher(SPACE)
    assert [again.get_config() for _ in range(51)][1:] == configs
    other = hbsim.searcher.RandomSearcher(SPACE, seed=1)
    assert [other.get_config() for _ in range(51)][1:] != configs
    few = hbsim.searcher.RandomSearcher(FEW)
    assert len({tuple(few.get_config().items()) for _ in range(4)}) == 4
    assert few.get_config() in [{"x": x, "y": y} for x in "ab" for y in (False, True)]  # they are used up


def test_a_grid_has_each_once_and_ends() -> None:
    searcher = hbsim.searcher.GridSearcher(FEW)
    assert (len(searcher), searcher.limit) == (4, 4)
    configs = [searcher.get_config() for _ in range(4)]
    assert configs == [{"x": x, "y": y} for x in "ab" for y in (False, True)]
    assert len(searcher) == 0
    with pytest.raises(ParameterError, match="the grid has 4 configurations"):
        searcher.get_config()
    assert len(hbsim.searcher.GridSearcher(SPACE, points={"lr": 2})) == 6


REPORTS = st.lists(
    st.tuples(
        st.integers(0, 4), st.sampled_from([0.5, -1.0, 2.0, nan]), st.sampled_from(["", "done", "end"])
    ),
    max_size=12,
)


@settings(deadline=None, max_examples=examples(200))
@given(reports=REPORTS)
def test_results_are_the_best_of_what_ended(reports: list[tuple[int, float, str]]) -> None:
    searcher = hbsim.searcher.RandomSearcher(SPACE)
    configs = [searcher.get_config() for _ in range(5)]
    expected = [-inf] * 5
    for place, reward, how in reports:
        ends = {"done": how == "done", "terminated": how == "end"}
        searcher.update(configs[place], reward, epoch=3, accuracy=reward, **ends)
        if how and reward == reward:
            expected[place] = max(expected[place], reward)
    assert [searcher.get_reward(config) for config in configs] == expected
    best = max(expected)
    assert searcher.get_best_reward() == best
    assert searcher.get_best_config() == configs[expected.index(best)]
    assert searcher.get_best_config_reward() == (configs[expected.index(best)], best)
    assert [searcher.is_best(config) for config in configs].index(True) == expected.index(best)


def test_there_is_nothing_before_the_first() -> None:
    searcher = hbsim.searcher.RandomSearcher(train_fn)
    assert (searcher.get_best_config(), searcher.get_best_reward()) == ({}, -inf)
    assert not searcher.is_best({})
    with pytest.raises(ParameterError, match="neither handed out nor updated"):
        searcher.get_reward({"lr": 1})
    assert "over lr, act: 0 configurations" in repr(searcher)
    with pytest.raises(NotImplementedError):
        hbsim.searcher.BaseSearcher(SPACE).get_config()


def test_a_configspace_is_taken() -> None:
    pytest.importorskip("ConfigSpace", reason="needs the extra search")
    searcher = hbsim.searcher.RandomSearcher(train_fn.cs)
    assert searcher.get_config() == {"lr": pytest.approx(10**-2.5), "act": "relu"}
    assert set(searcher.get_config()) == {"lr", "act"}


@pytest.fixture(scope="module")
def botorch() -> None:
    pytest.importorskip("botorch", reason="gp needs the extra search")
    pytest.importorskip("gpytorch")


@pytest.mark.usefixtures("botorch")
def test_bayesopt_learns() -> None:
    searcher = hbsim.searcher.BayesOptSearcher(
        hbsim.Space({"x": hbsim.Real(0.0, 1.0)}), num_init=4, kappa=0.5
    )
    searcher.update({"x": 0.9}, -0.36, done=True)  # somebody else's
    for _ in range(9):
        config: Any = searcher.get_config()
        searcher.register_pending(config, 1)
        searcher.update(config, -((config["x"] - 0.3) ** 2), done=True)
    assert abs(searcher.get_best_config()["x"] - 0.3) < 0.03  # type: ignore[operator]
    assert len(searcher._results) == 10


@pytest.mark.usefixtures("botorch")
def test_lazy_configs_come_first_and_are_chosen_among() -> None:
    space = hbsim.Space({"x": hbsim.Real(0.0, 1.0), "k": hbsim.Choice("a", "b")})
    pool = [{"x": x / 10, "k": "a"} for x in range(10)]
    searcher = hbsim.searcher.BayesOptSearcher(space, lazy_configs=[*pool, pool[0]], num_init=3, kappa=0)
    seen = []
    for _ in range(10):
        config: Any = searcher.get_config()
        seen.append(config)
        searcher.update(config, -abs(config["x"] - 0.5), done=True)
    assert sorted(seen, key=lambda config: config["x"]) == pool
    learnt = np.array([config["x"] for config in seen[3:]])
    assert abs(learnt[:3] - 0.5).mean() < abs(learnt[3:] - 0.5).mean()
    config = searcher.get_config()  # of all of the space
    assert config not in pool
    searcher.update(config, 0.0, done=True)
    assert searcher.get_config() not in [*pool, config]


@pytest.mark.usefixtures("botorch")
def test_kappa_is_how_far_it_goes_from_what_is_known() -> None:
    from hbsim.searchers import SearchTask, make_searcher

    def suggestion(kappa: float | None) -> float:
        task = SearchTask(hbsim.Space({"x": hbsim.Real(0.0, 1.0)}), 0)
        searcher = make_searcher("gp", task, {"num_init": 1, "kappa": kappa})
        searcher.resume(np.array([[0.1], [0.2], [0.3]]))
        for trial, value in enumerate([0.8, 1.0, 0.8]):
            searcher.observe(trial, 1.0, value)
        return float(searcher.suggest(1)[0, 0])

    assert abs(suggestion(0.0) - 0.2) < 0.1
    assert suggestion(100.0) > 0.5
    assert suggestion(None) not in (suggestion(0.0), suggestion(100.0))


@pytest.mark.usefixtures("botorch")
@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"ac_kind": "poi"}, "ac_kind"),
        ({"xi": 0.1}, "xi"),
        ({"random_state": "x"}, "random_state"),
        ({"kappa": -1}, "search_options.kappa"),
        ({"kappa": "far"}, "search_options.kappa"),
        ({"lazy_configs": [{"lr": 9.0, "net.0": 1}]}, "lr"),
        ({"configspace": 3}, "configspace"),
    ],
)
def test_what_is_wrong_is_said(options: dict[str, Any], field: str) -> None:
    with pytest.raises(ParameterError) as caught:
        hbsim.searcher.BayesOptSearcher(**{"configspace": SPACE, **options})
    assert caught.value.field == field


class Halves(hbsim.searcher.BaseSearcher):
    """A searcher of the user's own: it halves lr, and records what it is told."""

    def __init__(self, configspace: object) -> None:
        super().__init__(configspace)
        self.told: list[tuple[Any, ...]] = []
        self.lr = 2.0

    def get_config(self) -> dict[str, object]:
        self.lr /= 2
        return {"net.0": 2, "lr": self.lr}

    def update(self, config: Any, reward: float, **report: Any) -> None:  # type: ignore[override]
        super().update(config, reward, **report)
        self.told.append((config["lr"], reward, report))

    def register_pending(self, config: Any, milestone: float | None = None) -> None:
        self.told.append((config["lr"], milestone))


@pytest.mark.parametrize("mode", ["max", "min"])
def test_a_searcher_of_the_users_own_in_a_study(mode: Any) -> None:
    own = Halves(SPACE)
    searcher = SearcherOfConfigs(own)
    searcher.bind(SearchTask(SPACE, 0, mode=mode), "step", "loss")
    queue = SPACE.encode({"lr": 0.125, "net.0": 1})[np.newaxis]
    searcher.queued(queue)
    points = searcher.suggest(2)
    assert SPACE.mappings(points) == [{"lr": pytest.approx(lr), "net.0": 2} for lr in (1.0, 0.5)]
    searcher.register_pending(1, 3.0)
    searcher.observe(1, 3.0, 0.25)
    searcher.observe(0, 3.0, None)
    searcher.forget(1)
    searcher.forget(2)
    sign = 1 if mode == "max" else -1
    assert own.told[:2] == [(1.0, 3.0), (1.0, sign * 0.25, {"step": 3.0, "loss": 0.25})]
    assert own.told[2][1] != own.told[2][1]
    assert own.told[3:] == [(1.0, sign * 0.25, {"step": 3.0, "loss": 0.25, "terminated": True})]
    assert own.get_best_config_reward() == ({"lr": 1.0, "net.0": 2}, sign * 0.25)


def test_another_space_is_refused() -> None:
    for task in (SearchTask(FEW, 0), SearchTask(None, 0, rows=3), SearchTask(SPACE, 0, rows=3)):
        searcher = SearcherOfConfigs(hbsim.searcher.RandomSearcher(SPACE))
        with pytest.raises(ParameterError, match=r"searches over lr, net\.0") as caught:
            searcher.bind(task, "epoch", "accuracy")
        assert caught.value.field == "searcher"


def test_one_that_is_used_again_goes_on() -> None:
    """What it handed out before it hands out again, in a run from the beginning, and hears once only."""
    own = Halves(SPACE)
    made = SearcherOfConfigs(own)
    first = made.suggest(3)
    made.observe(0, 1.0, 0.5)
    again = made.again()
    assert again.suggest(2).tolist() == first[:2].tolist()
    again.observe(0, 1.0, 0.5)
    again.observe(1, 1.0, 0.5)
    assert [lr for lr, *_ in own.told] == [1.0, 0.5]
    resumed = made.again()
    resumed.resume(first)
    assert SPACE.mappings(resumed.suggest(1)) == [{"lr": pytest.approx(0.125), "net.0": 2}]


def test_one_that_is_resumed_goes_on_as_it_would_have() -> None:
    whole = SearcherOfConfigs(hbsim.searcher.RandomSearcher(FEW)).suggest(4)
    resumed = SearcherOfConfigs(hbsim.searcher.RandomSearcher(FEW))
    resumed.resume(whole[:2])
    assert resumed.suggest(2).tolist() == whole[2:].tolist()


PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "from-autotorch.md"


def test_the_loop_of_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("ConfigSpace", reason="needs the extra search")
    (block,) = [part for part in PAGE.read_text("utf-8").split("```python\n")[1:] if "get_config" in part]
    exec(block.split("```")[0], {"at": hbsim, "train_fn": train_fn})
    config, reward = capsys.readouterr().out.rsplit(" ", 1)
    assert float(reward) == pytest.approx(-abs(ast.literal_eval(config)["lr"] - 5e-3))
