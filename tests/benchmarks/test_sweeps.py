"""hbsim's own studies: the committed results are those of their files, and the page says what they hold."""

import json
import math
import re
from collections import Counter
from functools import cache
from importlib.metadata import version
from pathlib import Path

import polars as pl
import pytest

from benchmarks import sweeps
from benchmarks.doc_pages import commands, filled, loose_figures, printed, show
from benchmarks.measure import describe_machine
from benchmarks.sweeps.driver import FOLDER, NAMES, SPECS
from benchmarks.sweeps.show import option_rows
from hbsim.bench.report.model import OPEN
from hbsim.bench.sweep.plan import read_sweep
from tests.profile import thorough

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
PAGE = (ROOT / "docs" / "explanation" / "studies.md").read_text("utf-8")
TABLES = (FOLDER / "findings.md").read_text("utf-8")
WITH_DATA = ("lcbench", "tables")
FORMULAS = tuple(name for name in NAMES if name not in WITH_DATA)
MANY = ("brackets-eta", "failures")  # cells
PARTS = ("sampling", "decisions", "unfinished", "choice")
SHARES = ("training", "retrained", "overhead", "idle", "absent")


@cache
def committed(name: str, file: str) -> dict:
    return json.loads((FOLDER / name / file).read_text("utf-8"))


@cache
def cells(name: str) -> pl.DataFrame:
    return pl.read_parquet(FOLDER / name / "cells.parquet")


def assert_about(found: object, kept: object) -> None:
    """Check that two documents say the same, numbers to 9 digits."""
    if isinstance(kept, dict):
        assert isinstance(found, dict)
        assert found.keys() == kept.keys()
        for name in kept:
            assert_about(found[name], kept[name])
    elif isinstance(kept, list):
        assert isinstance(found, list)
        assert len(found) == len(kept)
        for one, other in zip(found, kept, strict=True):
            assert_about(one, other)
    elif isinstance(kept, float):
        assert found == pytest.approx(kept, rel=1e-9, abs=1e-12)
    else:
        assert found == kept


def test_there_is_a_folder_for_each_file_and_no_other():
    assert {path.name for path in FOLDER.iterdir() if path.is_dir()} == set(NAMES)


def test_the_committed_bytes_are_what_the_command_writes(tmp_path):
    made_with = (FOLDER / "README.md").read_text("utf-8")
    versions = committed("small", "sweep.json")["versions"]
    drawn_by = {name: version(name) for name in ("altair", "vl-convert-python", "pillow")}
    for name, number in {**versions, **drawn_by}.items():
        if f"{name} {number}" not in made_with or (name != "python" and version(name) != number):
            pytest.skip(f"made with another {name} than {number}")
    sweeps.main(["small", "--out", str(tmp_path), "--jobs", "1"])
    names = {path.name for path in (FOLDER / "small").iterdir()}
    assert names == {path.name for path in (tmp_path / "small").iterdir()}
    made_on = json.loads((FOLDER / "timings.json").read_text("utf-8"))["small"]["machine"]["processor"]
    if made_on != describe_machine()["processor"]:  # another one may round last bits otherwise
        names = set()
    made = json.loads((tmp_path / "small" / "numbers.json").read_text("utf-8"))
    assert_about(made, committed("small", "numbers.json"))
    for name in names:
        assert (tmp_path / "small" / name).read_bytes() == (FOLDER / "small" / name).read_bytes(), name


@pytest.mark.parametrize("name", [pytest.param(n, marks=thorough if n in MANY else ()) for n in FORMULAS])
def test_the_committed_results_are_of_the_file(name):
    kept = committed(name, "sweep.json")
    plan = read_sweep(SPECS / f"{name}.toml")
    wanted = json.loads(json.dumps(plan.manifest()))
    for field in ("title", "description"):
        assert kept[field] == wanted[field]
    assert [one["name"] for one in kept["variants"]] == [one["name"] for one in wanted["variants"]]
    names = ["variant", "surrogate", "cluster", "workers", "seed", "key"]
    assert plan.cells.select(names).equals(cells(name).select(names))


