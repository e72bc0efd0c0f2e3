"""The page about search spaces runs as it is printed."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "space.md"


def test_the_code_of_the_page_runs(capsys):
    pytest.importorskip("ConfigSpace")
    text = PAGE.read_text(encoding="utf-8")
    blocks = list(re.finditer(r"```python\n(.*?)```", text, flags=re.DOTALL))
    assert len(blocks) == 9
    names: dict[str, object] = {"__name__": "page"}
    for block in blocks:
        line = text[: block.start(1)].count("\n")
        exec(compile("\n" * line + block[1], str(PAGE), "exec"), names)  # errors name the page's line
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "low=0.0: must be above 0 with log=True"
    assert printed[1:] == ["{'epoch': 1, 'accuracy': 0.95}", "{'epoch': 2, 'accuracy': 0.975}"]
