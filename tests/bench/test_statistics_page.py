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
    assert [int(number) for number in numbers] == [least_pairs(0.05, pairs) for pairs in (1, 6, 28)]
