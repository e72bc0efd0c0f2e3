"""The diagnosis of small studies, worked out by hand; and of studies whose ranks never change."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hbsim
from hbsim.bench.diagnosis import diagnose
from hbsim.surrogates import Ideal
from tests.doubles.pair import make_real
from tests.profile import examples
from tests.simulation.surrogates import Rows

NAN = math.nan

# What nine trials show at levels 1, 3 and 9; a unit takes a second. The best of the space shows 1.
CURVES = (
    (0.9, 0.6, 0.50),
    (0.8, 0.7, 0.70),
    (0.7, 0.8, 0.60),
    (0.6, 0.5, 0.65),
    (0.5, 0.5, 0.95),
    (0.4, 0.5, 0.70),
    (0.3, 0.5, 0.10),
    (0.2, 0.5, NAN),
    (0.1, 0.5, 0.30),
)


class Nine:
    """The nine trials, in `mode`: minimised they show one minus these."""

    name, metric = "nine", "score"
    max_resource, resources, rows, space = 9.0, (1.0, 3.0, 9.0), 9, None

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.values = np.array(CURVES) if mode == "max" else 1.0 - np.array(CURVES)

    def evaluate(self, configurations: Any, levels: Any) -> Any:
        found = self.values[configurations][:, np.searchsorted(self.resources, levels)]
        return found, np.tile(levels, (len(found), 1))

    def optimum(self, level: float) -> float:
        return 1.0 if self.mode == "max" else 0.0

    def test_values(self, configurations: Any, level: float) -> None:
        return None


def study(
    type: str,
    options: dict[str, Any],
    cluster: dict[str, Any],
    *,
    max_time: float | None = None,
    surrogate: Nine | None = None,
) -> hbsim.Result:
    """Run the nine trials in their order, on one worker."""
    scheduler = make_real(type, {"max_t": 9, "num_trials": 9, **options})
    return hbsim.simulate(
        scheduler,
        surrogate or Nine(options.get("mode", "max")),
        searcher=Rows(),
        cluster=hbsim.Cluster(workers=1, **cluster),
        max_time=max_time,
    )


@pytest.mark.parametrize("mode", ["max", "min"])
def test_a_halving_by_hand(mode: str):
    """Trials 0, 1, 2 go on to level 3, and 2 of them to 9. The incumbent is 0, which showed 0.9."""
    found = diagnose(study("sha", {"n": 9, "mode": mode}, {"load": 1.0}))
    low, high = found.rungs.to_dicts()
    # Of those stopped only 4 ends above 1, the best that goes on: 5 ties. The best three at R are 4, 1 and 5:
    # 0 and 2 are not among them.
    counts = {"recorded": 9, "went_on": 3, "stopped": 6, "better": 1, "false_promotions": 2}
    assert {name: low[name] for name in counts} == counts
    counts = {"recorded": 3, "went_on": 1, "stopped": 2, "better": 1, "false_promotions": 1}
    assert {name: high[name] for name in counts} == counts
    shown = (0.95, 0.70, 0.70, 0.60) if mode == "max" else (0.05, 0.30, 0.30, 0.40)
    bests = [row[name] for row in (low, high) for name in ("best_recorded", "best_went_on")]
    assert bests == pytest.approx(shown)
    assert [low["loss"], high["loss"]] == pytest.approx([0.25, 0.10])

    parts = found.regrets
    got = [parts.sampling, parts.decisions, parts.unfinished, parts.choice, parts.best_started]
    assert got == pytest.approx([0.05, 0.35, 0.0, 0.10, shown[0]])
    assert parts.total == pytest.approx(0.5)
    (bracket,) = found.brackets.to_dicts()
    assert bracket.pop("best") == pytest.approx(shown[0])
    assert bracket == {
        "bracket": 0, "trials": 9, "trained_resource": 21.0, "completed": 1, "is_winner": True
    }  # fmt: skip


@pytest.mark.parametrize(
    ("cluster", "seconds", "saved"),
    [
        # Nine units, three times two, six; four checkpoints are loaded, three of them at 1 and one at 3.
        ({"load": 1.0}, {"training": 21, "overhead": 4}, 6),
        ({"startup": 0.5}, {"training": 21, "overhead": 6.5}, 6),
        ({"speed": 2.0}, {"training": 10.5}, 6),
        ({"resume": False}, {"training": 21, "retrained": 6}, 0),
    ],
)
def test_shares_by_hand(cluster: dict[str, Any], seconds: dict[str, float], saved: float):
    shares = dict(diagnose(study("sha", {"n": 9}, cluster)).shares)
    whole = sum(seconds.values())
    expected = dict.fromkeys(("training", "retrained", "overhead", "idle", "absent"), 0.0)
    expected |= {name: part / whole for name, part in seconds.items()}
    expected |= {"saved": saved / 21 if saved else 0.0, "saved_resource": saved, "saved_seconds": saved}
    assert shares == pytest.approx(expected)


def test_stopping_saves_nothing():
    """Who is stopped never comes back."""
    shares = diagnose(study("stopping", {}, {"load": 1.0, "save": 1.0})).shares
    assert (shares["saved"], shares["retrained"], shares["overhead"]) == (0, 0, 0)


def test_shares_where_a_worker_is_taken_away_twice():
    """Told at 3 it saves 1.5 units. Back at 5 it trains from 6.5, too late for the notice, and is gone at 7.

    From 8 on it starts again, and trains from 9.5 to 17 what is left. Only that job saved anything.
    """
    cluster = {"schedule": [(0, 1), (4, 0), (5, 1), (7, 0), (8, 1)], "notice": 1.0, "startup": 1.5}
    shares = dict(diagnose(study("fifo", {"num_trials": 1, "retries": 2}, cluster)).shares)
    seconds = {"training": 9, "retrained": 0.5, "overhead": 4.5, "idle": 1, "absent": 2}
    expected = {name: part / 17 for name, part in seconds.items()}
    expected |= {"saved": 1.5 / 9.5, "saved_resource": 1.5, "saved_seconds": 1.5}
    assert shares == pytest.approx(expected)


def test_shares_where_nothing_but_a_report_is_left():
    """At 9.5 it saves all of its nine units; back at 11 it is told to go at 11.5; from 13 on it waits."""
    cluster = {"schedule": [(0, 1), (10.5, 0), (11, 1), (12.5, 0), (13, 1)], "notice": 1.0}
    cluster["report_delay"] = 2.0
    shares = dict(diagnose(study("fifo", {"num_trials": 1, "retries": 2}, cluster)).shares)
    seconds = {"training": 9, "retrained": 0, "overhead": 3, "idle": 2, "absent": 1}
    expected = {name: part / 15 for name, part in seconds.items()}
    assert shares == pytest.approx({**expected, "saved": 1.0, "saved_resource": 9.0, "saved_seconds": 9.0})


def test_what_the_end_of_the_study_took():
    """Four trials of nine seconds have ended by 40 s, the best of them shows 0.7; trial 4 is under way."""
    parts = diagnose(study("fifo", {}, {}, max_time=40.0)).regrets
    got = [parts.sampling, parts.decisions, parts.unfinished, parts.choice]
    assert got == pytest.approx([0.05, 0.0, 0.25, 0.0])


def test_nobody_went_on():
    """Trials 0 to 3 are paused at 4.5 s, 4 is under way: nothing reached R, the rest is the choice of 0."""
    found = diagnose(study("sha", {"n": 9}, {}, max_time=4.5))
    (row,) = found.rungs.to_dicts()
    assert (row["recorded"], row["went_on"], row["stopped"]) == (4, 0, 4)
    assert (row["better"], row["false_promotions"]) == (4, 0)
    assert math.isnan(row["best_went_on"])
    assert math.isnan(row["loss"])
    parts = found.regrets
    got = [parts.sampling, parts.decisions, parts.unfinished, parts.choice]
    assert got == pytest.approx([0.05, 0.0, 0.0, 0.45])


def test_the_incumbent_can_be_better_than_all_that_finished():
    """Trial 0 showed 0.9 at level 1, and is stopped at 3; here it would show 0.8 at R, where 2 shows 0.6."""
    surrogate = Nine("max")
    surrogate.values[0, 2] = 0.8
    parts = diagnose(study("sha", {"n": 9}, {}, surrogate=surrogate)).regrets
    got = [parts.sampling, parts.decisions, parts.unfinished, parts.choice]
    assert got == pytest.approx([0.05, 0.35, 0.0, -0.2])


def test_better_than_the_best_of_the_space():
    """A surrogate's optimum may be none: the incumbent, trial 0, stands for it, and the regret is 0."""
    surrogate = Nine("max")
    surrogate.values[:, 2] += [1.0] + 8 * [0.1]
    result = study("sha", {"n": 9}, {}, surrogate=surrogate)
    parts = diagnose(result).regrets
    got = [parts.sampling, parts.decisions, parts.unfinished, parts.choice]
    assert got == pytest.approx([0.0, 0.8, 0.0, -0.8])
    assert parts.total == pytest.approx(result.summary()["regret"], abs=1e-12)


