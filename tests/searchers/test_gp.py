"""The searchers `gp` and `mobster`: what they find, what is pending, resuming, and numbers that go wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.stats import wilcoxon

import hbsim
from hbsim.core import make_scheduler
from hbsim.core.space import Bool, Choice, Int, Real, Space
from hbsim.errors import ParameterError
from hbsim.searchers import RandomSearcher, SearchTask, make_searcher

torch = pytest.importorskip("torch")
pytest.importorskip("botorch", reason="needs BoTorch: the extra search")

from hbsim.searchers.gp import GaussianSearch  # noqa: E402
from tests.profile import thorough  # noqa: E402

pytestmark = pytest.mark.usefixtures("coarse_models")
NAMES = ("gp", "mobster")
SHARED = ("gp", pytest.param("mobster", marks=thorough))  # what both have from the same code
MIXED = Space(
    {
        "lr": Real(1e-4, 1.0, log=True),
        "n": Int(1, 9, log=True),
        "act": Choice("a", "b", (1, 2)),
        "b": Bool(),
    }
)
Function = Callable[[Any], float | None]
History = list[tuple[Any, ...]]


def cube(d: int) -> Space:
    return Space({f"x{i}": Real(0, 1) for i in range(d)})


def made(name: str, space: Space, seed: int = 0, options: Any = None, **task: Any) -> GaussianSearch:
    searcher = make_searcher(name, SearchTask(space, seed, max_t=9, **{"mode": "min"} | task), options)
    assert isinstance(searcher, GaussianSearch)
    return searcher


def branin(u: Any) -> float:
    """Return Branin's function of the unit square less its minimum."""
    x, y = 15 * u[0] - 5, 15 * u[1]
    bowl = (y - 5.1 / (4 * np.pi**2) * x * x + 5 / np.pi * x - 6) ** 2
    return float(bowl + 10 * (1 - 1 / (8 * np.pi)) * np.cos(x) + 10 - 0.397887)


RATES = np.array(
    [
        [10, 3, 17, 3.5, 1.7, 8],
        [0.05, 10, 17, 0.1, 8, 14],
        [3, 3.5, 1.7, 10, 17, 8],
        [17, 8, 0.05, 10, 0.1, 14],
    ]
)
PLACES = np.array(
    [
        [0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886],
        [0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991],
        [0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650],
        [0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381],
    ]
)


def hartmann(u: Any) -> float:
    """Return Hartmann's function in six dimensions less its minimum."""
    near = np.exp(-(RATES * (u - PLACES) ** 2).sum(axis=1))
    return float(3.32237 - np.array([1, 1.2, 3, 3.2]) @ near)


def bowl(u: Any) -> float:
    return float(np.square(np.asarray(u) - 0.3).sum())


def play(searcher: GaussianSearch, function: Function, trials: int, running: int = 1) -> History:
    """Run trials, so many at a time, each to levels 1 and, every third, 9; return all that was said."""
    said: History = []
    waiting: list[tuple[int, Any]] = []
    for trial in range(trials):
        point = searcher.suggest(1)[0]
        said.append(("resume", point))
        waiting.append((trial, point))
        _say(searcher, said, ("register_pending", trial, 1.0))
        if len(waiting) >= running:
            first, its_point = waiting.pop(0)
            value = function(its_point)
            _say(searcher, said, ("observe", first, 1.0, value))
            if first % 3 == 0:
                _say(searcher, said, ("register_pending", first, 9.0))
                _say(searcher, said, ("observe", first, 9.0, None if value is None else value - 0.5))
            _say(searcher, said, ("forget", first))
    return said


def _say(searcher: GaussianSearch, said: History, words: tuple[Any, ...]) -> None:
    said.append(words)
    getattr(searcher, words[0])(*words[1:])


def say_again(searcher: GaussianSearch, said: History) -> None:
    for words in said:
        if words[0] == "resume":
            searcher.resume(words[1][np.newaxis])
        else:
            getattr(searcher, words[0])(*words[1:])


def best_of(name: str, function: Function, d: int, seed: int, trials: int, options: Any = None) -> float:
    """Return the best value of trials that run one after the other, to one level."""
    space = cube(d)
    searcher = RandomSearcher(space, seed) if name == "random" else made(name, space, seed, options)
    found: list[float] = []
    for trial in range(trials):
        value = function(searcher.suggest(1)[0])
        assert value is not None
        found.append(value)
        searcher.register_pending(trial, 9.0)
        searcher.observe(trial, 9.0, value)
        searcher.forget(trial)
    return min(found)