def test_the_recorded_tables_are_the_same():
    if not DATA.is_dir():
        pytest.skip("needs the public curves")
    plan = read_sweep(SPECS / "tables.toml", DATA)
    assert plan.cells["key"].to_list() == cells("tables")["key"].to_list()


def test_studies_of_tables_see_halves_but_where_these_would_not_last():
    found = cells("tables").group_by("surrogate", "workers").agg(pl.col("split").n_unique())
    halves = {(name, workers): splits for name, workers, splits in found.iter_rows()}
    assert halves.pop(("NAS-Bench-NLP", 16)) == 1  # null: all rows
    assert set(halves.values()) == {10}


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_means_of_the_cells(name):
    """The last incumbent's regret over the median configuration's, by plain loops, at the budget."""
    found = cells(name)
    assert set(found["status"]) == {"done"}
    tasks = committed(name, "sweep.json")["tasks"]
    reported = committed(name, "numbers.json")["tasks"]
    for task, numbers in zip(tasks, reported, strict=True):
        if task["max_time"] is None:
            continue
        of = found.filter(
            (pl.col("surrogate") == task["surrogate"])
            & (pl.col("cluster") == task["cluster"])
            & (pl.col("workers") == task["workers"])
        )
        best = task["optimum"]
        if best is None:
            seen = found.filter(pl.col("surrogate") == task["surrogate"])
            values = [v for c in ("value", "best_started_part") for v in seen[c] if v is not None]
            best = max(values) if task["mode"] == "max" else min(values)
        # A study without a score counts as the median configuration; one in which no variant has any, not.
        counted = of.filter(pl.col("value").is_not_null().any().over("seed"))
        for row in numbers["rows"]:
            values = counted.filter(pl.col("variant") == row["variant"])["value"].to_list()
            missing = sum(value is None for value in values)
            assert missing == row["missing"]
            if missing > 0.1 * len(values):
                assert row["score"][0] is None
                continue
            unit = abs(task["guess"] - best)
            mean = math.fsum(1 if v is None else abs(v - best) / unit for v in values) / len(values)
            assert row["score"][0] == pytest.approx(mean, rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_what_has_to_add_up_does(name):
    found = cells(name)
    whole = sum(found[f"{share}_share"] for share in SHARES)
    assert whole.min() == pytest.approx(1, abs=1e-9)
    assert whole.max() == pytest.approx(1, abs=1e-9)
    for task in committed(name, "numbers.json")["tasks"]:
        regrets = {row["variant"]: row for row in task["regrets"]}
        for row in task["rows"]:
            assert row["area"] is None or 0 <= row["area"] <= 1
            if row["missing"] == 0 and row["score"][0] is not None:
                parts = [regrets[row["variant"]][part] for part in PARTS]
                if None not in parts and committed(name, "sweep.json")["tasks"][0]["max_time"]:
                    assert sum(parts) == pytest.approx(row["score"][0], rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "small"])
def test_no_study_ran_out_of_trials(name):
    tasks = {(t["surrogate"], t["cluster"], t["workers"]): t for t in committed(name, "sweep.json")["tasks"]}
    for row in cells(name).iter_rows(named=True):
        task = tasks[row["surrogate"], row["cluster"], row["workers"]]
        assert row["simulated_seconds"] == pytest.approx(task["max_time"])


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("small", "tables")])
def test_there_are_enough_groups_to_tell_the_nearest_pair_apart(name):
    """Wilcoxon's least p over g groups is 2 / 2^g; Holm's correction takes it times the number of pairs."""
    for setting in committed(name, "numbers.json")["settings"]:
        k, g = len(setting["variants"]), len(setting["groups"])
        assert k * (k - 1) / 2 * 2 / 2**g < 0.05


