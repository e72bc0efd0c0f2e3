"""The page about statistics: its code prints what it says, and its figures are those that were measured."""

from __future__ import annotations

import json
import re
from pathlib import Path

from hbsim.bench.over_tasks import least_pairs

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "explanation" / "statistics.md").read_text(encoding="utf-8")
FIGURES = json.loads((ROOT / "results" / "conclusions" / "conclusions.json").read_text(encoding="utf-8"))


def test_the_code_of_the_page_prints_what_it_says(capsys):
    ((code, printed),) = re.findall(r"```python\n(.*?)```\n```text\n(.*?)```", PAGE, flags=re.DOTALL)
    exec(compile(code, "statistics.md", "exec"), {"__name__": "page"})
    assert capsys.readouterr().out == printed


def test_the_least_blocks():
    (numbers,) = re.findall(r"test needs (\d+) for\s+two variants, (\d+) for four, (\d+) for eight", PAGE)
    assert [int(number) for number in numbers] == [least_pairs(pairs) for pairs in (1, 6, 28)]


def test_the_figures_are_those_measured():
    text = " ".join(PAGE.split())
    equal, tables = FIGURES["equal"], FIGURES["tables"]
    tried, called = (sum(row[name] for row in equal) for name in ("repetitions", "curves"))
    assert f"in {called / tried:.1%} of {tried:,}".replace("%", " %") in text
    assert sum(row["draw"] for row in equal) == 0
    uncorrected = [row["uncorrected"] / row["repetitions"] for row in equal if row["variants"] == 20]
    assert f"{100 * min(uncorrected):.0f} to {100 * max(uncorrected):.0f} % where there are 20" in text
    rules = {row["rule"]: dict.fromkeys(row, 0) for row in tables[0]["rules"]}
    for table in tables:
        for row in table["rules"]:
            for name, value in row.items():
                if name not in ("rule", "studies"):
                    rules[row["rule"]][name] += value
    draw = rules["draw"]
    assert f"on {draw['false']} of {draw['tables']} tables" in text
    few, more = rules["holm_wilcoxon"]["false"], rules["holm_wilcoxon, more seeds"]["false"]
    assert f"do so on {few} of them, and of 100 seeds on {more}" in text
    assert f"Of {draw['calls']} conclusions {draw['reversed'] / draw['calls']:.2%}".replace("%", " %") in text
    assert (
        f"fifo on {draw['fifo']} of the {draw['tables']} tables and Hyperband on {draw['hyperband']}" in text
    )
    studies = [one for table in tables[:3] for one in table["tenth"]["studies"]]
    assert f"{min(studies)} to {max(studies):,} studies on a synthetic table" in text
    assert all(round(table["tenth"]["rows"], -2) == 6600 for table in tables[:3])
    power = FIGURES["power"][0]
    for name, variant in (("fifo", "fifo"), ("Hyperband", "hyperband")):
        ours, theirs = (power[rule][variant] / power["repetitions"] for rule in ("curves", "holm_wilcoxon"))
        assert f"{name} in {ours:.0%} against {theirs:.0%}".replace("%", " %") in text