@thorough
@pytest.mark.usefixtures("full_models")
@pytest.mark.parametrize(("function", "d", "trials"), [(branin, 2, 15), (hartmann, 6, 15)])
def test_gp_beats_random_search(function: Function, d: int, trials: int) -> None:
    """Over 20 seeds, each pair with the same first six trials."""
    seeds, options = range(20), {"num_init": 6}
    found = [best_of("gp", function, d, seed, trials, options) for seed in seeds]
    random = [best_of("random", function, d, seed, trials) for seed in seeds]
    assert wilcoxon(found, random, alternative="less").pvalue < 1e-3
    assert np.median(found) < 0.5 * np.median(random)


def test_mobster_finds_a_configuration_that_is_best_at_r() -> None:
    found = np.array(
        [[best_of(name, bowl, 3, seed, 14) for name in ("mobster", "random")] for seed in range(3)]
    )
    assert (found[:, 0] < found[:, 1]).all()


@pytest.mark.parametrize("name", SHARED)
def test_what_is_asked_for_together_differs(name: str) -> None:
    searcher = made(name, cube(2))
    play(searcher, bowl, 8)
    points = searcher.suggest(12)
    apart = np.abs(points[:, None] - points).max(axis=2) + np.eye(12)
    assert apart.min() >= 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_without_what_is_pending_the_same_is_asked_for_again(name: str) -> None:
    """Nearly so: what was tried is taken by no two trials."""
    nearest = {}
    for is_told in (False, True):
        searcher = made(name, cube(2))
        play(searcher, bowl, 10)
        found = []
        for trial in range(10, 16):
            found.append(searcher.suggest(1)[0])
            if not is_told:
                searcher.forget(trial)
        points = np.array(found)
        apart = np.linalg.norm(points[:, None] - points, axis=2) + np.eye(6)
        nearest[is_told] = np.median(apart.min(axis=1))
    assert nearest[False] < 0.5 * nearest[True]


@pytest.mark.parametrize("name", NAMES)
def test_many_workers_get_no_copies_of_what_runs(name: str) -> None:
    """Though it runs to the first level only, which says little of R."""
    searcher, running = made(name, cube(6)), 10
    said = play(searcher, hartmann, 26, running=running)
    points = np.array([words[1] for words in said if words[0] == "resume"])
    apart = np.abs(points[:, None] - points).max(axis=2)
    nearest = [apart[trial, trial - running + 1 : trial].min() for trial in range(running, 26)]
    assert min(nearest) > 0.02


@pytest.mark.parametrize(("name", "space"), [("gp", cube(2)), ("mobster", MIXED)])
def test_the_same_history_gives_the_same_bytes(name: str, space: Space) -> None:
    """Whatever the sizes of blocks, PyTorch's threads and generator, and fits before."""
    one, other = made(name, space, 3), made(name, space, 3)
    said = play(one, bowl, 12, running=3)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        torch.manual_seed(1)
        say_again(other, said)
        state = torch.random.get_rng_state()
        first = other.suggest(3).tobytes()
        assert torch.equal(state, torch.random.get_rng_state())
    finally:
        torch.set_num_threads(before)
    torch.manual_seed(2)
    assert b"".join(one.suggest(1).tobytes() for _ in range(3)) == first


@pytest.mark.parametrize("name", NAMES)
def test_resuming_fits_nothing_and_goes_on_as_it_would_have(name: str) -> None:
    whole, resumed = made(name, cube(2), 1), made(name, cube(2), 1)
    said = play(whole, bowl, 18, running=2)
    cut = [place for place, words in enumerate(said) if words[0] == "resume"][13]
    say_again(resumed, said[:cut])
    assert resumed.fits == 0
    for words in said[cut:]:
        if words[0] == "resume":
            assert resumed.suggest(1)[0].tobytes() == words[1].tobytes()
            assert resumed.fits <= 1 or len(resumed.known.points) > 14
        else:
            getattr(resumed, words[0])(*words[1:])
    assert 1 <= resumed.fits < whole.fits


@pytest.mark.parametrize("name", SHARED)
def test_a_fit_serves_until_there_are_three_tenths_more(name: str) -> None:
    searcher = made(name, cube(2), options={"num_init": 1})
    play(searcher, bowl, 15)
    searcher.suggest(3)
    before = searcher.fits
    searcher.suggest(3)
    searcher.observe(15, 1.0, 0.5)
    searcher.suggest(1)
    assert searcher.fits == before


