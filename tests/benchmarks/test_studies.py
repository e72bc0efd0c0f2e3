"""The page of hbsim's own studies: its tables are what the results hold, and so is what it says of them."""

import json
import re
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from benchmarks.doc_pages import commands, filled, loose_figures, printed, show
from benchmarks.sweeps.driver import FOLDER, NAMES
from benchmarks.sweeps.show import option_rows
from hbsim.bench.report.model import OPEN
from tests.profile import thorough

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
PAGE = (ROOT / "docs" / "explanation" / "studies.md").read_text("utf-8")
WITH_DATA = ("lcbench", "tables")


def committed(name: str) -> dict:
    return json.loads((FOLDER / name / "numbers.json").read_text("utf-8"))


@thorough
def test_the_page_shows_what_the_results_hold():
    assert len(commands(PAGE)) > 10
    assert filled(PAGE, show) == PAGE
    assert list(loose_figures(PAGE)) == []


def test_the_page_names_each_study_and_its_command():
    for name in NAMES:
        data = " --data DIR" if name in WITH_DATA else ""
        assert f"python -m benchmarks.sweeps {name}{data}" in PAGE


def found(name: str, measure: str = "score") -> dict[str, dict]:
    """Return the settings of a study by their names."""
    return {one["setting"]: one for one in committed(name)["settings"] if one["measure"] == measure}


def option(name: str, of: str, measure: str = "score") -> dict[str, dict[str, tuple]]:
    """Return of each setting the value of an option that is ahead, and those that are not told apart."""
    settings_ = list(found(name, measure).values())
    values, rows = option_rows(committed(name)["variants"], settings_, of)
    return {
        row.setting: {
            "best": values[row.best],
            "close": [v for v, is_close in zip(values, row.close, strict=True) if is_close],
        }
        for row in rows
    }


@thorough
def test_what_the_page_says_of_brackets_and_eta():
    many = ("plain, 256 workers", "plain, 1000 workers")
    for measure, workers in (("score", (4,)), ("area", (4, 32))):
        brackets = option("brackets-eta", "brackets", measure)
        for count in workers:
            assert brackets[f"plain, {count} workers"] == {"best": 1, "close": []}
    assert all(len(option("brackets-eta", "brackets")[setting]["close"]) == 2 for setting in many)
    for setting, eta in option("brackets-eta", "reduction_factor", "area").items():
        assert eta == {"best": 2, "close": []}, setting
    for setting, eta in option("brackets-eta", "reduction_factor").items():
        assert len(eta["close"]) == (2 if setting in many else 0), setting


def test_noise_misleads_the_choice_where_the_last_rung_is_early():
    tasks = [task for task in committed("brackets-eta")["tasks"] if task["workers"] == 1000]
    means = {}
    for factor in (2, 3, 4):
        parts = [
            row["choice"]
            for task in tasks
            for row in task["regrets"]
            if row["variant"].endswith(f"reduction_factor={factor}")
        ]
        means[factor] = sum(parts) / len(parts)
    assert means[3] > 5 * max(abs(means[2]), abs(means[4]))


def test_three_brackets_are_insurance_on_lcbench():
    assert option("lcbench", "brackets")["all settings"]["close"] == [3]
    content = committed("lcbench")
    _, rows = option_rows(content["variants"], [found("lcbench")["all settings"]], "brackets")
    behind = dict(zip(found("lcbench")["all settings"]["groups"], rows[0].differences, strict=True))
    assert max(behind, key=behind.__getitem__) == "lcbench/167201"
    assert sum(one > 0.1 for one in behind.values()) >= len(behind) / 4
    assert sum(one < -0.1 for one in behind.values()) <= 1


def test_ranks_after_an_epoch_are_the_wrong_way_round_on_that_task():
    if not DATA.is_dir():
        pytest.skip("needs the public curves")
    text = printed(
        ["hbsim", "surrogates", "yahpo:lcbench/167201", "--yahpo-data", str(DATA / "yahpo_lcbench")]
    )
    assert float(re.search(r"ranks at 1 +(-?[\d.]+)", text)[1]) < 0


def test_what_the_page_says_of_recorded_curves():
    tasks = committed("tables")["tasks"]
    lead = [task for task in tasks if task["rows"][0]["variant"] == "promotion,brackets=1"]
    assert {task["surrogate"] for task in tasks if task not in lead} == {"digits"}
    assert len(lead) == 8
    alone = [task for task in lead if all(row["curves"] == "worse" for row in task["rows"][1:])]
    assert len(alone) == 7
    drawn = [task for task in tasks if task["rows"][0]["draw"]]
    worse = Counter(row["variant"] for task in drawn for row in task["rows"] if row["draw"] == "worse")
    assert len(drawn) == 9
    assert worse == {
        "fifo": 8,
        "stopping,brackets=3": 4,
        "hyperband,overlap=true": 4,
        "promotion from 3": 3,
        "promotion,brackets=3": 1,
    }


def test_what_the_page_says_of_hyperband():
    """No setting where it has the best mean rank; worse with failures, and with pauses."""
    for name in ("brackets-eta", "lcbench", "tables", "failures", "pausing"):
        for setting in found(name).values():
            assert not setting["variants"][0].startswith("hyperband")
    for setting in (*found("pausing").values(), *found("failures").values()):
        pairs = [one for one in setting["pairs"] if "hyperband" in one["first"] + one["second"]]
        assert pairs
        assert all(one["call"] != OPEN for one in pairs), setting["setting"]


def test_with_retries_stopping_and_promotion_are_not_told_apart():
    for setting in found("failures").values():
        best = setting["variants"][0]
        for pair in setting["pairs"]:
            other = pair["second"] if pair["first"] == best else pair["first"]
            if other.endswith("retries=3") and not other.startswith("hyperband"):
                assert pair["call"] == OPEN, (setting["setting"], other)


def test_what_the_page_says_of_pauses():
    expensive = found("pausing")["expensive, 16 workers"]
    assert expensive["variants"][0] == "stopping"
    assert all(pair["call"] == "better" for pair in expensive["pairs"])
    for setting, straight_on in option("pausing", "straight_on").items():
        assert straight_on["best"] is True
        assert straight_on["close"] == ([False] if setting.startswith("free") else []), setting


def test_what_the_page_says_of_retries():
    for setting, retries in option("failures", "retries").items():
        if setting.startswith(("plain", "stragglers")):
            assert retries["close"] != []
        else:
            assert retries == {"best": 3, "close": []}, setting
    kept = pl.read_parquet(FOLDER / "failures" / "cells.parquet").filter(
        pl.col("cluster").is_in(["plain", "stragglers"])
    )
    without = kept.filter(pl.col("variant").str.ends_with("retries=0")).drop("key", "variant")
    with_ = kept.filter(pl.col("variant").str.ends_with("retries=3")).drop("key", "variant")
    assert without.equals(with_)
