"""Optuna's samplers by name: what they are told, and that they answer as they do in Optuna."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hbsim
from hbsim.core import make_scheduler
from hbsim.core.space import Bool, Choice, Int, Real, Space
from hbsim.core.streams import Purpose, block_generator
from hbsim.errors import ParameterError, needs
from hbsim.searchers import RandomSearcher, SearchTask, make_searcher
from hbsim.searchers.optuna_sampler import OptunaSampler
from hbsim.searchers.optuna_study import OptunaSpace, without_optuna_logs
from tests.profile import examples

optuna = pytest.importorskip("optuna", reason="needs Optuna: the extra search")

PLANE = Space({"x": Real(0.0, 1.0), "y": Real(0.0, 1.0)})
MIXED = Space(
    {"lr": Real(1e-4, 1.0, log=True), "n": Int(1, 50, log=True), "act": Choice("a", (1, 2)), "b": Bool()}
)


def made(
    name: str = "RandomSampler", space: Space = PLANE, seed: int = 0, options: Any = None, **task: Any
) -> Any:
    searcher = make_searcher(f"optuna:{name}", SearchTask(space, seed, **{"max_t": 9, **task}), options)
    assert isinstance(searcher, OptunaSampler)
    return searcher


def states(searcher: Any) -> list[tuple[str, float | None, dict[int, float]]]:
    """Return what Optuna knows after the next question, but for that one."""
    searcher.suggest(1)
    return [(t.state.name, t.value, t.intermediate_values) for t in searcher.optuna_study.study.trials[:-1]]


def run(searcher: Any, trial: int, values: Mapping[float, float | None], ends: bool = True) -> None:
    for level, value in values.items():
        searcher.register_pending(trial, level)
        searcher.observe(trial, level, value)
    if ends:
        searcher.forget(trial)


def test_what_optuna_is_told() -> None:
    searcher = made()
    searcher.suggest(6)
    run(searcher, 0, {1: 0.5, 3: 0.6})  # stopped
    run(searcher, 1, {1: 0.5, 3: 0.6, 9: 0.7})
    run(searcher, 2, {})  # failed
    run(searcher, 3, {1: 0.1}, ends=False)
    run(searcher, 4, {1: 0.1, 9: None})  # no number at R
    run(searcher, 5, {1: np.inf})
    found = states(searcher)
    assert found[:5] == [
        ("PRUNED", 0.6, {1: 0.5, 3: 0.6}),
        ("COMPLETE", 0.7, {1: 0.5, 3: 0.6, 9: 0.7}),
        ("FAIL", None, {}),
        ("RUNNING", None, {1: 0.1}),
        ("FAIL", None, {1: 0.1, 9: pytest.approx(np.nan, nan_ok=True)}),
    ]
    assert found[5] == ("PRUNED", None, {1: pytest.approx(np.nan, nan_ok=True)})


def test_one_that_goes_on_before_the_next_question_stays_running() -> None:
    searcher = made()
    searcher.suggest(1)
    run(searcher, 0, {1: 0.5})
    searcher.register_pending(0, 3)
    assert states(searcher) == [("RUNNING", None, {1: 0.5})]


def test_one_that_goes_on_after_it_was_told_has_a_second_trial() -> None:
    searcher = made("NSGAIISampler", options={"population_size": 2})
    searcher.suggest(1)
    run(searcher, 0, {1: 0.5})
    searcher.suggest(1)
    searcher.register_pending(0, 3)
    trials = searcher.optuna_study.study.trials
    assert [t.state.name for t in trials] == ["PRUNED", "RUNNING", "RUNNING"]
    assert trials[2].params == trials[0].params
    key = "NSGAIISampler:generation"
    assert trials[2].system_attrs[key] == trials[0].system_attrs[key]
    searcher.observe(0, 3, 0.6)
    searcher.register_pending(0, 9)
    searcher.observe(0, 9, 0.7)
    searcher.forget(0)
    assert [found for found in states(searcher) if found[0] != "RUNNING"] == [
        ("PRUNED", 0.5, {1: 0.5}),
        ("COMPLETE", 0.7, {1: 0.5, 3: 0.6, 9: 0.7}),
    ]


def test_without_a_maximum_each_value_is_final() -> None:
    searcher = made(max_t=None)
    searcher.suggest(1)
    run(searcher, 0, {1: 0.5, 2: 0.4})
    assert states(searcher) == [("COMPLETE", 0.4, {1: 0.5, 2: 0.4})]


def test_steps_are_whole() -> None:
    searcher = made(max_t=2.5)
    searcher.suggest(1)
    run(searcher, 0, {0.25: 0.1, 0.5: 0.2, 2.5: 0.3})
    assert states(searcher) == [("COMPLETE", 0.3, {1: 0.2, 3: 0.3})]


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["pending", "observe", "forget", "ask"]),
        st.integers(0, 2),
        st.sampled_from([1.0, 3.0, 9.0]),
        st.none() | st.floats(-1.0, 1.0),
    ),
    max_size=30,
)


@given(events=EVENTS)
@settings(max_examples=examples(60), deadline=None)
def test_whatever_happens_the_last_trial_says_what_is_so(events: list[Any]) -> None:
    searcher = made()
    searcher.suggest(3)
    values: list[dict[float, float | None]] = [{}, {}, {}]
    running = [True] * 3
    for event, trial, level, value in events:
        if event == "pending":
            searcher.register_pending(trial, level)
            running[trial] = True
        elif event == "observe":
            searcher.observe(trial, level, value)
            values[trial][level] = value
            running[trial] = True
        elif event == "forget":
            searcher.forget(trial)
            running[trial] = False
        else:
            searcher.suggest(1)
    searcher.suggest(1)
    points = searcher.known.points
    for trial in range(3):
        params = searcher._optuna.params(points[trial][np.newaxis])[0]
        last = [t for t in searcher.optuna_study.study.trials if t.params == pytest.approx(params)][-1]
        reports = {step: None if np.isnan(v) else v for step, v in last.intermediate_values.items()}
        assert reports == values[trial]
        assert last.state.name == expected(running[trial], values[trial])


def expected(is_running: bool, values: dict[float, float | None]) -> str:
    if is_running:
        return "RUNNING"
    if 9.0 in values:
        return "FAIL" if values[9.0] is None else "COMPLETE"
    return "PRUNED" if values else "FAIL"


def by_hand(name: str, options: Any, mode: str, n: int) -> list[dict[str, Any]]:
    """Return the params of a study in Optuna, one trial after the other, each with the value of `score`."""
    distributions = OptunaSpace(MIXED).distributions
    found = []
    with without_optuna_logs():
        sampler = getattr(optuna.samplers, name)(**options)
        study = optuna.create_study(sampler=sampler, direction=f"{mode}imize")
        for _ in range(n):
            trial = study.ask(distributions)
            found.append(trial.params)
            study.tell(trial, score(trial.params))
    return found


def score(params: Any) -> float:
    return float(np.log(params["lr"]) + params["n"] + 3 * params["b"])


@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize("name", ["RandomSampler", "TPESampler", "NSGAIISampler", "QMCSampler"])
def test_it_answers_as_in_optuna(name: str, mode: str) -> None:
    options = {"population_size": 5} if name == "NSGAIISampler" else {}
    seed = int(block_generator(3, Purpose.MODEL, 0).integers(2**32))
    expected = by_hand(name, {"seed": seed, **options}, mode, 25)
    searcher = made(name, MIXED, 3, options, mode=mode)
    for trial in range(25):
        (point,) = searcher.suggest(1)
        params = searcher.optuna_study.study.trials[-1].params
        assert params == expected[trial]
        assert MIXED.mapping(point)["n"] == params["n"]
        run(searcher, trial, {9: score(params)})


@pytest.mark.parametrize("name", ["TPESampler", "RandomSampler"])
def test_sizes_of_asks_do_not_matter(name: str) -> None:
    whole, parts = made(name, MIXED), made(name, MIXED)
    expected = whole.suggest(30)
    assert np.concatenate([parts.suggest(n) for n in (1, 12, 0, 17)]).tobytes() == expected.tobytes()


def test_a_resume_takes_what_was_recorded_asks_nothing_and_goes_on_the_same_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recorded = RandomSearcher(MIXED, 7).suggest(15)

    def resumed() -> Any:
        searcher = made("TPESampler", MIXED)
        for trial, point in enumerate(recorded):
            searcher.resume(point[np.newaxis])
            run(searcher, trial, {1: float(point[0]), 9: float(point[0])})
        return searcher

    first = resumed().suggest(3)
    with monkeypatch.context() as patch:
        for method in ("sample_relative", "sample_independent"):
            patch.setattr(optuna.samplers.TPESampler, method, lambda *_: pytest.fail("asked"))
        second = resumed()
    assert second.suggest(3).tobytes() == first.tobytes()
    trials = second.optuna_study.study.trials
    assert [t.state.name for t in trials] == ["COMPLETE"] * 15 + ["RUNNING"] * 3
    assert [t.params["n"] for t in trials[:15]] == MIXED.decode(recorded)["n"].tolist()
    assert [t.value for t in trials[:15]] == recorded[:, 0].tolist()


def played(searcher: Any, first: int, trials: int) -> list[Any]:
    """Return the points of trials that run one after the other to R."""
    points = []
    for trial in range(first, first + trials):
        points.append(searcher.suggest(1)[0])
        run(searcher, trial, {9: abs(float(points[-1][0]) - 0.3)})
    return points


RESUMED = ["RandomSampler", "TPESampler", "NSGAIISampler", "NSGAIIISampler", "QMCSampler"]


@pytest.mark.parametrize("constraint", [None, lambda configuration: configuration["x"] < 0.6])
@pytest.mark.parametrize("name", RESUMED)
def test_after_a_resume_nothing_comes_again(name: str, constraint: Any) -> None:
    """Twice resumed, and with a configuration that was given."""
    options = {} if constraint is None else {"constraints": constraint}
    options["points_to_evaluate"] = [{"x": 0.2, "y": 0.7}]
    points: list[Any] = []
    for _ in range(3):
        searcher = make_searcher(f"optuna:{name}", SearchTask(PLANE, 0, max_t=9), options)
        for trial, point in enumerate(points):
            searcher.resume(point[np.newaxis])
            run(searcher, trial, {9: abs(float(point[0]) - 0.3)})
        points += played(searcher, len(points), 6)
    assert points[0].tolist() == [0.2, 0.7]
    assert len(np.unique(np.round(points, 9), axis=0)) == 18


@pytest.mark.parametrize("options", [{}, {"scramble": True}, {"qmc_type": "halton"}])
def test_a_sequence_goes_on_where_it_was(options: Any) -> None:
    whole, resumed = made("QMCSampler", options=options), made("QMCSampler", options=options)
    points = played(whole, 0, 12)
    for trial, point in enumerate(points[:7]):
        resumed.resume(point[np.newaxis])
        run(resumed, trial, {9: 0.5})
    np.testing.assert_allclose(played(resumed, 7, 5), points[7:])


BRANCHES = Space(
    {"kind": Choice("a", "b"), "x": Real(0, 1, when={"kind": "a"}), "y": Real(0, 1, when={"kind": "b"})}
)


def resumed_qmc(space: Space, recorded: Any, value: float | None) -> Any:
    searcher = made("QMCSampler", space)
    for trial, point in enumerate(recorded):
        searcher.resume(point[np.newaxis])
        run(searcher, trial, {9: value})
    return searcher


@pytest.mark.parametrize("together", [1, 4])
def test_a_sequence_goes_on_where_all_trials_failed(together: int) -> None:
    searcher = made("QMCSampler")
    recorded = []
    for trial in range(0, 8, together):
        recorded += list(searcher.suggest(together))
        for one in range(trial, trial + together):
            run(searcher, one, {})
    later = resumed_qmc(PLANE, recorded, None).suggest(6)
    assert len(np.unique([*recorded, *later], axis=0)) == 14


@pytest.mark.parametrize("seed", range(4))
def test_a_sequence_goes_on_in_branches(seed: int) -> None:
    searcher = made("QMCSampler", BRANCHES, seed)
    recorded = played(searcher, 0, 7)
    resumed = made("QMCSampler", BRANCHES, seed)
    for trial, point in enumerate(recorded):
        resumed.resume(point[np.newaxis])
        run(resumed, trial, {9: 0.5})
    points = [BRANCHES.settled(np.array([point]))[0] for point in [*recorded, *played(resumed, 7, 7)]]
    assert len(np.unique(np.round(points, 9), axis=0)) == 14


def test_given_configurations_use_up_nothing_of_a_sequence() -> None:
    given = [{"x": 0.1, "y": 0.1 * i} for i in range(5)]
    searcher = make_searcher(
        "optuna:QMCSampler", SearchTask(PLANE, 0, max_t=9), {"points_to_evaluate": given}
    )
    points = played(searcher, 0, 9)
    np.testing.assert_allclose(points[5:], [[0, 0], [0.5, 0.5], [0.75, 0.25], [0.25, 0.75]])


def test_a_sampler_that_is_given_is_as_it_was_after_the_options_were_tried() -> None:
    with without_optuna_logs():
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
        expected = study.ask(OptunaSpace(PLANE).distributions).params
        options = {"independent_sampler": optuna.samplers.RandomSampler(seed=1)}
        (point,) = made("QMCSampler", options=options).suggest(1)
    assert point.tolist() == pytest.approx([expected["x"], expected["y"]])


def test_it_can_be_sent_to_a_process() -> None:
    searcher = made("TPESampler", options={"n_startup_trials": 3})
    played(searcher, 0, 5)
    there = ForkingPickler.loads(ForkingPickler.dumps(searcher))
    assert there.suggest(1).tolist() == searcher.suggest(1).tolist()


def is_low(configuration: Any) -> bool:
    return bool(configuration["x"] < 0.2)


def test_the_constraint_holds_and_optuna_knows_what_runs() -> None:
    searcher = made(options={"constraints": is_low})
    points = searcher.suggest(40)
    assert (points[:, 0] < 0.2).all()
    running = [t.params for t in searcher.optuna_study.study.trials if t.state.name == "RUNNING"]
    assert [params["x"] for params in running] == pytest.approx(points[:, 0].tolist())
    random = RandomSearcher(PLANE, 0, is_low).points(0, 40)
    assert 0 < sum((points == random).all(axis=1)) < 30  # some were random at last


def test_of_a_table_optuna_is_told_the_row() -> None:
    rows = np.random.default_rng(0).random((30, 2))
    searcher = made("TPESampler", rows=30, points=rows)
    found = searcher.suggest(30)
    assert sorted(found.tolist()) == list(range(30))
    told = [[t.params["x"], t.params["y"]] for t in searcher.optuna_study.study.trials]
    np.testing.assert_allclose(told, rows[found])


def test_points_to_evaluate_come_first() -> None:
    searcher = make_searcher(
        "optuna:TPESampler", SearchTask(PLANE, 0, max_t=9), {"points_to_evaluate": [{"x": 0.25, "y": 0.75}]}
    )
    assert searcher.suggest(2)[0].tolist() == [0.25, 0.75]


SAMPLERS = [
    ("TPESampler", {"n_startup_trials": 4}),
    ("RandomSampler", {}),
    ("QMCSampler", {"scramble": True}),
    ("NSGAIISampler", {"population_size": 4}),
    ("NSGAIIISampler", {"population_size": 4}),
    ("GPSampler", {"n_startup_trials": 4}),
    ("CmaEsSampler", {}),
]
NEEDED = {"GPSampler": "torch", "CmaEsSampler": "cmaes"}


@pytest.mark.parametrize("type", ["stopping", "promotion"])
@pytest.mark.parametrize(("name", "options"), SAMPLERS)
def test_studies(name: str, options: Any, type: str) -> None:
    if name in NEEDED:
        pytest.importorskip(NEEDED[name], reason=f"{name} needs {NEEDED[name]}")

    def study() -> Any:
        scheduler = make_scheduler(type, max_t=9, num_trials=20, seed=0)
        return hbsim.simulate(
            scheduler,
            "synthetic:max_resource=9",
            workers=4,
            seed=1,
            searcher=f"optuna:{name}",
            search_options=options,
        )

    first, second = study(), study()
    assert first.jobs.equals(second.jobs)
    assert first.decisions.equals(second.decisions)
    assert first.summary()["trials"] == 20
    random = hbsim.simulate(
        make_scheduler(type, max_t=9, num_trials=20, seed=0), "synthetic:max_resource=9", workers=4, seed=1
    )
    assert not first.decisions.equals(random.decisions)


@pytest.mark.parametrize(
    ("name", "sampler"),
    [
        ("tpe", "TPESampler"),
        ("TPE", "TPESampler"),
        ("tpesampler", "TPESampler"),
        ("nsgaii", "NSGAIISampler"),
        ("Random", "RandomSampler"),
    ],
)
def test_names_may_be_short_and_in_any_case(name: str, sampler: str) -> None:
    short, full = made(name), made(sampler)
    assert short.name == full.name == f"optuna:{sampler}"
    assert short.suggest(3).tolist() == full.suggest(3).tolist()


@pytest.mark.filterwarnings("ignore:.* has been deprecated in:FutureWarning")
@pytest.mark.parametrize(
    ("name", "options", "field", "rule"),
    [
        ("TPESamplr", {}, "searcher", "Did you mean 'TPESampler'?"),
        ("grid", {}, "searcher", "use the searcher grid"),
        ("tree", {}, "searcher", "must be optuna: and one of"),
        ("BaseSampler", {}, "searcher", "must be optuna: and one of"),
        ("GridSampler", {}, "searcher", "use the searcher grid"),
        ("BruteForceSampler", {}, "searcher", "use the searcher grid"),
        ("PartialFixedSampler", {}, "searcher", "needs another sampler"),
        ("TPESampler", {"n_startup": 1}, "search_options.n_startup", "Did you mean 'n_startup_trials'?"),
        ("TPESampler", {"seed": 1}, "search_options.seed", "is no option"),
        ("NSGAIISampler", {"population_size": 1}, "search_options", "NSGAIISampler does not take them"),
        ("TPESampler", {"n_startup_trials": "x"}, "search_options.n_startup_trials", "a valid integer"),
        ("TPESampler", {"n_startup_trials": 2.5}, "search_options.n_startup_trials", "valid integer"),
        ("TPESampler", {"multivariate": "yes"}, "search_options.multivariate", "a valid boolean"),
        ("NSGAIISampler", {"crossover": 3}, "search_options.crossover", "instance of BaseCrossover"),
        ("TPESampler", {"n_ei_candidates": 0}, "search_options", "TPESampler fails with them: ValueError"),
        ("TPESampler", {"gamma": 3, "n_startup_trials": 40}, "search_options", "is not callable"),
        ("TPESampler", {"gamma": 3, "n_startup_trials": np.int64(20)}, "search_options", "is not callable"),
        ("TPESampler", {"constraints_func": 3}, "search_options", "is not callable"),
        ("NSGAIISampler", {"child_generation_strategy": 3}, "search_options", "is not callable"),
        ("NSGAIISampler", {"after_trial_strategy": 3}, "search_options", "is not callable"),
        ("NSGAIIISampler", {"population_size": 4, "reference_points": "abc"}, "search_options", "fails with"),
    ],
)
def test_errors_name_the_field(name: str, options: Any, field: str, rule: str) -> None:
    with pytest.raises(ParameterError) as caught:
        made(name, options=options)
    assert caught.value.field == field
    assert rule in caught.value.rule


@pytest.mark.parametrize(
    "options", [{"n_startup_trials": np.int64(3)}, {"multivariate": True}, {"n_startup_trials": 1000}]
)
def test_options_that_will_do(options: Any) -> None:
    assert made("TPESampler", options=options).suggest(2).shape == (2, 2)


@pytest.mark.parametrize(
    ("name", "package", "how"),
    [
        ("TPESampler", "optuna", needs("Optuna", "search")),
        ("CmaEsSampler", "cmaes", "needs cmaes: pip install cmaes"),
        ("GPSampler", "torch", needs("torch", "torch")),
    ],
)
def test_packages_that_are_not_there(
    name: str, package: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ParameterError) as caught:
        made(name)
    assert caught.value.rule == how


def test_it_needs_a_space() -> None:
    with pytest.raises(ParameterError, match="needs to know the hyperparameters"):
        make_searcher("optuna:RandomSampler", SearchTask(None, 0, rows=3))