@pytest.mark.parametrize("name", SHARED)
def test_the_first_trials_are_those_of_random_search(name: str) -> None:
    """By default twice the dimension, from 8 to 20."""
    for space, random in ((cube(1), 8), (cube(5), 10), (cube(12), 20)):
        searcher = made(name, space, 5)
        said = play(searcher, bowl, random)
        points = np.array([words[1] for words in said if words[0] == "resume"])
        assert points.tolist() == RandomSearcher(space, 5).points(0, random).tolist()
        assert searcher.fits == 0
        assert searcher.suggest(1).tolist() != RandomSearcher(space, 5).points(random, 1).tolist()


@pytest.mark.parametrize("name", NAMES)
def test_mixed_spaces(name: str) -> None:
    """The best choice, bool and number are found; no configuration comes twice."""

    def loss(point: Any) -> float:
        values: Any = MIXED.mapping(point)
        bad = {"a": 1.0, "b": 0.4, (1, 2): 0.0}[values["act"]] + 0.5 * values["b"]
        return float(bad + abs(np.log10(values["lr"]) + 2) / 3 + abs(values["n"] - 5) / 9)

    searcher = made(name, MIXED, 2)
    said = play(searcher, loss, 20)
    points = np.array([words[1] for words in said if words[0] == "resume"])
    assert len({str(MIXED.mapping(point)) for point in points}) == 20
    best: Any = MIXED.mapping(points[np.argmin([loss(point) for point in points])])
    assert (best["act"], best["b"]) == ((1, 2), False)
    assert np.median([loss(point) for point in points[-8:]]) < np.median([loss(p) for p in points[:8]])


@pytest.mark.parametrize("name", SHARED)
def test_when_all_was_tried_configurations_come_again(name: str) -> None:
    space = Space({"act": Choice("a", "b"), "n": Int(1, 3)})
    searcher = made(name, space, options={"num_init": 2})
    said = play(searcher, lambda point: float(point.sum()), 10)
    points = np.array([words[1] for words in said if words[0] == "resume"])
    assert len({str(space.mapping(point)) for point in points}) == 6
    assert len({str(space.mapping(point)) for point in points[2:6]}) == 4


@pytest.mark.parametrize("name", NAMES)
def test_a_space_with_nothing_to_choose(name: str) -> None:
    searcher = made(name, Space({"act": Choice("a")}), options={"num_init": 1})
    play(searcher, bowl, 4)
    assert searcher.fits == 0


@pytest.mark.parametrize("name", SHARED)
def test_constraints_hold_and_are_asked_as_rarely_as_can_be(name: str) -> None:
    asked = 0

    def allows(configuration: Any) -> bool:
        nonlocal asked
        asked += 1
        return bool(configuration["x0"] + configuration["x1"] > 1.2)

    searcher = made(name, cube(2), options={"constraints": allows})
    play(searcher, bowl, 8)
    asked = 0
    points = searcher.suggest(6)
    assert (points.sum(axis=1) > 1.2).all()
    assert asked < 6 * 700
    assert points.sum(axis=1).min() < 1.3  # the best that is allowed lies at its border


def test_an_error_of_the_constraint_is_not_swallowed() -> None:
    def broken(configuration: Any) -> bool:
        if searcher.known.values:
            raise ValueError("mine")
        return True

    searcher = made("gp", cube(2), options={"num_init": 1, "constraints": broken})
    searcher.suggest(1)
    searcher.observe(0, 9.0, 1.0)
    with pytest.raises(ValueError, match="mine"):
        searcher.suggest(1)


@pytest.mark.parametrize(("name", "replace"), [("gp", False), ("gp", True), ("mobster", False)])
def test_of_a_table_the_best_rows_come_soon_and_each_once(name: str, replace: bool) -> None:
    points = MIXED.sample(40, np.random.default_rng(0))
    points[7] = points[3]  # the same configuration twice

    def loss(row: Any) -> float:
        return abs(float(points[row][0]) - 0.5)

    def allows(configuration: Any) -> bool:
        return bool(configuration["act"] != "b")

    options = {"constraints": allows, "num_init": 5}
    searcher = made(name, MIXED, 1, options, rows=40, points=points, replace=replace)
    left = searcher.remaining
    rows = [words[1] for words in play_rows(searcher, loss, 15)]
    assert len(set(rows)) == 15
    assert left == (None if replace else sum(allows(MIXED.mapping(point)) for point in points))
    allowed = [row for row in range(40) if allows(MIXED.mapping(points[row]))]
    assert set(rows) <= set(allowed)
    best = sorted(allowed, key=loss)[:6]
    assert len(set(rows) & set(best)) >= 5
    if not replace:
        rest = searcher.suggest(searcher.remaining or 0).tolist()
        assert sorted(rows + rest) == allowed