def test_no_rungs_below_the_top():
    rungs = diagnose(study("fifo", {}, {})).rungs
    assert len(rungs) == 0
    assert rungs.schema == diagnose(study("sha", {"n": 9}, {})).rungs.schema


def test_no_time_at_all():
    scheduler = make_real("sha", {"max_t": 9, "n": 9, "num_trials": 9})
    shares = diagnose(hbsim.simulate(scheduler, Ideal(9, seconds=0.0))).shares
    assert all(math.isnan(shares[name]) for name in ("training", "retrained", "overhead", "idle", "absent"))
    assert (shares["saved"], shares["saved_seconds"]) == (6 / 21, 0.0)


@settings(max_examples=examples(40), deadline=None)
@given(
    type=st.sampled_from(["stopping", "promotion"]),
    mode=st.sampled_from(["max", "min"]),
    seed=st.integers(0, 99),
    brackets=st.integers(1, 3),
    workers=st.integers(1, 9),
)
def test_ideal_curves_lose_nothing(type: str, mode: str, seed: int, brackets: int, workers: int):
    """Where ranks never change the best of a rung goes on, if any does."""
    options = {"max_t": 27, "num_trials": 60, "brackets": brackets, "mode": mode}
    scheduler = make_real(type, options)
    result = hbsim.simulate(
        scheduler, Ideal(27, mode=mode), seed=seed, cluster=hbsim.Cluster(workers=workers)
    )
    found = diagnose(result)
    rungs = found.rungs.filter(found.rungs["went_on"] > 0)
    assert len(rungs) >= 3
    assert rungs["loss"].to_list() == [0.0] * len(rungs)
    assert rungs["better"].to_list() == [0] * len(rungs)
    if brackets == 1:
        parts = found.regrets
        assert (parts.decisions, parts.unfinished, parts.choice) == (0.0, 0.0, 0.0)