def test_nothing_names_a_machines_folder():
    for path in FOLDER.rglob("*"):
        if path.suffix in (".json", ".md", ".html"):
            text = path.read_text("utf-8")
            assert not re.search(r"/(tmp|work|home|root|Users)/|shared/data", text), path


def setting(names, scores):
    return {"setting": "plain, 4 workers", "variants": names, "scores": scores}


def variant(name, type="stopping", **options):
    return {"name": name, "type": type, "options": options}


def test_an_option_is_compared_among_those_that_share_all_else():
    variants = [
        variant("s1", brackets=1, eta=3),
        variant("s3", brackets=3, eta=3),
        variant("p1", "promotion", brackets=1, eta=3),
        variant("p3", "promotion", brackets=3, eta=3),
        variant("p1 alone", "promotion", brackets=1, eta=9),
        variant("fifo", "fifo"),
    ]
    scores = [[0.1 * g + 0.2, 0.1 * g, 0.1 * g + 0.4, 0.1 * g, 9.0, 9.0] for g in range(8)]
    values, (row,) = option_rows(variants, [setting([v["name"] for v in variants], scores)], "brackets")
    assert values == [1, 3]
    assert row.means == pytest.approx([0.35 + 0.3, 0.35])
    assert row.best == 1
    assert row.close == [False, False]  # behind in 8 of 8 groups: p = 2 / 2^8


def test_few_groups_tell_nothing_apart():
    variants = [variant("a", brackets=1), variant("b", brackets=3)]
    scores = [[0.2, 0.1]] * 5
    _, (row,) = option_rows(variants, [setting(["a", "b"], scores)], "brackets")
    assert row.close == [True, False]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["smal"], "NAME smal: must be one of"),
        (["small", "--pages"], "--pages needs --work"),
        (["small", "--show", "nothing"], "must be one of leaders"),
        (["small", "--show", "option:retries"], "no variants differ in retries alone"),
    ],
)
def test_requests_that_make_no_sense(arguments, text, capsys):
    with pytest.raises(SystemExit) as ended:
        sweeps.main(arguments)
    assert ended.value.code != 0
    assert text in capsys.readouterr().err + str(ended.value)


# The page


@thorough
@pytest.mark.parametrize("page", [PAGE, TABLES], ids=["studies", "findings"])
def test_a_page_shows_what_the_results_hold(page: str):
    assert len(commands(page)) > 10
    assert filled(page, show) == page
    assert list(loose_figures(page)) == []


def test_the_page_names_each_study_and_its_command():
    for name in NAMES:
        data = " --data DIR" if name in WITH_DATA else ""
        assert f"python -m benchmarks.sweeps {name}{data}" in PAGE


@cache
def found(name: str, measure: str = "score") -> dict[str, dict]:
    """Return the settings of a study by their names."""
    return {
        one["setting"]: one
        for one in committed(name, "numbers.json")["settings"]
        if one["measure"] == measure
    }


@cache
def option(name: str, of: str, measure: str = "score") -> dict[str, dict[str, tuple]]:
    """Return of each setting the value of an option that is ahead, and those that are not told apart."""
    settings_ = list(found(name, measure).values())
    values, rows = option_rows(committed(name, "numbers.json")["variants"], settings_, of)
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
    tasks = [task for task in committed("brackets-eta", "numbers.json")["tasks"] if task["workers"] == 1000]
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
    content = committed("lcbench", "numbers.json")
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
    tasks = committed("tables", "numbers.json")["tasks"]
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
    kept = cells("failures").filter(pl.col("cluster").is_in(["plain", "stragglers"]))
    without = kept.filter(pl.col("variant").str.ends_with("retries=0")).drop("key", "variant")
    with_ = kept.filter(pl.col("variant").str.ends_with("retries=3")).drop("key", "variant")
    assert without.equals(with_)
