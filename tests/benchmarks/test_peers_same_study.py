"""The figures of the same study in other tools: how they are counted, and that the page is made of them."""

import json
from fractions import Fraction
from math import floor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hbsim
from benchmarks.peers import same_figures as figures
from benchmarks.peers.same_figures import PEERS, compare
from benchmarks.peers.same_log import COLUMNS, RUNGS, Log, simulate
from benchmarks.peers.same_page import render
from benchmarks.peers.same_study import SEEDS, TABLES, WORKERS
from hbsim.surrogates import load
from hbsim.validation.curves import RowsInOrder

FOLDER = Path(__file__).parents[2] / "results" / "peers"
CONTENT = json.loads((FOLDER / "same_study.json").read_text("utf-8"))


def columns(*rows):
    """Return a log of (time, due, trial, level, value, goes on)."""
    return {name: np.array(part, float) for name, part in zip(COLUMNS, zip(*rows, strict=True), strict=True)}


LATE = columns(
    (5.0, 1.0, 0, 1, 0.2, 1),
    (5.0, 4.0, 2, 1, 0.3, 1),
    (5.0, 3.0, 1, 1, 0.1, 0),
    (10.0, 10.0, 0, 3, 0.6, 0),
)


def random_table(seed, rows=40):
    """Return values and seconds at the rung levels, with equal values among them."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 12, (rows, 5)) / 8, np.cumsum(rng.uniform(0.1, 5, (rows, 5)), axis=1)


def top_third(values):
    """Decide as Optuna does, by sorting anew every time."""
    told = {level: [] for level in RUNGS}

    def goes_on(trial, level, value):
        told[level].append(value)
        k = max(1, floor(Fraction(len(told[level]), 3)))
        return value >= sorted(told[level], reverse=True)[k - 1]

    return goes_on


def looped(values, seconds, workers, goes_on):
    """Return the log of a study by the loop."""
    log = Log()
    simulate(values.tolist(), seconds.tolist(), workers, goes_on, log)
    return columns(*log.rows)


def test_order_and_lateness():
    assert figures.disorder(LATE) == 1 / 4  # trial 1 was there before trial 2, and told after it
    assert figures.lateness(LATE) == ((4 + 1 + 2 + 0) / 4, 4.0)


@given(st.permutations(range(6)))
def test_disorder_counts_what_was_overtaken(due):
    log = columns(*((9.0, time, trial, 1, 0.0, 0) for trial, time in enumerate(due)))
    overtaken = [any(later > time for later in due[:place]) for place, time in enumerate(due)]
    assert figures.disorder(log) == sum(overtaken) / 6


def test_overlap_of_who_reached_a_level():
    other = columns((1.0, 1.0, 0, 1, 0.2, 0), (2.0, 2.0, 1, 1, 0.2, 1), (2.0, 2.0, 1, 3, 0.2, 0))
    assert figures.overlap(LATE, other) == {1: 2 / 3, 3: 0.0, 9: None, 27: None, 81: None}
    assert figures.overlap(LATE, LATE)[3] == 1.0
    assert figures.reached(LATE)[1] == {0, 1, 2}


@pytest.mark.parametrize("workers", [1, 4, 60])
@pytest.mark.parametrize("mode", ["max", "min"])
def test_the_loop_runs_the_study_that_hbsim_runs(tmp_path, workers, mode):
    values, seconds = random_table(3)
    whole = np.repeat(np.arange(5), np.diff((0, *RUNGS)))
    table = {"value": values[:, whole], "t": np.maximum.accumulate(seconds[:, whole], axis=1)}
    table["t"] += np.arange(81) * 1e-6  # strictly ascending
    np.savez(tmp_path / "curves.npz", **table, levels=np.arange(1.0, 82.0))
    at = np.array(RUNGS) - 1
    sign = 1 if mode == "max" else -1
    decide = top_third(values)
    mine = looped(values, table["t"][:, at], workers, lambda t, level, value: decide(t, level, sign * value))
    scheduler = hbsim.make_scheduler("stopping", max_t=81, num_trials=40, rule="top-k", mode=mode)
    surrogate = load(str(tmp_path / "curves.npz"), metric="value", mode=mode)
    theirs = hbsim.simulate(scheduler, surrogate, workers=workers, searcher=RowsInOrder()).decisions
    assert mine["trial"].tolist() == theirs["trial"].to_list()
    assert mine["level"].tolist() == theirs["level"].to_list()
    assert mine["goes_on"].tolist() == (theirs["verdict"] == "continue").cast(float).to_list()
    np.testing.assert_allclose(mine["time"], theirs["time"].to_numpy(), rtol=1e-12)


@given(st.integers(0, 50), st.integers(1, 50))
def test_agreement_with_a_rule_and_with_its_opposite(seed, workers):
    values, seconds = random_table(seed)
    log = looped(values, seconds, workers, top_third(values))
    below = int((log["level"] < 81).sum())
    assert figures.agreement(log, "top-k", "max") == (below, below, 0)
    turned = {**log, "goes_on": 1 - log["goes_on"]}
    same, total, _ = figures.agreement(turned, "top-k", "max")
    assert (same, total) == (0, below)


def test_agreement_heeds_the_order():
    log = columns(*((0.0, 0.0, trial, 1, value, 1) for trial, value in enumerate((0.1, 0.2, 0.3))))
    assert figures.agreement(log, "top-k", "max").same == 3  # each is the best so far
    backwards = {name: column[::-1] for name, column in log.items()}
    assert figures.agreement(backwards, "top-k", "max").same == 1


def test_a_tie_with_the_cutoff_is_told_from_other_differences():
    rows = [(0.0, 0.0, 0, 1, 0.5, 1), (0.0, 0.0, 1, 1, 0.5, 0), (0.0, 0.0, 2, 1, 0.9, 0)]
    assert figures.agreement(columns(*rows), "quantile", "max") == (1, 3, 1)
    assert figures.agreement(columns(*rows), "quantile", "min") == (2, 3, 1)


def test_regret_of_the_incumbent():
    at_r = np.array([0.5, 0.9, 0.8])
    steps = figures.incumbents(LATE, at_r, "max")
    np.testing.assert_allclose(steps[0], [5.0, 5.0, 10.0])
    np.testing.assert_allclose(steps[1], [0.4, 0.1, 0.4])
    assert figures.regret_at(steps, 5.0) == pytest.approx(0.1)
    assert figures.regret_over(steps, 5.0, 20.0) == pytest.approx((5 * 0.1 + 10 * 0.4) / 15)
    with pytest.raises(ValueError, match="the first comes at 5"):
        figures.regret_at(steps, 4.0)
    lowest = figures.incumbents(LATE, at_r, "min")  # trial 0, then 1
    np.testing.assert_allclose(lowest[1], [0.0, 0.4])


def test_the_same_log_has_no_difference():
    values, seconds = random_table(1)
    log = looped(values, seconds, 3, top_third(values))
    optuna = next(peer for peer in PEERS if peer.rule == "top-k")
    found = compare(optuna, "max", [log, log], [log, log], [values[:, -1]] * 2)
    assert {share for shares in found["overlap"] for share in shares} <= {1.0, None}
    assert [spread["difference"] for spread in found["regret"].values()] == [[0.0] * 3] * 3
    short = next(peer for peer in PEERS if peer.results)
    with pytest.raises(RuntimeError, match="no row was left"):
        compare(short, "max", [log], [log], [values[:, -1]])


def test_the_page_is_made_from_its_figures():
    assert render(CONTENT) == (FOLDER / "same_study.md").read_text("utf-8")


def test_the_kept_figures_are_complete():
    assert CONTENT["command"] == "python -m benchmarks.peers.same_study"
    assert CONTENT["seeds"] == SEEDS
    cells = [(study["peer"], study["table"], study["workers"]) for study in CONTENT["studies"]]
    assert sorted(cells) == sorted((p.name, t.name, w) for p in PEERS for t in TABLES for w in WORKERS)
    tools = {name for packages in CONTENT["versions"].values() for name in packages}
    assert {"syne-tune", "ray", "optuna", "mfhpo-simulator"} <= tools
    for study in CONTENT["studies"]:
        assert {len(study[key]) for key in ("cpu", "hbsim_cpu", "late", "overlap", "reached")} == {SEEDS}
        assert (study["decisions"] is None) == (study["rule"] is None)


def test_what_the_readme_says_was_found():
    """It names causes; these are the figures that they rest on."""
    for study in CONTENT["studies"]:
        assert max(study["hbsim_disorder"]) == 0
        for same, total, tied in study["decisions"] or ():
            assert same + tied == total  # where a decision differs, the value equals the cutoff
            assert same == total or (study["peer"].startswith("Ray") and study["table"] == "digits")
        if study["peer"] == "Optuna" or study["peer"].endswith("every job a configuration"):
            assert {share for shares in study["overlap"] for share in shares} <= {1.0, None}
        if study["peer"] == "mfhpo-simulator":
            for one in study["overrun"]:
                assert max(abs(one["1"]), abs(one["3"])) < 1e-9 < one["9"]
