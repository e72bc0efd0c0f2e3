"""The page about statistics: its code prints what it says, and its figures are what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from scipy.stats import norm

from hbsim.bench.statistics import least_pairs, seeds_needed

PAGE = (Path(__file__).parents[2] / "docs" / "explanation" / "statistics.md").read_text(encoding="utf-8")


def test_the_code_of_the_page_prints_what_it_says(capsys):
    ((code, printed),) = re.findall(r"```python\n(.*?)```\n```text\n(.*?)```", PAGE, flags=re.DOTALL)
    exec(compile(code, "statistics.md", "exec"), {"__name__": "page"})
    assert capsys.readouterr().out == printed


def test_the_table_of_seeds():
    rows = re.findall(r"^\| (\d\.\d) \| (\d+) \| (\d+) \| (\d+) \|$", PAGE, flags=re.MULTILINE)
    assert len(rows) == 6
    for effect, *needed in rows:
        differences = norm.ppf((np.arange(1000) + 0.5) / 1000) + float(effect)
        found = [seeds_needed(differences, 0.05 / pairs) for pairs in (1, 6, 28)]
        assert found == [int(number) for number in needed]


def test_the_least_blocks():
    (numbers,) = re.findall(r"test needs (\d+) for\s+two variants, (\d+) for four, (\d+) for eight", PAGE)
    assert [int(number) for number in numbers] == [least_pairs(0.05, pairs) for pairs in (1, 6, 28)]
