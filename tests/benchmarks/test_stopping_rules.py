"""How many trials the stopping rules let through, exactly and as hbsim decides, and the kept figures."""

import itertools
import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import stopping_rules
from benchmarks import stopping_rules_figures as figures
from benchmarks.stopping_rules import render, summary
from benchmarks.stopping_rules_figures import (
    CurveSet,
    Ends,
    at_the_end,
    chance,
    count,
    exact,
    shipped,
    simulated_rows,
)
from hbsim.core.rungs import RULES
from hbsim.surrogates import load
from tests.doubles.naive_rules import goes_on
from tests.profile import thorough

RESULTS = Path(__file__).parents[2] / "results" / "stopping_rules"
# Independent figures, of 9, 27 and 256 different values at eta = 3.
EXPECTED = {
    "quantile": (4.28, 10.63, 87.71),
    "quantile-inclusive": (4.20, 10.57, 87.66),
    "rank": (4.81, 11.52, 89.33),
    "top-k": (3.49, 9.12, 84.71),
}


@pytest.mark.parametrize("rule", RULES)
def test_the_independent_figures(rule):
    found = tuple(round(float(exact(rule, n, Fraction(3))), 2) for n in (9, 27, 256))
    assert found == EXPECTED[rule]


@pytest.mark.parametrize("eta", [Fraction(3, 2), Fraction(2), Fraction(5, 2), Fraction(3), Fraction(9)])
@pytest.mark.parametrize("rule", ["quantile-inclusive", "rank", "top-k"])
def test_all_orders_of_a_few_values(rule, eta):
    for n in range(1, 6):
        orders = list(itertools.permutations(map(float, range(n))))
        through = sum(goes_on(rule, list(order[:-1]), order[-1], eta) for order in orders)
        assert chance(rule, n, eta) == Fraction(through, len(orders))


def test_orders_of_uniform_values_that_hbsim_decides(monkeypatch):
    monkeypatch.setattr(figures, "ORDERS", {9: 2000, 27: 1000, 256: 100})
    rows = list(simulated_rows())
    assert [(row["eta"], row["n"]) for row in rows] == list(itertools.product((2, 3, 4), (9, 27, 256)))
    for row in rows:
        for rule, found in row["simulated"].items():
            assert abs(found["mean"] - row["exact"][rule]) < 5 * found["error"]


NUMBERS = st.sampled_from([-math.inf, 0.0, 1.0, 2.0, 3.0])


@given(
    st.sampled_from(sorted(RULES)),
    st.fractions(Fraction(11, 10), 9, max_denominator=10),
    st.integers(1, 12).flatmap(
        lambda n: st.lists(st.lists(NUMBERS, min_size=n, max_size=n), min_size=2, max_size=4)
    ),
)
def test_counts_against_the_naive_rules(rule, eta, orders):
    totals = []
    for order in orders:
        scores = [None if value == -math.inf else value for value in order]
        totals.append(sum(goes_on(rule, scores[:i], score, eta) for i, score in enumerate(scores)))
    found = count(rule, eta, np.array(orders))
    assert found.mean == pytest.approx(sum(totals) / len(totals))
    assert found.error == pytest.approx(np.std(totals, ddof=1) / math.sqrt(len(totals)))


def test_what_configurations_reach():
    digits = load("digits")
    ends = at_the_end(digits, 81)
    values, seconds = digits.evaluate(np.arange(1000), np.array([81.0]))
    assert ends.best == digits.optimum(81) == np.nanmin(values)
    # Half of all, those without a number counted as worse, are at most so far away.
    assert np.mean(np.nan_to_num(values, nan=np.inf) - ends.best <= ends.middle) == pytest.approx(
        0.5, abs=0.01
    )
    assert ends.seconds == pytest.approx(seconds.mean(), rel=0.005)


@pytest.fixture(scope="module")
def tried():
    (digits,) = (one for one in shipped() if one.title == "digits")
    return figures.study(digits, seeds=2, jobs=1)