@given(mode=st.sampled_from(["max", "min"]), seed=st.integers(0, 99), n=st.integers(9, 60))
@settings(max_examples=examples(20), deadline=None)
def test_halving_of_ideal_curves_promotes_none_falsely(mode: str, seed: int, n: int):
    """Nothing goes on before a rung is complete: it is the best at R that do."""
    scheduler = make_real("sha", {"max_t": 9, "n": n, "num_trials": n, "mode": mode})
    found = diagnose(hbsim.simulate(scheduler, Ideal(9, mode=mode), seed=seed))
    assert found.rungs["went_on"].to_list() == [n // 3, n // 9]
    assert found.rungs["false_promotions"].sum() == found.rungs["better"].sum() == 0
    assert found.rungs["loss"].to_list() == [0.0, 0.0]


def test_an_early_promotion_can_be_false_on_ideal_curves():
    """0.3 goes on as the best of three, then 0.9; 0.8 and 0.7 follow. 0.6 does not."""
    surrogate = Ideal(9, qualities=[0.1, 0.2, 0.3, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    scheduler = make_real("promotion", {"max_t": 9, "num_trials": 9})
    found = diagnose(hbsim.simulate(scheduler, surrogate, searcher=Rows(), cluster=hbsim.Cluster(workers=1)))
    low = found.rungs.to_dicts()[0]
    counts = ("recorded", "went_on", "stopped", "better", "false_promotions", "loss")
    assert [low[name] for name in counts] == [9, 4, 5, 0, 1, 0.0]
