"""The comparison of searchers: its driver at the smallest size, its figures, other tools' loop, the page."""

import json
import math
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from benchmarks import searchers
from benchmarks.peers.searching_loop import levels, simulate
from benchmarks.searchers import render
from benchmarks.searchers_figures import LAST, OBSERVATIONS, costs, with_observations
from hbsim import make_scheduler
from hbsim import simulate as simulated
from hbsim.surrogates import load
from tests.profile import THOROUGH, thorough

RESULTS = Path(__file__).parents[2] / "results" / "searchers"
TASK = f"synthetic:max_resource={LAST}"
NAMES = ("random", "sobol", "bohb") if THOROUGH else ("random", "sobol")
SMALL = ["--seeds", "3", "--full-runs", "2", "--jobs", "1", "--peers", "--tasks", TASK]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    if not all(map(find_spec, ("optuna", "botorch"))):  # their versions are on the page
        pytest.skip("needs the extra search")
    folder = tmp_path_factory.mktemp("searchers")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(searchers, "costs", lambda names: costs(names[:1], rounds=1))
        common = [*SMALL, "--searchers", *NAMES, "--work", str(folder / "work")]
        searchers.main([*common, "--out", str(folder / "first")])
        searchers.main([*common, "--out", str(folder / "second"), "--read"])
    return folder


def figures(folder):
    return json.loads((folder / "searchers.json").read_text("utf-8"))


def test_the_page_says_what_the_figures_say(written):
    content = figures(written / "first")
    assert (written / "first" / "searchers.md").read_text("utf-8") == render(content)
    assert (written / "first" / "searchers.png").stat().st_size > 10_000
    assert [(row["task"], row["type"]) for row in content["settings"]] == [
        (TASK, "stopping"),
        (TASK, "promotion"),
    ]
    assert {row["seeds"] for s in content["settings"] for row in s["searchers"].values()} == {3}


def test_what_is_finished_is_read_again(written):
    first, second = figures(written / "first"), figures(written / "second")
    assert first["settings"] == second["settings"]
    assert first["across"] == second["across"]


@pytest.mark.parametrize("searcher", ["random", NAMES[-1]])
def test_a_score_is_the_regret_of_single_studies(written, searcher):
    setting = figures(written / "first")["settings"][0]
    regrets = []
    for seed in range(3):
        scheduler = make_scheduler("stopping", max_t=LAST, mode="max", seed=seed, num_trials=3000)
        study = simulated(
            scheduler, load(TASK), workers=4, seed=seed, max_time=setting["budget"], searcher=searcher
        )
        regrets.append(study.summary()["regret"])
    found = setting["searchers"][searcher]["at 1"]["mean"]
    assert found == pytest.approx(np.mean(regrets) / setting["unit"], rel=1e-4)
    if searcher != "random":
        base = setting["searchers"]["random"]["at 1"]["mean"]
        difference = setting["against"][searcher]["final"]["difference"]
        assert difference == pytest.approx(found - base, abs=1e-4)


class InTurn:
    """Gives points in turn, and stops every trial, or none."""

    def __init__(self, on):
        self.on, self.asked, self.heard = on, 0, []

    def ask(self):
        self.asked += 1
        return self.asked - 1, np.random.default_rng(self.asked).random(3).tolist()

    def goes_on(self, trial, level, value):
        self.heard.append((trial, level, value))
        return self.on


def test_the_rungs_of_other_tools():
    assert levels(27) == [1, 3, 9, 27]
    assert levels(52) == [1, 3, 9, 27, 52]
    assert levels(1) == [1]


@pytest.mark.parametrize("on", [False, True])
def test_one_worker_trains_one_trial_after_the_other(on):
    curves, peer = load("synthetic:max_resource=9"), InTurn(on)
    found = simulate(curves, peer, workers=1, max_time=60.0, last=9)
    points = [InTurn(on) for _ in range(1)]
    points = np.array([points[0].ask()[1] for _ in range(peer.asked)])
    values, seconds = curves.evaluate(points, np.array([1.0, 3.0, 9.0]))
    count = 3 if on else 1
    heard = [(t, (1, 3, 9)[k], values[t, k]) for t in range(peer.asked) for k in range(count)]
    np.testing.assert_equal(peer.heard, heard[: len(peer.heard)])
    ends = np.cumsum(seconds[:, count - 1])
    assert ends[-2] <= 60.0 < ends[-1]
    best, expected = -math.inf, []
    for trial, level, value in peer.heard:
        if value > best:
            best = value
            begin = ends[trial - 1] if trial else 0.0
            expected.append((begin + seconds[trial, (1, 3, 9).index(level)], values[trial, 2]))
    np.testing.assert_allclose(np.transpose([found["time"], found["value"]]), expected)


def test_optuna_is_asked_and_told():
    optuna = pytest.importorskip("optuna", reason="needs Optuna: the extra search")
    from benchmarks.peers.with_optuna import Asked

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    peer = Asked("tpe", 0, 3, "max", 9)
    found = simulate(load("synthetic:max_resource=9"), peer, workers=2, max_time=40.0, last=9)
    states = [trial.state.name for trial in peer.study.trials]
    assert len(states) == found["trials"][0]
    assert states.count("RUNNING") == 2
    assert {"PRUNED", "COMPLETE"} <= set(states)


@thorough
def test_a_searcher_has_heard_of_as_many_values_as_are_said():
    pytest.importorskip("botorch", reason="needs BoTorch: the extra search")
    for count in OBSERVATIONS:
        known = with_observations("gp", count).known
        heard = sum(len(levels) for levels in known.values.values())
        assert abs(heard - count) <= 5
        assert not known.pending


def test_what_cannot_be(tmp_path, capsys):
    for words in (["--seeds", "1"], ["--searchers", "tpe"]):
        with pytest.raises(SystemExit):
            searchers.main([*words, "--work", str(tmp_path)])
    assert "all are held against it" in capsys.readouterr().err


def test_the_kept_page_says_what_the_kept_figures_say():
    content = json.loads((RESULTS / "searchers.json").read_text("utf-8"))
    assert (RESULTS / "searchers.md").read_text("utf-8") == render(content)