def test_every_trial_of_a_study_is_accounted_for(tried):
    for size in tried["to_the_end"]:
        for found in size["rules"].values():
            recorded, through = found["recorded"], found["through"]
            assert recorded[0] == 2 * size["trials"]
            assert recorded[1:] == through[:-1]
            assert 2 * found["completed"] == through[-1]
            assert found["share"] == [a / b for a, b in zip(through, recorded, strict=True)]
            levels = [0, 1, 3, 9, 27, 81]
            stays = zip(levels, levels[1:], [*recorded, through[-1]], strict=False)
            units = sum((stop - start) * trials for start, stop, trials in stays)
            assert found["trained_a_trial"] * 2 * size["trials"] == pytest.approx(units)


def test_the_base_rule_differs_in_nothing_from_itself(tried):
    for found in (
        *(size["rules"]["quantile"] for size in tried["to_the_end"]),
        *(budget["rules"]["quantile"] for budget in tried["equal_time"]),
    ):
        assert found["difference"] == {"mean": 0.0, "low": 0.0, "high": 0.0}


def test_a_regret_beyond_the_median_counts_as_that():
    values = {
        "quantile": np.array([0.0, 0.0, math.inf, 2.0]),
        "rank": np.array([1.0, math.nan, 7.0, 2.0]),
    }
    found = figures._against(values, Ends(1.0, 0.0, 5.0), "min")["rank"]
    assert found["beyond_middle"] == 2
    assert found["regret"] == 3.5
    assert found["difference"]["mean"] == (1.0 + 5.0 + 0.0 + 0.0) / 4


@thorough
def test_no_rule_is_told_from_the_base_by_chance_more_often_than_one_in_twenty():
    random = np.random.default_rng(0)
    told = 0
    for _ in range(300):
        seeds = random.standard_normal(20) + 10.0
        values = {rule: seeds + random.standard_normal(20) for rule in RULES}
        found = figures._against(values, Ends(1.0, 0.0, 100.0), "min")
        told += any(not one["difference"]["low"] <= 0 <= one["difference"]["high"] for one in found.values())
    assert told <= 25  # 300 x 0.05, and two standard deviations and a half


def test_the_same_bytes_again(monkeypatch, tmp_path):
    one = CurveSet("ideal", "flat lines", 9, {"surrogate": "ideal:max_resource=9"}, 60)
    monkeypatch.setattr(stopping_rules, "shipped", lambda: iter([one]))
    monkeypatch.setattr(figures, "ORDERS", {9: 10, 27: 10, 256: 10})
    written = []
    for name in ("first", "second"):
        stopping_rules.main(["--out", str(tmp_path / name), "--seeds", "2", "--jobs", "1"])
        written.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert written[0] == written[1]
    assert set(written[0]) == {f"stopping_rules.{end}" for end in ("md", "json", "png")}


def test_public_curves_are_there_to_their_end():
    folder = Path(__file__).parents[3] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no folder of public recorded curves")
    sets = stopping_rules.public(folder)
    assert sets
    for curves in sets:
        surrogate = curves.load()
        assert surrogate.max_resource == curves.max_t
        assert surrogate.rows in (None, curves.trials)
        assert "Apache-2.0" in curves.source
        assert str(folder) not in curves.title + curves.source


def test_a_folder_without_curves_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        stopping_rules.main(["--data", str(tmp_path)])
    assert str(tmp_path) in capsys.readouterr().err


def test_the_kept_page_says_what_the_kept_figures_say():
    content = json.loads((RESULTS / "stopping_rules.json").read_text("utf-8"))
    assert (RESULTS / "stopping_rules.md").read_text("utf-8") == render(content)
    for row in content["exact"]:
        for rule, value in row["exact"].items():
            assert value == pytest.approx(float(exact(rule, row["n"], Fraction(row["eta"]))), rel=1e-5)
    assert len(summary(content).splitlines()) == 2 + len(RULES) - 1