def play_rows(searcher: GaussianSearch, loss: Callable[[int], float], trials: int) -> History:
    said: History = []
    for trial in range(trials):
        row = int(searcher.suggest(1)[0])
        said.append(("resume", row))
        _say(searcher, [], ("register_pending", trial, 9.0))
        _say(searcher, [], ("observe", trial, 9.0, loss(row)))
    return said


BAD: dict[str, Function] = {
    "no number": lambda u: None,
    "some numbers": lambda u: None if u[0] < 0.5 else float(u[0]),
    "all the same": lambda u: 7.0,
    "huge": lambda u: 1e34 * float(u[0]),
    "the largest": lambda u: 1.7e308 * (-1) ** int(10 * u[0]),
    "one is huge": lambda u: 1e34 if u[0] > 0.8 else float(u[0]),
    "tiny": lambda u: 1e-310 * float(u[0]),
}


@pytest.mark.parametrize(
    ("name", "kind"),
    [*(("gp", kind) for kind in BAD), ("mobster", "some numbers"), ("mobster", "the largest")],
)
def test_numbers_that_are_hard_to_model(name: str, kind: str) -> None:
    searcher = made(name, cube(2), options={"num_init": 1})
    play(searcher, BAD[kind], 7)
    points = searcher.suggest(3)
    assert ((points >= 0) & (points <= 1)).all()
    assert len(np.unique(points, axis=0)) == 3


@pytest.mark.parametrize("name", NAMES)
def test_the_same_configuration_over_and_over(name: str) -> None:
    """Without noise, and with values that contradict each other."""
    searcher = made(name, cube(2))
    searcher.resume(np.full((12, 2), 0.4))
    for trial in range(12):
        searcher.observe(trial, 9.0, float(trial % 2) if trial > 5 else 0.0)
    assert len(np.unique(searcher.suggest(3), axis=0)) == 3


@pytest.mark.parametrize("name", NAMES)
def test_a_model_that_fails_leaves_random_search(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import hbsim.searchers.gp_model as module

    searcher = made(name, cube(2), options={"num_init": 4})
    play(searcher, bowl, 6)
    assert searcher.fits

    def broken(*_: Any) -> None:
        raise torch.linalg.LinAlgError("not positive definite")

    monkeypatch.setattr(module, "_cholesky", broken)
    assert searcher.suggest(2).tolist() == RandomSearcher(cube(2), 0).points(6, 2).tolist()


@pytest.mark.parametrize("name", NAMES)
def test_there_may_be_more_observations_than_the_model_takes(name: str) -> None:
    searcher, whole = (made(name, cube(1), options={"max_observations": limit}) for limit in (12, 1000))
    for one in (searcher, whole):
        one.resume(RandomSearcher(cube(1), 1).points(0, 40))
        for trial in range(40):
            one.observe(trial, 9.0, bowl(one.known.points[trial]))
    assert abs(searcher.suggest(1)[0, 0] - 0.3) < 0.1
    assert searcher.suggest(1).tolist() != whole.suggest(1).tolist()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("option", "value", "rule"),
    [
        ("num_init", 0, "at least 1"),
        ("num_init", 2.5, "at least 1"),
        ("pending", "liar", "is no option"),
        ("max_observations", 9, "at least 10"),
        ("max_observations", "all", "number"),
        ("kernel", "rbf", "is no option"),
    ],
)
def test_options_are_checked(name: str, option: str, value: Any, rule: str) -> None:
    with pytest.raises(ParameterError, match=rule) as caught:
        made(name, cube(2), options={option: value})
    assert caught.value.field == f"search_options.{option}"


@pytest.mark.parametrize("name", NAMES)
def test_what_they_cannot_search(name: str) -> None:
    with pytest.raises(ParameterError, match="no search space"):
        make_searcher(name, SearchTask(None, 0, rows=5))


@pytest.mark.parametrize("name", NAMES)
def test_botorch_is_missing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "botorch", None)
    with pytest.raises(ParameterError, match=r'pip install -e "\.\[search\]"') as caught:
        made(name, cube(2))
    assert caught.value.field == "searcher"


@pytest.mark.parametrize(("name", "type"), [("gp", "promotion"), ("mobster", "stopping")])
def test_a_study_is_the_same_byte_for_byte(name: str, type: str) -> None:
    def study() -> Any:
        scheduler = make_scheduler(type, max_t=9, num_trials=12, seed=1)
        options = {"maxt_pending": True} if name == "mobster" else None
        return hbsim.simulate(
            scheduler, "synthetic:max_resource=9", workers=3, seed=1, searcher=name, search_options=options
        )

    one, other = study(), study()
    assert one.curves.configurations().tobytes() == other.curves.configurations().tobytes()
    assert one.decisions.equals(other.decisions)
    assert len(one.trials) == 12
