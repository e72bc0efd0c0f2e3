"""The page about fits says what the code does."""

import json
import re
from pathlib import Path

from benchmarks.fit import render
from hbsim.surrogates import fit_curves, fit_data, fit_regression
from tests.profile import thorough

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "fit.md").read_text("utf-8")
FIGURES = json.loads((ROOT / "results" / "fit" / "fit.json").read_text("utf-8"))


@thorough
def test_the_example_prints_what_it_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, printed = re.search(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE, re.DOTALL).groups()
    exec(compile(code, "docs/how-to/fit.md", "exec"), {"__name__": "page"})
    assert capsys.readouterr().out == printed


def test_the_limits_are_those_of_the_code():
    assert (
        f"At least {fit_data.ROWS} rows with values, at two levels or more, {fit_data.COMPLETE} of them"
        in PAGE
    )
    assert f"more than {fit_regression.KEPT} rows" in PAGE
    assert f"`Choice` of at most {fit_data.CATEGORIES} values" in PAGE
    words = {20: "20", 40: "40"}
    two, three = (words[count] for count in fit_curves.COMPLETE)
    assert f"Two need {two} complete curves, three need {three}." in " ".join(PAGE.split())


def test_the_page_of_results_is_made_from_its_figures():
    assert render(FIGURES) == (ROOT / "results" / "fit" / "fit.md").read_text("utf-8")


def test_the_figures_are_those_measured():
    text = " ".join(PAGE.split())
    last = {one["table"]: one["levels"][-1] for one in FIGURES["accuracy"] if one["rows"] == 100}
    said = [last[name] for name in ("digits", "taskset_LSTM128", "nasbench_nlp_wt2")]
    for one in said:
        assert f"{one['ratio_said']:.2f} (" in text
    assert ", ".join(f"{one['ratio_true']:.2f}" for one in said) in text
    same = {one["table"]: one["agreement"] for one in FIGURES["rankings"] if one["rows"] == 100}
    for name in ("digits", "nasbench_nlp_wt2", "taskset_LSTM128"):
        assert f"{same[name]['fit']['same']} of {same[name]['fit']['clear']} (" in text
    for one in FIGURES["stopped"]:
        if one["table"] == "digits":
            for way in ("fit", "median", "extrapolate"):
                assert f"{abs(one['errors'][way][0]):.2f}" in text
